use std::time::Duration;
use std::time::SystemTime;

use bytes::BytesMut;
use tempfile::TempDir;

use super::*;
use crate::log::CleanupPolicy;
use crate::log::Log;
use crate::log::testing::CRASH;
use crate::log::testing::append_numbered;
use crate::log::testing::data_directory;
use crate::log::testing::files;
use crate::log::testing::numbered;
use crate::log::testing::numbers;
use crate::log::testing::open;
use crate::log::testing::said_about;
use crate::log::testing::segment_file;
use crate::log::testing::set;
use crate::log::testing::small;
use crate::log::testing::try_open;
use crate::log::testing::values;
use crate::message::Codec;

/// Segments at 0, 20 and 40, closed properly.
fn three_segments() -> TempDir {
    let directory = data_directory();
    let log = open(&directory, &small());
    append_numbered(&log, 45);
    log.close().unwrap();
    directory
}

fn reopen(directory: &TempDir, last_stop: LastStop) -> Log {
    try_open(directory.path(), last_stop, &small()).unwrap()
}

fn read(directory: &TempDir, base_offset: i64, suffix: &str) -> Vec<u8> {
    fs::read(segment_file(directory, base_offset, suffix)).unwrap()
}

fn write(directory: &TempDir, base_offset: i64, suffix: &str, bytes: &[u8]) {
    fs::write(segment_file(directory, base_offset, suffix), bytes).unwrap();
}

/// Changes a byte of the message with this offset.
fn corrupt(directory: &TempDir, base_offset: i64, offset: i64) {
    let mut bytes = read(directory, base_offset, LOG_SUFFIX);
    let entry = usize::try_from((offset - base_offset) * 50).unwrap();
    bytes[entry + 45] ^= 1;
    write(directory, base_offset, LOG_SUFFIX, &bytes);
}

#[test]
fn an_empty_directory_is_a_log_that_starts_at_0() {
    let directory = data_directory();
    let log = reopen(&directory, LastStop::Clean);
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, 0));
    assert_eq!(read(&directory, 0, INDEX_SUFFIX), [0; 1024]);
}

#[test]
fn recovery_makes_the_same_indexes_as_appending() {
    let directory = three_segments();
    let indexes = [0, 20, 40].map(|base_offset| read(&directory, base_offset, INDEX_SUFFIX));
    for garbage in [&[][..], &[1; 77], &[0; 1024]] {
        for base_offset in [0, 20, 40] {
            write(&directory, base_offset, INDEX_SUFFIX, garbage);
        }
        let log = reopen(&directory, CRASH);
        assert_eq!(values(&log), numbers(0..45));
        log.close().unwrap();
        assert_eq!(
            [0, 20, 40].map(|base_offset| read(&directory, base_offset, INDEX_SUFFIX)),
            indexes
        );
    }
}

#[test]
fn file_times_stay_unless_something_is_cut() {
    let directory = three_segments();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_400_000_000);
    for base_offset in [0, 20, 40] {
        let file = fs::File::options()
            .write(true)
            .open(segment_file(&directory, base_offset, LOG_SUFFIX));
        file.unwrap().set_modified(then).unwrap();
    }
    for last_stop in [CRASH, LastStop::Clean] {
        let log = reopen(&directory, last_stop);
        assert!(
            log.segments()
                .unwrap()
                .iter()
                .all(|segment| segment.modified == then)
        );
        log.close().unwrap();
    }
    let log = reopen(&directory, LastStop::Clean);
    assert!(
        log.segments()
            .unwrap()
            .iter()
            .all(|segment| segment.modified == then)
    );
}

#[test]
fn only_segments_that_may_not_be_flushed_are_checked() {
    let cases = [
        (0, 0),
        (19, 0),
        (20, 20),
        (39, 20),
        (40, 40),
        (45, 40),
        (1000, 40),
    ];
    for (recovery_point, from) in cases {
        for (damaged, end) in [(5, 5), (25, 25), (42, 42)] {
            let directory = three_segments();
            corrupt(&directory, damaged / 20 * 20, damaged);
            let log = reopen(&directory, LastStop::Unclean { recovery_point });
            let expected = if damaged >= from { end } else { 45 };
            assert_eq!(
                log.log_end_offset(),
                expected,
                "recovery point {recovery_point}, damage at {damaged}"
            );
            assert_eq!(log.recovery_point(), recovery_point.min(expected));
        }
    }
}

#[test]
fn without_a_segment_below_the_recovery_point_all_are_checked() {
    let directory = data_directory();
    let log = open(&directory, &small());
    log.truncate_fully_and_start_at(100).unwrap();
    append_numbered(&log, 30);
    log.close().unwrap();
    corrupt(&directory, 100, 105);
    let log = reopen(&directory, LastStop::Unclean { recovery_point: 50 });
    assert_eq!(values(&log), numbers(100..105));
}

#[test]
fn segments_after_one_that_is_cut_go() {
    let directory = three_segments();
    corrupt(&directory, 20, 25);
    let log = reopen(&directory, CRASH);
    assert_eq!(values(&log), numbers(0..25));
    let names: Vec<_> = files(&directory.path().join("t-0"))
        .into_iter()
        .map(|file| file.0)
        .collect();
    let deleted = [
        "00000000000000000040.index.deleted",
        "00000000000000000040.log.deleted",
    ];
    assert_eq!(names[4..], deleted);
    append_numbered(&log, 30);
    assert_eq!(values(&log), numbers(0..55));
    log.delete_due_files(std::time::Instant::now() + Duration::from_secs(61))
        .unwrap();
    assert!(
        !files(&directory.path().join("t-0"))
            .iter()
            .any(|file| deleted.contains(&file.0.as_str()))
    );
}

#[test]
fn damage_below_a_clean_stop_costs_nobody_else() {
    let directory = three_segments();
    corrupt(&directory, 20, 25);
    fs::remove_file(segment_file(&directory, 20, INDEX_SUFFIX)).unwrap();
    let log = reopen(&directory, LastStop::Clean);
    assert_eq!(log.log_end_offset(), 45);
    assert_eq!(log.segments().unwrap()[1].size, 1000);
}

#[test]
fn an_index_that_can_not_be_right_is_made_anew() {
    let good = {
        let directory = three_segments();
        [0, 20, 40].map(|base_offset| read(&directory, base_offset, INDEX_SUFFIX))
    };
    let trailing_zeros = [&good[0][..], &[0; 16]].concat();
    let beyond_the_end = [0, 0, 0, 1, 0, 0, 4, 1];
    for bad in [&good[0][..13], &trailing_zeros, &[0; 8], &beyond_the_end] {
        for (at, base_offset) in [0, 20, 40].into_iter().enumerate() {
            let directory = three_segments();
            write(&directory, base_offset, INDEX_SUFFIX, bad);
            let log = reopen(&directory, LastStop::Clean);
            assert_eq!(values(&log), numbers(0..45));
            log.close().unwrap();
            assert_eq!(
                read(&directory, base_offset, INDEX_SUFFIX),
                good[at],
                "{bad:?} for {base_offset}"
            );
        }
    }
}

#[test]
fn an_index_of_other_messages_is_made_anew() {
    let directory = three_segments();
    // In the middle of an entry; then at one, but with a larger offset than that has.
    for wrong in [[0, 0, 0, 3, 0, 0, 0, 151], [0, 0, 0, 4, 0, 0, 0, 150]] {
        write(&directory, 40, INDEX_SUFFIX, &wrong);
        let log = reopen(&directory, LastStop::Clean);
        assert_eq!(values(&log), numbers(0..45));
        log.close().unwrap();
        assert_eq!(read(&directory, 40, INDEX_SUFFIX), [0, 0, 0, 3, 0, 0, 0, 150]);
    }
}

#[test]
fn messages_beyond_the_limit_are_kept() {
    let directory = three_segments();
    let lowered = LogConfig {
        max_message_bytes: 10,
        ..small()
    };
    let log = try_open(directory.path(), CRASH, &lowered).unwrap();
    assert_eq!(values(&log), numbers(0..45));
}

#[test]
fn wrappers_are_indexed_by_their_first_message() {
    let directory = data_directory();
    let log = open(&directory, &small());
    for from in [0, 10, 20] {
        log.append(set(Codec::Snappy, (from..from + 10).map(numbered)))
            .unwrap();
    }
    log.close().unwrap();
    let index = read(&directory, 0, INDEX_SUFFIX);
    assert_eq!(index.iter().step_by(4).count(), 4, "two entries");
    assert_eq!([index[3], index[11]], [10, 20]);
    fs::remove_file(segment_file(&directory, 0, INDEX_SUFFIX)).unwrap();
    reopen(&directory, CRASH).close().unwrap();
    assert_eq!(read(&directory, 0, INDEX_SUFFIX), index);
}

/// The offset of a wrapper is not covered by a checksum.
#[test]
fn a_wrapper_with_another_offset_hides_none_behind_it() {
    let directory = data_directory();
    let log = open(&directory, &small());
    for from in [0, 10, 20] {
        log.append(set(Codec::Snappy, (from..from + 10).map(numbered)))
            .unwrap();
    }
    log.close().unwrap();
    let mut bytes = read(&directory, 0, LOG_SUFFIX);
    let second = 12 + usize::try_from(u32::from_be_bytes(bytes[8..12].try_into().unwrap())).unwrap();
    let third = second
        + 12
        + usize::try_from(u32::from_be_bytes(
            bytes[second + 8..second + 12].try_into().unwrap(),
        ))
        .unwrap();
    // 19 and 29 become great numbers, while those inside stay.
    bytes[second + 6] = 1;
    bytes[third + 6] = 2;
    write(&directory, 0, LOG_SUFFIX, &bytes);
    let log = reopen(&directory, CRASH);
    let found = log.read(0x100, 1 << 20, None).unwrap().messages.unwrap();
    assert_eq!(found.position, u64::try_from(second).unwrap());
}

#[test]
fn a_wrapper_that_can_not_be_opened_is_kept() {
    let directory = data_directory();
    let log = open(
        &directory,
        &LogConfig {
            segment_bytes: 10_000,
            ..small()
        },
    );
    append_numbered(&log, 5);
    // Says that it is compressed, but is not.
    let mut broken = BytesMut::from(
        set(Codec::None, [numbered(5)])
            .assign(5, &log.config().limits())
            .unwrap()
            .bytes(),
    );
    broken[17] = 1;
    let crc = crc32fast::hash(&broken[16..]);
    broken[12..16].copy_from_slice(&crc.to_be_bytes());
    log.append_replicated(&broken).unwrap();
    append_numbered(&log, 5);
    let bytes = read(&directory, 0, LOG_SUFFIX);
    drop(log);
    let log = reopen(&directory, CRASH);
    assert_eq!(log.log_end_offset(), 11);
    assert_eq!(read(&directory, 0, LOG_SUFFIX), bytes);
}

#[test]
fn files_that_are_no_segments_are_left_alone() {
    let directory = three_segments();
    let partition = directory.path().join("t-0");
    for name in [
        "abc.log",
        "abc.index",
        "7.log",
        "-0000000000000000007.log",
        "x.swap",
        "notes.txt",
    ] {
        fs::write(partition.join(name), "x").unwrap();
    }
    fs::create_dir(partition.join("00000000000000000060.log")).unwrap();
    // Whatever their names are.
    fs::write(partition.join("abc.deleted"), "x").unwrap();
    write(&directory, 60, INDEX_SUFFIX, &[0; 8]);
    let log = reopen(&directory, LastStop::Clean);
    assert_eq!(values(&log), numbers(0..45));
    let names: Vec<_> = files(&partition).into_iter().map(|file| file.0).collect();
    assert!(
        ["abc.log", "7.log", "x.swap", "notes.txt"]
            .iter()
            .all(|name| names.iter().any(|n| n == name))
    );
    assert!(!names.iter().any(|name| name == "abc.deleted"));
    assert!(
        !segment_file(&directory, 60, INDEX_SUFFIX).exists(),
        "an index without messages goes"
    );
}

#[test]
fn segments_that_do_not_fit_together_are_served_and_told() {
    for (last_stop, tells) in [(CRASH, true), (LastStop::Clean, false)] {
        // After a clean stop older segments are not looked at.
        let told = |said: &[String], telling: &str| {
            let expected = usize::from(tells);
            said.len() == expected && said.iter().all(|line| line.contains(telling))
        };
        let overlap = |directory: &TempDir| {
            let bytes = read(directory, 0, LOG_SUFFIX);
            write(directory, 10, LOG_SUFFIX, &bytes[500..]);
        };
        let (served, said) = opened_after(overlap, last_stop, CleanupPolicy::Delete);
        assert_eq!(served, numbers(0..45));
        let telling = "1 segments overlap the next one; the first ends at offset 20, the next begins at 10";
        assert!(told(&said, telling), "{said:?}");

        let gap = |directory: &TempDir| {
            for suffix in [LOG_SUFFIX, INDEX_SUFFIX] {
                fs::remove_file(segment_file(directory, 20, suffix)).unwrap();
            }
        };
        let (served, said) = opened_after(gap, last_stop, CleanupPolicy::Delete);
        assert_eq!(served, [numbers(0..20), numbers(40..45)].concat());
        let telling = "in 1 places; the first gap is from offset 20 to 40";
        assert!(told(&said, telling), "{said:?}");
        // Compaction leaves gaps.
        assert!(opened_after(gap, last_stop, CleanupPolicy::Compact).1.is_empty());
        assert!(
            opened_after(|_| (), last_stop, CleanupPolicy::Delete)
                .1
                .is_empty()
        );
    }
}

/// What three segments serve after a change, and what was said of it, but for indexes.
fn opened_after(
    change: impl Fn(&TempDir),
    last_stop: LastStop,
    cleanup_policy: CleanupPolicy,
) -> (Vec<(i64, String)>, Vec<String>) {
    let directory = three_segments();
    said_about(directory.path());
    change(&directory);
    let config = LogConfig {
        cleanup_policy,
        ..small()
    };
    let log = try_open(directory.path(), last_stop, &config).unwrap();
    assert_eq!(log.log_end_offset(), 45);
    let mut served = values(&log);
    served.dedup();
    let said = said_about(directory.path());
    let said = said
        .lines()
        .filter(|line| !line.contains("making the index anew"));
    (served, said.map(str::to_owned).collect())
}

#[test]
fn segments_beyond_1_gib_are_opened() {
    let directory = data_directory();
    let config = LogConfig {
        index_interval_bytes: 1 << 20,
        ..LogConfig::default()
    };
    let log = open(&directory, &config);
    append_numbered(&log, 3);
    log.close().unwrap();
    // A message of 1.2 GB: a hole, so that it takes no room on the disk.
    let mut head = set(Codec::None, [numbered(3)])
        .assign(3, &config.limits())
        .unwrap()
        .bytes()
        .to_vec();
    let size = 1_200_000_000_u32;
    head[8..12].copy_from_slice(&size.to_be_bytes());
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(segment_file(&directory, 0, LOG_SUFFIX))
        .unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &head, 150).unwrap();
    file.set_len(162 + u64::from(size)).unwrap();
    let log = try_open(directory.path(), LastStop::Clean, &config).unwrap();
    assert_eq!((log.log_end_offset(), log.size_bytes()), (4, 1_200_000_162));
    append_numbered(&log, 1);
    let segments = log.segments().unwrap();
    assert_eq!(
        segments
            .iter()
            .map(|segment| segment.base_offset)
            .collect::<Vec<_>>(),
        [0, 4]
    );
    let next = log.read(4, 100, None).unwrap().messages.unwrap();
    assert_eq!(next.len, 50);
}
