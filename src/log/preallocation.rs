//! Room on the disk ahead of what is appended to a file.
//!
//! A write into blocks that are there already takes the kernel a tenth to a fifth less time, and the file gets fewer
//! extents. Its length stays what was written, so nobody who opens it sees the difference. Room is a wish: where there is
//! none, the write that needs it says so.

use std::fs::File;
use std::fs::Metadata;
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
/// `st_blocks` counts these, whatever the blocks of the file system are (stat(2)).
const STAT_BLOCK: u64 = 512;
/// The end of a file is up to a block of the file system away from that of its last block.
const BLOCK: u64 = 4096;

/// How far the blocks of a file reach.
#[derive(Debug, Default)]
pub(crate) struct Preallocation {
    /// 0 if nothing is known of them, the greatest number after a refusal.
    end: AtomicU64,
}

impl Preallocation {
    /// What an earlier run left.
    pub(crate) fn found(metadata: &Metadata) -> Self {
        Self {
            end: AtomicU64::new(metadata.blocks().saturating_mul(STAT_BLOCK)),
        }
    }

    /// Before a write from `position` to `end`: takes more room if that goes beyond what is there, but none behind `most`.
    pub(crate) fn ahead(&self, file: &File, position: u64, end: u64, most: u64) {
        if end < LEN_MIN || end <= self.end.load(Ordering::Relaxed) {
            return;
        }
        let reach = end.saturating_add((end / SHARE).min(STEP_MAX)).min(most);
        if reach <= end {
            return;
        }
        let allocated = rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, position, reach - position);
        // After a refusal, which may come when a part is there, no more is asked for in this file.
        self.end
            .store(allocated.map_or(u64::MAX, |()| reach), Ordering::Relaxed);
    }

    /// Whether there may be room behind the end of a file of this length. It is given back by setting that length.
    pub(crate) fn is_behind(&self, len: u64) -> bool {
        self.end.load(Ordering::Relaxed) >= len.saturating_add(BLOCK)
    }

    /// The file's length was set, and what was behind it is gone.
    pub(crate) fn forget(&self) {
        self.end.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    /// A file of some length, and its bytes on the disk.
    fn file(len: usize) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![1; len], 0).unwrap();
        file
    }

    fn on_disk(file: &File) -> u64 {
        file.metadata().unwrap().blocks() * STAT_BLOCK
    }

    const LEN: u64 = 8 << 20;

    #[test]
    fn a_file_gets_a_share_of_its_length_ahead_which_nobody_sees() {
        let (file, room) = (file(8 << 20), Preallocation::default());
        room.ahead(&file, LEN, LEN + 100, u64::MAX);
        assert_eq!(file.metadata().unwrap().len(), LEN);
        let reach = LEN + LEN / SHARE;
        assert!((reach..reach + (64 << 10)).contains(&on_disk(&file)));
        // There is enough for this one.
        let before = on_disk(&file);
        room.ahead(&file, LEN, LEN + 1000, u64::MAX);
        assert_eq!(on_disk(&file), before);
        assert!(room.is_behind(LEN));
        file.set_len(LEN).unwrap();
        assert_eq!(on_disk(&file), LEN, "the system takes it back");
    }

    #[test]
    fn short_files_and_those_that_end_soon_get_none() {
        let (file, room) = (file(1000), Preallocation::default());
        room.ahead(&file, 1000, LEN_MIN - 1, u64::MAX);
        room.ahead(&file, 1000, LEN, LEN);
        assert_eq!(on_disk(&file), BLOCK);
        room.ahead(&file, 1000, LEN, LEN + 4096);
        assert_eq!(on_disk(&file), LEN + 4096);
    }

    #[test]
    fn what_an_earlier_run_left_is_found() {
        let file = file(8 << 20);
        let found = || Preallocation::found(&file.metadata().unwrap()).is_behind(LEN);
        assert!(!found());
        Preallocation::default().ahead(&file, LEN, LEN + 100, u64::MAX);
        assert!(found());
    }

    /// A pipe stands for every file system that can't.
    #[test]
    fn a_refusal_is_no_error_and_is_not_met_again() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(writer));
        let room = Preallocation::default();
        room.ahead(&pipe, 0, LEN, u64::MAX);
        assert_eq!(room.end.load(Ordering::Relaxed), u64::MAX);
    }
}
