//! Files that hold an offset per partition: read as something that is read again when it is written.

use std::fs;
use std::path::Path;

use gregor::log::OffsetCheckpoint;
use tempfile::TempDir;

use super::fixtures;
use super::within;

thread_local! {
    static DIRECTORY: TempDir = super::scratch();
}

pub fn holds(input: &[u8]) {
    DIRECTORY.with(|directory| {
        let path = directory.path().join("checkpoint");
        fs::write(&path, input).unwrap();
        let checkpoint = OffsetCheckpoint::new(path);
        let offsets = within(64 * input.len() + 4096, || checkpoint.read()).unwrap();
        let lines = input.split(|byte| *byte == b'\n').count();
        assert!(offsets.len() < lines, "each has a line of its own");
        if !offsets.is_empty() {
            checkpoint.write(&offsets).unwrap();
            assert_eq!(checkpoint.read().unwrap(), offsets);
        }
    });
}

pub fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let mut seeds = fixtures::checkpoints(folder);
    seeds.push(b"0\n2\ncmp 0 189\nplain 12 9223372036854775807\n".to_vec());
    seeds
}
