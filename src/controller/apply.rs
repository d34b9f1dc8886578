//! Carrying out a plan: ZooKeeper first, then the state, then the orders.
//!
//! A leadership that could not be written is not told to anybody. What the node says then is taken over into the
//! state, and the plan is made again from that. Every write names the version that it replaces and holds only while
//! this controller's epoch is the latest.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::controller::plan::Decision;
use crate::controller::plan::Mark;
use crate::controller::plan::Plan;
use crate::controller::run::Term;
use crate::controller::state::ClusterState;
use crate::controller::state::Leadership;
use crate::types::BrokerId;
use crate::types::TopicPartition;
use crate::types::listed;
use crate::zookeeper;
use crate::zookeeper::Assignment;
use crate::zookeeper::Versioned;

/// Races of one event; more would mean that somebody writes against us without end.
const TRIES: usize = 5;

/// What became of a plan's decisions.
#[derive(Debug, Default)]
struct Outcome {
    /// Partitions whose leadership was written.
    written: Vec<TopicPartition>,
    /// Partitions that somebody else wrote meanwhile, or that are gone.
    lost: BTreeSet<TopicPartition>,
}

impl Term {
    /// Carries out what is planned from the state, and again what is planned for what lost a race.
    pub(super) async fn carry_out(
        &mut self,
        plan: impl Fn(&ClusterState) -> Plan + Send,
    ) -> Result<(), zookeeper::Error> {
        let mut lost = BTreeSet::new();
        for round in 0..TRIES {
            let mut next = plan(&self.state);
            if round > 0 {
                // They have been told everything already, and hear of the rest like everybody.
                next.newcomers.clear();
                next.brokers_changed = false;
            }
            if next == Plan::default() {
                return Ok(());
            }
            lost = self.apply(next).await?;
            if lost.is_empty() {
                return Ok(());
            }
        }
        let lost: Vec<_> = lost.iter().collect();
        tracing::warn!("lost every race for {}; trying again later", listed(&lost));
        self.overdue = true;
        Ok(())
    }

    /// Writes and tells what was planned. Answers what lost a race.
    async fn apply(&mut self, plan: Plan) -> Result<BTreeSet<TopicPartition>, zookeeper::Error> {
        self.channels.follow(&self.state);
        let epoch = self.state.controller_epoch;
        let mut outcome = Outcome::default();
        self.assign(&plan.assign, &mut outcome).await?;
        self.channels.send_stops(epoch, plan.stop_first.iter());
        let decisions = plan.decisions.into_iter();
        let (create, update): (Vec<_>, Vec<_>) = decisions
            .filter(|decision| !outcome.lost.contains(&decision.partition))
            .partition(|decision| decision.create);
        self.update_all(update, &mut outcome).await?;
        self.create_all(create, &mut outcome).await?;

        let Outcome { written, lost } = outcome;
        for (partition, mark) in plan.marks {
            if !lost.contains(&partition)
                && let Some(reassignment) = self.state.reassignments.get_mut(&partition)
            {
                match mark {
                    Mark::Begun => reassignment.begun = true,
                    Mark::Switched => reassignment.switched = true,
                }
            }
        }
        let settle: Vec<_> = plan
            .settle
            .into_iter()
            .filter(|(partition, _)| !lost.contains(partition))
            .collect();
        self.state.assignments.extend(settle.iter().cloned());

        let changed: BTreeSet<_> = written.iter().collect();
        self.tell(&changed, &settle, &plan.newcomers, plan.brokers_changed);
        let stops = plan.stop.iter().filter(|stop| !lost.contains(&stop.partition));
        self.channels.send_stops(epoch, stops);
        self.write_assignments(&settle).await?;
        let mut fulfilled = plan.fulfilled;
        fulfilled.retain(|partition, _| !lost.contains(partition));
        self.fulfil(fulfilled).await?;
        Ok(lost)
    }

    fn tell(
        &self,
        changed: &BTreeSet<&TopicPartition>,
        settled: &[(TopicPartition, Vec<BrokerId>)],
        newcomers: &[BrokerId],
        brokers_changed: bool,
    ) {
        let state = &self.state;
        let changed: Vec<_> = changed.iter().copied().collect();
        if !changed.is_empty() {
            tracing::info!("new leadership for {}", listed(&changed));
        }
        if !newcomers.is_empty() {
            self.channels.send_all_metadata(state, newcomers);
            let all: Vec<_> = state.leaderships.keys().collect();
            self.channels.send_roles(state, &all, newcomers);
        }
        let others: Vec<_> = state
            .brokers
            .keys()
            .filter(|id| !newcomers.contains(id))
            .copied()
            .collect();
        self.channels.send_roles(state, &changed, &others);
        let mut told = changed;
        told.extend(settled.iter().map(|(partition, _)| partition));
        told.sort_unstable();
        told.dedup();
        if !told.is_empty() || brokers_changed {
            self.channels.send_metadata(state, &told, &others);
        }
    }

    /// Assigns replicas, in ZooKeeper and then in the state.
    async fn assign(
        &mut self,
        changes: &[(TopicPartition, Vec<BrokerId>)],
        outcome: &mut Outcome,
    ) -> Result<(), zookeeper::Error> {
        let topics = by_topic(changes);
        let results = self.store.change_assignments(&topics).await;
        for (topic, result) in topics.into_keys().zip(results) {
            match result {
                Ok(()) => {
                    let named = changes.iter().filter(|(partition, _)| &*partition.topic == topic);
                    self.state.assignments.extend(named.cloned());
                }
                Err(error @ (zookeeper::Error::NotFound { .. } | zookeeper::Error::Corrupt { .. })) => {
                    tracing::error!("{topic}: assign replicas: {error}");
                    let named = changes.iter().map(|(partition, _)| partition);
                    outcome
                        .lost
                        .extend(named.filter(|partition| &*partition.topic == topic).cloned());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes assignments that the state has already.
    async fn write_assignments(
        &self,
        settled: &[(TopicPartition, Vec<BrokerId>)],
    ) -> Result<(), zookeeper::Error> {
        for result in self.store.change_assignments(&by_topic(settled)).await {
            match result {
                // Deleted by hand meanwhile.
                Ok(()) | Err(zookeeper::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn fulfil(&mut self, fulfilled: zookeeper::Reassignments) -> Result<(), zookeeper::Error> {
        if fulfilled.is_empty() {
            return Ok(());
        }
        for (partition, replicas) in &fulfilled {
            self.state.reassignments.remove(partition);
            let there = self.state.assignments.get(partition) == Some(replicas);
            let replicas: Vec<_> = replicas.iter().map(|id| id.0).collect();
            if there {
                tracing::info!("{partition}: reassigned to {replicas:?}");
            } else {
                tracing::warn!("{partition}: a reassignment to {replicas:?} is refused");
            }
        }
        match self.store.remove_reassignments(&fulfilled).await {
            Err(error @ zookeeper::Error::Corrupt { .. }) => {
                tracing::error!("{error}; it is left until it is mended");
                Ok(())
            }
            result => result,
        }
    }

    async fn create_all(
        &mut self,
        decisions: Vec<Decision>,
        outcome: &mut Outcome,
    ) -> Result<(), zookeeper::Error> {
        let nodes: Vec<_> = decisions
            .iter()
            .map(|decision| (decision.partition.clone(), record(&decision.leadership)))
            .collect();
        let results = self.store.create_partition_states(&nodes).await;
        let mut found = Vec::new();
        for (decision, result) in decisions.into_iter().zip(results) {
            match result {
                Ok(()) => self.written(decision, 0, outcome),
                Err(zookeeper::Error::Exists { .. }) => found.push(decision.partition),
                Err(zookeeper::Error::NotFound { .. }) => {
                    // The topic was deleted by hand.
                    self.state.assignments.remove(&decision.partition);
                }
                Err(error) => return Err(error),
            }
        }
        self.refresh(&found).await?;
        for partition in found {
            // Another controller created it and may have told nobody, or only some.
            if self.state.leaderships.contains_key(&partition) {
                self.state.unconfirmed.insert(partition.clone());
            } else if self.state.unreadable.insert(partition.clone()) {
                tracing::error!("{partition}: its state has no content; left alone until it is mended");
            }
            outcome.lost.insert(partition);
        }
        Ok(())
    }

    async fn update_all(
        &mut self,
        decisions: Vec<Decision>,
        outcome: &mut Outcome,
    ) -> Result<(), zookeeper::Error> {
        let nodes: Vec<_> = decisions
            .iter()
            .map(|decision| {
                let leadership = &decision.leadership;
                let node = Versioned {
                    value: record(leadership),
                    version: leadership.zk_version,
                };
                (decision.partition.clone(), node)
            })
            .collect();
        let results = self
            .store
            .decide_partition_states(&nodes, self.epoch_version)
            .await;
        let mut lost = Vec::new();
        for (decision, result) in decisions.into_iter().zip(results) {
            match result {
                Ok(version) => self.written(decision, version, outcome),
                Err(zookeeper::Error::Conflict { .. } | zookeeper::Error::NotFound { .. }) => {
                    lost.push(decision.partition);
                }
                Err(error) => return Err(error),
            }
        }
        self.refresh(&lost).await?;
        outcome.lost.extend(lost);
        Ok(())
    }

    fn written(&mut self, decision: Decision, version: i32, outcome: &mut Outcome) {
        let Decision {
            partition,
            mut leadership,
            unclean,
            ..
        } = decision;
        leadership.zk_version = version;
        let leader = leadership
            .leader
            .map_or_else(|| "none".into(), |leader| leader.to_string());
        let isr: Vec<_> = leadership.isr.iter().map(|id| id.0).collect();
        let epoch = leadership.leader_epoch;
        if unclean {
            self.metrics.unclean_elections.increment(1);
            tracing::warn!("{partition}: leader {leader} was not in sync; messages may be lost");
        }
        tracing::debug!("{partition}: leader {leader} at epoch {epoch}, ISR {isr:?}");
        self.state.unconfirmed.remove(&partition);
        self.state.leaderships.insert(partition.clone(), leadership);
        outcome.written.push(partition);
    }

    /// Takes over what the nodes of these partitions say: leaders change the ISR by themselves.
    pub(super) async fn refresh(&mut self, partitions: &[TopicPartition]) -> Result<(), zookeeper::Error> {
        let nodes = self.store.partition_states(partitions).await;
        for (partition, node) in partitions.iter().zip(nodes) {
            match node {
                Ok(Some(node)) => self.found(partition, node).await?,
                Ok(None) => {
                    self.state.leaderships.remove(partition);
                }
                Err(zookeeper::Error::Corrupt { path, problem }) => {
                    tracing::error!(
                        "{partition}: {path} is not readable ({problem}); left alone until it is mended"
                    );
                    self.state.unreadable.insert(partition.clone());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes over what a node says, unless a later controller than this one wrote it.
    pub(super) async fn found(
        &mut self,
        partition: &TopicPartition,
        node: Versioned<zookeeper::PartitionState>,
    ) -> Result<(), zookeeper::Error> {
        let leadership = leadership(node);
        if leadership.controller_epoch <= self.state.controller_epoch {
            self.state.leaderships.insert(partition.clone(), leadership);
            return Ok(());
        }
        let latest = self.store.controller_epoch().await?;
        if latest.is_none_or(|latest| latest.version != self.epoch_version) {
            return Err(zookeeper::Error::Fenced {
                path: partition.to_string(),
            });
        }
        // No controller can have written that: the epoch was never given.
        tracing::error!(
            "{partition}: its state claims controller epoch {}, which has not begun; left alone until it is mended",
            leadership.controller_epoch
        );
        self.state.unreadable.insert(partition.clone());
        Ok(())
    }
}

fn by_topic(changes: &[(TopicPartition, Vec<BrokerId>)]) -> BTreeMap<&str, Assignment> {
    let mut topics: BTreeMap<&str, Assignment> = BTreeMap::new();
    for (partition, replicas) in changes {
        let partitions = topics.entry(&partition.topic).or_default();
        partitions.insert(partition.partition, replicas.clone());
    }
    topics
}

/// What a state node says.
pub(super) fn leadership(node: Versioned<zookeeper::PartitionState>) -> Leadership {
    let Versioned { value, version } = node;
    Leadership {
        leader: value.leader,
        leader_epoch: value.leader_epoch,
        isr: value.isr,
        controller_epoch: value.controller_epoch,
        zk_version: version,
    }
}

fn record(leadership: &Leadership) -> zookeeper::PartitionState {
    zookeeper::PartitionState {
        leader: leadership.leader,
        leader_epoch: leadership.leader_epoch,
        isr: leadership.isr.clone(),
        controller_epoch: leadership.controller_epoch,
    }
}
