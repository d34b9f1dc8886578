//! First leader and ISR of partitions that have none yet.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::controller::plan::Decision;
use crate::controller::plan::Plan;
use crate::controller::state::ClusterState;
use crate::controller::state::Leadership;
use crate::types::BrokerId;
use crate::types::TopicPartition;

/// Leaders for all assigned partitions without a leadership: the first live replica, with all live ones in sync.
/// A partition without a live replica waits for one.
pub(crate) fn new_partitions(state: &ClusterState) -> Plan {
    let live = state.live();
    let decisions = without_leadership(&state.assignments, &state.leaderships)
        .filter_map(|(partition, replicas)| {
            let leadership = first_leadership(replicas, &live, state.controller_epoch)?;
            Some(Decision {
                partition: partition.clone(),
                leadership,
                create: true,
            })
        })
        .collect();
    Plan {
        decisions,
        ..Plan::default()
    }
}

fn without_leadership<'a>(
    assignments: &'a BTreeMap<TopicPartition, Vec<BrokerId>>,
    leaderships: &'a BTreeMap<TopicPartition, Leadership>,
) -> impl Iterator<Item = (&'a TopicPartition, &'a Vec<BrokerId>)> {
    assignments
        .iter()
        .filter(|(partition, _)| !leaderships.contains_key(partition))
}

fn first_leadership(
    replicas: &[BrokerId],
    live: &BTreeSet<BrokerId>,
    controller_epoch: i32,
) -> Option<Leadership> {
    let isr: Vec<_> = replicas.iter().filter(|id| live.contains(*id)).copied().collect();
    let leader = Some(*isr.first()?);
    Some(Leadership {
        leader,
        leader_epoch: 0,
        isr,
        controller_epoch,
        zk_version: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::plan::broker_change::tests::state;

    #[test]
    fn the_first_live_replica_leads_and_the_live_ones_are_in_sync() {
        let mut state = state(&[2, 3]);
        let partition = TopicPartition::new("t", 0);
        state
            .assignments
            .insert(partition.clone(), vec![BrokerId(1), BrokerId(3), BrokerId(2)]);
        let plan = new_partitions(&state);
        let [decision] = plan.decisions.as_slice() else {
            panic!("{plan:?}")
        };
        assert!(decision.create);
        assert_eq!(decision.partition, partition);
        assert_eq!(decision.leadership.leader, Some(BrokerId(3)));
        assert_eq!(decision.leadership.isr, [BrokerId(3), BrokerId(2)]);
        assert_eq!(decision.leadership.leader_epoch, 0);
        assert_eq!(decision.leadership.controller_epoch, state.controller_epoch);
    }

    #[test]
    fn a_partition_without_a_live_replica_waits() {
        let mut state = state(&[2]);
        state
            .assignments
            .insert(TopicPartition::new("t", 0), vec![BrokerId(1)]);
        assert_eq!(new_partitions(&state), Plan::default());
    }

    #[test]
    fn a_partition_that_has_a_leadership_is_left_alone() {
        let mut state = state(&[1]);
        state
            .assignments
            .insert(TopicPartition::new("t", 0), vec![BrokerId(1)]);
        let plan = new_partitions(&state);
        let decision = plan.decisions.into_iter().next().unwrap();
        state.leaderships.insert(decision.partition, decision.leadership);
        assert_eq!(new_partitions(&state), Plan::default());
    }
}
