//! Every log in every data directory: opening them all, creating and deleting some, what is due from time to
//! time, closing them all.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::RwLock;
use std::thread;
use std::time::Instant;

use crate::log::Error;
use crate::log::Log;
use crate::log::LogConfig;
use crate::log::Place;
use crate::log::Times;
use crate::log::durable;
use crate::log::files::OpenFiles;
use crate::log::flusher::Flusher;
use crate::log::flusher::LogMap;
use crate::log::lock;
use crate::log::parallel::first_error;
use crate::log::parallel::in_parallel;
use crate::log::parallel::join;
use crate::log::read_lock;
use crate::log::recovery::LastStop;
use crate::log::root::Root;
use crate::log::write_lock;
use crate::metrics::Timer;
use crate::types::TopicPartition;
use crate::types::is_legal_topic_name;

/// Threads that close logs, at least. They wait for the disk, which takes hardly longer to flush many files together than
/// to flush one.
const CLOSING: usize = 16;

/// Where the logs are, and how they are kept.
#[derive(Debug, Clone)]
pub struct LogsConfig {
    /// The data directories. Missing ones are created.
    pub directories: Vec<PathBuf>,
    /// The settings of a topic that overrides nothing.
    pub defaults: LogConfig,
    /// What topics override.
    pub overrides: HashMap<String, BTreeMap<String, String>>,
    /// Threads that open and close logs, in each data directory; some more of them close.
    pub recovery_threads: usize,
    /// Counts flushes of segments.
    pub flushes: Timer,
}

/// Every log in every data directory.
#[derive(Debug)]
pub struct Logs {
    /// First, so that it has stopped when the directories are unlocked.
    flusher: Flusher,
    roots: Vec<Root>,
    logs: Arc<RwLock<LogMap>>,
    /// Held while logs come and go.
    changing: Mutex<()>,
    open_files: Arc<OpenFiles>,
    flushes: Timer,
    threads: usize,
}

/// A log that is to be opened.
struct Found<'a> {
    root: &'a Root,
    topic_partition: TopicPartition,
    last_stop: LastStop,
}

impl Logs {
    /// Locks the data directories and opens every log in them; recovers them after an unclean stop.
    pub fn open(config: &LogsConfig) -> Result<Self, Error> {
        let roots = open_roots(&config.directories)?;
        let logs = Arc::new(RwLock::new(LogMap::new()));
        let flusher = start_flusher(&logs, &roots)?;
        let logs = Self {
            roots,
            logs,
            changing: Mutex::new(()),
            open_files: Arc::default(),
            flushes: config.flushes.clone(),
            flusher,
            threads: config.recovery_threads.max(1),
        };
        logs.open_all(config)?;
        Ok(logs)
    }

    /// A partition's log, if it is here.
    pub fn get(&self, topic_partition: &TopicPartition) -> Option<Arc<Log>> {
        read_lock(&self.logs).get(topic_partition).map(Arc::clone)
    }

    /// A partition's log, which is created where the fewest are if it isn't there yet.
    pub fn create(&self, topic_partition: &TopicPartition, config: LogConfig) -> Result<Arc<Log>, Error> {
        let _changing = lock(&self.changing);
        if let Some(log) = self.get(topic_partition) {
            return Ok(log);
        }
        if topic_partition.partition < 0 || !is_legal_topic_name(&topic_partition.topic) {
            return Err(Error::IllegalName(topic_partition.clone()));
        }
        let root = self.emptiest_root().ok_or(Error::NoDirectory)?;
        let directory = root.path().join(topic_partition.to_string());
        match fs::create_dir(&directory) {
            // Topics of 254 characters are legal, but not their directories.
            Err(error) if error.kind() == ErrorKind::InvalidFilename => {
                return Err(Error::IllegalName(topic_partition.clone()));
            }
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(Error::io(&directory)(error));
            }
            _ => {}
        }
        let unclean = LastStop::Unclean { recovery_point: 0 };
        let log = Arc::new(Log::open(
            self.place(root, topic_partition.clone()),
            unclean,
            config,
        )?);
        durable::sync_directory(&directory)?;
        durable::sync_directory(root.path())?;
        write_lock(&self.logs).insert(topic_partition.clone(), Arc::clone(&log));
        tracing::debug!("{topic_partition}: created in {}", root.path().display());
        Ok(log)
    }

    /// Deletes a partition's log with its files, at once. Nothing happens if there is none.
    pub fn delete(&self, topic_partition: &TopicPartition) -> Result<(), Error> {
        let _changing = lock(&self.changing);
        let Some(log) = write_lock(&self.logs).remove(topic_partition) else {
            return Ok(());
        };
        log.delete()?;
        durable::sync_directory(log.directory())?;
        tracing::debug!("{topic_partition}: deleted");
        // Its recovery point must not be that of the next partition of this name.
        self.roots
            .iter()
            .filter(|root| root.path() == log.directory())
            .try_for_each(|root| self.checkpoint(root))
    }

    /// All logs, in no order.
    pub fn all(&self) -> Vec<Arc<Log>> {
        read_lock(&self.logs).values().map(Arc::clone).collect()
    }

    /// The data directories.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.roots.iter().map(|root| root.path().to_owned()).collect()
    }

    /// Writes every log's recovery point to its data directory.
    pub fn checkpoint_recovery_points(&self) -> Result<(), Error> {
        self.roots.iter().try_for_each(|root| self.checkpoint(root))
    }

    /// Flushes logs whose last flush is longer ago than `flush.ms`. Goes on after an error, and returns the
    /// first; also one that a flush in the background met, which must stop the broker before anything else is promised.
    pub fn flush_due(&self, now: Instant) -> Result<(), Error> {
        self.for_all(|log| log.flush_if_old(now))
    }

    /// Deletes segments that the retention rules don't keep. Goes on after an error, and returns the first.
    pub fn apply_retention(&self, times: &Times) -> Result<(), Error> {
        self.for_all(|log| match log.apply_retention(times) {
            // Deleted, or all of them closed, since the list was taken.
            Ok(_) | Err(Error::Closed(_)) => Ok(()),
            Err(error) => Err(error),
        })
    }

    /// Removes the files of segments that were deleted long enough ago. Goes on after an error, and returns
    /// the first.
    pub fn delete_due_files(&self, now: Instant) -> Result<(), Error> {
        self.for_all(|log| log.delete_due_files(now))
    }

    /// Flushes and closes every log, and leaves the data directories such that we or 0.8.2.2 can open them
    /// without recovery. A directory with a log that could not be closed is left as after a crash. Returns
    /// the first error.
    pub fn close(&self) -> Result<(), Error> {
        self.flusher.stop();
        let _changing = lock(&self.changing);
        let closed = self.roots.iter().map(|root| self.close_root(root)).collect();
        write_lock(&self.logs).clear();
        first_error(closed)
    }

    fn close_root(&self, root: &Root) -> Result<(), Error> {
        let logs: Vec<_> = self
            .all()
            .into_iter()
            .filter(|log| log.directory() == root.path())
            .collect();
        let closed = in_parallel(&logs, self.threads.max(CLOSING), |log| log.close());
        let result = first_error(closed)
            .and_then(|()| self.checkpoint(root))
            .and_then(|()| root.mark_clean());
        root.unlock();
        result
    }

    fn open_all(&self, config: &LogsConfig) -> Result<(), Error> {
        let began = Instant::now();
        let mut found = Vec::new();
        for root in &self.roots {
            for (topic_partition, last_stop) in root.partitions()? {
                found.push(Found {
                    root,
                    topic_partition,
                    last_stop,
                });
            }
        }
        refuse_duplicates(&found)?;
        self.roots.iter().try_for_each(Root::mark_in_use)?;
        tracing::info!("opening {} partitions", found.len());
        thread::scope(|scope| {
            let opening: Vec<_> = self
                .roots
                .iter()
                .map(|root| {
                    let here: Vec<_> = found
                        .iter()
                        .filter(|found| std::ptr::eq(found.root, root))
                        .collect();
                    scope.spawn(move || {
                        first_error(in_parallel(&here, self.threads, |found| {
                            self.open_log(found, config)
                        }))
                    })
                })
                .collect();
            first_error(opening.into_iter().map(join).collect())
        })?;
        tracing::info!("opened {} partitions in {:?}", found.len(), began.elapsed());
        Ok(())
    }

    fn open_log(&self, found: &Found<'_>, config: &LogsConfig) -> Result<(), Error> {
        let topic_partition = &found.topic_partition;
        let overrides = config.overrides.get(&*topic_partition.topic);
        let (settings, bad) = match overrides {
            Some(overrides) => config.defaults.with_overrides(overrides),
            None => (config.defaults.clone(), Vec::new()),
        };
        for bad in bad {
            tracing::warn!("{topic_partition}: setting ignored: {bad}");
        }
        let log = Log::open(
            self.place(found.root, topic_partition.clone()),
            found.last_stop,
            settings,
        )?;
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        tracing::debug!("{topic_partition}: opened, offsets {start}..{end}");
        write_lock(&self.logs).insert(topic_partition.clone(), Arc::new(log));
        Ok(())
    }

    fn place(&self, root: &Root, topic_partition: TopicPartition) -> Place {
        Place {
            topic_partition,
            directory: root.path().to_owned(),
            open_files: Arc::clone(&self.open_files),
            flush_requests: self.flusher.requests(),
            flushes: self.flushes.clone(),
        }
    }

    fn emptiest_root(&self) -> Option<&Root> {
        let all = self.all();
        let partitions = |root: &Root| all.iter().filter(|log| log.directory() == root.path()).count();
        self.roots.iter().min_by_key(|root| partitions(root))
    }

    fn checkpoint(&self, root: &Root) -> Result<(), Error> {
        let offsets = self
            .all()
            .iter()
            .filter(|log| log.directory() == root.path())
            .map(|log| (log.topic_partition().clone(), log.recovery_point()))
            .collect();
        root.write_recovery_points(&offsets)
    }

    fn for_all(&self, act: impl Fn(&Log) -> Result<(), Error>) -> Result<(), Error> {
        first_error(self.all().iter().map(|log| act(log)).collect())
    }
}

/// Locks every data directory; a directory is refused when it is given twice, by whatever names.
fn open_roots(directories: &[PathBuf]) -> Result<Vec<Root>, Error> {
    if directories.is_empty() {
        return Err(Error::NoDirectory);
    }
    let mut roots = Vec::new();
    let mut seen = BTreeSet::new();
    for directory in directories {
        if directory
            .canonicalize()
            .is_ok_and(|canonical| !seen.insert(canonical))
        {
            return Err(Error::DuplicateDirectory(directory.clone()));
        }
        roots.push(Root::open(directory)?);
        seen.extend(directory.canonicalize());
    }
    Ok(roots)
}

fn start_flusher(logs: &Arc<RwLock<LogMap>>, roots: &[Root]) -> Result<Flusher, Error> {
    let path = roots.first().map_or(Path::new(""), |root| root.path());
    Flusher::start(Arc::clone(logs)).map_err(Error::io(path))
}

fn refuse_duplicates(found: &[Found<'_>]) -> Result<(), Error> {
    let mut seen = HashMap::new();
    for Found {
        root,
        topic_partition,
        ..
    } in found
    {
        if let Some(first) = seen.insert(topic_partition, root.path()) {
            return Err(Error::DuplicatePartition {
                partition: topic_partition.clone(),
                first: first.to_owned(),
                second: root.path().to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
