//! A set inside one compressed message, and out again.
//!
//! Whatever a wrapper holds, opening it takes no more memory than a few times the limit that the caller gives:
//! lengths are compared with it before they are believed, and streams are stopped when they pass it.

use bytes::Bytes;

use crate::message::ATTRIBUTES_AT;
use crate::message::Codec;
use crate::message::Error;
use crate::message::MAGIC_AT;
use crate::message::MIN_MESSAGE_LEN;
use crate::message::Message;
use crate::message::compression::Decompressor;
use crate::message::compression::compress;
use crate::message::entry::HEADER_LEN;
use crate::message::entry::entries;
use crate::message::framing::Bound;
use crate::message::framing::Framing;
use crate::message::patch::put_at;

/// How deep wrappers may be nested. Producers don't nest at all; what a mirror of a mirror once did fits easily.
const MAX_DEPTH: usize = 8;

/// A wrapper's bytes around its value.
const WRAPPER_LEN: usize = HEADER_LEN + MIN_MESSAGE_LEN;

/// A set without wrappers: what was inside them and what was beside them, in order, with the offsets that came along.
#[derive(Debug, Default)]
pub(super) struct Unwrapped {
    /// Complete entries, none of them a wrapper.
    pub(super) flat: Vec<u8>,
    /// How many.
    pub(super) count: u64,
    /// The codec of the last outer wrapper.
    pub(super) codec: Codec,
    /// How the last outer wrapper is framed.
    pub(super) framing: Option<Framing>,
    /// Whether that wrapper held neither wrappers nor an incomplete tail.
    pub(super) as_sent: bool,
}

impl Unwrapped {
    /// Opens every wrapper of `set`, which may decompress to at most `limit` bytes in all, into `flat`, which is empty.
    pub(super) fn new(set: &[u8], limit: usize, flat: Vec<u8>) -> Result<Self, Error> {
        Self::open(set, (limit, flat), false)
    }

    /// The same, and compares the checksums of the outer wrappers.
    pub(super) fn verified(set: &[u8], limit: usize) -> Result<Self, Error> {
        Self::open(set, (limit, Vec::new()), true)
    }

    fn open(set: &[u8], (limit, flat): (usize, Vec<u8>), verify: bool) -> Result<Self, Error> {
        let mut opening = Opening {
            unwrapped: Self {
                flat,
                ..Self::default()
            },
            decompressor: Decompressor::default(),
            limit,
            decompressed: 0,
            verify,
        };
        opening.add_set(set, 0)?;
        Ok(opening.unwrapped)
    }
}

/// The work of opening a set.
struct Opening {
    unwrapped: Unwrapped,
    decompressor: Decompressor,
    limit: usize,
    /// What was written so far, on all levels.
    decompressed: usize,
    verify: bool,
}

impl Opening {
    /// Appends a set's messages. `depth` counts the wrappers around it.
    fn add_set(&mut self, mut set: &[u8], depth: usize) -> Result<(), Error> {
        let mut walk = entries(set);
        while let Some(entry) = walk.next() {
            let (_, message) = entry?;
            let (this, rest) = set.split_at(set.len() - walk.rest().len());
            set = rest;
            match message.codec()? {
                Codec::None => {
                    self.unwrapped.flat.extend_from_slice(this);
                    self.unwrapped.count += 1;
                }
                codec => self.add_wrapper(codec, message, depth)?,
            }
        }
        Ok(())
    }

    fn add_wrapper(&mut self, codec: Codec, wrapper: Message<'_>, depth: usize) -> Result<(), Error> {
        if depth >= MAX_DEPTH {
            return Err(Error::TooDeep { limit: MAX_DEPTH });
        }
        if self.verify && depth == 0 {
            wrapper.check_crc()?;
        }
        let start = self.unwrapped.flat.len();
        let bound = Bound {
            limit: self.limit.saturating_sub(self.decompressed),
            enough: usize::MAX,
        };
        let framing = self
            .decompressor
            .decompress(codec, wrapper.value(), &mut self.unwrapped.flat, bound)
            .map_err(|error| match error {
                Error::SetTooLarge { .. } => Error::SetTooLarge { limit: self.limit },
                other => other,
            })?;
        self.decompressed += self.unwrapped.flat.len() - start;
        self.add_inner(start, depth + 1)?;
        if depth == 0 {
            self.unwrapped.codec = codec;
            self.unwrapped.framing = Some(framing);
        }
        Ok(())
    }

    /// Takes up the set that was just decompressed to the end of `flat`: where it is, unless there are wrappers in it.
    fn add_inner(&mut self, start: usize, depth: usize) -> Result<(), Error> {
        let inner = self.unwrapped.flat.get(start..).unwrap_or_default();
        let mut walk = entries(inner);
        let mut count = 0;
        for entry in walk.by_ref() {
            let (_, message) = entry?;
            if message.codec()? != Codec::None {
                let nested = self.unwrapped.flat.split_off(start);
                self.unwrapped.as_sent = false;
                return self.add_set(&nested, depth);
            }
            count += 1;
        }
        let complete = start + inner.len() - walk.rest().len();
        self.unwrapped.as_sent = walk.rest().is_empty();
        self.unwrapped.flat.truncate(complete);
        self.unwrapped.count += count;
        Ok(())
    }
}

/// Compresses `flat` into a set of one wrapper.
pub(super) fn wrap(flat: &[u8], codec: Codec, gzip_level: u32, last_offset: i64) -> Result<Vec<u8>, Error> {
    let mut set = vec![0; WRAPPER_LEN];
    compress(flat, codec, gzip_level, &mut set)?;
    let too_large = || Error::SetTooLarge {
        limit: usize::try_from(i32::MAX).unwrap_or(usize::MAX),
    };
    let size = i32::try_from(set.len() - HEADER_LEN).map_err(|_| too_large())?;
    let value_len = i32::try_from(set.len() - WRAPPER_LEN).map_err(|_| too_large())?;
    let no_key = -1_i32;
    put_at(&mut set, 0, &last_offset.to_be_bytes());
    put_at(&mut set, 8, &size.to_be_bytes());
    put_at(&mut set, HEADER_LEN + ATTRIBUTES_AT, &[codec.number()]);
    put_at(&mut set, WRAPPER_LEN - 8, &no_key.to_be_bytes());
    put_at(&mut set, WRAPPER_LEN - 4, &value_len.to_be_bytes());
    let crc = crc32fast::hash(set.get(HEADER_LEN + MAGIC_AT..).unwrap_or_default());
    put_at(&mut set, HEADER_LEN, &crc.to_be_bytes());
    Ok(set)
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
