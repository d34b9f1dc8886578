//! A group's positions out.

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
use crate::protocol::offset_commit::OffsetStorage;

/// Asks for offsets of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetFetchRequest {
    /// Where they are kept.
    pub storage: OffsetStorage,
    /// The group.
    pub group: Option<String>,
    /// Which partitions, each once.
    pub topics: ByTopic<i32>,
}

impl OffsetFetchRequest {
    pub(super) fn parse(storage: OffsetStorage, input: &[u8]) -> Parsed<'_, Self> {
        let (input, group) = nullable_string(input)?;
        let (input, topics) = by_topic(be_i32)(input)?;
        let request = Self {
            storage,
            group,
            topics: grouped(topics, |partition| *partition),
        };
        Ok((input, request))
    }
}

impl Api for OffsetFetchRequest {
    const KEY: ApiKey = ApiKey::OffsetFetch;
    const VERSION: i16 = 1;
    type Response = OffsetFetchResponse;

    fn version(&self) -> i16 {
        self.storage.version()
    }

    fn encode_body(&self, buf: &mut BytesMut) {
        put_string(buf, self.group.as_deref());
        put_by_topic(buf, &self.topics, |buf, partition| buf.put_i32(*partition));
    }
}

/// The offsets of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetFetchResponse {
    /// Every partition of the request.
    pub topics: ByTopic<PartitionOffset>,
}

/// The part of the response about one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionOffset {
    /// The partition.
    pub partition: i32,
    /// The offset; -1 if there is none.
    pub offset: i64,
    /// What the client kept with it. Null only where the client sent null.
    pub metadata: Option<String>,
    /// Whether it went well.
    pub error: ErrorCode,
}

impl OffsetFetchResponse {
    pub(super) fn put(&self, buf: &mut BytesMut) {
        put_by_topic(buf, &self.topics, |buf, partition| {
            buf.put_i32(partition.partition);
            buf.put_i64(partition.offset);
            put_string(buf, partition.metadata.as_deref());
            put_error(buf, partition.error);
        });
    }
}

impl ParseResponse for OffsetFetchResponse {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, topics) = by_topic(|input| {
            let (input, partition) = be_i32(input)?;
            let (input, offset) = be_i64(input)?;
            let (input, metadata) = nullable_string(input)?;
            let (input, error) = error_code(input)?;
            let found = PartitionOffset {
                partition,
                offset,
                metadata,
                error,
            };
            Ok((input, found))
        })(input)?;
        Ok((input, Self { topics }))
    }
}
