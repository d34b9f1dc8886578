//! Following a leader of either kind.

use std::time::Duration;

use gregor::message::Codec;
use gregor::message::entry::entries;
use gregor::protocol::ApiKey;
use gregor::protocol::encode_request;
use gregor::protocol::fetch::Reader;
use gregor::types::BrokerId;
use rustix::process::Signal;

use super::cluster::ACKS;
use super::cluster::Cluster;
use super::cluster::SOON;
use crate::support::Need;
use crate::support::answer::decode;
use crate::support::answer::from_hex;
use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::chroot;
use crate::support::connection::Connection;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::requests::ask;
use crate::support::requests::ask_one;
use crate::support::requests::fetch;
use crate::support::requests::produce;
use crate::support::requests::set;
use crate::support::wire;
use crate::support::znodes;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

/// A follower copies what its leader has and gets, byte for byte, and counts for `acks=-1`.
fn copies(test: &str, leader: Kind, follower: Kind) {
    if !have(&[Need::Reference, Need::Python]) {
        return;
    }
    let cluster = Cluster::start(test, &[leader, follower]);
    cluster.create("copied", &[1, 2], &[]);
    cluster.wait_for_leader("copied", 1);
    for round in 0..20 {
        let text = format!("message {round}");
        cluster.write(1, "copied", -1, &[&text, &"x".repeat(round * 100)]);
    }
    cluster.wait_for_end("copied", &[1, 2], 40);
    cluster.assert_equal_logs("copied", &[1, 2]);
}

#[test]
fn gregor_copies_from_the_reference() {
    copies("copy-from-java", Kind::Reference, Kind::Gregor);
}

#[test]
fn the_reference_copies_from_gregor() {
    copies("copy-by-java", Kind::Gregor, Kind::Reference);
}

#[test]
fn gregor_copies_from_gregor() {
    copies("copy-gregor", Kind::Gregor, Kind::Gregor);
}

/// A follower that was away catches up and comes back into the ISR, also with messages that don't fit into its fetches
/// (0.8.2.2 stays where it is, and says nothing).
#[test]
fn a_follower_that_was_away_catches_up() {
    if !have(&[Need::Reference, Need::Python, Need::Gregor]) {
        return;
    }
    let mut cluster = Cluster::with("catch-up", &[Kind::Gregor; 2], |setup| {
        setup
            .set("replica.fetch.max.bytes", "1000")
            .set("message.max.bytes", "1000")
            .set("num.replica.fetchers", "3")
    });
    cluster.create_many(
        "away",
        &[&[1, 2], &[1, 2], &[1, 2]],
        &["max.message.bytes=100000"],
    );
    cluster.brokers[2].kill();
    for partition in 0..3 {
        cluster.wait_for_isr("away", partition, &[1]);
    }
    let long = "x".repeat(50_000);
    for round in 0..10 {
        // Each partition says something else.
        let sets = (0..3).map(|partition| {
            let short = format!("message {round} of partition {partition}");
            (partition, set(Codec::None, &[&short, &long, &short]))
        });
        let answer = ask(&cluster.brokers[1], &produce(1, ACKS, "away", sets));
        for partition in answer["topics"][0]["partitions"].as_array().unwrap() {
            assert_eq!(partition["error_code"], 0, "{answer}");
        }
    }
    cluster.restart(2);
    for partition in 0..3 {
        // In sync with a leader to which nobody writes: it has everything.
        cluster.wait_for_isr("away", partition, &[1, 2]);
        cluster.assert_equal(&format!("away-{partition}"), &[1, 2]);
    }
    cluster.wait_for_end("away", &[1, 2], 30);

    assert_eq!(
        metric(&cluster.brokers[2], "kafka_server_replicafetchermanager_maxlag"),
        0.0
    );
    eventually("every fetcher has had an answer", SOON, || {
        let rate = metric(
            &cluster.brokers[2],
            "kafka_server_replicafetchermanager_minfetchrate",
        );
        if rate > 0.0 { Ok(()) } else { Err(rate) }
    });
    let bytes = metric(&cluster.brokers[2], "kafka_server_fetcherstats_bytes_total");
    assert!(bytes > 3.0 * 500_000.0, "{bytes}");
    for partition in 0..3 {
        let lag =
            format!("kafka_server_fetcherlagmetrics_consumerlag{{topic=\"away\",partition=\"{partition}\"}}");
        assert_eq!(metric(&cluster.brokers[2], &lag), 0.0);
    }
}

/// A controller of 0.8.2.2 compares ids only: while it looked elsewhere the broker went and came back, and for the controller
/// nothing has happened. The reference would not be told its roles before it is restarted again.
#[test]
fn a_broker_whose_absence_nobody_noticed_is_told_its_roles() {
    if !have(&[Need::Reference, Need::Python, Need::Gregor]) {
        return;
    }
    let mut cluster = Cluster::start("unnoticed", &[Kind::Gregor; 2]);
    cluster.create("unnoticed", &[1, 2], &[]);
    cluster.write(1, "unnoticed", -1, &["a"]);
    restart_unseen(&mut cluster, &[2]);
    cluster.wait_for_isr("unnoticed", 0, &[1, 2]);
    cluster.write(1, "unnoticed", -1, &["b"]);
    assert!(
        cluster.brokers[2].output().contains("no controller has spoken"),
        "it was not noticed at first"
    );
}

/// Neither the metadata that everybody gets nor the roles in what another broker led are those that it waits for.
#[test]
fn a_broker_whose_absence_nobody_noticed_is_told_all_its_roles() {
    if !have(&[Need::Reference, Need::Python, Need::Gregor]) {
        return;
    }
    let mut cluster = Cluster::start("unnoticed-among-others", &[Kind::Gregor; 3]);
    cluster.create("unnoticed", &[1, 2], &[]);
    cluster.create("seen", &[3, 1, 2], &[]);
    cluster.write(1, "unnoticed", -1, &["a"]);
    restart_unseen(&mut cluster, &[2, 3]);
    cluster.wait_for_leader("seen", 1);
    cluster.wait_for_isr("unnoticed", 0, &[1, 2]);
    cluster.write(1, "unnoticed", -1, &["b"]);
    assert!(
        cluster.brokers[2]
            .output()
            .contains("no controller has spoken of unnoticed-0"),
        "it was not noticed at first"
    );
}

/// Kills these brokers and starts the first one of them again, all behind the controller's back.
fn restart_unseen(cluster: &mut Cluster, brokers: &[usize]) {
    cluster.brokers[0].freeze();
    for id in brokers {
        cluster.brokers[*id].kill();
    }
    for id in brokers {
        eventually("its session is over", SOON, || {
            let left = znodes::node(&cluster.connect, &format!("/brokers/ids/{id}"));
            left.map_or(Ok(()), |node| Err(format!("{node:?}")))
        });
    }
    cluster.wait_for_isr("unnoticed", 0, &[1]);
    cluster.restart(brokers[0]);
    cluster.brokers[0].signal(Signal::CONT);
}

/// A replica that is told to stop does, and one that is deleted leaves nothing; orders come twice and do no harm.
#[test]
fn a_replica_that_is_moved_away_is_deleted() {
    if !have(&[Need::Reference, Need::Python]) {
        return;
    }
    let cluster = Cluster::start("move-away", &[Kind::Gregor; 3]);
    cluster.create("moved", &[1, 2], &[]);
    cluster.write(1, "moved", -1, &["a", "b", "c"]);
    let directory = cluster.brokers[1].data().join("moved-0");
    assert!(directory.exists());
    cluster.reassign("moved", &[2, 3]);
    cluster.wait_for_isr("moved", 0, &[2, 3]);
    cluster.wait_for_leader("moved", 2);
    cluster.wait_for_end("moved", &[2, 3], 3);
    cluster.assert_equal_logs("moved", &[2, 3]);
    eventually("the old replica is gone", SOON, || {
        if directory.exists() {
            Err("its directory is there")
        } else {
            Ok(())
        }
    });
    cluster.write(2, "moved", -1, &["d"]);
}

/// A value that Gregor serves, of the metric with these labels.
pub(super) fn metric(broker: &Broker, name: &str) -> f64 {
    eventually("the metric is served", Duration::from_secs(5), || {
        let (_, page) =
            wire::http_get(broker.metrics_address(), "/metrics").map_err(|error| error.to_string())?;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
            .ok_or_else(|| format!("{name} is not in\n{page}"))
    })
}

/// Where a fetch begins and how much it asks for are more together than 31 bits can count: 0.8.2.2 answers a follower with
/// garbage then, and closes the connection.
#[test]
fn a_fetch_from_the_middle_may_ask_for_as_much_as_can_be_said() {
    if !have(&[Need::Gregor, Need::Reference, Need::Python]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let broker = Broker::start(&chroot(&zookeeper, "largest-fetch"));
    // The second replica is this test.
    let assignment = br#"{"version":1,"partitions":{"0":[0,1]}}"#;
    znodes::set(broker.connect(), &[("/brokers/topics/orders", assignment)]);
    for offset in 0..2 {
        eventually("it leads, and appends", SOON, || {
            let set = set(Codec::None, &["message"]);
            let answer = ask_one(&broker, &produce(1, SOON, "orders", [(0, set)]));
            if answer["error_code"] == 0 {
                assert_eq!(answer["base_offset"], offset);
                Ok(())
            } else {
                Err(answer)
            }
        });
    }
    let mut connection = Connection::open(broker.address());
    for reader in [
        Reader::Follower(BrokerId(1)),
        Reader::DebuggingConsumer,
        Reader::Consumer,
    ] {
        let mut request = fetch("orders", 0, 1);
        request.reader = reader;
        request.topics[0].1[0].max_bytes = i32::MAX;
        connection.send(&encode_request(1, None, &request));
        let answer = decode(ApiKey::Fetch, &connection.frame());
        let answer = &answer["topics"][0]["partitions"][0];
        assert_eq!(answer["error_code"], 0, "{reader:?}");
        let messages = from_hex(answer["message_set"].as_str().unwrap());
        let offsets: Vec<_> = entries(&messages).map(|entry| entry.unwrap().0).collect();
        assert_eq!(offsets, [1], "{reader:?}");
    }
}
