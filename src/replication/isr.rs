//! Which followers keep up, and what that makes of the high watermark (pure).
//!
//! A change of the ISR has three moments: it is proposed here, written to ZooKeeper by others, and confirmed here.
//! Between the first and the last nobody knows which of the two sets the controller sees, so both count.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::types::BrokerId;

/// The leader's view of its followers.
///
/// Invariant: `isr` and `proposed` name only brokers of `followers` and the leader itself.
#[derive(Debug)]
pub(crate) struct Isr {
    me: BrokerId,
    isr: Vec<BrokerId>,
    /// The set that is being written, until it is known what became of it.
    proposed: Option<Vec<BrokerId>>,
    /// The version of the partition's node in ZooKeeper.
    version: i32,
    followers: BTreeMap<BrokerId, Follower>,
}

/// What the leader knows of one follower.
#[derive(Debug, Clone, Copy)]
struct Follower {
    /// Whether the controller has assigned it, rather than only left it in the ISR.
    assigned: bool,
    /// First offset it lacks; unknown until it has fetched since this leadership began.
    log_end_offset: Option<i64>,
    /// The last moment at which it had everything that the leader had.
    caught_up_at: Instant,
    /// Its last fetch, and where the leader's log ended then.
    last_fetch: Option<(Instant, i64)>,
}

/// A set that is to take the place of the ISR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    /// The new members.
    pub(crate) isr: Vec<BrokerId>,
    /// The version of the node that it replaces.
    pub(crate) version: i32,
}

impl Isr {
    /// The view at the start of a leadership: nobody has fetched yet.
    pub(crate) fn new(
        me: BrokerId,
        replicas: &[BrokerId],
        isr: &[BrokerId],
        version: i32,
        now: Instant,
    ) -> Self {
        let followers = replicas
            .iter()
            .chain(isr)
            .filter(|id| **id != me)
            .map(|id| {
                let follower = Follower {
                    assigned: replicas.contains(id),
                    log_end_offset: None,
                    caught_up_at: now,
                    last_fetch: None,
                };
                (*id, follower)
            })
            .collect();
        Self {
            me,
            isr: isr.to_vec(),
            proposed: None,
            version,
            followers,
        }
    }

    /// Takes over what `before` knew: the leadership goes on under another leader epoch. A member that the controller has
    /// put out is about to stop, or is gone: what it had says nothing until it fetches again.
    pub(crate) fn continuing(mut self, before: &Self) -> Self {
        for (id, follower) in &mut self.followers {
            let put_out = before.isr.contains(id) && !self.isr.contains(id);
            if let Some(known) = before.followers.get(id).filter(|_| !put_out) {
                *follower = Follower {
                    assigned: follower.assigned,
                    ..*known
                };
            }
        }
        self
    }

    /// Members of the ISR, in the order the controller or the last change gave them.
    pub(crate) fn members(&self) -> &[BrokerId] {
        &self.isr
    }

    /// The version of the partition's node in ZooKeeper.
    pub(crate) fn version(&self) -> i32 {
        self.version
    }

    /// Notes that a follower asks for `offset`, which proves that it has everything before it. An error proves nothing:
    /// then it is none. Answers whether that is another offset than before; nothing if the broker is no assigned follower.
    pub(crate) fn record_fetch(
        &mut self,
        id: BrokerId,
        offset: Option<i64>,
        leader_end: i64,
        now: Instant,
    ) -> Option<bool> {
        let follower = self.followers.get_mut(&id).filter(|follower| follower.assigned)?;
        let moved = follower.log_end_offset != offset;
        follower.log_end_offset = offset;
        if let Some(offset) = offset {
            if offset >= leader_end {
                follower.caught_up_at = now;
            } else if let Some((at, _)) = follower.last_fetch.filter(|(_, end)| offset >= *end) {
                // It has what there was when it last asked; what came since is not its fault.
                follower.caught_up_at = follower.caught_up_at.max(at);
            }
            follower.last_fetch = Some((now, leader_end));
        }
        Some(moved)
    }

    /// Whether this follower is outside the ISR and may come in: it has everything below `least`.
    pub(crate) fn may_join(&self, id: BrokerId, least: i64) -> bool {
        let is_member = self.isr.contains(&id) || self.proposed.as_ref().is_some_and(|isr| isr.contains(&id));
        let follower = self.followers.get(&id);
        !is_member
            && follower.is_some_and(|follower| {
                follower.assigned && follower.log_end_offset.is_some_and(|end| end >= least)
            })
    }

    /// The set that should take the place of the ISR: without members that have not caught up for longer than `lag`,
    /// with those followers that have everything below `least`. From now on both count. None if nothing is to be
    /// changed, or the last change is not settled yet.
    pub(crate) fn propose(&mut self, lag: Duration, least: i64, now: Instant) -> Option<Proposal> {
        if self.proposed.is_some() {
            return None;
        }
        let lags = |id: &BrokerId| {
            self.followers
                .get(id)
                .is_some_and(|follower| now.saturating_duration_since(follower.caught_up_at) > lag)
        };
        // One that is not heard of any more must not come back only because nothing was written meanwhile.
        let fetches = |follower: &Follower| {
            follower
                .last_fetch
                .is_some_and(|(at, _)| now.saturating_duration_since(at) <= lag)
        };
        let returning = self
            .followers
            .iter()
            .filter(|(id, follower)| fetches(follower) && self.may_join(**id, least))
            .map(|(id, _)| id);
        let isr: Vec<_> = self
            .isr
            .iter()
            .filter(|id| !lags(id))
            .chain(returning)
            .copied()
            .collect();
        if isr == self.isr {
            return None;
        }
        self.proposed = Some(isr.clone());
        Some(Proposal {
            isr,
            version: self.version,
        })
    }

    /// The node says this now.
    pub(crate) fn confirm(&mut self, isr: Vec<BrokerId>, version: i32, now: Instant) {
        for id in isr.iter().filter(|id| **id != self.me) {
            let unknown = Follower {
                assigned: false,
                log_end_offset: None,
                caught_up_at: now,
                last_fetch: None,
            };
            let follower = self.followers.entry(*id).or_insert(unknown);
            if !self.isr.contains(id) {
                follower.caught_up_at = now;
            }
        }
        for (id, follower) in &mut self.followers {
            if self.isr.contains(id) && !isr.contains(id) {
                follower.last_fetch = None;
            }
        }
        self.isr = isr;
        self.version = version;
        self.proposed = None;
    }

    /// Log end offsets of the followers in the ISR; -1 for those that have not fetched yet.
    pub(crate) fn follower_log_ends(&self) -> Arc<[i64]> {
        self.isr
            .iter()
            .filter(|id| **id != self.me)
            .map(|id| self.log_end_of(*id))
            .collect()
    }

    /// The smallest log end offset of the ISR and of the set that is to take its place: what all of them have. Never
    /// moves back behind `current`.
    pub(crate) fn high_watermark(&self, current: i64, log_end_offset: i64) -> i64 {
        let committed = self
            .isr
            .iter()
            .chain(self.proposed.iter().flatten())
            .filter(|id| **id != self.me)
            .map(|id| self.log_end_of(*id))
            .fold(log_end_offset, i64::min);
        current.max(committed)
    }

    fn log_end_of(&self, id: BrokerId) -> i64 {
        self.followers
            .get(&id)
            .and_then(|follower| follower.log_end_offset)
            .unwrap_or(-1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: BrokerId = BrokerId(1);
    const TWO: BrokerId = BrokerId(2);
    const THREE: BrokerId = BrokerId(3);
    const LAG: Duration = Duration::from_secs(10);

    fn isr(replicas: &[BrokerId], isr: &[BrokerId]) -> (Isr, Instant) {
        let now = Instant::now();
        (Isr::new(ME, replicas, isr, 4, now), now)
    }

    #[test]
    fn the_high_watermark_is_what_the_whole_isr_has() {
        let (mut isr, now) = isr(&[ME, TWO, THREE], &[ME, TWO]);
        assert_eq!(*isr.follower_log_ends(), [-1]);
        assert_eq!(isr.high_watermark(3, 10), 3);

        assert_eq!(isr.record_fetch(TWO, Some(7), 10, now), Some(true));
        assert_eq!(isr.record_fetch(TWO, Some(7), 10, now), Some(false));
        assert_eq!(isr.record_fetch(THREE, Some(1), 10, now), Some(true));
        assert_eq!(isr.high_watermark(3, 10), 7);
    }

    /// 0.8.2.2 takes the difference of two offsets for an `int`, so that far ends compare the wrong way.
    #[test]
    fn offsets_beyond_32_bits_compare_as_they_should() {
        let (mut isr, now) = isr(&[ME, TWO], &[ME, TWO]);
        let far = 3_000_000_000;
        assert_eq!(isr.high_watermark(5, far), 5, "who has not fetched has nothing");
        isr.record_fetch(TWO, Some(2), far, now);
        assert_eq!(isr.high_watermark(1, far), 2);
    }

    #[test]
    fn alone_in_the_isr_everything_written_is_committed() {
        let (isr, _) = isr(&[ME], &[ME]);
        assert_eq!(isr.high_watermark(0, 10), 10);
        assert_eq!(isr.members(), [ME]);
    }

    #[test]
    fn a_fetch_of_a_broker_that_is_not_assigned_is_no_acknowledgement() {
        let (mut isr, now) = isr(&[ME, TWO], &[ME, TWO, THREE]);
        assert_eq!(isr.record_fetch(BrokerId(9), Some(5), 5, now), None);
        assert_eq!(isr.record_fetch(ME, Some(5), 5, now), None);
        let left = isr.record_fetch(THREE, Some(5), 5, now);
        assert_eq!(left, None, "only left in the ISR");
        isr.record_fetch(TWO, Some(5), 5, now);
        assert_eq!(isr.high_watermark(0, 5), 0, "the controller may still elect it");
    }

    #[test]
    fn who_has_not_caught_up_for_too_long_is_put_out() {
        let (mut isr, start) = isr(&[ME, TWO, THREE], &[THREE, ME, TWO]);
        let later = start + LAG;
        assert_eq!(isr.propose(LAG, 0, later), None, "not longer than that");
        isr.record_fetch(TWO, Some(5), 5, later);
        // Progress is not enough, and asking for what it could not get is none.
        isr.record_fetch(THREE, Some(1), 5, later);
        isr.record_fetch(THREE, None, 5, later);
        let proposal = isr.propose(LAG, 0, later + Duration::from_millis(1)).unwrap();
        let expected = Proposal {
            isr: vec![ME, TWO],
            version: 4,
        };
        assert_eq!(proposal, expected);
    }

    #[test]
    fn who_always_has_what_there_was_a_fetch_ago_keeps_up() {
        let (mut isr, start) = isr(&[ME, TWO], &[ME, TWO]);
        for second in 1..=30 {
            let now = start + Duration::from_secs(second);
            let offset = i64::try_from(second).unwrap() * 100_000;
            isr.record_fetch(TWO, Some(offset), offset + 100_000, now);
            assert_eq!(isr.propose(LAG, 0, now), None, "{second}");
        }
    }

    #[test]
    fn while_a_change_is_under_way_both_sets_count() {
        let (mut isr, start) = isr(&[ME, TWO, THREE], &[ME, TWO]);
        let later = start + 2 * LAG;
        isr.record_fetch(TWO, Some(3), 9, later);
        isr.record_fetch(THREE, Some(6), 9, later);
        let proposal = isr.propose(LAG, 6, later).unwrap();
        assert_eq!(proposal.isr, [ME, THREE]);
        assert_eq!(isr.high_watermark(0, 9), 3, "the old member still counts");
        isr.record_fetch(TWO, Some(9), 9, later);
        assert_eq!(isr.high_watermark(0, 9), 6, "the new one counts already");
        assert_eq!(isr.propose(LAG, 6, later), None, "one change at a time");

        isr.confirm(proposal.isr, 5, later);
        assert_eq!((isr.members(), isr.version()), (&[ME, THREE][..], 5));
        isr.record_fetch(TWO, Some(9), 9, later);
        assert_eq!(isr.propose(LAG, 6, later).unwrap().isr, [ME, THREE, TWO]);
    }

    #[test]
    fn a_follower_rejoins_only_with_everything_that_is_committed() {
        let (mut isr, now) = isr(&[ME, TWO], &[ME]);
        assert!(!isr.may_join(TWO, 0), "it has not fetched");
        isr.record_fetch(TWO, Some(6), 9, now);
        assert!(!isr.may_join(TWO, 7));
        assert!(isr.may_join(TWO, 6));
        assert!(!isr.may_join(ME, 0));
    }

    #[test]
    fn who_is_not_heard_of_any_more_does_not_come_back() {
        let (mut isr, start) = isr(&[ME, TWO], &[ME, TWO]);
        isr.record_fetch(TWO, Some(6), 6, start);
        let later = start + 2 * LAG;
        assert_eq!(isr.propose(LAG, 6, later).unwrap().isr, [ME]);
        isr.confirm(vec![ME], 5, later);
        assert_eq!(isr.propose(LAG, 6, later), None, "although it has everything");
        isr.record_fetch(TWO, Some(6), 6, later);
        assert_eq!(isr.propose(LAG, 6, later).unwrap().isr, [ME, TWO]);
    }

    /// With nothing written meanwhile it still has everything, as far as its last fetch tells.
    #[test]
    fn whom_the_controller_has_put_out_comes_back_only_by_a_fetch() {
        let (mut before, now) = isr(&[ME, TWO], &[ME, TWO]);
        before.record_fetch(TWO, Some(6), 6, now);
        let mut after = Isr::new(ME, &[ME, TWO], &[ME], 5, now).continuing(&before);
        assert_eq!(after.propose(LAG, 6, now), None);
        after.record_fetch(TWO, Some(6), 6, now);
        assert_eq!(after.propose(LAG, 6, now).unwrap().isr, [ME, TWO]);

        // The same if the leader only reads that it was put out.
        before.confirm(vec![ME], 5, now);
        assert_eq!(before.propose(LAG, 6, now), None);
        before.record_fetch(TWO, Some(6), 6, now);
        assert_eq!(before.propose(LAG, 6, now).unwrap().isr, [ME, TWO]);
    }

    #[test]
    fn a_leadership_that_goes_on_remembers_its_followers() {
        let (mut before, now) = isr(&[ME, TWO, THREE], &[ME, TWO, THREE]);
        before.record_fetch(TWO, Some(6), 6, now);
        before.record_fetch(THREE, Some(2), 6, now);
        let after = Isr::new(ME, &[ME, TWO], &[ME, TWO], 5, now).continuing(&before);
        assert_eq!(after.high_watermark(0, 6), 6);
        assert_eq!(after.version(), 5);
    }
}
