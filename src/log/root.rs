//! One data directory: its lock, its marker of a clean stop, its recovery points, and the partitions found in
//! it.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;

use crate::log::Error;
use crate::log::OffsetCheckpoint;
use crate::log::checkpoint::CHECKPOINTS;
use crate::log::checkpoint::RECOVERY_POINTS;
use crate::log::durable;
use crate::log::lock;
use crate::log::lock::DirectoryLock;
use crate::log::lock::LOCK_FILE;
use crate::log::recovery::LastStop;
use crate::types::TopicPartition;
use crate::types::is_legal_topic_name;

/// The file that says that everything was flushed and closed.
const CLEAN_MARKER: &str = ".kafka_cleanshutdown";

/// A locked data directory.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    /// None once the directory is left to others.
    lock: Mutex<Option<DirectoryLock>>,
    recovery_points: OffsetCheckpoint,
}

impl Root {
    /// Creates the directory if need be, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        create_directory(path)?;
        let lock = DirectoryLock::acquire(path)?;
        remove_temporary_files(path)?;
        Ok(Self {
            path: path.to_owned(),
            lock: Mutex::new(Some(lock)),
            recovery_points: OffsetCheckpoint::new(path.join(RECOVERY_POINTS)),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The partitions in it, with how each was left. Other directories are ignored, over which 0.8.2.2
    /// doesn't start: file systems have their own (`lost+found`), and later releases leave some.
    pub(crate) fn partitions(&self) -> Result<Vec<(TopicPartition, LastStop)>, Error> {
        let clean = self.marker().exists();
        let recovery_points = self.recovery_points.read()?;
        let mut partitions = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(Error::io(&self.path))? {
            let path = entry.map_err(Error::io(&self.path))?.path();
            if !durable::is_there(&path, Metadata::is_dir)? {
                continue;
            }
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy())
                .unwrap_or_default();
            let Some(partition) = parse_directory_name(&name) else {
                tracing::warn!("{}: ignored, it is no partition's directory", path.display());
                continue;
            };
            let recovery_point = recovery_points.get(&partition).copied().unwrap_or(0);
            let last_stop = if clean {
                LastStop::Clean
            } else {
                LastStop::Unclean { recovery_point }
            };
            partitions.push((partition, last_stop));
        }
        Ok(partitions)
    }

    /// From now on the directory is in use: a crash makes the next start recover it. 0.8.2.2 removes the
    /// marker when every log is open; should it stop before, it finds indexes of full length below the
    /// marker, and doesn't start.
    pub(crate) fn mark_in_use(&self) -> Result<(), Error> {
        durable::remove_if_present(&self.marker())?;
        durable::sync_directory(&self.path)
    }

    /// Replaces the recovery points.
    pub(crate) fn write_recovery_points(&self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<(), Error> {
        self.recovery_points.write(offsets)
    }

    /// Every log in it is closed: 0.8.2.2, or we, can open it without recovery.
    pub(crate) fn mark_clean(&self) -> Result<(), Error> {
        let marker = self.marker();
        File::create(&marker)
            .and_then(|file| file.sync_all())
            .map_err(Error::io(&marker))?;
        durable::sync_directory(&self.path)
    }

    /// Leaves the directory to others.
    pub(crate) fn unlock(&self) {
        lock(&self.lock).take();
    }

    fn marker(&self) -> PathBuf {
        self.path.join(CLEAN_MARKER)
    }
}

fn create_directory(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    if path.exists() {
        return Err(Error::NotADirectory(path.to_owned()));
    }
    tracing::info!("{}: creating data directory", path.display());
    fs::create_dir_all(path).map_err(|source| match Error::directory(path)(source) {
        Error::Io { path, source } => Error::CreateDirectory { path, source },
        Error::NotADirectory(path) => Error::CreateDirectory {
            path,
            source: std::io::ErrorKind::NotADirectory.into(),
        },
        other => other,
    })
}

/// Checkpoints that were being written.
fn remove_temporary_files(path: &Path) -> Result<(), Error> {
    CHECKPOINTS
        .iter()
        .try_for_each(|name| durable::remove_if_present(&path.join(format!("{name}.tmp"))))
}

/// Whether a file of this name in a data directory is one that brokers make beside the partitions' directories.
pub fn is_own_file(name: &str) -> bool {
    let checkpoint = name.strip_suffix(".tmp").unwrap_or(name);
    [LOCK_FILE, CLEAN_MARKER].contains(&name) || CHECKPOINTS.contains(&checkpoint)
}

/// The partition whose directory has this name: the topic, a dash, the number.
fn parse_directory_name(name: &str) -> Option<TopicPartition> {
    let (topic, number) = name.rsplit_once('-')?;
    let partition = number.parse().ok().filter(|&partition| partition >= 0)?;
    let parsed = TopicPartition::new(topic, partition);
    // Not "t-07" nor "t-+7": they would be looked for elsewhere.
    (is_legal_topic_name(topic) && parsed.to_string() == name).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_names_are_split_at_the_last_dash() {
        let parsed = parse_directory_name("a.name_with-dashes-7-0");
        assert_eq!(parsed, Some(TopicPartition::new("a.name_with-dashes-7", 0)));
        for foreign in [
            "lost+found",
            "t",
            "t-",
            "t-x",
            "t-07",
            "t-+7",
            "t-1.abc-delete",
            "-0",
            "t-2147483648",
        ] {
            assert_eq!(parse_directory_name(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_root_that_can_not_be_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Root::open(&file).unwrap_err();
        assert!(
            matches!(&error, Error::NotADirectory(path) if *path == file),
            "{error}"
        );
        let below = file.join("below");
        let error = Root::open(&below).unwrap_err();
        assert!(
            matches!(&error, Error::CreateDirectory { path, .. } if *path == below),
            "{error}"
        );
    }

    #[test]
    fn the_marker_says_how_the_last_stop_was() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("t-0")).unwrap();
        fs::write(
            directory.path().join("recovery-point-offset-checkpoint"),
            "0\n1\nt 0 7\n",
        )
        .unwrap();
        let root = Root::open(directory.path()).unwrap();
        let t = TopicPartition::new("t", 0);
        let unclean = LastStop::Unclean { recovery_point: 7 };
        assert_eq!(root.partitions().unwrap(), [(t.clone(), unclean)]);
        root.mark_clean().unwrap();
        assert_eq!(root.partitions().unwrap(), [(t.clone(), LastStop::Clean)]);
        root.mark_in_use().unwrap();
        assert_eq!(root.partitions().unwrap(), [(t, unclean)]);
    }
}
