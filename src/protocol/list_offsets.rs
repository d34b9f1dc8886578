//! A time in, offsets out.

use bytes::BufMut;
use bytes::BytesMut;

use crate::protocol::Api;
use crate::protocol::ApiKey;
use crate::protocol::ByTopic;
use crate::protocol::ErrorCode;
use crate::protocol::ParseResponse;
use crate::protocol::codec::Parsed;
use crate::protocol::codec::array;
use crate::protocol::codec::be_i32;
use crate::protocol::codec::be_i64;
use crate::protocol::codec::by_topic;
use crate::protocol::codec::error_code;
use crate::protocol::codec::grouped;
use crate::protocol::codec::put_array;
use crate::protocol::codec::put_by_topic;
use crate::protocol::codec::put_error;
use crate::protocol::fetch::Reader;

/// Which offsets are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The end of the log, and segments before it.
    Latest,
    /// The start of the log.
    Earliest,
    /// Segments last written at this time or before, in milliseconds since the epoch. Perhaps negative: matches none.
    Timestamp(i64),
}

impl OffsetSpec {
    fn from_wire(time: i64) -> Self {
        match time {
            -1 => Self::Latest,
            -2 => Self::Earliest,
            _ => Self::Timestamp(time),
        }
    }

    fn to_wire(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::Timestamp(time) => time,
        }
    }
}

/// Asks for offsets of partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListOffsetsRequest {
    /// Who asks: consumers are not told of what isn't committed.
    pub reader: Reader,
    /// Each partition appears once.
    pub topics: ByTopic<PartitionOffsets>,
}

/// The part of the request about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// The partition.
    pub partition: i32,
    /// Which offsets.
    pub at: OffsetSpec,
    /// How many at most. Perhaps negative, which is an error of the partition.
    pub max_offsets: i32,
}

impl ListOffsetsRequest {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, reader) = Reader::parse(input)?;
        let (input, topics) = by_topic(|input| {
            let (input, partition) = be_i32(input)?;
            let (input, time) = be_i64(input)?;
            let (input, max_offsets) = be_i32(input)?;
            let asked = PartitionOffsets {
                partition,
                at: OffsetSpec::from_wire(time),
                max_offsets,
            };
            Ok((input, asked))
        })(input)?;
        let topics = grouped(topics, |partition| partition.partition);
        Ok((input, Self { reader, topics }))
    }
}

impl Api for ListOffsetsRequest {
    const KEY: ApiKey = ApiKey::ListOffsets;
    type Response = ListOffsetsResponse;

    fn encode_body(&self, buf: &mut BytesMut) {
        self.reader.put(buf);
        put_by_topic(buf, &self.topics, |buf, partition| {
            buf.put_i32(partition.partition);
            buf.put_i64(partition.at.to_wire());
            buf.put_i32(partition.max_offsets);
        });
    }
}

/// The offsets asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListOffsetsResponse {
    /// Every partition of the request.
    pub topics: ByTopic<PartitionOffsetsFound>,
}

/// The part of the response about one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionOffsetsFound {
    /// The partition.
    pub partition: i32,
    /// Whether it went well.
    pub error: ErrorCode,
    /// From the newest to the oldest.
    pub offsets: Vec<i64>,
}

impl ListOffsetsResponse {
    pub(super) fn put(&self, buf: &mut BytesMut) {
        put_by_topic(buf, &self.topics, |buf, partition| {
            buf.put_i32(partition.partition);
            put_error(buf, partition.error);
            put_array(buf, &partition.offsets, |buf, offset| buf.put_i64(*offset));
        });
    }
}

impl ParseResponse for ListOffsetsResponse {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, topics) = by_topic(|input| {
            let (input, partition) = be_i32(input)?;
            let (input, error) = error_code(input)?;
            let (input, offsets) = array(be_i64)(input)?;
            let found = PartitionOffsetsFound {
                partition,
                error,
                offsets,
            };
            Ok((input, found))
        })(input)?;
        Ok((input, Self { topics }))
    }
}
