//! Brokers that stop on purpose.

use std::time::Instant;

use serde_json::json;

use super::*;
use crate::support::wire;

/// A Java broker asks Gregor to be relieved: its partitions have another leader before it is gone.
#[test]
fn a_java_broker_is_relieved_before_it_stops() {
    if !have(&NEEDS) {
        return;
    }
    let mut cluster = Mixed::start("relieved", 3, |setup, _| setup);
    let connect = cluster.connect.clone();
    create(&connect, "t", "1:3:2,2:3:1");
    create(&connect, "alone", "1");
    cluster.java[0].stop();
    let said = cluster.java[0].output();
    assert!(said.contains("Controlled shutdown succeeded"), "{said}");
    // In assignment order, without the broker that left: one decision each.
    for (partition, leader, isr) in [(0, 3, json!([3, 2])), (1, 2, json!([2, 3]))] {
        let moved = state(&connect, "t", partition).unwrap();
        assert_eq!((&moved["leader"], &moved["isr"]), (&json!(leader), &isr));
        assert_eq!(moved["leader_epoch"], json!(1));
    }
    // Nobody could take over the only replica, which stays until its session is over.
    wait_for_state(&connect, "alone", 0, |state| state["leader"] == -1);
    cluster.java[0].start_again();
    wait_for_state(&connect, "alone", 0, |state| state["leader"] == 1);
    wait_for_state(&connect, "t", 0, |state| state["isr"] == json!([3, 2, 1]));
}

/// The controller itself stops: it relieves itself, and a Java broker becomes controller.
#[test]
fn a_gregor_controller_hands_over_to_java() {
    if !have(&NEEDS) {
        return;
    }
    let mut cluster = Mixed::start("hands-over", 2, |setup, _| setup);
    let connect = cluster.connect.clone();
    create(&connect, "t", "1:2");
    cluster.controller.stop();
    let said = cluster.controller.output();
    assert!(said.contains("Controlled shutdown succeeded"), "{said}");
    eventually("a Java broker is controller", FAILOVER, || {
        let node = znodes::node(&connect, "/controller").ok_or("nobody")?;
        node.data.map(drop).ok_or("nothing")
    });
    cluster.java[0].kill();
    wait_for_state(&connect, "t", 0, |state| state["leader"] == 2);
    // Back as a member, it asks the Java controller before it stops again.
    cluster.controller.start_again_without_leaders();
    eventually("the Java controller has told it of the topic", FAILOVER, || {
        let seen = wire::metadata(cluster.controller.address()).map_err(|error| error.to_string())?;
        if seen.topics.is_empty() {
            Err("no topics".to_owned())
        } else {
            Ok(())
        }
    });
    cluster.controller.stop();
    let said = cluster.controller.output();
    assert_eq!(said.matches("Controlled shutdown succeeded").count(), 2, "{said}");
}

/// Stopping takes no longer because of it when ZooKeeper is away.
#[test]
fn stopping_is_not_held_up_without_zookeeper() {
    if !have(&NEEDS) {
        return;
    }
    let mut zookeeper = ZooKeeper::start(Version::Installed);
    let connect = chroot(&zookeeper, "away");
    let mut broker = setup(Kind::Gregor, &connect, 0).start();
    zookeeper.kill();
    eventually("the broker has noticed", FAILOVER, || {
        let said = broker.output();
        if said.contains("Disconnected") || said.contains("disconnected") {
            Ok(())
        } else {
            Err("not yet")
        }
    });
    let started = Instant::now();
    let status = broker.stop_within(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}
