//! One file of messages and its index.
//!
//! Files: `<base offset, 20 digits>.log` and `.index`. What must hold:
//! - every offset in the segment is at or above its base offset, and they increase;
//! - bytes before `len` are whole entries; bytes after it are not there as far as anybody is concerned;
//! - only the log that owns the segment changes it, one change at a time; readers don't wait for it.

use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::log::Error;
use crate::log::LogConfig;
use crate::log::SegmentSummary;
use crate::log::age::Age;
use crate::log::durable;
use crate::log::files::OpenFiles;
use crate::log::files::SegmentFile;
use crate::log::index::IndexEntry;
use crate::log::index::OffsetIndex;
use crate::log::landmarks::Landmarks;
use crate::log::preallocation::Preallocation;
use crate::log::scan::Headers;

/// What the name of a segment's file of messages ends in.
pub(crate) const LOG_SUFFIX: &str = "log";
/// What the name of a segment's index ends in.
pub(crate) const INDEX_SUFFIX: &str = "index";
/// What is added to the name of a file that is to be deleted.
const DELETED_SUFFIX: &str = ".deleted";
/// Digits of a base offset in a file name.
const BASE_OFFSET_DIGITS: usize = 20;
/// Headers that a search reads one by one, without the messages between them. Behind so many it is inside a long set of
/// small messages that has no landmarks, and reads on.
const READ_ALONE: usize = 256;
/// 0.8.2.2 can't find the end of a longer segment when it opens it, whatever `segment.bytes` says, and would
/// give its offsets away again (FileMessageSet.read adds in 32 bits).
const LONGEST: u64 = 1024 * 1024 * 1024;

/// The file of the segment with this base offset.
pub(crate) fn file_path(directory: &Path, base_offset: i64, suffix: &str) -> PathBuf {
    directory.join(format!("{base_offset:0BASE_OFFSET_DIGITS$}.{suffix}"))
}

/// The base offset that a file name without its suffix stands for.
pub(crate) fn parse_base_offset(stem: &str) -> Option<i64> {
    let digits = stem.len() == BASE_OFFSET_DIGITS && stem.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| stem.parse().ok()).flatten()
}

/// One file of messages and its index.
#[derive(Debug)]
pub(crate) struct Segment {
    base_offset: i64,
    log: SegmentFile,
    index: OffsetIndex,
    len: AtomicU64,
    room: Preallocation,
    /// Bytes appended since the last index entry.
    unindexed: AtomicU64,
    /// Where some entries are, while it is appended to.
    landmarks: Landmarks,
    age: Age,
    /// Whether the file of messages was written since it was flushed.
    dirty: AtomicBool,
    /// Whether the index was.
    index_dirty: AtomicBool,
    /// Whether the files were renamed or removed, and others may have their names.
    removed: AtomicBool,
}

/// An append that failed.
#[derive(Debug)]
pub(crate) struct AppendFailure {
    pub(crate) error: Error,
    /// Whether the segment is as it was before.
    pub(crate) undone: bool,
}

impl Segment {
    /// Creates the files; those that are there by these names go.
    pub(crate) fn create(
        directory: &Path,
        base_offset: i64,
        config: &LogConfig,
        open_files: &Arc<OpenFiles>,
    ) -> Result<Self, Error> {
        let log = SegmentFile::new(file_path(directory, base_offset, LOG_SUFFIX), open_files);
        let index_path = file_path(directory, base_offset, INDEX_SUFFIX);
        durable::remove_if_present(log.path())?;
        durable::remove_if_present(&index_path)?;
        let created = log.create().and_then(|_| {
            OffsetIndex::create(index_path.clone(), base_offset, config.index_bytes, open_files)
        });
        match created {
            Ok(index) => Ok(Self::of(base_offset, log, index, config)),
            Err(error) => {
                // Left behind, it would be taken for the end of the log by the next start.
                let _ = durable::remove_if_present(log.path());
                let _ = durable::remove_if_present(&index_path);
                Err(error)
            }
        }
    }

    /// Opens the files that are there. If the index is missing it is created, and has to be rebuilt.
    pub(crate) fn open(
        directory: &Path,
        base_offset: i64,
        config: &LogConfig,
        open_files: &Arc<OpenFiles>,
    ) -> Result<(Self, IndexFound), Error> {
        let log = SegmentFile::new(file_path(directory, base_offset, LOG_SUFFIX), open_files);
        let metadata = fs::metadata(log.path()).map_err(Error::io(log.path()))?;
        let index_path = file_path(directory, base_offset, INDEX_SUFFIX);
        let found = index_path.exists();
        let index = if found {
            OffsetIndex::open(index_path, base_offset, open_files)?
        } else {
            OffsetIndex::create(index_path, base_offset, config.index_bytes, open_files)?
        };
        let segment = Self {
            len: AtomicU64::new(metadata.len()),
            room: Preallocation::found(&metadata),
            ..Self::of(base_offset, log, index, config)
        };
        Ok((segment, if found { IndexFound::Yes } else { IndexFound::No }))
    }

    fn of(base_offset: i64, log: SegmentFile, index: OffsetIndex, config: &LogConfig) -> Self {
        Self {
            base_offset,
            log,
            index,
            len: AtomicU64::new(0),
            room: Preallocation::default(),
            unindexed: AtomicU64::new(0),
            landmarks: Landmarks::new(),
            age: Age::new(config),
            dirty: AtomicBool::new(false),
            index_dirty: AtomicBool::new(false),
            removed: AtomicBool::new(false),
        }
    }

    /// No offset in it is below.
    pub(crate) fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// Bytes of messages.
    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// The file of messages.
    pub(crate) fn log(&self) -> &SegmentFile {
        &self.log
    }

    /// The index.
    pub(crate) fn index(&self) -> &OffsetIndex {
        &self.index
    }

    /// Whether it was deleted.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    /// What others may know of it.
    pub(crate) fn summary(&self) -> Result<SegmentSummary, Error> {
        let path = self.log.path();
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        Ok(SegmentSummary {
            base_offset: self.base_offset,
            size: self.len(),
            modified: modified.map_err(Error::io(path))?,
        })
    }

    /// Whether a set that begins with `offset` goes into a new segment.
    pub(crate) fn must_roll(&self, offset: i64, set_len: u64, config: &LogConfig, now: Instant) -> bool {
        let len = self.len();
        let limit = config.segment_bytes.min(LONGEST);
        let reaches = offset
            .checked_sub(self.base_offset)
            .is_some_and(|reach| reach < i32::MAX.into());
        len > 0
            && (len.saturating_add(set_len) > limit
                || self.age.is_over(config, now)
                || self.index.is_full()
                // What 0.8.2.2 doesn't look at: offsets that don't fit into the index.
                || !reaches)
    }

    /// Appends whole entries, of which `offset` is the first or below it.
    pub(crate) fn append(&self, bytes: &[u8], offset: i64, config: &LogConfig) -> Result<(), AppendFailure> {
        let position = self.len();
        let len = u64::try_from(bytes.len()).unwrap_or_default();
        let indexed = self.unindexed.load(Ordering::Relaxed) > config.index_interval_bytes;
        let written = self.log.writable().and_then(|file| {
            let longest = config.segment_bytes.min(LONGEST);
            self.room.ahead(&file, position, position + len, longest);
            file.write_all_at(bytes, position)
                .map_err(Error::io(self.log.path()))?;
            if indexed {
                self.index_dirty.store(true, Ordering::Release);
                self.index.append(IndexEntry { offset, position });
            }
            Ok(())
        });
        if let Err(error) = written {
            let undone = self.set_file_len(position).is_ok();
            return Err(AppendFailure { error, undone });
        }
        self.landmarks.note(bytes, position, self.base_offset);
        let unindexed = if indexed {
            len
        } else {
            self.unindexed.load(Ordering::Relaxed) + len
        };
        self.unindexed.store(unindexed, Ordering::Relaxed);
        self.dirty.store(true, Ordering::Release);
        self.len.store(position + len, Ordering::Release);
        Ok(())
    }

    /// Where, before `len`, the first entry is whose offset is not below `target`.
    pub(crate) fn find(&self, file: &File, target: i64, len: u64) -> Result<Option<u64>, Error> {
        let start = self.near(target, len, None);
        self.find_from(start, file, target, len)
    }

    /// Where to begin a search for an offset: where an entry begins, not behind the one that is looked for, and not
    /// before `hint`, if one is given.
    pub(crate) fn near(&self, target: i64, len: u64, hint: Option<u64>) -> u64 {
        let known = match hint {
            Some(position) => position,
            None => self.index.lookup(target).map_or(0, |entry| entry.position),
        };
        // A set may be long, and both know only where it begins.
        let noted = self.landmarks.before(target, self.base_offset);
        let start = noted.map_or(known, |noted| noted.max(known));
        // An index that points beyond the end can't be right about anything.
        if start > len { 0 } else { start }
    }

    /// The same as [`Self::find`], from a place that [`Self::near`] has found.
    pub(crate) fn find_from(
        &self,
        start: u64,
        file: &File,
        target: i64,
        len: u64,
    ) -> Result<Option<u64>, Error> {
        let mut headers = Headers::new(file, start, len);
        let mut walked = 0;
        loop {
            if walked == READ_ALONE {
                headers = Headers::reading_on(file, headers.position(), len);
            }
            match headers.next().map_err(Error::io(self.log.path()))? {
                Some(Ok(located)) if located.header.last_offset >= target => {
                    return Ok(Some(located.position));
                }
                Some(Ok(_)) => walked += 1,
                Some(Err(_)) => {
                    return Err(Error::Corrupt {
                        path: self.log.path().to_owned(),
                        position: headers.position(),
                    });
                }
                None => return Ok(None),
            }
        }
    }

    /// Cuts off everything from `position` on, where the entry with `offset` or a later one begins.
    pub(crate) fn truncate(&self, position: u64, offset: i64, config: &LogConfig) -> Result<(), Error> {
        self.index_dirty.store(true, Ordering::Release);
        self.dirty.store(true, Ordering::Release);
        self.landmarks.clear();
        self.index.truncate(offset, config.index_bytes)?;
        self.set_file_len(position)?;
        self.len.store(position, Ordering::Release);
        self.unindexed.store(0, Ordering::Relaxed);
        if position == 0 {
            self.age.restart(config);
        }
        Ok(())
    }

    /// Cuts off what is no whole entry; no index entry points there.
    pub(crate) fn cut(&self, len: u64) -> Result<(), Error> {
        self.dirty.store(true, Ordering::Release);
        self.landmarks.clear();
        self.set_file_len(len)?;
        self.len.store(len, Ordering::Release);
        Ok(())
    }

    fn set_file_len(&self, len: u64) -> Result<(), Error> {
        self.log.set_len(len)?;
        self.room.forget();
        Ok(())
    }

    /// Prepares it for being appended to.
    pub(crate) fn activate(&self, config: &LogConfig) -> Result<(), Error> {
        self.log.writable()?;
        self.index_dirty.store(true, Ordering::Release);
        self.index.grow(config.index_bytes)
    }

    /// Nobody knows which of its bytes are on the disk.
    pub(crate) fn mark_dirty(&self) {
        self.dirty.store(true, Ordering::Release);
        self.index_dirty.store(true, Ordering::Release);
    }

    /// Gives the index the length that 0.8.2.2 expects of a segment that isn't appended to.
    pub(crate) fn trim_index(&self) -> Result<(), Error> {
        self.landmarks.clear();
        self.index_dirty.store(true, Ordering::Release);
        self.index.trim()
    }

    /// Whether it has room on the disk behind its end.
    pub(crate) fn has_room(&self) -> bool {
        self.room.is_behind(self.len())
    }

    /// Gives that room back. The caller keeps others from appending.
    pub(crate) fn give_back_room(&self) {
        if !self.has_room() {
            return;
        }
        let len = self.len();
        let given = self.log.writable().and_then(|file| {
            self.room
                .give_back(&file, len)
                .map_err(Error::io(self.log.path()))
        });
        if let Err(error) = given {
            // It costs nobody a message.
            tracing::warn!("room behind the end of a segment is not given back: {error}");
        }
    }

    /// Whether messages were written since they were made durable.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    /// Makes the messages durable.
    pub(crate) fn sync_log(&self) -> Result<(), Error> {
        sync(&self.log, &self.dirty)
    }

    /// Makes the index durable.
    pub(crate) fn sync_index(&self) -> Result<(), Error> {
        sync(self.index.file(), &self.index_dirty)
    }

    /// Whether the file of messages is kept open for writing.
    #[cfg(test)]
    pub(crate) fn is_open(&self) -> bool {
        self.log.is_held()
    }

    /// Closes the file of messages, but for those who are reading it. It is opened again when needed.
    pub(crate) fn release(&self) {
        self.log.release();
    }

    /// Takes the files out of the way: they get other names, which are returned, and are to be removed later.
    /// A crash between the two leaves an index without messages, which goes at the next start.
    pub(crate) fn remove(&self) -> Result<[PathBuf; 2], Error> {
        self.removed.store(true, Ordering::Release);
        let log = rename_deleted(self.log.path())?;
        let index = rename_deleted(self.index.file().path())?;
        self.release();
        Ok([log, index])
    }

    /// The directory with the files is gone.
    pub(crate) fn mark_removed(&self) {
        self.removed.store(true, Ordering::Release);
        self.release();
    }
}

/// Whether a segment's index was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexFound {
    Yes,
    No,
}

/// Flushes a file unless it hasn't changed. What is written while this runs is flushed the next time.
fn sync(file: &SegmentFile, dirty: &AtomicBool) -> Result<(), Error> {
    if dirty.swap(false, Ordering::AcqRel) {
        file.sync()
            .inspect_err(|_| dirty.store(true, Ordering::Release))?;
    }
    Ok(())
}

fn rename_deleted(path: &Path) -> Result<PathBuf, Error> {
    let mut renamed = path.to_owned().into_os_string();
    renamed.push(DELETED_SUFFIX);
    let renamed = PathBuf::from(renamed);
    fs::rename(path, &renamed).map_err(Error::io(path))?;
    Ok(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_those_of_0_8() {
        let path = file_path(Path::new("/d/t-0"), 37, LOG_SUFFIX);
        assert_eq!(path, Path::new("/d/t-0/00000000000000000037.log"));
        assert_eq!(parse_base_offset("00000000000000000037"), Some(37));
        assert_eq!(parse_base_offset("09223372036854775807"), Some(i64::MAX));
        for other in [
            "37",
            "99999999999999999999",
            "-0000000000000000037",
            "+0000000000000000037",
            "abc",
            "",
        ] {
            assert_eq!(parse_base_offset(other), None, "{other}");
        }
    }

    #[test]
    fn a_segment_never_exceeds_what_0_8_can_open() {
        let directory = tempfile::tempdir().unwrap();
        let config = LogConfig {
            segment_bytes: 2_000_000_000,
            ..LogConfig::default()
        };
        let segment = Segment::create(directory.path(), 0, &config, &Arc::default()).unwrap();
        let must_roll = |len| segment.must_roll(1, len, &config, Instant::now());
        assert!(
            !must_roll(LONGEST + 1),
            "it is empty: whatever comes must go somewhere"
        );
        segment.append(b"0123456789", 0, &config).unwrap();
        assert!(!must_roll(LONGEST - 10));
        assert!(must_roll(LONGEST - 9));
    }

    #[test]
    fn a_removed_segment_is_out_of_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let config = LogConfig::default();
        let create = || Segment::create(directory.path(), 7, &config, &Arc::default()).unwrap();
        let old = create();
        old.append(b"old", 7, &config).unwrap();
        let reader = old.log().readable().unwrap();
        let [log, index] = old.remove().unwrap();
        assert!(old.is_removed());
        assert!(log.ends_with("00000000000000000007.log.deleted") && log.exists() && index.exists());
        let new = create();
        assert_eq!((new.len(), fs::read(&log).unwrap()), (0, b"old".to_vec()));
        assert_eq!(reader.metadata().unwrap().len(), 3);
    }
}
