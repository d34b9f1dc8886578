//! Message sets in, base offsets out.

use std::time::Duration;

use bytes::Buf;
use bytes::BufMut;
use bytes::BytesMut;
use nom::bytes::complete::take;

use crate::message::set::ProducedSet;
use crate::protocol::Api;
use crate::protocol::ApiKey;
use crate::protocol::ByTopic;
use crate::protocol::ErrorCode;
use crate::protocol::ParseResponse;
use crate::protocol::codec::Parsed;
use crate::protocol::codec::be_i16;
use crate::protocol::codec::be_i32;
use crate::protocol::codec::be_i64;
use crate::protocol::codec::by_topic;
use crate::protocol::codec::error_code;
use crate::protocol::codec::grouped;
use crate::protocol::codec::milliseconds;
use crate::protocol::codec::put_array;
use crate::protocol::codec::put_by_topic;
use crate::protocol::codec::put_error;
use crate::protocol::codec::put_milliseconds;
use crate::protocol::codec::put_string;
use crate::protocol::codec::refuse;

/// Who must have a message before the producer hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// The producer doesn't wait, and gets no response.
    None,
    /// The leader.
    Leader,
    /// So many in-sync replicas, the leader counted; more than one.
    Count(u16),
    /// All in-sync replicas, and `min.insync.replicas` of them before the append.
    AllInSync,
    /// All in-sync replicas, however few they are before the append.
    AllInSyncUnchecked,
}

impl Acks {
    /// What a number of acknowledgements, as configured or sent, asks for.
    pub fn from_wire(acks: i16) -> Self {
        match (acks, u16::try_from(acks)) {
            (_, Ok(0)) => Self::None,
            (_, Ok(1)) => Self::Leader,
            (_, Ok(count)) => Self::Count(count),
            (-1, Err(_)) => Self::AllInSync,
            (_, Err(_)) => Self::AllInSyncUnchecked,
        }
    }

    fn to_wire(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::Count(count) => i16::try_from(count).unwrap_or(i16::MAX),
            Self::AllInSync => -1,
            Self::AllInSyncUnchecked => -2,
        }
    }
}

/// Appends message sets to partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProduceRequest {
    /// What to wait for.
    pub acks: Acks,
    /// How long. Zero, too, for negative times.
    pub timeout: Duration,
    /// What goes where. Each partition appears once.
    pub topics: Vec<TopicProduce>,
}

/// The part of a produce request about one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicProduce {
    /// The topic; a null name is that of none.
    pub topic: Option<String>,
    /// Its partitions.
    pub partitions: Vec<PartitionProduce>,
}

/// The part of a produce request about one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionProduce {
    /// The partition.
    pub partition: i32,
    /// What to append; split off the frame without copying.
    pub set: ProducedSet,
}

/// Where a set is in the frame. Counted from the end, because parsers see only what is left.
struct SetPosition {
    partition: i32,
    /// Bytes from the set's first to the frame's last.
    to_end: usize,
    len: usize,
}

/// A produce request whose sets are still in the frame.
pub(super) struct Located {
    acks: Acks,
    timeout: Duration,
    topics: ByTopic<SetPosition>,
}

impl Located {
    /// Parses a body that ends with its frame.
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, acks) = be_i16(input)?;
        let (input, timeout) = milliseconds(input)?;
        let (input, topics) = by_topic(set_position)(input)?;
        let located = Self {
            acks: Acks::from_wire(acks),
            timeout,
            topics,
        };
        Ok((input, located))
    }

    /// Splits the sets off the frame.
    pub(super) fn split(self, mut frame: BytesMut) -> ProduceRequest {
        let mut split = |position: SetPosition| {
            // Parsed in the order of the frame, so that the next one is always further on.
            frame.advance(frame.len() - position.to_end);
            PartitionProduce {
                partition: position.partition,
                set: ProducedSet::new(frame.split_to(position.len)),
            }
        };
        let topics: ByTopic<PartitionProduce> = self
            .topics
            .into_iter()
            .map(|(topic, partitions)| (topic, partitions.into_iter().map(&mut split).collect()))
            .collect();
        ProduceRequest {
            acks: self.acks,
            timeout: self.timeout,
            topics: grouped(topics, |partition| partition.partition)
                .into_iter()
                .map(|(topic, partitions)| TopicProduce { topic, partitions })
                .collect(),
        }
    }
}

fn set_position(input: &[u8]) -> Parsed<'_, SetPosition> {
    let (input, partition) = be_i32(input)?;
    let (set, len) = be_i32(input)?;
    let Ok(len) = usize::try_from(len) else {
        return refuse(input);
    };
    let (rest, _) = take(len)(set)?;
    let position = SetPosition {
        partition,
        to_end: set.len(),
        len,
    };
    Ok((rest, position))
}

impl Api for ProduceRequest {
    const KEY: ApiKey = ApiKey::Produce;
    type Response = ProduceResponse;

    fn encode_body(&self, buf: &mut BytesMut) {
        buf.put_i16(self.acks.to_wire());
        put_milliseconds(buf, self.timeout);
        buf.put_i32(i32::try_from(self.topics.len()).unwrap_or(i32::MAX));
        for topic in &self.topics {
            put_string(buf, topic.topic.as_deref());
            put_array(buf, &topic.partitions, |buf, partition| {
                buf.put_i32(partition.partition);
                buf.put_i32(i32::try_from(partition.set.len()).unwrap_or(i32::MAX));
                buf.put_slice(partition.set.as_bytes());
            });
        }
    }
}

/// Where the messages went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProduceResponse {
    /// Every partition of the request.
    pub topics: ByTopic<PartitionProduced>,
}

/// The part of a produce response about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionProduced {
    /// The partition.
    pub partition: i32,
    /// Whether it went well.
    pub error: ErrorCode,
    /// The offset of the first message; -1 if nothing was appended.
    pub base_offset: i64,
}

impl ProduceResponse {
    pub(super) fn put(&self, buf: &mut BytesMut) {
        put_by_topic(buf, &self.topics, |buf, partition| {
            buf.put_i32(partition.partition);
            put_error(buf, partition.error);
            buf.put_i64(partition.base_offset);
        });
    }
}

impl ParseResponse for ProduceResponse {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, topics) = by_topic(|input| {
            let (input, partition) = be_i32(input)?;
            let (input, error) = error_code(input)?;
            let (input, base_offset) = be_i64(input)?;
            let produced = PartitionProduced {
                partition,
                error,
                base_offset,
            };
            Ok((input, produced))
        })(input)?;
        Ok((input, Self { topics }))
    }
}
