//! One partition on this broker: its log, its role, its ISR.
//!
//! Appends and reads share the state; a change of leadership has it alone. So nothing is appended after this broker
//! stopped leading or following somebody, and whoever waits for an append of an earlier leadership learns that it is
//! over.
//!
//! A leadership goes on when the next leader epoch names the same leader: nobody else led in between, so that nothing was
//! truncated. A controller counts the epoch up whenever a replica goes.

mod append;
mod flush;
mod follow;
mod lead;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::RwLockWriteGuard;

use tokio::sync::watch;

pub use self::append::Appended;
use self::flush::Turn;
use self::follow::Following;
pub(crate) use self::follow::Taken;
pub(crate) use self::lead::IsrChange;
use self::lead::Leading;
use crate::log::Log;
use crate::log::LogConfig;
use crate::message::slice::FileSlice;
use crate::metrics::TopicMetrics;
use crate::protocol::fetch::Reader;
use crate::protocol::leader_and_isr::PartitionState;
use crate::replication::candidates::Candidates;
use crate::replication::error::Error;
use crate::replication::follower_connections::FollowerConnections;
use crate::replication::progress::Progress;
use crate::types::BrokerId;
use crate::types::TopicPartition;

/// Leader epoch of a partition of which nothing is known yet.
const NO_EPOCH: i32 = -1;

/// One partition, led, followed, or merely heard of.
#[derive(Debug)]
pub struct Partition {
    topic_partition: TopicPartition,
    me: BrokerId,
    metrics: Arc<TopicMetrics>,
    state: RwLock<State>,
    progress: watch::Sender<Progress>,
    candidates: Arc<Candidates>,
    connections: Arc<FollowerConnections>,
    /// Whose turn it is to flush what producers wait for.
    turn: Turn,
}

/// What leadership changes replace as a whole.
#[derive(Debug)]
struct State {
    log: Option<Arc<Log>>,
    role: Role,
    leader_epoch: i32,
    /// The epoch of the controller that decided on the leader.
    controller_epoch: i32,
    /// How many replicas the partition is to have.
    replicas: usize,
}

/// What this broker is to a partition.
#[derive(Debug)]
enum Role {
    /// It has heard of it, or has learned that it leads no more and not yet who does.
    Unassigned,
    /// It leads.
    Leader(Leading),
    /// It follows another broker.
    Follower(Following),
}

/// The part of a [`Role`] that others are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleName {
    /// Leads the partition.
    Leader,
    /// Follows another broker.
    Follower,
}

/// What a fetch finds.
#[derive(Debug)]
pub struct Found {
    /// The high watermark when the log was read.
    pub high_watermark: i64,
    /// Where the messages are.
    pub messages: Option<FileSlice>,
    /// Whether waiting cannot bring more: the messages end with a segment that no longer grows.
    pub ends_closed_segment: bool,
}

impl Partition {
    /// A partition of which this broker has only heard.
    pub(crate) fn new(
        topic_partition: TopicPartition,
        me: BrokerId,
        metrics: Arc<TopicMetrics>,
        (candidates, connections): (Arc<Candidates>, Arc<FollowerConnections>),
    ) -> Self {
        let state = State {
            log: None,
            role: Role::Unassigned,
            leader_epoch: NO_EPOCH,
            controller_epoch: 0,
            replicas: 0,
        };
        let progress = Progress {
            leadership: NO_EPOCH,
            leads: false,
            high_watermark: 0,
            log_end_offset: 0,
            flushed: 0,
            follower_log_ends: Arc::new([]),
        };
        Self {
            topic_partition,
            me,
            metrics,
            state: RwLock::new(state),
            progress: watch::Sender::new(progress),
            candidates,
            connections,
            turn: Turn::default(),
        }
    }

    /// Its name.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The counters of its topic.
    pub fn metrics(&self) -> &Arc<TopicMetrics> {
        &self.metrics
    }

    /// The log, if this broker keeps a replica.
    pub fn log(&self) -> Option<Arc<Log>> {
        self.read_state().log.clone()
    }

    /// What this broker is to the partition, and since which leader epoch; none if it keeps no replica.
    pub fn role(&self) -> Option<(RoleName, i32)> {
        let state = self.read_state();
        let name = match &state.role {
            Role::Unassigned => return None,
            Role::Leader(_) => RoleName::Leader,
            Role::Follower(_) => RoleName::Follower,
        };
        Some((name, state.leader_epoch))
    }

    /// This broker.
    pub fn me(&self) -> BrokerId {
        self.me
    }

    /// Whether this broker leads.
    pub fn leads(&self) -> bool {
        matches!(self.read_state().role, Role::Leader(_))
    }

    /// The leader epoch last accepted from a controller, or -1.
    pub fn leader_epoch(&self) -> i32 {
        self.read_state().leader_epoch
    }

    /// The broker this one follows, if it follows.
    pub fn leader(&self) -> Option<BrokerId> {
        match &self.read_state().role {
            Role::Unassigned => None,
            Role::Leader(_) => Some(self.me),
            Role::Follower(following) => Some(following.leader),
        }
    }

    /// How many replicas are assigned.
    pub fn replicas(&self) -> usize {
        self.read_state().replicas
    }

    /// First offset that is not committed.
    pub fn high_watermark(&self) -> i64 {
        self.progress.borrow().high_watermark
    }

    /// A receiver of everything that changes how far the partition is.
    pub fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Finds what a fetch from `offset` may be answered with.
    pub fn read(&self, reader: Reader, offset: i64, max_bytes: i32) -> Result<Found, Error> {
        let state = self.read_state();
        let log = match reader {
            Reader::DebuggingConsumer => state.log.as_ref().ok_or(Error::NoReplica)?,
            Reader::Consumer | Reader::Follower(_) => state.leading()?.0,
        };
        let high_watermark = self.high_watermark();
        let nothing = Found {
            high_watermark,
            messages: None,
            ends_closed_segment: false,
        };
        let log_end_offset = log.log_end_offset();
        if offset == log_end_offset {
            return Ok(nothing);
        }
        if offset > log_end_offset || offset < log.log_start_offset() {
            let first = log.log_start_offset();
            return Err(crate::log::Error::OffsetOutOfRange {
                asked: offset,
                first,
                end: log_end_offset,
            }
            .into());
        }
        let below = match reader {
            Reader::Follower(_) => None,
            Reader::Consumer | Reader::DebuggingConsumer => Some(high_watermark),
        };
        let max_bytes = u64::try_from(max_bytes).map_err(|_negative| Error::NegativeFetchSize(max_bytes))?;
        if max_bytes == 0 || below == Some(offset) {
            return Ok(nothing);
        }
        if below.is_some_and(|below| offset > below) {
            return Err(Error::NotCommitted {
                asked: offset,
                high_watermark,
            });
        }
        let read = log.read(offset, max_bytes, below)?;
        Ok(Found {
            high_watermark,
            messages: read.messages,
            ends_closed_segment: read.ends_closed_segment,
        })
    }

    /// The controller named a leader that is not alive, perhaps none. The partition gets its log; if this broker led, it
    /// does no more: what 0.8.2.2 still appends then is lost later. The epoch is not taken note of, so that an order with
    /// a leader may repeat it (ReplicaManager.makeFollowers).
    pub(crate) fn lose_leader(&self, log: Arc<Log>, checkpoint: i64) {
        let mut state = self.write_state();
        if state.log.is_none() {
            let high_watermark = self.known_high_watermark(&state, &log, checkpoint);
            state.log = Some(log);
            self.progress
                .send_modify(|progress| progress.high_watermark = high_watermark);
        }
        if matches!(state.role, Role::Leader(_)) {
            state.role = Role::Unassigned;
        }
        self.publish(&state);
    }

    /// Gives up its log and its role, so that the log can be deleted.
    pub(crate) fn detach(&self) {
        let mut state = self.write_state();
        state.log = None;
        state.role = Role::Unassigned;
        self.publish(&state);
    }

    /// The high watermark a new role starts with: what this process knows, else the checkpoint, capped by the log.
    fn known_high_watermark(&self, state: &State, log: &Log, checkpoint: i64) -> i64 {
        let known = if state.log.is_some() {
            self.high_watermark()
        } else {
            checkpoint
        };
        known.min(log.log_end_offset()).max(log.log_start_offset())
    }

    /// Publishes the new progress. The ISR's lock orders publications, so that the high watermark never moves back.
    fn publish(&self, state: &State) {
        let (leadership, guard) = match &state.role {
            Role::Leader(leading) => (leading.since, Some(lock(&leading.isr))),
            Role::Unassigned | Role::Follower(_) => (state.leader_epoch, None),
        };
        // Read under the ISR's lock: of two appends that publish, the later one sees both.
        let log_end_offset = state.log.as_ref().map_or(0, |log| log.log_end_offset());
        let flushed = state.log.as_ref().map_or(0, |log| log.recovery_point());
        self.progress.send_if_modified(|progress| {
            let standing = |progress: &Progress| {
                (
                    progress.leadership,
                    progress.leads,
                    progress.high_watermark,
                    progress.log_end_offset,
                    progress.flushed,
                )
            };
            let old = standing(progress);
            let mut followers_moved = false;
            if let Some(isr) = &guard {
                if isr.members().len() > 1 || !progress.follower_log_ends.is_empty() {
                    let log_ends = isr.follower_log_ends();
                    followers_moved = log_ends != progress.follower_log_ends;
                    progress.follower_log_ends = log_ends;
                }
                progress.high_watermark = isr.high_watermark(progress.high_watermark, log_end_offset);
            } else {
                progress.follower_log_ends = Arc::new([]);
            }
            progress.log_end_offset = log_end_offset;
            // A new segment sets the log's recovery point back by one, but makes nothing less durable.
            progress.flushed = if progress.leadership == leadership {
                progress.flushed.max(flushed)
            } else {
                flushed
            };
            progress.leadership = leadership;
            progress.leads = guard.is_some();
            old != standing(progress) || followers_moved
        });
    }

    /// The topic's `min.insync.replicas`.
    pub fn min_insync_replicas(&self) -> usize {
        self.read_state()
            .log
            .as_ref()
            .map_or(1, |log| required(&log.config()))
    }

    fn read_state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What a controller has ordered.
    fn ordered(log: Arc<Log>, role: Role, order: &PartitionState) -> Self {
        Self {
            log: Some(log),
            role,
            leader_epoch: order.leader_epoch,
            controller_epoch: order.controller_epoch,
            replicas: order.replicas.len(),
        }
    }

    fn leading(&self) -> Result<(&Arc<Log>, &Leading), Error> {
        match (&self.role, &self.log) {
            (Role::Leader(leading), Some(log)) => Ok((log, leading)),
            _ => Err(Error::NotLeader),
        }
    }
}

fn required(config: &LogConfig) -> usize {
    usize::try_from(config.min_in_sync_replicas).unwrap_or(usize::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
