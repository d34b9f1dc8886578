//! Opening a partition whose files hold anything: what is left is a prefix of sound entries, it can be read and appended
//! to, and opening it again changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use gregor::log::LastStop;
use gregor::log::Log;
use gregor::log::LogConfig;
use gregor::message::Codec;
use gregor::message::entry::entries;
use gregor::message::set::Limits;
use gregor::message::set::ProducedSet;
use gregor::message::set::SetBuilder;
use gregor::types::TopicPartition;
use tempfile::TempDir;

use super::fixtures;
use super::fixtures::Files;
use super::input::Input;
use super::input::put_counted;
use super::messages::bounds;
use super::messages::is_sound;
use super::messages::make_sound;
use super::messages::offset;
use super::within;

/// The files are cut off at the end of this input; nothing was flushed.
const UNCLEAN: u8 = 1;
/// The checksums are made right.
const SOUND: u8 = 2;
/// There is a second segment.
const SECOND: u8 = 4;
/// The first segment has no index.
const NO_INDEX: u8 = 8;
/// The last segment has none.
const NO_LAST_INDEX: u8 = 16;
/// The offsets are the last there are.
const LAST_OFFSETS: u8 = 32;

thread_local! {
    static DIRECTORY: TempDir = super::scratch();
}

/// A segment as it is found.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) base_offset: i64,
    pub(super) log: Vec<u8>,
    pub(super) index: Option<Vec<u8>>,
}

/// What must be left of it.
struct Left {
    base_offset: i64,
    log: Vec<u8>,
    /// Where entries begin, and their offsets.
    entries: Vec<(usize, i64)>,
}

/// Everything that others see of a log.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    start_offset: i64,
    end_offset: i64,
    /// Base offset and content of each segment.
    segments: Vec<(i64, Vec<u8>)>,
}

pub fn holds(input: &[u8]) {
    let mut rest = Input(input);
    let choice = rest.byte();
    let recovery_point = i64::from(rest.byte());
    let found = found(choice, &mut rest);
    let first = found[0].base_offset;
    let recovery_point = first.saturating_add(recovery_point);
    let nothing_flushed = found
        .get(1)
        .is_none_or(|second| recovery_point < second.base_offset);
    let last_stop = if choice & UNCLEAN == 0 {
        LastStop::Clean
    } else {
        LastStop::Unclean { recovery_point }
    };
    DIRECTORY.with(|directory| {
        lay_out(directory.path(), files(&found));
        let log = open(directory.path(), last_stop, 256 * input.len());
        if choice & UNCLEAN != 0 && nothing_flushed {
            is_what_was_left(&log, &left(&found, is_sound));
        } else {
            can_be_walked(&log);
        }
        can_be_appended_to(&log);
        let seen = seen(&log);
        log.close().unwrap();
        drop(log);
        // Opening takes long enough without doing it three times each time.
        let stops = if !crc32fast::hash(input).is_multiple_of(4) {
            vec![]
        } else if choice & UNCLEAN != 0 && nothing_flushed {
            vec![
                LastStop::Clean,
                LastStop::Unclean {
                    recovery_point: first,
                },
            ]
        } else {
            vec![LastStop::Clean]
        };
        for stop in stops {
            let again = open(directory.path(), stop, 256 * input.len());
            assert_eq!(
                self::seen(&again),
                seen,
                "opening it again after {stop:?} changes nothing"
            );
            again.close().unwrap();
        }
    });
}

/// Opens one segment, after a crash and after a clean stop: what is left are its first whole entries, in the former case
/// up to the first that has another checksum.
pub(super) fn is_prefix(found: &Found) {
    let found = std::slice::from_ref(found);
    let first = found[0].base_offset;
    let crash = LastStop::Unclean {
        recovery_point: first,
    };
    for (last_stop, left) in [
        (crash, left(found, is_sound)),
        (LastStop::Clean, left(found, |_| true)),
    ] {
        DIRECTORY.with(|directory| {
            lay_out(directory.path(), files(found));
            let log = open(directory.path(), last_stop, 256 * found[0].log.len());
            is_what_was_left(&log, &left);
            can_be_appended_to(&log);
        });
    }
}

/// Opens a partition in which segments were being swapped in or removed: of each segment that is there then, the first
/// whole entries are left. If nothing is known to be flushed, there is no segment behind one that has lost something.
pub(super) fn is_finished(all: &Files) {
    let found = finished(all);
    let first = found[0].base_offset;
    let crash = |recovery_point| LastStop::Unclean { recovery_point };
    let alone = || {
        found
            .iter()
            .flat_map(|one| left(std::slice::from_ref(one), |_| true))
    };
    for (last_stop, left) in [
        (crash(first), left(&found, is_sound)),
        (crash(i64::MAX), alone().collect()),
        (LastStop::Clean, alone().collect()),
    ] {
        DIRECTORY.with(|directory| {
            let bytes: usize = all.values().map(Vec::len).sum();
            let named = all.iter().map(|(name, bytes)| (name.clone(), &**bytes));
            lay_out(directory.path(), named);
            let log = open(directory.path(), last_stop, 256 * bytes);
            // Those that were removed may have their names again.
            let gone = |name: &&String| name.ends_with(".swap") || name.ends_with(".cleaned");
            for name in all.keys().filter(gone) {
                assert!(
                    !directory.path().join("t-0").join(name).exists(),
                    "{name} is there"
                );
            }
            is_what_was_left(&log, &left);
            can_be_appended_to(&log);
        });
    }
}

/// The segments that are there once everything is finished that was begun.
fn finished(files: &Files) -> Vec<Found> {
    let mut found: BTreeMap<i64, Found> = BTreeMap::new();
    for (ending, is_swapped_in) in [(".log", false), (".log.swap", true)] {
        for (name, log) in files {
            let Some(base_offset) = name.strip_suffix(ending) else {
                continue;
            };
            let index = files.get(&format!("{base_offset}.index")).cloned();
            let base_offset = base_offset.parse().unwrap();
            let segment = Found {
                base_offset,
                log: log.clone(),
                index: index.filter(|_| !is_swapped_in),
            };
            found.insert(base_offset, segment);
        }
    }
    found.into_values().collect()
}

fn found(choice: u8, rest: &mut Input<'_>) -> Vec<Found> {
    let second_base = i64::from(rest.byte()) + 1;
    let log = rest.counted().to_vec();
    let index = rest.counted().to_vec();
    let mut found = vec![Found {
        base_offset: if choice & LAST_OFFSETS == 0 {
            0
        } else {
            i64::MAX - 20
        },
        log,
        index: (choice & NO_INDEX == 0).then_some(index),
    }];
    if choice & SECOND != 0 && choice & LAST_OFFSETS == 0 {
        let index = rest.counted().to_vec();
        found.push(Found {
            base_offset: second_base,
            log: rest.0.to_vec(),
            index: (choice & NO_LAST_INDEX == 0).then_some(index),
        });
    }
    if choice & SOUND != 0 {
        found.iter_mut().for_each(|segment| make_sound(&mut segment.log));
    }
    found
}

fn name(base_offset: i64, suffix: &str) -> String {
    format!("{base_offset:020}.{suffix}")
}

fn files(found: &[Found]) -> impl Iterator<Item = (String, &[u8])> {
    found.iter().flat_map(|segment| {
        let log = (name(segment.base_offset, "log"), &*segment.log);
        let index = segment.index.as_deref();
        let index = index.map(|index| (name(segment.base_offset, "index"), index));
        [Some(log), index].into_iter().flatten()
    })
}

fn lay_out<'a>(directory: &Path, files: impl IntoIterator<Item = (String, &'a [u8])>) {
    let partition = directory.join("t-0");
    let _ = fs::remove_dir_all(&partition);
    fs::create_dir(&partition).unwrap();
    for (name, content) in files {
        fs::write(partition.join(name), content).unwrap();
    }
}

fn open(directory: &Path, last_stop: LastStop, memory: usize) -> Log {
    let config = LogConfig {
        segment_bytes: 1000,
        index_bytes: 64,
        index_interval_bytes: 50,
        ..LogConfig::default()
    };
    let partition = TopicPartition::new("t", 0);
    let opened = within(memory + (256 << 10), || {
        Log::open_alone(directory, partition, last_stop, config)
    });
    opened.expect("whatever is in the files, the log opens")
}

/// The entries up to the first that is not whole, does not follow, or that this does not keep.
fn left(found: &[Found], keeps: fn(&[u8]) -> bool) -> Vec<Left> {
    let mut all = Vec::new();
    for segment in found {
        let mut left = Left {
            base_offset: segment.base_offset,
            log: Vec::new(),
            entries: Vec::new(),
        };
        let mut least = segment.base_offset;
        for (start, end) in bounds(&segment.log) {
            let entry = &segment.log[start..end];
            let offset = offset(entry);
            if !keeps(entry) || offset < least || offset == i64::MAX {
                break;
            }
            least = offset + 1;
            left.log.extend_from_slice(entry);
            left.entries.push((start, offset));
        }
        let lost = left.log.len() < segment.log.len();
        all.push(left);
        if lost {
            break;
        }
    }
    all
}

fn seen(log: &Log) -> Seen {
    let segments = log.segments().unwrap();
    let content = |base_offset: i64, len: u64| {
        let content = fs::read(log.directory().join("t-0").join(name(base_offset, "log"))).unwrap();
        assert_eq!(content.len() as u64, len, "nothing comes after the messages");
        (base_offset, content)
    };
    Seen {
        start_offset: log.log_start_offset(),
        end_offset: log.log_end_offset(),
        segments: segments
            .iter()
            .map(|segment| content(segment.base_offset, segment.size))
            .collect(),
    }
}

fn is_what_was_left(log: &Log, left: &[Left]) {
    let last = left.last().unwrap();
    let expected = Seen {
        start_offset: left[0].base_offset,
        end_offset: last
            .entries
            .last()
            .map_or(last.base_offset, |(_, offset)| offset + 1),
        segments: left
            .iter()
            .map(|segment| (segment.base_offset, segment.log.clone()))
            .collect(),
    };
    assert_eq!(seen(log), expected);
    assert!(log.recovery_point() <= log.log_end_offset());
    let offsets = left
        .iter()
        .flat_map(|segment| &segment.entries)
        .map(|(_, offset)| *offset);
    let mut asked: Vec<i64> = offsets.flat_map(|offset| [offset, offset + 1]).collect();
    asked.push(log.log_start_offset());
    asked.retain(|offset| (log.log_start_offset()..log.log_end_offset()).contains(offset));
    for offset in asked {
        assert_eq!(read(log, offset), linear_scan(left, offset), "from {offset} on");
    }
}

fn read(log: &Log, offset: i64) -> Option<Vec<u8>> {
    let slice = log.read(offset, 1 << 20, None).unwrap().messages?;
    let mut bytes = vec![0; slice.len as usize];
    slice.file.read_exact_at(&mut bytes, slice.position).unwrap();
    Some(bytes)
}

/// What [`read`] must find, without an index.
fn linear_scan(left: &[Left], offset: i64) -> Option<Vec<u8>> {
    let from = left.iter().rposition(|segment| segment.base_offset <= offset)?;
    left[from..].iter().find_map(|segment| {
        let (start, _) = segment.entries.iter().find(|(_, found)| *found >= offset)?;
        Some(segment.log[*start..].to_vec())
    })
}

/// After a clean stop the files are believed; a reader of files that are not as they were left must come to an end.
fn can_be_walked(log: &Log) {
    let mut offset = log.log_start_offset();
    while let Ok(read) = log.read(offset, 1 << 20, None) {
        let Some(slice) = read.messages else { break };
        let mut bytes = vec![0; slice.len as usize];
        slice.file.read_exact_at(&mut bytes, slice.position).unwrap();
        let last = entries(&bytes)
            .map_while(Result::ok)
            .map(|(offset, _)| offset)
            .last();
        match last.and_then(|last| last.checked_add(1)) {
            Some(next) if next > offset => offset = next,
            _ => break,
        }
    }
}

fn can_be_appended_to(log: &Log) {
    let mut set = SetBuilder::new(Codec::None);
    set.push(Some(b"key"), Some(b"value"));
    let set = set.build().unwrap();
    let checked = ProducedSet::new(set).check(&Limits::default()).unwrap();
    let end = log.log_end_offset();
    match log.append(checked) {
        Ok(appended) => {
            assert_eq!((appended.base_offset, appended.end_offset), (end, end + 1));
            let found = read(log, end).unwrap();
            assert_eq!((offset(&found), bounds(&found).len()), (end, 1));
        }
        Err(error) => assert_eq!(end, i64::MAX, "{error}"),
    }
}

pub fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let seed = |choice: u8, second_base: u8, first: (&[u8], &[u8]), second: (&[u8], &[u8])| {
        let mut seed = vec![choice, 0, second_base];
        put_counted(&mut seed, first.0);
        put_counted(&mut seed, first.1);
        put_counted(&mut seed, second.1);
        seed.extend_from_slice(second.0);
        seed
    };
    let short = |mut files: Vec<Vec<u8>>, len| {
        files.retain(|file| !file.is_empty() && file.len() < len);
        files.sort();
        files.dedup();
        files
    };
    let segments = short(fixtures::segments(folder), 3000);
    let indexes = short(fixtures::indexes(folder), 200);
    let with = |at: usize, segment: &[u8]| {
        let index = &*indexes[at % indexes.len()];
        let next = &*segments[(at + 1) % segments.len()];
        let one = |choice| seed(choice, 0, (segment, index), (&[], &[]));
        let two = |choice| seed(choice, 24, (segment, index), (next, index));
        [
            one(UNCLEAN),
            two(UNCLEAN | SECOND),
            one(0),
            two(SECOND),
            one(UNCLEAN | NO_INDEX | SOUND),
            two(SECOND | NO_LAST_INDEX),
        ]
    };
    let all = segments.iter().enumerate();
    all.map(|(at, segment)| with(at, segment)[at % 6].clone())
        .collect()
}
