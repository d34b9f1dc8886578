//! Brokers that go and come back.

use serde_json::json;

use super::*;
use crate::support::clients::Record;
use crate::support::clients::kcat_consume;
use crate::support::clients::kcat_produce;
use crate::support::java::JavaProducer;
use crate::support::java::java_produce;
use crate::support::java::java_simple_consume;

/// Java brokers follow and lead under a controller that is none of them; what was acknowledged outlives the leader.
#[test]
fn a_java_follower_takes_over_when_its_java_leader_dies() {
    if !have(&NEEDS) {
        return;
    }
    let Mixed {
        connect,
        controller,
        java,
        _zookeeper,
    } = Mixed::start("java-takes-over", 2, |setup, _| {
        setup.set("leader.imbalance.check.interval.seconds", "1")
    });
    let [mut first, second] = <[Broker; 2]>::try_from(java).unwrap();
    create(&connect, "t", "1:2");
    for broker in [&controller, &first, &second] {
        wait_for_leader(broker, "t", 0, 1);
    }
    let sent: Vec<Record> = ["a", "b", "c"]
        .map(|value| Record::new(Some("k"), Some(value)))
        .into();
    java_produce(JavaProducer::Old, &controller.bootstrap(), "t", "none", &sent);

    first.kill();
    let after = wait_for_state(&connect, "t", 0, |state| state["leader"] == 2);
    assert_eq!((&after["isr"], &after["leader_epoch"]), (&json!([2]), &json!(1)));
    wait_for_leader(&second, "t", 0, 2);
    assert_eq!(java_simple_consume(&second.bootstrap(), "t"), sent);

    first.start_again();
    wait_for_state(&connect, "t", 0, |state| state["isr"] == json!([2, 1]));
    // Back in sync it is given back what it prefers, without anybody asking.
    let back = wait_for_state(&connect, "t", 0, |state| state["leader"] == 1);
    assert_eq!((&back["isr"], &back["leader_epoch"]), (&json!([2, 1]), &json!(2)));
    wait_for_leader(&first, "t", 0, 1);
    let metrics = crate::support::wire::http_get(controller.metrics_address(), "/metrics")
        .unwrap()
        .1;
    for line in [
        "kafka_brokers 3",
        "kafka_topic_partitions{topic=\"t\"} 1",
        "kafka_controller_kafkacontroller_offlinepartitionscount 0",
        "kafka_controller_kafkacontroller_preferredreplicaimbalancecount 0",
        "kafka_controller_controllerstats_uncleanleaderelections_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }

    // More partitions, of which a Java and a Gregor broker lead one each.
    add_partitions(&connect, "t", "3");
    for (partition, leader) in [(1, 2), (2, 0)] {
        for broker in [&controller, &first, &second] {
            wait_for_leader(broker, "t", partition, leader);
        }
    }
}

/// A follower that went leaves the in-sync replicas at once, before the leader has waited for it; the last replica leaves
/// nobody, or where messages must not be lost, itself.
#[test]
fn dead_replicas_leave_the_in_sync_set() {
    if !have(&NEEDS) {
        return;
    }
    let mut cluster = Mixed::start("dead-replicas", 2, |setup, _| setup);
    let connect = cluster.connect.clone();
    create(&connect, "t", "1:2,2:1");
    create(&connect, "alone", "2");
    create_with(&connect, "safe", "2", &["unclean.leader.election.enable=false"]);

    cluster.java[1].kill();
    let followed = wait_for_state(&connect, "t", 0, |state| state["isr"] == json!([1]));
    assert_eq!(
        (&followed["leader"], &followed["leader_epoch"]),
        (&json!(1), &json!(1))
    );
    let led = wait_for_state(&connect, "t", 1, |state| state["leader"] == 1);
    assert_eq!((&led["isr"], &led["leader_epoch"]), (&json!([1]), &json!(1)));
    let lost = wait_for_state(&connect, "alone", 0, |state| state["leader"] == -1);
    assert_eq!((&lost["isr"], &lost["leader_epoch"]), (&json!([]), &json!(1)));
    let kept = wait_for_state(&connect, "safe", 0, |state| state["leader"] == -1);
    assert_eq!((&kept["isr"], &kept["leader_epoch"]), (&json!([2]), &json!(1)));

    // A metadata cache names only brokers that are there, also where no partition of theirs changed.
    eventually("nobody is told of the dead broker", FAILOVER, || {
        let seen =
            crate::support::wire::metadata(cluster.java[0].address()).map_err(|error| error.to_string())?;
        let ids: Vec<i32> = seen.brokers.iter().map(|(id, _, _)| *id).collect();
        if ids.contains(&2) || ids.len() != 2 {
            Err(format!("{ids:?}"))
        } else {
            Ok(())
        }
    });

    cluster.java[1].start_again();
    for topic in ["alone", "safe"] {
        let back = wait_for_state(&connect, topic, 0, |state| state["leader"] == 2);
        assert_eq!((&back["isr"], &back["leader_epoch"]), (&json!([2]), &json!(2)));
    }
    wait_for_state(&connect, "t", 0, |state| state["isr"] == json!([1, 2]));

    // Back to the first replica, by the reference's command.
    let elected = reference::tool(&["preferred-replica-election", "--zookeeper", &connect], b"");
    assert!(
        elected
            .text()
            .contains("Successfully started preferred replica election"),
        "{}",
        elected.account()
    );
    wait_for_state(&connect, "t", 1, |state| state["leader"] == 2);
    wait_until_gone(&connect, "/admin/preferred_replica_election");
    wait_for_leader(&cluster.controller, "t", 1, 2);
}

/// A broker that is killed and back before its session ends is a new one when it registers; it gets its roles again.
#[test]
fn a_gregor_broker_that_comes_back_gets_its_roles() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Installed);
    let connect = chroot(&zookeeper, "comes-back");
    let controller = setup(Kind::Gregor, &connect, 0).start();
    let mut other = setup(Kind::Gregor, &connect, 1).start();
    create(&connect, "t", "1,0");
    wait_for_leader(&other, "t", 0, 1);
    kcat_produce(
        &other.bootstrap(),
        "t",
        "none",
        &[Record::new(None, Some("a"))],
        false,
    );
    other.kill();
    other.start_again();
    wait_for_leader(&other, "t", 0, 1);
    eventually("it leads again", FAILOVER, || {
        let read = kcat_consume(&other.bootstrap(), "t");
        if read.len() == 1 {
            Ok(())
        } else {
            Err(format!("{read:?}"))
        }
    });
    wait_for_leader(&controller, "t", 0, 1);
}
