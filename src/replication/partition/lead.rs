//! Leading: what followers have, and who of them is in sync.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use super::Partition;
use super::Role;
use super::State;
use super::lock;
use crate::log::Log;
use crate::protocol::leader_and_isr::PartitionState;
use crate::replication::error::Error;
use crate::replication::isr::Isr;
use crate::types::BrokerId;
use crate::zookeeper;
use crate::zookeeper::Versioned;

/// A leadership of this broker.
#[derive(Debug)]
pub(super) struct Leading {
    /// The leader epoch with which it began.
    pub(super) since: i32,
    /// Where the log ended then. What is before may be committed, even if the high watermark doesn't say so yet.
    start_offset: i64,
    /// The newest connection of a follower then: what comes on it, or on older ones, may be of an earlier leadership.
    heard_before: u64,
    pub(super) isr: Mutex<Isr>,
}

/// A change of the ISR that is to be written to ZooKeeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IsrChange {
    /// What the partition's node is to say, and the version that it replaces.
    pub(crate) state: Versioned<zookeeper::PartitionState>,
    /// How many members the ISR has before.
    pub(crate) members_before: usize,
}

impl Leading {
    fn hears(&self, connection: u64) -> Result<(), Error> {
        if connection > self.heard_before {
            Ok(())
        } else {
            Err(Error::OldConnection)
        }
    }
}

impl Partition {
    /// The ISR and the version of its node, if this broker leads.
    pub fn isr(&self) -> Option<(Vec<BrokerId>, i32)> {
        let state = self.read_state();
        let (_log, leading) = state.leading().ok()?;
        let isr = lock(&leading.isr);
        Some((isr.members().to_vec(), isr.version()))
    }

    /// [`Error::OldConnection`] if a follower asks on a connection from before this leadership.
    pub fn hears(&self, connection: u64) -> Result<(), Error> {
        let state = self.read_state();
        let (_log, leading) = state.leading()?;
        leading.hears(connection)
    }

    /// Notes where a follower's fetch on this connection stands, which may move the high watermark. `offset` is none after
    /// an error.
    pub fn record_fetch(
        &self,
        (follower, connection): (BrokerId, u64),
        offset: Option<i64>,
    ) -> Result<(), Error> {
        let state = self.read_state();
        let (log, leading) = state.leading()?;
        leading.hears(connection)?;
        let log_end_offset = log.log_end_offset();
        let (moved, is_member) = {
            let mut isr = lock(&leading.isr);
            let moved = isr.record_fetch(follower, offset, log_end_offset, Instant::now());
            let moved = moved.ok_or(Error::NotAFollower(follower))?;
            (moved, isr.members().contains(&follower))
        };
        // Most fetches find most partitions where they were.
        if moved {
            self.publish(&state);
        }
        if !is_member && lock(&leading.isr).may_join(follower, self.least_in_sync(leading)) {
            self.candidates.add(&self.topic_partition);
        }
        Ok(())
    }

    /// What a follower must have to be in sync. After a change of leader the high watermark lags behind what is
    /// committed, which the new leader has: 0.8.2.2 lets followers in that lack some of it.
    fn least_in_sync(&self, leading: &Leading) -> i64 {
        self.high_watermark().max(leading.start_offset)
    }

    /// Takes the lead at a new leader epoch. `checkpoint` is the high watermark known from disk. Answers the epoch with
    /// which the leadership began.
    pub(crate) fn become_leader(&self, log: Arc<Log>, order: &PartitionState, checkpoint: i64) -> i32 {
        let mut state = self.write_state();
        let high_watermark = self.known_high_watermark(&state, &log, checkpoint);
        let now = Instant::now();
        let isr = Isr::new(self.me, &order.replicas, &order.isr, order.zk_version, now);
        let follows_on = order.leader_epoch == state.leader_epoch.saturating_add(1);
        let leading = match &state.role {
            Role::Leader(before) if follows_on => Leading {
                since: before.since,
                start_offset: before.start_offset,
                heard_before: before.heard_before,
                isr: Mutex::new(isr.continuing(&lock(&before.isr))),
            },
            _ => Leading {
                since: order.leader_epoch,
                start_offset: log.log_end_offset(),
                // The first leader of all has nobody before it.
                heard_before: if order.leader_epoch == 0 {
                    0
                } else {
                    self.connections.newest()
                },
                isr: Mutex::new(isr),
            },
        };
        let since = leading.since;
        *state = State::ordered(log, Role::Leader(leading), order);
        self.progress
            .send_modify(|progress| progress.high_watermark = high_watermark);
        self.publish(&state);
        since
    }

    /// The change that the ISR needs, if any; until it is settled the old and the new set count.
    pub(crate) fn propose_isr(&self, lag: Duration) -> Option<IsrChange> {
        let state = self.read_state();
        let (_log, leading) = state.leading().ok()?;
        let mut isr = lock(&leading.isr);
        let members_before = isr.members().len();
        let proposal = isr.propose(lag, self.least_in_sync(leading), Instant::now())?;
        let value = zookeeper::PartitionState {
            leader: Some(self.me),
            leader_epoch: state.leader_epoch,
            isr: proposal.isr,
            controller_epoch: state.controller_epoch,
        };
        Some(IsrChange {
            state: Versioned {
                value,
                version: proposal.version,
            },
            members_before,
        })
    }

    /// Whether the change still belongs to what this broker is.
    pub(crate) fn awaits(&self, change: &IsrChange) -> bool {
        let state = self.read_state();
        state.leading().is_ok() && state.leader_epoch == change.state.value.leader_epoch
    }

    /// The partition's node says this after a change was tried: it is settled, unless the leadership is over by now.
    pub(crate) fn settle_isr(&self, change: &IsrChange, found: Versioned<Vec<BrokerId>>) -> bool {
        let state = self.read_state();
        let Ok((_log, leading)) = state.leading() else {
            return false;
        };
        if state.leader_epoch != change.state.value.leader_epoch {
            return false;
        }
        lock(&leading.isr).confirm(found.value, found.version, Instant::now());
        self.publish(&state);
        true
    }

    /// Stops leading, because the partition's node says that the leadership in which `change` was tried is over. Who
    /// leads now is for the controller to say.
    pub(crate) fn depose(&self, change: &IsrChange) -> bool {
        let mut state = self.write_state();
        let leads = matches!(state.role, Role::Leader(_));
        let deposed = leads && state.leader_epoch == change.state.value.leader_epoch;
        if deposed {
            state.role = Role::Unassigned;
            self.publish(&state);
        }
        deposed
    }
}
