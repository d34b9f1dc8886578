//! Entries of a message set: an offset, a size, a message.
//!
//! A log is walked by [`EntryHeader`]s alone, twelve bytes at a time; whoever has the bytes in memory walks them with
//! [`entries`]. A set may end within an entry, and every reader stops there silently.

use crate::message::Error;
use crate::message::MIN_MESSAGE_LEN;
use crate::message::Message;

/// Bytes of an entry before its message: offset and size.
pub const HEADER_LEN: usize = 12;

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
