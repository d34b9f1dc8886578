//! The loop that owns the cluster's state for as long as this broker is controller.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::watch;

use crate::controller::Status;
use crate::controller::apply;
use crate::controller::apply::carry_out;
use crate::controller::event::Event;
use crate::controller::notify::Channels;
use crate::controller::plan;
use crate::controller::plan::Plan;
use crate::controller::state::Broker;
use crate::controller::state::ClusterState;
use crate::controller::state::Leadership;
use crate::controller::watch::broker_map;
use crate::types::BrokerId;
use crate::types::TopicPartition;
use crate::zookeeper;
use crate::zookeeper::Store;

/// One term of office.
#[derive(Debug)]
pub(crate) struct Term {
    state: ClusterState,
    store: Store,
    channels: Channels,
    me: BrokerId,
    status: watch::Sender<Status>,
}

impl Term {
    /// Reads the cluster as it is, gives every partition a leader that can have one and tells all brokers.
    pub(crate) async fn start(
        store: Store,
        channels: Channels,
        me: BrokerId,
        unclean_election: bool,
        status: watch::Sender<Status>,
    ) -> Result<Self, zookeeper::Error> {
        let controller_epoch = store.next_controller_epoch().await?.value;
        tracing::info!("controller is this broker, epoch {controller_epoch}");
        let mut state = load(&store).await?;
        state.controller_epoch = controller_epoch;
        state.unclean_election = unclean_election;
        let mut term = Self {
            state,
            store,
            channels,
            me,
            status,
        };
        let first = plan::broker_change(&term.state, &BTreeMap::new());
        term.carry_out(first).await?;
        Ok(term)
    }

    /// Handles events until the office is lost.
    pub(crate) async fn run(&mut self, events: &mut mpsc::Receiver<Event>) -> Result<(), zookeeper::Error> {
        while let Some(event) = events.recv().await {
            let plan = match event {
                Event::BrokersChanged(brokers, unreadable) => self.brokers_changed(brokers, &unreadable),
                Event::TopicsChanged(topics) => self.topics_changed(&topics),
                Event::AssignmentChanged(topic, assignment) => self.assignment_changed(&topic, assignment),
                Event::ControlledShutdown(broker, answer) => {
                    // The asking broker gives up waiting when its own time is over.
                    let _ = answer.send(self.still_led(broker));
                    Plan::default()
                }
                Event::Resigned => return Ok(()),
            };
            self.carry_out(plan).await?;
        }
        Ok(())
    }

    /// Carries out a plan, and plans again for what lost a race meanwhile.
    async fn carry_out(&mut self, mut plan: Plan) -> Result<(), zookeeper::Error> {
        /// Races of one event; more would mean that somebody writes against us without end.
        const TRIES: usize = 5;
        for _ in 0..TRIES {
            if plan == Plan::default() {
                break;
            }
            let lost_race = carry_out(plan, &mut self.state, &self.store, &mut self.channels).await?;
            if !lost_race {
                break;
            }
            let unchanged = self.state.brokers.clone();
            plan = plan::broker_change(&self.state, &unchanged);
        }
        self.publish();
        Ok(())
    }

    fn brokers_changed(&mut self, mut brokers: BTreeMap<BrokerId, Broker>, unreadable: &[BrokerId]) -> Plan {
        // It is there, whatever it says: nobody takes its partitions away.
        for id in unreadable {
            if let Some(known) = self.state.brokers.get(id) {
                brokers.entry(*id).or_insert_with(|| known.clone());
            }
        }
        let before = std::mem::replace(&mut self.state.brokers, brokers);
        if before != self.state.brokers {
            let ids: Vec<_> = self.state.brokers.keys().map(|id| id.0).collect();
            tracing::info!("brokers are {ids:?}");
        }
        plan::broker_change(&self.state, &before)
    }

    fn topics_changed(&mut self, topics: &BTreeSet<Arc<str>>) -> Plan {
        for gone in self.state.topics().difference(topics) {
            self.state.forget_topic(gone);
        }
        Plan::default()
    }

    fn assignment_changed(
        &mut self,
        topic: &Arc<str>,
        assignment: Option<BTreeMap<i32, Vec<BrokerId>>>,
    ) -> Plan {
        let Some(assignment) = assignment else {
            self.state.forget_topic(topic);
            return Plan::default();
        };
        for (partition, replicas) in assignment {
            // Only new partitions: other replicas for known ones are the business of a reassignment.
            let partition = TopicPartition::new(Arc::clone(topic), partition);
            self.state.assignments.entry(partition).or_insert(replicas);
        }
        plan::new_partitions(&self.state)
    }

    /// Replicated partitions that a stopping broker still leads; none if the broker is not known.
    fn still_led(&self, broker: BrokerId) -> Option<Vec<TopicPartition>> {
        self.state.brokers.get(&broker)?;
        let led = |(partition, leadership): (&TopicPartition, &Leadership)| {
            let replicated = self
                .state
                .assignments
                .get(partition)
                .is_some_and(|replicas| replicas.len() > 1);
            (replicated && leadership.leader == Some(broker)).then(|| partition.clone())
        };
        Some(self.state.leaderships.iter().filter_map(led).collect())
    }

    fn publish(&self) {
        self.status.send_replace(Status {
            controller: Some(self.me),
            active: true,
            brokers: self.state.brokers.len(),
            topics: self.state.topics().len(),
            partitions: self.state.assignments.len(),
            offline_partitions: self.state.offline_partitions(),
            preferred_replica_imbalance: self.state.preferred_replica_imbalance(),
        });
    }
}

/// The cluster as ZooKeeper has it. A topic whose node can't be read is left out, the others are served.
async fn load(store: &Store) -> Result<ClusterState, zookeeper::Error> {
    let mut state = ClusterState {
        brokers: broker_map(store.brokers().await?),
        ..ClusterState::default()
    };
    let topics = store.topics().await?;
    for (topic, assignment) in topics.iter().zip(store.assignments(&topics).await) {
        match assignment {
            Ok(Some(partitions)) => {
                let named =
                    |(partition, replicas)| (TopicPartition::new(topic.as_str(), partition), replicas);
                state.assignments.extend(partitions.into_iter().map(named));
            }
            Ok(None) => {}
            Err(zookeeper::Error::Corrupt { path, problem }) => {
                tracing::error!("{topic}: {path} is not readable ({problem}); the topic is left out");
            }
            Err(error) => return Err(error),
        }
    }
    let partitions: Vec<_> = state.assignments.keys().cloned().collect();
    for (partition, node) in partitions.iter().zip(store.partition_states(&partitions).await) {
        match node {
            Ok(Some(node)) => {
                state
                    .leaderships
                    .insert(partition.clone(), apply::leadership(node));
            }
            Ok(None) => {}
            Err(error @ zookeeper::Error::Corrupt { .. }) => apply::leave_out(partition, &mut state, &error),
            Err(error) => return Err(error),
        }
    }
    Ok(state)
}
