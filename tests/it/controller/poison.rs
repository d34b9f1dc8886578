//! Nodes that nobody should have written. In 0.8.2.2 some of them stopped every controller that was elected.

use serde_json::json;

use super::*;

/// Broken documents and unknown partitions hold up nothing else.
#[test]
fn broken_nodes_hold_up_nothing_else() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Installed);
    let connect = chroot(&zookeeper, "poisoned");
    let mut broker = setup(Kind::Gregor, &connect, 0).start();
    create(&connect, "t", "0,0");
    for (path, data) in [
        ("/brokers/topics/broken", "{"),
        (
            "/brokers/topics/huge",
            r#"{"version":1,"partitions":{"0":[99999999999]}}"#,
        ),
        (
            "/brokers/topics/nobody",
            r#"{"version":1,"partitions":{"0":[7]}}"#,
        ),
        ("/brokers/topics/empty/partitions/0/state", ""),
        ("/brokers/topics/empty", r#"{"version":1,"partitions":{"0":[0]}}"#),
        ("/brokers/topics/t/partitions/1/state", r#"{"leader":0.5}"#),
        ("/brokers/ids/x", "{}"),
        (
            "/admin/reassign_partitions",
            r#"{"version":1,"partitions":[{"topic":"t"}]}"#,
        ),
    ] {
        znodes::put(&connect, path, data);
    }
    // Partitions without leadership, unknown partitions, no partitions: the wish goes, and nothing happens.
    for wish in [
        r#"{"version":1,"partitions":[{"topic":"nobody","partition":0},{"topic":"zz","partition":0}]}"#,
        r#"{"version":1}"#,
        "nonsense",
    ] {
        znodes::put(&connect, "/admin/preferred_replica_election", wish);
        wait_until_gone(&connect, "/admin/preferred_replica_election");
    }
    broker.stop();
    znodes::put(
        &connect,
        "/admin/preferred_replica_election",
        r#"{"version":1,"partitions":[{"topic":"nobody","partition":0}]}"#,
    );
    let epoch = || content(&connect, "/controller_epoch").unwrap();
    let before = epoch();
    let mut arguments = vec!["topics", "--zookeeper", &connect, "--create", "--topic", "new"];
    arguments.extend(["--replica-assignment", "0"]);
    reference::tool(&arguments, b"");
    // Not "start_again", which waits until every partition it tells about has a leader.
    let restarted = launch_again(broker);
    wait_for_leader(&restarted, "t", 0, 0);
    wait_for_leader(&restarted, "new", 0, 0);
    wait_until_gone(&connect, "/admin/preferred_replica_election");
    assert_eq!(epoch(), json!(before.as_i64().unwrap() + 1), "no election storm");

    // Mended, it is used.
    znodes::put(
        &connect,
        "/brokers/topics/broken",
        r#"{"version":1,"partitions":{"0":[0]}}"#,
    );
    wait_for_leader(&restarted, "broken", 0, 0);
}

fn launch_again(mut broker: Broker) -> Broker {
    broker.launch_again();
    broker
}

/// A state that somebody else created is adopted: its leader epoch grows, so that every replica takes notice.
#[test]
fn a_state_that_was_created_by_somebody_else_is_adopted() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Installed);
    let connect = chroot(&zookeeper, "adopted");
    let broker = setup(Kind::Gregor, &connect, 0).start();
    znodes::put(
        &connect,
        "/brokers/topics/t/partitions/0/state",
        r#"{"controller_epoch":1,"leader":0,"version":1,"leader_epoch":4,"isr":[0]}"#,
    );
    znodes::put(
        &connect,
        "/brokers/topics/t",
        r#"{"version":1,"partitions":{"0":[0]}}"#,
    );
    let adopted = wait_for_state(&connect, "t", 0, |state| state["leader_epoch"] == 5);
    assert_eq!((&adopted["leader"], &adopted["isr"]), (&json!(0), &json!([0])));
    broker.wait_for_topic("t", 1);
}

/// Whoever takes the office from a controller makes it stop at once, and decide nothing more.
#[test]
fn a_controller_that_lost_its_node_resigns() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Installed);
    let connect = chroot(&zookeeper, "usurped");
    let broker = setup(Kind::Gregor, &connect, 0).start();
    create(&connect, "t", "0");
    znodes::put(
        &connect,
        "/controller",
        r#"{"version":1,"brokerid":9,"timestamp":"1"}"#,
    );
    eventually("it has resigned", FAILOVER, || {
        let said = broker.output();
        if said.contains("controller is no longer this broker") {
            Ok(())
        } else {
            Err("not yet")
        }
    });
    znodes::put(
        &connect,
        "/brokers/topics/u",
        r#"{"version":1,"partitions":{"0":[0]}}"#,
    );
    znodes::delete(&connect, &["/controller"]);
    wait_for_state(&connect, "u", 0, |state| state["controller_epoch"] == 2);
}
