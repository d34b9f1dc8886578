//! What is left of each fixture when it is cut: an error, or where a beginning means something the beginning, and nothing
//! that was not there.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gregor::broker::offsets::records::Key;
use gregor::broker::offsets::records::Value;
use gregor::log::OffsetCheckpoint;
use gregor::message::Codec;
use gregor::message::set::ProducedSet;
use gregor::message::wrapper::OwnedMessage;
use gregor::message::wrapper::deep_entries;
use gregor::net::FrameBuffer;
use gregor::protocol::decode_request;
use gregor::types::TopicPartition;

use super::fixtures;
use super::fixtures::NamedSegment;
use super::group_offsets;
use super::messages::UNFOLDED;
use super::messages::bounds;
use super::messages::limits;
use super::messages::memory;
use super::messages::wrapped;
use super::messages::wrapper;
use super::recovery;
use super::recovery::Found;
use super::requests;
use super::responses;
use super::within;
use super::znodes;

/// Bytes of the mark behind the last block of LZ4.
const LZ4_END: usize = 4;

/// Every byte is a place to cut long indexes at as far as their entries, if there are any, can reach.
const NEAR: usize = 128;
/// Beyond, where there is nothing but zeros, one of so many bytes is.
const FAR_APART: usize = 256 << 10;

/// A fixture.
pub struct Whole {
    /// The places at which it can be cut: its bytes, unless most of them are alike.
    pub places: usize,
    /// Panics unless it is what it must be, cut there.
    pub cut: Box<dyn Fn(usize)>,
}

fn whole(bytes: Vec<u8>, cut: impl Fn(&[u8]) + 'static) -> Whole {
    Whole {
        places: bytes.len(),
        cut: Box::new(move |len| cut(&bytes[..len])),
    }
}

/// The fixtures of a kind, each of them once.
pub struct Kind {
    /// What they are.
    pub name: &'static str,
    /// Those below this folder.
    pub fixtures: fn(&Path) -> Vec<Whole>,
}

macro_rules! kinds {
    ($($name:ident)*) => {
        [$(Kind { name: stringify!($name), fixtures: $name },)*]
    };
}

/// All of them.
pub const KINDS: [Kind; 13] = kinds![
    cut_frames cut_requests cut_responses cut_sets cut_wrappers cut_segments cut_indexes cut_long_indexes cut_swaps
    cut_leftovers cut_checkpoints cut_znodes cut_group_offsets
];

fn once<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    all.into_iter().collect()
}

/// No frame; and no mistake, unless its size is one.
fn cut_frames(folder: &Path) -> Vec<Whole> {
    let frames = once(fixtures::frames(folder)).into_iter();
    let alone = |frame: &Vec<u8>| {
        let size = frame.first_chunk().map(|size| i32::from_be_bytes(*size));
        size.is_some_and(|size| usize::try_from(size) == Ok(frame.len() - 4))
    };
    let frames = frames.filter(alone).map(|frame| {
        whole(frame, |cut| {
            let mut buffer = FrameBuffer::new(100 << 20);
            buffer.room(cut.len()).extend_from_slice(cut);
            assert_eq!(buffer.next_frame(), Ok(None));
        })
    });
    frames.collect()
}

/// An error, if every byte is needed: the reference, too, reads requests that are longer than what they say. One that is
/// malformed must do no harm.
fn cut_requests(folder: &Path) -> Vec<Whole> {
    let exchanges = fixtures::exchanges(folder).into_iter();
    let requests = once(exchanges.map(|exchange| exchange.request)).into_iter();
    let requests = requests.map(|request| {
        let read = decode_request(request[..].into());
        let needed = read.is_ok_and(|(header, read)| requests::encoded(&header, &read) == request);
        whole(request, move |cut| {
            let read = within(requests::memory(cut.len()), || decode_request(cut.into()));
            assert!(read.is_err() || !needed);
        })
    });
    requests.collect()
}

/// An error.
fn cut_responses(folder: &Path) -> Vec<Whole> {
    let responses = once(responses::all(folder)).into_iter();
    let responses = responses.map(|response| {
        let sound = responses::is_read(&response);
        whole(response, move |cut| assert!(!responses::is_read(cut) || !sound))
    });
    responses.collect()
}

/// Messages and their offsets.
type Messages = Vec<(i64, OwnedMessage)>;

/// What is stored if a producer sends this, and what a consumer finds in it.
fn in_set(set: &[u8]) -> (Option<Messages>, Option<Messages>) {
    let memory = memory(set.len());
    let read = |set: &[u8]| within(memory, || deep_entries(set, UNFOLDED)).ok();
    let stored = within(memory, || {
        let checked = ProducedSet::new(set.into()).check(&limits()).ok()?;
        let assigned = checked.assign(1000, &limits()).ok()?;
        Some(assigned.bytes().to_vec())
    });
    (stored.and_then(|stored| read(&stored)), read(set))
}

/// The same as the entries that are whole. Where one of them is broken, an error at the latest there.
fn cut_sets(folder: &Path) -> Vec<Whole> {
    let sets = fixtures::message_sets(folder).into_iter();
    let sets = once(sets.chain(fixtures::segments(folder))).into_iter();
    let sets = sets.map(|set| {
        let ends = bounds(&set).into_iter().map(|(_, end)| end);
        let prefixes: BTreeMap<usize, _> = [0]
            .into_iter()
            .chain(ends)
            .map(|end| (end, in_set(&set[..end])))
            .collect();
        let (stored, read) = in_set(&set);
        let sound = (stored.is_some(), read.is_some());
        whole(set, move |cut| {
            let (stored, read) = in_set(cut);
            let (_, prefix) = prefixes.range(..=cut.len()).next_back().unwrap();
            assert!(stored.is_some() || !sound.0, "what was sound is refused");
            assert!(read.is_some() || !sound.1, "what was sound is unreadable");
            assert!(stored.is_none() || stored == prefix.0);
            assert!(read.is_none() || read == prefix.1);
        })
    });
    sets.collect()
}

/// The value of a wrapper: an error, or messages that it began with.
fn cut_wrappers(folder: &Path) -> Vec<Whole> {
    let sets = fixtures::message_sets(folder).into_iter();
    let sets: Vec<_> = sets.chain(fixtures::segments(folder)).collect();
    let values = [Codec::Gzip, Codec::Snappy, Codec::Lz4].map(|codec| {
        let values = sets.iter().flat_map(|set| wrapped(set, codec));
        once(values).into_iter().map(move |value| (codec, value))
    });
    let values = values.into_iter().flatten().map(|(codec, value)| {
        let messages = deep_entries(&wrapper(codec, &value), UNFOLDED);
        let len = value.len();
        whole(value, move |cut| {
            let set = wrapper(codec, cut);
            let read = within(memory(set.len()), || deep_entries(&set, UNFOLDED));
            let (Ok(read), Ok(messages)) = (read, &messages) else {
                return;
            };
            // The mark behind LZ4's blocks says nothing that the messages inside don't.
            let without_mark = codec == Codec::Lz4 && cut.len() + LZ4_END >= len;
            assert!(messages.starts_with(&read), "{codec:?}");
            assert!(
                read.len() < messages.len() || without_mark || read.is_empty(),
                "{codec:?}"
            );
        })
    });
    values.collect()
}

fn found(segments: Vec<NamedSegment>) -> impl Iterator<Item = Found> {
    let segments = once(segments).into_iter();
    segments.map(|(base_offset, log, index)| Found {
        base_offset,
        log,
        index,
    })
}

/// Messages of a segment whose index is whole.
fn cut_segments(folder: &Path) -> Vec<Whole> {
    let found = found(fixtures::named_segments(folder)).map(|found| {
        whole(found.log.clone(), move |cut| {
            recovery::is_prefix(&Found {
                log: cut.to_vec(),
                ..found.clone()
            });
        })
    });
    found.collect()
}

/// The index of a segment whose messages are whole: all of them stay.
fn cut_indexes(folder: &Path) -> Vec<Whole> {
    let found = found(fixtures::named_segments(folder)).filter_map(|found| {
        let index = found.index.clone()?;
        Some(whole(index, move |cut| with_index(&found, cut)))
    });
    found.collect()
}

/// The same of indexes of 10 MiB, as they are while 0.8.2.2 appends.
fn cut_long_indexes(folder: &Path) -> Vec<Whole> {
    let found = found(fixtures::packed_segments(folder)).map(|found| {
        let index = found.index.clone().unwrap();
        assert!(index[NEAR..].iter().all(|byte| *byte == 0));
        // One byte more each time: not every place is between two entries.
        let far = (NEAR..index.len()).step_by(FAR_APART).zip(0..);
        let places: Vec<usize> = (0..NEAR).chain(far.map(|(place, more)| place + more)).collect();
        Whole {
            places: places.len(),
            cut: Box::new(move |place| with_index(&found, &index[..places[place]])),
        }
    });
    found.collect()
}

fn with_index(found: &Found, index: &[u8]) {
    recovery::is_prefix(&Found {
        base_offset: found.base_offset,
        log: found.log.clone(),
        index: Some(index.to_vec()),
    });
}

/// A compacted segment that takes the place of the one of its name: whatever is whole of it, and what comes after it.
fn cut_swaps(folder: &Path) -> Vec<Whole> {
    unfinished(folder, |name| name.ends_with(".log.swap"))
}

/// Files whose content makes no difference any more: their names are enough for them to go.
fn cut_leftovers(folder: &Path) -> Vec<Whole> {
    unfinished(folder, |name| !name.ends_with(".log.swap"))
}

fn unfinished(folder: &Path, wanted: fn(&str) -> bool) -> Vec<Whole> {
    let partitions = fixtures::unfinished(folder).into_iter();
    let all = partitions.flat_map(|(files, names)| {
        let names = names.into_iter().filter(move |name| wanted(name));
        names.map(move |name| {
            let files = files.clone();
            whole(files[&name].clone(), move |cut| {
                let mut files = files.clone();
                files.insert(name.clone(), cut.to_vec());
                recovery::is_finished(&files);
            })
        })
    });
    all.collect()
}

/// Nothing is known, or everything that is on whole lines; of a number at the end its first digits.
fn cut_checkpoints(folder: &Path) -> Vec<Whole> {
    let read = |bytes: &[u8]| -> BTreeMap<TopicPartition, i64> {
        let folder = super::scratch();
        let path = folder.path().join("checkpoint");
        fs::write(&path, bytes).unwrap();
        OffsetCheckpoint::new(path).read().unwrap()
    };
    let checkpoints = once(fixtures::checkpoints(folder)).into_iter();
    let checkpoints = checkpoints.map(|checkpoint| {
        let known = read(&checkpoint);
        whole(checkpoint, move |cut| {
            let left = read(cut);
            if known.is_empty() {
                // What makes it malformed may be what was cut off.
                return;
            }
            assert!(left.is_empty() || left.len() == known.len());
            let differing: Vec<_> = left.iter().filter(|(key, left)| known[*key] != **left).collect();
            assert!(differing.len() <= 1);
            assert!(
                differing
                    .iter()
                    .all(|(key, left)| known[*key].to_string().starts_with(&left.to_string()))
            );
        })
    });
    checkpoints.collect()
}

/// No record, unless it is one that needs no more than some bytes: a number, or the notice of a changed topic, of which the
/// reference drops the first and the last character whatever they are.
fn cut_znodes(folder: &Path) -> Vec<Whole> {
    let nodes = once(znodes::seeds(folder)).into_iter();
    let nodes = nodes.map(|node| {
        let is_text = node[0] == 4 || node[1..].iter().all(u8::is_ascii_digit);
        assert!(znodes::is_read(&node), "{}", node.escape_ascii());
        // Behind the number of the kind of record; an empty node says nothing.
        whole(node, move |cut| {
            assert!(cut.len() <= 1 || !znodes::is_read(cut) || is_text);
        })
    });
    nodes.collect()
}

/// Errors.
fn cut_group_offsets(folder: &Path) -> Vec<Whole> {
    let records = once(group_offsets::seeds(folder)).into_iter();
    let records = records.map(|record| {
        let is_key = record[0] == 0;
        whole(record[1..].to_vec(), move |cut| {
            assert!(if is_key {
                Key::decode(cut).is_err()
            } else {
                Value::decode(cut).is_err()
            });
        })
    });
    records.collect()
}
