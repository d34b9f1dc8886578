//! Controller to broker: lead this, follow that.

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
use crate::protocol::codec::keep_last;
use crate::protocol::codec::put_array;
use crate::protocol::codec::put_broker_ids;
use crate::protocol::codec::put_endpoint;
use crate::protocol::codec::put_error;
use crate::protocol::codec::put_topic_partition;
use crate::protocol::codec::topic_partition;
use crate::types::BrokerId;
use crate::types::Endpoint;

/// Who leads a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leader {
    /// This broker.
    Broker(BrokerId),
    /// Nobody.
    None,
    /// Nobody ever again: the topic is being deleted.
    Deleted,
}

impl Leader {
    fn from_wire(id: i32) -> Self {
        match id {
            -1 => Self::None,
            -2 => Self::Deleted,
            _ => Self::Broker(BrokerId(id)),
        }
    }

    fn to_wire(self) -> i32 {
        match self {
            Self::Broker(id) => id.0,
            Self::None => -1,
            Self::Deleted => -2,
        }
    }

    /// The broker that leads, if one does.
    pub fn broker(self) -> Option<BrokerId> {
        match self {
            Self::Broker(id) => Some(id),
            Self::None | Self::Deleted => None,
        }
    }
}

/// A decision of a controller about one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// The epoch of the controller that decided.
    pub controller_epoch: i32,
    /// Who leads.
    pub leader: Leader,
    /// Grows with every decision.
    pub leader_epoch: i32,
    /// The replicas that are in sync.
    pub isr: Vec<BrokerId>,
    /// The version of the partition's node in ZooKeeper.
    pub zk_version: i32,
    /// All assigned replicas.
    pub replicas: Vec<BrokerId>,
}

impl PartitionState {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, controller_epoch) = be_i32(input)?;
        let (input, leader) = be_i32(input)?;
        let (input, leader_epoch) = be_i32(input)?;
        let (input, isr) = array(broker_id)(input)?;
        let (input, zk_version) = be_i32(input)?;
        let (input, replicas) = array(broker_id)(input)?;
        let state = Self {
            controller_epoch,
            leader: Leader::from_wire(leader),
            leader_epoch,
            isr,
            zk_version,
            replicas,
        };
        Ok((input, state))
    }

    fn put(&self, buf: &mut BytesMut) {
        buf.put_i32(self.controller_epoch);
        buf.put_i32(self.leader.to_wire());
        buf.put_i32(self.leader_epoch);
        put_broker_ids(buf, &self.isr);
        buf.put_i32(self.zk_version);
        put_broker_ids(buf, &self.replicas);
    }
}

/// The states of partitions, each named once; what was said last counts.
pub(super) fn partition_states(input: &[u8]) -> Parsed<'_, Vec<(String, i32, PartitionState)>> {
    let (input, states) = array(|input| {
        let (input, (topic, partition)) = topic_partition(input)?;
        let (input, state) = PartitionState::parse(input)?;
        Ok((input, (topic, partition, state)))
    })(input)?;
    let mut states: Vec<(String, i32, PartitionState)> = states;
    let keys = states
        .iter()
        .map(|(topic, partition, _)| (topic.clone(), *partition))
        .collect();
    keep_last(&mut states, keys);
    Ok((input, states))
}

pub(super) fn put_partition_states(buf: &mut BytesMut, states: &[(String, i32, PartitionState)]) {
    put_array(buf, states, |buf, (topic, partition, state)| {
        put_topic_partition(buf, topic, *partition);
        state.put(buf);
    });
}

/// Tells a broker what to lead and whom to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderAndIsrRequest {
    /// The controller.
    pub controller_id: BrokerId,
    /// Its epoch.
    pub controller_epoch: i32,
    /// Topic, partition and what was decided about it. Each partition appears once.
    pub partitions: Vec<(String, i32, PartitionState)>,
    /// Where the leaders that are alive are reached.
    pub live_leaders: Vec<Endpoint>,
}

impl LeaderAndIsrRequest {
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, controller_id) = broker_id(input)?;
        let (input, controller_epoch) = be_i32(input)?;
        let (input, partitions) = partition_states(input)?;
        let (input, live_leaders) = array(endpoint)(input)?;
        let request = Self {
            controller_id,
            controller_epoch,
            partitions,
            live_leaders,
        };
        Ok((input, request))
    }
}

impl Api for LeaderAndIsrRequest {
    const KEY: ApiKey = ApiKey::LeaderAndIsr;
    type Response = LeaderAndIsrResponse;

    fn encode_body(&self, buf: &mut BytesMut) {
        buf.put_i32(self.controller_id.0);
        buf.put_i32(self.controller_epoch);
        put_partition_states(buf, &self.partitions);
        put_array(buf, &self.live_leaders, put_endpoint);
    }
}

/// Whether the broker did as it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderAndIsrResponse {
    /// About the request as a whole.
    pub error: ErrorCode,
    /// Topic, partition, error.
    pub partitions: Vec<(String, i32, ErrorCode)>,
}

impl LeaderAndIsrResponse {
    pub(super) fn put(&self, buf: &mut BytesMut) {
        put_error(buf, self.error);
        put_partition_errors(buf, &self.partitions);
    }
}

impl ParseResponse for LeaderAndIsrResponse {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (input, error) = error_code(input)?;
        let (input, partitions) = array(partition_error)(input)?;
        Ok((input, Self { error, partitions }))
    }
}

pub(super) fn partition_error(input: &[u8]) -> Parsed<'_, (String, i32, ErrorCode)> {
    let (input, (topic, partition)) = topic_partition(input)?;
    let (input, error) = error_code(input)?;
    Ok((input, (topic, partition, error)))
}

pub(super) fn put_partition_errors(buf: &mut BytesMut, partitions: &[(String, i32, ErrorCode)]) {
    put_array(buf, partitions, |buf, (topic, partition, error)| {
        put_topic_partition(buf, topic, *partition);
        put_error(buf, *error);
    });
}
