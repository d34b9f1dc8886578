//! What happens at the same time, or one after the other on one connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use bytes::BytesMut;
use gregor::message::Codec;
use gregor::message::wrapper::deep_entries;
use gregor::protocol::Api;
use gregor::protocol::ApiKey;
use gregor::protocol::encode_request;
use gregor::protocol::fetch::FetchRequest;
use gregor::protocol::fetch::PartitionFetch;
use gregor::protocol::offset_commit::OffsetStorage;
use serde_json::Value;
use serde_json::json;

use crate::support::Need;
use crate::support::answer::canonical;
use crate::support::answer::decode;
use crate::support::answer::from_hex;
use crate::support::broker::Broker;
use crate::support::chroot;
use crate::support::connection::Connection;
use crate::support::connection::Received;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::requests::ask_one;
use crate::support::requests::commit;
use crate::support::requests::committed;
use crate::support::requests::fetch;
use crate::support::requests::log_end;
use crate::support::requests::produce;
use crate::support::requests::set;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Acknowledgements that a single replica never gives.
const TWO: i16 = 2;

/// Long enough for an answer that should not come to come.
const WHILE: Duration = Duration::from_millis(300);

const SOON: Duration = Duration::from_secs(10);

/// A broker with one topic, `orders`, and the ZooKeeper that it needs.
fn start(test: &str, partitions: usize) -> (Broker, Arc<ZooKeeper>) {
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let broker = Broker::start(&chroot(&zookeeper, test));
    broker.create_topic("orders", partitions, &[]);
    (broker, zookeeper)
}

/// Sends several requests at once. Their correlation ids count from 0.
fn send_all(connection: &mut Connection, frames: impl IntoIterator<Item = impl FnOnce(i32) -> BytesMut>) {
    let frames: Vec<_> = frames.into_iter().zip(0..).map(|(frame, id)| frame(id)).collect();
    connection.send(&frames.concat());
}

fn frame<A: Api + 'static>(request: A) -> Box<dyn FnOnce(i32) -> BytesMut> {
    Box::new(move |id| encode_request(id, Some("ordering"), &request))
}

/// The next answer, in words.
#[track_caller]
fn next(connection: &mut Connection, api: ApiKey) -> Value {
    canonical(&decode(api, &connection.frame()))
}

fn first(answer: &Value) -> &Value {
    &answer["topics"][0]["partitions"][0]
}

fn plain(values: &[&str]) -> BytesMut {
    set(Codec::None, values)
}

/// 0.8.2.2 reads no further while a produce request waits. Here later appends are made meanwhile; their answers wait.
#[test]
fn a_waiting_produce_holds_up_answers_but_not_appends() {
    if !have(&[Need::Gregor, Need::Reference]) {
        return;
    }
    let (broker, _zookeeper) = start("waiting-produce", 2);
    let timeout = Duration::from_secs(4);
    let mut connection = Connection::open(broker.address());
    let started = Instant::now();
    let requests = [
        produce(TWO, timeout, "orders", [(0, plain(&["waits"]))]),
        produce(1, timeout, "orders", [(0, plain(&["a"]))]),
        produce(-1, timeout, "orders", [(1, plain(&["b"]))]),
    ];
    send_all(&mut connection, requests.map(frame));

    eventually("all three are appended", timeout, || {
        let ends = (log_end(&broker, "orders", 0), log_end(&broker, "orders", 1));
        if ends == (2, 1) {
            Ok(())
        } else {
            Err(format!("{ends:?}"))
        }
    });
    assert_eq!(connection.receive(WHILE), Received::Nothing);
    assert!(started.elapsed() < timeout, "the first one still waits");

    let answers: Vec<_> = (0..3).map(|_| next(&mut connection, ApiKey::Produce)).collect();
    assert!(started.elapsed() >= timeout);
    let seen = answers.iter().map(|answer| {
        let produced = first(answer);
        json!([
            answer["correlation_id"],
            produced["error_code"],
            produced["base_offset"]
        ])
    });
    assert_eq!(seen.collect::<Value>(), json!([[0, 7, 0], [1, 0, 1], [2, 0, 0]]));
}

/// A request that is not a produce request waits its turn: it must see what was sent before it.
#[test]
fn what_follows_a_waiting_produce_comes_after_it() {
    if !have(&[Need::Reference]) {
        return;
    }
    let (broker, _zookeeper) = start("after-produce", 1);
    let mut connection = Connection::open(broker.address());
    let timeout = Duration::from_millis(600);
    let requests = [
        frame(produce(TWO, timeout, "orders", [(0, plain(&["waits"]))])),
        frame(fetch("orders", 0, 0)),
        frame(produce(1, timeout, "orders", [(0, plain(&["next"]))])),
        frame(fetch("orders", 0, 1)),
    ];
    send_all(&mut connection, requests);
    assert_eq!(first(&next(&mut connection, ApiKey::Produce))["error_code"], 7);
    let fetched = next(&mut connection, ApiKey::Fetch);
    assert_ne!(
        first(&fetched)["message_set"],
        "",
        "it sees the append: {fetched}"
    );
    assert_eq!(first(&next(&mut connection, ApiKey::Produce))["base_offset"], 1);
    let fetched = next(&mut connection, ApiKey::Fetch);
    assert_eq!(first(&fetched)["high_watermark"], 2);
    assert_ne!(first(&fetched)["message_set"], "", "{fetched}");
}

/// A fetch of two partitions, of which either one's append wakes it; it waits until there are as many bytes as it asks
/// for, over both.
#[test]
fn a_waiting_fetch_is_answered_when_there_is_enough() {
    if !have(&[Need::Reference]) {
        return;
    }
    let (broker, _zookeeper) = start("waiting-fetch", 2);
    // 26 bytes around each value.
    let value = "v".repeat(34);
    let append = |partition| {
        let request = produce(1, TIMEOUT, "orders", [(partition, plain(&[&value]))]);
        assert_eq!(ask_one(&broker, &request)["error_code"], 0);
    };
    let waiting = |min_bytes, offset| FetchRequest {
        max_wait: SOON * 3,
        min_bytes,
        topics: vec![(
            Some("orders".to_owned()),
            [0, 1]
                .map(|partition| PartitionFetch {
                    partition,
                    offset,
                    max_bytes: 1 << 20,
                })
                .to_vec(),
        )],
        ..fetch("orders", 0, 0)
    };
    let started = Instant::now();
    let mut one_byte = Connection::open(broker.address());
    one_byte.send(&encode_request(1, None, &waiting(1, 0)));
    let mut hundred = Connection::open(broker.address());
    hundred.send(&encode_request(1, None, &waiting(100, 0)));
    assert_eq!(one_byte.receive(WHILE), Received::Nothing);

    append(1);
    let answer = next(&mut one_byte, ApiKey::Fetch);
    let sizes = |answer: &Value| -> Vec<usize> {
        let partitions = answer["topics"][0]["partitions"].as_array().unwrap();
        partitions
            .iter()
            .map(|partition| from_hex(partition["message_set"].as_str().unwrap()).len())
            .collect()
    };
    assert_eq!(sizes(&answer), [0, 60]);
    assert_eq!(
        hundred.receive(WHILE),
        Received::Nothing,
        "60 bytes are not enough"
    );

    append(0);
    assert_eq!(sizes(&next(&mut hundred, ApiKey::Fetch)), [60, 60]);
    assert!(
        started.elapsed() < SOON * 2,
        "nothing waited for its time to be over"
    );
}

/// What is there decides, not how little of it the request takes.
#[test]
fn a_small_fetch_does_not_wait_for_what_is_there() {
    if !have(&[Need::Reference]) {
        return;
    }
    let (broker, _zookeeper) = start("small-fetch", 1);
    let value = "v".repeat(34);
    let request = produce(1, TIMEOUT, "orders", [(0, plain(&[&value, &value]))]);
    assert_eq!(ask_one(&broker, &request)["error_code"], 0);
    for (max_bytes, min_bytes) in [(40, 100), (0, 120)] {
        let from = PartitionFetch {
            partition: 0,
            offset: 0,
            max_bytes,
        };
        let request = FetchRequest {
            max_wait: SOON * 3,
            min_bytes,
            topics: vec![(Some("orders".to_owned()), vec![from])],
            ..fetch("orders", 0, 0)
        };
        let started = Instant::now();
        let fetched = ask_one(&broker, &request);
        assert_eq!(
            from_hex(fetched["message_set"].as_str().unwrap()).len(),
            usize::try_from(max_bytes).unwrap()
        );
        assert!(started.elapsed() < SOON, "{max_bytes}");
    }
}

/// A fetch that asks for more than there will be ends at its time, though messages keep coming.
#[test]
fn a_fetch_ends_at_its_time_while_messages_keep_coming() {
    if !have(&[Need::Reference]) {
        return;
    }
    let (broker, _zookeeper) = start("endless-fetch", 1);
    let max_wait = Duration::from_millis(700);
    let request = FetchRequest {
        max_wait,
        min_bytes: i32::MAX,
        ..fetch("orders", 0, 0)
    };
    let started = Instant::now();
    let mut fetching = Connection::open(broker.address());
    fetching.send(&encode_request(1, None, &request));
    let mut producing = Connection::open(broker.address());
    let mut appended = 0;
    while fetching.receive(Duration::from_millis(1)) == Received::Nothing {
        assert!(started.elapsed() < SOON, "the fetch is over after {max_wait:?}");
        let request = produce(1, TIMEOUT, "orders", [(0, plain(&["more"]))]);
        producing.send(&encode_request(1, None, &request));
        assert_eq!(first(&next(&mut producing, ApiKey::Produce))["error_code"], 0);
        appended += 1;
    }
    assert!(started.elapsed() >= max_wait && appended > 10, "{appended}");
}

/// One partition's failure is its own; with `acks` of more replicas than there are, the good one waits alone.
#[test]
fn a_bad_partition_fails_alone() {
    if !have(&[Need::Reference]) {
        return;
    }
    let (broker, _zookeeper) = start("bad-partition", 2);
    let mut damaged = plain(&["damaged"]);
    *damaged.last_mut().unwrap() ^= 1;
    for (acks, error, base_offset) in [(1, 0, 0), (-1, 0, 1), (TWO, 7, 2)] {
        let sets = [
            (0, plain(&["good"])),
            (1, damaged.clone()),
            (9, plain(&["nowhere"])),
        ];
        let request = produce(acks, WHILE, "orders", sets);
        let mut connection = Connection::open(broker.address());
        connection.send(&encode_request(1, None, &request));
        let answer = next(&mut connection, ApiKey::Produce);
        assert_eq!(
            answer["topics"][0]["partitions"],
            json!([
                {"partition": 0, "error_code": error, "base_offset": base_offset},
                {"partition": 1, "error_code": 2, "base_offset": -1},
                {"partition": 9, "error_code": 3, "base_offset": -1},
            ]),
            "acks {acks}"
        );
    }
    assert_eq!(
        (log_end(&broker, "orders", 0), log_end(&broker, "orders", 1)),
        (3, 0)
    );
}

/// Without acknowledgements closing is the only way to tell of a failure; what was asked before is answered first.
#[test]
fn an_unacknowledged_failure_closes_the_connection() {
    if !have(&[Need::Reference]) {
        return;
    }
    let (broker, _zookeeper) = start("unacknowledged", 1);
    let mut connection = Connection::open(broker.address());
    let requests = [
        frame(produce(0, TIMEOUT, "orders", [(0, plain(&["silent"]))])),
        frame(fetch("orders", 0, 0)),
        frame(produce(
            0,
            TIMEOUT,
            "orders",
            [(0, plain(&["kept"])), (9, plain(&["lost"]))],
        )),
        frame(produce(0, TIMEOUT, "orders", [(0, plain(&["never read"]))])),
        frame(fetch("orders", 0, 0)),
    ];
    send_all(&mut connection, requests);
    let answer = next(&mut connection, ApiKey::Fetch);
    assert_eq!(answer["correlation_id"], 1);
    assert_eq!(first(&answer)["high_watermark"], 1);
    assert_eq!(connection.receive(SOON), Received::Closed);
    assert_eq!(
        log_end(&broker, "orders", 0),
        2,
        "the good partition's message stays, what follows is not read"
    );
}

/// On one connection a group sees what it has just committed, however fast it asks.
#[test]
fn a_fetched_position_is_the_one_committed_before_it() {
    const ROUNDS: i64 = 100;
    if !have(&[Need::Reference]) {
        return;
    }
    let (broker, _zookeeper) = start("commit-then-fetch", 1);
    for storage in [OffsetStorage::ZooKeeper, OffsetStorage::Kafka] {
        eventually("the group has its coordinator", SOON, || {
            let request = gregor::protocol::consumer_metadata::ConsumerMetadataRequest {
                group: Some("g".to_owned()),
            };
            let mut connection = Connection::open(broker.address());
            connection.send(&encode_request(1, None, &request));
            let code = next(&mut connection, ApiKey::ConsumerMetadata)["error_code"].clone();
            let position = ask_one(&broker, &committed(storage, "g", "orders", 0));
            // Nothing committed: 3 from ZooKeeper, none from Kafka.
            if code == 0 && [json!(0), json!(3)].contains(&position["error_code"]) {
                Ok(())
            } else {
                Err(format!("{code} {position}"))
            }
        });
        let mut connection = Connection::open(broker.address());
        let requests = (1..=ROUNDS).flat_map(|offset| {
            [
                frame(commit(storage, "g", ("orders", 0), offset)),
                frame(committed(storage, "g", "orders", 0)),
            ]
        });
        send_all(&mut connection, requests);
        for offset in 1..=ROUNDS {
            let commit = next(&mut connection, ApiKey::OffsetCommit);
            assert_eq!(first(&commit)["error_code"], 0, "{storage:?} {offset}");
            let position = next(&mut connection, ApiKey::OffsetFetch);
            assert_eq!(first(&position)["offset"], offset, "{storage:?}");
        }
    }
}

/// Many producers, with and without compression, to one partition: each message has the offset that its producer was
/// told, and none is missing in between.
#[test]
fn offsets_are_dense_and_those_that_producers_were_told() {
    const PRODUCERS: usize = 8;
    const ROUNDS: usize = 50;
    const TOGETHER: usize = 3;
    if !have(&[Need::Reference]) {
        return;
    }
    let (broker, _zookeeper) = start("many-producers", 1);
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4];
    let produce_all = |producer: usize| -> Vec<(i64, String)> {
        let mut connection = Connection::open(broker.address());
        let mut told = Vec::new();
        for round in 0..ROUNDS {
            let values: Vec<_> = (0..TOGETHER).map(|n| format!("{producer} {round} {n}")).collect();
            let texts: Vec<_> = values.iter().map(String::as_str).collect();
            let set = set(codecs[(producer + round) % codecs.len()], &texts);
            let request = produce(-1, TIMEOUT, "orders", [(0, set)]);
            connection.send(&encode_request(0, None, &request));
            let produced = next(&mut connection, ApiKey::Produce);
            assert_eq!(first(&produced)["error_code"], 0);
            told.extend((first(&produced)["base_offset"].as_i64().unwrap()..).zip(values));
        }
        told
    };
    let told: BTreeMap<i64, String> = std::thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| scope.spawn(move || produce_all(producer)))
            .collect();
        producers
            .into_iter()
            .flat_map(|producer| producer.join().unwrap())
            .collect()
    });

    let count = i64::try_from(PRODUCERS * ROUNDS * TOGETHER).unwrap();
    assert_eq!(log_end(&broker, "orders", 0), count);
    let mut connection = Connection::open(broker.address());
    let mut stored = BTreeMap::new();
    while i64::try_from(stored.len()).unwrap() < count {
        let from = i64::try_from(stored.len()).unwrap();
        connection.send(&encode_request(0, None, &fetch("orders", 0, from)));
        let answer = decode(ApiKey::Fetch, &connection.frame());
        let bytes = from_hex(first(&answer)["message_set"].as_str().unwrap());
        let messages = deep_entries(&bytes, 1 << 24).unwrap();
        assert!(!messages.is_empty(), "{answer}");
        for (offset, message) in messages.into_iter().filter(|(offset, _)| *offset >= from) {
            assert_eq!(usize::try_from(offset), Ok(stored.len()), "offsets are dense");
            stored.insert(
                offset,
                String::from_utf8(message.value.unwrap().to_vec()).unwrap(),
            );
        }
    }
    assert_eq!(stored, told);
}
