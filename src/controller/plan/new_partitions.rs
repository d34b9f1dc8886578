//! First leader and ISR of partitions that have none yet.

use crate::controller::plan::Decision;
use crate::controller::state::ClusterState;
use crate::controller::state::Leadership;
use crate::types::BrokerId;
use crate::types::TopicPartition;

/// Leaders for those of these partitions that have no leadership: the first live replica, with all live ones in sync. A
/// partition without a live replica waits for one.
pub(crate) fn new_partitions<'a>(
    state: &ClusterState,
    assigned: impl Iterator<Item = (&'a TopicPartition, &'a Vec<BrokerId>)>,
) -> Vec<Decision> {
    assigned
        .filter(|(partition, _)| !state.leaderships.contains_key(*partition) && state.is_decidable(partition))
        .filter_map(|(partition, replicas)| first_leadership(state, partition, replicas))
        .collect()
}

/// The first leadership of a partition with these replicas.
pub(crate) fn first_leadership(
    state: &ClusterState,
    partition: &TopicPartition,
    replicas: &[BrokerId],
) -> Option<Decision> {
    let isr: Vec<_> = replicas
        .iter()
        .filter(|id| state.is_eligible(**id))
        .copied()
        .collect();
    let leadership = Leadership {
        leader: Some(*isr.first()?),
        leader_epoch: 0,
        isr,
        controller_epoch: state.controller_epoch,
        zk_version: 0,
    };
    Some(Decision {
        partition: partition.clone(),
        leadership,
        create: true,
        unclean: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::plan::testing::cluster;
    use crate::controller::plan::testing::ids;
    use crate::controller::plan::testing::led_by;
    use crate::controller::plan::testing::partition;
    use crate::controller::plan::testing::set;
    use crate::controller::state::Deletion;

    fn decisions(state: &ClusterState) -> Vec<Decision> {
        new_partitions(state, state.assignments.iter())
    }

    #[test]
    fn the_first_live_replica_leads_and_the_live_ones_are_in_sync() {
        let mut state = cluster(&[2, 3, 4]).with(0, &[1, 4, 3, 2], None);
        state.stopping = set(&[4]);
        let decisions = decisions(&state);
        let [decision] = decisions.as_slice() else {
            panic!("{decisions:?}")
        };
        assert!(decision.create);
        assert_eq!(decision.partition, partition(0));
        assert_eq!(decision.leadership.leader, Some(BrokerId(3)));
        assert_eq!(decision.leadership.isr, ids(&[3, 2]));
        assert_eq!(decision.leadership.leader_epoch, 0);
        assert_eq!(decision.leadership.controller_epoch, state.controller_epoch);
    }

    #[test]
    fn who_has_a_leadership_no_live_replica_or_no_future_is_left_alone() {
        let mut state = cluster(&[1])
            .with(0, &[1], Some(led_by(1, &[1])))
            .with(1, &[2], None)
            .with(2, &[1], None);
        state.unreadable.insert(partition(2));
        assert_eq!(decisions(&state), []);
        state.unreadable.clear();
        assert_eq!(decisions(&state).len(), 1);
        state.deletions.insert("t".into(), Deletion::default());
        assert_eq!(decisions(&state), []);
    }
}
