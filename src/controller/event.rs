//! Everything that can happen to a controller.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::controller::state::Broker;
use crate::types::BrokerId;
use crate::types::TopicPartition;
use crate::zookeeper::PartitionState;
use crate::zookeeper::Reassignments;
use crate::zookeeper::Versioned;

/// What a watch has seen, somebody asked for, or a broker answered.
#[derive(Debug)]
pub(crate) enum Event {
    /// Brokers came or went: those that are there, and those that are there with a node that can't be read.
    BrokersChanged(BTreeMap<BrokerId, Broker>, Vec<BrokerId>),
    /// Topics came or went.
    TopicsChanged(BTreeSet<Arc<str>>),
    /// A topic's partitions or replicas are these now; none if its node is gone.
    AssignmentChanged(Arc<str>, Option<BTreeMap<i32, Vec<BrokerId>>>),
    /// The leader of a partition that is on the way to other replicas has changed its ISR.
    LeadershipChanged(TopicPartition, Versioned<PartitionState>),
    /// Partitions shall have these replicas.
    ReassignmentsWanted(Reassignments),
    /// Partitions shall be led by their first replica.
    PreferredElectionsWanted(BTreeSet<TopicPartition>),
    /// Topics shall be deleted.
    DeletionsWanted(BTreeSet<String>),
    /// A broker was told to delete replicas: what became of each.
    ReplicasDeleted(BrokerId, Vec<(TopicPartition, bool)>),
    /// A broker is about to stop and asks to be relieved.
    ControlledShutdown(BrokerId, oneshot::Sender<Option<Vec<TopicPartition>>>),
    /// Another broker is controller now, or the session is over.
    Resigned,
}
