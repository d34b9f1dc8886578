//! Grouping what changed into one request per broker.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;

use tokio::sync::mpsc;

use crate::controller::channel::Calls;
use crate::controller::channel::Channel;
use crate::controller::channel::Order;
use crate::controller::event::Event;
use crate::controller::plan::Stop;
use crate::controller::state::ClusterState;
use crate::protocol::leader_and_isr::Leader;
use crate::protocol::leader_and_isr::LeaderAndIsrRequest;
use crate::protocol::leader_and_isr::PartitionState;
use crate::protocol::stop_replica::StopReplicaRequest;
use crate::protocol::update_metadata::UpdateMetadataRequest;
use crate::types::BrokerId;
use crate::types::Endpoint;
use crate::types::TopicPartition;

/// The channels to all registered brokers.
#[derive(Debug)]
pub(crate) struct Channels {
    me: BrokerId,
    /// Where this process listens: its own broker is reached even where its advertised address is not.
    own_address: SocketAddr,
    config: Calls,
    events: mpsc::Sender<Event>,
    channels: BTreeMap<BrokerId, (Endpoint, String, Channel)>,
}

impl Channels {
    /// No channel yet.
    pub(crate) fn new(
        me: BrokerId,
        own_address: SocketAddr,
        config: Calls,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            me,
            own_address,
            config,
            events,
            channels: BTreeMap::new(),
        }
    }

    /// Opens channels to brokers that came, closes those of brokers that went or came back anew.
    pub(crate) fn follow(&mut self, state: &ClusterState) {
        self.channels.retain(|id, (endpoint, incarnation, _)| {
            state
                .brokers
                .get(id)
                .is_some_and(|broker| broker.endpoint == *endpoint && broker.incarnation == *incarnation)
        });
        for (id, broker) in &state.brokers {
            self.channels.entry(*id).or_insert_with(|| {
                let mut reached_at = broker.endpoint.clone();
                if *id == self.me {
                    reached_at.host = self.own_address.ip().to_string();
                    reached_at.port = i32::from(self.own_address.port());
                }
                let channel = Channel::start(reached_at, self.config.clone(), self.events.clone());
                (broker.endpoint.clone(), broker.incarnation.clone(), channel)
            });
        }
    }

    /// All metadata to brokers that know nothing yet.
    pub(crate) fn send_all_metadata(&self, state: &ClusterState, to: &[BrokerId]) {
        let all: Vec<_> = state.leaderships.keys().collect();
        self.send_metadata(state, &all, to);
    }

    /// Metadata of these partitions, and the list of live brokers, to these brokers. Of partitions that are being deleted
    /// they are told to forget everything.
    pub(crate) fn send_metadata(
        &self,
        state: &ClusterState,
        partitions: &[&TopicPartition],
        to: &[BrokerId],
    ) {
        let request = UpdateMetadataRequest {
            controller_id: self.me,
            controller_epoch: state.controller_epoch,
            partitions: partitions
                .iter()
                .filter_map(|partition| named_state(state, partition))
                .collect(),
            alive_brokers: state
                .brokers
                .values()
                .map(|broker| broker.endpoint.clone())
                .collect(),
        };
        for (_, _, channel) in to.iter().filter_map(|id| self.channels.get(id)) {
            channel.send(Order::UpdateMetadata(request.clone()));
        }
    }

    /// The roles in these partitions, to each of these brokers those that concern it.
    pub(crate) fn send_roles(&self, state: &ClusterState, partitions: &[&TopicPartition], to: &[BrokerId]) {
        for id in to {
            let Some((_, _, channel)) = self.channels.get(id) else {
                continue;
            };
            if let Some(request) = roles_of(*id, self.me, state, partitions) {
                channel.send(Order::LeaderAndIsr(request));
            }
        }
    }

    /// Tells brokers to stop replicas: one request per broker, and another one for what is to be deleted.
    pub(crate) fn send_stops<'a>(&self, controller_epoch: i32, stops: impl Iterator<Item = &'a Stop>) {
        let mut requests: BTreeMap<(bool, BrokerId), Vec<(String, i32)>> = BTreeMap::new();
        for stop in stops {
            let name = (stop.partition.topic.to_string(), stop.partition.partition);
            requests.entry((stop.delete, stop.broker)).or_default().push(name);
        }
        for ((delete, broker), partitions) in requests {
            if let Some((_, _, channel)) = self.channels.get(&broker) {
                channel.send(Order::StopReplica(StopReplicaRequest {
                    controller_id: self.me,
                    controller_epoch,
                    delete,
                    partitions,
                }));
            }
        }
    }
}

/// One request with the roles of one broker, or none if it has no part in these partitions.
fn roles_of(
    broker: BrokerId,
    me: BrokerId,
    state: &ClusterState,
    partitions: &[&TopicPartition],
) -> Option<LeaderAndIsrRequest> {
    let assigned = |partition: &&&TopicPartition| {
        state
            .assignments
            .get(**partition)
            .is_some_and(|replicas| replicas.contains(&broker))
            && !state.deletions.contains_key(&partition.topic)
    };
    let partitions: Vec<_> = partitions
        .iter()
        .filter(assigned)
        .filter_map(|partition| named_state(state, partition))
        .collect();
    if partitions.is_empty() {
        return None;
    }
    let leaders: BTreeSet<_> = partitions
        .iter()
        .filter_map(|(_, _, state)| state.leader.broker())
        .collect();
    let live_leaders = leaders
        .iter()
        .filter_map(|id| state.brokers.get(id))
        .map(|broker| broker.endpoint.clone());
    Some(LeaderAndIsrRequest {
        controller_id: me,
        controller_epoch: state.controller_epoch,
        live_leaders: live_leaders.collect(),
        partitions,
    })
}

fn named_state(state: &ClusterState, partition: &TopicPartition) -> Option<(String, i32, PartitionState)> {
    let leadership = state.leaderships.get(partition)?;
    let replicas = state.assignments.get(partition)?;
    let mut told = PartitionState {
        controller_epoch: leadership.controller_epoch,
        leader: leadership.leader.map_or(Leader::None, Leader::Broker),
        leader_epoch: leadership.leader_epoch,
        isr: leadership.isr.clone(),
        zk_version: leadership.zk_version,
        replicas: replicas.clone(),
    };
    if state.deletions.contains_key(&partition.topic) {
        // As 0.8.2.2 does (ControllerBrokerRequestBatch.addUpdateMetadataRequestForBrokers).
        told.leader = Leader::Deleted;
        told.leader_epoch = 0;
        told.zk_version = 0;
    }
    Some((partition.topic.to_string(), partition.partition, told))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::state::Broker;
    use crate::controller::state::Leadership;

    #[test]
    fn a_broker_is_told_its_own_roles_and_their_live_leaders() {
        let endpoint = |id: i32| Endpoint {
            id: BrokerId(id),
            host: format!("b{id}"),
            port: 9092,
        };
        let broker = |id: i32| {
            (
                BrokerId(id),
                Broker {
                    endpoint: endpoint(id),
                    incarnation: String::new(),
                },
            )
        };
        let mut state = ClusterState {
            controller_epoch: 5,
            brokers: [broker(1), broker(2)].into(),
            ..ClusterState::default()
        };
        let (shared, other) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
        for (partition, replicas) in [
            (&shared, vec![BrokerId(2), BrokerId(1)]),
            (&other, vec![BrokerId(2)]),
        ] {
            let leadership = Leadership {
                leader: Some(BrokerId(2)),
                leader_epoch: 1,
                isr: replicas.clone(),
                controller_epoch: 4,
                zk_version: 3,
            };
            state.leaderships.insert(partition.clone(), leadership);
            state.assignments.insert(partition.clone(), replicas);
        }
        let request = roles_of(BrokerId(1), BrokerId(1), &state, &[&shared, &other]).unwrap();
        assert_eq!(request.controller_epoch, 5);
        assert_eq!(request.live_leaders, [endpoint(2)]);
        let [(topic, partition, sent)] = request.partitions.as_slice() else {
            panic!("{request:?}")
        };
        assert_eq!((topic.as_str(), *partition, sent.zk_version), ("t", 0, 3));
        assert!(roles_of(BrokerId(1), BrokerId(1), &state, &[&other]).is_none());
    }
}
