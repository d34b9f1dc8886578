//! Everything that can happen to a controller.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::controller::state::Broker;
use crate::types::BrokerId;
use crate::types::TopicPartition;

/// What a watch has seen, or somebody asked for.
#[derive(Debug)]
pub(crate) enum Event {
    /// Brokers came or went: those that are there, and those that are there with a node that can't be read.
    BrokersChanged(BTreeMap<BrokerId, Broker>, Vec<BrokerId>),
    /// Topics came or went.
    TopicsChanged(BTreeSet<Arc<str>>),
    /// A topic's partitions or replicas are these now; none if its node is gone.
    AssignmentChanged(Arc<str>, Option<BTreeMap<i32, Vec<BrokerId>>>),
    /// A broker is about to stop and asks to be relieved.
    ControlledShutdown(BrokerId, oneshot::Sender<Option<Vec<TopicPartition>>>),
    /// Another broker is controller now, or the session is over.
    Resigned,
}
