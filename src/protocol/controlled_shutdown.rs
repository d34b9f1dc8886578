//! Broker to controller: take my partitions. The one request without a client id.

use bytes::BufMut;
use bytes::BytesMut;

use crate::protocol::Api;
use crate::protocol::ApiKey;
use crate::protocol::ErrorCode;
use crate::protocol::ParseResponse;
use crate::protocol::codec::Parsed;
use crate::protocol::codec::array;
use crate::protocol::codec::broker_id;
use crate::protocol::codec::error_code;
use crate::protocol::codec::put_array;
use crate::protocol::codec::put_error;
use crate::protocol::codec::put_topic_partition;
use crate::protocol::codec::topic_partition;
use crate::types::BrokerId;

/// Asks the controller to move leaderships away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlledShutdownRequest {
    /// The broker that is about to stop.
    pub broker: BrokerId,
}

impl ControlledShutdownRequest {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, broker) = broker_id(input)?;
        Ok((input, Self { broker }))
    }
}

impl Api for ControlledShutdownRequest {
    const KEY: ApiKey = ApiKey::ControlledShutdown;
    type Response = ControlledShutdownResponse;

    fn encode_body(&self, buf: &mut BytesMut) {
        buf.put_i32(self.broker.0);
    }
}

/// What the broker still leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlledShutdownResponse {
    /// Every failure is [`ErrorCode::Unknown`] in 0.8.2.2.
    pub error: ErrorCode,
    /// Topic and partition.
    pub partitions_remaining: Vec<(String, i32)>,
}

impl ControlledShutdownResponse {
    pub(super) fn put(&self, buf: &mut BytesMut) {
        put_error(buf, self.error);
        put_array(buf, &self.partitions_remaining, |buf, (topic, partition)| {
            put_topic_partition(buf, topic, *partition);
        });
    }
}

impl ParseResponse for ControlledShutdownResponse {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, error) = error_code(input)?;
        let (input, partitions_remaining) = array(topic_partition)(input)?;
        let response = Self {
            error,
            partitions_remaining,
        };
        Ok((input, response))
    }
}
