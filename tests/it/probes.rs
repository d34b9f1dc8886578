//! What a broker says of itself over HTTP, from before it serves until after it has lost its session.

use std::time::Duration;

use gregor::metrics::names;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::clients::Python;
use crate::support::clients::Release;
use crate::support::eventually::eventually;
use crate::support::gregor;
use crate::support::have;
use crate::support::numbered::numbered;
use crate::support::process::run;
use crate::support::wire;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const NEEDS: [Need; 3] = [Need::Gregor, Need::Reference, Need::Python];

/// Whatever has to be noticed or elected.
const SOON: Duration = Duration::from_secs(30);

#[track_caller]
fn answers(broker: &Broker, path: &str, wanted: (u16, &str)) {
    eventually(
        &format!("{path} answers {wanted:?}"),
        SOON,
        || match wire::http_get(broker.metrics_address(), path) {
            Ok((status, body)) if status == wanted.0 && body.contains(wanted.1) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    );
}

/// Whoever looks whether the process lives must not kill it for a long start.
#[test]
fn it_lives_and_is_not_ready_while_it_starts() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::start(Version::Reference);
    zookeeper.freeze();
    let mut broker = Setup::new(&chroot(&zookeeper, "starts"))
        .set("zookeeper.connection.timeout.ms", "600000")
        .launch();
    answers(&broker, "/healthz", (200, "ok"));
    answers(&broker, "/readyz", (503, "starting"));
    answers(&broker, "/metrics", (200, "process_start_time_seconds"));
    zookeeper.thaw();
    broker.wait_until_ready();
    answers(&broker, "/metrics", (200, "kafka_server_kafkaserver_brokerstate"));
}

#[test]
fn it_is_not_ready_while_it_is_not_registered() {
    if !have(&NEEDS) {
        return;
    }
    let mut zookeeper = ZooKeeper::start(Version::Reference);
    let broker = Setup::new(&chroot(&zookeeper, "expires"))
        .set("zookeeper.session.timeout.ms", "1500")
        .start();
    zookeeper.kill();
    answers(&broker, "/readyz", (503, "not registered"));
    answers(&broker, "/healthz", (200, "ok"));
    zookeeper.start_again();
    answers(&broker, "/readyz", (200, "ready"));
}

/// Two brokers that replicate, and keep a group's positions, say everything that there is to say.
#[test]
fn every_metric_has_a_value() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "every-metric");
    let brokers = ["0", "1"].map(|id| {
        Setup::new(&connect)
            .set("broker.id", id)
            .set("log.flush.interval.messages", "1")
            .start()
    });
    // Whoever keeps the group's positions leads one of them.
    for (topic, assignment) in [("first", "0:1"), ("second", "1:0")] {
        let mut create = gregor();
        create
            .args(["topics", "--zookeeper", &connect, "--create", "--topic", topic])
            .args(["--replica-assignment", assignment]);
        run(create, b"", SOON).succeeded();
        brokers.iter().for_each(|broker| broker.wait_for_topic(topic, 1));
        let mut python = Python::start(Release::Kafka20, &brokers[0].bootstrap());
        python.produce(topic, "none", "-1", &numbered(topic, 3));
        python.commit("kafka", "group", topic, 1);
    }
    eventually("every metric has a value", SOON, || {
        let texts = brokers
            .each_ref()
            .map(|broker| wire::http_get(broker.metrics_address(), "/metrics").unwrap().1);
        let has = |line: &str, name: &str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']) || rest.starts_with("_bucket{"))
        };
        let missing: Vec<_> = names::ALL
            .iter()
            .map(|metric| metric.name)
            .filter(|name| !texts.iter().any(|text| text.lines().any(|line| has(line, name))))
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("{missing:?} are missing"))
        }
    });
    let text = wire::http_get(brokers[0].metrics_address(), "/metrics")
        .unwrap()
        .1;
    let flushes = text
        .lines()
        .find_map(|line| line.strip_prefix("kafka_log_flush_duration_seconds_count "));
    let flushes: u64 = flushes.and_then(|count| count.parse().ok()).unwrap();
    assert!(flushes >= 2, "at least one for each set: {flushes}");
}
