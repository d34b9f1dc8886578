//! Segments' files, and what the reference's own tool makes of them.

use std::path::Path;
use std::path::PathBuf;

use super::reference;

/// Files that one run of the tool is given.
const AT_ONCE: usize = 500;

/// The segments of a partition, oldest first.
pub(crate) fn segments(partition: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(partition)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    files.sort();
    files
}

/// All of them, one after the other.
pub(crate) fn log_bytes(partition: &Path) -> Vec<u8> {
    let segments = segments(partition);
    segments
        .iter()
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// The reference reads every message of these partitions, those inside others too, finds no offset missing, and believes
/// every index.
#[track_caller]
pub(crate) fn read_by_reference(partitions: &[PathBuf]) {
    let files = all_segments(partitions);
    for some in files.chunks(AT_ONCE) {
        let said = dump(some);
        assert!(!said.contains("Found"), "{said}");
        believes_indexes(some);
    }
}

/// As [`read_by_reference`], as a process left the partitions that was killed: the end may be torn if that is so, and
/// indexes are looked at only where it had no reason to be between two files.
#[track_caller]
pub(crate) fn read_by_reference_unrecovered(partitions: &[PathBuf], torn: bool, indexes: bool) {
    let mut files = all_segments(partitions);
    // The tool has nothing to say of a segment without messages, and falls over its index, which has room for entries.
    files.retain(|file| file.metadata().unwrap().len() > 0);
    for some in files.chunks(AT_ONCE) {
        let said = dump(some);
        assert!(torn || !said.contains("Found"), "{said}");
        if indexes {
            believes_indexes(some);
        }
    }
}

fn all_segments(partitions: &[PathBuf]) -> Vec<PathBuf> {
    partitions
        .iter()
        .flat_map(|partition| segments(partition))
        .collect()
}

/// What the tool says of messages, none of which may be broken or missing.
#[track_caller]
fn dump(logs: &[PathBuf]) -> String {
    let arguments = ["dump-log-segments", "--deep-iteration", "--files", &listed(logs)];
    let said = reference::tool(&arguments, b"").text();
    assert!(
        said.contains("isvalid: true") && !said.contains("isvalid: false"),
        "{said}"
    );
    // Its own spelling.
    assert!(!said.contains("Non-secutive"), "{said}");
    said
}

#[track_caller]
fn believes_indexes(logs: &[PathBuf]) {
    let indexes: Vec<_> = logs.iter().map(|log| log.with_extension("index")).collect();
    let arguments = [
        "dump-log-segments",
        "--verify-index-only",
        "--files",
        &listed(&indexes),
    ];
    let said = reference::tool(&arguments, b"").text();
    assert!(!said.contains("Found") && !said.contains("Mismatches"), "{said}");
}

fn listed(files: &[PathBuf]) -> String {
    let names: Vec<_> = files
        .iter()
        .map(|file| file.to_string_lossy().into_owned())
        .collect();
    names.join(",")
}
