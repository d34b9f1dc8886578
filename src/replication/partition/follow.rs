//! Following: taking what a leader sends, and finding out where the log differs from the leader's.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use bytes::Bytes;

use super::Partition;
use super::Role;
use super::State;
use super::lock;
use crate::log;
use crate::log::CleanupPolicy;
use crate::log::Log;
use crate::log::Logs;
use crate::message::entry::EntryHeader;
use crate::message::entry::HEADER_LEN;
use crate::protocol::fetch::PartitionFetched;
use crate::protocol::leader_and_isr::PartitionState;
use crate::replication::error::Error;
use crate::replication::reconcile::OutOfRange;
use crate::replication::reconcile::Position;
use crate::replication::reconcile::Then;
use crate::replication::reconcile::compare;
use crate::replication::reconcile::out_of_range;
use crate::types::BrokerId;

/// Whom this broker follows.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) leader: BrokerId,
    /// The leader epoch with which it began. Answers to fetches of before are not taken any more.
    since: i32,
    copy: Mutex<Copy>,
}

/// How far the copy is.
#[derive(Debug, Clone, Copy)]
struct Copy {
    position: Position,
    /// Messages behind the leader's high watermark.
    lag: i64,
    /// It can't go on without losing committed messages, which the topic forbids.
    halted: bool,
}

/// What came of an answer to a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was taken.
    All,
    /// Not even the first message was whole: it takes this many bytes.
    TooLarge(usize),
    /// The partition is somewhere else by now.
    Outdated,
}

impl Partition {
    /// Starts to follow a leader, or goes on following it, at a new leader epoch. Nothing is truncated before the leader
    /// has shown what is to be kept. Answers the epoch with which the following began.
    pub(crate) fn become_follower(
        &self,
        log: Arc<Log>,
        leader: BrokerId,
        order: &PartitionState,
        checkpoint: i64,
    ) -> i32 {
        let mut state = self.write_state();
        let high_watermark = self.known_high_watermark(&state, &log, checkpoint);
        let follows_on = order.leader_epoch == state.leader_epoch.saturating_add(1);
        let (since, copy) = match &state.role {
            Role::Follower(before) if follows_on && before.leader == leader && !before.copy().halted => {
                (before.since, before.copy())
            }
            _ => {
                let copy = Copy {
                    position: beginning(&log, high_watermark),
                    lag: 0,
                    halted: false,
                };
                (order.leader_epoch, copy)
            }
        };
        let following = Following {
            leader,
            since,
            copy: Mutex::new(copy),
        };
        *state = State::ordered(log, Role::Follower(following), order);
        self.progress
            .send_modify(|progress| progress.high_watermark = high_watermark);
        self.publish(&state);
        since
    }

    /// The next offset to fetch, as long as this broker follows since that epoch and can go on.
    pub(crate) fn next_fetch(&self, since: i32) -> Option<i64> {
        let state = self.read_state();
        let (_log, following) = state.following(since)?;
        let copy = following.copy();
        (!copy.halted).then_some(copy.position.next)
    }

    /// Whether there is something here that was not compared with the leader's yet, and may have to be cut off.
    pub(crate) fn compares(&self, since: i32) -> bool {
        self.read_state()
            .following(since)
            .is_some_and(|(log, following)| following.copy().position.next < log.log_end_offset())
    }

    /// Messages behind the leader's high watermark, if this broker follows.
    pub fn lag(&self) -> Option<i64> {
        match &self.read_state().role {
            Role::Follower(following) => Some(following.copy().lag),
            Role::Unassigned | Role::Leader(_) => None,
        }
    }

    /// Whether this broker follows but can't go on, because its leader lacks committed messages.
    pub fn is_halted(&self) -> bool {
        matches!(&self.read_state().role, Role::Follower(following) if following.copy().halted)
    }

    /// Takes what the leader answered to a fetch from `asked`. Blocks on the disk.
    pub(crate) fn take_fetched(
        &self,
        since: i32,
        asked: i64,
        fetched: &PartitionFetched<Bytes>,
        logs: &Logs,
    ) -> Result<Taken, Error> {
        let state = self.read_state();
        let Some((log, mut copy)) = state.copy_at(since, asked) else {
            return Ok(Taken::Outdated);
        };
        let messages = fetched.messages.as_deref().unwrap_or_default();
        if !messages.is_empty()
            && let Some(needed) = bytes_missing(messages)
        {
            return Ok(Taken::TooLarge(needed));
        }
        // Most answers bring nothing for most partitions.
        let nothing = messages.is_empty() && copy.position.next == log.log_end_offset();
        if !nothing {
            self.take_messages(log, &mut copy, messages, logs)?;
        }
        let next = copy.position.next;
        copy.lag = fetched.high_watermark.saturating_sub(next).max(0);
        if nothing && fetched.high_watermark.min(next) <= self.high_watermark() {
            return Ok(Taken::All);
        }
        if copy.position.anchored {
            let high_watermark = fetched.high_watermark.min(next);
            self.progress.send_if_modified(|progress| {
                let moves = high_watermark > progress.high_watermark;
                if moves {
                    progress.high_watermark = high_watermark;
                }
                moves
            });
        }
        drop(copy);
        self.publish(&state);
        Ok(Taken::All)
    }

    /// Compares with what is there already, cuts off what the leader doesn't have, and appends the rest.
    fn take_messages(&self, log: &Log, copy: &mut Copy, messages: &[u8], logs: &Logs) -> Result<(), Error> {
        let start = log.log_start_offset();
        if copy.position.next < start {
            // Retention has been faster than the comparison. Were the leader's end before, it would have said so.
            copy.position = Position::at(start);
            return Ok(());
        }
        let mut theirs = messages;
        // The leader's log ends where nothing comes: what is beyond here was never there, or is not any more.
        let mut differs = messages.is_empty();
        while copy.position.next < log.log_end_offset() {
            if !differs {
                let ours = read(log, copy.position.next, theirs.len())?;
                let compared = compare(theirs, &ours);
                theirs = theirs.get(compared.bytes..).unwrap_or_default();
                if let Some(end) = compared.end {
                    copy.position = copy.position.advanced(end);
                }
                differs = match compared.then {
                    Then::TheirsEnd => return Ok(()),
                    Then::Differ => true,
                    // One of theirs is whole, and what is here in its place takes more bytes, or isn't here.
                    Then::OursEnd => compared.end.is_none(),
                };
                continue;
            }
            if !copy.position.anchored {
                copy.position = copy.position.back(log.log_start_offset());
                return Ok(());
            }
            if !self.cut(log, copy, logs)? {
                return Ok(());
            }
        }
        if !theirs.is_empty() {
            let appended = log.append_replicated(theirs)?;
            copy.position = copy.position.advanced(appended.end_offset);
        }
        Ok(())
    }

    /// Cuts off what the leader doesn't have. Not if that was committed and the topic forbids to lose it: then this
    /// replica waits for another leader. 0.8.2.2 stops the whole broker (KAFKA-3410).
    fn cut(&self, log: &Log, copy: &mut Copy, logs: &Logs) -> Result<bool, Error> {
        let name = &self.topic_partition;
        let (to, high_watermark) = (copy.position.next, self.high_watermark());
        if to < high_watermark {
            if !log.config().unclean_leader_election {
                tracing::error!(
                    "{name}: the leader lacks committed messages ({to} to {high_watermark}), and the topic forbids to lose them: \
                     not following until there is another leader epoch"
                );
                copy.halted = true;
                return Ok(false);
            }
            tracing::warn!(
                "{name}: the leader lacks committed messages ({to} to {high_watermark}); they are lost here, too"
            );
        }
        logs.truncate_to(&BTreeMap::from([(name.clone(), to)]))?;
        self.progress.send_modify(|progress| {
            progress.high_watermark = progress.high_watermark.min(to);
        });
        Ok(true)
    }

    /// Goes on after the leader had nothing at `asked`; these are its first and its end offset, asked for afterwards.
    /// Blocks on the disk.
    pub(crate) fn take_out_of_range(
        &self,
        since: i32,
        asked: i64,
        leader: (i64, i64),
        logs: &Logs,
    ) -> Result<Taken, Error> {
        let state = self.read_state();
        let Some((log, mut copy)) = state.copy_at(since, asked) else {
            return Ok(Taken::Outdated);
        };
        let ours = (log.log_start_offset(), log.log_end_offset());
        let name = &self.topic_partition;
        tracing::info!("{name}: asked for {asked} of {leader:?}, {ours:?} are here");
        match out_of_range(asked, ours, leader) {
            OutOfRange::AskAgain => {}
            OutOfRange::Continue(position) => copy.position = position,
            OutOfRange::Cut(to) => {
                copy.position = Position::at(to);
                self.cut(log, &mut copy, logs)?;
            }
            OutOfRange::Restart(offset) => {
                tracing::warn!(
                    "{name}: the leader starts at {offset}, beyond everything here; starting anew"
                );
                logs.truncate_fully_and_start_at(name, offset)?;
                copy.position = Position::at(offset);
                self.progress
                    .send_modify(|progress| progress.high_watermark = offset);
            }
        }
        drop(copy);
        self.publish(&state);
        Ok(Taken::All)
    }

    /// What is here can't be continued with what came: finds out anew where the logs differ.
    pub(crate) fn compare_again(&self, since: i32) {
        let state = self.read_state();
        if let Some((log, following)) = state.following(since) {
            lock(&following.copy).position = beginning(log, self.high_watermark());
        }
    }
}

/// Where to begin to compare with the leader.
fn beginning(log: &Log, high_watermark: i64) -> Position {
    // Compaction makes equal logs differ below the high watermark.
    match log.config().cleanup_policy {
        CleanupPolicy::Compact => Position::at(high_watermark),
        CleanupPolicy::Delete => Position::before(log.log_start_offset(), high_watermark),
    }
}

impl Following {
    fn copy(&self) -> Copy {
        *lock(&self.copy)
    }
}

impl State {
    fn following(&self, since: i32) -> Option<(&Arc<Log>, &Following)> {
        match (&self.role, &self.log) {
            (Role::Follower(following), Some(log)) if following.since == since => Some((log, following)),
            _ => None,
        }
    }

    /// The copy, if it goes on at this offset since that epoch.
    fn copy_at(&self, since: i32, offset: i64) -> Option<(&Arc<Log>, MutexGuard<'_, Copy>)> {
        let (log, following) = self.following(since)?;
        let copy = lock(&following.copy);
        (!copy.halted && copy.position.next == offset).then_some((log, copy))
    }
}

/// How many bytes it takes to fetch the first entry, if it isn't whole.
fn bytes_missing(messages: &[u8]) -> Option<usize> {
    // Twice as much: the size of the message is cut off, too.
    let twice = || Some(messages.len().saturating_mul(2).max(HEADER_LEN));
    let Some(header) = messages.first_chunk() else {
        return twice();
    };
    // What is no entry is refused when it is appended.
    let needed = EntryHeader::parse(header).ok()?.len;
    (needed > messages.len()).then_some(needed)
}

/// The entries from `offset` on, as far as they are in one segment, at most so many bytes of them.
fn read(log: &Log, offset: i64, max_bytes: usize) -> Result<Vec<u8>, Error> {
    let found = match log.read(offset, u64::try_from(max_bytes).unwrap_or(u64::MAX), None) {
        Ok(read) => read.messages,
        // The log starts later.
        Err(log::Error::OffsetOutOfRange { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let Some(slice) = found else {
        return Ok(Vec::new());
    };
    let mut bytes = vec![0; usize::try_from(slice.len).unwrap_or(max_bytes)];
    slice
        .file
        .read_exact_at(&mut bytes, slice.position)
        .map_err(|source| log::Error::Io {
            path: log.directory().join(log.topic_partition().to_string()),
            source,
        })?;
    Ok(bytes)
}
