//! What the controller last told us, which is what clients are told.
//!
//! Filled by `UpdateMetadata` requests only, never from ZooKeeper: a broker that no controller has spoken to knows nobody.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use crate::protocol::ErrorCode;
use crate::protocol::leader_and_isr::Leader;
use crate::protocol::leader_and_isr::PartitionState;
use crate::protocol::metadata::PartitionMetadata;
use crate::protocol::metadata::TopicMetadata;
use crate::protocol::update_metadata::UpdateMetadataRequest;
use crate::types::BrokerId;
use crate::types::Endpoint;

/// Live brokers, and the state of every partition.
#[derive(Debug, Default)]
pub(crate) struct MetadataCache(RwLock<Cluster>);

#[derive(Debug, Default)]
struct Cluster {
    brokers: BTreeMap<BrokerId, Endpoint>,
    topics: HashMap<Arc<str>, BTreeMap<i32, PartitionState>>,
}

impl MetadataCache {
    /// Takes over what a controller says: its list of brokers replaces ours, its partitions are merged in.
    pub(crate) fn update(&self, order: UpdateMetadataRequest) {
        let mut cluster = self.0.write().unwrap_or_else(PoisonError::into_inner);
        cluster.brokers = order
            .alive_brokers
            .into_iter()
            .map(|broker| (broker.id, broker))
            .collect();
        for (topic, partition, state) in order.partitions {
            if state.leader == Leader::Deleted {
                cluster.remove(&topic, partition);
            } else {
                cluster
                    .topics
                    .entry(Arc::from(topic))
                    .or_default()
                    .insert(partition, state);
            }
        }
    }

    /// The live brokers.
    pub(crate) fn brokers(&self) -> Vec<Endpoint> {
        self.read(|cluster| cluster.brokers.values().cloned().collect())
    }

    /// Every topic.
    pub(crate) fn topics(&self) -> Vec<TopicMetadata> {
        self.read(|cluster| {
            cluster
                .topics
                .keys()
                .filter_map(|topic| cluster.topic(topic))
                .collect()
        })
    }

    /// One topic, if it is known.
    pub(crate) fn topic(&self, topic: &str) -> Option<TopicMetadata> {
        self.read(|cluster| cluster.topic(topic))
    }

    /// The topics and how many partitions each has.
    pub(crate) fn partition_counts(&self) -> Vec<(Arc<str>, usize)> {
        self.read(|cluster| {
            let topics = cluster.topics.iter();
            topics
                .map(|(topic, partitions)| (Arc::clone(topic), partitions.len()))
                .collect()
        })
    }

    /// Looks at the state of every partition. No orders of the controller are taken meanwhile.
    pub(crate) fn for_each_partition(&self, mut look: impl FnMut(&str, i32, &PartitionState)) {
        self.read(|cluster| {
            for (topic, partitions) in &cluster.topics {
                for (number, state) in partitions {
                    look(topic, *number, state);
                }
            }
        });
    }

    /// Whether the topic is known.
    pub(crate) fn has_topic(&self, topic: &str) -> bool {
        self.read(|cluster| cluster.topics.contains_key(topic))
    }

    /// Whether the partition is known.
    pub(crate) fn has_partition(&self, topic: &str, partition: i32) -> bool {
        self.read(|cluster| {
            cluster
                .topics
                .get(topic)
                .is_some_and(|partitions| partitions.contains_key(&partition))
        })
    }

    /// The live leader of a partition.
    pub(crate) fn leader(&self, topic: &str, partition: i32) -> Option<Endpoint> {
        self.read(|cluster| {
            let Leader::Broker(leader) = cluster.topics.get(topic)?.get(&partition)?.leader else {
                return None;
            };
            cluster.brokers.get(&leader).cloned()
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Cluster) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Cluster {
    fn remove(&mut self, topic: &str, partition: i32) {
        if let Some(partitions) = self.topics.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    fn topic(&self, topic: &str) -> Option<TopicMetadata> {
        let partitions = self
            .topics
            .get(topic)?
            .iter()
            .map(|(number, state)| self.partition(*number, state));
        Some(TopicMetadata {
            error: ErrorCode::None,
            topic: Some(topic.to_owned()),
            partitions: partitions.collect(),
        })
    }

    /// Clients are shown live brokers only: the Scala client fails on an id that the answer has no address for.
    fn partition(&self, number: i32, state: &PartitionState) -> PartitionMetadata {
        let alive = |id: &&BrokerId| self.brokers.contains_key(*id);
        let replicas: Vec<_> = state.replicas.iter().filter(alive).copied().collect();
        let isr: Vec<_> = state.isr.iter().filter(alive).copied().collect();
        match state.leader {
            Leader::Broker(leader) if self.brokers.contains_key(&leader) => {
                let all_alive = replicas.len() == state.replicas.len() && isr.len() == state.isr.len();
                let error = if all_alive {
                    ErrorCode::None
                } else {
                    ErrorCode::ReplicaNotAvailable
                };
                PartitionMetadata {
                    error,
                    partition: number,
                    leader: Some(leader),
                    replicas,
                    isr,
                }
            }
            Leader::Broker(_) | Leader::None | Leader::Deleted => PartitionMetadata {
                error: ErrorCode::LeaderNotAvailable,
                partition: number,
                leader: None,
                replicas,
                isr: Vec::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(partitions: &[(i32, Leader)], alive: &[i32]) -> UpdateMetadataRequest {
        let state = |leader: Leader| PartitionState {
            controller_epoch: 1,
            leader,
            leader_epoch: 0,
            isr: vec![BrokerId(1), BrokerId(2)],
            zk_version: 0,
            replicas: vec![BrokerId(1), BrokerId(2)],
        };
        UpdateMetadataRequest {
            controller_id: BrokerId(1),
            controller_epoch: 1,
            partitions: partitions
                .iter()
                .map(|(number, leader)| ("t".into(), *number, state(*leader)))
                .collect(),
            alive_brokers: alive
                .iter()
                .map(|id| Endpoint {
                    id: BrokerId(*id),
                    host: "h".into(),
                    port: 9092,
                })
                .collect(),
        }
    }

    #[test]
    fn only_live_brokers_are_shown() {
        let cache = MetadataCache::default();
        cache.update(order(&[(0, Leader::Broker(BrokerId(1)))], &[1, 2]));
        assert_eq!(cache.topic("t").unwrap().partitions[0].error, ErrorCode::None);

        cache.update(order(&[], &[1]));
        let partition = cache.topic("t").unwrap().partitions[0].clone();
        assert_eq!(partition.error, ErrorCode::ReplicaNotAvailable);
        assert_eq!(partition.leader, Some(BrokerId(1)));
        assert_eq!(partition.isr, [BrokerId(1)]);

        cache.update(order(&[], &[2]));
        let partition = cache.topic("t").unwrap().partitions[0].clone();
        assert_eq!(partition.error, ErrorCode::LeaderNotAvailable);
        assert_eq!(
            (partition.leader, partition.replicas, partition.isr.len()),
            (None, vec![BrokerId(2)], 0)
        );
        assert_eq!(cache.leader("t", 0), None);
    }

    #[test]
    fn a_topic_goes_with_its_last_partition() {
        let cache = MetadataCache::default();
        let leader = Leader::Broker(BrokerId(1));
        cache.update(order(&[(0, leader), (1, leader)], &[1]));
        cache.update(order(&[(0, Leader::Deleted)], &[1]));
        assert!(cache.has_topic("t") && !cache.has_partition("t", 0) && cache.has_partition("t", 1));
        cache.update(order(&[(1, Leader::Deleted)], &[1]));
        assert!(!cache.has_topic("t"));
        assert_eq!(cache.brokers().len(), 1);
    }
}
