//! Parsed and refused, as 0.8 does: nobody is a member of a group here.

use bytes::BufMut;
use bytes::BytesMut;

use crate::protocol::Api;
use crate::protocol::ApiKey;
use crate::protocol::ErrorCode;
use crate::protocol::ParseResponse;
use crate::protocol::codec::Parsed;
use crate::protocol::codec::be_i32;
use crate::protocol::codec::error_code;
use crate::protocol::codec::put_error;
use crate::protocol::codec::put_string;
use crate::protocol::codec::string;

/// Says that a member of a group is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatRequest {
    /// The group.
    pub group: String,
    /// Its generation.
    pub generation: i32,
    /// The member.
    pub consumer_id: String,
}

impl HeartbeatRequest {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, group) = string(input)?;
        let (input, generation) = be_i32(input)?;
        let (input, consumer_id) = string(input)?;
        let request = Self {
            group,
            generation,
            consumer_id,
        };
        Ok((input, request))
    }
}

impl Api for HeartbeatRequest {
    const KEY: ApiKey = ApiKey::Heartbeat;
    type Response = HeartbeatResponse;

    fn encode_body(&self, buf: &mut BytesMut) {
        put_string(buf, Some(&self.group));
        buf.put_i32(self.generation);
        put_string(buf, Some(&self.consumer_id));
    }
}

/// Whether the member still is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatResponse {
    /// Whether.
    pub error: ErrorCode,
}

impl HeartbeatResponse {
    /// The answer to everybody.
    pub fn refused() -> Self {
        Self {
            error: ErrorCode::Unknown,
        }
    }

    pub(super) fn put(self, buf: &mut BytesMut) {
        put_error(buf, self.error);
    }
}

impl ParseResponse for HeartbeatResponse {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, error) = error_code(input)?;
        Ok((input, Self { error }))
    }
}
