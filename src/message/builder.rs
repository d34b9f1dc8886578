//! Sets that this process produces itself: for its clients, and for the offsets of groups.

use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;

use crate::message::Codec;
use crate::message::Error;
use crate::message::MAGIC_AT;
use crate::message::MIN_MESSAGE_LEN;
use crate::message::entry::HEADER_LEN;
use crate::message::patch::put_at;
use crate::message::set::Limits;
use crate::message::wrapper::wrap;

/// Builds the sets that this process produces itself.
#[derive(Debug, Clone)]
pub struct SetBuilder {
    codec: Codec,
    gzip_level: u32,
    entries: Vec<u8>,
    next_offset: i64,
    /// The size of a message that doesn't fit the format.
    too_large: Option<usize>,
}

impl SetBuilder {
    /// An empty set whose messages will be compressed together by `codec`.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            gzip_level: Limits::default().gzip_level,
            entries: Vec::new(),
            next_offset: 0,
            too_large: None,
        }
    }

    /// Adds a message.
    pub fn push(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        let len = |bytes: Option<&[u8]>| bytes.map_or(Some(-1), |bytes| i32::try_from(bytes.len()).ok());
        let size = MIN_MESSAGE_LEN + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        let (Some(key_len), Some(value_len), Ok(announced)) = (len(key), len(value), i32::try_from(size))
        else {
            self.too_large = Some(size);
            return;
        };
        self.entries.reserve(HEADER_LEN + size);
        self.entries.put_i64(self.next_offset);
        self.entries.put_i32(announced);
        let crc_at = self.entries.len();
        self.entries.put_u32(0);
        self.entries.put_u8(0);
        self.entries.put_u8(Codec::None.number());
        self.entries.put_i32(key_len);
        self.entries.put_slice(key.unwrap_or_default());
        self.entries.put_i32(value_len);
        self.entries.put_slice(value.unwrap_or_default());
        let crc = crc32fast::hash(self.entries.get(crc_at + MAGIC_AT..).unwrap_or_default());
        put_at(&mut self.entries, crc_at, &crc.to_be_bytes());
        self.next_offset += 1;
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.next_offset == 0
    }

    /// Bytes so far, before compression.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The set, with offsets from 0 on as every producer gives them.
    pub fn build(self) -> Result<BytesMut, Error> {
        if let Some(size) = self.too_large {
            let limit = usize::try_from(i32::MAX).unwrap_or(usize::MAX);
            return Err(Error::TooLarge { size, limit });
        }
        let set = match self.codec {
            Codec::Gzip | Codec::Snappy | Codec::Lz4 if self.next_offset > 0 => {
                wrap(&self.entries, self.codec, self.gzip_level, self.next_offset - 1)?
            }
            _ => self.entries,
        };
        Ok(BytesMut::from(Bytes::from(set)))
    }
}
