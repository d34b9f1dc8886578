//! Directories that 0.8.2.2 left, or that were damaged on purpose: what it made of them, and what we make of
//! them.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fs;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;

use crate::log::Error;
use crate::log::Log;
use crate::log::LogConfig;
use crate::log::Logs;
use crate::log::LogsConfig;
use crate::log::OffsetCheckpoint;
use crate::log::testing::contents;
use crate::log::testing::copy;
use crate::log::testing::files;
use crate::log::testing::one;
use crate::log::testing::said_about;
use crate::message::entry::entries;
use crate::metrics::Timer;
use crate::types::TopicPartition;

fn originals() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/logs")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A copy of a fixture, with its file times.
pub(super) struct Fixture {
    directory: TempDir,
    expected: Value,
}

impl Fixture {
    pub(super) fn open(name: &str) -> Self {
        let original = originals().join(name);
        let directory = tempfile::tempdir().unwrap();
        let packed = original.join("data.tar.gz");
        if packed.exists() {
            let unpacked = Command::new("tar")
                .arg("xzf")
                .arg(packed)
                .arg("-C")
                .arg(directory.path())
                .status();
            assert!(unpacked.unwrap().success(), "this test needs tar and gzip");
        } else {
            copy(&original.join("data"), &directory.path().join("data"));
        }
        let fixture = Self {
            directory,
            expected: json(&original.join("expected.json")),
        };
        for partition in fixture.partitions() {
            for segment in fixture.expected["partitions"][&partition]["segments"]
                .as_array()
                .unwrap()
            {
                let name = format!("{:020}.log", segment["base_offset"].as_i64().unwrap());
                let file = File::options()
                    .write(true)
                    .open(fixture.partition(&partition).join(name))
                    .unwrap();
                file.set_modified(modified(segment)).unwrap();
            }
        }
        fixture
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(super) fn partitions(&self) -> Vec<String> {
        self.expected["partitions"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    }

    pub(super) fn partition(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    /// The server's settings.
    fn defaults(&self) -> LogConfig {
        let number = |key: &str| Some(self.expected["broker"][key].as_str()?.parse().unwrap());
        let defaults = LogConfig::default();
        LogConfig {
            index_bytes: number("log.index.size.max.bytes").unwrap_or(defaults.index_bytes),
            segment_bytes: number("log.segment.bytes").unwrap_or(defaults.segment_bytes),
            ..defaults
        }
    }

    fn overrides(&self) -> HashMap<String, BTreeMap<String, String>> {
        let topics = self.expected["topics"].as_object().into_iter().flatten();
        topics
            .map(|(topic, value)| {
                (
                    topic.clone(),
                    serde_json::from_value(value["config"].clone()).unwrap(),
                )
            })
            .collect()
    }

    /// The settings of a partition.
    pub(super) fn config(&self, partition: &str) -> LogConfig {
        let topic = partition.rsplit_once('-').unwrap().0;
        let (config, bad) = self.defaults().with_overrides(&self.overrides()[topic]);
        assert_eq!(bad, []);
        config
    }

    fn logs(&self) -> Logs {
        Logs::open(&LogsConfig {
            directories: vec![self.data()],
            defaults: self.defaults(),
            overrides: self.overrides(),
            recovery_threads: 2,
            flushes: Timer::new(),
        })
        .unwrap()
    }

    /// Sizes of the files of this fixture's partitions, as they are now.
    fn sizes(&self) -> BTreeMap<String, u64> {
        files(&self.data())
            .into_iter()
            .filter(|(path, _)| path.contains('/'))
            .collect()
    }

    /// What the reference says they were: its start also creates partitions of topics that have no directory
    /// here.
    fn expected_sizes(&self, sizes: &Value) -> BTreeMap<String, u64> {
        let here = self.partitions();
        let of_partition = |path: &str| {
            path.split_once('/')
                .is_some_and(|(name, _)| here.iter().any(|p| p == name))
        };
        let sizes = sizes.as_object().unwrap().iter();
        sizes
            .filter(|(path, _)| of_partition(path))
            .map(|(path, size)| (path.clone(), size.as_u64().unwrap()))
            .collect()
    }
}

fn modified(segment: &Value) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(segment["mtime_ms"].as_u64().unwrap())
}

fn topic_partition(name: &str) -> TopicPartition {
    let (topic, number) = name.rsplit_once('-').unwrap();
    TopicPartition::new(topic, number.parse().unwrap())
}

fn sha256(bytes: &[u8]) -> String {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

/// What a log serves, in the words of the fixtures.
fn served(log: &Log) -> Value {
    let all = contents(log);
    let concatenated = |part: &dyn Fn(usize) -> Option<bytes::Bytes>| -> Vec<u8> {
        (0..all.len()).filter_map(part).flatten().collect()
    };
    serde_json::json!({
        "log_start_offset": log.log_start_offset(),
        "log_end_offset": log.log_end_offset(),
        "messages": all.len(),
        "first_offset": all.first().map(|first| first.0),
        "last_offset": all.last().map(|last| last.0),
        "null_values": all.iter().filter(|(_, message)| message.value.is_none()).count(),
        "values_sha256": sha256(&concatenated(&|at| all[at].1.value.clone())),
        "keys_sha256": sha256(&concatenated(&|at| all[at].1.key.clone())),
    })
}

/// Compares those of `expected`'s fields that [`served`] knows.
fn assert_serves(log: &Log, expected: &Value, what: &str) {
    let served = served(log);
    for (field, value) in served.as_object().unwrap() {
        assert_eq!(value, &expected[field], "{field} of {what}");
    }
}

/// Where what is served differs from 0.8.2.2, or its files do after the start, and why.
const BETTER: &[(&str, &str, &str)] = &[
    (
        "damaged",
        "backward-offsets-0",
        "it empties the segment; what comes before the offset that goes back is sound",
    ),
    (
        "damaged",
        "lowered-max-message-0",
        "it cuts at a message beyond the new limit; it was accepted under the old one",
    ),
    (
        "damaged-clean",
        "zero-tail-0",
        "it leaves the zeros, and a fetch from the start fails; they are cut",
    ),
    (
        "damaged-clean",
        "cut-header-0",
        "it leaves the fragment and appends after it; it is cut",
    ),
    (
        "damaged-clean",
        "cut-message-0",
        "it leaves the fragment and appends after it; it is cut",
    ),
];

fn is_better(fixture: &str, partition: &str) -> bool {
    BETTER.iter().any(|&(f, p, _)| (f, p) == (fixture, partition))
}

/// Opens a fixture, compares everything with what 0.8.2.2 did, stops, and compares the files.
fn compare_with_the_reference(name: &str) {
    let fixture = Fixture::open(name);
    let recovered = &fixture.expected["recovered"];
    let logs = fixture.logs();
    assert_eq!(logs.all().len(), fixture.partitions().len());
    let is_alike = |path: &String| !is_better(name, path.split_once('/').unwrap().0);
    let alike = |mut sizes: BTreeMap<String, u64>| {
        sizes.retain(|path, _| is_alike(path));
        sizes
    };
    assert_eq!(
        alike(fixture.sizes()),
        alike(fixture.expected_sizes(&recovered["files_after_start"]))
    );
    for partition in fixture.partitions() {
        let log = logs.get(&topic_partition(&partition)).unwrap();
        let expected = &recovered["served"][&partition];
        if !is_better(name, &partition) && expected.is_object() {
            assert_serves(&log, expected, &partition);
        }
    }
    logs.close().unwrap();

    let after = &recovered["after_clean_stop"];
    assert_eq!(
        alike(fixture.sizes()),
        alike(fixture.expected_sizes(&after["files"]))
    );
    let checkpoint = OffsetCheckpoint::new(fixture.data().join("recovery-point-offset-checkpoint"));
    for (partition, offset) in checkpoint.read().unwrap() {
        let expected = &after["recovery-point-offset-checkpoint"][partition.to_string()];
        if !is_better(name, &partition.to_string()) {
            assert_eq!(expected, offset, "{partition}");
        }
    }
    assert!(fixture.data().join(".kafka_cleanshutdown").exists());
}

#[test]
fn clean() {
    compare_with_the_reference("clean");
}

#[test]
fn killed() {
    compare_with_the_reference("killed");
}

#[test]
fn killed_with_indexes_of_10_mib() {
    compare_with_the_reference("default-index");
}

#[test]
fn damaged() {
    compare_with_the_reference("damaged");
}

#[test]
fn damaged_below_a_clean_marker() {
    compare_with_the_reference("damaged-clean");
}

#[test]
fn compacted() {
    compare_with_the_reference("compacted");
}

#[test]
fn compacted_later() {
    compare_with_the_reference("compacted-later");
}

#[test]
fn swap() {
    compare_with_the_reference("swap");
}

#[test]
fn directories_without_a_restart_are_served_as_described() {
    for name in [
        "clean",
        "uncompacted",
        "offsets",
        "offsets-gzip",
        "compacted",
        "killed",
        "default-index",
    ] {
        let fixture = Fixture::open(name);
        let logs = fixture.logs();
        for partition in fixture.partitions() {
            let expected = &fixture.expected["partitions"][&partition];
            let log = logs.get(&topic_partition(&partition)).unwrap();
            assert_serves(&log, expected, &format!("{partition} of {name}"));
            let described = expected["segments"].as_array().unwrap().iter();
            let described: Vec<_> = described
                .map(|segment| {
                    (
                        segment["base_offset"].as_i64().unwrap(),
                        segment["log_bytes"].as_u64().unwrap(),
                        modified(segment),
                    )
                })
                .collect();
            let segments = log.segments().unwrap();
            let segments: Vec<_> = segments
                .iter()
                .map(|s| (s.base_offset, s.size, s.modified))
                .collect();
            assert_eq!(segments, described, "{partition} of {name}");
        }
    }
}

/// What is served where 0.8.2.2 does worse: everything that was there before the damage and still has its
/// checksum.
#[test]
fn damage_that_0_8_makes_worse() {
    let end_offsets = [
        ("damaged", "backward-offsets-0", 10),
        ("damaged", "lowered-max-message-0", 10),
        ("damaged-clean", "zero-tail-0", 10),
        ("damaged-clean", "cut-header-0", 9),
        ("damaged-clean", "cut-message-0", 9),
    ];
    assert_eq!(end_offsets.len(), BETTER.len());
    for (name, partition, end_offset) in end_offsets {
        let fixture = Fixture::open(name);
        let logs = fixture.logs();
        let log = logs.get(&topic_partition(partition)).unwrap();
        assert_eq!(log.log_end_offset(), end_offset, "{partition}");
        let served = contents(&log);
        assert_eq!(
            served.iter().map(|s| s.0).collect::<Vec<_>>(),
            (0..end_offset).collect::<Vec<_>>()
        );
        assert!(served.iter().all(|(_, message)| message.crc_matches));
        assert_eq!(
            log.append(one("next")).unwrap().base_offset,
            end_offset,
            "{partition}"
        );
        assert_eq!(contents(&log).len(), served.len() + 1, "{partition}");
    }
}

/// Where the next message goes below a clean marker: the offsets that 0.8.2.2 gave, though it put them behind fragments.
#[test]
fn damage_below_a_clean_marker_takes_appends() {
    let fixture = Fixture::open("damaged-clean");
    let logs = fixture.logs();
    let produced = &fixture.expected["recovered_then_produced"];
    for partition in fixture.partitions() {
        let log = logs.get(&topic_partition(&partition)).unwrap();
        let base_offset = log.append(one("next")).unwrap().base_offset;
        assert_eq!(produced[&partition]["base_offset"], base_offset, "{partition}");
        assert_eq!(contents(&log).last().unwrap().0, base_offset, "{partition}");
    }
}

/// Directories on which 0.8.2.2 doesn't start and we do, with nothing lost; a word of what is said about it, and why.
const MENDED: &[(&str, &str, &str)] = &[
    (
        "checkpoint-blank-line",
        "line \"\" is malformed",
        "without recovery points everything is checked, nothing is lost",
    ),
    ("checkpoint-count-high", "1 entries instead of \"2\"", "as above"),
    ("checkpoint-count-low", "1 entries instead of \"0\"", "as above"),
    (
        "checkpoint-not-a-number",
        "line \"t 0 ten\" is malformed",
        "as above",
    ),
    ("checkpoint-two-fields", "line \"t 0\" is malformed", "as above"),
    ("checkpoint-version-1", "version \"1\" is unknown", "as above"),
    (
        "directory-not-a-number",
        "t-x: ignored",
        "a directory that is no partition's is ignored",
    ),
    ("directory-of-later-deletion", "-delete: ignored", "as above"),
    ("directory-without-dash", "lostfound: ignored", "as above"),
    (
        "garbage-under-marker",
        "cutting 100 bytes",
        "what is no entry is cut off",
    ),
    (
        "index-not-above-base",
        "making the index anew",
        "an index is derived, and made anew",
    ),
    ("index-trailing-zeros", "making the index anew", "as above"),
    ("old-index-odd-length", "no multiple of 8", "as above"),
    (
        "log-name-not-a-number",
        "its name is no offset",
        "a file that is no segment is ignored",
    ),
    (
        "wrapper-not-decompressible",
        "a wrapper that can't be opened is kept",
        "its checksum is right; the index does without it",
    ),
];

/// The whole entries of the original's segments of `t-0`, up to what is no entry.
fn stored(case: &Path) -> Vec<u8> {
    let partition = case.join("t-0");
    let segments = files(&partition)
        .into_iter()
        .map(|(path, _)| partition.join(path));
    let segments = segments.filter(|path| {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        stem.len() == 20 && path.extension().is_some_and(|extension| extension == "log")
    });
    let mut stored = Vec::new();
    for segment in segments {
        let bytes = fs::read(segment).unwrap();
        let mut walk = entries(&bytes);
        while walk.next().is_some_and(|entry| entry.is_ok()) {}
        stored.extend_from_slice(&bytes[..bytes.len() - walk.rest().len()]);
    }
    stored
}

/// All bytes of a log's segments.
fn bytes(log: &Log) -> Vec<u8> {
    let segments = log.segments().unwrap().into_iter();
    let partition = log.directory().join(log.topic_partition().to_string());
    let segment = |base_offset: i64| partition.join(format!("{base_offset:020}.log"));
    segments
        .flat_map(|s| fs::read(segment(s.base_offset)).unwrap())
        .collect()
}

#[test]
fn what_0_8_refuses_is_mended_if_nothing_is_lost() {
    let expected = json(&originals().join("refused/expected.json"));
    let mut refused = Vec::new();
    for (name, case) in expected["cases"].as_object().unwrap() {
        let directory = tempfile::tempdir().unwrap();
        let original = originals().join("refused").join(name);
        copy(&original, directory.path());
        let roots: Vec<String> = serde_json::from_value(case["roots"].clone()).unwrap();
        let open = || {
            Logs::open(&LogsConfig {
                directories: roots.iter().map(|root| directory.path().join(root)).collect(),
                defaults: LogConfig {
                    index_bytes: 10240,
                    ..LogConfig::default()
                },
                overrides: HashMap::new(),
                recovery_threads: 1,
                flushes: Timer::new(),
            })
        };
        said_about(directory.path());
        let logs = match open() {
            Ok(logs) => logs,
            Err(error) => {
                assert_eq!(case["starts"], false, "{name}: {error}");
                refused.push((name.as_str(), error));
                continue;
            }
        };
        let said = said_about(directory.path());
        let starts = case["starts"] == true;
        let mended = MENDED.iter().find(|(mended, _, _)| mended == name);
        assert_ne!(starts, mended.is_some(), "{name}");
        if let Some((_, telling, _)) = mended {
            assert!(said.contains(telling), "{name}: {said}");
        }
        let log = logs.get(&TopicPartition::new("t", 0)).unwrap();
        let before = stored(&original.join("data"));
        assert!(bytes(&log) == before, "{name}: other messages");
        logs.close().unwrap();
        if starts {
            let ours = files(&directory.path().join("data"));
            for (path, size) in case["after_clean_stop"]["files"].as_object().unwrap() {
                // Made anew instead of rounded, it has no entry: the segment is smaller than the interval.
                let size = if name == "index-odd-length" && path.ends_with(".index") {
                    0
                } else {
                    size.as_u64().unwrap()
                };
                assert!(ours.contains(&(path.clone(), size)), "{name}: {path} in {ours:?}");
            }
        }
        drop((log, logs));
        goes_on(&open().unwrap(), &before, name);
        let logs = open().unwrap();
        let after = bytes(&logs.get(&TopicPartition::new("t", 0)).unwrap());
        assert!(after.len() > before.len() && after.starts_with(&before), "{name}");
        let later = said_about(directory.path());
        let later = later.strip_prefix(&said).unwrap();
        // What is ignored is there still.
        assert!(
            later
                .lines()
                .all(|line| line.is_empty() || line.contains("ignored")),
            "{name}: it is mended once, but then {later}"
        );
    }
    let [("partition-in-two-roots", Error::DuplicatePartition { partition, .. })] = refused.as_slice() else {
        panic!("{refused:?}")
    };
    assert_eq!(partition.to_string(), "t-0");
}

/// Opened again after a clean stop it holds the same, and takes one more message; and stops.
fn goes_on(logs: &Logs, before: &[u8], name: &str) {
    let log = logs.get(&TopicPartition::new("t", 0)).unwrap();
    assert!(bytes(&log) == before, "{name}: other messages when opened again");
    let end = log.log_end_offset();
    let appended = log.append(one("next")).unwrap();
    assert_eq!(
        (appended.base_offset, appended.end_offset),
        (end, end + 1),
        "{name}"
    );
    logs.close().unwrap();
}
