//! What a producer sent: checked, given offsets, ready to be appended.
//!
//! A set of plain messages is checked in one pass over the bytes as they were received, and its offsets are written
//! into them; nothing is copied, nothing is allocated per message. A set with a wrapper in it is opened, numbered and
//! put into one wrapper of its own, as 0.8.2.2 does (ByteBufferMessageSet.assignOffsets).

use std::fmt;

use bytes::BytesMut;

use crate::message::Codec;
use crate::message::Error;
use crate::message::MIN_MESSAGE_LEN;
use crate::message::Message;
pub use crate::message::builder::SetBuilder;
use crate::message::entry::EntryHeader;
use crate::message::entry::HEADER_LEN;
use crate::message::entry::entries;
use crate::message::framing::Framing;
use crate::message::patch::put_at;
use crate::message::wrapper::Unwrapped;
use crate::message::wrapper::wrap;

/// The level at which gzip makes the fewest bytes.
const HARDEST_GZIP: u32 = 9;
/// At most so many times smaller is what the hardest try makes than what the least one does.
const HARDER_SAVES: usize = 4;

/// What a set may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of an entry, its header included; checked before and after recompression.
    pub max_message_bytes: usize,
    /// Most bytes that all wrappers of a set may decompress to. 0.8.2.2 has no such limit, and dies.
    pub max_decompressed_bytes: usize,
    /// How hard gzip tries, 0 to 9. At 1 it is three times as fast as at 0.8.2.2's 6, for a third more bytes.
    pub gzip_level: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 1_000_012,
            max_decompressed_bytes: 32 << 20,
            gzip_level: 1,
        }
    }
}

/// A set as it was received. Nothing about it is known yet.
#[derive(Clone, PartialEq, Eq)]
pub struct ProducedSet(BytesMut);

impl ProducedSet {
    /// Takes what a producer sent, or a set that was built here.
    pub fn new(bytes: BytesMut) -> Self {
        Self(bytes)
    }

    /// Bytes received.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was received.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was received.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Checks every entry: size, limit, checksum, codec, in this order; drops an incomplete tail; opens wrappers.
    ///
    /// The first problem is the answer for the whole set, as in 0.8.2.2 (Log.analyzeAndValidateMessageSet).
    pub fn check(self, limits: &Limits) -> Result<CheckedSet, Error> {
        self.check_outside(limits)?.open(limits)
    }

    /// As [`Self::check`], but leaves wrappers closed.
    pub fn check_outside(mut self, limits: &Limits) -> Result<ClosedSet, Error> {
        let received_bytes = self.0.len();
        let outer = check_entries(&self.0, limits.max_message_bytes)?;
        self.0.truncate(outer.bytes);
        let set = CheckedSet {
            entries: self.0,
            count: outer.count,
            received_bytes,
            is_empty: outer.count == 0,
            opened: None,
        };
        Ok(ClosedSet {
            set,
            compressed: outer.compressed,
            wrapped_alone: outer.wrapped_alone,
        })
    }
}

/// A set whose entries are sound as far as that shows from outside.
#[derive(Debug)]
pub struct ClosedSet {
    set: CheckedSet,
    compressed: bool,
    wrapped_alone: bool,
}

impl ClosedSet {
    /// Opens wrappers.
    ///
    /// The memory for it is set aside in one piece, of which only what is used becomes real: one that grows leaves the
    /// allocator with pieces of all sizes, which it does not give back.
    pub fn open(mut self, limits: &Limits) -> Result<CheckedSet, Error> {
        if self.compressed {
            let flat = Vec::with_capacity(limits.max_decompressed_bytes);
            self.set.open(self.wrapped_alone, limits, flat)?;
        }
        Ok(self.set)
    }

    /// Opens wrappers unless they hold more than `bytes`, which costs no more than that; gives the set back then. What is
    /// longer even while it is closed is not tried.
    pub fn open_small(mut self, limits: &Limits, bytes: usize) -> Result<Result<CheckedSet, Self>, Error> {
        let small = Limits {
            max_decompressed_bytes: limits.max_decompressed_bytes.min(bytes),
            ..*limits
        };
        if self.compressed {
            if self.set.entries.len() > small.max_decompressed_bytes {
                return Ok(Err(self));
            }
            match self.set.open(self.wrapped_alone, &small, Vec::new()) {
                Err(Error::SetTooLarge { .. }) if bytes < limits.max_decompressed_bytes => {
                    return Ok(Err(self));
                }
                opened => opened?,
            }
        }
        Ok(Ok(self.set))
    }
}

impl fmt::Debug for ProducedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProducedSet({} bytes)", self.0.len())
    }
}

/// What one pass over a received set shows.
#[derive(Default)]
struct Outer {
    /// Bytes of complete entries.
    bytes: usize,
    count: u64,
    compressed: bool,
    /// Whether there is one entry only, with nothing that an own wrapper wouldn't have.
    wrapped_alone: bool,
}

/// The pass of [`ProducedSet::check`]. Sizes are checked even where the entry is incomplete.
fn check_entries(set: &[u8], max_message_bytes: usize) -> Result<Outer, Error> {
    let mut outer = Outer::default();
    let mut rest = set;
    while let Some((header, after)) = rest.split_first_chunk() {
        let header = EntryHeader::parse(header)?;
        let Some((message, after)) = after.split_at_checked(header.len - HEADER_LEN) else {
            break;
        };
        if header.len > max_message_bytes {
            return Err(Error::TooLarge {
                size: header.len,
                limit: max_message_bytes,
            });
        }
        let message = Message::parse(message)?;
        message.check_crc()?;
        if message.codec()? != Codec::None {
            outer.compressed = true;
            outer.wrapped_alone = outer.count == 0 && after.is_empty() && looks_like_ours(message);
        }
        outer.count += 1;
        rest = after;
    }
    outer.bytes = set.len() - rest.len();
    Ok(outer)
}

/// Whether a wrapper is one that this broker could have written, as far as it shows from outside.
fn looks_like_ours(wrapper: Message<'_>) -> bool {
    wrapper.magic() == 0
        && wrapper.codec().map(Codec::number) == Ok(wrapper.attributes())
        && wrapper.key().is_none()
        && wrapper
            .value()
            .is_some_and(|value| value.len() + MIN_MESSAGE_LEN == wrapper.as_bytes().len())
}

/// Complete and sound entries.
pub struct CheckedSet {
    /// As received; empty if they were opened and can't be kept.
    entries: BytesMut,
    count: u64,
    received_bytes: usize,
    is_empty: bool,
    opened: Option<Opened>,
}

/// The messages of a set that was compressed.
#[derive(Clone)]
struct Opened {
    flat: Vec<u8>,
    codec: Codec,
}

impl CheckedSet {
    /// Whether no complete entry was sent. Then nothing is appended, and there is no base offset.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Bytes that were received, an incomplete tail included.
    pub fn received_bytes(&self) -> usize {
        self.received_bytes
    }

    /// How many messages there are, those in wrappers counted and the wrappers not. None, although the set is not
    /// empty, if there were only wrappers without messages.
    pub fn message_count(&self) -> u64 {
        self.count
    }

    /// Opens the wrappers, and forgets them unless the received bytes may serve as they are.
    fn open(&mut self, wrapped_alone: bool, limits: &Limits, flat: Vec<u8>) -> Result<(), Error> {
        let unwrapped = Unwrapped::new(&self.entries, limits.max_decompressed_bytes, flat)?;
        self.count = unwrapped.count;
        let reusable = wrapped_alone && unwrapped.framing == Some(Framing::Ours) && unwrapped.as_sent;
        if !reusable || !offsets_count_up(&unwrapped.flat) {
            self.entries = BytesMut::new();
        }
        self.opened = Some(Opened {
            flat: unwrapped.flat,
            codec: unwrapped.codec,
        });
        Ok(())
    }

    /// Gives the messages the offsets from `base_offset` on.
    ///
    /// In place for plain messages. Others are compressed anew, unless they came in one wrapper with these very offsets.
    pub fn assign(self, base_offset: i64, limits: &Limits) -> Result<AssignedSet, Error> {
        let end_offset = i64::try_from(self.count)
            .ok()
            .and_then(|count| base_offset.checked_add(count))
            .ok_or(Error::OffsetsExhausted { base_offset })?;
        let mut assigned = AssignedSet {
            base_offset,
            end_offset,
            received: self.entries,
            opened: self.opened,
            rewrapped: Vec::new(),
        };
        assigned.number(limits)?;
        Ok(assigned)
    }
}

impl fmt::Debug for CheckedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedSet")
            .field("received_bytes", &self.received_bytes)
            .field("messages", &self.count)
            .field("codec", &self.opened.as_ref().map(|opened| opened.codec))
            .finish_non_exhaustive()
    }
}

/// Whether each offset follows the one before.
fn offsets_count_up(flat: &[u8]) -> bool {
    let mut offsets = entries(flat).map_while(|entry| entry.ok().map(|(offset, _)| offset));
    let Some(mut last) = offsets.next() else {
        return false;
    };
    offsets.all(|offset| {
        let follows = last.checked_add(1) == Some(offset);
        last = offset;
        follows
    })
}

/// The offset of the first entry.
fn first_offset(entries: &[u8]) -> Option<i64> {
    entries.first_chunk().map(|offset| i64::from_be_bytes(*offset))
}

/// Writes consecutive offsets over those that are there.
fn write_offsets(mut entries: &mut [u8], base_offset: i64) {
    let mut offset = base_offset;
    while let Some((header, rest)) = entries.split_first_chunk_mut::<HEADER_LEN>() {
        let Ok(parsed) = EntryHeader::parse(header) else {
            return;
        };
        put_at(header, 0, &offset.to_be_bytes());
        offset = offset.wrapping_add(1);
        entries = rest.get_mut(parsed.len - HEADER_LEN..).unwrap_or_default();
    }
}

/// A set with its offsets, as it goes into the log.
pub struct AssignedSet {
    base_offset: i64,
    end_offset: i64,
    /// What is appended, unless the set was rewrapped.
    received: BytesMut,
    opened: Option<Opened>,
    /// One wrapper with all messages, or nothing.
    rewrapped: Vec<u8>,
}

impl AssignedSet {
    /// The bytes to append. Empty if there was no message.
    pub fn bytes(&self) -> &[u8] {
        if self.rewrapped.is_empty() {
            &self.received
        } else {
            &self.rewrapped
        }
    }

    /// The offset of the first message.
    pub fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// One past the offset of the last message.
    pub fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// Gives other offsets, because another append came first.
    pub fn reassign(mut self, base_offset: i64, limits: &Limits) -> Result<Self, Error> {
        let count = self.end_offset - self.base_offset;
        self.end_offset = base_offset
            .checked_add(count)
            .ok_or(Error::OffsetsExhausted { base_offset })?;
        self.base_offset = base_offset;
        self.number(limits)?;
        Ok(self)
    }

    /// Writes the offsets and, if need be, compresses what has got them.
    fn number(&mut self, limits: &Limits) -> Result<(), Error> {
        let Some(opened) = &mut self.opened else {
            write_offsets(&mut self.received, self.base_offset);
            return Ok(());
        };
        let last_offset = self.end_offset - 1;
        self.rewrapped = Vec::new();
        if self.base_offset == self.end_offset {
            self.received = BytesMut::new();
            return Ok(());
        }
        if !self.received.is_empty() && first_offset(&opened.flat) == Some(self.base_offset) {
            put_at(&mut self.received, 0, &last_offset.to_be_bytes());
            return Ok(());
        }
        self.received = BytesMut::new();
        write_offsets(&mut opened.flat, self.base_offset);
        self.rewrapped = wrap(&opened.flat, opened.codec, limits.gzip_level, last_offset)?;
        let too_large = self.rewrapped.len() > limits.max_message_bytes && opened.codec == Codec::Gzip;
        if too_large && self.rewrapped.len() / HARDER_SAVES <= limits.max_message_bytes {
            // What 0.8.2.2 would have stored must not be refused because less was tried here.
            self.rewrapped = wrap(&opened.flat, opened.codec, HARDEST_GZIP, last_offset)?;
        }
        if self.rewrapped.len() > limits.max_message_bytes {
            return Err(Error::TooLarge {
                size: self.rewrapped.len(),
                limit: limits.max_message_bytes,
            });
        }
        Ok(())
    }
}

impl fmt::Debug for AssignedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssignedSet")
            .field("base_offset", &self.base_offset)
            .field("end_offset", &self.end_offset)
            .field("bytes", &self.bytes().len())
            .finish_non_exhaustive()
    }
}
