//! One append-only log per partition, byte for byte as 0.8.2.2 keeps it on disk. Synchronous: no tokio, no
//! protocol, no ZooKeeper.
//!
//! What must hold: messages below the recovery point are on the disk; the offsets of a log increase; what was
//! acknowledged is never overwritten or lost by what fails later. After a failed flush nothing more is
//! accepted, because nobody knows what is on the disk.

mod age;
mod append;
mod checkpoint;
mod config;
mod durable;
mod error;
mod files;
mod flush;
mod flusher;
mod index;
mod landmarks;
mod lock;
mod logs;
mod parallel;
mod preallocation;
mod read;
mod rebuild;
mod recovery;
mod removal;
mod retention;
mod root;
mod scan;
mod segment;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod truncate;
mod view;
mod wall_clock;

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::RwLockWriteGuard;
use std::time::Instant;
use std::time::SystemTime;

pub use crate::log::checkpoint::OffsetCheckpoint;
pub use crate::log::config::BadOverride;
pub use crate::log::config::CleanupPolicy;
pub use crate::log::config::LogConfig;
pub use crate::log::error::Error;
pub use crate::log::error::Holder;
use crate::log::files::OpenFiles;
use crate::log::flusher::FlushRequests;
pub use crate::log::lock::LOCK_FILE;
pub use crate::log::logs::Logs;
pub use crate::log::logs::LogsConfig;
pub use crate::log::recovery::LastStop;
use crate::log::recovery::load;
pub use crate::log::root::is_own_file;
use crate::log::segment::Segment;
use crate::log::view::View;
pub use crate::log::wall_clock::Times;
pub use crate::log::wall_clock::WallClock;
use crate::message::slice::FileSlice;
use crate::metrics::Timer;
use crate::types::TopicPartition;

/// One partition's messages: segments in order, the last of which is appended to.
#[derive(Debug)]
pub struct Log {
    topic_partition: TopicPartition,
    /// The data directory.
    directory: PathBuf,
    /// The partition's directory in it.
    path: PathBuf,
    config: RwLock<Arc<LogConfig>>,
    open_files: Arc<OpenFiles>,
    /// Held by who changes files. Taken before `view`, and after `flushing`.
    writer: Mutex<Writer>,
    /// What readers see. Held for moments only.
    view: Mutex<View>,
    /// Held while flushing: a second one would wait for the same disk.
    flushing: Mutex<()>,
    /// Why nothing more is accepted.
    failure: OnceLock<Failure>,
    unreadable: ToldAt,
    flush_requests: FlushRequests,
    /// Counts flushes of segments.
    flushes: Timer,
}

/// What only a writer needs.
#[derive(Debug, Default)]
struct Writer {
    closed: bool,
    /// Files to be removed, and when.
    doomed: Vec<(Instant, PathBuf)>,
}

/// A failure after which nobody knows what is on the disk.
#[derive(Debug)]
struct Failure {
    path: PathBuf,
    code: Option<i32>,
    kind: io::ErrorKind,
}

/// When a reader's trouble was last told: it comes back at once, and meets the same.
type ToldAt = Mutex<Option<Instant>>;

/// The offsets that an append was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The log's end before: the offset of the first message.
    pub base_offset: i64,
    /// The log's end after.
    pub end_offset: i64,
    /// Whether `flush.messages` asks for a flush now.
    pub flush_due: bool,
}

/// What a reader gets.
#[derive(Debug)]
pub struct Read {
    /// The messages, if there are any; perhaps ending within one.
    pub messages: Option<FileSlice>,
    /// Whether they reach the end of a segment that is not appended to any more: what follows is somewhere
    /// else.
    pub ends_closed_segment: bool,
}

/// What others may know of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSummary {
    /// No offset in it is below.
    pub base_offset: i64,
    /// Bytes of messages.
    pub size: u64,
    /// When they were last written to.
    pub modified: SystemTime,
}

/// Where a log is, and what it shares with others.
#[derive(Debug, Clone)]
struct Place {
    topic_partition: TopicPartition,
    directory: PathBuf,
    open_files: Arc<OpenFiles>,
    flush_requests: FlushRequests,
    flushes: Timer,
}

impl Log {
    /// Opens a partition's directory below a data directory by itself, and mends what is in it. For whoever looks at one
    /// partition and knows that no broker does: the data directory is not locked, and nobody flushes what is rolled.
    pub fn open_alone(
        directory: &Path,
        topic_partition: TopicPartition,
        last_stop: LastStop,
        config: LogConfig,
    ) -> Result<Self, Error> {
        let place = Place {
            topic_partition,
            directory: directory.to_owned(),
            open_files: Arc::default(),
            flush_requests: FlushRequests::default(),
            flushes: Timer::new(),
        };
        Self::open(place, last_stop, config)
    }

    /// Opens a partition's directory, which must exist, and mends what is in it.
    fn open(place: Place, last_stop: LastStop, config: LogConfig) -> Result<Self, Error> {
        let path = place.directory.join(place.topic_partition.to_string());
        let loaded = load(&path, last_stop, &config, &place.open_files)?;
        let due = Instant::now() + config.file_delete_delay;
        Ok(Self {
            topic_partition: place.topic_partition,
            directory: place.directory,
            path,
            config: RwLock::new(Arc::new(config)),
            open_files: place.open_files,
            writer: Mutex::new(Writer {
                closed: false,
                doomed: loaded.doomed.into_iter().map(|path| (due, path)).collect(),
            }),
            view: Mutex::new(View::new(
                loaded.segments,
                loaded.end_offset,
                loaded.recovery_point,
            )),
            flushing: Mutex::new(()),
            failure: OnceLock::new(),
            unreadable: ToldAt::default(),
            flush_requests: place.flush_requests,
            flushes: place.flushes,
        })
    }

    /// Whose messages these are.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The data directory in which the log lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The settings as they are now.
    pub fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the settings. An index that exists keeps its size.
    pub fn set_config(&self, config: LogConfig) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// The lowest offset that may be read. There need not be a message with it.
    pub fn log_start_offset(&self) -> i64 {
        lock(&self.view).start_offset()
    }

    /// The offset that the next message will get.
    pub fn log_end_offset(&self) -> i64 {
        lock(&self.view).end_offset
    }

    /// Everything below was flushed.
    pub fn recovery_point(&self) -> i64 {
        lock(&self.view).recovery_point
    }

    /// Bytes of messages.
    pub fn size_bytes(&self) -> u64 {
        self.segment_list().iter().map(|segment| segment.len()).sum()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segment_list().len()
    }

    /// Where the segments begin, oldest first.
    pub fn segment_bases(&self) -> Vec<i64> {
        self.segment_list()
            .iter()
            .map(|segment| segment.base_offset())
            .collect()
    }

    /// The segments, oldest first. Asks the disk.
    pub fn segments(&self) -> Result<Vec<SegmentSummary>, Error> {
        self.segment_list()
            .iter()
            .filter_map(|segment| match segment.summary() {
                // Deleted since the list was taken.
                Err(_) if segment.is_removed() => None,
                summary => Some(summary),
            })
            .collect()
    }

    fn segment_list(&self) -> Arc<Vec<Arc<Segment>>> {
        Arc::clone(&lock(&self.view).segments)
    }

    /// The right to change files, unless the log is closed or has failed.
    fn writer(&self) -> Result<MutexGuard<'_, Writer>, Error> {
        let writer = lock(&self.writer);
        self.check_failure()?;
        if writer.closed {
            return Err(Error::Closed(self.topic_partition.clone()));
        }
        Ok(writer)
    }

    fn check_failure(&self) -> Result<(), Error> {
        self.failure.get().map_or(Ok(()), |failure| Err(failure.error()))
    }

    /// Accepts nothing more from now on.
    fn fail(&self, error: Error) -> Error {
        if let Some(failure) = Failure::of(&error) {
            // The first failure is the one that counts.
            let _ = self.failure.set(failure);
        }
        error
    }
}

impl Failure {
    fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Io { path, source } => Some(Self {
                path: path.clone(),
                code: source.raw_os_error(),
                kind: source.kind(),
            }),
            _ => None,
        }
    }

    fn error(&self) -> Error {
        Error::Io {
            path: self.path.clone(),
            source: self
                .code
                .map_or_else(|| self.kind.into(), io::Error::from_raw_os_error),
        }
    }
}

/// Locks for reading, as [`lock`] does.
fn read_lock<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing, as [`lock`] does.
fn write_lock<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Locks. A panic elsewhere stops the process, or in tests only that test.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
