//! The flush that `flush.messages` asks for, shared by all who append while it goes on.
//!
//! Whoever finds nobody flushing does it at once, in the calling thread: a hop to another one takes as long as the disk.
//! Everybody else asks for one more flush and waits for the partition's progress. It is done in a thread of its own, again
//! and again until nobody has asked meanwhile, so that no producer has to flush for the others before it gets its answer.

use std::sync::Arc;
use std::sync::Mutex;

use super::Partition;
use super::lock;
use crate::blocking;
use crate::log::Log;
use crate::replication::error::Error;

/// Whose turn it is to flush.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<Phase>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Flushing,
    /// Somebody has appended since the flush began, and wants another one.
    Asked,
}

impl Turn {
    /// Whether the caller is to flush; if not, whoever does will do it once more.
    pub(super) fn take(&self) -> bool {
        let mut phase = lock(&self.0);
        let mine = *phase == Phase::Idle;
        *phase = if mine { Phase::Flushing } else { Phase::Asked };
        mine
    }

    /// After a flush: whether another one was asked for.
    fn is_asked(&self) -> bool {
        let mut phase = lock(&self.0);
        let asked = *phase == Phase::Asked;
        *phase = if asked { Phase::Flushing } else { Phase::Idle };
        asked
    }

    fn give_up(&self) {
        *lock(&self.0) = Phase::Idle;
    }
}

impl Partition {
    /// Flushes, unless somebody else is about to; whether it did.
    pub(super) fn flush(self: &Arc<Self>, log: &Arc<Log>) -> Result<bool, Error> {
        if !self.turn.take() {
            return Ok(false);
        }
        // Other connections of this thread go on elsewhere meanwhile.
        let flushed = blocking::in_place(|| log.flush());
        if let Err(error) = flushed {
            self.turn.give_up();
            return Err(error.into());
        }
        if self.turn.is_asked() {
            let (partition, log) = (Arc::clone(self), Arc::clone(log));
            tokio::task::spawn_blocking(move || partition.flush_for_others(&log));
        }
        Ok(true)
    }

    pub(super) fn flush_for_others(&self, log: &Log) {
        loop {
            if let Err(error) = log.flush() {
                // The log accepts nothing more, so that the next append stops the broker. Those who wait get no answer.
                tracing::error!("{}: flush: {error}", self.topic_partition);
                return self.turn.give_up();
            }
            self.publish(&self.read_state());
            if !self.turn.is_asked() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flushes_and_is_asked_to_do_it_once_more() {
        let turn = Turn::default();
        assert!(turn.take());
        assert!(!turn.take());
        assert!(!turn.take());
        assert!(turn.is_asked(), "for both of them");
        assert!(!turn.take(), "while it goes on");
        assert!(turn.is_asked());
        assert!(!turn.is_asked());
        assert!(turn.take());
        turn.give_up();
        assert!(turn.take());
    }
}
