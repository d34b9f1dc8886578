//! The cluster as the controller sees it. Only the controller's loop changes it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::types::BrokerId;
use crate::types::Endpoint;
use crate::types::TopicPartition;

/// Brokers, assignments, leaderships.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterState {
    /// Epoch of this controller: at least 1 once it is elected.
    pub(crate) controller_epoch: i32,
    /// Whether a replica outside the ISR may lead when nobody else is left.
    pub(crate) unclean_election: bool,
    /// Registered brokers.
    pub(crate) brokers: BTreeMap<BrokerId, Broker>,
    /// Replicas of each partition, the preferred leader first.
    pub(crate) assignments: BTreeMap<TopicPartition, Vec<BrokerId>>,
    /// Who leads, as last read from or written to ZooKeeper.
    pub(crate) leaderships: BTreeMap<TopicPartition, Leadership>,
}

/// One registered broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broker {
    /// Where it is reached.
    pub(crate) endpoint: Endpoint,
    /// When it registered; tells a broker that came back from one that never went.
    pub(crate) incarnation: String,
}

/// Who leads a partition, and who keeps up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leadership {
    /// The leader, if there is one.
    pub(crate) leader: Option<BrokerId>,
    /// 0 at creation, one more with every decision of a controller.
    pub(crate) leader_epoch: i32,
    /// Replicas in sync, in a stable order: the reference compares it as a list.
    pub(crate) isr: Vec<BrokerId>,
    /// Epoch of the controller that decided.
    pub(crate) controller_epoch: i32,
    /// Version of the node, for the next conditional write.
    pub(crate) zk_version: i32,
}

impl ClusterState {
    /// Ids of the registered brokers.
    pub(crate) fn live(&self) -> BTreeSet<BrokerId> {
        self.brokers.keys().copied().collect()
    }

    /// Topics that have at least one partition assigned.
    pub(crate) fn topics(&self) -> BTreeSet<Arc<str>> {
        self.assignments
            .keys()
            .map(|partition| Arc::clone(&partition.topic))
            .collect()
    }

    /// Forgets a topic that is gone from ZooKeeper.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.assignments.retain(|partition, _| &*partition.topic != topic);
        self.leaderships.retain(|partition, _| &*partition.topic != topic);
    }

    /// Partitions that have a leader on no live broker.
    pub(crate) fn offline_partitions(&self) -> usize {
        let offline = |leadership: &&Leadership| {
            !leadership
                .leader
                .is_some_and(|leader| self.brokers.contains_key(&leader))
        };
        self.leaderships.values().filter(offline).count()
    }

    /// Partitions that are not led by their first replica.
    pub(crate) fn preferred_replica_imbalance(&self) -> usize {
        let elsewhere = |(partition, replicas): &(&TopicPartition, &Vec<BrokerId>)| {
            self.leaderships
                .get(*partition)
                .is_some_and(|leadership| leadership.leader.as_ref() != replicas.first())
        };
        self.assignments.iter().filter(elsewhere).count()
    }
}
