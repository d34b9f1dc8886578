//! Compacted topics among brokers of both kinds. Only Java brokers compact: their logs have gaps where Gregor's have none,
//! and it is the same topic.

use std::collections::BTreeMap;

use super::cluster::Cluster;
use super::cluster::SOON;
use crate::support::Need;
use crate::support::broker::Kind;
use crate::support::clients::Python;
use crate::support::clients::Record;
use crate::support::clients::Release;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::segments::log_bytes;

const TOPIC: &str = "compacted";
const KEYS: usize = 10;

/// Messages of one round: several segments of them.
const ROUND: usize = 300;

/// A producer that knows what each key has to say.
struct Writer {
    rounds: usize,
    latest: BTreeMap<String, String>,
}

impl Writer {
    #[track_caller]
    fn write(&mut self, cluster: &Cluster, leader: usize) {
        let round = self.rounds;
        self.rounds += 1;
        let records: Vec<_> = (0..ROUND)
            .map(|number| {
                let (key, value) = (format!("key {}", number % KEYS), format!("{round} {number:080}"));
                self.latest.insert(key.clone(), value.clone());
                Record::new(Some(&key), Some(&value))
            })
            .collect();
        let mut python = Python::start(Release::Kafka20, &cluster.brokers[leader].bootstrap());
        let offsets = python.produce(TOPIC, "none", "1", &records);
        assert!(offsets.iter().all(Result::is_ok), "{offsets:?}");
    }

    /// Whoever leads serves the last value of each key, and nothing twice.
    #[track_caller]
    fn check(&self, cluster: &Cluster, leader: usize) {
        let mut python = Python::start(Release::Kafka20, &cluster.brokers[leader].bootstrap());
        let read = python.consume(TOPIC, 0, 0);
        let offsets: Vec<_> = read.iter().map(|(offset, _)| *offset).collect();
        assert!(offsets.is_sorted_by(|one, next| one < next), "{offsets:?}");
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap();
        let latest: BTreeMap<_, _> = read
            .into_iter()
            .map(|(_, record)| (text(record.key), text(record.value)))
            .collect();
        assert_eq!(latest, self.latest, "led by broker {leader}");
    }
}

fn size(cluster: &Cluster, broker: usize) -> usize {
    log_bytes(&cluster.brokers[broker].data().join(format!("{TOPIC}-0"))).len()
}

/// Waits until the broker keeps less than half of what another keeps, or as much as it should of `written` bytes.
#[track_caller]
fn wait_until_compacted(cluster: &Cluster, broker: usize, written: usize) {
    eventually("most of the log is compacted away", SOON, || {
        let left = size(cluster, broker);
        if left < written / 2 { Ok(()) } else { Err(left) }
    });
}

#[test]
fn a_compacted_topic_passes_from_one_kind_to_the_other() {
    if !have(&[Need::Reference, Need::Python, Need::Gregor]) {
        return;
    }
    let kinds = [Kind::Reference, Kind::Gregor, Kind::Gregor];
    let mut cluster = Cluster::with("compacted", &kinds, |setup| {
        setup
            .set("log.cleaner.enable", "true")
            .set("log.cleaner.backoff.ms", "100")
            .set("log.cleaner.dedupe.buffer.size", "4000000")
            .set("log.cleaner.min.cleanable.ratio", "0.01")
            // A Java follower that has no high watermark yet truncates to nothing, and cannot append to what is left of a
            // compacted segment.
            .set("replica.high.watermark.checkpoint.interval.ms", "100")
    });
    cluster.create(TOPIC, &[1, 2], &["cleanup.policy=compact", "segment.bytes=20000"]);
    let mut writer = Writer {
        rounds: 0,
        latest: BTreeMap::new(),
    };
    writer.write(&cluster, 1);

    // Gregor is away while the Java leader compacts what it has, and what it lacks.
    cluster.brokers[2].kill();
    cluster.wait_for_isr(TOPIC, 0, &[1]);
    writer.write(&cluster, 1);
    wait_until_compacted(&cluster, 1, ROUND * 2 * 100);
    cluster.restart(2);
    cluster.wait_for_isr(TOPIC, 0, &[1, 2]);
    // And one that has nothing yet copies a log with gaps.
    cluster.reassign(TOPIC, &[1, 2, 3]);
    cluster.wait_for_isr(TOPIC, 0, &[1, 2, 3]);

    for (old, new) in [(1, 2), (2, 1)] {
        cluster.brokers[old].kill();
        cluster.wait_for_leader(TOPIC, new);
        writer.check(&cluster, new);
        writer.write(&cluster, new);
        writer.check(&cluster, new);
        cluster.restart(old);
        cluster.wait_for_isr(TOPIC, 0, &[1, 2, 3]);
    }

    // The Java broker leads again, compacts, and is replaced.
    let written = size(&cluster, 3);
    for broker in [2, 3] {
        cluster.brokers[broker].kill();
    }
    cluster.wait_for_leader(TOPIC, 1);
    writer.check(&cluster, 1);
    writer.write(&cluster, 1);
    wait_until_compacted(&cluster, 1, written);
    cluster.brokers[1].stop();
    cluster.brokers[1].turn_into(Kind::Gregor);
    cluster.restart(1);
    cluster.wait_for_leader(TOPIC, 1);
    writer.check(&cluster, 1);
    for broker in [2, 3] {
        cluster.restart(broker);
    }
    cluster.wait_for_isr(TOPIC, 0, &[1, 2, 3]);
    cluster.brokers[1].kill();
    cluster.wait_for_state(TOPIC, |state| state["leader"] == 2 || state["leader"] == 3);
    let leader = cluster.leader(TOPIC);
    cluster.wait_for_leader(TOPIC, leader);
    writer.check(&cluster, leader);
}
