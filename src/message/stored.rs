//! Checking a stored message that is too large to be held in memory.

use crate::message::ATTRIBUTES_AT;
use crate::message::Codec;
use crate::message::Error;
use crate::message::MAGIC_AT;

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
    use crate::message::entry::HEADER_LEN;
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
