use std::fs;
use std::time::Duration;

use super::*;
use crate::log::segment::INDEX_SUFFIX;
use crate::log::segment::LOG_SUFFIX;
use crate::log::testing::append_numbered;
use crate::log::testing::data_directory;
use crate::log::testing::files;
use crate::log::testing::numbered;
use crate::log::testing::numbers;
use crate::log::testing::open;
use crate::log::testing::segment_file;
use crate::log::testing::set;
use crate::log::testing::small;
use crate::log::testing::values;
use crate::message::Codec;

#[test]
fn truncating_to_any_offset_leaves_what_is_below() {
    for offset in 0..=46 {
        let directory = data_directory();
        let log = open(&directory, &small());
        append_numbered(&log, 45);
        log.flush().unwrap();
        log.truncate_to(offset).unwrap();
        let end = offset.min(45);
        assert_eq!(log.log_end_offset(), end);
        assert_eq!(log.recovery_point(), end);
        assert_eq!(values(&log), numbers(0..end));
        append_numbered(&log, 30);
        assert_eq!(values(&log), numbers(0..end + 30), "truncated to {offset}");
        drop(log);
        assert_eq!(
            values(&open(&directory, &small())),
            numbers(0..end + 30),
            "opened again"
        );
    }
}

#[test]
fn the_last_segment_is_appended_to_as_if_it_had_never_been_closed() {
    let directory = data_directory();
    let log = open(&directory, &small());
    append_numbered(&log, 45);
    log.truncate_to(9).unwrap();
    let index = fs::read(segment_file(&directory, 0, INDEX_SUFFIX)).unwrap();
    let entries = [[0, 0, 0, 3, 0, 0, 0, 150], [0, 0, 0, 6, 0, 0, 1, 44]].concat();
    assert_eq!(index, [entries, vec![0; 1024 - 16]].concat());
    assert_eq!(
        fs::metadata(segment_file(&directory, 0, LOG_SUFFIX))
            .unwrap()
            .len(),
        450
    );
    let names: Vec<_> = files(&directory.path().join("t-0"))
        .into_iter()
        .map(|file| file.0)
        .collect();
    let expected = [
        "00000000000000000000.index",
        "00000000000000000000.log",
        "00000000000000000020.index.deleted",
        "00000000000000000020.log.deleted",
        "00000000000000000040.index.deleted",
        "00000000000000000040.log.deleted",
    ];
    assert_eq!(names, expected);
    log.delete_due_files(Instant::now()).unwrap();
    assert_eq!(files(&directory.path().join("t-0")).len(), 6, "not due yet");
    log.delete_due_files(Instant::now() + Duration::from_secs(61))
        .unwrap();
    assert_eq!(files(&directory.path().join("t-0")).len(), 2);
}

#[test]
fn a_wrapper_on_both_sides_goes_as_a_whole() {
    let directory = data_directory();
    let log = open(&directory, &small());
    append_numbered(&log, 5);
    log.append(set(Codec::Gzip, (5..15).map(numbered))).unwrap();
    log.truncate_to(10).unwrap();
    assert_eq!(log.log_end_offset(), 10, "the wished offset");
    assert_eq!(values(&log), numbers(0..5));
    // Fetched again, from there.
    let wrapper = set(Codec::Gzip, (5..15).map(numbered))
        .assign(5, &log.config().limits())
        .unwrap();
    log.append_replicated(wrapper.bytes()).unwrap();
    assert_eq!(values(&log), numbers(0..15));
    drop(log);
    assert_eq!(values(&open(&directory, &small())), numbers(0..15));
}

#[test]
fn below_the_start_everything_goes() {
    let directory = data_directory();
    let log = open(&directory, &small());
    log.truncate_fully_and_start_at(100).unwrap();
    append_numbered(&log, 30);
    log.truncate_to(50).unwrap();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset(), log.size_bytes()),
        (50, 50, 0)
    );
    append_numbered(&log, 2);
    assert_eq!(values(&log), numbers(50..52));
}

#[test]
fn everything_can_be_replaced() {
    let directory = data_directory();
    let log = open(&directory, &small());
    append_numbered(&log, 45);
    log.flush().unwrap();
    for offset in [45, 20, 1000, 0] {
        log.truncate_fully_and_start_at(offset).unwrap();
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (offset, offset));
        assert!(log.recovery_point() <= offset);
        append_numbered(&log, 3);
        assert_eq!(values(&log), numbers(offset..offset + 3));
    }
    drop(log);
    assert_eq!(values(&open(&directory, &small())), numbers(0..3));
}

#[test]
fn there_are_no_offsets_below_0() {
    let directory = data_directory();
    let log = open(&directory, &small());
    append_numbered(&log, 3);
    log.truncate_to(-1).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, 0));
    log.truncate_fully_and_start_at(-7).unwrap();
    append_numbered(&log, 3);
    assert_eq!(values(&log), numbers(0..3));
}
