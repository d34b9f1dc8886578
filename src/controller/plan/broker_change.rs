//! Brokers came or went.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::controller::plan::Decision;
use crate::controller::plan::Plan;
use crate::controller::plan::election::Elections;
use crate::controller::plan::election::confirmed;
use crate::controller::plan::election::without;
use crate::controller::plan::new_partitions;
use crate::controller::state::Broker;
use crate::controller::state::ClusterState;
use crate::types::BrokerId;
use crate::types::TopicPartition;

/// Moves leaderships off brokers that went, gives brokers that came their roles and everybody the new list.
///
/// `state` already names the brokers as they are now; `before` as they were. A broker whose registration is another
/// one than before came back: it has forgotten its roles, even if nobody saw it go.
pub(crate) fn broker_change(state: &ClusterState, before: &BTreeMap<BrokerId, Broker>) -> Plan {
    let newcomers = state
        .brokers
        .iter()
        .filter(|(id, broker)| before.get(id) != Some(broker))
        .map(|(id, _)| *id)
        .collect();
    let gone = before.keys().filter(|id| !state.is_live(**id)).copied().collect();
    Plan {
        decisions: leaders(state, &gone),
        newcomers,
        brokers_changed: state.brokers != *before,
        ..Plan::default()
    }
}

/// What a new controller finds: everybody is new to it. Followers that are not there any more are taken from the ISR
/// where the leader is: nobody else will do that before the leader has waited for them in vain.
pub(crate) fn taking_over(state: &ClusterState) -> Plan {
    with_followers_gone(broker_change(state, &BTreeMap::new()), state)
}

/// What should have been decided by now, had not somebody else written again and again.
pub(crate) fn overdue(state: &ClusterState) -> Plan {
    with_followers_gone(broker_change(state, &state.brokers), state)
}

fn with_followers_gone(mut plan: Plan, state: &ClusterState) -> Plan {
    let dead = |id: &BrokerId| !state.is_live(*id);
    let gone: BTreeSet<_> = state
        .leaderships
        .values()
        .flat_map(|leadership| leadership.isr.iter().copied())
        .filter(dead)
        .collect();
    plan.decisions.extend(followers_gone(state, &gone));
    plan
}

/// Partitions that need a leader: theirs is none of the live brokers.
pub(crate) fn orphans(state: &ClusterState) -> impl Iterator<Item = &TopicPartition> {
    state
        .leaderships
        .iter()
        .filter(|(_, leadership)| !leadership.leader.is_some_and(|leader| state.is_live(leader)))
        .map(|(partition, _)| partition)
        .filter(|partition| state.is_decidable(partition))
}

/// Leaders for who has none and for who never had one; nobody for partitions that `gone` have left without a replica.
fn leaders(state: &ClusterState, gone: &BTreeSet<BrokerId>) -> Vec<Decision> {
    let mut elections = Elections::new(state);
    let mut decisions: Vec<_> = orphans(state)
        .filter_map(|partition| {
            let current = state.leaderships.get(partition)?;
            elections.elect(partition, current).or_else(|| {
                let unclean = state.unclean_allowed(&partition.topic);
                let left = without(current, gone, unclean, state.controller_epoch)?;
                Some(Decision::update(partition, left))
            })
        })
        .collect();
    decisions.extend(state.unconfirmed.iter().filter_map(|partition| {
        let current = state.leaderships.get(partition)?;
        let led = current.leader.is_some_and(|leader| state.is_live(leader));
        let confirmed = confirmed(current, state.controller_epoch);
        (led && state.is_decidable(partition)).then(|| Decision::update(partition, confirmed))
    }));
    decisions.extend(new_partitions(state, state.assignments.iter()));
    decisions
}

/// Partitions whose leader comes after this controller did: until now everybody was told that they have none, and has to
/// hear of them anew. They keep what they have in sync, other than in 0.8.2.2, which elects them again among whoever
/// has come by then.
pub(crate) fn returned(state: &ClusterState, before: &BTreeMap<BrokerId, Broker>) -> Vec<TopicPartition> {
    let came = |leader| state.is_live(leader) && !before.contains_key(&leader);
    state
        .leaderships
        .iter()
        // Where everybody is new, everybody is told everything.
        .filter(|(_, leadership)| !before.is_empty() && leadership.leader.is_some_and(came))
        .map(|(partition, _)| partition.clone())
        .collect()
}

/// Takes brokers that went out of the ISR of partitions that others lead.
pub(crate) fn followers_gone(state: &ClusterState, gone: &BTreeSet<BrokerId>) -> Vec<Decision> {
    state
        .leaderships
        .iter()
        .filter(|(partition, leadership)| {
            leadership.leader.is_some_and(|leader| state.is_live(leader))
                && leadership.isr.iter().any(|id| gone.contains(id))
                && state.is_decidable(partition)
        })
        .filter_map(|(partition, leadership)| {
            let left = without(leadership, gone, false, state.controller_epoch)?;
            Some(Decision::update(partition, left))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::plan::testing::broker;
    use crate::controller::plan::testing::brokers;
    use crate::controller::plan::testing::cluster;
    use crate::controller::plan::testing::decided;
    use crate::controller::plan::testing::led_by;
    use crate::controller::plan::testing::partition;
    use crate::controller::plan::testing::set;
    use crate::controller::state::Deletion;

    fn only(decisions: &[Decision]) -> &Decision {
        let [decision] = decisions else {
            panic!("{decisions:?}")
        };
        decision
    }

    #[test]
    fn leaderships_move_off_a_broker_that_went() {
        let state =
            cluster(&[2])
                .with(0, &[1, 2], Some(led_by(1, &[1, 2])))
                .with(1, &[1, 2], Some(led_by(2, &[2])));
        let plan = broker_change(&state, &brokers(&[1, 2]));
        let decision = only(&plan.decisions);
        assert_eq!(decision.partition, partition(0));
        assert_eq!(decision.leadership, decided(2, &[2]));
        assert!(!decision.create);
        assert!(plan.newcomers.is_empty());
        assert!(plan.brokers_changed);
    }

    #[test]
    fn the_last_replica_leaves_nobody_or_stays_the_only_one_that_may_lead() {
        for (unclean, isr) in [(true, &[][..]), (false, &[1][..])] {
            let mut state = cluster(&[2]).with(0, &[1], Some(led_by(1, &[1])));
            state.unclean_election = unclean;
            let plan = broker_change(&state, &brokers(&[1, 2]));
            assert_eq!(only(&plan.decisions).leadership, decided(-1, isr));
            state.leaderships.insert(partition(0), decided(-1, isr));
            assert_eq!(broker_change(&state, &state.brokers.clone()), Plan::default());
        }
    }

    #[test]
    fn followers_that_went_leave_the_in_sync_replicas_of_a_live_leader() {
        let state = cluster(&[1, 2])
            .with(0, &[1, 2, 3], Some(led_by(1, &[3, 1, 2])))
            .with(1, &[1, 3], Some(led_by(1, &[1])))
            .with(2, &[3, 1], Some(led_by(3, &[3, 1])));
        let decisions = followers_gone(&state, &set(&[3]));
        assert_eq!(only(&decisions).partition, partition(0));
        assert_eq!(only(&decisions).leadership, decided(1, &[1, 2]));
    }

    #[test]
    fn a_new_controller_takes_dead_followers_out_but_leaves_leaderless_partitions_as_they_are() {
        let state =
            cluster(&[1])
                .with(0, &[1, 2], Some(led_by(1, &[1, 2])))
                .with(1, &[2], Some(led_by(2, &[2])));
        let plan = taking_over(&state);
        assert_eq!(only(&plan.decisions).partition, partition(0));
        assert_eq!(plan.newcomers, [BrokerId(1)]);
        // Nobody is there yet, as at the start of a whole cluster: nothing is decided.
        let state = ClusterState {
            brokers: BTreeMap::new(),
            ..state
        };
        assert_eq!(taking_over(&state).decisions, []);
    }

    /// A controller that took over while the leader was away has told everybody that there is none, also at an epoch
    /// of its own, if it was asked to move the partition.
    #[test]
    fn a_leader_that_comes_after_the_controller_is_told_to_all_replicas() {
        for known in [led_by(1, &[1, 3]), decided(1, &[1, 3])] {
            let mut state = cluster(&[1, 2]).with(0, &[1, 2], Some(known.clone())).with(
                1,
                &[1, 2],
                Some(led_by(2, &[2])),
            );
            let before = brokers(&[2]);
            assert_eq!(returned(&state, &before), [partition(0)]);
            state.unconfirmed.extend(returned(&state, &before));
            let plan = broker_change(&state, &before);
            let told = &only(&plan.decisions).leadership;
            assert_eq!(told, &confirmed(&known, 3));
            assert_eq!(told.leader_epoch, known.leader_epoch + 1);
        }
        let state = cluster(&[1, 2]).with(0, &[1, 2], Some(led_by(1, &[1])));
        assert_eq!(returned(&state, &BTreeMap::new()), []);
    }

    #[test]
    fn a_broker_that_came_back_unseen_is_a_newcomer() {
        let before = BTreeMap::from([(BrokerId(1), broker(1, "1"))]);
        let mut state = cluster(&[]);
        state.brokers.insert(BrokerId(1), broker(1, "2"));
        assert_eq!(broker_change(&state, &before).newcomers, [BrokerId(1)]);
    }

    #[test]
    fn a_returning_broker_leads_partitions_that_had_nobody_left() {
        let state = cluster(&[1]).with(0, &[1], Some(led_by(-1, &[])));
        let plan = broker_change(&state, &BTreeMap::new());
        assert_eq!(only(&plan.decisions).leadership, decided(1, &[1]));
        assert!(only(&plan.decisions).unclean);
    }

    #[test]
    fn a_leadership_that_somebody_else_created_is_confirmed_under_this_epoch() {
        let mut state = cluster(&[1]).with(0, &[1], Some(led_by(1, &[1])));
        state.unconfirmed.insert(partition(0));
        let plan = broker_change(&state, &state.brokers.clone());
        assert_eq!(only(&plan.decisions).leadership, decided(1, &[1]));
    }

    #[test]
    fn nothing_is_decided_about_what_cannot_be_read_or_is_being_deleted() {
        let mut state = cluster(&[2]).with(0, &[1, 2], Some(led_by(1, &[1, 2])));
        state.unreadable.insert(partition(0));
        assert_eq!(broker_change(&state, &state.brokers.clone()), Plan::default());
        state.unreadable.clear();
        state.deletions.insert("t".into(), Deletion::default());
        assert_eq!(broker_change(&state, &state.brokers.clone()), Plan::default());
    }

    /// No broker comes or goes any more that would have it looked at.
    #[test]
    fn what_was_given_up_is_planned_again() {
        let state = cluster(&[1, 2])
            .with(0, &[3, 2], Some(led_by(3, &[3, 2])))
            .with(1, &[1, 3], Some(led_by(1, &[1, 3])))
            .with(2, &[2], None)
            .with(3, &[1, 2], Some(led_by(1, &[1, 2])));
        let plan = overdue(&state);
        let decided: Vec<_> = plan
            .decisions
            .iter()
            .map(|decision| {
                let isr = decision.leadership.isr.iter().map(|id| id.0).collect();
                (decision.partition.partition, decision.leadership.leader, isr)
            })
            .collect();
        let expected: [(_, _, Vec<_>); 3] = [
            (0, Some(BrokerId(2)), vec![2]),
            (2, Some(BrokerId(2)), vec![2]),
            (1, Some(BrokerId(1)), vec![1]),
        ];
        assert_eq!(decided, expected);
        assert!(plan.newcomers.is_empty() && !plan.brokers_changed);
    }

    #[test]
    fn nothing_changes_when_nothing_changed() {
        let state = cluster(&[1, 2]);
        assert_eq!(broker_change(&state, &state.brokers.clone()), Plan::default());
        assert_eq!(overdue(&state), Plan::default());
    }
}
