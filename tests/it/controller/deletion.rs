//! Topics that go.

use super::*;
use crate::support::broker::Broker;

pub(super) fn delete(connect: &str, topic: &str) {
    let deleted = reference::tool(
        &["topics", "--zookeeper", connect, "--delete", "--topic", topic],
        b"",
    );
    assert!(
        deleted
            .text()
            .contains(&format!("Topic {topic} is marked for deletion.")),
        "{}",
        deleted.account()
    );
}

#[track_caller]
pub(super) fn wait_until_deleted(connect: &str, topic: &str, brokers: &[&Broker]) {
    for path in ["/brokers/topics", "/config/topics", "/admin/delete_topics"] {
        wait_until_gone(connect, &format!("{path}/{topic}"));
    }
    for broker in brokers {
        assert!(!has_replica(broker, topic, 0), "{broker:?}");
    }
}

/// Java brokers delete what Gregor tells them; a broker that is away is waited for.
#[test]
fn a_topic_goes_when_all_its_brokers_are_there() {
    if !have(&NEEDS) {
        return;
    }
    let on = |setup: Setup, _| setup.set("delete.topic.enable", "true");
    let mut cluster = Mixed::start("deleted", 2, on);
    let connect = cluster.connect.clone();
    create(&connect, "t", "1:2,2:1");
    create(&connect, "late", "1:2");
    let [first, second] = cluster.java.as_slice() else {
        panic!("two brokers")
    };
    delete(&connect, "t");
    wait_until_deleted(&connect, "t", &[first, second]);
    let told = crate::support::wire::metadata(first.address()).unwrap();
    assert!(told.topics.iter().all(|(topic, _, _)| topic != "t"), "{told:?}");

    cluster.java[1].kill();
    wait_for_state(&connect, "late", 0, |state| {
        state["isr"] == serde_json::json!([1])
    });
    delete(&connect, "late");
    eventually("the controller has heard of it", FAILOVER, || {
        let said = cluster.controller.output();
        if said.contains("late: to be deleted") {
            Ok(())
        } else {
            Err(said)
        }
    });
    assert!(znodes::node(&connect, "/brokers/topics/late").is_some());
    cluster.java[1].start_again();
    wait_until_deleted(&connect, "late", &[&cluster.java[0], &cluster.java[1]]);
}

/// A topic of Gregor's own, with its traces in the tree that only Gregor keeps.
#[test]
fn a_topic_of_gregor_brokers_goes() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Installed);
    let connect = chroot(&zookeeper, "own-deleted");
    let broker = setup(Kind::Gregor, &connect, 0)
        .set("delete.topic.enable", "true")
        .start();
    create(&connect, "t", "0,0");
    eventually("the topic shows", FAILOVER, || {
        znodes::node(&connect, "/brokers/live/t/0")
            .map(drop)
            .ok_or("missing")
    });
    assert!(has_replica(&broker, "t", 0));
    delete(&connect, "t");
    wait_until_deleted(&connect, "t", &[&broker]);
    wait_until_gone(&connect, "/brokers/live/t");
    // It can be created anew.
    create(&connect, "t", "0");
    broker.wait_for_topic("t", 1);
    // A wish for a topic that does not exist is dropped.
    znodes::put(&connect, "/admin/delete_topics/none", "");
    wait_until_gone(&connect, "/admin/delete_topics/none");
}

/// Switched off, a wish to delete is not looked at, whoever becomes controller; in 0.8.2.2 the topic vanished from
/// metadata after the next election.
#[test]
fn nothing_is_deleted_where_deletion_is_switched_off() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Installed);
    let connect = chroot(&zookeeper, "not-deleted");
    let mut broker = setup(Kind::Gregor, &connect, 0).start();
    create(&connect, "t", "0");
    delete(&connect, "t");
    broker.stop();
    broker.start_again();
    broker.wait_for_topic("t", 1);
    assert!(has_replica(&broker, "t", 0));
}
