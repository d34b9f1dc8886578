//! What must hold for whatever bytes there are: one module for each kind of input, with a function `holds` that panics
//! when it does not, and `seeds` that makes inputs of the fixtures.
//!
//! Two programs run them: cargo-fuzz, for as long as one likes (`scripts/fuzz.sh`), and `tests/fuzz_properties.rs`, with
//! the seeds, their truncations and some thousand mutations, in seconds. What every fixture must be when it is cut, and
//! not only what holds for anything, is in [`truncation`].

mod fixtures;
mod input;
mod messages;

pub mod checkpoints;
pub mod configuration;
pub mod frames;
pub mod group_offsets;
pub mod gzip;
pub mod lz4;
pub mod message_sets;
pub mod properties;
pub mod recovery;
pub mod request_bodies;
pub mod requests;
pub mod responses;
pub mod snappy;
pub mod truncation;
pub mod znodes;

use std::path::Path;

/// A kind of input.
pub struct Target {
    /// Its name, which is that of its module.
    pub name: &'static str,
    /// Panics unless everything holds that must.
    pub holds: fn(&[u8]),
    /// Inputs made of the fixtures below this folder.
    pub seeds: fn(&Path) -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($name:ident)*) => {
        [$(Target { name: stringify!($name), holds: $name::holds, seeds: $name::seeds },)*]
    };
}

/// All of them.
pub const TARGETS: [Target; 14] = targets![
    frames requests request_bodies responses message_sets gzip snappy lz4 recovery checkpoints znodes properties
    configuration group_offsets
];

/// Does something that must not hold more than `limit` bytes of memory at any time.
#[track_caller]
fn within<T>(limit: usize, act: impl FnOnce() -> T) -> T {
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(act()));
    assert!(
        used.bytes_max <= limit as u64,
        "{} bytes of memory, allowed are {limit}",
        used.bytes_max
    );
    result.unwrap()
}

/// A folder in memory where the system has such a place: a disk would be waited for at each flush.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}
