//! What 0.8.2.2 was sent, appended here: the files are the same, byte for byte.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use bytes::BytesMut;

use crate::log::LogConfig;
use crate::log::testing::check;
use crate::log::testing::data_directory;
use crate::log::testing::open;
use crate::log::tests::fixtures::Fixture;
use crate::message::Codec;
use crate::message::entry::entries;

/// How many messages the sets of a topic had, where it matters because its segments were full.
const SET_LEN: &[(&str, usize)] = &[
    ("compact-0", 2),
    ("flushed-0", 4),
    ("rolled-0", 2),
    ("trimmed-0", 2),
];

/// A segment's entries, in pieces of so many.
fn split(bytes: &[u8], count: usize) -> Vec<&[u8]> {
    let mut walk = entries(bytes);
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while walk.by_ref().take(count).count() > 0 {
        pieces.push(&rest[..rest.len() - walk.rest().len()]);
        rest = walk.rest();
    }
    assert_eq!(rest, b"", "fixtures end with a whole entry");
    pieces
}

fn segment_files(partition: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(partition)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == suffix))
        .collect();
    paths.sort();
    paths
}

/// Appends a partition's entries to a new log, the way `append` does it, and compares the files after a clean
/// stop.
fn replay(partition: &Path, config: &LogConfig, append: impl Fn(&crate::log::Log, &[u8])) {
    let originals = segment_files(partition, "log");
    let known = SET_LEN.iter().find(|(name, _)| partition.ends_with(name));
    let set_len = known.map_or(1, |&(_, len)| len);
    let directory = data_directory();
    let log = open(&directory, config);
    let start = originals[0]
        .file_stem()
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    log.truncate_fully_and_start_at(start).unwrap();
    for original in &originals {
        let bytes = fs::read(original).unwrap();
        split(&bytes, set_len)
            .into_iter()
            .for_each(|set| append(&log, set));
    }
    log.close().unwrap();
    let written = directory.path().join("t-0");
    for suffix in ["log", "index"] {
        let (ours, theirs) = (segment_files(&written, suffix), segment_files(partition, suffix));
        assert_eq!(ours.len(), theirs.len(), "{}", partition.display());
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert_eq!(ours.file_name(), theirs.file_name());
            assert!(
                fs::read(ours).unwrap() == fs::read(&theirs).unwrap(),
                "{}",
                theirs.display()
            );
        }
    }
}

#[test]
fn entries_that_come_from_a_leader_make_the_same_files() {
    let mut replayed = 0;
    for name in ["clean", "uncompacted"] {
        let fixture = Fixture::open(name);
        for partition in fixture.partitions() {
            // Emptied by retention, so that there is no entry.
            if partition != "emptied-0" {
                replay(
                    &fixture.partition(&partition),
                    &fixture.config(&partition),
                    |log, entry| {
                        log.append_replicated(entry).unwrap();
                    },
                );
                replayed += 1;
            }
        }
    }
    assert_eq!(replayed, 18);
}

#[test]
fn plain_messages_that_come_from_a_producer_make_the_same_files() {
    let mut replayed = Vec::new();
    for name in ["clean", "uncompacted"] {
        let fixture = Fixture::open(name);
        for partition in fixture.partitions() {
            let path = fixture.partition(&partition);
            let logs = segment_files(&path, "log");
            let all: Vec<u8> = logs.iter().flat_map(|path| fs::read(path).unwrap()).collect();
            let plain = entries(&all).all(|entry| entry.unwrap().1.codec() == Ok(Codec::None));
            if plain && !all.is_empty() {
                replay(&path, &fixture.config(&partition), |log, set| {
                    log.append(check(BytesMut::from(set))).unwrap();
                });
                replayed.push(partition);
            }
        }
    }
    let expected = "a.name_with-dashes-7-0 flushed-0 plain-0 plain-1 rolled-0 trimmed-0 compact-0";
    assert_eq!(replayed.join(" "), expected);
}
