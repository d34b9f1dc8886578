//! What the broker costs while nothing happens.

use std::time::Duration;

use gregor::protocol::encode_request;
use gregor::protocol::fetch::FetchRequest;
use gregor::protocol::fetch::PartitionFetch;
use gregor::protocol::fetch::Reader;

use super::crowd::Crowd;
use super::crowd::Does;
use super::target::Target;
use super::target::let_pass;
use super::target::long;
use super::target::mib;
use super::target::report;

const PARTITIONS: usize = 1_000;

/// A fetch that waits for the first message of a partition.
fn waiting(partition: usize) -> Does {
    let request = FetchRequest {
        reader: Reader::Consumer,
        max_wait: Duration::from_secs(600),
        min_bytes: 1,
        topics: vec![(
            Some("quiet".to_owned()),
            vec![PartitionFetch {
                partition: i32::try_from(partition).unwrap(),
                offset: 0,
                max_bytes: 1 << 20,
            }],
        )],
    };
    Does::SendsOnce(encode_request(1, Some("waiting"), &request).freeze())
}

#[test]
fn an_idle_broker_costs_next_to_nothing() {
    let settings = [("num.partitions", "1000")];
    let Some(mut target) = Target::start("overload-idle", &settings) else {
        return;
    };
    let alone = target.resident();
    target.topic_of("quiet", PARTITIONS);
    let with_partitions = target.resident();
    let mut crowd = Crowd::new(target.address());
    for partition in 0..PARTITIONS {
        crowd.add(1, &waiting(partition));
    }
    target.wait_for("kafka_server_fetchrequestpurgatory_purgatorysize ", |waiting| {
        waiting >= 1000.0
    });
    let (used, window) = (
        target.processor(),
        Duration::from_secs(if long() { 20 } else { 3 }),
    );
    let_pass(window);
    let used = target.processor() - used;
    let share = 100.0 * used.as_secs_f64() / window.as_secs_f64();
    let with_consumers = target.resident();
    report(&format!(
        "idle: {:.1} MiB resident alone, {:.1} with {PARTITIONS} partitions, {:.1} and {share:.2} % of a processor with as \
         many waiting consumers",
        mib(alone),
        mib(with_partitions),
        mib(with_consumers)
    ));
    // A build for debugging is larger.
    let spare = if cfg!(debug_assertions) && !long() { 3 } else { 1 };
    assert!(alone < spare * (10 << 20), "{alone}");
    assert!(with_partitions < spare * (24 << 20), "{with_partitions}");
    assert!(with_consumers < spare * (40 << 20), "{with_consumers}");
    assert!(share < 5.0, "{share} % of a processor");
    target.holds("idling");
}
