//! A crash at any moment leaves a prefix, and a log that can be appended to.

use std::fs;

use crate::log::recovery::LastStop;
use crate::log::segment::LOG_SUFFIX;
use crate::log::testing::CRASH;
use crate::log::testing::NUMBERED_LEN;
use crate::log::testing::append_numbered;
use crate::log::testing::data_directory;
use crate::log::testing::numbers;
use crate::log::testing::open;
use crate::log::testing::segment_file;
use crate::log::testing::set;
use crate::log::testing::small;
use crate::log::testing::try_open;
use crate::log::testing::values;
use crate::message::Codec;

/// A segment of plain messages and wrappers, and where each message's entry ends.
fn mixed_segment() -> (Vec<u8>, Vec<u64>) {
    let directory = data_directory();
    let log = open(&directory, &small());
    let mut ends = Vec::new();
    for codec in [
        Codec::None,
        Codec::Gzip,
        Codec::None,
        Codec::Snappy,
        Codec::Lz4,
        Codec::None,
    ] {
        let from = log.log_end_offset();
        let values = (from..from + 2).map(crate::log::testing::numbered);
        log.append(set(codec, values)).unwrap();
        let end = log.size_bytes();
        ends.extend(if codec == Codec::None {
            [end - NUMBERED_LEN, end]
        } else {
            [end; 2]
        });
    }
    (fs::read(segment_file(&directory, 0, LOG_SUFFIX)).unwrap(), ends)
}

#[test]
fn a_segment_cut_at_any_byte_opens_as_a_prefix_and_takes_appends() {
    let (bytes, ends) = mixed_segment();
    for last_stop in [CRASH, LastStop::Clean] {
        for len in 0..=bytes.len() {
            let directory = data_directory();
            fs::write(segment_file(&directory, 0, LOG_SUFFIX), &bytes[..len]).unwrap();
            let whole = ends.iter().filter(|&&end| end <= len as u64).count() as i64;

            let log = try_open(directory.path(), last_stop, &small()).unwrap();
            assert_eq!(log.log_end_offset(), whole, "cut at {len}");
            assert_eq!(values(&log), numbers(0..whole), "cut at {len}");
            append_numbered(&log, 3);
            assert_eq!(values(&log), numbers(0..whole + 3), "cut at {len}");
            drop(log);
            let log = open(&directory, &small());
            assert_eq!(values(&log), numbers(0..whole + 3), "cut at {len}, opened again");
        }
    }
}

#[test]
fn an_older_segment_cut_at_any_byte_ends_the_log() {
    let directory = data_directory();
    let log = open(&directory, &small());
    append_numbered(&log, 25);
    assert_eq!(log.segments().unwrap().len(), 2);
    drop(log);
    for len in 0..1000 {
        let copied = data_directory();
        crate::log::testing::copy(directory.path(), copied.path());
        let file = fs::File::options()
            .write(true)
            .open(segment_file(&copied, 0, LOG_SUFFIX))
            .unwrap();
        file.set_len(len).unwrap();
        let log = open(&copied, &small());
        let whole = i64::try_from(len / NUMBERED_LEN).unwrap();
        if len % NUMBERED_LEN == 0 {
            // As in 0.8.2.2: nothing shows that something is missing.
            assert_eq!(log.log_end_offset(), 25);
        } else {
            assert_eq!(values(&log), numbers(0..whole), "cut at {len}");
            append_numbered(&log, 1);
            assert_eq!(values(&log), numbers(0..whole + 1), "cut at {len}");
        }
    }
}

#[test]
fn whatever_follows_the_last_entry_is_cut_off() {
    let (bytes, _) = mixed_segment();
    let huge = [0, 0, 0, 0, 0, 0, 0, 99, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3, 4];
    let negative = [0, 0, 0, 0, 0, 0, 0, 99, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
    let zeros = [0; 5000];
    // A copy of the first entry: whole, but its offset goes back.
    let backwards = &bytes[..50];
    for tail in [&huge[..], &negative, &zeros, backwards, &[7; 100]] {
        for last_stop in [CRASH, LastStop::Clean] {
            let directory = data_directory();
            fs::write(segment_file(&directory, 0, LOG_SUFFIX), [&bytes, tail].concat()).unwrap();
            let log = try_open(directory.path(), last_stop, &small()).unwrap();
            assert_eq!(log.size_bytes(), bytes.len() as u64, "{last_stop:?} {tail:?}");
            assert_eq!(values(&log), numbers(0..12));
        }
    }
}

#[test]
fn any_byte_that_flips_costs_only_what_comes_after_it() {
    let (bytes, ends) = mixed_segment();
    for at in 0..bytes.len() {
        let directory = data_directory();
        let mut broken = bytes.clone();
        broken[at] ^= 0x10;
        fs::write(segment_file(&directory, 0, LOG_SUFFIX), &broken).unwrap();
        let log = open(&directory, &small());
        let before = ends.iter().filter(|&&end| end <= at as u64).count();
        // Offsets are not covered by the checksum: one that became larger is a gap.
        let read = values(&log);
        assert_eq!(read[..before], numbers(0..before as i64), "byte {at}");
        log.append(crate::log::testing::one("next")).unwrap();
        assert_eq!(values(&log).last().unwrap().1, "next");
    }
}
