use super::*;
use crate::log::LogConfig;
use crate::log::recovery::LastStop;
use crate::log::testing::CRASH;
use crate::log::testing::NUMBERED_LEN;
use crate::log::testing::append_numbered;
use crate::log::testing::bytes_of;
use crate::log::testing::data_directory;
use crate::log::testing::numbered;
use crate::log::testing::one;
use crate::log::testing::open;
use crate::log::testing::segment_file;
use crate::log::testing::set;
use crate::log::testing::small;
use crate::log::testing::try_open;
use crate::message::Codec;
use crate::message::entry::entries;

/// Shallow offsets and the length of what is read.
fn read(log: &Log, offset: i64, max_bytes: u64, below: Option<i64>) -> (Vec<i64>, u64) {
    let Some(slice) = log.read(offset, max_bytes, below).unwrap().messages else {
        return (Vec::new(), 0);
    };
    let bytes = bytes_of(&slice);
    (entries(&bytes).map(|entry| entry.unwrap().0).collect(), slice.len)
}

/// Three segments of 20, 20 and 5 messages.
fn three_segments(directory: &tempfile::TempDir) -> Log {
    let log = open(directory, &small());
    append_numbered(&log, 45);
    log
}

#[test]
fn only_offsets_that_the_log_has_are_read() {
    let directory = data_directory();
    let log = open(&directory, &small());
    log.truncate_fully_and_start_at(10).unwrap();
    assert_eq!(read(&log, 10, 100, None), (vec![], 0), "the end");
    append_numbered(&log, 2);
    assert_eq!(read(&log, 12, 100, None), (vec![], 0), "the end");
    assert_eq!(
        read(&log, 12, 100, Some(10)),
        (vec![], 0),
        "the end, wherever the bound is"
    );
    for asked in [9, 13, -1, i64::MAX] {
        let error = log.read(asked, 100, None).unwrap_err();
        assert!(
            matches!(
                error,
                Error::OffsetOutOfRange {
                    first: 10,
                    end: 12,
                    ..
                }
            ),
            "{error}"
        );
    }
    let error = log.read(11, 100, Some(10)).unwrap_err();
    assert!(
        matches!(error, Error::BeyondBound { asked: 11, bound: 10 }),
        "{error}"
    );
    assert_eq!(
        read(&log, 11, 100, Some(11)),
        (vec![], 0),
        "nothing is below the bound"
    );
}

#[test]
fn the_limit_is_kept_to_the_byte() {
    let directory = data_directory();
    let log = three_segments(&directory);
    assert_eq!(read(&log, 3, 0, None), (vec![], 0));
    assert_eq!(read(&log, 3, 1, None), (vec![], 1));
    assert_eq!(read(&log, 3, 49, None), (vec![], 49));
    assert_eq!(read(&log, 3, 50, None), (vec![3], 50));
    assert_eq!(read(&log, 3, 130, None), (vec![3, 4], 130));
    assert_eq!(
        read(&log, 3, u64::MAX, None),
        ((3..20).collect(), 17 * NUMBERED_LEN),
        "one segment"
    );
}

#[test]
fn the_end_of_a_closed_segment_is_told() {
    let directory = data_directory();
    let log = three_segments(&directory);
    let ends = |offset, max_bytes, below| log.read(offset, max_bytes, below).unwrap().ends_closed_segment;
    assert!(ends(3, 10_000, None));
    assert!(ends(19, 50, Some(45)));
    assert!(!ends(3, 100, None), "the limit came first");
    assert!(!ends(3, 10_000, Some(10)), "the bound came first");
    assert!(!ends(40, 10_000, None), "it is appended to");
}

/// Every start and bound gives what a walk over all entries gives, with the positions of recent appends at
/// hand and without.
#[test]
fn every_stretch_is_found() {
    let directory = data_directory();
    let config = LogConfig {
        segment_bytes: 700,
        ..small()
    };
    let log = open(&directory, &config);
    let mut shallow = Vec::new();
    for (n, codec) in [Codec::None, Codec::Gzip, Codec::None, Codec::Snappy]
        .into_iter()
        .cycle()
        .take(24)
        .enumerate()
    {
        let from = log.log_end_offset();
        let count = 1 + (n as i64 * 7) % 4;
        log.append(set(codec, (from..from + count).map(numbered)))
            .unwrap();
        if codec == Codec::None {
            shallow.extend(from..from + count);
        } else {
            shallow.push(from + count - 1);
        }
    }
    let end = log.log_end_offset();
    let bases: Vec<_> = log
        .segments()
        .unwrap()
        .iter()
        .map(|segment| segment.base_offset)
        .collect();
    assert!(bases.len() > 2);
    let reopened = try_open(directory.path(), CRASH, &config).unwrap();
    for log in [&log, &reopened] {
        for start in 0..end {
            for below in (start..=end).map(Some).chain([None]) {
                let base = *bases.iter().rfind(|&&base| base <= start).unwrap();
                let next = bases.iter().find(|&&other| other > base).copied().unwrap_or(end);
                let stop = below.unwrap_or(end).min(next);
                let expected: Vec<_> = shallow
                    .iter()
                    .copied()
                    .filter(|&offset| offset >= start && offset < stop)
                    .collect();
                assert_eq!(read(log, start, 100_000, below).0, expected, "{start}..{below:?}");
            }
        }
    }
}

#[test]
fn offsets_in_a_gap_are_read_from_the_next_message_on() {
    let directory = data_directory();
    let log = open(&directory, &small());
    for from in [5, 30] {
        let set = set(Codec::None, (from..from + 3).map(numbered));
        log.append_replicated(set.assign(from, &log.config().limits()).unwrap().bytes())
            .unwrap();
    }
    assert_eq!(read(&log, 0, 1000, None).0, [5, 6, 7, 30, 31, 32]);
    assert_eq!(read(&log, 8, 1000, None).0, [30, 31, 32]);
    assert_eq!(read(&log, 8, 1000, Some(20)).0, Vec::<i64>::new());
    assert_eq!(read(&log, 6, 1000, Some(20)).0, [6, 7]);
}

#[test]
fn a_gap_at_a_segments_end_is_read_from_the_next_segment() {
    let directory = data_directory();
    let log = three_segments(&directory);
    drop(log);
    // As compaction leaves it: the first segment has lost its end, the second everything.
    let cut = |base_offset, len| {
        let path = segment_file(&directory, base_offset, "log");
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(len)
            .unwrap();
        std::fs::remove_file(segment_file(&directory, base_offset, "index")).unwrap();
    };
    cut(0, 500);
    cut(20, 0);
    let log = try_open(directory.path(), LastStop::Clean, &small()).unwrap();
    assert_eq!(read(&log, 9, 1000, None).0, [9]);
    for offset in [10, 19, 20, 39, 40] {
        assert_eq!(
            read(&log, offset, 1000, None).0,
            [40, 41, 42, 43, 44],
            "from {offset}"
        );
    }
}

#[test]
fn only_the_end_of_the_log_is_warm() {
    let directory = data_directory();
    let log = three_segments(&directory);
    let cold = |log: &Log, offset| log.read(offset, 10, None).unwrap().messages.unwrap().cold;
    assert!(cold(&log, 3) && cold(&log, 39));
    assert!(!cold(&log, 40) && !cold(&log, 44));

    let directory = data_directory();
    let log = open(&directory, &LogConfig::default());
    let value = "x".repeat(1_000_000 - 26);
    for _ in 0..70 {
        log.append(one(&value)).unwrap();
    }
    // 64 MiB are 67.1 of them.
    assert!(cold(&log, 0) && cold(&log, 2));
    assert!(!cold(&log, 3) && !cold(&log, 69));
}

#[test]
fn what_is_no_entry_is_an_error_with_its_place() {
    let directory = data_directory();
    let log = three_segments(&directory);
    let path = segment_file(&directory, 0, "log");
    let file = File::options().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 4], 8 + 4 * NUMBERED_LEN).unwrap();
    let error = log.read(5, 100, None).unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { path: p, position: 200 } if *p == path),
        "{error}"
    );
    assert_eq!(
        read(&log, 6, 50, None).0,
        [6],
        "others are found through the index"
    );
}

#[test]
fn a_deleted_segment_is_read_to_its_end_by_those_who_have_it() {
    let directory = data_directory();
    let log = three_segments(&directory);
    let slice = log.read(3, 100, None).unwrap().messages.unwrap();
    log.truncate_fully_and_start_at(0).unwrap();
    log.delete_due_files(Instant::now() + Duration::from_secs(3600))
        .unwrap();
    append_numbered(&log, 3);
    assert_eq!(entries(&bytes_of(&slice)).next().unwrap().unwrap().0, 3);
}
