//! Which partitions live here, and what the controller makes of them.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use tokio::sync::watch;

use crate::log::Log;
use crate::log::LogConfig;
use crate::log::Logs;
use crate::metrics::Metrics;
use crate::protocol::ErrorCode;
use crate::protocol::leader_and_isr::LeaderAndIsrRequest;
use crate::protocol::leader_and_isr::PartitionState;
use crate::protocol::stop_replica::StopReplicaRequest;
use crate::replication::candidates::Candidates;
use crate::replication::config::Config;
use crate::replication::error::Error;
use crate::replication::fetcher::Order;
use crate::replication::fetchers::Fetchers;
use crate::replication::follower_connections::FollowerConnections;
use crate::replication::high_watermarks::HighWatermarks;
use crate::replication::partition::Partition;
use crate::replication::partition::RoleName;
use crate::shutdown::Shutdown;
use crate::types::BrokerId;
use crate::types::Endpoint;
use crate::types::TopicPartition;
use crate::types::listed;

/// The partitions of each topic, by number.
type Topics = HashMap<Arc<str>, HashMap<i32, Arc<Partition>>>;

/// Every partition that this broker leads, follows, or has heard of.
#[derive(Debug)]
pub struct Partitions {
    me: BrokerId,
    logs: Arc<Logs>,
    high_watermarks: HighWatermarks,
    metrics: Metrics,
    topics: RwLock<Topics>,
    fetchers: Fetchers,
    candidates: Arc<Candidates>,
    connections: Arc<FollowerConnections>,
    changes: watch::Sender<u64>,
}

/// What became of one partition that a controller gave orders for.
#[derive(Debug)]
pub struct Outcome {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// The answer for it.
    pub result: Result<Transition, Error>,
}

/// What an order changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// This broker leads now, and did not before.
    Leads {
        /// The leader epoch with which the leadership began.
        since: i32,
    },
    /// This broker leads at a new leader epoch, as it did before.
    LeadsOn,
    /// This broker follows now.
    Follows,
    /// The order is older than what the broker has, or a repetition.
    Stale,
    /// The leader is not alive: nothing but the log was prepared.
    NoLeader,
    /// This broker is no replica; it only remembers that the partition exists.
    NotAssigned,
    /// The replica is stopped, perhaps deleted.
    Stopped,
}

impl Transition {
    const LEADER: &str = "leader";
    const FOLLOWER: &str = "follower";

    /// What this broker is now, for the log.
    fn new_role(self) -> Option<&'static str> {
        match self {
            Self::Leads { .. } => Some(Self::LEADER),
            Self::Follows => Some(Self::FOLLOWER),
            Self::LeadsOn | Self::Stale | Self::NoLeader | Self::NotAssigned | Self::Stopped => None,
        }
    }

    /// The code of the answer, or none if the partition is left out of it.
    pub fn error_code(self) -> Option<ErrorCode> {
        match self {
            Self::NotAssigned => None,
            Self::Stale => Some(ErrorCode::StaleLeaderEpoch),
            Self::Leads { .. } | Self::LeadsOn | Self::Follows | Self::NoLeader | Self::Stopped => {
                Some(ErrorCode::None)
            }
        }
    }
}

impl Partitions {
    /// No partition yet: the controller says which.
    pub fn new(
        me: BrokerId,
        (logs, high_watermarks): (Arc<Logs>, HighWatermarks),
        metrics: Metrics,
        config: Config,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            me,
            fetchers: Fetchers::new(
                me,
                config,
                Arc::clone(&logs),
                metrics.replication().clone(),
                shutdown,
            ),
            logs,
            high_watermarks,
            metrics,
            topics: RwLock::default(),
            candidates: Arc::default(),
            connections: Arc::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// A partition that this broker knows.
    pub fn get(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(topic)?.get(&partition).cloned()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Partition>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().flat_map(HashMap::values).cloned().collect()
    }

    /// Logs here that no controller has given a role for yet.
    pub fn without_orders(&self) -> Vec<TopicPartition> {
        let logs = self.logs.all().into_iter();
        let names = logs.map(|log| log.topic_partition().clone());
        names
            .filter(|name| self.get(&name.topic, name.partition).is_none())
            .collect()
    }

    /// Changes whenever a role does: what this broker serves may be another thing now.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The roles of this broker, for all partitions that it keeps a replica of.
    pub fn roles(&self) -> Vec<(TopicPartition, RoleName, i32)> {
        let role = |partition: Arc<Partition>| {
            partition
                .role()
                .map(|(role, epoch)| (partition.topic_partition().clone(), role, epoch))
        };
        self.all().into_iter().filter_map(role).collect()
    }

    /// Fetches per second of the slowest fetcher; 0 without any.
    pub fn min_fetch_rate(&self) -> f64 {
        self.fetchers.min_rate()
    }

    /// From now on no partition is copied that isn't already: a broker that hands its partitions over before it stops
    /// must not get in sync again.
    pub fn follow_no_more(&self) {
        self.fetchers.take_no_more();
    }

    /// Ends all copying.
    pub async fn stop_following(&self) {
        self.fetchers.stop().await;
    }

    /// On which connections followers ask.
    pub fn follower_connections(&self) -> &FollowerConnections {
        &self.connections
    }

    /// Partitions with a follower that may come into the ISR.
    pub(crate) fn candidates(&self) -> &Candidates {
        &self.candidates
    }

    /// The topics whose settings an order needs: those of logs that are still to be created.
    pub fn topics_of_new_logs<'a>(&self, order: &'a LeaderAndIsrRequest) -> BTreeSet<&'a str> {
        let new = order.partitions.iter().filter(|(topic, number, state)| {
            let name = TopicPartition::new(topic.as_str(), *number);
            state.replicas.contains(&self.me) && self.logs.get(&name).is_none()
        });
        new.map(|(topic, _, _)| topic.as_str()).collect()
    }

    /// Takes the roles that a controller orders, with the settings of each topic whose log is new. Blocks on the disk.
    pub fn apply_roles(
        &self,
        order: &LeaderAndIsrRequest,
        config: impl Fn(&str) -> LogConfig,
    ) -> Vec<Outcome> {
        let outcome = |(topic, number, state): &(String, i32, PartitionState)| {
            let topic_partition = TopicPartition::new(topic.as_str(), *number);
            let partition = self.get_or_create(&topic_partition);
            let alive = |leader: BrokerId| order.live_leaders.iter().find(|endpoint| endpoint.id == leader);
            let result = self.apply_role(&partition, state, alive, || config(topic));
            Outcome {
                topic_partition,
                result,
            }
        };
        let outcomes: Vec<_> = order.partitions.iter().map(outcome).collect();
        for role in [Transition::LEADER, Transition::FOLLOWER] {
            let taken = |outcome: &&Outcome| matches!(outcome.result, Ok(transition) if transition.new_role() == Some(role));
            let names: Vec<_> = outcomes
                .iter()
                .filter(taken)
                .map(|outcome| &outcome.topic_partition)
                .collect();
            if !names.is_empty() {
                tracing::info!("{role} of {}", listed(&names));
            }
        }
        self.changed();
        outcomes
    }

    fn apply_role<'a>(
        &self,
        partition: &Arc<Partition>,
        state: &PartitionState,
        alive: impl Fn(BrokerId) -> Option<&'a Endpoint>,
        config: impl FnOnce() -> LogConfig,
    ) -> Result<Transition, Error> {
        let name = partition.topic_partition();
        if state.leader_epoch <= partition.leader_epoch() {
            return Ok(Transition::Stale);
        }
        if !state.replicas.contains(&self.me) {
            return Ok(Transition::NotAssigned);
        }
        let log = self.log(name, config)?;
        let checkpoint = self.high_watermarks.of(name);
        let epoch = state.leader_epoch;
        let leader = state.leader.broker();
        if leader == Some(self.me) {
            // Before the role is taken: nobody waits for a fetch that is under way, since it comes to nothing.
            self.fetchers.leave(name);
            let since = partition.become_leader(log, state, checkpoint);
            tracing::debug!("{name}: leader at epoch {epoch}, ISR {:?}", numbers(&state.isr));
            return Ok(if since == epoch {
                Transition::Leads { since }
            } else {
                Transition::LeadsOn
            });
        }
        let Some(leader) = leader.and_then(alive) else {
            partition.lose_leader(log, checkpoint);
            tracing::warn!("{name}: no live leader at epoch {epoch}");
            return Ok(Transition::NoLeader);
        };
        let since = partition.become_follower(log, leader.id, state, checkpoint);
        let partition = Arc::clone(partition);
        self.fetchers.follow(leader, Order { partition, since });
        tracing::debug!("{name}: follower of broker {} at epoch {epoch}", leader.id);
        Ok(Transition::Follows)
    }

    /// Stops replicas, and deletes them if the order says so. Blocks on the disk.
    pub fn stop(&self, order: &StopReplicaRequest) -> Vec<Outcome> {
        let outcome = |(topic, number): &(String, i32)| {
            let topic_partition = TopicPartition::new(topic.as_str(), *number);
            // It keeps its role, as in 0.8.2.2: a leader goes on leading, a follower is idle until the next order.
            self.fetchers.leave(&topic_partition);
            let result = if order.delete {
                self.delete(&topic_partition)
            } else {
                Ok(())
            };
            Outcome {
                topic_partition,
                result: result.map(|()| Transition::Stopped),
            }
        };
        let outcomes = order.partitions.iter().map(outcome).collect();
        self.changed();
        outcomes
    }

    fn delete(&self, name: &TopicPartition) -> Result<(), Error> {
        if let Some(partition) = self.get(&name.topic, name.partition) {
            partition.detach();
        }
        {
            let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(partitions) = topics.get_mut(&name.topic) {
                partitions.remove(&name.partition);
                if partitions.is_empty() {
                    topics.remove(&name.topic);
                }
            }
        }
        self.high_watermarks.forget(name);
        self.logs.delete(name)?;
        tracing::info!("{name}: deleted");
        Ok(())
    }

    /// Gives the logs of a topic its changed configuration.
    pub fn configure(&self, topic: &str, config: &LogConfig) {
        for log in self
            .logs
            .all()
            .iter()
            .filter(|log| &*log.topic_partition().topic == topic)
        {
            log.set_config(config.clone());
        }
    }

    /// Writes the high watermarks to disk. Blocks.
    pub fn checkpoint_high_watermarks(&self) -> Result<(), Error> {
        Ok(self.high_watermarks.write(&self.logs, &self.all())?)
    }

    fn get_or_create(&self, name: &TopicPartition) -> Arc<Partition> {
        if let Some(partition) = self.get(&name.topic, name.partition) {
            return partition;
        }
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let partitions = topics.entry(Arc::clone(&name.topic)).or_default();
        let new = || {
            let metrics = self.metrics.topics().topic(&name.topic);
            let shared = (Arc::clone(&self.candidates), Arc::clone(&self.connections));
            Arc::new(Partition::new(name.clone(), self.me, metrics, shared))
        };
        Arc::clone(partitions.entry(name.partition).or_insert_with(new))
    }

    fn log(&self, name: &TopicPartition, config: impl FnOnce() -> LogConfig) -> Result<Arc<Log>, Error> {
        match self.logs.get(name) {
            Some(log) => Ok(log),
            None => Ok(self.logs.create(name, config())?),
        }
    }

    /// Tells those who wait for it that a role has changed.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

fn numbers(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|id| id.0).collect()
}
