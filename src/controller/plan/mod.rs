//! Decisions: cluster state and event in, plan out. No network, no clock.

mod broker_change;
mod election;
mod new_partitions;

pub(crate) use broker_change::broker_change;
pub(crate) use new_partitions::new_partitions;

use crate::controller::state::Leadership;
use crate::types::BrokerId;
use crate::types::TopicPartition;

/// What is to be written to ZooKeeper and then told to brokers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Leaderships to be written, and told to the replicas and in everybody's metadata.
    pub(crate) decisions: Vec<Decision>,
    /// Brokers that know nothing yet: they get all metadata and all their roles.
    pub(crate) newcomers: Vec<BrokerId>,
    /// Whether everybody gets the list of live brokers even if no partition changed.
    pub(crate) brokers_changed: bool,
}

/// One leadership to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The partition.
    pub(crate) partition: TopicPartition,
    /// Its new leadership; `zk_version` is that of the node it replaces.
    pub(crate) leadership: Leadership,
    /// Whether the node is still to be created.
    pub(crate) create: bool,
}
