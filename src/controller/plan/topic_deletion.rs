//! What is to be stopped, and when nothing is left of a topic.

use std::sync::Arc;

use crate::controller::plan::Stop;
use crate::controller::state::ClusterState;

/// What comes next for a topic on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// For a broker to come back or to answer, or for a reassignment to end.
    Wait,
    /// Brokers have replicas to delete.
    Stop(Vec<Stop>),
    /// No broker has anything of it: its nodes can go.
    Remove,
}

/// The next step. Nothing begins before all brokers that have replicas are there: one that came back later would bring
/// the topic with it.
pub(crate) fn topic_deletion(state: &ClusterState, topic: &Arc<str>) -> Step {
    let Some(deletion) = state.deletions.get(topic) else {
        return Step::Wait;
    };
    let moving = state
        .assigned(topic)
        .any(|(partition, _)| state.reassignments.contains_key(partition));
    let replicas: Vec<_> = state
        .assigned(topic)
        .flat_map(|(partition, replicas)| replicas.iter().map(move |broker| (*broker, partition)))
        .filter(|(broker, partition)| !deletion.gone.contains(&(*broker, partition.partition)))
        .collect();
    let begun = !(deletion.asked.is_empty() && deletion.failed.is_empty() && deletion.gone.is_empty());
    let all_there = replicas.iter().all(|(broker, _)| state.is_live(*broker));
    if moving || (!begun && !all_there) {
        return Step::Wait;
    }
    if replicas.is_empty() {
        return Step::Remove;
    }
    let left: Vec<_> = replicas
        .into_iter()
        .filter(|(broker, partition)| {
            let replica = (*broker, partition.partition);
            state.is_live(*broker)
                && !deletion.asked.contains(&replica)
                && !deletion.failed.contains(&replica)
        })
        .collect();
    let stop = |delete: bool| {
        left.iter().map(move |(broker, partition)| Stop {
            broker: *broker,
            partition: (*partition).clone(),
            delete,
        })
    };
    if left.is_empty() {
        Step::Wait
    } else {
        Step::Stop(stop(false).chain(stop(true)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::plan::testing::cluster;
    use crate::controller::plan::testing::ids;
    use crate::controller::plan::testing::led_by;
    use crate::controller::plan::testing::partition;
    use crate::controller::state::Deletion;
    use crate::controller::state::Reassignment;
    use crate::types::BrokerId;

    fn topic() -> Arc<str> {
        "t".into()
    }

    fn deleting(live: &[i32]) -> ClusterState {
        let mut state =
            cluster(live)
                .with(0, &[1, 2], Some(led_by(1, &[1, 2])))
                .with(1, &[2], Some(led_by(2, &[2])));
        state.deletions.insert(topic(), Deletion::default());
        state
    }

    fn deletion(state: &mut ClusterState) -> &mut Deletion {
        state.deletions.get_mut(&topic()).unwrap()
    }

    /// Broker, partition, whether to delete.
    fn stops(state: &ClusterState) -> Vec<(i32, i32, bool)> {
        match topic_deletion(state, &topic()) {
            Step::Stop(stops) => stops
                .iter()
                .map(|stop| (stop.broker.0, stop.partition.partition, stop.delete))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_replica_is_stopped_then_deleted_then_the_nodes_go() {
        let mut state = deleting(&[1, 2]);
        assert_eq!(
            stops(&state),
            [
                (1, 0, false),
                (2, 0, false),
                (2, 1, false),
                (1, 0, true),
                (2, 0, true),
                (2, 1, true)
            ]
        );
        deletion(&mut state).asked = [(BrokerId(1), 0), (BrokerId(2), 0), (BrokerId(2), 1)].into();
        assert_eq!(topic_deletion(&state, &topic()), Step::Wait);
        let gone = std::mem::take(&mut deletion(&mut state).asked);
        deletion(&mut state).gone = gone;
        assert_eq!(topic_deletion(&state, &topic()), Step::Remove);
    }

    #[test]
    fn it_waits_for_brokers_that_are_away_and_for_partitions_on_the_move() {
        assert_eq!(topic_deletion(&deleting(&[1]), &topic()), Step::Wait);
        let mut state = deleting(&[1, 2]);
        let moving = Reassignment {
            possible: true,
            target: ids(&[2]),
            begun: true,
            switched: false,
        };
        state.reassignments.insert(partition(0), moving);
        assert_eq!(topic_deletion(&state, &topic()), Step::Wait);
    }

    #[test]
    fn what_was_begun_goes_on_with_those_that_are_there() {
        let mut state = deleting(&[1, 2]);
        deletion(&mut state).gone = [(BrokerId(1), 0)].into();
        deletion(&mut state).failed = [(BrokerId(2), 0)].into();
        assert_eq!(stops(&state), [(2, 1, false), (2, 1, true)]);
        state.brokers.remove(&BrokerId(2));
        assert_eq!(topic_deletion(&state, &topic()), Step::Wait);
    }

    #[test]
    fn a_topic_without_partitions_just_goes() {
        let mut state = cluster(&[1]);
        state.deletions.insert(topic(), Deletion::default());
        assert_eq!(topic_deletion(&state, &topic()), Step::Remove);
        state.deletions.clear();
        assert_eq!(topic_deletion(&state, &topic()), Step::Wait);
    }
}
