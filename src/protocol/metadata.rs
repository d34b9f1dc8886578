//! Topics in, brokers and leaders out.

use bytes::BufMut;
use bytes::BytesMut;

use crate::protocol::Api;
use crate::protocol::ApiKey;
use crate::protocol::ErrorCode;
use crate::protocol::ParseResponse;
use crate::protocol::codec::Parsed;
use crate::protocol::codec::array;
use crate::protocol::codec::be_i32;
use crate::protocol::codec::broker_id;
use crate::protocol::codec::distinct;
use crate::protocol::codec::endpoint;
use crate::protocol::codec::error_code;
use crate::protocol::codec::nullable_string;
use crate::protocol::codec::put_array;
use crate::protocol::codec::put_broker_ids;
use crate::protocol::codec::put_endpoint;
use crate::protocol::codec::put_error;
use crate::protocol::codec::put_string;
use crate::protocol::codec::strict_count;
use crate::types::BrokerId;
use crate::types::Endpoint;

/// The number of no broker.
const NO_LEADER: i32 = -1;

/// Asks who leads what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataRequest {
    /// Of which topics, each once; of all if none is named.
    pub topics: Vec<Option<String>>,
}

impl MetadataRequest {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, count) = strict_count(input)?;
        let (input, topics) = distinct(input, count, nullable_string)?;
        Ok((input, Self { topics }))
    }
}

impl Api for MetadataRequest {
    const KEY: ApiKey = ApiKey::Metadata;
    type Response = MetadataResponse;

    fn encode_body(&self, buf: &mut BytesMut) {
        put_array(buf, &self.topics, |buf, topic| put_string(buf, topic.as_deref()));
    }
}

/// What the cluster looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataResponse {
    /// The brokers that are alive.
    pub brokers: Vec<Endpoint>,
    /// The topics asked for.
    pub topics: Vec<TopicMetadata>,
}

/// What is known about one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Whether it can be used.
    pub error: ErrorCode,
    /// Its name.
    pub topic: Option<String>,
    /// Its partitions, in any order.
    pub partitions: Vec<PartitionMetadata>,
}

/// What is known about one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Whether it has a leader, and all its replicas.
    pub error: ErrorCode,
    /// The partition.
    pub partition: i32,
    /// Its leader, if it has one that is alive.
    pub leader: Option<BrokerId>,
    /// Brokers that have it and are alive.
    pub replicas: Vec<BrokerId>,
    /// Those of them that are in sync.
    pub isr: Vec<BrokerId>,
}

impl MetadataResponse {
    pub(super) fn put(&self, buf: &mut BytesMut) {
        put_array(buf, &self.brokers, put_endpoint);
        put_array(buf, &self.topics, |buf, topic| {
            put_error(buf, topic.error);
            put_string(buf, topic.topic.as_deref());
            put_array(buf, &topic.partitions, |buf, partition| {
                put_error(buf, partition.error);
                buf.put_i32(partition.partition);
                buf.put_i32(partition.leader.map_or(NO_LEADER, |leader| leader.0));
                put_broker_ids(buf, &partition.replicas);
                put_broker_ids(buf, &partition.isr);
            });
        });
    }
}

impl ParseResponse for MetadataResponse {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, brokers) = array(endpoint)(input)?;
        let (input, topics) = array(|input| {
            let (input, error) = error_code(input)?;
            let (input, topic) = nullable_string(input)?;
            let (input, partitions) = array(PartitionMetadata::parse)(input)?;
            let metadata = TopicMetadata {
                error,
                topic,
                partitions,
            };
            Ok((input, metadata))
        })(input)?;
        Ok((input, Self { brokers, topics }))
    }
}

impl PartitionMetadata {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, error) = error_code(input)?;
        let (input, partition) = be_i32(input)?;
        let (input, leader) = broker_id(input)?;
        let (input, replicas) = array(broker_id)(input)?;
        let (input, isr) = array(broker_id)(input)?;
        let metadata = Self {
            error,
            partition,
            leader: (leader.0 != NO_LEADER).then_some(leader),
            replicas,
            isr,
        };
        Ok((input, metadata))
    }
}
