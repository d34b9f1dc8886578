//! Who is in sync, and what that means for those who produce.

use std::cell::Cell;

use rustix::process::Signal;

use super::cluster::Cluster;
use super::cluster::SOON;
use super::follower::metric;
use crate::support::Need;
use crate::support::broker::Kind;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::proxy::Proxy;
use crate::support::reference;
use crate::support::znodes;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const SHRINKS: &str = "kafka_server_replicamanager_isrshrinks_total";
const EXPANDS: &str = "kafka_server_replicamanager_isrexpands_total";
const SHORT: &str = "kafka_server_replicamanager_underreplicatedpartitions";

/// Codes of 0.8.2.
const NOT_ENOUGH_REPLICAS: i64 = 19;
const NOT_ENOUGH_REPLICAS_AFTER_APPEND: i64 = 20;

/// A follower that stands still goes, and comes back when it has caught up; meanwhile the topic's minimum is kept.
#[test]
fn a_follower_that_stands_still_goes_and_comes_back() {
    if !have(&[Need::Reference, Need::Python, Need::Gregor]) {
        return;
    }
    // A session that outlives the follower's sleep: it is for the leader to put it out.
    let cluster = Cluster::with("stands-still", &[Kind::Gregor; 2], |setup| {
        setup.set("zookeeper.session.timeout.ms", "30000")
    });
    cluster.create("still", &[1, 2], &["min.insync.replicas=2"]);
    cluster.write(1, "still", -1, &["a"]);
    cluster.brokers[2].freeze();
    // In sync by the book, so that it is written; and then it is not.
    assert_eq!(
        cluster.produce(1, "still", -1, &["b"]),
        (NOT_ENOUGH_REPLICAS_AFTER_APPEND, 1)
    );
    cluster.wait_for_isr("still", 0, &[1]);
    assert_eq!(cluster.produce(1, "still", -1, &["c"]), (NOT_ENOUGH_REPLICAS, -1));
    assert_eq!(cluster.produce(1, "still", 1, &["c"]), (0, 2));
    assert_eq!(
        [SHRINKS, EXPANDS, SHORT].map(|name| metric(&cluster.brokers[1], name)),
        [1.0, 0.0, 1.0]
    );

    cluster.brokers[2].signal(Signal::CONT);
    cluster.wait_for_isr("still", 0, &[1, 2]);
    assert_eq!(cluster.produce(1, "still", -1, &["d"]), (0, 3));
    cluster.wait_for_end("still", &[1, 2], 4);
    cluster.assert_equal_logs("still", &[1, 2]);
    assert_eq!(
        [SHRINKS, EXPANDS, SHORT].map(|name| metric(&cluster.brokers[1], name)),
        [1.0, 1.0, 0.0]
    );
}

/// KAFKA-2729: somebody else has written the partition's state, and nothing in it has changed. 0.8.2.2 can't change the
/// ISR any more until there is another leader epoch.
#[test]
fn an_isr_can_be_changed_after_somebody_else_wrote_it() {
    if !have(&[Need::Reference, Need::Python, Need::Gregor]) {
        return;
    }
    let cluster = Cluster::with("other-version", &[Kind::Gregor; 2], |setup| {
        setup.set("zookeeper.session.timeout.ms", "30000")
    });
    cluster.create("version", &[1, 2], &[]);
    let epoch = cluster.state("version", 0)["leader_epoch"].clone();
    let path = "/brokers/topics/version/partitions/0/state";
    let state = znodes::node(&cluster.connect, path)
        .and_then(|node| node.data)
        .unwrap();
    znodes::set(&cluster.connect, &[(path, state.as_bytes())]);
    cluster.brokers[2].freeze();
    cluster.wait_for_isr("version", 0, &[1]);
    cluster.write(1, "version", -1, &["a"]);
    cluster.brokers[2].signal(Signal::CONT);
    cluster.wait_for_isr("version", 0, &[1, 2]);
    assert_eq!(cluster.state("version", 0)["leader_epoch"], epoch);
}

/// KAFKA-2729 as it comes about: the leader's session ends, and goes on as another. Its controller may have missed that, or
/// have moved the leadership and given it back; either way the ISR is changed as before.
#[test]
fn an_isr_can_be_changed_after_the_leaders_session_has_ended() {
    if !have(&[Need::Reference, Need::Python, Need::Gregor]) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let proxy = runtime.block_on(Proxy::start(zookeeper.address()));
    // Of the two, the one that leads.
    let first = Cell::new(true);
    let cluster = Cluster::with("session-ended", &[Kind::Gregor; 2], |setup| {
        let setup = setup.set("zookeeper.session.timeout.ms", "30000");
        if first.replace(false) {
            setup.set("zookeeper.connect", format!("{}/session-ended", proxy.address()))
        } else {
            setup
        }
    });
    cluster.create("ended", &[1, 2], &[]);
    cluster.write(1, "ended", -1, &["a"]);
    let end_session = || {
        let created = || znodes::node(&cluster.connect, "/brokers/ids/1").map(|node| node.created);
        let before = created();
        runtime.block_on(proxy.expire());
        eventually("it has registered anew", SOON, || match created() {
            now @ Some(_) if now != before => Ok(()),
            now => Err(format!("{before:?} {now:?}")),
        });
    };
    let shrinks_and_grows = || {
        cluster.brokers[2].freeze();
        cluster.wait_for_isr("ended", 0, &[1]);
        cluster.write(1, "ended", -1, &["alone"]);
        cluster.brokers[2].signal(Signal::CONT);
        cluster.wait_for_isr("ended", 0, &[1, 2]);
        cluster.write(1, "ended", -1, &["together"]);
    };

    cluster.brokers[0].freeze();
    end_session();
    cluster.brokers[0].signal(Signal::CONT);
    cluster.wait_for_leader("ended", 1);
    shrinks_and_grows();

    end_session();
    cluster.wait_for_leader("ended", 2);
    cluster.wait_for_isr("ended", 0, &[1, 2]);
    cluster.write(2, "ended", -1, &["moved"]);
    reference::tool(
        &["preferred-replica-election", "--zookeeper", &cluster.connect],
        b"",
    );
    cluster.wait_for_leader("ended", 1);
    shrinks_and_grows();
    cluster.wait_for_end("ended", &[1, 2], 6);
    cluster.assert_equal_logs("ended", &[1, 2]);
}

/// A replica that is not in sync doesn't lead where the topic forbids it; the one that is comes back with everything.
#[test]
fn only_a_replica_in_sync_leads_where_the_topic_says_so() {
    if !have(&[Need::Reference, Need::Python, Need::Gregor]) {
        return;
    }
    let mut cluster = Cluster::start("clean-election", &[Kind::Gregor; 2]);
    cluster.create("clean", &[1, 2], &["unclean.leader.election.enable=false"]);
    cluster.write(1, "clean", -1, &["a"]);
    cluster.brokers[2].kill();
    cluster.wait_for_isr("clean", 0, &[1]);
    cluster.write(1, "clean", -1, &["b"]);
    cluster.brokers[1].kill();
    cluster.wait_for_state("clean", |state| state["leader"] == -1);
    cluster.restart(2);
    let (error, _) = cluster.produce(2, "clean", 1, &["lost"]);
    assert_ne!(error, 0, "it leads nothing");
    cluster.restart(1);
    cluster.wait_for_leader("clean", 1);
    cluster.wait_for_isr("clean", 0, &[1, 2]);
    cluster.write(1, "clean", -1, &["c"]);
    cluster.wait_for_end("clean", &[1, 2], 3);
    cluster.assert_equal_logs("clean", &[1, 2]);
}
