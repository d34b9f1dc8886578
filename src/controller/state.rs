//! The cluster as the controller sees it. Only the controller's loop changes it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::controller::ElectionPolicy;
use crate::types::BrokerId;
use crate::types::Endpoint;
use crate::types::TopicPartition;
use crate::zookeeper::Assignment;

/// Brokers, assignments, leaderships, and what is under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterState {
    /// Epoch of this controller: at least 1 once it is elected.
    pub(crate) controller_epoch: i32,
    /// Whether a replica outside the ISR may lead when nobody else is left.
    pub(crate) unclean_election: bool,
    /// What topics say about that themselves, as far as it was looked up.
    pub(crate) unclean_overrides: BTreeMap<Arc<str>, bool>,
    /// Which of several replicas leads.
    pub(crate) policy: ElectionPolicy,
    /// Partitions that are on the way to other replicas at the same time; `None` is all of them.
    pub(crate) reassignments_max: Option<usize>,
    /// Registered brokers.
    pub(crate) brokers: BTreeMap<BrokerId, Broker>,
    /// Registered brokers that are about to stop: they get no leadership.
    pub(crate) stopping: BTreeSet<BrokerId>,
    /// Replicas of each partition, the preferred leader first.
    pub(crate) assignments: BTreeMap<TopicPartition, Vec<BrokerId>>,
    /// Who leads, as last read from or written to ZooKeeper.
    pub(crate) leaderships: BTreeMap<TopicPartition, Leadership>,
    /// Partitions whose leadership was found where none was expected, or whose leader has come after this controller: it
    /// is to be confirmed under this epoch.
    pub(crate) unconfirmed: BTreeSet<TopicPartition>,
    /// Partitions whose node can't be read, or is another controller's: they are left alone.
    pub(crate) unreadable: BTreeSet<TopicPartition>,
    /// Partitions that are to get other replicas.
    pub(crate) reassignments: BTreeMap<TopicPartition, Reassignment>,
    /// Topics on the way out.
    pub(crate) deletions: BTreeMap<Arc<str>, Deletion>,
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

/// How far a partition is on the way to other replicas. What is not here is read off the assignment and the ISR, so
/// that the next controller can go on from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reassignment {
    /// The replicas asked for.
    pub(crate) target: Vec<BrokerId>,
    /// Whether all of them were there when this controller heard of it. Where one is not any more it waits for it.
    pub(crate) possible: bool,
    /// Whether old and new replicas were told of each other in this term.
    pub(crate) begun: bool,
    /// Whether one of the new replicas was made leader, or confirmed, in this term.
    pub(crate) switched: bool,
}

/// How far a topic is on the way out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Deletion {
    /// Whether brokers were told to forget it.
    pub(crate) announced: bool,
    /// Replicas whose brokers were told to delete them and have not answered.
    pub(crate) asked: BTreeSet<(BrokerId, i32)>,
    /// Replicas that could not be deleted; they are tried again after a while.
    pub(crate) failed: BTreeSet<(BrokerId, i32)>,
    /// Replicas that are gone.
    pub(crate) gone: BTreeSet<(BrokerId, i32)>,
}

impl ClusterState {
    /// Whether a broker is registered.
    pub(crate) fn is_live(&self, broker: BrokerId) -> bool {
        self.brokers.contains_key(&broker)
    }

    /// Whether a broker may get a leadership: registered, and not about to stop.
    pub(crate) fn is_eligible(&self, broker: BrokerId) -> bool {
        self.is_live(broker) && !self.stopping.contains(&broker)
    }

    /// Whether a replica of this topic that is not in sync may lead.
    pub(crate) fn unclean_allowed(&self, topic: &str) -> bool {
        self.unclean_overrides
            .get(topic)
            .copied()
            .unwrap_or(self.unclean_election)
    }

    /// Whether decisions may be taken about a partition.
    pub(crate) fn is_decidable(&self, partition: &TopicPartition) -> bool {
        !self.unreadable.contains(partition) && !self.deletions.contains_key(&partition.topic)
    }

    /// Adds the partitions that are not known yet: other replicas of known ones are the business of a reassignment.
    pub(crate) fn add(&mut self, topic: &Arc<str>, assignment: Assignment) {
        for (partition, replicas) in assignment {
            let partition = TopicPartition::new(Arc::clone(topic), partition);
            self.assignments.entry(partition).or_insert(replicas);
        }
    }

    /// The partitions of one topic with their replicas.
    pub(crate) fn assigned(
        &self,
        topic: &Arc<str>,
    ) -> impl Iterator<Item = (&TopicPartition, &Vec<BrokerId>)> {
        let first = TopicPartition::new(Arc::clone(topic), i32::MIN);
        let last = TopicPartition::new(Arc::clone(topic), i32::MAX);
        self.assignments.range(first..=last)
    }

    /// Topics that have at least one partition assigned.
    pub(crate) fn topics(&self) -> BTreeSet<Arc<str>> {
        let mut topics: Vec<Arc<str>> = Vec::new();
        for partition in self.assignments.keys() {
            // They are in the order of their topics.
            if topics.last() != Some(&partition.topic) {
                topics.push(Arc::clone(&partition.topic));
            }
        }
        topics.into_iter().collect()
    }

    /// Partitions that have one of these brokers among their replicas, and a leadership.
    pub(crate) fn hosted_by<'a>(
        &'a self,
        brokers: &'a BTreeSet<BrokerId>,
    ) -> impl Iterator<Item = &'a TopicPartition> {
        self.assignments
            .iter()
            .filter(|(_, replicas)| replicas.iter().any(|id| brokers.contains(id)))
            .map(|(partition, _)| partition)
            .filter(|partition| self.leaderships.contains_key(*partition))
    }

    /// Forgets a topic that is gone from ZooKeeper.
    pub(crate) fn forget_topic(&mut self, topic: &Arc<str>) {
        let gone: Vec<_> = self.assigned(topic).map(|(name, _)| name.clone()).collect();
        for partition in gone {
            self.assignments.remove(&partition);
            self.leaderships.remove(&partition);
            self.unconfirmed.remove(&partition);
            self.unreadable.remove(&partition);
        }
        self.unclean_overrides.remove(topic);
        self.deletions.remove(topic);
    }

    /// Partitions that have a leader on no live broker.
    pub(crate) fn offline_partitions(&self) -> usize {
        let offline = |(partition, leadership): &(&TopicPartition, &Leadership)| {
            !leadership.leader.is_some_and(|leader| self.is_live(leader))
                && !self.deletions.contains_key(&partition.topic)
        };
        self.leaderships.iter().filter(offline).count()
    }

    /// Partitions that are not led by their first replica.
    pub(crate) fn preferred_replica_imbalance(&self) -> usize {
        let elsewhere = |(partition, replicas): &(&TopicPartition, &Vec<BrokerId>)| {
            !self.deletions.contains_key(&partition.topic)
                && self
                    .leaderships
                    .get(*partition)
                    .is_some_and(|leadership| leadership.leader.as_ref() != replicas.first())
        };
        self.assignments.iter().filter(elsewhere).count()
    }
}
