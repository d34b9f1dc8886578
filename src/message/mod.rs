//! What a message is: one format in memory, on disk and on the wire.
//!
//! Nothing outside this module knows the layout. Bytes that come in are untrusted: whatever they are, the answer is
//! a value or an [`Error`], and no length that they announce makes anybody reserve memory.
//!
//! ```text
//! offset i64 | size i32 | crc u32 | magic i8 | attributes i8 | key bytes | value bytes
//!                         '--------------------- size covers ---------------------'
//!                                   '---------------- crc covers -----------------'
//! ```

mod builder;
pub mod codec;
mod compression;
pub mod entry;
mod framing;
mod gzip;
mod lz4;
mod patch;
pub mod set;
pub mod slice;
pub mod stored;
#[cfg(test)]
mod tests;
pub mod wrapper;
mod xerial;

pub use codec::Codec;

/// Bytes of a message without key and value: checksum, magic, attributes and the two lengths.
pub const MIN_MESSAGE_LEN: usize = 14;
/// Where the checksum's coverage begins.
const MAGIC_AT: usize = 4;
/// Where the attributes are.
const ATTRIBUTES_AT: usize = 5;
/// Where the key's length is.
const KEY_LEN_AT: usize = 6;
/// Bytes of a length.
const LEN_LEN: usize = 4;

/// Why a message or a set of them is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An entry announces less than a message takes.
    #[error("message of {size} bytes")]
    TooSmall {
        /// The announced size.
        size: i64,
    },
    /// The bytes are not those that the sender summed.
    #[error("checksum {computed:08x} instead of {stored:08x}")]
    Crc {
        /// The checksum in the message.
        stored: u32,
        /// The checksum of its bytes.
        computed: u32,
    },
    /// One entry is over the limit.
    #[error("entry of {size} bytes, allowed are {limit}")]
    TooLarge {
        /// Its size, counted as the limit counts.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The attributes name a codec that 0.8 hasn't got.
    #[error("unknown codec {0}")]
    UnknownCodec(u8),
    /// A wrapper's value is not what its codec writes.
    #[error("decompress {0}: {1}")]
    Decompress(Codec, &'static str),
    /// A set decompresses to more than is allowed. Refused before that memory was spent.
    #[error("more than {limit} bytes when decompressed")]
    SetTooLarge {
        /// The limit.
        limit: usize,
    },
    /// Wrappers in wrappers, beyond what any producer does.
    #[error("compressed more than {limit} times over")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The offsets after this one are used up.
    #[error("no offsets left after {base_offset}")]
    OffsetsExhausted {
        /// Where the set should have begun.
        base_offset: i64,
    },
    /// The compressor gave up, which it has no reason to.
    #[error("compress {0}")]
    Compress(Codec),
}

/// One message, in place. Only its length was checked so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    /// Takes bytes as a message, without the entry header. Neither the checksum nor the lengths of key and value are
    /// checked; 0.8.2.2 doesn't look at the latter, nor at magic, in anything that it stores.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() < MIN_MESSAGE_LEN {
            return Err(Error::TooSmall {
                size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            });
        }
        Ok(Self(bytes))
    }

    /// The bytes of the message.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The format version that the sender named.
    pub fn magic(&self) -> u8 {
        self.byte(MAGIC_AT)
    }

    /// The attributes: the codec and unused bits.
    pub fn attributes(&self) -> u8 {
        self.byte(ATTRIBUTES_AT)
    }

    /// How the value is compressed.
    pub fn codec(&self) -> Result<Codec, Error> {
        Codec::from_attributes(self.attributes())
    }

    /// The checksum that the sender computed.
    pub fn stored_crc(&self) -> u32 {
        self.0.first_chunk().map_or(0, |crc| u32::from_be_bytes(*crc))
    }

    /// The checksum of the bytes that are here.
    pub fn computed_crc(&self) -> u32 {
        crc32fast::hash(self.0.get(MAGIC_AT..).unwrap_or_default())
    }

    /// Whether the two agree.
    pub fn check_crc(&self) -> Result<(), Error> {
        let (stored, computed) = (self.stored_crc(), self.computed_crc());
        if stored == computed {
            Ok(())
        } else {
            Err(Error::Crc { stored, computed })
        }
    }

    /// The key, if there is one. A length that doesn't fit the message counts as none.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.delimited(KEY_LEN_AT)
    }

    /// The value, if there is one. A length that doesn't fit the message counts as none.
    pub fn value(&self) -> Option<&'a [u8]> {
        // A negative key length takes no bytes, whichever it is: as 0.8.2.2 does (Message.payload).
        let key_len = usize::try_from(self.len_at(KEY_LEN_AT)?).unwrap_or(0);
        self.delimited((KEY_LEN_AT + LEN_LEN).checked_add(key_len)?)
    }

    fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or_default()
    }

    fn len_at(&self, at: usize) -> Option<i32> {
        self.0
            .get(at..)?
            .first_chunk()
            .map(|len| i32::from_be_bytes(*len))
    }

    fn delimited(&self, at: usize) -> Option<&'a [u8]> {
        let len = usize::try_from(self.len_at(at)?).ok()?;
        self.0.get(at + LEN_LEN..)?.get(..len)
    }
}
