//! What the tests of this module share: small logs, sets, and what is in them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use crate::log::Error;
use crate::log::Log;
use crate::log::LogConfig;
use crate::log::lock;
use crate::log::recovery::LastStop;
use crate::message::Codec;
use crate::message::entry::entries;
use crate::message::set::CheckedSet;
use crate::message::set::Limits;
use crate::message::set::ProducedSet;
use crate::message::set::SetBuilder;
use crate::message::slice::FileSlice;
use crate::message::wrapper::OwnedMessage;
use crate::message::wrapper::deep_entries;
use crate::types::TopicPartition;

/// What a crash leaves when nothing was ever flushed.
pub(crate) const CRASH: LastStop = LastStop::Unclean { recovery_point: 0 };

/// Settings that make small logs look like large ones.
pub(crate) fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        index_bytes: 1024,
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

pub(crate) fn t0() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// A data directory with an empty directory for partition `t-0`.
pub(crate) fn data_directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("t-0")).unwrap();
    directory
}

/// Opens `t-0` as after a crash with everything unflushed.
pub(crate) fn open(directory: &TempDir, config: &LogConfig) -> Log {
    try_open(directory.path(), CRASH, config).unwrap()
}

pub(crate) fn try_open(directory: &Path, last_stop: LastStop, config: &LogConfig) -> Result<Log, Error> {
    Log::open_alone(directory, t0(), last_stop, config.clone())
}

pub(crate) fn check(bytes: bytes::BytesMut) -> CheckedSet {
    ProducedSet::new(bytes).check(&Limits::default()).unwrap()
}

/// A set of messages with these values, and without keys.
pub(crate) fn set<V: AsRef<[u8]>>(codec: Codec, values: impl IntoIterator<Item = V>) -> CheckedSet {
    let mut set = SetBuilder::new(codec);
    values
        .into_iter()
        .for_each(|value| set.push(None, Some(value.as_ref())));
    check(set.build().unwrap())
}

/// A set of one plain message.
pub(crate) fn one(value: &str) -> CheckedSet {
    set(Codec::None, [value])
}

/// Appends sets of one plain message, each of 50 bytes as an entry, with values that say their offsets.
pub(crate) fn append_numbered(log: &Log, count: usize) {
    for _ in 0..count {
        let offset = log.log_end_offset();
        assert_eq!(log.append(one(&numbered(offset))).unwrap().base_offset, offset);
    }
}

/// The value of such a message.
pub(crate) fn numbered(offset: i64) -> String {
    format!("{offset:024}")
}

/// The entry size of such a message.
pub(crate) const NUMBERED_LEN: u64 = 50;

pub(crate) fn bytes_of(slice: &FileSlice) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(slice.len).unwrap()];
    slice.file.read_exact_at(&mut bytes, slice.position).unwrap();
    bytes
}

/// Everything in a log, as a consumer reads it: from the start on, from the offset after the last entry next.
pub(crate) fn contents(log: &Log) -> Vec<(i64, OwnedMessage)> {
    let mut all = Vec::new();
    let mut offset = log.log_start_offset();
    while let Some(slice) = log.read(offset, 1 << 20, None).unwrap().messages {
        let bytes = bytes_of(&slice);
        all.extend(deep_entries(&bytes, 1 << 24).unwrap());
        offset = entries(&bytes).last().unwrap().unwrap().0 + 1;
    }
    all
}

/// Offsets and values of everything in a log.
pub(crate) fn values(log: &Log) -> Vec<(i64, String)> {
    let text = |value: Option<Bytes>| String::from_utf8(value.unwrap_or_default().to_vec()).unwrap();
    contents(log)
        .into_iter()
        .map(|(offset, message)| (offset, text(message.value)))
        .collect()
}

/// Offsets and values of numbered messages.
pub(crate) fn numbers(offsets: std::ops::Range<i64>) -> Vec<(i64, String)> {
    offsets.map(|offset| (offset, numbered(offset))).collect()
}

/// Names and sizes of the files below a directory, by their paths in it.
pub(crate) fn files(directory: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut unread = vec![PathBuf::new()];
    while let Some(below) = unread.pop() {
        for entry in fs::read_dir(directory.join(&below)).unwrap() {
            let entry = entry.unwrap();
            let path = below.join(entry.file_name());
            if entry.path().is_dir() {
                unread.push(path);
            } else {
                found.push((path.to_str().unwrap().to_owned(), entry.metadata().unwrap().len()));
            }
        }
    }
    found.sort();
    found
}

/// Copies a directory and what is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The file of `t-0`'s segment with this base offset.
pub(crate) fn segment_file(directory: &TempDir, base_offset: i64, suffix: &str) -> PathBuf {
    super::segment::file_path(&directory.path().join("t-0"), base_offset, suffix)
}

/// What was logged about files below a directory, at warning level, since the first call of this function; by whatever
/// thread.
pub(crate) fn said_about(directory: &Path) -> String {
    static SAID: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    let said = SAID.get_or_init(|| {
        let said = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&said);
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(move || Appender(Arc::clone(&written)))
            .init();
        said
    });
    let said = lock(said).clone();
    let directory = directory.to_str().unwrap();
    let lines = str::from_utf8(&said).unwrap().lines();
    lines
        .filter(|line| line.contains(directory))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Writes to the end of shared bytes.
struct Appender(Arc<Mutex<Vec<u8>>>);

impl Write for Appender {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Waits for something that another thread does.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}
