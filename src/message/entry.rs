//! Entries of a message set: an offset, a size, a message.
//!
//! A log is walked by [`EntryHeader`]s alone, twelve bytes at a time; whoever has the bytes in memory walks them with
//! [`entries`]. A set may end within an entry, and every reader stops there silently.

use bytes::Bytes;

use crate::message::Codec;
use crate::message::Error;
use crate::message::MIN_MESSAGE_LEN;
use crate::message::Message;
use crate::message::compression::Bound;
use crate::message::compression::Decompressor;
use crate::message::compression::Unwrapped;

/// Bytes of an entry before its message: offset and size.
pub const HEADER_LEN: usize = 12;

/// Decompressed bytes that show the first inner message's offset.
const FIRST_OFFSET_LEN: usize = 8;

/// The start of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryHeader {
    /// The offset of the entry: for a wrapper, that of the last message in it.
    pub last_offset: i64,
    /// Bytes of the whole entry, this header included.
    pub len: usize,
}

impl EntryHeader {
    /// Reads a header. A size that no message has is [`Error::TooSmall`].
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, Error> {
        let [o0, o1, o2, o3, o4, o5, o6, o7, s0, s1, s2, s3] = *bytes;
        let size = i32::from_be_bytes([s0, s1, s2, s3]);
        match usize::try_from(size) {
            Ok(len) if len >= MIN_MESSAGE_LEN => Ok(Self {
                last_offset: i64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]),
                len: HEADER_LEN + len,
            }),
            _ => Err(Error::TooSmall { size: size.into() }),
        }
    }
}

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

/// Walks the entries of a set without looking into wrappers. Stops silently at an incomplete tail, and after an error.
pub fn entries(bytes: &[u8]) -> Entries<'_> {
    Entries { rest: bytes }
}

/// See [`entries`].
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    /// What is left: the tail, once the walk has ended.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(i64, Message<'a>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let (header, rest) = self.rest.split_first_chunk()?;
        match EntryHeader::parse(header) {
            Ok(header) => {
                let (message, rest) = rest.split_at_checked(header.len - HEADER_LEN)?;
                self.rest = rest;
                Some(Ok((header.last_offset, Message(message))))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

/// A message that was taken out of its set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedMessage {
    /// The key, if there is one.
    pub key: Option<Bytes>,
    /// The value; none deletes the key in compacted topics.
    pub value: Option<Bytes>,
    /// Whether the checksum agrees. Brokers don't check the one of messages inside wrappers.
    pub crc_matches: bool,
}

/// All messages of a set with their offsets, those inside wrappers too. Stops silently at an incomplete tail.
///
/// Takes at most `limit` decompressed bytes. A wrapper with a wrong checksum is an error; other messages are given
/// with what their checksum says.
pub fn deep_entries(bytes: &[u8], limit: usize) -> Result<Vec<(i64, OwnedMessage)>, Error> {
    let unwrapped = Unwrapped::verified(bytes, limit)?;
    let flat = Bytes::from(unwrapped.flat);
    entries(&flat)
        .map(|entry| {
            let (offset, message) = entry?;
            let owned = OwnedMessage {
                key: message.key().map(|key| flat.slice_ref(key)),
                value: message.value().map(|value| flat.slice_ref(value)),
                crc_matches: message.check_crc().is_ok(),
            };
            Ok((offset, owned))
        })
        .collect()
}
