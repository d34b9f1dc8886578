//! Room on the disk ahead of what is appended to a file.
//!
//! A write into blocks that are there already takes the kernel a tenth to a fifth less time, and the file gets fewer
//! extents. Its length stays what was written, so nobody who opens it sees the difference. Room is a wish: where there is
//! none, the write that needs it says so.

use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use rustix::fs::FallocateFlags;

/// Shorter files get none: most partitions are small, there may be thousands of them, and a call for little room costs
/// more than it saves.
const LEN_MIN: u64 = 8 << 20;
/// A file gets so much of its length at once...
const SHARE: u64 = 4;
/// ...but not more than this, which a broker that is killed leaves unused until it goes on with the file.
const STEP_MAX: u64 = 32 << 20;
/// Room is taken while so many times as much is free: on a disk that is almost full, others need it more.
const PLENTY: u64 = 64;
/// `st_blocks` counts these, whatever the blocks of the file system are (stat(2)).
const STAT_BLOCK: u64 = 512;
/// Less than this behind a file's end may be the rest of its last block, or what the file system keeps about the file.
const FOUND_MIN: u64 = 1 << 20;

/// How far the blocks of a file reach.
#[derive(Debug, Default)]
pub(crate) struct Preallocation {
    /// 0 if no room is known behind the file's end.
    end: AtomicU64,
    /// Whoever writes beyond asks for more; the greatest number after a refusal.
    asked: AtomicU64,
}

impl Preallocation {
    /// What an earlier run left.
    pub(crate) fn found(metadata: &Metadata) -> Self {
        let end = metadata.blocks().saturating_mul(STAT_BLOCK);
        let is_room = end >= metadata.len().saturating_add(FOUND_MIN);
        Self {
            end: AtomicU64::new(if is_room { end } else { 0 }),
            asked: AtomicU64::new(0),
        }
    }

    /// Before a write from the file's end, `len`, to `end`: takes more room if that goes beyond what is there, but none
    /// behind `most`.
    pub(crate) fn ahead(&self, file: &File, len: u64, end: u64, most: u64) {
        if end < LEN_MIN || end <= self.asked.load(Ordering::Relaxed) {
            return;
        }
        let reach = end.saturating_add((end / SHARE).min(STEP_MAX)).min(most);
        if reach <= end {
            return;
        }
        self.asked.store(reach, Ordering::Relaxed);
        if !has_plenty(file, reach - len) {
            return;
        }
        match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, len, reach - len) {
            Ok(()) => self.end.store(reach, Ordering::Relaxed),
            Err(_) => {
                // A part of it may be there. That the file looks young afterwards is right: it is about to be written.
                let _ = file.set_len(len);
                self.end.store(0, Ordering::Relaxed);
                self.asked.store(u64::MAX, Ordering::Relaxed);
            }
        }
    }

    /// Gives back what is behind the end of a file of this length, to which nobody appends meanwhile. The file stays as old
    /// as it was: retention goes by that.
    pub(crate) fn give_back(&self, file: &File, len: u64) -> io::Result<()> {
        let modified = file.metadata()?.modified()?;
        file.set_len(len)?;
        self.forget();
        file.set_modified(modified)
    }

    /// Whether there is room behind the end of a file of this length.
    pub(crate) fn is_behind(&self, len: u64) -> bool {
        self.end.load(Ordering::Relaxed) > len
    }

    /// The file's length was set, and what was behind it is gone.
    pub(crate) fn forget(&self) {
        self.end.store(0, Ordering::Relaxed);
        self.asked.store(0, Ordering::Relaxed);
    }
}

fn has_plenty(file: &File, wanted: u64) -> bool {
    rustix::fs::fstatvfs(file)
        .is_ok_and(|system| system.f_bavail.saturating_mul(system.f_frsize) / PLENTY >= wanted)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::time::Duration;
    use std::time::SystemTime;

    use super::*;

    const LEN: u64 = 8 << 20;

    fn file() -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![1; usize::try_from(LEN).unwrap()], 0)
            .unwrap();
        file
    }

    fn on_disk(file: &File) -> u64 {
        file.metadata().unwrap().blocks() * STAT_BLOCK
    }

    /// What the file system keeps about the file counts, too.
    #[track_caller]
    fn assert_on_disk(file: &File, bytes: u64) {
        let found = on_disk(file);
        assert!(
            (bytes..bytes + (64 << 10)).contains(&found),
            "{found} instead of {bytes}"
        );
    }

    #[test]
    fn a_file_gets_a_share_of_its_length_ahead_which_nobody_sees() {
        let (file, room) = (file(), Preallocation::default());
        room.ahead(&file, LEN, LEN + 100, u64::MAX);
        assert_eq!(file.metadata().unwrap().len(), LEN);
        assert_on_disk(&file, LEN + LEN / SHARE);
        // There is enough for this one.
        let before = on_disk(&file);
        room.ahead(&file, LEN, LEN + 1000, u64::MAX);
        assert_eq!(on_disk(&file), before);
    }

    #[test]
    fn room_is_given_back_and_the_file_stays_as_old_as_it_was() {
        let (file, room) = (file(), Preallocation::default());
        room.ahead(&file, LEN, LEN + 100, u64::MAX);
        assert!(room.is_behind(LEN));
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.set_modified(old).unwrap();
        room.give_back(&file, LEN).unwrap();
        assert_on_disk(&file, LEN);
        assert_eq!(file.metadata().unwrap().len(), LEN);
        assert_eq!(file.metadata().unwrap().modified().unwrap(), old);
        assert!(!room.is_behind(LEN));
    }

    #[test]
    fn short_files_and_those_that_end_soon_get_none() {
        let (file, room) = (file(), Preallocation::default());
        room.ahead(&file, LEN, LEN_MIN - 1, u64::MAX);
        room.ahead(&file, LEN, LEN + 100, LEN + 100);
        assert_on_disk(&file, LEN);
        room.ahead(&file, LEN, LEN + 100, LEN + (128 << 10));
        assert_on_disk(&file, LEN + (128 << 10));
    }

    #[test]
    fn what_an_earlier_run_left_is_found() {
        let file = file();
        let found = || Preallocation::found(&file.metadata().unwrap()).is_behind(LEN);
        assert!(!found());
        Preallocation::default().ahead(&file, LEN, LEN + 100, u64::MAX);
        assert!(found());
    }

    /// A file that is open for reading only stands for every file system that can't.
    #[test]
    fn a_refusal_is_no_error_and_is_not_met_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        std::fs::write(&path, vec![1; usize::try_from(LEN).unwrap()]).unwrap();
        let (reader, room) = (File::open(&path).unwrap(), Preallocation::default());
        room.ahead(&reader, LEN, LEN + 100, u64::MAX);
        assert!(!room.is_behind(LEN));
        let writer = File::options().write(true).open(&path).unwrap();
        room.ahead(&writer, LEN, LEN + 100, u64::MAX);
        assert_on_disk(&writer, LEN);
    }

    #[test]
    fn an_almost_full_disk_is_left_to_others() {
        let file = file();
        assert!(has_plenty(&file, 1));
        assert!(!has_plenty(&file, u64::MAX / 2));
    }
}
