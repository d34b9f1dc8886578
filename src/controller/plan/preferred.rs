//! Back to the first assigned replica.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::controller::plan::Decision;
use crate::controller::plan::Plan;
use crate::controller::plan::election::confirmed;
use crate::controller::state::ClusterState;
use crate::controller::state::Leadership;
use crate::types::BrokerId;
use crate::types::TopicPartition;

/// Gives those of these partitions to their first replica where it may lead and is in sync. What is unknown, being
/// reassigned or led by it already is left out.
pub(crate) fn preferred(state: &ClusterState, partitions: &BTreeSet<TopicPartition>) -> Plan {
    let decision = |partition: &TopicPartition| {
        let first = *state.assignments.get(partition)?.first()?;
        let current = state.leaderships.get(partition)?;
        let may = state.is_eligible(first) && current.isr.contains(&first) && state.is_decidable(partition);
        let idle = !state.reassignments.contains_key(partition);
        (may && idle && current.leader != Some(first)).then(|| {
            let leadership = Leadership {
                leader: Some(first),
                ..confirmed(current, state.controller_epoch)
            };
            Decision::update(partition, leadership)
        })
    };
    Plan {
        decisions: partitions.iter().filter_map(decision).collect(),
        ..Plan::default()
    }
}

/// Partitions led elsewhere of every broker that misses more than this percentage of those that prefer it. None while
/// any partition is on the way to other replicas.
pub(crate) fn imbalanced(state: &ClusterState, percentage: u32) -> BTreeSet<TopicPartition> {
    if !state.reassignments.is_empty() {
        return BTreeSet::new();
    }
    let mut by_broker: BTreeMap<BrokerId, (u64, Vec<&TopicPartition>)> = BTreeMap::new();
    for (partition, replicas) in &state.assignments {
        let (Some(first), Some(leadership)) = (replicas.first(), state.leaderships.get(partition)) else {
            continue;
        };
        if !state.is_decidable(partition) {
            continue;
        }
        let (preferring, elsewhere) = by_broker.entry(*first).or_default();
        *preferring += 1;
        if leadership.leader != Some(*first) {
            elsewhere.push(partition);
        }
    }
    let above = |(broker, (preferring, elsewhere)): &(BrokerId, (u64, Vec<&TopicPartition>))| {
        let missing = u64::try_from(elsewhere.len()).unwrap_or(u64::MAX);
        state.is_eligible(*broker)
            && missing.saturating_mul(100) > preferring.saturating_mul(percentage.into())
    };
    by_broker
        .into_iter()
        .filter(above)
        .flat_map(|(_, (_, elsewhere))| elsewhere.into_iter().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::plan::testing::cluster;
    use crate::controller::plan::testing::decided;
    use crate::controller::plan::testing::ids;
    use crate::controller::plan::testing::led_by;
    use crate::controller::plan::testing::partition;
    use crate::controller::plan::testing::set;
    use crate::controller::state::Reassignment;

    fn all(count: i32) -> BTreeSet<TopicPartition> {
        (0..count).map(partition).collect()
    }

    #[test]
    fn the_first_replica_leads_if_it_is_live_and_in_sync() {
        let state = cluster(&[1, 2])
            .with(0, &[1, 2], Some(led_by(2, &[2, 1])))
            .with(1, &[1, 2], Some(led_by(2, &[2])))
            .with(2, &[3, 2], Some(led_by(2, &[2, 3])))
            .with(3, &[1, 2], Some(led_by(1, &[1, 2])))
            .with(4, &[1, 2], None);
        // Partition 5 is unknown.
        let plan = preferred(&state, &all(6));
        let [decision] = plan.decisions.as_slice() else {
            panic!("{plan:?}")
        };
        assert_eq!(decision.partition, partition(0));
        assert_eq!(decision.leadership, decided(1, &[2, 1]));
    }

    #[test]
    fn a_stopping_first_replica_or_one_on_the_move_is_left_alone() {
        let mut state = cluster(&[1, 2]).with(0, &[1, 2], Some(led_by(2, &[2, 1])));
        state.stopping = set(&[1]);
        assert_eq!(preferred(&state, &all(1)), Plan::default());
        state.stopping.clear();
        let moving = Reassignment {
            possible: true,
            target: ids(&[2, 1]),
            begun: true,
            switched: false,
        };
        state.reassignments.insert(partition(0), moving);
        assert_eq!(preferred(&state, &all(1)), Plan::default());
        assert!(imbalanced(&state, 10).is_empty());
    }

    #[test]
    fn brokers_above_the_percentage_get_theirs_back() {
        // Ten prefer broker 1, one of them is led elsewhere: exactly 10 percent, which is not above.
        let mut state = cluster(&[1, 2]);
        for number in 0..10 {
            let leader = if number == 0 { 2 } else { 1 };
            state = state.with(number, &[1, 2], Some(led_by(leader, &[1, 2])));
        }
        assert!(imbalanced(&state, 10).is_empty());
        assert_eq!(imbalanced(&state, 9), all(1));
        state.leaderships.insert(partition(1), led_by(2, &[1, 2]));
        assert_eq!(imbalanced(&state, 10), all(2));
        state.brokers.remove(&BrokerId(1));
        assert!(imbalanced(&state, 10).is_empty());
    }
}
