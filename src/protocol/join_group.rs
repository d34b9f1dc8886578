//! Parsed and refused, as 0.8 does: groups coordinate through ZooKeeper.

use std::time::Duration;

use bytes::BufMut;
use bytes::BytesMut;

use crate::protocol::Api;
use crate::protocol::ApiKey;
use crate::protocol::ErrorCode;
use crate::protocol::ParseResponse;
use crate::protocol::codec::Parsed;
use crate::protocol::codec::array;
use crate::protocol::codec::be_i32;
use crate::protocol::codec::error_code;
use crate::protocol::codec::milliseconds;
use crate::protocol::codec::put_array;
use crate::protocol::codec::put_error;
use crate::protocol::codec::put_milliseconds;
use crate::protocol::codec::put_string;
use crate::protocol::codec::strict_array;
use crate::protocol::codec::string;

/// The generation of no group.
const NO_GENERATION: i32 = -1;

/// Asks to become a member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinGroupRequest {
    /// The group.
    pub group: String,
    /// How long the member may be silent.
    pub session_timeout: Duration,
    /// What it wants to read.
    pub topics: Vec<String>,
    /// Its name, if it has one already.
    pub consumer_id: String,
    /// How partitions should be split among members.
    pub partition_assignment_strategy: String,
}

impl JoinGroupRequest {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, group) = string(input)?;
        let (input, session_timeout) = milliseconds(input)?;
        let (input, topics) = strict_array(string)(input)?;
        let (input, consumer_id) = string(input)?;
        let (input, partition_assignment_strategy) = string(input)?;
        let request = Self {
            group,
            session_timeout,
            topics,
            consumer_id,
            partition_assignment_strategy,
        };
        Ok((input, request))
    }
}

impl Api for JoinGroupRequest {
    const KEY: ApiKey = ApiKey::JoinGroup;
    type Response = JoinGroupResponse;

    fn encode_body(&self, buf: &mut BytesMut) {
        put_string(buf, Some(&self.group));
        put_milliseconds(buf, self.session_timeout);
        put_array(buf, &self.topics, |buf, topic| put_string(buf, Some(topic)));
        put_string(buf, Some(&self.consumer_id));
        put_string(buf, Some(&self.partition_assignment_strategy));
    }
}

/// What a member has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinGroupResponse {
    /// Whether it is a member.
    pub error: ErrorCode,
    /// The generation of the group.
    pub generation: i32,
    /// The name of the member.
    pub consumer_id: String,
    /// Topics, and the partitions to read.
    pub assigned_partitions: Vec<(String, Vec<i32>)>,
}

impl JoinGroupResponse {
    /// The answer to everybody.
    pub fn refused() -> Self {
        Self {
            error: ErrorCode::Unknown,
            generation: NO_GENERATION,
            consumer_id: String::new(),
            assigned_partitions: Vec::new(),
        }
    }

    pub(super) fn put(&self, buf: &mut BytesMut) {
        put_error(buf, self.error);
        buf.put_i32(self.generation);
        put_string(buf, Some(&self.consumer_id));
        put_array(buf, &self.assigned_partitions, |buf, (topic, partitions)| {
            put_string(buf, Some(topic));
            put_array(buf, partitions, |buf, partition| buf.put_i32(*partition));
        });
    }
}

impl ParseResponse for JoinGroupResponse {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, error) = error_code(input)?;
        let (input, generation) = be_i32(input)?;
        let (input, consumer_id) = string(input)?;
        let (input, assigned_partitions) = array(|input| {
            let (input, topic) = string(input)?;
            let (input, partitions) = array(be_i32)(input)?;
            Ok((input, (topic, partitions)))
        })(input)?;
        let response = Self {
            error,
            generation,
            consumer_id,
            assigned_partitions,
        };
        Ok((input, response))
    }
}
