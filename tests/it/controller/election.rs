//! Whom a controller of Gregor elects among its own kind.

use std::collections::BTreeMap;

use gregor::message::Codec;
use gregor::protocol::fetch::Reader;
use gregor::protocol::list_offsets::OffsetSpec;
use serde_json::json;

use super::*;
use crate::support::requests::ask_one;
use crate::support::requests::offsets;
use crate::support::requests::produce;
use crate::support::requests::set;
use crate::support::segments::log_bytes;
use crate::support::wire;

const UNCLEAN: &str = "kafka_controller_controllerstats_uncleanleaderelections_total";

/// Writes a message, which every replica in sync has to acknowledge.
#[track_caller]
fn write(leader: &Broker, topic: &str, partition: i32, text: &str) {
    let request = produce(-1, FAILOVER, topic, [(partition, set(Codec::None, &[text]))]);
    let answer = ask_one(leader, &request);
    assert_eq!(answer["error_code"], 0, "{answer}");
}

#[track_caller]
fn wait_for_isr(connect: &str, topic: &str, brokers: [usize; 2]) {
    let [one, other] = brokers;
    wait_for_state(connect, topic, 0, |state| {
        state["isr"] == json!([one, other]) || state["isr"] == json!([other, one])
    });
}

/// One broker was not in sync when the other, which was, died. Where the broker's setting or the topic's own allows it, it
/// leads; where not, the partition waits for the other, and nothing is lost.
fn elects_where_allowed(name: &str, by_default: bool) {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Installed);
    let connect = chroot(&zookeeper, name);
    let start = |id: usize| {
        setup(Kind::Gregor, &connect, id)
            .set("unclean.leader.election.enable", by_default.to_string())
            .set("auto.leader.rebalance.enable", "false")
            .start()
    };
    let (controller, mut first, mut second) = (start(0), start(1), start(2));
    let other_than_default = format!("unclean.leader.election.enable={}", !by_default);
    create(&connect, "default", "1:2");
    create_with(&connect, "override", "1:2", &[&other_than_default]);
    let topics = ["default", "override"];
    let (allowed, forbidden) = if by_default {
        ("default", "override")
    } else {
        ("override", "default")
    };

    for topic in topics {
        wait_for_leader(&first, topic, 0, 1);
        write(&first, topic, 0, "both have it");
    }
    second.kill();
    for topic in topics {
        wait_for_state(&connect, topic, 0, |state| state["isr"] == json!([1]));
        write(&first, topic, 0, "only the first has it");
    }
    first.kill();
    for topic in topics {
        wait_for_state(&connect, topic, 0, |state| state["leader"] == -1);
    }
    second.start_again_without_leaders();
    let elected = wait_for_state(&connect, allowed, 0, |state| state["leader"] == 2);
    assert_eq!(elected["isr"], json!([2]));
    wait_for_leader(&second, allowed, 0, 2);
    write(&second, allowed, 0, "instead");
    // Decided at the same time.
    let waiting = state(&connect, forbidden, 0).unwrap();
    assert_eq!((&waiting["leader"], &waiting["isr"]), (&json!(-1), &json!([1])));
    let metrics = wire::http_get(controller.metrics_address(), "/metrics")
        .unwrap()
        .1;
    let counted = format!("{UNCLEAN} 1");
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");

    first.start_again();
    wait_for_state(&connect, forbidden, 0, |state| state["leader"] == 1);
    for (topic, leader) in [(allowed, &second), (forbidden, &first)] {
        wait_for_isr(&connect, topic, [1, 2]);
        write(leader, topic, 0, "both again");
        // What only the first had is lost where that was allowed, and another message has its place.
        let bytes = |broker: &Broker| log_bytes(&broker.data().join(format!("{topic}-0")));
        let log = bytes(leader);
        let had = |text: &str| log.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        assert!(had("both have it") && had("both again"), "{topic}");
        assert_eq!(had("only the first has it"), topic == forbidden, "{topic}");
        assert_eq!(had("instead"), topic == allowed, "{topic}");
        let end = ask_one(leader, &offsets(Reader::Consumer, topic, 0, OffsetSpec::Latest));
        assert_eq!(end["offsets"][0], 3, "{end}");
        assert!(bytes(&first) == bytes(&second), "{topic}: the replicas differ");
    }
}

#[test]
fn an_unclean_leader_is_elected_only_for_the_topic_that_allows_it() {
    elects_where_allowed("unclean-topic", false);
}

#[test]
fn an_unclean_leader_is_elected_but_not_for_the_topic_that_forbids_it() {
    elects_where_allowed("unclean-default", true);
}

/// `leader.election.policy=balanced`: 0.8.2.2's order would give everything to the next in the list.
#[test]
fn balanced_elections_spread_the_leaderships_of_a_dead_broker() {
    const PARTITIONS: usize = 6;
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Installed);
    let connect = chroot(&zookeeper, "balanced");
    let mut brokers = [0, 1, 2].map(|id| {
        setup(Kind::Gregor, &connect, id)
            .set("leader.election.policy", "balanced")
            .set("auto.leader.rebalance.enable", "false")
            .start()
    });
    create(&connect, "spread", &["1:0:2"; PARTITIONS].join(","));
    for partition in (0..).take(PARTITIONS) {
        wait_for_leader(&brokers[1], "spread", partition, 1);
        write(&brokers[1], "spread", partition, "before");
    }
    brokers[1].kill();
    let leaders = eventually("others lead all of them", FAILOVER, || {
        let seen = wire::metadata(brokers[0].address()).map_err(|error| error.to_string())?;
        let partitions = seen.topics.iter().flat_map(|(_, _, partitions)| partitions);
        let leaders: Vec<(i32, i32)> = partitions.map(|(number, _, leader)| (*number, *leader)).collect();
        if leaders.iter().all(|(_, leader)| [0, 2].contains(leader)) {
            Ok(leaders)
        } else {
            Err(format!("{leaders:?}"))
        }
    });
    let mut led: BTreeMap<i32, usize> = BTreeMap::new();
    for (partition, leader) in leaders {
        *led.entry(leader).or_default() += 1;
        eventually("it accepts messages", FAILOVER, || {
            let message = (partition, set(Codec::None, &["after"]));
            let request = produce(-1, FAILOVER, "spread", [message]);
            let answer = ask_one(&brokers[usize::try_from(leader).unwrap()], &request);
            if answer["error_code"] == 0 {
                Ok(())
            } else {
                Err(answer)
            }
        });
    }
    assert_eq!(led, BTreeMap::from([(0, PARTITIONS / 2), (2, PARTITIONS / 2)]));
}
