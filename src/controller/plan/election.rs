//! Who leads when a leader is gone.

use std::collections::BTreeSet;

use crate::controller::state::Leadership;
use crate::types::BrokerId;

/// Picks a leader after the current one died, or `None` if the partition stays without.
///
/// A live in-sync replica wins, in assignment order; only then, and only if allowed, any live replica, which loses
/// the messages it had not copied.
pub(crate) fn elect(
    current: &Leadership,
    assigned: &[BrokerId],
    live: &BTreeSet<BrokerId>,
    unclean_allowed: bool,
    controller_epoch: i32,
) -> Option<Leadership> {
    let alive = |id: &&BrokerId| live.contains(*id);
    let isr: Vec<_> = current.isr.iter().filter(alive).copied().collect();
    let in_sync = assigned.iter().find(|id| isr.contains(*id)).copied();
    let leader = in_sync.or_else(|| {
        unclean_allowed
            .then(|| assigned.iter().find(alive).copied())
            .flatten()
    })?;
    Some(Leadership {
        leader: Some(leader),
        leader_epoch: current.leader_epoch.saturating_add(1),
        isr: if in_sync.is_some() { isr } else { vec![leader] },
        controller_epoch,
        zk_version: current.zk_version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[i32]) -> Vec<BrokerId> {
        ids.iter().copied().map(BrokerId).collect()
    }

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
            let current = Leadership {
                leader: Some(BrokerId(1)),
                leader_epoch: 4,
                isr: ids(isr),
                controller_epoch: 1,
                zk_version: 7,
            };
            let live = ids(live).into_iter().collect();
            let elected = elect(&current, &ids(assigned), &live, *unclean, 2);
            let expected = expected.map(|(leader, isr)| Leadership {
                leader: Some(BrokerId(leader)),
                leader_epoch: 5,
                isr: ids(isr),
                controller_epoch: 2,
                zk_version: 7,
            });
            assert_eq!(elected, expected, "assigned {assigned:?}, ISR {isr:?}");
        }
    }
}
