//! What 0.8.2.2 is known to lose, or to be stopped by, and this broker is not. What only the data path decides is
//! tested beside it.

use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::time::Duration;

use gregor::message::Codec;
use gregor::protocol::encode_request;
use gregor::protocol::produce::ProduceRequest;
use rustix::process::Signal;

use super::cluster::Cluster;
use super::cluster::SOON;
use super::follower::metric;
use crate::support::Need;
use crate::support::answer::canonical;
use crate::support::answer::decode;
use crate::support::broker::Kind;
use crate::support::connection::Connection;
use crate::support::connection::Received;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::reference;
use crate::support::requests::produce;
use crate::support::requests::set;

const HALTED: &str = "kafka_server_replicafetchermanager_failedpartitionscount";

/// KAFKA-1461, KAFKA-4384: what can't be copied of one partition doesn't hold up the others of its fetcher.
#[test]
fn a_damaged_partition_holds_up_no_other() {
    if !have(&[Need::Reference, Need::Python, Need::Gregor]) {
        return;
    }
    let mut cluster = Cluster::start("damaged", &[Kind::Gregor; 2]);
    for topic in ["damaged", "sound"] {
        cluster.create(topic, &[1, 2], &[]);
        cluster.write(1, topic, -1, &["a"]);
    }
    cluster.brokers[2].kill();
    cluster.wait_for_isr("damaged", 0, &[1]);
    cluster.write(1, "damaged", 1, &["this message will be damaged"]);
    cluster.write(1, "sound", 1, &["b"]);
    let segment = cluster.brokers[1]
        .data()
        .join("damaged-0/00000000000000000000.log");
    let mut file = std::fs::File::options().write(true).open(segment).unwrap();
    file.seek(SeekFrom::End(-3)).unwrap();
    file.write_all(b"X").unwrap();

    cluster.restart(2);
    cluster.wait_for_isr("sound", 0, &[1, 2]);
    cluster.write(1, "sound", -1, &["c"]);
    cluster.wait_for_end("sound", &[1, 2], 3);
    cluster.assert_equal_logs("sound", &[1, 2]);
    cluster.wait_for_end("damaged", &[2], 1);
    cluster.wait_for_isr("damaged", 0, &[1]);
}

/// KAFKA-3410: a leader that has lost its disk neither stops its followers nor makes them throw away what is left.
#[test]
fn a_leader_with_an_empty_disk_stops_nobody() {
    if !have(&[Need::Reference, Need::Python, Need::Gregor]) {
        return;
    }
    let mut cluster = Cluster::start("empty-disk", &[Kind::Gregor; 2]);
    for (topic, unclean) in [("kept", "false"), ("other", "true")] {
        cluster.create(
            topic,
            &[1, 2],
            &[&format!("unclean.leader.election.enable={unclean}")],
        );
        cluster.write(1, topic, -1, &["a", "b", "c"]);
    }
    // The follower is to know what is committed.
    cluster.brokers[2].stop();
    for topic in ["kept", "other"] {
        cluster.wait_for_isr(topic, 0, &[1]);
    }
    cluster.brokers[1].stop();
    std::fs::remove_dir_all(cluster.brokers[1].data()).unwrap();
    cluster.restart(1);
    for topic in ["kept", "other"] {
        cluster.wait_for_leader(topic, 1);
    }
    cluster.restart(2);
    cluster.wait_for_isr("other", 0, &[1, 2]);
    eventually("the follower has given up one partition", SOON, || {
        let halted = metric(&cluster.brokers[2], HALTED);
        if (halted - 1.0).abs() < 0.1 {
            Ok(())
        } else {
            Err(halted)
        }
    });
    cluster.wait_for_end("other", &[1, 2], 0);
    cluster.wait_for_end("kept", &[2], 3);
    cluster.write(1, "other", -1, &["d"]);
    assert!(cluster.brokers[2].exited().is_none());
}

/// How often the frozen leader may wake and hear first that it leads no more.
const ATTEMPTS: usize = 10;

/// The spec of the reference has it as a sharp edge: a leader that was frozen wakes and appends what was sent to it
/// meanwhile, steps down, is elected again, and answers 0 although other messages stand at those offsets.
#[test]
fn a_frozen_leader_acknowledges_nothing_of_its_sleep() {
    if !have(&[Need::Reference, Need::Python, Need::Gregor]) {
        return;
    }
    let cluster = Cluster::start("frozen", &[Kind::Gregor; 2]);
    let happened = (0..ATTEMPTS).any(|attempt| {
        let topic = format!("frozen-{attempt}");
        frozen_leader(&cluster, &topic);
        // What it appended was not what the other one had.
        let line = format!("{topic}-0: truncating from");
        cluster.brokers[1].output().contains(&line)
    });
    assert!(happened, "it has never appended anything of its sleep");
}

fn frozen_leader(cluster: &Cluster, topic: &str) {
    cluster.create(topic, &[1, 2], &["min.insync.replicas=1"]);
    cluster.wait_for_leader(topic, 1);
    cluster.write(1, topic, -1, &["before"]);
    let mut connections: Vec<_> = (0..5)
        .map(|_| Connection::open(cluster.brokers[1].address()))
        .collect();
    cluster.brokers[1].freeze();
    for connection in &mut connections {
        let request: ProduceRequest = produce(
            -1,
            Duration::from_secs(60),
            topic,
            [(0, set(Codec::None, &["while frozen"]))],
        );
        connection.send(&encode_request(1, None, &request));
    }
    cluster.wait_for_leader(topic, 2);
    cluster.write(2, topic, -1, &["one", "two", "three"]);
    cluster.brokers[1].signal(Signal::CONT);
    cluster.wait_for_isr(topic, 0, &[1, 2]);
    reference::tool(
        &["preferred-replica-election", "--zookeeper", &cluster.connect],
        b"",
    );
    cluster.wait_for_leader(topic, 1);
    cluster.write(1, topic, -1, &["after", "after", "after", "after"]);
    for mut connection in connections {
        match connection.receive(Duration::from_secs(20)) {
            Received::Frame(frame) => {
                let answer = canonical(&decode(gregor::protocol::ApiKey::Produce, &frame));
                let code = &answer["topics"][0]["partitions"][0]["error_code"];
                assert_eq!(code, 6, "{answer}");
            }
            other => panic!("{other:?}"),
        }
    }
    cluster.wait_for_end(topic, &[1, 2], 8);
    cluster.assert_equal_logs(topic, &[1, 2]);
}
