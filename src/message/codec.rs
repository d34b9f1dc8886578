//! How a message's value is compressed, as its attributes say.

use std::fmt;

use crate::message::Error;

/// The bits of the attributes that name the codec. The broker looks at no others.
const CODEC_BITS: u8 = 0x07;

/// A compression codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// The value is what the producer said.
    #[default]
    None,
    /// A gzip stream.
    Gzip,
    /// Raw snappy blocks in xerial's framing.
    Snappy,
    /// An LZ4 frame with 0.8's own header checksum.
    Lz4,
}

impl Codec {
    /// Reads the codec out of a message's attributes.
    pub fn from_attributes(attributes: u8) -> Result<Self, Error> {
        let number = attributes & CODEC_BITS;
        Self::from_number(number).ok_or(Error::UnknownCodec(number))
    }

    /// The codec with this number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            _ => None,
        }
    }

    /// The codec with this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4]
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Its number, which is also what a message's attributes hold.
    pub fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
        }
    }

    /// Its name in configurations and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_three_lowest_bits_name_the_codec() {
        assert_eq!(Codec::from_attributes(0x08), Ok(Codec::None));
        assert_eq!(Codec::from_attributes(0xf9), Ok(Codec::Gzip));
        for number in 4..8 {
            assert_eq!(Codec::from_attributes(number), Err(Error::UnknownCodec(number)));
        }
    }

    #[test]
    fn numbers_and_names_go_both_ways() {
        for number in 0..4 {
            let codec = Codec::from_number(number).unwrap();
            assert_eq!(codec.number(), number);
            assert_eq!(Codec::from_name(&codec.name().to_uppercase()), Some(codec));
        }
        assert_eq!(Codec::from_name("zstd"), None);
    }
}
