//! Why a log could not do what was asked, told apart as far as callers treat it differently.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::message;
use crate::types::TopicPartition;

/// Why a log could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The offset is below the first or above the last offset kept.
    #[error("offset {asked} is outside {first}..{end}")]
    OffsetOutOfRange {
        /// The offset.
        asked: i64,
        /// Where the log starts.
        first: i64,
        /// Where it ends.
        end: i64,
    },
    /// The log has the offset, but the reader may not see it yet.
    #[error("offset {asked} is beyond {bound}, up to where it may be read")]
    BeyondBound {
        /// The offset.
        asked: i64,
        /// The end of what the reader may see.
        bound: i64,
    },
    /// The messages themselves are not acceptable.
    #[error(transparent)]
    Message(#[from] message::Error),
    /// The set doesn't fit into a segment.
    #[error("set of {size} bytes, a segment takes {limit}")]
    SetTooLarge {
        /// Bytes of the set.
        size: usize,
        /// `segment.bytes`.
        limit: u64,
    },
    /// Messages that come with offsets must continue the log.
    #[error("offset {offset} follows {end}")]
    OutOfOrder {
        /// The offset that came.
        offset: i64,
        /// The least that may come.
        end: i64,
    },
    /// What is stored there is no entry.
    #[error("no entry at byte {position} of {}", .path.display())]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// The position in it.
        position: u64,
    },
    /// There can't be a directory for this partition.
    #[error("{0} is no legal name of a partition")]
    IllegalName(TopicPartition),
    /// The log was closed or deleted.
    #[error("log {0} is closed")]
    Closed(TopicPartition),
    /// The disk failed. The broker must stop: what is on disk is no longer known.
    #[error("access {}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another process uses the data directory.
    #[error("data directory {} is in use by {holder}", .directory.display())]
    Locked {
        /// The data directory.
        directory: PathBuf,
        /// Who uses it.
        holder: Holder,
    },
    /// The data directory is something else.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The data directory was missing and could not be created.
    #[error("create directory {}: {source}", .path.display())]
    CreateDirectory {
        /// The data directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The data directory's file system is read-only.
    #[error("{} is on a read-only file system", .0.display())]
    ReadOnly(PathBuf),
    /// The data directory belongs to somebody else.
    #[error("no permission to use {}", .0.display())]
    PermissionDenied(PathBuf),
    /// The data directory's file system is full.
    #[error("no space left for {}", .0.display())]
    NoSpace(PathBuf),
    /// A data directory is named twice.
    #[error("data directory {} is given more than once", .0.display())]
    DuplicateDirectory(PathBuf),
    /// No data directory was given.
    #[error("no data directory is given")]
    NoDirectory,
    /// A partition lies in two data directories, and nobody can say which is right.
    #[error("partition {partition} lies in both {} and {}", .first.display(), .second.display())]
    DuplicatePartition {
        /// The partition.
        partition: TopicPartition,
        /// One data directory.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
}

impl Error {
    /// The disk failed at `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// A data directory can't be used: the reasons that an operator can do something about, by name.
    pub(crate) fn directory(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::NotADirectory => Self::NotADirectory(path),
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(path),
            io::ErrorKind::PermissionDenied => Self::PermissionDenied(path),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace(path),
            _ => Self::Io { path, source },
        }
    }
}

/// Who holds the lock of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The process with this id.
    Process(u32),
    /// This process.
    Here,
    /// Some process that can't be seen from here.
    Unknown,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process(id) => write!(f, "process {id}"),
            Self::Here => write!(f, "this process"),
            Self::Unknown => write!(f, "another process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_errors_are_told_apart() {
        let path = Path::new("/d");
        let error = |code| Error::directory(path)(io::Error::from_raw_os_error(code)).to_string();
        let (eacces, enotdir, enospc, erofs, eio) = (13, 20, 28, 30, 5);
        assert_eq!(error(eacces), "no permission to use /d");
        assert_eq!(error(enotdir), "/d is not a directory");
        assert_eq!(error(enospc), "no space left for /d");
        assert_eq!(error(erofs), "/d is on a read-only file system");
        assert!(error(eio).starts_with("access /d: "), "{}", error(eio));
    }
}
