use std::fs;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use rustix::fs::MemfdFlags;
use rustix::fs::SealFlags;
use tempfile::TempDir;

use super::*;
use crate::log::recovery::LastStop;
use crate::log::segment::INDEX_SUFFIX;
use crate::log::segment::LOG_SUFFIX;
use crate::log::testing::NUMBERED_LEN;
use crate::log::testing::append_numbered;
use crate::log::testing::contents;
use crate::log::testing::data_directory;
use crate::log::testing::numbered;
use crate::log::testing::numbers;
use crate::log::testing::one;
use crate::log::testing::open;
use crate::log::testing::segment_file;
use crate::log::testing::set;
use crate::log::testing::small;
use crate::log::testing::try_open;
use crate::log::testing::values;
use crate::message;
use crate::message::Codec;
use crate::message::set::Limits;

fn base_offsets(log: &Log) -> Vec<i64> {
    log.segments()
        .unwrap()
        .iter()
        .map(|segment| segment.base_offset)
        .collect()
}

fn active(log: &Log) -> Arc<Segment> {
    Arc::clone(log.segment_list().last().unwrap())
}

fn index_entries(log: &Log, directory: &TempDir, base_offset: i64) -> Vec<(u32, u32)> {
    // Moves into the file what still waits to be written with others.
    active(log).index().grow(log.config().index_bytes).unwrap();
    let bytes = fs::read(segment_file(directory, base_offset, INDEX_SUFFIX)).unwrap();
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    let entries = bytes
        .chunks_exact(8)
        .map(|entry| (number(&entry[..4]), number(&entry[4..])));
    entries.take_while(|&entry| entry != (0, 0)).collect()
}

#[test]
fn offsets_are_consecutive_whatever_the_sets_are() {
    let directory = data_directory();
    let log = open(&directory, &small());
    let append = |set| {
        let appended = log.append(set).unwrap();
        (appended.base_offset, appended.end_offset)
    };
    assert_eq!(append(set(Codec::None, ["a", "b"])), (0, 2));
    assert_eq!(append(set(Codec::Gzip, ["c", "d", "e"])), (2, 5));
    assert_eq!(append(set(Codec::None, [""; 0])), (5, 5), "nothing is appended");
    assert_eq!(append(set(Codec::Lz4, ["f"])), (5, 6));
    let read = values(&log);
    let expected = ["a", "b", "c", "d", "e", "f"].map(str::to_owned);
    assert_eq!(read, (0..).zip(expected).collect::<Vec<_>>());
}

#[test]
fn concurrent_appends_share_the_offsets() {
    const THREADS: usize = 4;
    const SETS: usize = 40;
    let directory = data_directory();
    let log = open(
        &directory,
        &LogConfig {
            segment_bytes: 4000,
            ..small()
        },
    );
    std::thread::scope(|scope| {
        for codec in [Codec::None, Codec::Snappy, Codec::None, Codec::Gzip] {
            let log = &log;
            scope.spawn(move || {
                for n in 0..SETS {
                    let values = [format!("{codec:?} {n} first"), format!("{codec:?} {n} second")];
                    let appended = log.append(set(codec, values)).unwrap();
                    assert_eq!(appended.end_offset, appended.base_offset + 2);
                }
            });
        }
        let mut seen = 0;
        while seen < 2 * THREADS * SETS {
            let read = contents(&log);
            assert!(read.len() >= seen, "nothing that was seen goes away");
            seen = read.len();
        }
    });
    let offsets: Vec<_> = contents(&log).iter().map(|entry| entry.0).collect();
    assert_eq!(offsets, (0..320).collect::<Vec<_>>());
}

#[test]
fn an_index_entry_comes_with_the_first_set_after_the_interval() {
    let directory = data_directory();
    // Sets of 50 bytes: 100 are not more than 100, 150 are.
    let log = open(&directory, &small());
    append_numbered(&log, 8);
    assert_eq!(index_entries(&log, &directory, 0), [(3, 150), (6, 300)]);
    // One entry for a set, however large.
    log.append(set(Codec::None, (8..16).map(numbered))).unwrap();
    append_numbered(&log, 1);
    assert_eq!(
        index_entries(&log, &directory, 0),
        [(3, 150), (6, 300), (16, 800)]
    );
}

#[test]
fn a_full_segment_is_followed_by_another() {
    let directory = data_directory();
    let log = open(&directory, &small());
    append_numbered(&log, 20);
    assert_eq!(base_offsets(&log), [0], "1000 bytes fit exactly");
    append_numbered(&log, 25);
    assert_eq!(base_offsets(&log), [0, 20, 40]);
    assert_eq!(
        fs::metadata(segment_file(&directory, 0, INDEX_SUFFIX))
            .unwrap()
            .len(),
        6 * 8,
        "trimmed"
    );
    assert_eq!(
        fs::metadata(segment_file(&directory, 40, INDEX_SUFFIX))
            .unwrap()
            .len(),
        1024
    );
    assert_eq!(values(&log), numbers(0..45));
}

#[test]
fn a_segment_with_a_full_index_is_followed_by_another() {
    let directory = data_directory();
    let log = open(
        &directory,
        &LogConfig {
            index_bytes: 23,
            ..small()
        },
    );
    append_numbered(&log, 7);
    assert_eq!(base_offsets(&log), [0]);
    assert_eq!(index_entries(&log, &directory, 0), [(3, 150), (6, 300)]);
    append_numbered(&log, 1);
    assert_eq!(base_offsets(&log), [0, 7]);
}

#[test]
fn an_old_segment_is_followed_by_another_unless_it_is_empty() {
    let directory = data_directory();
    let day = Duration::from_secs(24 * 60 * 60);
    let log = open(
        &directory,
        &LogConfig {
            segment_ms: 2 * day,
            ..small()
        },
    );
    let later = |days| Instant::now() + day * days;
    log.append_at(one("a"), later(3)).unwrap();
    assert_eq!(base_offsets(&log), [0], "it was empty");
    log.append_at(one("b"), later(1)).unwrap();
    assert_eq!(base_offsets(&log), [0]);
    log.append_at(one("c"), later(3)).unwrap();
    assert_eq!(base_offsets(&log), [0, 2]);
}

#[test]
fn jitter_makes_segments_end_earlier_at_different_times() {
    let directory = data_directory();
    let hour = Duration::from_secs(60 * 60);
    let config = LogConfig {
        segment_ms: 10 * hour,
        segment_jitter: 10 * hour,
        ..small()
    };
    let log = open(&directory, &config);
    let rolled_at = |_| {
        let before = base_offsets(&log).len();
        (0..).find(|&hours| {
            log.append_at(one("x"), Instant::now() + hour * hours).unwrap();
            base_offsets(&log).len() > before
        })
    };
    let hours: std::collections::BTreeSet<_> = (0..20).map(rolled_at).collect();
    assert!(hours.len() > 1, "{hours:?}");
    assert!(hours.iter().all(|&hours| hours <= Some(10)), "{hours:?}");
}

#[test]
fn offsets_beyond_the_index_begin_a_segment() {
    let directory = data_directory();
    let log = open(&directory, &small());
    append_numbered(&log, 1);
    let mut entry = bytes::BytesMut::from(bytes_of_entry("far").as_slice());
    entry[..8].copy_from_slice(&5_000_000_000_i64.to_be_bytes());
    log.append_replicated(&entry).unwrap();
    assert_eq!(
        base_offsets(&log),
        [0],
        "where it began the index could still say"
    );
    append_numbered(&log, 1);
    assert_eq!(base_offsets(&log), [0, 5_000_000_001]);
    assert_eq!(contents(&log).len(), 3);
}

#[test]
fn a_set_larger_than_a_segment_is_refused() {
    let directory = data_directory();
    let log = open(&directory, &small());
    let error = log.append(set(Codec::None, (0..21).map(numbered))).unwrap_err();
    assert!(
        matches!(
            error,
            Error::SetTooLarge {
                size: 1050,
                limit: 1000
            }
        ),
        "{error}"
    );
    log.append(set(Codec::None, (0..20).map(numbered))).unwrap();
    assert_eq!(values(&log), numbers(0..20));
}

#[test]
fn a_message_over_the_limit_after_compression_is_refused() {
    let directory = data_directory();
    let log = open(
        &directory,
        &LogConfig {
            max_message_bytes: 40,
            ..small()
        },
    );
    log.append(one("x")).unwrap();
    let error = log.append(set(
        Codec::Gzip,
        ["a longer text", "and another one, which is different"],
    ));
    assert!(
        matches!(
            error,
            Err(Error::Message(message::Error::TooLarge { limit: 40, .. }))
        ),
        "{error:?}"
    );
    assert_eq!(log.log_end_offset(), 1);
}

#[test]
fn a_flush_is_due_when_so_many_messages_have_come() {
    let directory = data_directory();
    let log = open(
        &directory,
        &LogConfig {
            flush_messages: 5,
            ..small()
        },
    );
    append_numbered(&log, 3);
    assert!(!log.append(one(&numbered(3))).unwrap().flush_due);
    assert!(log.append(one(&numbered(4))).unwrap().flush_due);
    assert!(
        log.append(one(&numbered(5))).unwrap().flush_due,
        "until it is done"
    );
    log.flush().unwrap();
    assert!(!log.append(one(&numbered(6))).unwrap().flush_due);
    let wrapped = log.append(set(Codec::Gzip, (7..12).map(numbered))).unwrap();
    assert!(wrapped.flush_due);
    // What comes from a leader has nobody who waits for it.
    let replicated = set(Codec::None, [numbered(12)])
        .assign(12, &Limits::default())
        .unwrap();
    log.append_replicated(replicated.bytes()).unwrap();
    assert_eq!(log.recovery_point(), 13);
}

/// A file that can't grow, holding the first `len` bytes of another and zeros up to `size`.
fn full_file(original: &File, len: usize, size: usize) -> File {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; len];
    original.read_exact_at(&mut bytes, 0).unwrap();
    bytes.resize(size, 0);
    let descriptor = rustix::fs::memfd_create("full", MemfdFlags::ALLOW_SEALING).unwrap();
    let mut file = File::from(descriptor);
    file.write_all(&bytes).unwrap();
    rustix::fs::fcntl_add_seals(&file, SealFlags::GROW).unwrap();
    file
}

#[test]
fn a_failed_write_leaves_the_log_as_it_was() {
    let directory = data_directory();
    let log = open(
        &directory,
        &LogConfig {
            segment_bytes: 100_000,
            ..small()
        },
    );
    append_numbered(&log, 81);
    let segment = active(&log);
    let original = segment.log().writable().unwrap();
    // 46 bytes fit on the first page: the write fails in the middle of the set.
    for size in [4050, 4096] {
        let full = segment.log().hold(full_file(&original, 4050, size));
        for _ in 0..2 {
            let error = log.append(one(&numbered(81))).unwrap_err();
            assert!(
                matches!(&error, Error::Io { path, .. } if path.ends_with("t-0/00000000000000000000.log")),
                "{error}"
            );
            assert_eq!(full.metadata().unwrap().len(), 4050, "cut back");
            assert_eq!((log.log_end_offset(), log.size_bytes()), (81, 4050));
            assert_eq!(values(&log), numbers(0..81));
        }
    }
    segment.log().hold(original.try_clone().unwrap());
    append_numbered(&log, 2);
    assert_eq!(values(&log), numbers(0..83));
}

#[test]
fn an_index_that_cannot_be_written_keeps_nobody_from_appending_and_reading() {
    let directory = data_directory();
    let config = LogConfig {
        segment_bytes: 1 << 20,
        index_bytes: 1 << 20,
        ..small()
    };
    let log = open(&directory, &config);
    // With an entry for each third message, 64 wait to be written; the next one does not fit.
    append_numbered(&log, 195);
    let (path, away) = (
        segment_file(&directory, 0, INDEX_SUFFIX),
        directory.path().join("away"),
    );
    fs::rename(&path, &away).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    append_numbered(&log, 4);
    assert_eq!(values(&log), numbers(0..199));
    fs::rename(&away, &path).unwrap();
    let after = |message: u32| (message, 50 * message);
    assert_eq!(index_entries(&log, &directory, 0), [after(195), after(198)]);
}

#[test]
fn a_write_that_can_not_be_undone_ends_the_log() {
    let directory = data_directory();
    let log = open(&directory, &small());
    append_numbered(&log, 3);
    let segment = active(&log);
    let original = segment.log().writable().unwrap();
    // Neither a write nor a cut works on it.
    segment
        .log()
        .hold(File::open(segment_file(&directory, 0, LOG_SUFFIX)).unwrap());
    assert!(matches!(log.append(one("x")), Err(Error::Io { .. })));
    segment.log().hold(original.try_clone().unwrap());
    assert!(matches!(log.append(one("x")), Err(Error::Io { .. })), "for ever");
    assert_eq!(values(&log), numbers(0..3), "but it is read");
}

#[test]
fn after_a_failed_flush_nothing_is_accepted() {
    let directory = data_directory();
    let log = open(&directory, &small());
    append_numbered(&log, 3);
    let segment = active(&log);
    let original = segment.log().writable().unwrap();
    // A pipe can't be flushed.
    let (pipe, _writer) = std::io::pipe().unwrap();
    segment.log().hold(File::from(OwnedFd::from(pipe)));
    assert!(matches!(log.flush(), Err(Error::Io { .. })));
    segment.log().hold(original.try_clone().unwrap());
    for result in [
        log.append(one("x")).map(drop),
        log.append_replicated(&bytes_of_entry("x")).map(drop),
        log.flush(),
        log.truncate_to(1),
        log.truncate_fully_and_start_at(0),
        log.close(),
    ] {
        assert!(matches!(result, Err(Error::Io { .. })), "{result:?}");
    }
    assert_eq!(log.recovery_point(), 0);
    assert_eq!(values(&log), numbers(0..3));
}

#[test]
fn a_segment_that_can_not_be_created_costs_nothing() {
    let directory = data_directory();
    let log = open(&directory, &small());
    append_numbered(&log, 20);
    // Its name is taken by a directory with something in it.
    let obstacle = segment_file(&directory, 20, INDEX_SUFFIX);
    fs::create_dir_all(obstacle.join("x")).unwrap();
    for _ in 0..2 {
        assert!(matches!(log.append(one("x")), Err(Error::Io { .. })));
        assert_eq!(values(&log), numbers(0..20));
        assert!(!segment_file(&directory, 20, LOG_SUFFIX).exists());
    }
    fs::remove_dir_all(obstacle).unwrap();
    append_numbered(&log, 1);
    assert_eq!(base_offsets(&log), [0, 20]);
}

/// A plain message as an entry, with offset 0.
fn bytes_of_entry(value: &str) -> Vec<u8> {
    one(value).assign(0, &Limits::default()).unwrap().bytes().to_vec()
}

/// Numbered messages as a leader sends them.
fn from_leader(offsets: std::ops::Range<i64>) -> Vec<u8> {
    let set = set(Codec::None, offsets.clone().map(numbered));
    set.assign(offsets.start, &Limits::default())
        .unwrap()
        .bytes()
        .to_vec()
}

#[test]
fn replicated_messages_keep_their_offsets_and_bytes() {
    let directory = data_directory();
    let log = open(&directory, &small());
    let wrapper = set(Codec::Gzip, (10..15).map(numbered))
        .assign(10, &Limits::default())
        .unwrap();
    let all = [from_leader(3..6), wrapper.bytes().to_vec(), from_leader(20..21)].concat();
    let torn = [all.as_slice(), &from_leader(21..22)[..30]].concat();
    let appended = log.append_replicated(&torn).unwrap();
    assert_eq!(
        appended,
        Appended {
            base_offset: 0,
            end_offset: 21,
            flush_due: false,
        }
    );
    assert_eq!(fs::read(segment_file(&directory, 0, LOG_SUFFIX)).unwrap(), all);
    let expected = [numbers(3..6), numbers(10..15), numbers(20..21)].concat();
    assert_eq!(values(&log), expected);
    let nothing = log.append_replicated(&from_leader(21..22)[..49]).unwrap();
    assert_eq!(
        nothing,
        Appended {
            base_offset: 21,
            end_offset: 21,
            flush_due: false,
        }
    );
}

#[test]
fn replicated_messages_must_continue_the_log() {
    let directory = data_directory();
    let log = open(&directory, &small());
    log.append_replicated(&from_leader(0..5)).unwrap();
    let again = log.append_replicated(&from_leader(4..6));
    assert!(
        matches!(again, Err(Error::OutOfOrder { offset: 4, end: 5 })),
        "{again:?}"
    );
    let backwards = log.append_replicated(&[from_leader(6..8), from_leader(7..8)].concat());
    assert!(
        matches!(backwards, Err(Error::OutOfOrder { offset: 7, end: 8 })),
        "{backwards:?}"
    );
    let mut corrupt = from_leader(5..7);
    corrupt[99] ^= 1;
    let corrupt = log.append_replicated(&corrupt);
    assert!(
        matches!(corrupt, Err(Error::Message(message::Error::Crc { .. }))),
        "{corrupt:?}"
    );
    assert_eq!(values(&log), numbers(0..5));
}

#[test]
fn replicated_messages_are_spread_over_segments_and_have_no_limit() {
    let directory = data_directory();
    let log = open(
        &directory,
        &LogConfig {
            max_message_bytes: 10,
            ..small()
        },
    );
    log.append_replicated(&from_leader(0..50)).unwrap();
    assert_eq!(base_offsets(&log), [0, 20, 40]);
    let mut large = bytes_of_entry(&"x".repeat(3000));
    large[..8].copy_from_slice(&50_i64.to_be_bytes());
    log.append_replicated(&[large, from_leader(51..52)].concat())
        .unwrap();
    assert_eq!(base_offsets(&log), [0, 20, 40, 50, 51]);
    assert_eq!(values(&log).len(), 52);
    assert_eq!(log.size_bytes(), 51 * NUMBERED_LEN + 3026);
}

#[test]
fn a_segment_that_grows_has_room_ahead_until_nobody_appends_to_it() {
    let directory = data_directory();
    let config = LogConfig {
        segment_bytes: 12 << 20,
        ..LogConfig::default()
    };
    let mut log = open(&directory, &config);
    let value = "v".repeat(500_000);
    let grow = |log: &Log| {
        while active(log).len() < 8 << 20 {
            log.append(one(&value)).unwrap();
        }
        base_offsets(log).pop().unwrap()
    };
    let unused = |base_offset| {
        let metadata = fs::metadata(segment_file(&directory, base_offset, LOG_SUFFIX)).unwrap();
        (metadata.blocks() * 512).saturating_sub(metadata.len())
    };
    // What the file system keeps about the file counts, too.
    let (some, none) = (100 << 10.., 0..64 << 10);
    let first = grow(&log);
    assert!(some.contains(&unused(first)));
    log.truncate_to(log.log_end_offset() - 1).unwrap();
    assert!(none.contains(&unused(first)), "cut");
    grow(&log);
    assert!(some.contains(&unused(first)));
    while base_offsets(&log).len() == 1 {
        log.append(one(&value)).unwrap();
    }
    log.flush().unwrap();
    assert!(none.contains(&unused(first)), "closed");

    // As after a crash behind a flush, by which nothing has to be read again.
    let second = grow(&log);
    assert!(some.contains(&unused(second)));
    let recovery_point = log.log_end_offset();
    drop(log);
    log = try_open(directory.path(), LastStop::Unclean { recovery_point }, &config).unwrap();
    while base_offsets(&log).len() == 2 {
        log.append(one(&value)).unwrap();
    }
    log.flush().unwrap();
    assert!(none.contains(&unused(second)), "left by an earlier run");

    let third = grow(&log);
    assert!(some.contains(&unused(third)));
    log.close().unwrap();
    assert!(none.contains(&unused(third)), "stopped");
}
