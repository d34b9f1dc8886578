//! The next step of partitions towards the replicas that somebody asked for.
//!
//! Until the last step the assignment in ZooKeeper names the new replicas followed by the old ones, so a controller that
//! finds it knows what is left: nothing that it needs is kept elsewhere.
//!
//! ```text
//! assigned: new + old, leader epoch + 1 -> the new ones catch up -> one of them leads, leader epoch + 1
//!   -> the old ones leave the ISR, leader epoch + 1, and delete -> assigned: new -> the wish is taken away
//! ```

use std::collections::BTreeSet;

use crate::controller::plan::Decision;
use crate::controller::plan::Mark;
use crate::controller::plan::Plan;
use crate::controller::plan::Stop;
use crate::controller::plan::election::Elections;
use crate::controller::plan::election::confirmed;
use crate::controller::plan::election::without;
use crate::controller::plan::new_partitions::first_leadership;
use crate::controller::state::ClusterState;
use crate::controller::state::Leadership;
use crate::controller::state::Reassignment;
use crate::types::BrokerId;
use crate::types::TopicPartition;

/// One step for each partition that can take one. No more are begun than may be on the way at the same time.
pub(crate) fn reassignments(state: &ClusterState) -> Plan {
    let mut plan = Plan::default();
    let mut elections = Elections::new(state);
    let mut free = state.reassignments_max.map(|max| {
        let copied = under_way(state).filter(|(_, wanted)| wanted.target.iter().all(|id| state.is_live(*id)));
        max.saturating_sub(copied.count())
    });
    for (partition, wanted) in &state.reassignments {
        if state.unreadable.contains(partition) {
            continue;
        }
        match state.assignments.get(partition) {
            Some(replicas)
                if *replicas != wanted.target && acceptable(state, partition, wanted, replicas) =>
            {
                if !is_under_way(wanted, replicas) {
                    let here = |id: &BrokerId| replicas.contains(id) || state.is_live(*id);
                    if !wanted.target.iter().all(here) || free == Some(0) {
                        continue;
                    }
                    free = free.map(|free| free - 1);
                }
                let step = Step {
                    state,
                    partition,
                    wanted,
                    replicas,
                };
                step.take(&mut plan, &mut elections);
            }
            _ => {
                plan.fulfilled.insert(partition.clone(), wanted.target.clone());
            }
        }
    }
    plan
}

/// Those that were begun, by this controller or an earlier one, and are not over.
pub(crate) fn under_way(state: &ClusterState) -> impl Iterator<Item = (&TopicPartition, &Reassignment)> {
    let begun = |(partition, wanted): &(&TopicPartition, &Reassignment)| {
        let replicas = state.assignments.get(*partition);
        replicas.is_some_and(|replicas| is_under_way(wanted, replicas))
    };
    state.reassignments.iter().filter(begun)
}

/// Whether old and new replicas may know of each other.
fn is_under_way(wanted: &Reassignment, replicas: &[BrokerId]) -> bool {
    let expanded = replicas.len() > wanted.target.len() && replicas.starts_with(&wanted.target);
    wanted.begun || wanted.switched || expanded
}

/// What was not begun must be possible: all the new replicas there, each once. What an earlier controller began goes on.
fn acceptable(
    state: &ClusterState,
    partition: &TopicPartition,
    wanted: &Reassignment,
    replicas: &[BrokerId],
) -> bool {
    if state.deletions.contains_key(&partition.topic) {
        return false;
    }
    let target = &wanted.target;
    let distinct: BTreeSet<_> = target.iter().collect();
    let sound = !target.is_empty() && distinct.len() == target.len();
    let under_way = wanted.begun || target.iter().all(|id| replicas.contains(id));
    sound && (under_way || wanted.possible)
}

struct Step<'a> {
    state: &'a ClusterState,
    partition: &'a TopicPartition,
    wanted: &'a Reassignment,
    replicas: &'a [BrokerId],
}

impl Step<'_> {
    fn take(&self, plan: &mut Plan, elections: &mut Elections<'_>) {
        let Some(current) = self.state.leaderships.get(self.partition) else {
            if !self.wanted.begun {
                let first = first_leadership(self.state, self.partition, &self.expanded());
                self.begin(plan, first);
            }
            return;
        };
        let target = &self.wanted.target;
        if !target.iter().all(|id| current.isr.contains(id)) {
            if !self.wanted.begun {
                self.begin(plan, Some(self.confirm(current)));
            }
            return;
        }
        let leader = current
            .leader
            .filter(|leader| target.contains(leader) && self.state.is_live(*leader));
        match leader {
            Some(_) if self.wanted.switched => self.finish(plan, current),
            Some(_) => self.switch(plan, self.confirm(current)),
            None => {
                let candidates = target.iter().copied().filter(|id| self.state.is_eligible(*id));
                // Without any the partition waits for one to come back.
                if let Some(leader) = elections.preferred_of(candidates) {
                    elections.moved(current.leader, leader);
                    let mut decision = self.confirm(current);
                    decision.leadership.leader = Some(leader);
                    self.switch(plan, decision);
                }
            }
        }
    }

    /// New replicas first, then those of the old ones that are not among them.
    fn expanded(&self) -> Vec<BrokerId> {
        let target = &self.wanted.target;
        let old = self.replicas.iter().filter(|id| !target.contains(id));
        target.iter().chain(old).copied().collect()
    }

    fn confirm(&self, current: &Leadership) -> Decision {
        Decision::update(self.partition, confirmed(current, self.state.controller_epoch))
    }

    fn begin(&self, plan: &mut Plan, decision: Option<Decision>) {
        plan.assign.push((self.partition.clone(), self.expanded()));
        plan.decisions.extend(decision);
        plan.marks.push((self.partition.clone(), Mark::Begun));
    }

    fn switch(&self, plan: &mut Plan, decision: Decision) {
        plan.decisions.push(decision);
        plan.marks.push((self.partition.clone(), Mark::Switched));
    }

    fn finish(&self, plan: &mut Plan, current: &Leadership) {
        let target = &self.wanted.target;
        let leaving: BTreeSet<_> = self
            .replicas
            .iter()
            .filter(|id| !target.contains(id))
            .copied()
            .collect();
        if !leaving.is_empty() {
            // Also without a change of the ISR: the leader must learn which replicas are left.
            let left = without(current, &leaving, false, self.state.controller_epoch);
            let decision = left.map_or_else(
                || self.confirm(current),
                |left| Decision::update(self.partition, left),
            );
            plan.decisions.push(decision);
        }
        for delete in [false, true] {
            plan.stop.extend(leaving.iter().map(|broker| Stop {
                broker: *broker,
                partition: self.partition.clone(),
                delete,
            }));
        }
        plan.settle.push((self.partition.clone(), target.clone()));
        plan.fulfilled.insert(self.partition.clone(), target.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::ElectionPolicy;
    use crate::controller::plan::testing::brokers;
    use crate::controller::plan::testing::cluster;
    use crate::controller::plan::testing::decided;
    use crate::controller::plan::testing::ids;
    use crate::controller::plan::testing::leaders;
    use crate::controller::plan::testing::led_by;
    use crate::controller::plan::testing::partition;
    use crate::controller::state::Deletion;

    fn wanted(target: &[i32], begun: bool, switched: bool) -> Reassignment {
        Reassignment {
            target: ids(target),
            possible: target.iter().all(|id| *id <= 4),
            begun,
            switched,
        }
    }

    /// Replicas 1,3 shall become 2,3 in a cluster of four.
    fn moving(replicas: &[i32], leadership: Option<Leadership>, begun: bool, switched: bool) -> ClusterState {
        let mut state = cluster(&[1, 2, 3, 4]).with(0, replicas, leadership);
        state
            .reassignments
            .insert(partition(0), wanted(&[2, 3], begun, switched));
        state
    }

    #[test]
    fn old_and_new_replicas_learn_of_each_other_first() {
        let plan = reassignments(&moving(&[1, 3], Some(led_by(1, &[1, 3])), false, false));
        assert_eq!(plan.assign, [(partition(0), ids(&[2, 3, 1]))]);
        assert_eq!(
            plan.decisions,
            [Decision::update(&partition(0), decided(1, &[1, 3]))]
        );
        assert_eq!(plan.marks, [(partition(0), Mark::Begun)]);
        assert!(plan.settle.is_empty() && plan.stop.is_empty() && plan.fulfilled.is_empty());
    }

    #[test]
    fn they_are_waited_for() {
        let plan = reassignments(&moving(&[2, 3, 1], Some(led_by(1, &[1, 3])), true, false));
        assert_eq!(plan, Plan::default());
    }

    #[test]
    fn a_new_replica_leads_once_all_are_in_sync() {
        let plan = reassignments(&moving(&[2, 3, 1], Some(led_by(1, &[1, 3, 2])), true, false));
        assert_eq!(
            plan.decisions,
            [Decision::update(&partition(0), decided(2, &[1, 3, 2]))]
        );
        assert_eq!(plan.marks, [(partition(0), Mark::Switched)]);
        // One of them leads already: confirmed, whatever its place.
        let plan = reassignments(&moving(&[2, 3, 1], Some(led_by(3, &[1, 3, 2])), true, false));
        assert_eq!(
            plan.decisions,
            [Decision::update(&partition(0), decided(3, &[1, 3, 2]))]
        );
    }

    /// Partitions 0 to 3 shall go from 1 to 2 and 3, of which 2 leads something already.
    #[test]
    fn under_the_balanced_policy_the_new_replica_that_leads_least_leads() {
        let mut state = cluster(&[1, 2, 3]).with(4, &[2], Some(led_by(2, &[2])));
        for number in 0..4 {
            state = state.with(number, &[2, 3, 1], Some(led_by(1, &[1, 2, 3])));
            let wish = wanted(&[2, 3], true, false);
            state.reassignments.insert(partition(number), wish);
        }
        for (policy, expected) in [
            (ElectionPolicy::Assignment, [2, 2, 2, 2]),
            (ElectionPolicy::Balanced, [3, 2, 3, 2]),
        ] {
            state.policy = policy;
            let plan = reassignments(&state);
            assert_eq!(leaders(&plan), expected.map(BrokerId), "{policy:?}");
        }
    }

    #[test]
    fn old_replicas_leave_last() {
        let plan = reassignments(&moving(&[2, 3, 1], Some(led_by(2, &[1, 3, 2])), true, true));
        assert_eq!(
            plan.decisions,
            [Decision::update(&partition(0), decided(2, &[3, 2]))]
        );
        assert_eq!(plan.settle, [(partition(0), ids(&[2, 3]))]);
        assert_eq!(plan.fulfilled.get(&partition(0)), Some(&ids(&[2, 3])));
        let stops: Vec<_> = plan
            .stop
            .iter()
            .map(|stop| (stop.broker.0, stop.delete))
            .collect();
        assert_eq!(stops, [(1, false), (1, true)]);
        // The leader learns of the smaller assignment also when the old replica was not in sync.
        let plan = reassignments(&moving(&[2, 3, 1], Some(led_by(2, &[3, 2])), true, true));
        assert_eq!(
            plan.decisions,
            [Decision::update(&partition(0), decided(2, &[3, 2]))]
        );
    }

    #[test]
    fn a_mere_change_of_order_needs_no_catching_up() {
        let mut state = cluster(&[1, 2]).with(0, &[1, 2], Some(led_by(1, &[1, 2])));
        state
            .reassignments
            .insert(partition(0), wanted(&[2, 1], false, false));
        let plan = reassignments(&state);
        assert_eq!(plan.marks, [(partition(0), Mark::Switched)]);
        state
            .reassignments
            .insert(partition(0), wanted(&[2, 1], false, true));
        let plan = reassignments(&state);
        assert_eq!((plan.decisions.len(), plan.stop.len()), (0, 0));
        assert_eq!(plan.settle, [(partition(0), ids(&[2, 1]))]);
    }

    #[test]
    fn what_an_earlier_controller_began_goes_on() {
        // The assignment is expanded already; a new replica is away, which would have it refused at the beginning.
        let mut state = moving(&[2, 3, 1], Some(led_by(1, &[1, 3])), false, false);
        state.brokers.remove(&BrokerId(2));
        let plan = reassignments(&state);
        assert_eq!(plan.marks, [(partition(0), Mark::Begun)]);
        assert_eq!(plan.assign, [(partition(0), ids(&[2, 3, 1]))]);
    }

    /// It was made leader, or confirmed, by a controller that is gone: the next one confirms it and goes on.
    #[test]
    fn a_switch_that_an_earlier_controller_made_is_confirmed() {
        let mut state = moving(&[2, 3, 1], Some(led_by(2, &[1, 3, 2])), false, false);
        let plan = reassignments(&state);
        assert_eq!(
            plan,
            Plan {
                decisions: vec![Decision::update(&partition(0), decided(2, &[1, 3, 2]))],
                marks: vec![(partition(0), Mark::Switched)],
                ..Plan::default()
            }
        );
        state
            .reassignments
            .insert(partition(0), wanted(&[2, 3], false, true));
        let plan = reassignments(&state);
        assert_eq!(
            plan.decisions,
            [Decision::update(&partition(0), decided(2, &[3, 2]))]
        );
        assert_eq!(plan.settle, [(partition(0), ids(&[2, 3]))]);
    }

    /// The old replicas have left the ISR, and may have been stopped or not; the assignment was not written any more.
    #[test]
    fn what_an_earlier_controller_all_but_ended_is_ended() {
        let mut state = moving(&[2, 3, 1], Some(led_by(2, &[3, 2])), false, false);
        // The old replica need not be there.
        state.brokers.remove(&BrokerId(1));
        let plan = reassignments(&state);
        assert_eq!(plan.marks, [(partition(0), Mark::Switched)]);
        assert!(plan.assign.is_empty() && plan.settle.is_empty() && plan.stop.is_empty());
        state
            .reassignments
            .insert(partition(0), wanted(&[2, 3], false, true));
        let plan = reassignments(&state);
        assert_eq!(
            plan.decisions,
            [Decision::update(&partition(0), decided(2, &[3, 2]))]
        );
        let stops: Vec<_> = plan
            .stop
            .iter()
            .map(|stop| (stop.broker.0, stop.delete))
            .collect();
        assert_eq!(stops, [(1, false), (1, true)]);
        assert_eq!(plan.settle, [(partition(0), ids(&[2, 3]))]);
        assert_eq!(plan.fulfilled.get(&partition(0)), Some(&ids(&[2, 3])));
    }

    /// Partitions 0 to 3, of which each shall go from 1 to 2.
    fn several() -> ClusterState {
        let mut state = cluster(&[1, 2]);
        state.reassignments_max = Some(2);
        for number in 0..4 {
            state = state.with(number, &[1], Some(led_by(1, &[1])));
            let wish = wanted(&[2], false, false);
            state.reassignments.insert(partition(number), wish);
        }
        state
    }

    fn begun(state: &ClusterState) -> Vec<i32> {
        let plan = reassignments(state);
        let marks = plan.marks.iter().filter(|(_, mark)| *mark == Mark::Begun);
        marks.map(|(partition, _)| partition.partition).collect()
    }

    #[test]
    fn only_some_are_on_the_way_at_the_same_time() {
        let mut state = several();
        assert_eq!(begun(&state), [0, 1]);
        for number in 0..2 {
            state.assignments.insert(partition(number), ids(&[2, 1]));
            let wish = wanted(&[2], true, false);
            state.reassignments.insert(partition(number), wish);
        }
        assert_eq!(reassignments(&state), Plan::default());
        let followed: Vec<_> = under_way(&state)
            .map(|(partition, _)| partition.partition)
            .collect();
        assert_eq!(followed, [0, 1]);
        // One has arrived.
        state.assignments.insert(partition(0), ids(&[2]));
        state.reassignments.remove(&partition(0));
        assert_eq!(begun(&state), [2]);
        state.reassignments_max = None;
        assert_eq!(begun(&state), [2, 3]);
    }

    /// However many those are, they are copied already.
    #[test]
    fn what_an_earlier_controller_began_goes_on_before_anything_else() {
        let mut state = several();
        for number in 1..4 {
            state.assignments.insert(partition(number), ids(&[2, 1]));
        }
        assert_eq!(begun(&state), [1, 2, 3]);
    }

    #[test]
    fn those_that_wait_for_a_broker_hold_up_nobody() {
        let mut state = several();
        state.brokers.extend(brokers(&[3, 4]));
        for number in 0..2 {
            let wish = wanted(&[3], number == 0, false);
            state.reassignments.insert(partition(number), wish);
        }
        assert_eq!(begun(&state), [1]);
        // The first of them was begun, the second is not refused, now that its broker is away.
        state.brokers.remove(&BrokerId(3));
        assert_eq!(begun(&state), [2, 3]);
        assert_eq!(reassignments(&state).fulfilled.len(), 0);
    }

    #[test]
    fn what_is_done_or_refused_needs_no_place() {
        let mut state = several();
        state.reassignments_max = Some(1);
        for (number, target) in [(2, 9), (3, 1)] {
            let wish = wanted(&[target], false, false);
            state.reassignments.insert(partition(number), wish);
        }
        assert_eq!(reassignments(&state).fulfilled.len(), 2);
        assert_eq!(begun(&state), [0]);
    }

    #[test]
    fn a_partition_without_a_leadership_gets_one_among_all_of_them() {
        let plan = reassignments(&moving(&[1, 3], None, false, false));
        assert!(plan.decisions.iter().all(|decision| decision.create));
        let isr = plan.decisions.first().map(|decision| &decision.leadership.isr);
        assert_eq!(isr, Some(&ids(&[2, 3, 1])));
    }

    #[test]
    fn without_a_live_new_replica_it_waits() {
        let mut state = moving(&[2, 3, 1], Some(led_by(1, &[1, 3, 2])), true, false);
        state.brokers.retain(|id, _| id.0 == 1);
        assert_eq!(reassignments(&state), Plan::default());
    }

    #[test]
    fn what_cannot_be_or_is_done_is_taken_away() {
        let fulfilled = |state: &ClusterState| {
            let plan = reassignments(state);
            assert_eq!(
                plan,
                Plan {
                    fulfilled: plan.fulfilled.clone(),
                    ..Plan::default()
                }
            );
            plan.fulfilled.len()
        };
        let state = moving(&[1, 3], Some(led_by(1, &[1, 3])), false, false);
        for target in [&[][..], &[2, 2], &[2, 9], &[1, 3]] {
            let mut state = state.clone();
            state
                .reassignments
                .insert(partition(0), wanted(target, false, false));
            assert_eq!(fulfilled(&state), 1, "{target:?}");
        }
        let mut unknown = state.clone();
        unknown.assignments.clear();
        assert_eq!(fulfilled(&unknown), 1);
        let mut deleted = state;
        deleted.deletions.insert("t".into(), Deletion::default());
        assert_eq!(fulfilled(&deleted), 1);
    }
}
