//! The records of `__consumer_offsets`: keys and values of its messages.
//!
//! Written in version 0 only: 0.8.2.2 gives up loading a partition over anything else. Version 1 of the value, which
//! later releases write, is read.
//!
//! ```text
//! key    version i16 = 0 | group string | topic string | partition i32
//! value  version i16 = 0 | offset i64 | metadata string | timestamp i64
//! ```

use bytes::BufMut;
use nom::IResult;
use nom::Parser;
use nom::bytes::complete::take;
use nom::combinator::map_res;
use nom::error::Error;
use nom::error::ErrorKind;
use nom::number::complete::be_i16;
use nom::number::complete::be_i32;
use nom::number::complete::be_i64;

/// What a position is kept under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The group.
    pub group: String,
    /// The topic that it consumes.
    pub topic: String,
    /// The partition of that topic.
    pub partition: i32,
}

/// A position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Next offset to consume.
    pub offset: i64,
    /// Whatever the consumer wanted to be kept with it.
    pub metadata: String,
    /// When it was committed, in ms since 1970.
    pub timestamp: i64,
}

/// A record that is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A later release wrote it.
    #[error("version {0}")]
    Version(i16),
    /// It is cut short, or announces more than it has.
    #[error("malformed")]
    Malformed,
    /// A string is longer than its length field can say.
    #[error("string of {0} bytes")]
    TooLong(usize),
}

const VERSION: i16 = 0;
/// Keys of versions 0 and 1 look the same.
const LAST_KEY_VERSION: i16 = 1;
/// Version 1 of the value has one more field at its end, when it expires.
const LAST_VALUE_VERSION: i16 = 1;

impl Key {
    /// As 0.8.2.2 writes it.
    pub fn encode(&self) -> Result<Vec<u8>, Unreadable> {
        let mut bytes = Vec::with_capacity(self.group.len() + self.topic.len() + 10);
        bytes.put_i16(VERSION);
        put_string(&mut bytes, &self.group)?;
        put_string(&mut bytes, &self.topic)?;
        bytes.put_i32(self.partition);
        Ok(bytes)
    }

    /// Reads what 0.8.2.2 or a later release wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let bytes = known_version(bytes, LAST_KEY_VERSION)?;
        let (_, (group, topic, partition)) = (string, string, be_i32).parse(bytes).map_err(malformed)?;
        Ok(Self {
            group,
            topic,
            partition,
        })
    }
}

impl Value {
    /// As 0.8.2.2 writes it.
    pub fn encode(&self) -> Result<Vec<u8>, Unreadable> {
        let mut bytes = Vec::with_capacity(self.metadata.len() + 20);
        bytes.put_i16(VERSION);
        bytes.put_i64(self.offset);
        put_string(&mut bytes, &self.metadata)?;
        bytes.put_i64(self.timestamp);
        Ok(bytes)
    }

    /// Reads what 0.8.2.2 or a later release wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let bytes = known_version(bytes, LAST_VALUE_VERSION)?;
        let (_, (offset, metadata, timestamp)) = (be_i64, string, be_i64).parse(bytes).map_err(malformed)?;
        Ok(Self {
            offset,
            metadata,
            timestamp,
        })
    }
}

fn known_version(bytes: &[u8], last: i16) -> Result<&[u8], Unreadable> {
    let (rest, version) = be_i16(bytes).map_err(malformed)?;
    if (0..=last).contains(&version) {
        Ok(rest)
    } else {
        Err(Unreadable::Version(version))
    }
}

fn string(input: &[u8]) -> IResult<&[u8], String> {
    let (input, len) = map_res(be_i16, u16::try_from).parse(input)?;
    let (rest, bytes) = take(len)(input)?;
    let text = String::from_utf8_lossy(bytes).into_owned();
    // Replacing what is no UTF-8 makes text longer. What could not be written again is not understood.
    if i16::try_from(text.len()).is_err() {
        return Err(nom::Err::Failure(Error::new(input, ErrorKind::Verify)));
    }
    Ok((rest, text))
}

fn put_string(bytes: &mut Vec<u8>, text: &str) -> Result<(), Unreadable> {
    let len = i16::try_from(text.len()).map_err(|_too_long| Unreadable::TooLong(text.len()))?;
    bytes.put_i16(len);
    bytes.put_slice(text.as_bytes());
    Ok(())
}

fn malformed(_: nom::Err<Error<&[u8]>>) -> Unreadable {
    Unreadable::Malformed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn records_are_those_of_the_reference() {
        let key = Key {
            group: "g1".into(),
            topic: "events".into(),
            partition: 0,
        };
        let key_bytes = bytes("0000 0002 6731 0006 6576656e7473 00000000");
        assert_eq!(key.encode().unwrap(), key_bytes);
        assert_eq!(Key::decode(&key_bytes).unwrap(), key);

        let value = Value {
            offset: 1,
            metadata: "md".into(),
            timestamp: 1_441_234_567_890,
        };
        let value_bytes = bytes("0000 0000000000000001 0002 6d64 0000014f904642d2");
        assert_eq!(value.encode().unwrap(), value_bytes);
        assert_eq!(Value::decode(&value_bytes).unwrap(), value);
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_an_error() {
        let key = Key {
            group: "g1".into(),
            topic: "events".into(),
            partition: 0,
        }
        .encode()
        .unwrap();
        for len in 0..key.len() {
            assert_eq!(Key::decode(&key[..len]), Err(Unreadable::Malformed), "{len}");
        }
        assert_eq!(Key::decode(&bytes("0002 0002 6731")), Err(Unreadable::Version(2)));
        assert_eq!(Value::decode(&bytes("0002 00")), Err(Unreadable::Version(2)));
    }

    /// Its tombstone could never be written, and with it those of no other key that expires with it.
    #[test]
    fn a_name_that_could_not_be_written_again_is_malformed() {
        let mut key = bytes("0000 0002 6731 2aab");
        key.resize(key.len() + 0x2aab, 0xff);
        key.extend_from_slice(&[0; 4]);
        assert_eq!(Key::decode(&key), Err(Unreadable::Malformed));
    }

    #[test]
    fn a_value_with_an_expiry_time_is_read() {
        let value = Value::decode(&bytes(
            "0001 0000000000000001 0000 0000014f904642d2 0000014f904642d3",
        ))
        .unwrap();
        assert_eq!(value.timestamp, 1_441_234_567_890);
    }
}
