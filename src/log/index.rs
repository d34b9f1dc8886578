//! The index of a segment: where, roughly, an offset is.
//!
//! Derived from the segment: losing it costs time, never messages. An entry says that every entry of the
//! segment before `position` has a smaller offset:
//!
//! ```text
//! offset - base offset i32 | position i32
//! ```
//!
//! The file of a segment that is appended to is longer than its entries, filled up with zeros; 0.8.2.2 takes
//! the whole length for entries when it opens one, so that it must be trimmed whenever the segment is closed.
//! The latest few entries are held in memory and written together; the file is not kept open in between, so
//! that a partition takes one open file. Both numbers are read as unsigned: 0.8.2.2 lets them wrap in
//! segments beyond 2 GiB.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::log::Error;
use crate::log::files::OpenFiles;
use crate::log::files::SegmentFile;
use crate::log::lock;

/// Bytes of an entry.
const ENTRY_LEN: u64 = 8;
/// Entries that are written together: half a kilobyte, for a quarter of a megabyte of messages or more.
const TOGETHER: usize = 64;

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// Every entry of the segment before `position` has a smaller offset.
    pub(crate) offset: i64,
    /// Where an entry of the segment begins.
    pub(crate) position: u64,
}

/// The index of a segment.
#[derive(Debug)]
pub(crate) struct OffsetIndex {
    base_offset: i64,
    file: SegmentFile,
    /// How many there are.
    entries: AtomicU64,
    /// How many fit into the file.
    slots: AtomicU64,
    latest: Mutex<Latest>,
    /// Whether something was said about it.
    warned: AtomicBool,
}

/// What comes after the entries in the file.
#[derive(Debug, Default)]
struct Latest {
    /// Entries that are not in the file yet.
    unwritten: Vec<[u8; 8]>,
    /// The last entry, if this process has added it.
    last: Option<IndexEntry>,
}

impl OffsetIndex {
    /// An index whose file needn't exist yet.
    fn new(path: PathBuf, base_offset: i64, open_files: &Arc<OpenFiles>) -> Self {
        Self {
            base_offset,
            file: SegmentFile::new(path, open_files),
            entries: AtomicU64::new(0),
            slots: AtomicU64::new(0),
            latest: Mutex::default(),
            warned: AtomicBool::new(false),
        }
    }

    /// Creates an empty one with room for `max_bytes` of entries.
    pub(crate) fn create(
        path: PathBuf,
        base_offset: i64,
        max_bytes: u64,
        open_files: &Arc<OpenFiles>,
    ) -> Result<Self, Error> {
        let index = Self::new(path, base_offset, open_files);
        index.file.create()?;
        index.file.release();
        index.grow(max_bytes)?;
        Ok(index)
    }

    /// Opens one that exists. Its whole length counts as entries; whoever doesn't trust that clears it.
    pub(crate) fn open(path: PathBuf, base_offset: i64, open_files: &Arc<OpenFiles>) -> Result<Self, Error> {
        let index = Self::new(path, base_offset, open_files);
        let entries = index.file_len()? / ENTRY_LEN;
        index.entries.store(entries, Ordering::Release);
        index.slots.store(entries, Ordering::Release);
        Ok(index)
    }

    /// The file.
    pub(crate) fn file(&self) -> &SegmentFile {
        &self.file
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Acquire)
    }

    /// Whether no other entry fits.
    pub(crate) fn is_full(&self) -> bool {
        self.entries() >= self.slots.load(Ordering::Acquire)
    }

    /// Adds an entry, if it fits and comes after the last one and the base offset. The index may lack
    /// entries, but must not have others.
    pub(crate) fn append(&self, entry: IndexEntry) {
        let relative = entry
            .offset
            .checked_sub(self.base_offset)
            .and_then(|offset| i32::try_from(offset).ok());
        let position = u32::try_from(entry.position).ok();
        let (Some(relative @ 1..), Some(position)) = (relative, position) else {
            return;
        };
        if lock(&self.latest).unwritten.len() >= TOGETHER {
            self.write();
        }
        let mut latest = lock(&self.latest);
        if latest.last.is_none() {
            let Ok(last) = self.last_of(&latest).inspect_err(|error| self.warn(error)) else {
                return;
            };
            latest.last = last;
        }
        if self.is_full() || latest.last.is_some_and(|last| last.offset >= entry.offset) {
            return;
        }
        let [a, b, c, d] = relative.to_be_bytes();
        let [e, f, g, h] = position.to_be_bytes();
        latest.unwritten.push([a, b, c, d, e, f, g, h]);
        latest.last = Some(entry);
        self.entries.fetch_add(1, Ordering::Release);
    }

    /// The last entry.
    pub(crate) fn last_entry(&self) -> Result<Option<IndexEntry>, Error> {
        self.last_of(&lock(&self.latest))
    }

    /// The greatest entry whose offset is not above `offset`; none either if the file can't be read.
    pub(crate) fn lookup(&self, offset: i64) -> Option<IndexEntry> {
        let in_file = {
            let latest = lock(&self.latest);
            let below = |bytes: &[u8; 8]| self.parse(*bytes).offset <= offset;
            let passed = latest.unwritten.partition_point(below);
            if let Some(found) = passed.checked_sub(1).and_then(|last| latest.unwritten.get(last)) {
                return Some(self.parse(*found));
            }
            self.in_file(&latest)
        };
        self.file
            .readable()
            .and_then(|file| {
                self.count_while(&file, in_file, |entry| entry.offset <= offset)?
                    .checked_sub(1)
                    .map(|last| self.read(&file, last))
                    .transpose()
            })
            .inspect_err(|error| self.warn(error))
            .unwrap_or_default()
    }

    /// Forgets entries from `offset` on, and makes room for `max_bytes` of entries.
    pub(crate) fn truncate(&self, offset: i64, max_bytes: u64) -> Result<(), Error> {
        let mut latest = lock(&self.latest);
        let in_file = self.in_file(&latest);
        let below = |bytes: &[u8; 8]| self.parse(*bytes).offset < offset;
        let unwritten = latest.unwritten.partition_point(below);
        latest.unwritten.truncate(unwritten);
        latest.last = None;
        let written = if unwritten > 0 || in_file == 0 {
            in_file
        } else {
            self.file
                .readable()
                .and_then(|file| self.count_while(&file, in_file, |entry| entry.offset < offset))
                .inspect_err(|error| self.warn(error))
                .unwrap_or_default()
        };
        let unwritten = u64::try_from(unwritten).unwrap_or_default();
        self.entries.store(written + unwritten, Ordering::Release);
        drop(latest);
        self.grow(max_bytes)
    }

    /// Forgets all entries, and makes room for `max_bytes` of them.
    pub(crate) fn clear(&self, max_bytes: u64) -> Result<(), Error> {
        *lock(&self.latest) = Latest::default();
        self.entries.store(0, Ordering::Release);
        self.grow(max_bytes)
    }

    /// Writes what isn't written, and cuts off what isn't used. Until [`Self::grow`], the index is full.
    pub(crate) fn trim(&self) -> Result<(), Error> {
        self.write();
        let entries = self.entries();
        self.set_len(entries)?;
        self.slots.store(entries, Ordering::Release);
        Ok(())
    }

    /// Makes room for `max_bytes` of entries, at least for one, filled with zeros.
    pub(crate) fn grow(&self, max_bytes: u64) -> Result<(), Error> {
        self.write();
        let slots = (max_bytes / ENTRY_LEN).max(self.entries()).max(1);
        // Via the shorter length, so that nothing but zeros comes after the entries.
        self.set_len(self.entries())?;
        self.set_len(slots)?;
        self.slots.store(slots, Ordering::Release);
        Ok(())
    }

    /// What is wrong with an index that was found beside a segment of `segment_len` bytes, if anything.
    /// 0.8.2.2 doesn't start on the first two (OffsetIndex.sanityCheck).
    pub(crate) fn defect(&self, segment_len: u64) -> Result<Option<&'static str>, Error> {
        let last = self.last_entry()?;
        Ok(if self.file_len()? % ENTRY_LEN != 0 {
            Some("its length is no multiple of 8")
        } else if last.is_some_and(|last| last.offset <= self.base_offset) {
            Some("its last offset is not above the base offset")
        } else if last.is_some_and(|last| last.position > segment_len) {
            Some("its last position is beyond the segment's end")
        } else {
            None
        })
    }

    fn file_len(&self) -> Result<u64, Error> {
        let metadata = self.file.readable()?.metadata();
        Ok(metadata.map_err(Error::io(self.file.path()))?.len())
    }

    fn in_file(&self, latest: &Latest) -> u64 {
        let unwritten = u64::try_from(latest.unwritten.len()).unwrap_or_default();
        self.entries().saturating_sub(unwritten)
    }

    fn last_of(&self, latest: &Latest) -> Result<Option<IndexEntry>, Error> {
        if let Some(last) = latest.unwritten.last() {
            return Ok(Some(self.parse(*last)));
        }
        let Some(last) = self.entries().checked_sub(1) else {
            return Ok(None);
        };
        self.read(self.file.readable()?.as_ref(), last).map(Some)
    }

    /// Moves all entries into the file, while readers still find them in memory. Those that can't be written are
    /// forgotten: the messages are safe without them.
    fn write(&self) {
        let (unwritten, in_file) = {
            let latest = lock(&self.latest);
            (latest.unwritten.clone(), self.in_file(&latest))
        };
        if unwritten.is_empty() {
            return;
        }
        let written = self.file.writable().and_then(|file| {
            file.write_all_at(unwritten.as_flattened(), in_file * ENTRY_LEN)
                .map_err(Error::io(self.file.path()))
        });
        self.file.release();
        let mut latest = lock(&self.latest);
        latest.unwritten = Vec::new();
        if let Err(error) = written {
            self.warn(&error);
            latest.last = None;
            self.entries.store(in_file, Ordering::Release);
        }
    }

    /// Says that the index lacks something, once.
    fn warn(&self, error: &Error) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("{error}; finding messages takes longer without this index");
        }
    }

    fn set_len(&self, entries: u64) -> Result<(), Error> {
        let set = self.file.set_len(entries * ENTRY_LEN);
        self.file.release();
        set
    }

    /// How many of the first entries in the file are so; they must be partitioned by it.
    fn count_while(
        &self,
        file: &File,
        entries: u64,
        holds: impl Fn(IndexEntry) -> bool,
    ) -> Result<u64, Error> {
        let (mut low, mut high) = (0, entries);
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(self.read(file, middle)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn read(&self, file: &File, slot: u64) -> Result<IndexEntry, Error> {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, slot * ENTRY_LEN)
            .map_err(Error::io(self.file.path()))?;
        Ok(self.parse(bytes))
    }

    fn parse(&self, [a, b, c, d, e, f, g, h]: [u8; 8]) -> IndexEntry {
        IndexEntry {
            offset: self
                .base_offset
                .saturating_add(u32::from_be_bytes([a, b, c, d]).into()),
            position: u32::from_be_bytes([e, f, g, h]).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const BASE: i64 = 5;

    fn entry(offset: i64, position: u64) -> IndexEntry {
        IndexEntry { offset, position }
    }

    fn index(directory: &tempfile::TempDir, max_bytes: u64) -> OffsetIndex {
        OffsetIndex::create(directory.path().join("i"), BASE, max_bytes, &Arc::default()).unwrap()
    }

    fn bytes(directory: &tempfile::TempDir) -> Vec<u8> {
        fs::read(directory.path().join("i")).unwrap()
    }

    fn reopen(directory: &tempfile::TempDir) -> OffsetIndex {
        OffsetIndex::open(directory.path().join("i"), BASE, &Arc::default()).unwrap()
    }

    #[test]
    fn entries_are_stored_as_in_0_8() {
        let directory = tempfile::tempdir().unwrap();
        let index = index(&directory, 100);
        assert_eq!(bytes(&directory), [0; 96], "created with its final length");
        index.append(entry(12, 210));
        index.append(entry(19, 424));
        let stored = [0, 0, 0, 7, 0, 0, 0, 0xd2, 0, 0, 0, 0x0e, 0, 0, 1, 0xa8];
        assert_eq!(bytes(&directory), [0; 96], "written together with others");
        index.grow(100).unwrap();
        assert_eq!(bytes(&directory), [stored.as_slice(), &[0; 80]].concat());
        index.trim().unwrap();
        assert_eq!(bytes(&directory), stored);
        assert!(index.is_full(), "a trimmed index takes no entry");
        index.grow(100).unwrap();
        assert_eq!(bytes(&directory).len(), 96);
        assert!(!index.is_full());
    }

    #[test]
    fn a_lookup_finds_the_greatest_entry_not_above() {
        let directory = tempfile::tempdir().unwrap();
        let index = index(&directory, 80);
        assert_eq!(index.lookup(i64::MAX), None);
        for n in 1..=5 {
            index.append(entry(BASE + 10 * n, 100 * n.unsigned_abs()));
        }
        for (offset, found) in [
            (i64::MIN, None),
            (14, None),
            (15, Some(entry(15, 100))),
            (34, Some(entry(25, 200))),
            (35, Some(entry(35, 300))),
            (i64::MAX, Some(entry(55, 500))),
        ] {
            assert_eq!(index.lookup(offset), found, "{offset}");
        }
    }

    #[test]
    fn it_makes_no_difference_which_entries_are_written_yet() {
        let directory = tempfile::tempdir().unwrap();
        let index = index(&directory, 8 * 200);
        let added = |n: i64| entry(BASE + 10 * n, 100 * n.unsigned_abs());
        for n in 1..=150 {
            index.append(added(n));
            assert_eq!(index.last_entry().unwrap(), Some(added(n)));
            assert!(!index.file().is_held(), "no file is kept open");
        }
        assert_eq!(bytes(&directory)[8 * 128..], [0; 8 * 72]);
        let check_first = |index: &OffsetIndex, count: i64| {
            assert_eq!(index.lookup(BASE + 9), None);
            for n in 1..=count {
                assert_eq!(index.lookup(BASE + 10 * n + 9), Some(added(n.min(count))));
            }
            assert_eq!(index.lookup(i64::MAX), Some(added(count)));
            assert_eq!(index.entries(), count.unsigned_abs());
        };
        check_first(&index, 150);
        index.truncate(BASE + 1401, 8 * 200).unwrap();
        check_first(&index, 140);
        index.append(added(141));
        index.truncate(BASE + 701, 8 * 200).unwrap();
        check_first(&index, 70);
        index.append(added(71));
        index.trim().unwrap();
        check_first(&index, 71);
        check_first(&reopen(&directory), 71);
    }

    #[test]
    fn entries_that_cannot_be_written_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let index = index(&directory, 800);
        index.append(entry(10, 1));
        index.grow(800).unwrap();
        index.append(entry(20, 2));
        let (path, away) = (directory.path().join("i"), directory.path().join("away"));
        fs::rename(&path, &away).unwrap();
        index.grow(800).unwrap_err();
        fs::rename(&away, &path).unwrap();
        assert_eq!(index.last_entry().unwrap(), Some(entry(10, 1)));
        index.append(entry(30, 3));
        index.trim().unwrap();
        assert_eq!(reopen(&directory).entries(), 2);
    }

    #[test]
    fn entries_that_would_break_the_order_or_the_format_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let index = index(&directory, 16);
        let big = i64::from(i32::MAX);
        for bad in [
            entry(BASE, 1),
            entry(0, 1),
            entry(BASE + big + 1, 1),
            entry(9, 1 << 32),
        ] {
            index.append(bad);
            assert_eq!(index.entries(), 0, "{bad:?}");
        }
        index.append(entry(10, 1));
        index.append(entry(10, 2));
        index.append(entry(9, 2));
        assert_eq!(index.entries(), 1);
        index.append(entry(BASE + big, 2));
        assert!(index.is_full());
        index.trim().unwrap();
        let index = reopen(&directory);
        index.append(entry(BASE + big, 3));
        assert_eq!(index.last_entry().unwrap(), Some(entry(BASE + big, 2)));
    }

    #[test]
    fn truncating_forgets_entries_and_leaves_zeros() {
        let directory = tempfile::tempdir().unwrap();
        let index = index(&directory, 40);
        for n in 1..=5 {
            index.append(entry(10 * n, 100));
        }
        index.truncate(30, 40).unwrap();
        assert_eq!(index.last_entry().unwrap(), Some(entry(20, 100)));
        assert_eq!(bytes(&directory)[16..], [0; 24]);
        index.append(entry(21, 7));
        assert_eq!(index.last_entry().unwrap(), Some(entry(21, 7)));
        index.clear(40).unwrap();
        assert_eq!(index.entries(), 0);
        assert_eq!(bytes(&directory), [0; 40]);
    }

    #[test]
    fn defects_are_found() {
        let defect = |bytes: &[u8]| {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("i"), bytes).unwrap();
            reopen(&directory).defect(100).unwrap()
        };
        assert_eq!(defect(&[]), None);
        // A truncation that cuts the entry itself leaves this.
        assert_eq!(defect(&[0, 0, 0, 1, 0, 0, 0, 100]), None);
        assert!(defect(&[0, 0, 0, 1, 0, 0, 0, 101]).is_some());
        assert!(defect(&[0; 8]).is_some());
        assert!(defect(&[0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]).is_some());
        assert!(defect(&[0, 0, 0, 1, 0, 0, 0, 9, 7]).is_some());
    }
}
