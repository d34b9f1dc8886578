//! Which followers keep up, and what that makes of the high watermark (pure).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::types::BrokerId;

/// The leader's view of its followers.
///
/// Invariant: `isr` names only brokers of `followers` and the leader itself.
#[derive(Debug)]
pub(crate) struct Isr {
    me: BrokerId,
    isr: Vec<BrokerId>,
    followers: BTreeMap<BrokerId, Follower>,
}

/// What the leader knows of one follower.
#[derive(Debug, Clone, Copy)]
struct Follower {
    /// First offset it lacks; unknown until it has fetched since this leadership began.
    log_end_offset: Option<i64>,
}

impl Isr {
    /// The view at the start of a leadership: nobody has fetched yet.
    pub(crate) fn new(me: BrokerId, replicas: &[BrokerId], isr: &[BrokerId]) -> Self {
        let unknown = Follower { log_end_offset: None };
        let followers = replicas
            .iter()
            .chain(isr)
            .filter(|id| **id != me)
            .map(|id| (*id, unknown))
            .collect();
        Self {
            me,
            isr: isr.to_vec(),
            followers,
        }
    }

    /// Members of the ISR, in the order the controller or the last change gave them.
    pub(crate) fn members(&self) -> &[BrokerId] {
        &self.isr
    }

    /// Notes that a follower asks for `offset`, which proves that it has everything before it.
    /// Answers whether the broker is an assigned follower at all.
    pub(crate) fn record_fetch(&mut self, id: BrokerId, offset: Option<i64>) -> bool {
        match self.followers.get_mut(&id) {
            Some(follower) => {
                *follower = Follower {
                    log_end_offset: offset,
                };
                true
            }
            None => false,
        }
    }

    /// Log end offsets of the followers in the ISR; -1 for those that have not fetched yet.
    pub(crate) fn follower_log_ends(&self) -> Arc<[i64]> {
        self.isr
            .iter()
            .filter(|id| **id != self.me)
            .map(|id| {
                self.followers
                    .get(id)
                    .and_then(|follower| follower.log_end_offset)
                    .unwrap_or(-1)
            })
            .collect()
    }

    /// The smallest log end offset of the ISR: what all its members have. Never moves back behind `current`.
    pub(crate) fn high_watermark(current: i64, log_end_offset: i64, follower_log_ends: &[i64]) -> i64 {
        let committed = follower_log_ends
            .iter()
            .copied()
            .min()
            .unwrap_or(i64::MAX)
            .min(log_end_offset);
        current.max(committed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_watermark_is_what_the_whole_isr_has() {
        let mut isr = Isr::new(
            BrokerId(1),
            &[BrokerId(1), BrokerId(2), BrokerId(3)],
            &[BrokerId(1), BrokerId(2)],
        );
        assert_eq!(*isr.follower_log_ends(), [-1]);
        assert_eq!(Isr::high_watermark(3, 10, &isr.follower_log_ends()), 3);

        assert!(isr.record_fetch(BrokerId(2), Some(7)));
        assert!(isr.record_fetch(BrokerId(3), Some(1)));
        assert_eq!(Isr::high_watermark(3, 10, &isr.follower_log_ends()), 7);
    }

    #[test]
    fn alone_in_the_isr_everything_written_is_committed() {
        let isr = Isr::new(BrokerId(1), &[BrokerId(1)], &[BrokerId(1)]);
        assert_eq!(Isr::high_watermark(0, 10, &isr.follower_log_ends()), 10);
        assert_eq!(isr.members(), [BrokerId(1)]);
    }

    #[test]
    fn a_fetch_of_a_broker_that_is_not_assigned_is_no_acknowledgement() {
        let mut isr = Isr::new(BrokerId(1), &[BrokerId(1)], &[BrokerId(1)]);
        assert!(!isr.record_fetch(BrokerId(9), Some(5)));
        assert!(!isr.record_fetch(BrokerId(1), Some(5)));
    }
}
