//! Decisions: the cluster's state in, a plan out. No network, no clock. A plan that lost a race is made again from the
//! state as it is then, so whatever was carried out already must not be in it a second time.

mod broker_change;
mod controlled_shutdown;
mod election;
mod new_partitions;
mod preferred;
mod reassignment;
mod topic_deletion;

pub(crate) use broker_change::broker_change;
pub(crate) use broker_change::followers_gone;
pub(crate) use broker_change::orphans;
pub(crate) use broker_change::overdue;
pub(crate) use broker_change::returned;
pub(crate) use broker_change::taking_over;
pub(crate) use controlled_shutdown::controlled_shutdown;
pub(crate) use controlled_shutdown::still_led;
pub(crate) use election::needs_unclean;
pub(crate) use new_partitions::new_partitions;
pub(crate) use preferred::imbalanced;
pub(crate) use preferred::preferred;
pub(crate) use reassignment::reassignments;
pub(crate) use reassignment::under_way;
pub(crate) use topic_deletion::Step;
pub(crate) use topic_deletion::topic_deletion;

use crate::controller::state::Leadership;
use crate::types::BrokerId;
use crate::types::TopicPartition;
use crate::zookeeper::Reassignments;

/// What is to be written to ZooKeeper and then told to brokers, in the order of these fields. What belongs to a partition
/// whose decision lost a race is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Replicas to be assigned before anything else happens to the partition.
    pub(crate) assign: Vec<(TopicPartition, Vec<BrokerId>)>,
    /// Replicas that must stop copying before they are taken from the ISR, or they would get back into it.
    pub(crate) stop_first: Vec<Stop>,
    /// Leaderships to be written, and told to the replicas and in everybody's metadata.
    pub(crate) decisions: Vec<Decision>,
    /// Reassignments to be marked as begun or switched once their decision is written.
    pub(crate) marks: Vec<(TopicPartition, Mark)>,
    /// Replicas to be assigned now that their leader leads: told first, written last, so that a controller that finds the
    /// old ones knows that this is unfinished.
    pub(crate) settle: Vec<(TopicPartition, Vec<BrokerId>)>,
    /// Brokers that know nothing yet: they get all metadata and all their roles.
    pub(crate) newcomers: Vec<BrokerId>,
    /// Whether everybody gets the list of live brokers even if no partition changed.
    pub(crate) brokers_changed: bool,
    /// Replicas that are no longer needed.
    pub(crate) stop: Vec<Stop>,
    /// Wishes for other replicas that are fulfilled or refused.
    pub(crate) fulfilled: Reassignments,
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
    /// Whether the leader is none of the replicas in sync.
    pub(crate) unclean: bool,
}

/// A replica that is to be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Where.
    pub(crate) broker: BrokerId,
    /// Of which partition.
    pub(crate) partition: TopicPartition,
    /// Whether what it has stored goes, too.
    pub(crate) delete: bool,
}

/// A step of a reassignment that this term need not take again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Old and new replicas know of each other.
    Begun,
    /// One of the new ones leads.
    Switched,
}

impl Decision {
    /// Another leadership for a partition that has one.
    pub(crate) fn update(partition: &TopicPartition, leadership: Leadership) -> Self {
        Self {
            partition: partition.clone(),
            leadership,
            create: false,
            unclean: false,
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::collections::BTreeMap;
    use std::collections::BTreeSet;

    use super::*;
    use crate::controller::state::Broker;
    use crate::controller::state::ClusterState;
    use crate::types::Endpoint;

    pub(crate) fn ids(ids: &[i32]) -> Vec<BrokerId> {
        ids.iter().copied().map(BrokerId).collect()
    }

    pub(crate) fn set(ids: &[i32]) -> BTreeSet<BrokerId> {
        ids.iter().copied().map(BrokerId).collect()
    }

    /// A cluster of these brokers, without topics, with unclean elections, in its third controller epoch.
    pub(crate) fn cluster(live: &[i32]) -> ClusterState {
        ClusterState {
            controller_epoch: 3,
            unclean_election: true,
            brokers: brokers(live),
            ..ClusterState::default()
        }
    }

    pub(crate) fn brokers(live: &[i32]) -> BTreeMap<BrokerId, Broker> {
        live.iter().map(|id| (BrokerId(*id), broker(*id, "1"))).collect()
    }

    pub(crate) fn broker(id: i32, incarnation: &str) -> Broker {
        let endpoint = Endpoint {
            id: BrokerId(id),
            host: "h".into(),
            port: 9092,
        };
        Broker {
            endpoint,
            incarnation: incarnation.into(),
        }
    }

    pub(crate) fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("t", number)
    }

    /// A leadership at leader epoch 2 that the first controller decided, at version 4 of its node; -1 is no leader.
    pub(crate) fn led_by(leader: i32, isr: &[i32]) -> Leadership {
        Leadership {
            leader: (leader >= 0).then_some(BrokerId(leader)),
            leader_epoch: 2,
            isr: ids(isr),
            controller_epoch: 1,
            zk_version: 4,
        }
    }

    /// What the third controller makes of that.
    pub(crate) fn decided(leader: i32, isr: &[i32]) -> Leadership {
        Leadership {
            leader_epoch: 3,
            controller_epoch: 3,
            ..led_by(leader, isr)
        }
    }

    /// Who shall lead, in the order of the decisions.
    pub(crate) fn leaders(plan: &Plan) -> Vec<BrokerId> {
        let decisions = plan.decisions.iter();
        decisions
            .filter_map(|decision| decision.leadership.leader)
            .collect()
    }

    impl ClusterState {
        /// Adds a partition with its replicas and leadership.
        pub(crate) fn with(mut self, number: i32, replicas: &[i32], leadership: Option<Leadership>) -> Self {
            self.assignments.insert(partition(number), ids(replicas));
            if let Some(leadership) = leadership {
                self.leaderships.insert(partition(number), leadership);
            }
            self
        }
    }
}
