//! The loop that owns the cluster's state for as long as this broker is controller.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;

use crate::controller::Config;
use crate::controller::Rebalance;
use crate::controller::Status;
use crate::controller::event::Event;
use crate::controller::notify::Channels;
use crate::controller::plan;
use crate::controller::plan::Plan;
use crate::controller::state::Broker;
use crate::controller::state::ClusterState;
use crate::metrics::ControllerMetrics;
use crate::types::BrokerId;
use crate::types::TopicPartition;
use crate::zookeeper;
use crate::zookeeper::Assignment;
use crate::zookeeper::Store;

/// Events taken from the queue at once: what many watches saw at the same time is planned together.
const BATCH: usize = 1024;

/// How often what failed at a broker, or was given up, is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// How long after the start of a term the balance is looked at first, as in 0.8.2.2
/// (KafkaController.onControllerFailover).
const FIRST_REBALANCE: Duration = Duration::from_secs(5);

/// One term of office.
#[derive(Debug)]
pub(crate) struct Term {
    pub(super) state: ClusterState,
    pub(super) store: Store,
    pub(super) channels: Channels,
    pub(super) metrics: ControllerMetrics,
    /// Version of the epoch's node: later ones belong to later controllers.
    pub(super) epoch_version: i32,
    /// Whether wishes to delete topics are looked at.
    pub(super) delete_topics: bool,
    pub(super) events: mpsc::Sender<Event>,
    /// Partitions on the way to other replicas, and the tasks that follow their ISR.
    pub(super) followed: BTreeMap<TopicPartition, AbortHandle>,
    /// Whether a plan was given up because of too many lost races.
    pub(super) overdue: bool,
    /// Whether reassignments can take more steps at once.
    pub(super) reassigns_on: bool,
    me: BrokerId,
    rebalance: Option<Rebalance>,
    status: watch::Sender<Status>,
}

impl Drop for Term {
    fn drop(&mut self) {
        self.followed.values().for_each(AbortHandle::abort);
    }
}

impl Term {
    /// Reads the cluster as it is, gives every partition a leader that can have one and tells all brokers.
    pub(crate) async fn start(
        config: Config,
        store: Store,
        events: mpsc::Sender<Event>,
        status: watch::Sender<Status>,
    ) -> Result<Self, zookeeper::Error> {
        let started = Instant::now();
        let epoch = store.next_controller_epoch().await?;
        tracing::info!("controller is this broker, epoch {}", epoch.value);
        let Config {
            me,
            own_address,
            unclean_election,
            policy,
            reassignments_max,
            delete_topics,
            rebalance,
            calls,
            metrics,
        } = config;
        let mut term = Self {
            state: ClusterState {
                controller_epoch: epoch.value,
                unclean_election,
                policy,
                reassignments_max,
                ..ClusterState::default()
            },
            store,
            channels: Channels::new(me, own_address, calls, events.clone()),
            metrics,
            epoch_version: epoch.version,
            delete_topics,
            events,
            followed: BTreeMap::new(),
            overdue: false,
            reassigns_on: false,
            me,
            rebalance,
            status,
        };
        term.load().await?;
        let orphans: Vec<_> = plan::orphans(&term.state).cloned().collect();
        term.settle_unclean(&orphans).await?;
        term.carry_out(plan::taking_over).await?;
        term.go_on().await?;
        term.publish();
        tracing::info!(
            "took over {} partitions of {} topics in {:?}",
            term.state.assignments.len(),
            term.state.topics().len(),
            started.elapsed()
        );
        Ok(term)
    }

    /// Handles events until the office is lost.
    pub(crate) async fn run(&mut self, events: &mut mpsc::Receiver<Event>) -> Result<(), zookeeper::Error> {
        let mut try_again = tokio::time::interval(TRY_AGAIN);
        try_again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rebalance = self.rebalance.map(|rebalance| {
            let mut ticks = tokio::time::interval_at(Instant::now() + FIRST_REBALANCE, rebalance.interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            (ticks, rebalance.percentage)
        });
        loop {
            let mut batch = Vec::new();
            let mut percentage = None;
            let mut ticked = false;
            tokio::select! {
                count = events.recv_many(&mut batch, BATCH) => if count == 0 { return Ok(()) },
                _ = try_again.tick() => ticked = true,
                due = due(&mut rebalance) => percentage = Some(due),
                () = std::future::ready(()), if self.reassigns_on => {}
            }
            let resigned = batch.iter().any(|event| matches!(event, Event::Resigned));
            // Watches tell late: nothing is done in the name of an office that is lost.
            if resigned || !self.store.holds_office(self.me).await? {
                return Ok(());
            }
            self.handle(batch).await?;
            if ticked {
                self.try_again().await?;
            }
            if let Some(percentage) = percentage {
                let imbalanced = plan::imbalanced(&self.state, percentage);
                self.elect_preferred(&imbalanced).await?;
            }
            self.go_on().await?;
            self.publish();
        }
    }

    async fn handle(&mut self, batch: Vec<Event>) -> Result<(), zookeeper::Error> {
        let mut changed = BTreeSet::new();
        for event in batch {
            match event {
                Event::BrokersChanged(brokers, unreadable) => {
                    Box::pin(self.brokers_changed(brokers, &unreadable)).await?;
                }
                Event::TopicsChanged(topics) => self.topics_changed(&topics),
                Event::AssignmentChanged(topic, assignment) => {
                    if self.assignment_changed(&topic, assignment) {
                        changed.insert(topic);
                    }
                }
                Event::LeadershipChanged(partition, node) => {
                    let known = self.state.leaderships.get(&partition);
                    if known.is_none_or(|known| known.zk_version < node.version) {
                        self.found(&partition, node).await?;
                    }
                }
                Event::ReassignmentsWanted(wanted) => self.reassignments_wanted(wanted).await?,
                Event::PreferredElectionsWanted(partitions) => {
                    self.elect_preferred(&partitions).await?;
                    self.store.remove_preferred_elections().await?;
                }
                Event::DeletionsWanted => self.deletions_wanted().await?,
                Event::ReplicasDeleted(broker, replicas) => self.replicas_deleted(broker, replicas),
                Event::ControlledShutdown(broker, answer) => {
                    let remaining = self.controlled_shutdown(broker).await?;
                    // The asking broker gives up waiting when its own time is over.
                    let _ = answer.send(remaining);
                }
                Event::Resigned => {}
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let new = |state: &ClusterState| Plan {
            decisions: plan::new_partitions(state, changed.iter().flat_map(|topic| state.assigned(topic))),
            ..Plan::default()
        };
        self.carry_out(new).await
    }

    /// A broker that came back unseen is one that went and one that came.
    async fn brokers_changed(
        &mut self,
        mut brokers: BTreeMap<BrokerId, Broker>,
        unreadable: &[BrokerId],
    ) -> Result<(), zookeeper::Error> {
        // It is there, whatever it says: nobody takes its partitions away.
        for id in unreadable {
            if let Some(known) = self.state.brokers.get(id) {
                brokers.entry(*id).or_insert_with(|| known.clone());
            }
        }
        let known = &self.state.brokers;
        let mut between = brokers.clone();
        between.retain(|id, broker| known.get(id).is_none_or(|known| known == broker));
        if between.len() < brokers.len() {
            self.brokers_are(between).await?;
        }
        self.brokers_are(brokers).await
    }

    async fn brokers_are(&mut self, brokers: BTreeMap<BrokerId, Broker>) -> Result<(), zookeeper::Error> {
        let before = std::mem::replace(&mut self.state.brokers, brokers);
        let state = &mut self.state;
        if before == state.brokers {
            return Ok(());
        }
        let started = Instant::now();
        let ids: Vec<_> = state.brokers.keys().map(|id| id.0).collect();
        tracing::info!("brokers are {ids:?}");
        state.stopping.retain(|id| state.brokers.contains_key(id));
        // They may have been mended.
        state.unreadable.clear();
        let returned = plan::returned(state, &before);
        state.unconfirmed.extend(returned);
        let missing = |some: &BTreeMap<BrokerId, Broker>, other: &BTreeMap<BrokerId, Broker>| {
            let ids = some.keys().filter(|id| !other.contains_key(id));
            ids.copied().collect::<BTreeSet<_>>()
        };
        let gone = missing(&before, &state.brokers);
        let came = missing(&state.brokers, &before);
        for deletion in state.deletions.values_mut() {
            deletion.asked.retain(|(broker, _)| !gone.contains(broker));
            deletion.failed.retain(|(broker, _)| !gone.contains(broker));
        }

        let mut affected: Vec<_> = plan::orphans(&self.state).cloned().collect();
        affected.extend(self.state.hosted_by(&came).cloned());
        affected.sort_unstable();
        affected.dedup();
        self.refresh(&affected).await?;
        self.settle_unclean(&affected).await?;
        self.carry_out(|state| plan::broker_change(state, &before))
            .await?;
        // Only now: nobody waits for these as for a leader.
        if !gone.is_empty() {
            let affected: Vec<_> = self.state.hosted_by(&gone).cloned().collect();
            self.refresh(&affected).await?;
            let followers = |state: &ClusterState| Plan {
                decisions: plan::followers_gone(state, &gone),
                ..Plan::default()
            };
            self.carry_out(followers).await?;
        }
        let took = started.elapsed();
        tracing::info!("handled the change of brokers in {took:?}");
        self.metrics.elections.record(took);
        Ok(())
    }

    /// Looks up whether those of these partitions that have nobody in sync may be led by somebody else.
    async fn settle_unclean(&mut self, partitions: &[TopicPartition]) -> Result<(), zookeeper::Error> {
        let unclean: Vec<_> = partitions
            .iter()
            .filter(|partition| plan::needs_unclean(&self.state, partition))
            .cloned()
            .collect();
        self.look_up_unclean(&unclean).await
    }

    fn topics_changed(&mut self, topics: &BTreeSet<Arc<str>>) {
        for gone in self.state.topics().difference(topics) {
            self.state.forget_topic(gone);
        }
    }

    /// Answers whether there may be new partitions.
    fn assignment_changed(&mut self, topic: &Arc<str>, assignment: Option<Assignment>) -> bool {
        match assignment {
            Some(_) if self.state.deletions.contains_key(topic) => false,
            Some(assignment) => {
                self.state.add(topic, assignment);
                true
            }
            None => {
                self.state.forget_topic(topic);
                false
            }
        }
    }

    async fn elect_preferred(
        &mut self,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<(), zookeeper::Error> {
        let known: Vec<_> = partitions
            .iter()
            .filter(|partition| self.state.leaderships.contains_key(*partition))
            .cloned()
            .collect();
        if known.len() < partitions.len() {
            tracing::warn!(
                "{} partitions of a preferred replica election are unknown",
                partitions.len() - known.len()
            );
        }
        self.refresh(&known).await?;
        self.carry_out(|state| plan::preferred(state, partitions)).await
    }

    /// Tries again what failed at a broker, and what was given up.
    async fn try_again(&mut self) -> Result<(), zookeeper::Error> {
        self.forget_failures();
        if !std::mem::take(&mut self.overdue) {
            return Ok(());
        }
        let orphans: Vec<_> = plan::orphans(&self.state).cloned().collect();
        self.refresh(&orphans).await?;
        self.settle_unclean(&orphans).await?;
        self.carry_out(plan::overdue).await
    }

    /// Relieves a broker; the replicated partitions that it still leads, or none if it is not known.
    async fn controlled_shutdown(
        &mut self,
        broker: BrokerId,
    ) -> Result<Option<Vec<TopicPartition>>, zookeeper::Error> {
        if !self.state.is_live(broker) {
            return Ok(None);
        }
        tracing::info!("broker {broker} is about to stop");
        self.state.stopping.insert(broker);
        let hosted: Vec<_> = self.state.hosted_by(&BTreeSet::from([broker])).cloned().collect();
        self.refresh(&hosted).await?;
        self.carry_out(|state| plan::controlled_shutdown(state, broker))
            .await?;
        Ok(Some(plan::still_led(&self.state, broker)))
    }

    /// Takes every step that is possible of what takes several.
    async fn go_on(&mut self) -> Result<(), zookeeper::Error> {
        if !self.state.unconfirmed.is_empty() {
            let unchanged = self.state.brokers.clone();
            self.carry_out(|state| plan::broker_change(state, &unchanged))
                .await?;
        }
        self.reassign().await?;
        self.continue_deletions().await
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
            reassigning_partitions: self.state.reassignments.len(),
        });
    }
}

/// Completes when the balance is to be looked at; never if it is not to be.
async fn due(rebalance: &mut Option<(tokio::time::Interval, u32)>) -> u32 {
    match rebalance {
        Some((ticks, percentage)) => {
            ticks.tick().await;
            *percentage
        }
        None => std::future::pending().await,
    }
}
