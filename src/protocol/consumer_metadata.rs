//! Which broker keeps a group's offsets.

use bytes::BufMut;
use bytes::BytesMut;

use crate::protocol::Api;
use crate::protocol::ApiKey;
use crate::protocol::ErrorCode;
use crate::protocol::ParseResponse;
use crate::protocol::codec::Parsed;
use crate::protocol::codec::endpoint;
use crate::protocol::codec::error_code;
use crate::protocol::codec::nullable_string;
use crate::protocol::codec::put_endpoint;
use crate::protocol::codec::put_error;
use crate::protocol::codec::put_string;
use crate::types::Endpoint;

/// The number of no broker, and its port.
const NOBODY: i32 = -1;

/// Asks for a group's coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMetadataRequest {
    /// The group.
    pub group: Option<String>,
}

impl ConsumerMetadataRequest {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, group) = nullable_string(input)?;
        Ok((input, Self { group }))
    }
}

impl Api for ConsumerMetadataRequest {
    const KEY: ApiKey = ApiKey::ConsumerMetadata;
    type Response = ConsumerMetadataResponse;

    fn encode_body(&self, buf: &mut BytesMut) {
        put_string(buf, self.group.as_deref());
    }
}

/// A group's coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMetadataResponse {
    /// Whether there is one.
    pub error: ErrorCode,
    /// The broker; written as a broker that can't exist if there is none.
    pub coordinator: Option<Endpoint>,
}

impl ConsumerMetadataResponse {
    pub(super) fn put(&self, buf: &mut BytesMut) {
        put_error(buf, self.error);
        match &self.coordinator {
            Some(coordinator) => put_endpoint(buf, coordinator),
            None => {
                buf.put_i32(NOBODY);
                put_string(buf, Some(""));
                buf.put_i32(NOBODY);
            }
        }
    }
}

impl ParseResponse for ConsumerMetadataResponse {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, error) = error_code(input)?;
        let (input, coordinator) = endpoint(input)?;
        let response = Self {
            error,
            coordinator: (coordinator.id.0 != NOBODY).then_some(coordinator),
        };
        Ok((input, response))
    }
}
