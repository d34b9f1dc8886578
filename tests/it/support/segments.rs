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

/// The reference reads every message of these partitions, those inside others too, and believes every index.
#[track_caller]
pub(crate) fn read_by_reference(partitions: &[PathBuf]) {
    let files: Vec<_> = partitions
        .iter()
        .flat_map(|partition| segments(partition))
        .collect();
    let listed = |files: Vec<PathBuf>| {
        let names: Vec<_> = files
            .iter()
            .map(|file| file.to_string_lossy().into_owned())
            .collect();
        names.join(",")
    };
    for some in files.chunks(AT_ONCE) {
        let logs = listed(some.to_vec());
        let arguments = ["dump-log-segments", "--deep-iteration", "--files", &logs];
        let messages = reference::tool(&arguments, b"").text();
        assert!(
            messages.contains("isvalid: true") && !messages.contains("isvalid: false"),
            "{messages}"
        );
        assert!(!messages.contains("Found"), "{messages}");
        let indexes = listed(some.iter().map(|file| file.with_extension("index")).collect());
        let arguments = ["dump-log-segments", "--verify-index-only", "--files", &indexes];
        let verdict = reference::tool(&arguments, b"").text();
        assert!(
            !verdict.contains("Found") && !verdict.contains("Mismatches"),
            "{verdict}"
        );
    }
}
