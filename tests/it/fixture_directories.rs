//! Data directories that 0.8.2.2 left, stopped cleanly, killed, damaged, compacted: a broker that starts on them serves by
//! wire what was recorded of them; and so it does on those that 0.8.2.2 refuses. `src/log/tests/fixtures.rs` compares the
//! files.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use gregor::message::Codec;
use gregor::message::entry::entries;
use gregor::message::wrapper::OwnedMessage;
use gregor::message::wrapper::deep_entries;
use gregor::protocol::decode_response;
use gregor::protocol::encode_request;
use gregor::protocol::fetch::FetchResponse;
use gregor::protocol::fetch::Reader;
use gregor::protocol::list_offsets::OffsetSpec;
use gregor::protocol::offset_commit::OffsetStorage;
use serde_json::Value;
use serde_json::json;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::connection::Connection;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::process::run;
use crate::support::project;
use crate::support::report;
use crate::support::requests::ask_one;
use crate::support::requests::committed;
use crate::support::requests::fetch;
use crate::support::requests::offsets;
use crate::support::requests::produce;
use crate::support::requests::set;
use crate::support::segments::segments;
use crate::support::znodes;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const STEP: Duration = Duration::from_secs(20);

/// Partitions of damaged directories of which Gregor keeps more than 0.8.2.2, or which that cannot serve.
const BETTER: [(&str, &str); 3] = [
    ("damaged", "backward-offsets-0"),
    ("damaged", "lowered-max-message-0"),
    ("damaged-clean", "zero-tail-0"),
];

/// A directory as 0.8.2.2 left it, and what it serves.
struct Fixture {
    name: &'static str,
    expected: Value,
}

impl Fixture {
    fn open(name: &'static str) -> Self {
        let text = fs::read(folder(name).join("expected.json")).unwrap();
        Self {
            name,
            expected: serde_json::from_slice(&text).unwrap(),
        }
    }

    /// Topics and the number of their partitions.
    fn topics(&self) -> BTreeMap<&str, usize> {
        let mut topics = BTreeMap::new();
        for partition in self.expected["partitions"].as_object().unwrap().keys() {
            let (topic, _) = partition.rsplit_once('-').unwrap();
            *topics.entry(topic).or_default() += 1;
        }
        topics
    }

    /// Gregor on a copy of the directory, in a cluster that knows these topics. The files are new: nothing is too old.
    fn start(&self, connect: &str) -> Broker {
        let mut setup = Setup::of_kind(Kind::Gregor, connect)
            .set("offsets.topic.num.partitions", "4")
            .set("offsets.retention.minutes", "100000000");
        for (key, value) in self.expected["broker"].as_object().unwrap() {
            // There is no compaction yet; and how long positions are kept would depend on today's date.
            if !key.starts_with("log.cleaner") && key != "offsets.retention.minutes" {
                setup = setup.set(key, value.as_str().unwrap());
            }
        }
        let settings = |topic| match &self.expected["topics"][topic]["config"] {
            Value::Null => json!({}),
            settings => settings.clone(),
        };
        let topics = self.topics().into_iter();
        let topics: Vec<_> = topics
            .map(|(topic, partitions)| (topic, partitions, settings(topic)))
            .collect();
        register_topics(connect, &topics);
        lay_out(self.name, &setup.data());
        let broker = setup.start();
        for (topic, partitions) in self.topics() {
            broker.wait_for_topic(topic, partitions);
        }
        broker
    }

    /// What a partition serves: after the reference recovered it, or as it lay there.
    fn served(&self, partition: &str) -> &Value {
        match &self.expected["recovered"]["served"][partition] {
            Value::Null => &self.expected["partitions"][partition],
            served => served,
        }
    }
}

/// Topics with their partitions, all of which broker 0 has, and their settings.
fn register_topics(connect: &str, topics: &[(&str, usize, Value)]) {
    let mut nodes = Vec::new();
    for (topic, partitions, settings) in topics {
        let replicas: BTreeMap<String, [i32; 1]> =
            (0..*partitions).map(|number| (number.to_string(), [0])).collect();
        let assignment = json!({"version": 1, "partitions": replicas});
        nodes.push((format!("/brokers/topics/{topic}"), assignment.to_string()));
        let config = json!({"version": 1, "config": settings});
        nodes.push((format!("/config/topics/{topic}"), config.to_string()));
    }
    let nodes: Vec<_> = nodes
        .iter()
        .map(|(path, data)| (&**path, data.as_bytes()))
        .collect();
    znodes::set(connect, &nodes);
}

fn folder(name: &str) -> PathBuf {
    project().join("tests/fixtures/logs").join(name)
}

fn lay_out(name: &str, data: &Path) {
    fs::create_dir_all(data).unwrap();
    let packed = folder(name).join("data.tar.gz");
    let mut command = if packed.exists() {
        let mut command = Command::new("tar");
        command.arg("xmzf").arg(packed).arg("--strip-components=1");
        command.arg("-C");
        command
    } else {
        let mut command = Command::new("cp");
        command.arg("-rT").arg(folder(name).join("data"));
        command
    };
    command.arg(data);
    run(command, b"", STEP).succeeded();
}

fn sha256(bytes: &[u8]) -> String {
    run(Command::new("sha256sum"), bytes, STEP).succeeded().text()[..64].to_owned()
}

/// One fetch: the high watermark, the messages, and the offset after them.
fn fetched(broker: &Broker, topic: &str, partition: i32, offset: i64) -> (i64, Bytes, i64) {
    let mut connection = Connection::open(broker.address());
    connection.send(&encode_request(1, None, &fetch(topic, partition, offset)));
    let (_, mut answer) = decode_response::<FetchResponse<Bytes>>(connection.frame().into()).unwrap();
    let (_, mut partitions) = answer.topics.remove(0);
    let answer = partitions.remove(0);
    assert_eq!(answer.error.code(), 0, "{topic}-{partition} from {offset}");
    let set = answer.messages.unwrap_or_default();
    let next = entries(&set)
        .map_while(Result::ok)
        .last()
        .map_or(offset, |(last, _)| last + 1);
    (answer.high_watermark, set, next)
}

/// The first offset of a partition, the messages of each fetch up to its end, and that end.
fn fetched_whole(broker: &Broker, topic: &str, partition: i32) -> (i64, Vec<Bytes>, i64) {
    // Metadata tell of a leader before it has heard of it.
    let bound = |at: OffsetSpec| {
        let request = offsets(Reader::Consumer, topic, partition, at);
        eventually("the partition is led", STEP, || {
            let answer = ask_one(broker, &request);
            answer["offsets"][0].as_i64().ok_or(answer)
        })
    };
    let (start, end) = (bound(OffsetSpec::Earliest), bound(OffsetSpec::Latest));
    let mut sets = Vec::new();
    let mut offset = start;
    let high_watermark = loop {
        let (high_watermark, set, next) = fetched(broker, topic, partition, offset);
        if next == offset {
            break high_watermark;
        }
        sets.push(set);
        offset = next;
    };
    assert_eq!(
        (offset, high_watermark),
        (end, end),
        "{topic}-{partition} is served to its end"
    );
    (start, sets, end)
}

/// What consumers are served of a partition, in the words of the recordings.
fn served(broker: &Broker, topic: &str, partition: i32) -> Value {
    let (start, sets, end) = fetched_whole(broker, topic, partition);
    let all: Vec<(i64, OwnedMessage)> = sets
        .iter()
        .flat_map(|set| deep_entries(set, 1 << 24).unwrap())
        .collect();
    let bytes = |part: fn(&OwnedMessage) -> &Option<Bytes>| -> Vec<u8> {
        all.iter()
            .filter_map(|(_, message)| part(message).clone())
            .flatten()
            .collect()
    };
    json!({
        "log_start_offset": start,
        "log_end_offset": end,
        "messages": all.len(),
        "first_offset": all.first().map(|(offset, _)| offset),
        "last_offset": all.last().map(|(offset, _)| offset),
        "null_values": all.iter().filter(|(_, message)| message.value.is_none()).count(),
        "values_sha256": sha256(&bytes(|message| &message.value)),
        "keys_sha256": sha256(&bytes(|message| &message.key)),
    })
}

/// Starts on each directory and compares what it serves; then does what else is to be done with it.
fn serve(names: &[&'static str], and: impl Fn(&Broker, &Fixture)) {
    if !have(&[Need::Gregor, Need::Reference, Need::Python]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    for name in names {
        let fixture = Fixture::open(name);
        let broker = fixture.start(&chroot(&zookeeper, &format!("fixture-{name}")));
        let mut compared = 0;
        for partition in fixture.expected["partitions"].as_object().unwrap().keys() {
            if BETTER.contains(&(name, partition)) {
                continue;
            }
            let (topic, number) = partition.rsplit_once('-').unwrap();
            let served = served(&broker, topic, number.parse().unwrap());
            let expected = fixture.served(partition);
            for (field, value) in served.as_object().unwrap() {
                assert_eq!(value, &expected[field], "{field} of {partition} of {name}");
            }
            compared += 1;
        }
        report(&format!("{name}: {compared} partitions served as recorded"));
        and(&broker, &fixture);
    }
}

#[test]
fn directories_of_a_clean_stop_and_of_a_crash_are_served_as_recorded() {
    serve(&["clean", "killed", "default-index"], |_, _| ());
}

#[test]
fn damaged_directories_are_served_as_recorded() {
    serve(&["damaged", "damaged-clean"], |_, _| ());
}

#[test]
fn compacted_directories_are_served_as_recorded() {
    serve(
        &["uncompacted", "compacted", "compacted-later", "swap"],
        |_, _| (),
    );
}

#[test]
fn committed_positions_in_a_directory_are_answered_as_recorded() {
    serve(&["offsets", "offsets-gzip"], |broker, fixture| {
        let recorded = fixture.expected["offset_fetch_v1_after_restart"]
            .as_array()
            .unwrap();
        let mut groups = BTreeSet::new();
        for position in recorded {
            let [group, topic] = ["group", "topic"].map(|field| position[field].as_str().unwrap());
            let partition = i32::try_from(position["partition"].as_i64().unwrap()).unwrap();
            let request = committed(OffsetStorage::Kafka, group, topic, partition);
            let expected = ["partition", "offset", "metadata", "error_code"].map(|field| &position[field]);
            eventually("the position is answered as recorded", STEP, || {
                let answer = ask_one(broker, &request);
                let answered = ["partition", "offset", "metadata", "error_code"].map(|field| &answer[field]);
                if answered == expected {
                    Ok(())
                } else {
                    Err(format!("{group}: {answer} instead of {position}"))
                }
            });
            groups.insert(group);
        }
        report(&format!(
            "{} positions of {} groups",
            recorded.len(),
            groups.len()
        ));
    });
}

/// The whole entries of a partition's segments, up to what is no entry.
fn whole_entries(partition: &Path) -> Vec<u8> {
    let mut stored = Vec::new();
    for segment in segments(partition) {
        // Other files may be called as if they were segments.
        if segment
            .file_stem()
            .unwrap()
            .to_str()
            .unwrap()
            .parse::<u64>()
            .is_err()
        {
            continue;
        }
        let bytes = fs::read(segment).unwrap();
        let mut walk = entries(&bytes);
        while walk.next().is_some_and(|entry| entry.is_ok()) {}
        stored.extend_from_slice(&bytes[..bytes.len() - walk.rest().len()]);
    }
    stored
}

/// Serves `t-0` to its end, takes one more message, and stops.
fn serves_and_goes_on(broker: &mut Broker, name: &str, stored: &[u8]) {
    let (_, sets, end) = fetched_whole(broker, "t", 0);
    assert!(sets.concat() == stored, "{name}: other messages");
    let more = produce(1, STEP, "t", [(0, set(Codec::None, &["more"]))]);
    let answer = ask_one(broker, &more);
    let answer = ["error_code", "base_offset"].map(|field| &answer[field]);
    assert_eq!(answer, [0, end], "{name}");
    let (high_watermark, set, next) = fetched(broker, "t", 0, end);
    assert_eq!((high_watermark, next), (end + 1, end + 1), "{name}");
    assert_eq!(entries(&set).count(), 1, "{name}");
    assert!(broker.stop().success(), "{name}");
}

/// What stops Gregor, too, and what it says then: a partition that lies there twice, of which it can't know the better one,
/// and the directory of another broker, which is not to be taken for its own.
const REFUSED: [(&str, &str); 2] = [
    ("partition-in-two-roots", "t-0"),
    ("other-files", "the data directory is that of broker 5"),
];

/// Most of these stop 0.8.2.2 when it starts.
#[test]
fn directories_that_the_reference_refuses_are_served_and_taken_over() {
    if !have(&[Need::Gregor, Need::Python]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "fixture-refused");
    register_topics(&connect, &[("t", 1, json!({}))]);
    let expected: Value =
        serde_json::from_slice(&fs::read(folder("refused").join("expected.json")).unwrap()).unwrap();
    let cases = expected["cases"].as_object().unwrap();
    for (name, case) in cases {
        let setup = Setup::new(&connect).set("log.index.size.max.bytes", "10240");
        let base = setup.data().parent().unwrap().to_owned();
        let original = folder("refused").join(name);
        let mut copy = Command::new("cp");
        copy.arg("-rT").args([&original, &base]);
        run(copy, b"", STEP).succeeded();
        let roots = case["roots"].as_array().unwrap().iter();
        let roots: Vec<_> = roots.map(|root| base.join(root.as_str().unwrap())).collect();
        let data = roots.iter().map(|root| root.display().to_string());
        let mut broker = setup
            .set("log.dirs", data.collect::<Vec<_>>().join(","))
            .stopped();
        let started = broker.try_start_again();
        if let Some((_, told)) = REFUSED.iter().find(|(refused, _)| refused == name) {
            assert!(!started.unwrap_err().success(), "{name}");
            let output = broker.output();
            let error = output.lines().find(|line| line.starts_with("error: "));
            assert!(
                error.is_some_and(|error| error.contains(told)),
                "{name}: {output}"
            );
            continue;
        }
        assert_eq!(started, Ok(()), "{name}");
        broker.wait_for_topic("t", 1);
        serves_and_goes_on(&mut broker, name, &whole_entries(&original.join("data/t-0")));
        assert!(roots[0].join(".kafka_cleanshutdown").exists(), "{name}");
        let output = broker.output();
        assert!(!output.contains("panicked"), "{name}: {output}");
        if name.starts_with("hw-checkpoint") {
            let told = r#"replication-offset-checkpoint: version "1" is unknown"#;
            assert!(output.contains(told), "{name}: {output}");
        }
    }
    report(&format!("{} directories", cases.len()));
}
