//! Controller to broker: stop, and perhaps delete.

use bytes::BufMut;
use bytes::BytesMut;

use crate::protocol::Api;
use crate::protocol::ApiKey;
use crate::protocol::ErrorCode;
use crate::protocol::ParseResponse;
use crate::protocol::codec::Parsed;
use crate::protocol::codec::array;
use crate::protocol::codec::be_i32;
use crate::protocol::codec::boolean;
use crate::protocol::codec::broker_id;
use crate::protocol::codec::count;
use crate::protocol::codec::distinct;
use crate::protocol::codec::error_code;
use crate::protocol::codec::put_array;
use crate::protocol::codec::put_boolean;
use crate::protocol::codec::put_error;
use crate::protocol::codec::put_topic_partition;
use crate::protocol::codec::topic_partition;
use crate::protocol::leader_and_isr::partition_error;
use crate::protocol::leader_and_isr::put_partition_errors;
use crate::types::BrokerId;

/// Tells a broker to stop replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReplicaRequest {
    /// The controller.
    pub controller_id: BrokerId,
    /// Its epoch.
    pub controller_epoch: i32,
    /// Whether to delete what they have stored.
    pub delete: bool,
    /// Topic and partition, each once.
    pub partitions: Vec<(String, i32)>,
}

impl StopReplicaRequest {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, controller_id) = broker_id(input)?;
        let (input, controller_epoch) = be_i32(input)?;
        let (input, delete) = boolean(input)?;
        let (input, count) = count(input)?;
        let (input, partitions) = distinct(input, count, topic_partition)?;
        let request = Self {
            controller_id,
            controller_epoch,
            delete,
            partitions,
        };
        Ok((input, request))
    }
}

impl Api for StopReplicaRequest {
    const KEY: ApiKey = ApiKey::StopReplica;
    type Response = StopReplicaResponse;

    fn encode_body(&self, buf: &mut BytesMut) {
        buf.put_i32(self.controller_id.0);
        buf.put_i32(self.controller_epoch);
        put_boolean(buf, self.delete);
        put_array(buf, &self.partitions, |buf, (topic, partition)| {
            put_topic_partition(buf, topic, *partition);
        });
    }
}

/// Whether they were stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReplicaResponse {
    /// About the request as a whole.
    pub error: ErrorCode,
    /// Topic, partition, error.
    pub partitions: Vec<(String, i32, ErrorCode)>,
}

impl StopReplicaResponse {
    pub(super) fn put(&self, buf: &mut BytesMut) {
        put_error(buf, self.error);
        put_partition_errors(buf, &self.partitions);
    }
}

impl ParseResponse for StopReplicaResponse {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, error) = error_code(input)?;
        let (input, partitions) = array(partition_error)(input)?;
        Ok((input, Self { error, partitions }))
    }
}
