//! One partition: a file of messages that are all of one size, so that an offset is a place.

use std::fs::File;
use std::io;
use std::io::ErrorKind::InvalidData;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

/// Offset and size in front of a message.
const HEADER: usize = 12;

pub struct Partition {
    file: Mutex<File>,
    end: AtomicI64,
    /// Bytes of the last message, its header included.
    message: AtomicU64,
}

impl Partition {
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).append(true).create(true).open(path)?;
        Ok(Self {
            file: Mutex::new(file),
            end: AtomicI64::new(0),
            message: AtomicU64::new(0),
        })
    }

    pub fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    pub fn file(&self) -> io::Result<File> {
        self.file.lock().expect("no thread panics with it").try_clone()
    }

    pub fn append(&self, set: &mut [u8]) -> io::Result<()> {
        let mut file = self.file.lock().expect("no thread panics with it");
        let (end, message) = assign_offsets(set, self.end()).ok_or(InvalidData)?;
        file.write_all(set)?;
        self.message.store(message, Ordering::Release);
        self.end.store(end, Ordering::Release);
        Ok(())
    }

    /// Where the messages from an offset on lie, as many as fit.
    pub fn range(&self, offset: i64, most: i32) -> (u64, usize) {
        let message = self.message.load(Ordering::Acquire).max(1);
        let from = offset.max(0).unsigned_abs();
        let there = self.end().unsigned_abs().saturating_sub(from);
        let count = there.min(u64::from(most.max(0).unsigned_abs()) / message);
        (from * message, usize::try_from(count * message).unwrap_or(0))
    }
}

/// The least that a broker must do: walks the set, checks every message, writes its offset. The next offset and the size of
/// the last message, if all are sound.
fn assign_offsets(mut set: &mut [u8], mut offset: i64) -> Option<(i64, u64)> {
    let mut last = 0;
    while !set.is_empty() {
        let size: [u8; 4] = set.get(8..HEADER)?.try_into().ok()?;
        let size = usize::try_from(i32::from_be_bytes(size)).ok()?;
        let (message, rest) = set.split_at_mut_checked(HEADER + size)?;
        let stored: [u8; 4] = message.get(HEADER..HEADER + 4)?.try_into().ok()?;
        if crc32fast::hash(message.get(HEADER + 4..)?) != u32::from_be_bytes(stored) {
            return None;
        }
        message[..8].copy_from_slice(&offset.to_be_bytes());
        last = u64::try_from(message.len()).ok()?;
        offset += 1;
        set = rest;
    }
    Some((offset, last))
}
