//! Partitions that move, by the reference's own command.

use std::fmt::Write as _;

use serde_json::json;

use super::*;
use crate::support::clients::Record;
use crate::support::java::JavaProducer;
use crate::support::java::java_produce;
use crate::support::java::java_simple_consume;
use crate::support::scratch;
use crate::support::wire;

/// Runs the command with a document; what it says.
fn command(connect: &str, action: &str, document: &Value) -> String {
    let directory = scratch("reassign");
    let file = directory.path().join("wanted.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let file = file.to_string_lossy().into_owned();
    let arguments = ["reassign-partitions", "--zookeeper", connect, action];
    let arguments: Vec<&str> = arguments
        .into_iter()
        .chain(["--reassignment-json-file", &file])
        .collect();
    reference::tool(&arguments, b"").text()
}

pub(super) fn wanted(entries: &[(&str, i32, &[i32])]) -> Value {
    let entries: Vec<Value> = entries
        .iter()
        .map(|(topic, partition, replicas)| json!({"topic": topic, "partition": partition, "replicas": replicas}))
        .collect();
    json!({"version": 1, "partitions": entries})
}

fn messages(count: usize) -> Vec<Record> {
    (0..count)
        .map(|number| {
            let mut value = String::new();
            write!(value, "message {number}").unwrap();
            Record::new(Some("k"), Some(value.as_str()))
        })
        .collect()
}

/// Sessions that outlive any standstill of a busy machine, and a controller that does nothing unasked: what counts is each
/// step, not what comes between them.
fn nobody_fails(setup: Setup, _: usize) -> Setup {
    setup
        .set("zookeeper.session.timeout.ms", "30000")
        .set("auto.leader.rebalance.enable", "false")
}

/// The steps and epochs of the reference: 1,3 becomes 2,3, the old leader is told and loses its copy.
#[test]
fn a_partition_moves_between_java_brokers() {
    if !have(&NEEDS) {
        return;
    }
    let cluster = Mixed::start("moves", 3, nobody_fails);
    let connect = &cluster.connect;
    create(connect, "t", "1:3,1:2");
    // The old producer tries three times within a moment.
    for broker in [&cluster.controller, &cluster.java[0]] {
        for partition in [0, 1] {
            wait_for_leader(broker, "t", partition, 1);
        }
    }
    let sent = messages(50);
    java_produce(
        JavaProducer::Old,
        &cluster.controller.bootstrap(),
        "t",
        "none",
        &sent,
    );
    let kept = java_simple_consume(&cluster.java[0].bootstrap(), "t");

    let document = wanted(&[("t", 0, &[2, 3]), ("t", 1, &[2, 1])]);
    let said = command(connect, "--execute", &document);
    assert!(
        said.contains("Successfully started reassignment of partitions"),
        "{said}"
    );
    wait_until_gone(connect, "/admin/reassign_partitions");
    let moved = state(connect, "t", 0).unwrap();
    assert_eq!((&moved["leader"], &moved["leader_epoch"]), (&json!(2), &json!(3)));
    assert_eq!(moved["isr"], json!([3, 2]));
    let topic = content(connect, "/brokers/topics/t").unwrap();
    assert_eq!(topic["partitions"], json!({"0": [2, 3], "1": [2, 1]}));
    // Only the order changed: everybody has it already.
    assert_eq!(state(connect, "t", 1).unwrap()["leader"], json!(1));
    let verified = command(connect, "--verify", &document);
    assert!(
        verified.contains("Reassignment of partition [t,0] completed successfully")
            && verified.contains("Reassignment of partition [t,1] completed successfully"),
        "{verified}"
    );
    for broker in [
        &cluster.controller,
        &cluster.java[0],
        &cluster.java[1],
        &cluster.java[2],
    ] {
        wait_for_leader(broker, "t", 0, 2);
    }
    assert_eq!(java_simple_consume(&cluster.java[1].bootstrap(), "t"), kept);
    wait_until_replica_gone(&cluster.java[0], "t", 0);
}

/// However many partitions are to move, only so many are copied at the same time as the settings say.
#[test]
fn partitions_move_in_turns() {
    if !have(&NEEDS) {
        return;
    }
    let cluster = Mixed::start("moves-in-turns", 2, |setup, id| {
        let setup = nobody_fails(setup, id);
        match id {
            0 => setup.set("reassignment.max.partitions", "1"),
            _ => setup,
        }
    });
    let connect = &cluster.connect;
    create(connect, "t", "1,1,1");
    let left = |expected: usize| {
        let page = wire::http_get(cluster.controller.metrics_address(), "/metrics");
        let (_, page) = page.map_err(|error| error.to_string())?;
        let line = format!("kafka_controller_kafkacontroller_reassigningpartitionscount {expected}");
        let told = page.lines().any(|found| found == line);
        if told { Ok(()) } else { Err(page) }
    };
    eventually("nothing moves", FAILOVER, || left(0));
    // Frozen, the new replica cannot catch up.
    cluster.java[1].freeze();
    let document = wanted(&[("t", 0, &[2]), ("t", 1, &[2]), ("t", 2, &[2])]);
    znodes::put(connect, "/admin/reassign_partitions", &document.to_string());
    eventually("the first move has begun", FAILOVER, || {
        let topic = content(connect, "/brokers/topics/t").unwrap();
        if topic["partitions"]["0"] == json!([2, 1]) {
            Ok(())
        } else {
            Err(topic)
        }
    });
    eventually("all are to be moved", FAILOVER, || left(3));
    let topic = content(connect, "/brokers/topics/t").unwrap();
    assert_eq!(topic["partitions"], json!({"0": [2, 1], "1": [1], "2": [1]}));
    cluster.java[1].signal(rustix::process::Signal::CONT);
    wait_until_gone(connect, "/admin/reassign_partitions");
    let topic = content(connect, "/brokers/topics/t").unwrap();
    assert_eq!(topic["partitions"], json!({"0": [2], "1": [2], "2": [2]}));
    eventually("nothing is left to be moved", FAILOVER, || left(0));
    let said = cluster.controller.output();
    for left in [3, 2, 1] {
        let line = format!("{left} partitions are left to be reassigned, 1 at a time");
        assert!(said.contains(&line), "{line}: {said}");
    }
    for partition in 0..3 {
        wait_for_leader(&cluster.java[0], "t", partition, 2);
    }
}

/// What cannot be done is taken away, and what can be is done; the command says which was which.
#[test]
fn impossible_moves_are_refused() {
    if !have(&NEEDS) {
        return;
    }
    let cluster = Mixed::start("impossible-moves", 1, nobody_fails);
    let connect = &cluster.connect;
    create(connect, "t", "1");
    let document = wanted(&[("t", 0, &[9])]);
    let said = command(connect, "--execute", &document);
    assert!(said.contains("Successfully started"), "{said}");
    wait_until_gone(connect, "/admin/reassign_partitions");
    let verified = command(connect, "--verify", &document);
    assert!(
        verified.contains("Assigned replicas (1) don't match the list of replicas for reassignment (9)")
            && verified.contains("Reassignment of partition [t,0] failed"),
        "{verified}"
    );
    for broken in [wanted(&[("t", 0, &[])]), wanted(&[("t", 5, &[1])])] {
        znodes::put(connect, "/admin/reassign_partitions", &broken.to_string());
        wait_until_gone(connect, "/admin/reassign_partitions");
    }
    assert_eq!(state(connect, "t", 0).unwrap()["leader_epoch"], json!(0));
}
