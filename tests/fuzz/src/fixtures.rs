//! Reading the fixtures.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// One conversation of a client with 0.8.2.2.
pub(super) struct Exchange {
    /// The frame without its size.
    pub(super) request: Vec<u8>,
    /// The frame without its size; nothing if there was no answer.
    pub(super) response: Vec<u8>,
}

/// The files below a folder whose names end so, in order.
fn paths(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    assert!(!paths.is_empty(), "there are fixtures below {}", folder.display());
    paths
}

fn files(folder: &Path, ending: &str) -> Vec<Vec<u8>> {
    let paths = paths(folder, ending);
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn lines(folder: &Path) -> Vec<Value> {
    let files = files(folder, ".jsonl");
    let texts = files.iter().map(|file| str::from_utf8(file).unwrap());
    texts
        .flat_map(str::lines)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn hex(text: &Value) -> Vec<u8> {
    let digits: Vec<char> = text.as_str().unwrap_or_default().chars().collect();
    let byte = |pair: &[char]| match pair {
        [high, low] => u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok(),
        _ => None,
    };
    // "closed" and "none" are no digits.
    digits
        .chunks(2)
        .map(byte)
        .collect::<Option<_>>()
        .unwrap_or_default()
}

/// Whole frames as they were sent, sound and malformed.
pub(super) fn frames(fixtures: &Path) -> Vec<Vec<u8>> {
    lines(&fixtures.join("wire"))
        .iter()
        .map(|line| hex(&line["request"]))
        .collect()
}

/// Requests and their answers.
pub(super) fn exchanges(fixtures: &Path) -> Vec<Exchange> {
    let unframed = |frame: Vec<u8>| frame.get(4..).unwrap_or_default().to_vec();
    lines(&fixtures.join("wire"))
        .iter()
        .map(|line| Exchange {
            request: unframed(hex(&line["request"])),
            response: unframed(hex(&line["response"])),
        })
        .collect()
}

/// Message sets, as sent and as stored.
pub(super) fn message_sets(fixtures: &Path) -> Vec<Vec<u8>> {
    files(&fixtures.join("messages"), ".bin")
}

/// Segments.
pub(super) fn segments(fixtures: &Path) -> Vec<Vec<u8>> {
    files(&fixtures.join("logs"), ".log")
}

/// Indexes of segments.
pub(super) fn indexes(fixtures: &Path) -> Vec<Vec<u8>> {
    files(&fixtures.join("logs"), ".index")
}

/// Files that hold an offset per partition.
pub(super) fn checkpoints(fixtures: &Path) -> Vec<Vec<u8>> {
    files(&fixtures.join("logs"), "-checkpoint")
}

/// Base offset, content, and the index if there is one.
pub(super) type NamedSegment = (i64, Vec<u8>, Option<Vec<u8>>);

/// Segments whose names say their base offset.
pub(super) fn named_segments(fixtures: &Path) -> Vec<NamedSegment> {
    named_segments_below(&fixtures.join("logs"))
}

/// The same of those that are packed, for their indexes are long and all but empty.
pub(super) fn packed_segments(fixtures: &Path) -> Vec<NamedSegment> {
    let unpacked = |packed: PathBuf| {
        let folder = super::scratch();
        let tar = Command::new("tar")
            .arg("xzf")
            .arg(packed)
            .arg("-C")
            .arg(folder.path())
            .status();
        assert!(tar.unwrap().success(), "this needs tar and gzip");
        named_segments_below(folder.path())
    };
    let packed = paths(&fixtures.join("logs"), "data.tar.gz").into_iter();
    packed.flat_map(unpacked).collect()
}

fn named_segments_below(folder: &Path) -> Vec<NamedSegment> {
    let segment = |path: &PathBuf| {
        let base_offset = path.file_stem()?.to_str()?.parse().ok()?;
        let index = fs::read(path.with_extension("index")).ok();
        Some((base_offset, fs::read(path).unwrap(), index))
    };
    paths(folder, ".log").iter().filter_map(segment).collect()
}

/// What the names of files end in that 0.8.2.2 was about to swap in or to remove.
const UNFINISHED: [&str; 3] = [".swap", ".cleaned", ".deleted"];

/// The files of a partition, by name.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Partitions with files that 0.8.2.2 was about to swap in or to remove, each of them once; and the names of those files.
pub(super) fn unfinished(fixtures: &Path) -> BTreeSet<(Files, Vec<String>)> {
    let found = UNFINISHED.map(|ending| paths(&fixtures.join("logs"), ending));
    let folders: BTreeSet<_> = found.iter().flatten().filter_map(|path| path.parent()).collect();
    let read = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        Some((name, fs::read(path).unwrap()))
    };
    let partition = |folder: &Path| {
        let files: Files = paths(folder, "").into_iter().filter_map(read).collect();
        let is_unfinished = |name: &&String| UNFINISHED.iter().any(|ending| name.ends_with(ending));
        let unfinished = files.keys().filter(is_unfinished).cloned().collect();
        (files, unfinished)
    };
    folders.into_iter().map(partition).collect()
}

/// Path and content of every node that was not empty.
pub(super) fn znodes(fixtures: &Path) -> Vec<(String, Vec<u8>)> {
    lines(&fixtures.join("znodes"))
        .iter()
        .filter_map(|node| {
            Some((
                node["path"].as_str()?.to_owned(),
                node["data"].as_str()?.as_bytes().to_vec(),
            ))
        })
        .collect()
}
