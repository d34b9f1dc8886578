//! Committed positions of groups, in ZooKeeper and in `__consumer_offsets`, through clients that others wrote.

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::chroot;
use crate::support::clients::Python;
use crate::support::clients::Release;
use crate::support::have;
use crate::support::java::java_consume;
use crate::support::numbered::numbered;
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
