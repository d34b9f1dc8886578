//! Positions of groups when their coordinator moves.

use gregor::protocol::offset_commit::OffsetStorage;

use super::cluster::Cluster;
use super::cluster::SOON;
use crate::support::Need;
use crate::support::broker::Kind;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::requests::ask_one;
use crate::support::requests::commit;
use crate::support::requests::committed;

/// What one coordinator committed the next one serves, whichever of the two kinds it is; and the one that lost the
/// partition serves nothing any more.
fn moves(test: &str, kinds: [Kind; 2]) {
    if !have(&[Need::Reference, Need::Python]) {
        return;
    }
    let mut cluster = Cluster::with(test, &kinds, |setup| {
        setup.set("offsets.topic.num.partitions", "1")
    });
    cluster.create("orders", &[1, 2], &[]);
    cluster.create("__consumer_offsets", &[1, 2], &["cleanup.policy=compact"]);
    let wait_for = |cluster: &Cluster, broker: usize, group: &str, position: i64| {
        let asked = committed(OffsetStorage::Kafka, group, "orders", 0);
        eventually("the position is served", SOON, || {
            let answer = ask_one(&cluster.brokers[broker], &asked);
            if answer["offset"] == position && answer["error_code"] == 0 {
                Ok(())
            } else {
                Err(answer)
            }
        });
    };
    let commit_at = |cluster: &Cluster, broker: usize, group: &str, position: i64| {
        let request = commit(OffsetStorage::Kafka, group, ("orders", 0), position);
        eventually("the position is committed", SOON, || {
            let answer = ask_one(&cluster.brokers[broker], &request);
            if answer["error_code"] == 0 {
                Ok(())
            } else {
                Err(answer)
            }
        });
    };
    for (position, (leader, next)) in (10..).zip([(1, 2), (2, 1)]) {
        for group in ["g1", "g2"] {
            commit_at(&cluster, leader, group, position);
            wait_for(&cluster, leader, group, position);
        }
        cluster.brokers[leader].kill();
        for group in ["g1", "g2"] {
            wait_for(&cluster, next, group, position);
        }
        cluster.restart(leader);
        cluster.wait_for_isr("__consumer_offsets", 0, &[1, 2]);
        let asked = committed(OffsetStorage::Kafka, "g1", "orders", 0);
        eventually("the old coordinator refuses", SOON, || {
            let answer = ask_one(&cluster.brokers[leader], &asked);
            if answer["error_code"] == 16 {
                Ok(())
            } else {
                Err(answer)
            }
        });
    }
    cluster.assert_equal_logs("__consumer_offsets", &[1, 2]);
}

#[test]
fn positions_move_with_their_coordinator() {
    moves("offsets-gregor", [Kind::Gregor; 2]);
}

#[test]
fn positions_move_between_gregor_and_the_reference() {
    moves("offsets-mixed", [Kind::Gregor, Kind::Reference]);
}
