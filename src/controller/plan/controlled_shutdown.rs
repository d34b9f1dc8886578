//! Off a broker that is about to stop.

use std::collections::BTreeSet;

use crate::controller::plan::Decision;
use crate::controller::plan::Plan;
use crate::controller::plan::Stop;
use crate::controller::plan::election::Elections;
use crate::controller::plan::election::without;
use crate::controller::state::ClusterState;
use crate::types::BrokerId;
use crate::types::TopicPartition;

/// Moves the leaderships of replicated partitions to live in-sync replicas, and takes the broker from the ISR of those
/// that it follows. `state` names it among the stopping ones already. What has nobody else in sync stays with it.
pub(crate) fn controlled_shutdown(state: &ClusterState, broker: BrokerId) -> Plan {
    let leaving = BTreeSet::from([broker]);
    let mut elections = Elections::new(state);
    let mut plan = Plan::default();
    for partition in state.hosted_by(&leaving) {
        let (Some(current), Some(replicas)) =
            (state.leaderships.get(partition), state.assignments.get(partition))
        else {
            continue;
        };
        if replicas.len() < 2 || !state.is_decidable(partition) {
            continue;
        }
        if current.leader == Some(broker) {
            let in_sync = |id: BrokerId| state.is_eligible(id) && current.isr.contains(&id);
            plan.decisions
                .extend(elections.elect_from(partition, current, replicas, in_sync));
        } else {
            plan.stop_first.push(Stop {
                broker,
                partition: partition.clone(),
                delete: false,
            });
            let left = without(current, &leaving, false, state.controller_epoch);
            plan.decisions
                .extend(left.map(|left| Decision::update(partition, left)));
        }
    }
    plan
}

/// Replicated partitions that a broker leads.
pub(crate) fn still_led(state: &ClusterState, broker: BrokerId) -> Vec<TopicPartition> {
    let replicated = |partition: &TopicPartition| {
        let replicas = state.assignments.get(partition);
        replicas.is_some_and(|replicas| replicas.len() > 1)
    };
    state
        .leaderships
        .iter()
        .filter(|(partition, leadership)| leadership.leader == Some(broker) && replicated(partition))
        .map(|(partition, _)| partition.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::ElectionPolicy;
    use crate::controller::plan::testing::cluster;
    use crate::controller::plan::testing::decided;
    use crate::controller::plan::testing::leaders;
    use crate::controller::plan::testing::led_by;
    use crate::controller::plan::testing::partition;
    use crate::controller::plan::testing::set;

    #[test]
    fn leaderships_move_to_live_in_sync_replicas_in_assignment_order() {
        let mut state = cluster(&[1, 2, 3])
            .with(0, &[1, 2, 3], Some(led_by(1, &[3, 1, 2])))
            .with(1, &[1, 4, 3], Some(led_by(1, &[1, 4, 3])))
            .with(2, &[2, 1], Some(led_by(2, &[2, 1])))
            .with(3, &[1, 2], Some(led_by(1, &[1])))
            .with(4, &[1], Some(led_by(1, &[1])))
            .with(5, &[2, 3], Some(led_by(2, &[2, 3])));
        state.stopping = set(&[1]);
        let plan = controlled_shutdown(&state, BrokerId(1));
        let decided_by_partition: Vec<_> = plan
            .decisions
            .iter()
            .map(|decision| {
                (
                    decision.partition.partition,
                    decision.leadership.clone(),
                    decision.unclean,
                )
            })
            .collect();
        assert_eq!(
            decided_by_partition,
            [
                (0, decided(2, &[3, 2]), false),
                (1, decided(3, &[3]), false),
                (2, decided(2, &[2]), false),
            ]
        );
        let stopped: Vec<_> = plan.stop_first.iter().map(|stop| &stop.partition).collect();
        assert_eq!(stopped, [&partition(2)]);
        for decision in plan.decisions {
            state.leaderships.insert(decision.partition, decision.leadership);
        }
        assert_eq!(still_led(&state, BrokerId(1)), [partition(3)]);
    }

    #[test]
    fn the_balanced_policy_spreads_them_over_who_leads_least() {
        let mut state = cluster(&[1, 2, 3]);
        for number in 0..4 {
            state = state.with(number, &[1, 2, 3], Some(led_by(1, &[1, 2, 3])));
        }
        state = state.with(4, &[2, 3], Some(led_by(2, &[2, 3])));
        state.stopping = set(&[1]);
        for (policy, expected) in [
            (ElectionPolicy::Assignment, [2, 2, 2, 2]),
            (ElectionPolicy::Balanced, [3, 2, 3, 2]),
        ] {
            state.policy = policy;
            let plan = controlled_shutdown(&state, BrokerId(1));
            assert_eq!(leaders(&plan), expected.map(BrokerId), "{policy:?}");
        }
    }
}
