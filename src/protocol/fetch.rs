//! Positions in, file slices and high watermarks out.

use std::time::Duration;

use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;
use nom::bytes::complete::take;

use crate::message::slice::FileSlice;
use crate::protocol::Api;
use crate::protocol::ApiKey;
use crate::protocol::ByTopic;
use crate::protocol::Chunk;
use crate::protocol::DecodeError;
use crate::protocol::DecodeResponse;
use crate::protocol::ErrorCode;
use crate::protocol::codec::Parsed;
use crate::protocol::codec::be_i32;
use crate::protocol::codec::be_i64;
use crate::protocol::codec::by_topic;
use crate::protocol::codec::error_code;
use crate::protocol::codec::grouped;
use crate::protocol::codec::milliseconds;
use crate::protocol::codec::put_by_topic;
use crate::protocol::codec::put_error;
use crate::protocol::codec::put_milliseconds;
use crate::protocol::codec::put_string;
use crate::protocol::codec::refuse;
use crate::protocol::error::whole_body;
use crate::protocol::frame::ResponseFrame;
use crate::protocol::frame::SIZE_LEN;
use crate::protocol::frame::put_size;
use crate::types::BrokerId;

/// Who reads. Decides how far, and from whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A client: up to the high watermark, from the leader.
    Consumer,
    /// A client that asks any replica.
    DebuggingConsumer,
    /// A follower: up to the log end offset, from the leader, which takes note.
    Follower(BrokerId),
}

impl Reader {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, id) = be_i32(input)?;
        let reader = match id {
            0.. => Self::Follower(BrokerId(id)),
            -2 => Self::DebuggingConsumer,
            _ => Self::Consumer,
        };
        Ok((input, reader))
    }

    pub(super) fn put(self, buf: &mut BytesMut) {
        buf.put_i32(match self {
            Self::Consumer => -1,
            Self::DebuggingConsumer => -2,
            Self::Follower(id) => id.0,
        });
    }
}

/// Reads from partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// Who reads.
    pub reader: Reader,
    /// How long to wait for enough to read. Zero, too, for negative times.
    pub max_wait: Duration,
    /// What is enough, in bytes over all partitions.
    pub min_bytes: i32,
    /// Where to read. Each partition appears once.
    pub topics: ByTopic<PartitionFetch>,
}

/// The part of a fetch request about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionFetch {
    /// The partition.
    pub partition: i32,
    /// From which offset on.
    pub offset: i64,
    /// How much. Perhaps negative, which is an error of the partition.
    pub max_bytes: i32,
}

impl FetchRequest {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, reader) = Reader::parse(input)?;
        let (input, max_wait) = milliseconds(input)?;
        let (input, min_bytes) = be_i32(input)?;
        let (input, topics) = by_topic(PartitionFetch::parse)(input)?;
        let request = Self {
            reader,
            max_wait,
            min_bytes,
            topics: grouped(topics, |partition| partition.partition),
        };
        Ok((input, request))
    }
}

impl PartitionFetch {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, partition) = be_i32(input)?;
        let (input, offset) = be_i64(input)?;
        let (input, max_bytes) = be_i32(input)?;
        let fetch = Self {
            partition,
            offset,
            max_bytes,
        };
        Ok((input, fetch))
    }
}

impl Api for FetchRequest {
    const KEY: ApiKey = ApiKey::Fetch;
    type Response = FetchResponse<Bytes>;

    fn encode_body(&self, buf: &mut BytesMut) {
        self.reader.put(buf);
        put_milliseconds(buf, self.max_wait);
        buf.put_i32(self.min_bytes);
        put_by_topic(buf, &self.topics, |buf, partition| {
            buf.put_i32(partition.partition);
            buf.put_i64(partition.offset);
            buf.put_i32(partition.max_bytes);
        });
    }
}

/// What there was to read: in files where it is sent, in memory where it is received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchResponse<M = FileSlice> {
    /// Every partition of the request.
    pub topics: ByTopic<PartitionFetched<M>>,
}

/// The part of a fetch response about one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionFetched<M = FileSlice> {
    /// The partition.
    pub partition: i32,
    /// Whether it went well.
    pub error: ErrorCode,
    /// One past the last committed offset; -1 with an error.
    pub high_watermark: i64,
    /// What was read; perhaps ending within an entry.
    pub messages: Option<M>,
}

impl<M: Into<Chunk>> FetchResponse<M> {
    /// Writes the response as a whole frame, its size included. Messages stay where they are.
    pub fn encode(self, correlation_id: i32) -> ResponseFrame {
        let mut buf = BytesMut::with_capacity(SIZE_LEN + self.len_without_messages());
        buf.put_i32(0);
        buf.put_i32(correlation_id);
        let sets = self.put(&mut buf);
        let messages: u64 = sets.iter().map(|(_, set)| set.len()).sum();
        let in_memory = buf.len() - SIZE_LEN;
        put_size(
            &mut buf,
            in_memory.saturating_add(usize::try_from(messages).unwrap_or(usize::MAX)),
        );

        let mut chunks = Vec::with_capacity(2 * sets.len() + 1);
        let mut done = 0;
        for (at, set) in sets {
            chunks.push(Chunk::Bytes(buf.split_to(at - done).freeze()));
            chunks.push(set);
            done = at;
        }
        if !buf.is_empty() {
            chunks.push(Chunk::Bytes(buf.freeze()));
        }
        ResponseFrame { chunks }
    }

    /// Writes everything but messages to `buf`; gives the messages with the places where they belong.
    ///
    /// Sets are cut where a frame can't get longer, which readers are used to.
    fn put(self, buf: &mut BytesMut) -> Vec<(usize, Chunk)> {
        let mut room =
            MAX_FRAME.saturating_sub(u64::try_from(self.len_without_messages()).unwrap_or(u64::MAX));
        let mut sets = Vec::new();
        buf.put_i32(i32::try_from(self.topics.len()).unwrap_or(i32::MAX));
        for (topic, partitions) in self.topics {
            put_string(buf, topic.as_deref());
            buf.put_i32(i32::try_from(partitions.len()).unwrap_or(i32::MAX));
            for partition in partitions {
                buf.put_i32(partition.partition);
                put_error(buf, partition.error);
                buf.put_i64(partition.high_watermark);
                let mut messages = partition.messages.map(Into::into);
                if let Some(messages) = &mut messages {
                    messages.truncate(room);
                }
                let len = messages.as_ref().map_or(0, Chunk::len);
                room -= len;
                buf.put_i32(i32::try_from(len).unwrap_or(i32::MAX));
                sets.extend(messages.filter(|_| len > 0).map(|messages| (buf.len(), messages)));
            }
        }
        sets
    }

    fn len_without_messages(&self) -> usize {
        let topics = self.topics.iter();
        let names = topics.map(|(topic, partitions)| {
            2 + topic.as_ref().map_or(0, String::len) + 4 + partitions.len() * PARTITION_LEN
        });
        CORRELATION_ID_LEN + 4 + names.sum::<usize>()
    }
}

/// The longest frame that its size can tell.
const MAX_FRAME: u64 = 0x7fff_ffff;
const CORRELATION_ID_LEN: usize = 4;
/// Partition, error, high watermark and size of the set.
const PARTITION_LEN: usize = 4 + 2 + 8 + 4;

impl DecodeResponse for FetchResponse<Bytes> {
    /// Messages stay in the frame's memory.
    fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        let topics = whole_body(body, |input| by_topic(|input| fetched(body, input))(input))?;
        Ok(Self { topics })
    }
}

fn fetched<'a>(body: &Bytes, input: &'a [u8]) -> Parsed<'a, PartitionFetched<Bytes>> {
    let (input, partition) = be_i32(input)?;
    let (input, error) = error_code(input)?;
    let (input, high_watermark) = be_i64(input)?;
    let (rest, len) = be_i32(input)?;
    let Ok(len) = usize::try_from(len) else {
        return refuse(input);
    };
    let (rest, messages) = take(len)(rest)?;
    let fetched = PartitionFetched {
        partition,
        error,
        high_watermark,
        messages: (len > 0).then(|| body.slice_ref(messages)),
    };
    Ok((rest, fetched))
}
