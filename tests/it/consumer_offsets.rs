//! Committed positions of groups, in ZooKeeper and in `__consumer_offsets`, through clients that others wrote.

use std::time::Duration;

use gregor::protocol::offset_commit::OffsetStorage;
use serde_json::Value;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::chroot;
use crate::support::clients::Python;
use crate::support::clients::Release;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::java::java_consume;
use crate::support::numbered::numbered;
use crate::support::requests::ask;
use crate::support::requests::ask_one;
use crate::support::requests::commit;
use crate::support::requests::committed;
use crate::support::znodes;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const STORAGES: [&str; 2] = ["zookeeper", "kafka"];

/// A committed position outlives the client, the broker's restart and its crash, in either storage.
#[test]
fn committed_positions_outlive_a_restart_and_a_crash() {
    if !have(&[Need::Reference, Need::Python]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "positions");
    let mut broker = Broker::start(&connect);
    broker.create_topic("orders", 1, &[]);
    let check = |broker: &Broker, position: i64| {
        for release in Release::ALL {
            let mut python = Python::start(release, &broker.bootstrap());
            for storage in STORAGES {
                let group = format!("{release:?}-{storage}");
                assert_eq!(
                    python.committed(storage, &group, "orders"),
                    Some(position),
                    "{group}"
                );
                assert_eq!(
                    python.committed(storage, &format!("{group}-nobody"), "orders"),
                    None,
                    "{group}"
                );
            }
        }
    };
    let commit = |broker: &Broker, position: i64| {
        for release in Release::ALL {
            let mut python = Python::start(release, &broker.bootstrap());
            for storage in STORAGES {
                python.commit(storage, &format!("{release:?}-{storage}"), "orders", position);
            }
        }
    };

    commit(&broker, 7);
    check(&broker, 7);
    commit(&broker, 42);
    check(&broker, 42);
    broker.stop();
    broker.start_again();
    check(&broker, 42);
    commit(&broker, 43);
    broker.kill();
    broker.start_again();
    check(&broker, 43);

    for release in Release::ALL {
        let path = format!("/consumers/{release:?}-zookeeper/offsets/orders/0");
        let node = znodes::node(&connect, &path).expect("a node with the position");
        assert_eq!(
            node.data.as_deref(),
            Some("43"),
            "the decimal number, as every 0.8 tool reads it"
        );
        let other = format!("/consumers/{release:?}-kafka");
        assert!(
            znodes::node(&connect, &other).is_none(),
            "a position kept by brokers leaves no trace there"
        );
    }
}

/// The Java consumer goes on where its group left off, with its positions in ZooKeeper, in the broker, or in both.
#[test]
fn a_java_group_goes_on_where_it_left_off() {
    if !have(&[Need::Reference, Need::Python]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "java-group");
    let broker = Broker::start(&connect);
    broker.create_topic("orders", 1, &[]);
    let mut python = Python::start(Release::Kafka20, &broker.bootstrap());
    let sent = numbered("python", 30);
    python.produce("orders", "none", "1", &sent);

    for (group, settings) in [
        ("zk", "offsets.storage=zookeeper\n"),
        ("both", "offsets.storage=kafka\ndual.commit.enabled=true\n"),
        ("kafka", "offsets.storage=kafka\ndual.commit.enabled=false\n"),
    ] {
        let settings = format!("group.id={group}\n{settings}");
        assert_eq!(
            java_consume(&connect, "orders", 10, &settings),
            sent[..10],
            "{group}"
        );
        let in_zookeeper = python.committed("zookeeper", group, "orders");
        let in_kafka = python.committed("kafka", group, "orders");
        assert_eq!(in_zookeeper, (group != "kafka").then_some(10), "{group}");
        assert_eq!(in_kafka, (group != "zk").then_some(10), "{group}");
    }
    // The console consumer refuses --from-beginning for a group with positions in ZooKeeper; one that keeps them
    // in the broker goes on.
    let settings = "group.id=kafka\noffsets.storage=kafka\ndual.commit.enabled=false\n";
    assert_eq!(java_consume(&connect, "orders", 10, settings), sent[10..20]);
    assert_eq!(python.committed("kafka", "kafka", "orders"), Some(20));
}

/// No record of the offsets topic can do without the name of its group or topic: one such position fails the whole
/// request, and nothing of it is kept.
#[test]
fn a_commit_without_a_name_fails_as_a_whole() {
    if !have(&[Need::Reference]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let broker = Broker::start(&chroot(&zookeeper, "nameless"));
    broker.create_topic("orders", 1, &[]);
    let mut nameless = commit(OffsetStorage::Kafka, "g", ("orders", 0), 7);
    eventually("the group has its coordinator", Duration::from_secs(20), || {
        let group = Some("g".to_owned());
        let request = gregor::protocol::consumer_metadata::ConsumerMetadataRequest { group };
        let code = ask(&broker, &request)["error_code"].clone();
        let position = ask_one(&broker, &committed(OffsetStorage::Kafka, "g", "orders", 0));
        if code == 0 && position["error_code"] == 0 {
            Ok(())
        } else {
            Err(format!("{code} {position}"))
        }
    });
    let (_, positions) = nameless.topics[0].clone();
    nameless.topics.push((None, positions));
    let codes = |answer: &Value| -> Vec<i64> {
        let topics = answer["topics"].as_array().unwrap();
        let code = |topic: &Value| topic["partitions"][0]["error_code"].as_i64().unwrap();
        topics.iter().map(code).collect()
    };
    assert_eq!(codes(&ask(&broker, &nameless)), [-1, -1]);
    let position = ask_one(&broker, &committed(OffsetStorage::Kafka, "g", "orders", 0));
    assert_eq!(position["offset"], -1, "nothing was kept");

    // Nobody's positions: an unknown topic is told first, unless a known one fails them all.
    let mut nobodys = committed(OffsetStorage::Kafka, "g", "nowhere", 0);
    nobodys.group = None;
    assert_eq!(codes(&ask(&broker, &nobodys)), [3]);
    nobodys.topics.push((Some("orders".to_owned()), vec![0]));
    assert_eq!(codes(&ask(&broker, &nobodys)), [-1, -1]);
}
