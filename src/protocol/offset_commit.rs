//! A group's positions in.

use bytes::BufMut;
use bytes::BytesMut;

use crate::protocol::Api;
use crate::protocol::ApiKey;
use crate::protocol::ByTopic;
use crate::protocol::ErrorCode;
use crate::protocol::ParseResponse;
use crate::protocol::codec::Parsed;
use crate::protocol::codec::be_i32;
use crate::protocol::codec::be_i64;
use crate::protocol::codec::by_topic;
use crate::protocol::codec::error_code;
use crate::protocol::codec::grouped;
use crate::protocol::codec::nullable_string;
use crate::protocol::codec::put_by_topic;
use crate::protocol::codec::put_error;
use crate::protocol::codec::put_string;

/// The timestamp that stands for the time of receipt.
const NOW: i64 = -1;
/// What clients that don't take part in any generation send.
const NO_GENERATION: i32 = -1;

/// Where a group keeps its offsets. The version of the request says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OffsetStorage {
    /// In ZooKeeper: version 0.
    ZooKeeper,
    /// In the offsets topic: version 1.
    Kafka,
}

impl OffsetStorage {
    pub(super) fn version(self) -> i16 {
        match self {
            Self::ZooKeeper => 0,
            Self::Kafka => 1,
        }
    }
}

/// Stores offsets of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommitRequest {
    /// Where.
    pub storage: OffsetStorage,
    /// The group.
    pub group: Option<String>,
    /// Ignored by 0.8.2.2; not sent for ZooKeeper.
    pub generation: i32,
    /// Ignored by 0.8.2.2; not sent for ZooKeeper.
    pub consumer_id: Option<String>,
    /// What to store. Each partition appears once.
    pub topics: ByTopic<PartitionCommit>,
}

/// The part of a commit about one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionCommit {
    /// The partition.
    pub partition: i32,
    /// The offset, unchecked.
    pub offset: i64,
    /// When it was committed, in milliseconds since the epoch; the time of receipt if not given.
    pub timestamp: Option<i64>,
    /// Whatever the client wants to keep with it.
    pub metadata: Option<String>,
}

impl OffsetCommitRequest {
    pub(super) fn parse(storage: OffsetStorage, input: &[u8]) -> Parsed<'_, Self> {
        let (input, group) = nullable_string(input)?;
        let (input, (generation, consumer_id)) = match storage {
            OffsetStorage::ZooKeeper => (input, (NO_GENERATION, Some(String::new()))),
            OffsetStorage::Kafka => {
                let (input, generation) = be_i32(input)?;
                let (input, consumer_id) = nullable_string(input)?;
                (input, (generation, consumer_id))
            }
        };
        let (input, topics) = by_topic(|input| PartitionCommit::parse(storage, input))(input)?;
        let request = Self {
            storage,
            group,
            generation,
            consumer_id,
            topics: grouped(topics, |partition| partition.partition),
        };
        Ok((input, request))
    }
}

impl PartitionCommit {
    fn parse(storage: OffsetStorage, input: &[u8]) -> Parsed<'_, Self> {
        let (input, partition) = be_i32(input)?;
        let (input, offset) = be_i64(input)?;
        let (input, timestamp) = match storage {
            OffsetStorage::ZooKeeper => (input, NOW),
            OffsetStorage::Kafka => be_i64(input)?,
        };
        let (input, metadata) = nullable_string(input)?;
        let commit = Self {
            partition,
            offset,
            timestamp: (timestamp != NOW).then_some(timestamp),
            metadata,
        };
        Ok((input, commit))
    }
}

impl Api for OffsetCommitRequest {
    const KEY: ApiKey = ApiKey::OffsetCommit;
    const VERSION: i16 = 1;
    type Response = OffsetCommitResponse;

    fn version(&self) -> i16 {
        self.storage.version()
    }

    fn encode_body(&self, buf: &mut BytesMut) {
        put_string(buf, self.group.as_deref());
        if self.storage == OffsetStorage::Kafka {
            buf.put_i32(self.generation);
            put_string(buf, self.consumer_id.as_deref());
        }
        put_by_topic(buf, &self.topics, |buf, partition| {
            buf.put_i32(partition.partition);
            buf.put_i64(partition.offset);
            if self.storage == OffsetStorage::Kafka {
                buf.put_i64(partition.timestamp.unwrap_or(NOW));
            }
            put_string(buf, partition.metadata.as_deref());
        });
    }
}

/// Whether they were stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetCommitResponse {
    /// Every partition of the request, with its error.
    pub topics: ByTopic<(i32, ErrorCode)>,
}

impl OffsetCommitResponse {
    pub(super) fn put(&self, buf: &mut BytesMut) {
        put_by_topic(buf, &self.topics, |buf, (partition, error)| {
            buf.put_i32(*partition);
            put_error(buf, *error);
        });
    }
}

impl ParseResponse for OffsetCommitResponse {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, topics) = by_topic(|input| {
            let (input, partition) = be_i32(input)?;
            let (input, error) = error_code(input)?;
            Ok((input, (partition, error)))
        })(input)?;
        Ok((input, Self { topics }))
    }
}
