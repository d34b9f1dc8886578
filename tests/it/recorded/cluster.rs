//! What broker 0 of two was asked, as far as one broker can show it: the test takes the place of the controller and of
//! broker 1. It gives the orders that the recorded cluster had come to, and fetches as a follower does.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gregor::message::entry::entries;
use gregor::protocol::ApiKey;
use gregor::protocol::encode_request;
use gregor::protocol::fetch::FetchRequest;
use gregor::protocol::fetch::PartitionFetch;
use gregor::protocol::fetch::Reader;
use gregor::protocol::leader_and_isr::Leader;
use gregor::protocol::leader_and_isr::LeaderAndIsrRequest;
use gregor::protocol::leader_and_isr::PartitionState;
use gregor::protocol::update_metadata::UpdateMetadataRequest;
use gregor::types::BrokerId;
use gregor::types::Endpoint;
use gregor::types::OFFSETS_TOPIC;
use serde_json::json;

use super::replay::Recording;
use crate::support::Need;
use crate::support::answer::decode;
use crate::support::answer::from_hex;
use crate::support::broker::Broker;
use crate::support::chroot;
use crate::support::connection::Connection;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::reference;
use crate::support::requests::ask;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

/// The test is a newer controller than the broker, which is its own.
const CONTROLLER_EPOCH: i32 = 1000;

/// The recorded port of broker 1.
const OTHER_PORT: i32 = 41093;

/// The cases of which the answer is in what broker 0 knows.
const BOTH_UP: [&str; 27] = [
    "metadata-broker-0",
    "metadata-broker-1",
    "produce-not-leader",
    "produce-not-hosted",
    "produce-acks-0-not-leader",
    "fetch-not-leader",
    "fetch-not-hosted",
    "fetch-debugger-not-hosted",
    "offsets-not-leader",
    "offsets-not-hosted",
    "offsets-debugger-not-hosted",
    "produce-acks-all-two-replicas",
    "produce-acks-2",
    "produce-acks-3",
    "produce-min-isr",
    "produce-mixed-leaders",
    "fetch-replica-not-assigned",
    "fetch-replica-of-leader",
    "offsets-as-replica",
    "coordinator-here",
    "coordinator-there",
    "commit-v1-here",
    "commit-v1-not-coordinator",
    "fetch-offset-v1-not-coordinator",
    "commit-v0-any-broker",
    "fetch-offset-v0-other-broker",
    "controlled-shutdown-unknown-broker",
];
/// After broker 1 has left its leaderships.
const OTHER_LEAVES: [&str; 1] = ["metadata-after-controlled-shutdown"];
/// After broker 1 was killed.
const OTHER_DEAD: [&str; 8] = [
    "metadata-one-dead",
    "produce-acks-2-one-dead",
    "produce-acks-all-one-dead",
    "produce-min-isr-one-dead",
    "produce-min-isr-acks-minus-5-one-dead",
    "coordinator-dead",
    "fetch-as-follower",
    "fetch-as-follower-past-end",
];
/// After fetches in the name of broker 1 have put it back into the ISR.
const OTHER_IN_SYNC: [&str; 10] = [
    "fetch-as-follower-at-end",
    "produce-uncommitted",
    "fetch-at-high-watermark",
    "fetch-between-high-watermark-and-end",
    "fetch-at-end-above-high-watermark",
    "fetch-below-high-watermark",
    "fetch-above-high-watermark-as-follower",
    "offsets-latest-clipped",
    "offsets-latest-unclipped",
    "offsets-latest-unclipped-replica",
];

/// After the controller has given the dead broker 1 a leadership, and taken it away.
const LAST_LEFT: [&str; 1] = ["metadata-after-controlled-shutdown-of-last"];

/// Cases that are not played, and why.
const NOT_PLAYED: [(&str, &str); 8] = [
    ("fetch-follower-as-debugger", BROKER_1),
    ("offsets-follower-as-debugger", BROKER_1),
    ("commit-v1-there", BROKER_1),
    ("fetch-offset-v1-there", BROKER_1),
    ("controlled-shutdown-not-controller", BROKER_1),
    ("controlled-shutdown-broker-1", CONTROLLER),
    ("produce-to-old-leader", BROKER_1),
    ("controlled-shutdown-partitions-remain", CONTROLLER),
];
const BROKER_1: &str = "asked of broker 1, of which the test takes the place";
const CONTROLLER: &str = "the answer is the controller's, of which the test takes the place";

/// Topic, partition, leader, ISR, replicas.
type Order<'a> = (&'a str, i32, i32, &'a [i32], &'a [i32]);

#[test]
#[expect(clippy::print_stdout, reason = "how much was compared is a result, too")]
fn one_broker_of_two_answers_as_recorded() {
    if !have(&[Need::Gregor, Need::Reference]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let recording = Recording::open("cluster");
    let broker = recording.broker(&chroot(&zookeeper, "recorded-cluster"));
    create_min_isr_2(&broker);
    let all = [
        ("events", 0, 0, &[0][..], &[0][..]),
        ("led-by-1", 0, 1, &[1], &[1]),
        ("both", 0, 0, &[0, 1], &[0, 1]),
        ("both", 1, 1, &[1, 0], &[1, 0]),
        ("min-isr-2", 0, 0, &[0, 1], &[0, 1]),
        (OFFSETS_TOPIC, 0, 0, &[0], &[0]),
        (OFFSETS_TOPIC, 1, 1, &[1], &[1]),
        (OFFSETS_TOPIC, 2, 0, &[0], &[0]),
        (OFFSETS_TOPIC, 3, 1, &[1], &[1]),
    ];
    order(&broker, 10, &all, &[0, 1]);
    recording.preload(&broker);
    let mut differ = Vec::new();
    let mut replay = |names: &[&str]| {
        for name in names {
            let case = recording.case(name);
            differ.extend(case.replay(&broker).err().map(|how| format!("{name}: {how}")));
        }
    };
    following(&broker, &[("both", 0), ("min-isr-2", 0)], || replay(&BOTH_UP));

    let left = [
        ("both", 0, 0, &[0][..], &[0, 1][..]),
        ("both", 1, 0, &[0], &[1, 0]),
        ("min-isr-2", 0, 0, &[0], &[0, 1]),
    ];
    order(&broker, 11, &left, &[0, 1]);
    replay(&OTHER_LEAVES);

    let dead = [
        ("led-by-1", 0, -1, &[][..], &[1][..]),
        (OFFSETS_TOPIC, 1, -1, &[], &[1]),
        (OFFSETS_TOPIC, 3, -1, &[], &[1]),
    ];
    order(&broker, 12, &dead, &[0]);
    replay(&OTHER_DEAD);

    order(&broker, 13, &[("both", 0, 0, &[0, 1], &[0, 1])], &[0]);
    replay(&OTHER_IN_SYNC);

    order(&broker, 14, &[("both", 0, -1, &[], &[0, 1])], &[0]);
    replay(&LAST_LEFT);

    let compared = [
        &BOTH_UP[..],
        &OTHER_LEAVES,
        &OTHER_DEAD,
        &OTHER_IN_SYNC,
        &LAST_LEFT,
    ]
    .concat();
    recording.has_no_more_than(&compared, &NOT_PLAYED);
    println!(
        "cluster: {} of {} cases compared, {} differ",
        compared.len(),
        recording.cases.len(),
        differ.len()
    );
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// The one topic with settings of its own must be in ZooKeeper; the others only the controller knows.
fn create_min_isr_2(broker: &Broker) {
    let create = [
        "topics",
        "--create",
        "--topic",
        "min-isr-2",
        "--zookeeper",
        broker.connect(),
    ];
    let replicas = ["--replica-assignment", "0:1", "--config", "min.insync.replicas=2"];
    reference::tool(&[&create[..], &replicas[..]].concat(), b"");
    eventually("the broker leads it", Duration::from_secs(20), || {
        let topics = vec![Some("min-isr-2".to_owned())];
        let answer = ask(broker, &gregor::protocol::metadata::MetadataRequest { topics });
        if answer["topics"][0]["partitions"][0]["leader"] == 0 {
            Ok(())
        } else {
            Err(answer)
        }
    });
}

/// Gives the orders that concern broker 0, and tells it what clients are to be told.
fn order(broker: &Broker, leader_epoch: i32, orders: &[Order<'_>], alive: &[i32]) {
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
    let state = |(topic, partition, leader, isr, replicas): &Order<'_>| {
        let leader = match leader {
            -1 => Leader::None,
            id => Leader::Broker(BrokerId(*id)),
        };
        let state = PartitionState {
            controller_epoch: CONTROLLER_EPOCH,
            leader,
            leader_epoch,
            isr: ids(isr),
            zk_version: leader_epoch,
            replicas: ids(replicas),
        };
        ((*topic).to_owned(), *partition, state)
    };
    let endpoint = |id: &i32| Endpoint {
        id: BrokerId(*id),
        host: "127.0.0.1".to_owned(),
        port: match id {
            0 => i32::from(broker.address().port()),
            _ => OTHER_PORT,
        },
    };
    let brokers: Vec<_> = alive.iter().map(endpoint).collect();
    let partitions: Vec<_> = orders.iter().map(state).collect();
    let (ours, _): (Vec<_>, Vec<_>) = partitions
        .clone()
        .into_iter()
        .partition(|(_, _, state)| state.replicas.contains(&BrokerId(0)));
    let count = ours.len();
    if count > 0 {
        let roles = LeaderAndIsrRequest {
            controller_id: BrokerId(1),
            controller_epoch: CONTROLLER_EPOCH,
            partitions: ours,
            live_leaders: brokers.clone(),
        };
        let answer = ask(broker, &roles);
        let done = |partition: &serde_json::Value| partition["error_code"] == 0;
        let partitions = answer["partitions"].as_array().unwrap();
        assert!(
            partitions.len() == count && partitions.iter().all(done),
            "{answer}"
        );
    }
    let told = UpdateMetadataRequest {
        controller_id: BrokerId(1),
        controller_epoch: CONTROLLER_EPOCH,
        partitions,
        alive_brokers: brokers,
    };
    assert_eq!(ask(broker, &told)["error_code"], json!(0));
}

/// Does something while broker 1 follows these partitions.
fn following(broker: &Broker, partitions: &[(&str, i32)], during: impl FnOnce()) {
    /// Ends the follower, also when the test panics.
    struct Ends<'a>(&'a AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&ended);
        scope.spawn(|| {
            let mut connection = Connection::open(broker.address());
            let mut next: Vec<i64> = vec![0; partitions.len()];
            while !ended.load(Ordering::Relaxed) {
                follow(&mut connection, partitions, &mut next);
            }
        });
        during();
    });
}

/// Fetches once, as a follower that has everything below `next`.
fn follow(connection: &mut Connection, partitions: &[(&str, i32)], next: &mut [i64]) {
    let topics = partitions.iter().zip(&*next).map(|((topic, partition), offset)| {
        let fetch = PartitionFetch {
            partition: *partition,
            offset: *offset,
            max_bytes: 1 << 20,
        };
        (Some((*topic).to_owned()), vec![fetch])
    });
    let request = FetchRequest {
        reader: Reader::Follower(BrokerId(1)),
        max_wait: Duration::from_millis(100),
        min_bytes: 1,
        topics: topics.collect(),
    };
    connection.send(&encode_request(0, None, &request));
    let answer = decode(ApiKey::Fetch, &connection.frame());
    for ((topic, _), next) in partitions.iter().zip(next) {
        let topics = answer["topics"].as_array().unwrap();
        let fetched = topics.iter().find(|fetched| fetched["topic"] == *topic).unwrap();
        let set = from_hex(fetched["partitions"][0]["message_set"].as_str().unwrap());
        if let Some(last) = entries(&set).last() {
            *next = last.unwrap().0 + 1;
        }
    }
}
