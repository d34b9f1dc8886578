//! Who leads when a leader is gone, and what is left of the in-sync replicas.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::controller::ElectionPolicy;
use crate::controller::plan::Decision;
use crate::controller::state::ClusterState;
use crate::controller::state::Leadership;
use crate::types::BrokerId;
use crate::types::TopicPartition;

/// Elects leaders for many partitions of one plan, so that it knows how many each broker has got.
#[derive(Debug)]
pub(crate) struct Elections<'a> {
    state: &'a ClusterState,
    /// Leaderships per broker, those decided here included; counted only if the policy asks for it.
    led: BTreeMap<BrokerId, usize>,
}

impl<'a> Elections<'a> {
    /// In the cluster as it is.
    pub(crate) fn new(state: &'a ClusterState) -> Self {
        let mut led = BTreeMap::new();
        if state.policy == ElectionPolicy::Balanced {
            for leader in state
                .leaderships
                .values()
                .filter_map(|leadership| leadership.leader)
            {
                *led.entry(leader).or_default() += 1;
            }
        }
        Self { state, led }
    }

    /// Picks a leader for a partition whose leader can't go on, or `None` if it stays without.
    ///
    /// An eligible in-sync replica wins, in assignment order or the one with fewer leaderships; only then, and only if
    /// allowed, any eligible replica, which loses the messages it had not copied.
    pub(crate) fn elect(&mut self, partition: &TopicPartition, current: &Leadership) -> Option<Decision> {
        let assigned = self.state.assignments.get(partition)?;
        let state = self.state;
        self.elect_from(partition, current, assigned, |id| state.is_eligible(id))
    }

    /// The same among these replicas, in their order, and where `may_lead` says so.
    pub(crate) fn elect_from(
        &mut self,
        partition: &TopicPartition,
        current: &Leadership,
        candidates: &[BrokerId],
        may_lead: impl Fn(BrokerId) -> bool,
    ) -> Option<Decision> {
        let isr: Vec<_> = current.isr.iter().copied().filter(|id| may_lead(*id)).collect();
        let in_sync = candidates.iter().copied().filter(|id| isr.contains(id));
        let clean = self.preferred_of(in_sync);
        let any = || {
            let allowed = self.state.unclean_allowed(&partition.topic);
            let live = candidates.iter().copied().filter(|id| may_lead(*id));
            allowed.then(|| self.preferred_of(live)).flatten()
        };
        let leader = clean.or_else(any)?;
        self.moved(current.leader, leader);
        let leadership = Leadership {
            leader: Some(leader),
            leader_epoch: current.leader_epoch.wrapping_add(1),
            isr: if clean.is_some() { isr } else { vec![leader] },
            controller_epoch: self.state.controller_epoch,
            zk_version: current.zk_version,
        };
        Some(Decision {
            unclean: clean.is_none(),
            ..Decision::update(partition, leadership)
        })
    }

    /// Which of these leads.
    pub(crate) fn preferred_of(&self, mut candidates: impl Iterator<Item = BrokerId>) -> Option<BrokerId> {
        match self.state.policy {
            ElectionPolicy::Assignment => candidates.next(),
            // The first of those with the fewest.
            ElectionPolicy::Balanced => {
                candidates.min_by_key(|id| self.led.get(id).copied().unwrap_or_default())
            }
        }
    }

    /// Counts a leadership that moves.
    pub(crate) fn moved(&mut self, from: Option<BrokerId>, to: BrokerId) {
        if self.state.policy == ElectionPolicy::Balanced {
            if let Some(before) = from.and_then(|from| self.led.get_mut(&from)) {
                *before = before.saturating_sub(1);
            }
            *self.led.entry(to).or_default() += 1;
        }
    }
}

/// Whether only a replica that is not in sync could lead, so that the topic's own settings must be known.
pub(crate) fn needs_unclean(state: &ClusterState, partition: &TopicPartition) -> bool {
    state
        .leaderships
        .get(partition)
        .is_some_and(|leadership| !leadership.isr.iter().any(|id| state.is_eligible(*id)))
}

/// The same leader at the next epoch, so that all replicas take notice.
pub(crate) fn confirmed(current: &Leadership, controller_epoch: i32) -> Leadership {
    Leadership {
        leader_epoch: current.leader_epoch.wrapping_add(1),
        controller_epoch,
        ..current.clone()
    }
}

/// What is left of a leadership without these replicas, if it named any of them.
///
/// The last in-sync replica of a topic that must not lose messages stays in the set: only it may lead again.
pub(crate) fn without(
    current: &Leadership,
    gone: &BTreeSet<BrokerId>,
    unclean_allowed: bool,
    controller_epoch: i32,
) -> Option<Leadership> {
    let left: Vec<_> = current
        .isr
        .iter()
        .copied()
        .filter(|id| !gone.contains(id))
        .collect();
    let leader = current.leader.filter(|leader| !gone.contains(leader));
    if left.len() == current.isr.len() && leader == current.leader {
        return None;
    }
    let isr = if left.is_empty() && !unclean_allowed {
        current.isr.clone()
    } else {
        left
    };
    if leader == current.leader && isr == current.isr {
        return None;
    }
    Some(Leadership {
        leader,
        isr,
        ..confirmed(current, controller_epoch)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::plan::testing::cluster;
    use crate::controller::plan::testing::decided;
    use crate::controller::plan::testing::led_by;
    use crate::controller::plan::testing::partition;
    use crate::controller::plan::testing::set;

    /// assigned, isr, live, unclean allowed -> leader and ISR
    type Case = (
        &'static [i32],
        &'static [i32],
        &'static [i32],
        bool,
        Option<(i32, &'static [i32])>,
    );

    #[test]
    fn a_live_in_sync_replica_wins_in_assignment_order() {
        let cases: &[Case] = &[
            (&[1, 2, 3], &[3, 2, 1], &[2, 3], false, Some((2, &[3, 2]))),
            (&[3, 2, 1], &[1, 2, 3], &[1, 2], false, Some((2, &[1, 2]))),
            (&[1, 2], &[1], &[2], false, None),
            (&[1, 2], &[1], &[2], true, Some((2, &[2]))),
            (&[1, 2], &[], &[1, 2], true, Some((1, &[1]))),
            (&[1, 2], &[1, 2], &[], true, None),
            (&[1], &[9], &[9], true, None),
        ];
        for (assigned, isr, live, unclean, expected) in cases {
            let mut state = cluster(live).with(0, assigned, None);
            state.unclean_election = *unclean;
            let elected = Elections::new(&state).elect(&partition(0), &led_by(1, isr));
            let leadership = elected.map(|decision| decision.leadership);
            assert_eq!(
                leadership,
                expected.map(|(leader, isr)| decided(leader, isr)),
                "assigned {assigned:?}, ISR {isr:?}"
            );
        }
    }

    #[test]
    fn a_topic_overrides_whether_it_may_lose_messages() {
        for (broker, topic) in [(true, false), (false, true)] {
            let mut state = cluster(&[2]).with(0, &[1, 2], None);
            state.unclean_election = broker;
            state.unclean_overrides.insert("t".into(), topic);
            let elected = Elections::new(&state).elect(&partition(0), &led_by(1, &[1]));
            assert_eq!(elected.map(|decision| decision.unclean), topic.then_some(true));
        }
    }

    #[test]
    fn a_stopping_broker_is_not_elected() {
        let mut state = cluster(&[1, 2, 3]).with(0, &[1, 2, 3], None);
        state.stopping = set(&[1, 2]);
        let elected = Elections::new(&state).elect(&partition(0), &led_by(1, &[1, 2, 3]));
        assert_eq!(elected.unwrap().leadership, decided(3, &[3]));
    }

    #[test]
    fn the_balanced_policy_prefers_whoever_leads_less() {
        let mut state = cluster(&[2, 3]);
        state.policy = ElectionPolicy::Balanced;
        for number in 0..4 {
            state = state.with(number, &[1, 2, 3], Some(led_by(1, &[1, 2, 3])));
        }
        state = state.with(4, &[2, 3], Some(led_by(2, &[2, 3])));
        let mut elections = Elections::new(&state);
        let leaders: Vec<_> = (0..4)
            .map(|number| elections.elect(&partition(number), &led_by(1, &[1, 2, 3])))
            .map(|decision| decision.unwrap().leadership.leader.unwrap().0)
            .collect();
        assert_eq!(leaders, [3, 2, 3, 2]);
    }

    /// leader, ISR, gone, unclean allowed -> leader and ISR
    type Left = (
        i32,
        &'static [i32],
        &'static [i32],
        bool,
        Option<(i32, &'static [i32])>,
    );

    #[test]
    fn what_is_left_without_a_replica() {
        let cases: &[Left] = &[
            (1, &[1, 2, 3], &[2], true, Some((1, &[1, 3]))),
            (1, &[1, 2], &[3], true, None),
            (1, &[1], &[1], true, Some((-1, &[]))),
            (1, &[1], &[1], false, Some((-1, &[1]))),
            (-1, &[1], &[1], false, None),
            (-1, &[], &[1], true, None),
            (2, &[1], &[2], true, Some((-1, &[1]))),
        ];
        for (leader, isr, gone, unclean, expected) in cases {
            let left = without(&led_by(*leader, isr), &set(gone), *unclean, 3);
            let expected = expected.map(|(leader, isr)| decided(leader, isr));
            assert_eq!(left, expected, "leader {leader}, ISR {isr:?}, gone {gone:?}");
        }
    }
}
