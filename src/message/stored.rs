//! Checking stored messages, also those that are too large to be held in memory.

use crate::message::ATTRIBUTES_AT;
use crate::message::Codec;
use crate::message::Error;
use crate::message::MAGIC_AT;
use crate::message::Message;
use crate::message::compression::Decompressor;
use crate::message::entry::EntryHeader;
use crate::message::entry::HEADER_LEN;
use crate::message::framing::Bound;

/// Decompressed bytes that show the first inner message's offset.
const FIRST_OFFSET_LEN: usize = 8;

/// A whole entry of a log, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredEntry {
    /// The offset of the first message: for a wrapper its first inner one if that was wanted, else its last.
    pub first_offset: i64,
    /// The offset of the last message.
    pub last_offset: i64,
    /// Bytes of the whole entry, header included.
    pub len: usize,
    /// How its value is compressed.
    pub codec: Codec,
}

/// Checks one whole entry of a log, as recovery does: its checksum, and its size without the header against
/// `max_message_bytes` (LogSegment.recover). A wrapper is only opened if `want_first_offset`, and only its beginning.
///
/// Bytes after the entry are ignored; an entry that is cut short is [`Error::TooSmall`].
pub fn check_stored(
    entry: &[u8],
    max_message_bytes: usize,
    want_first_offset: bool,
) -> Result<StoredEntry, Error> {
    let cut_short = || Error::TooSmall {
        size: i64::try_from(entry.len()).unwrap_or(i64::MAX),
    };
    let (header, rest) = entry.split_first_chunk().ok_or_else(cut_short)?;
    let header = EntryHeader::parse(header)?;
    let size = header.len - HEADER_LEN;
    if size > max_message_bytes {
        return Err(Error::TooLarge {
            size,
            limit: max_message_bytes,
        });
    }
    let message = Message::parse(rest.get(..size).ok_or_else(cut_short)?)?;
    message.check_crc()?;
    let codec = message.codec()?;
    let first_offset = match codec {
        Codec::Gzip | Codec::Snappy | Codec::Lz4 if want_first_offset => {
            first_inner_offset(codec, message)?.unwrap_or(header.last_offset)
        }
        _ => header.last_offset,
    };
    Ok(StoredEntry {
        first_offset,
        last_offset: header.last_offset,
        len: header.len,
        codec,
    })
}

/// The offset of a wrapper's first inner message; none if it holds no message. Brokers store no nested wrappers, so
/// that this is the offset of a message.
fn first_inner_offset(codec: Codec, wrapper: Message<'_>) -> Result<Option<i64>, Error> {
    let mut beginning = Vec::new();
    let bound = Bound {
        limit: usize::MAX,
        enough: FIRST_OFFSET_LEN,
    };
    Decompressor::default().decompress(codec, wrapper.value(), &mut beginning, bound)?;
    Ok(beginning.first_chunk().map(|offset| i64::from_be_bytes(*offset)))
}

/// The checksum of a message that comes piece by piece.
#[derive(Debug, Clone, Default)]
pub struct CrcCheck {
    /// Checksum, magic and attributes, as far as they have come.
    head: Vec<u8>,
    hasher: crc32fast::Hasher,
}

impl CrcCheck {
    /// Takes the next piece; the first one begins with the message, after the entry's header.
    pub fn update(&mut self, piece: &[u8]) {
        let missing = (ATTRIBUTES_AT + 1).saturating_sub(self.head.len());
        let uncovered = MAGIC_AT.saturating_sub(self.head.len());
        self.head.extend(piece.iter().take(missing));
        self.hasher.update(piece.get(uncovered..).unwrap_or_default());
    }

    /// Whether the checksum is right; if so, how the value is compressed.
    pub fn finish(self) -> Result<Codec, Error> {
        let stored = self.head.first_chunk().map_or(0, |crc| u32::from_be_bytes(*crc));
        let computed = self.hasher.finalize();
        if stored != computed {
            return Err(Error::Crc { stored, computed });
        }
        Codec::from_attributes(self.head.get(ATTRIBUTES_AT).copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::set::SetBuilder;

    #[test]
    fn pieces_of_any_size_give_the_same_answer() {
        let mut set = SetBuilder::new(Codec::Gzip);
        set.push(Some(b"key"), Some(b"value"));
        let entry = set.build().unwrap();
        let message = &entry[HEADER_LEN..];
        for size in 1..=message.len() {
            let mut check = CrcCheck::default();
            message.chunks(size).for_each(|piece| check.update(piece));
            assert_eq!(check.finish(), Ok(Codec::Gzip), "pieces of {size}");
        }
        for at in 0..message.len() {
            let mut broken = message.to_vec();
            broken[at] ^= 1;
            let mut check = CrcCheck::default();
            broken.chunks(7).for_each(|piece| check.update(piece));
            assert!(matches!(check.finish(), Err(Error::Crc { .. })), "byte {at}");
        }
    }
}
