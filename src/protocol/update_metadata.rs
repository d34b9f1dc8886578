//! Controller to broker: what to tell clients.

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
use crate::protocol::codec::endpoint;
use crate::protocol::codec::error_code;
use crate::protocol::codec::put_array;
use crate::protocol::codec::put_endpoint;
use crate::protocol::codec::put_error;
use crate::protocol::leader_and_isr::PartitionState;
use crate::protocol::leader_and_isr::partition_states;
use crate::protocol::leader_and_isr::put_partition_states;
use crate::types::BrokerId;
use crate::types::Endpoint;

/// Tells a broker what the cluster looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateMetadataRequest {
    /// The controller.
    pub controller_id: BrokerId,
    /// Its epoch.
    pub controller_epoch: i32,
    /// Topic, partition and its state; what isn't named stays as it is. Each partition appears once.
    pub partitions: Vec<(String, i32, PartitionState)>,
    /// All brokers that are alive, instead of those known before.
    pub alive_brokers: Vec<Endpoint>,
}

impl UpdateMetadataRequest {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, controller_id) = broker_id(input)?;
        let (input, controller_epoch) = be_i32(input)?;
        let (input, partitions) = partition_states(input)?;
        let (input, alive_brokers) = array(endpoint)(input)?;
        let request = Self {
            controller_id,
            controller_epoch,
            partitions,
            alive_brokers,
        };
        Ok((input, request))
    }
}

impl Api for UpdateMetadataRequest {
    const KEY: ApiKey = ApiKey::UpdateMetadata;
    type Response = UpdateMetadataResponse;

    fn encode_body(&self, buf: &mut BytesMut) {
        buf.put_i32(self.controller_id.0);
        buf.put_i32(self.controller_epoch);
        put_partition_states(buf, &self.partitions);
        put_array(buf, &self.alive_brokers, put_endpoint);
    }
}

/// Whether the broker took note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateMetadataResponse {
    /// Every failure is [`ErrorCode::Unknown`] in 0.8.2.2.
    pub error: ErrorCode,
}

impl UpdateMetadataResponse {
    pub(super) fn put(self, buf: &mut BytesMut) {
        put_error(buf, self.error);
    }
}

impl ParseResponse for UpdateMetadataResponse {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, error) = error_code(input)?;
        Ok((input, Self { error }))
    }
}
