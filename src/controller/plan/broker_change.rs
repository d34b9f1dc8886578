//! Brokers came or went.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::controller::plan::Decision;
use crate::controller::plan::Plan;
use crate::controller::plan::election::elect;
use crate::controller::plan::new_partitions;
use crate::controller::state::Broker;
use crate::controller::state::ClusterState;
use crate::types::BrokerId;

/// Moves leaderships off brokers that went, gives brokers that came their roles and everybody the new list.
///
/// `state` already names the brokers as they are now; `before` as they were. A broker whose registration is another
/// one than before came back: it has forgotten its roles, even if nobody saw it go.
pub(crate) fn broker_change(state: &ClusterState, before: &BTreeMap<BrokerId, Broker>) -> Plan {
    let live = state.live();
    let newcomers = state
        .brokers
        .iter()
        .filter(|(id, broker)| before.get(id) != Some(broker))
        .map(|(id, _)| *id)
        .collect();
    let mut decisions = leaders_for_orphans(state, &live);
    decisions.extend(new_partitions(state).decisions);
    Plan {
        decisions,
        newcomers,
        brokers_changed: state.brokers != *before,
    }
}

/// Elections for partitions whose leader is none of the live brokers.
fn leaders_for_orphans(state: &ClusterState, live: &BTreeSet<BrokerId>) -> Vec<Decision> {
    state
        .leaderships
        .iter()
        .filter(|(_, leadership)| !leadership.leader.is_some_and(|leader| live.contains(&leader)))
        .filter_map(|(partition, leadership)| {
            let assigned = state.assignments.get(partition)?;
            let elected = elect(
                leadership,
                assigned,
                live,
                state.unclean_election,
                state.controller_epoch,
            )?;
            Some(Decision {
                partition: partition.clone(),
                leadership: elected,
                create: false,
            })
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::controller::state::Leadership;
    use crate::types::Endpoint;
    use crate::types::TopicPartition;

    /// A cluster of these brokers, without topics.
    pub(crate) fn state(live: &[i32]) -> ClusterState {
        let brokers = live.iter().map(|id| (BrokerId(*id), broker(*id, "1"))).collect();
        ClusterState {
            controller_epoch: 3,
            unclean_election: true,
            brokers,
            ..ClusterState::default()
        }
    }

    fn broker(id: i32, incarnation: &str) -> Broker {
        let endpoint = Endpoint {
            id: BrokerId(id),
            host: "h".into(),
            port: 9092,
        };
        Broker {
            endpoint,
            incarnation: incarnation.into(),
        }
    }

    fn led_by(leader: Option<i32>, isr: &[i32]) -> Leadership {
        Leadership {
            leader: leader.map(BrokerId),
            leader_epoch: 2,
            isr: isr.iter().copied().map(BrokerId).collect(),
            controller_epoch: 1,
            zk_version: 4,
        }
    }

    #[test]
    fn leaderships_move_off_a_broker_that_went() {
        let before = state(&[1, 2]).brokers;
        let mut state = state(&[2]);
        let (orphan, other) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
        for partition in [&orphan, &other] {
            state
                .assignments
                .insert(partition.clone(), vec![BrokerId(1), BrokerId(2)]);
        }
        state.leaderships.insert(orphan.clone(), led_by(Some(1), &[1, 2]));
        state.leaderships.insert(other, led_by(Some(2), &[2]));
        let plan = broker_change(&state, &before);
        let [decision] = plan.decisions.as_slice() else {
            panic!("{plan:?}")
        };
        assert_eq!(decision.partition, orphan);
        assert_eq!(decision.leadership.leader, Some(BrokerId(2)));
        assert_eq!(decision.leadership.leader_epoch, 3);
        assert!(!decision.create);
        assert!(plan.newcomers.is_empty());
        assert!(plan.brokers_changed);
    }

    #[test]
    fn a_broker_that_came_back_unseen_is_a_newcomer() {
        let before = BTreeMap::from([(BrokerId(1), broker(1, "1"))]);
        let mut state = state(&[]);
        state.brokers.insert(BrokerId(1), broker(1, "2"));
        assert_eq!(broker_change(&state, &before).newcomers, [BrokerId(1)]);
    }

    #[test]
    fn a_returning_broker_leads_partitions_that_had_nobody_left() {
        let before = state(&[]).brokers;
        let mut state = state(&[1]);
        let partition = TopicPartition::new("t", 0);
        state.assignments.insert(partition.clone(), vec![BrokerId(1)]);
        state.leaderships.insert(partition, led_by(None, &[]));
        let plan = broker_change(&state, &before);
        assert_eq!(
            plan.decisions.first().unwrap().leadership.leader,
            Some(BrokerId(1))
        );
    }

    #[test]
    fn nothing_changes_when_nothing_changed() {
        let state = state(&[1, 2]);
        assert_eq!(broker_change(&state, &state.brokers.clone()), Plan::default());
    }
}
