//! Positions of groups when their coordinator moves.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use gregor::protocol::offset_commit::OffsetStorage;
use serde_json::Value;

use super::cluster::Cluster;
use super::cluster::SOON;
use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::clients::Python;
use crate::support::clients::Release;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::java::java_format_offsets;
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

/// A group's position as a broker that coordinates it gives it; -1 for none.
fn position(broker: &Broker, group: &str) -> Result<i64, Value> {
    let answer = ask_one(broker, &committed(OffsetStorage::Kafka, group, "orders", 0));
    // The reference has code 3 for a group that has committed nothing.
    let served = answer["error_code"] == 0 || answer["error_code"] == 3;
    answer["offset"].as_i64().filter(|_| served).ok_or(answer)
}

#[track_caller]
fn wait_for_position(broker: &Broker, group: &str, wanted: i64) {
    eventually(&format!("{group} is at {wanted}"), SOON, || {
        match position(broker, group) {
            Ok(found) if found == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// What Gregor writes, tombstones and compressed records included, a Java coordinator loads to the end, and the
/// reference's own formatter reads.
#[test]
#[expect(clippy::disallowed_methods, reason = "the times of commits")]
fn a_java_coordinator_loads_everything_that_gregor_writes() {
    if !have(&[Need::Reference, Need::Python, Need::Gregor]) {
        return;
    }
    let mut cluster = Cluster::with("offsets-loaded", &[Kind::Gregor, Kind::Reference], |setup| {
        setup
            .set("offsets.topic.num.partitions", "1")
            .set("offsets.topic.compression.codec", "1")
            .set("offsets.retention.check.interval.ms", "100")
    });
    cluster.create("orders", &[1, 2], &[]);
    cluster.create("__consumer_offsets", &[1, 2], &[]);
    let commit_at = |cluster: &Cluster, broker: usize, group: &str, position: i64, timestamp: Option<i64>| {
        let mut request = commit(OffsetStorage::Kafka, group, ("orders", 0), position);
        request.topics[0].1[0].timestamp = timestamp;
        request.topics[0].1[0].metadata = Some("\u{e4} metadata".to_owned());
        eventually("the position is committed", SOON, || {
            let answer = ask_one(&cluster.brokers[broker], &request);
            if answer["error_code"] == 0 {
                Ok(())
            } else {
                Err(answer)
            }
        });
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let now = i64::try_from(now).unwrap();
    commit_at(&cluster, 1, "first", 1, None);
    commit_at(&cluster, 1, "expired", 2, Some(now - 2 * 24 * 3_600_000));
    commit_at(&cluster, 1, "explicit", 3, Some(now));
    wait_for_position(&cluster.brokers[1], "expired", -1);
    commit_at(&cluster, 1, "last", 4, None);

    cluster.brokers[1].kill();
    for (group, position) in [("last", 4), ("explicit", 3), ("expired", -1), ("first", 1)] {
        wait_for_position(&cluster.brokers[2], group, position);
    }
    let said = cluster.brokers[2].output();
    assert!(
        said.contains("Finished loading offsets from [__consumer_offsets,0]"),
        "{said}"
    );
    assert!(!said.contains("Error in loading offsets"), "{said}");

    let records =
        Python::start(Release::Kafka20, &cluster.brokers[2].bootstrap()).consume("__consumer_offsets", 0, 0);
    let tombstones = records
        .iter()
        .filter(|(_, record)| record.value.is_none())
        .count();
    assert_eq!((records.len(), tombstones), (5, 1));
    for (_, record) in &records {
        assert!(
            record.key.as_ref().is_some_and(|key| key.starts_with(&[0, 0])),
            "{record:?}"
        );
        let value = record.value.as_deref().unwrap_or(&[0, 0]);
        assert!(value.starts_with(&[0, 0]), "{record:?}");
    }
    let formatted = java_format_offsets(&cluster.connect, records.len());
    assert_eq!(formatted.matches("NULL").count(), 1, "{formatted}");
    assert_eq!(formatted.matches("\u{e4} metadata").count(), 4, "{formatted}");

    // And back, with what the Java coordinator has written meanwhile.
    commit_at(&cluster, 2, "first", 11, None);
    cluster.restart(1);
    cluster.wait_for_isr("__consumer_offsets", 0, &[1, 2]);
    cluster.brokers[2].kill();
    for (group, position) in [("first", 11), ("last", 4), ("explicit", 3), ("expired", -1)] {
        wait_for_position(&cluster.brokers[1], group, position);
    }
}
