//! The recorded message sets, each sent to a partition that holds offsets 0 to 2.

use std::fs::read;
use std::fs::read_to_string;
use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use gregor::message::Codec;
use serde_json::Value;
use serde_json::json;

use crate::support::Need;
use crate::support::answer::message_set;
use crate::support::answer::to_hex;
use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::broker::Setup;
use crate::support::broker::kind;
use crate::support::chroot;
use crate::support::have;
use crate::support::project;
use crate::support::requests::ask_one;
use crate::support::requests::fetch;
use crate::support::requests::log_end;
use crate::support::requests::produce;
use crate::support::requests::set;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

/// The cases that went to a topic with a limit of 2000 bytes.
const LIMITED: [&str; 5] = [
    "too-large",
    "largest",
    "second-too-large",
    "wrapper-of-too-large",
    "growing-wrapper",
];

/// Accepted on purpose: every LZ4 library writes the checksum so; it is 0.8.2.2's that is wrong (KAFKA-3160).
const ACCEPTED: &str = "lz4-standard-checksum";

const TIMEOUT: Duration = Duration::from_secs(5);

/// Each set gets the recorded answer, and a consumer gets what was recorded on disk.
#[test]
#[expect(clippy::print_stdout, reason = "how much was compared is a result, too")]
fn message_sets_are_answered_and_stored_as_recorded() {
    if !have(&[Need::Reference]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let broker = Setup::new(&chroot(&zookeeper, "message-sets"))
        .set("log.segment.bytes", "1048576")
        .set("log.index.size.max.bytes", "10240")
        .start();
    let index = read_to_string(fixture("index.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let names: Vec<_> = index["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| case["name"].as_str().unwrap())
        .collect();
    let limited = |name: &str| LIMITED.contains(&name);
    let count = |wanted: bool| names.iter().filter(|name| limited(name) == wanted).count();
    broker.create_topic("accept", count(false), &[]);
    broker.create_topic("accept-limited", count(true), &[("max.message.bytes", "2000")]);

    let (mut accept, mut accept_limited) = (0.., 0..);
    let mut differ = Vec::new();
    for name in &names {
        let place = if limited(name) {
            ("accept-limited", accept_limited.next().unwrap())
        } else {
            ("accept", accept.next().unwrap())
        };
        differ.extend(send(&broker, place, name).err());
    }
    println!("{} message sets compared, {} differ", names.len(), differ.len());
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// Sends one set after three messages; what differs, in words.
fn send(broker: &Broker, (topic, partition): (&str, i32), name: &str) -> Result<(), String> {
    let recorded = read_to_string(fixture(&format!("{name}.json"))).unwrap();
    let recorded: Value = serde_json::from_str(&recorded).unwrap();
    let mut expected = json!({
        "error_code": recorded["produce"]["error_code"],
        "base_offset": recorded["produce"]["base_offset"],
        "log_end": recorded["produce"]["log_end_offset"],
        "stored": recorded["stored"].as_str().map_or(json!(""), |file| {
            message_set(&to_hex(&read(fixture(file)).unwrap()))
        }),
    });
    let sent = read(fixture(&format!("{name}.bin"))).unwrap();
    let append = |set: BytesMut| ask_one(broker, &produce(1, TIMEOUT, topic, [(partition, set)]));

    append(set(Codec::None, &["one", "two", "three"]));
    let produced = append(BytesMut::from(&*sent));
    let fetched = ask_one(broker, &fetch(topic, partition, 3));
    let answered = json!({
        "error_code": produced["error_code"],
        "base_offset": produced["base_offset"],
        "log_end": log_end(broker, topic, partition),
        "stored": fetched["message_set"],
    });
    if name == ACCEPTED && kind() == Kind::Gregor {
        // As the same set with the other checksum.
        let twin = read(fixture("lz4-kafka-checksum.stored.bin")).unwrap();
        expected =
            json!({"error_code": 0, "base_offset": 3, "log_end": 5, "stored": message_set(&to_hex(&twin))});
    }
    if answered == expected {
        Ok(())
    } else {
        Err(format!("{name}:\n  recorded {expected}\n  answered {answered}"))
    }
}

fn fixture(file: &str) -> PathBuf {
    project().join("tests/fixtures/messages").join(file)
}
