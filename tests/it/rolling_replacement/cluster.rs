//! Three brokers, each of which may be of either kind from one start to the next.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::eventually::eventually;
use crate::support::gregor;
use crate::support::process::run;
use crate::support::report;
use crate::support::scratch;
use crate::support::segments::log_bytes;
use crate::support::segments::read_by_reference;
use crate::support::znodes;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

pub(super) const BROKERS: usize = 3;

/// Who sends to which topic: kafka-python, and the reference's new producer.
pub(super) const PYTHON_TOPIC: &str = "orders";
pub(super) const JAVA_TOPIC: &str = "payments";
pub(super) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Partitions of each topic, on all three brokers, each broker being the preferred leader of as many.
pub(super) const PARTITIONS: usize = 3;

/// Enough for every step on a busy machine, sessions and lags included.
const SOON: Duration = Duration::from_secs(120);

/// All of them, and what they share.
pub(super) struct Cluster {
    pub(super) connect: String,
    brokers: Vec<Broker>,
    data: tempfile::TempDir,
    _zookeeper: Arc<ZooKeeper>,
}

impl Cluster {
    /// Starts brokers of one kind, and creates the topics.
    pub(super) fn start(test: &str, kind: Kind) -> Self {
        let zookeeper = ZooKeeper::shared(Version::Reference);
        let connect = chroot(&zookeeper, test);
        let data = scratch("rolling");
        let launch = |id: usize| {
            let directories = directories(data.path(), id);
            let directories = directories.map(|directory| directory.to_string_lossy().into_owned());
            Setup::of_kind(kind, &connect)
                .set("broker.id", id.to_string())
                .set("log.dirs", directories.join(","))
                .set("default.replication.factor", "3")
                .set("offsets.topic.replication.factor", "3")
                .set("offsets.topic.num.partitions", PARTITIONS.to_string())
                // A busy machine is no reason to take anybody for dead.
                .set("zookeeper.session.timeout.ms", "20000")
                .set("replica.lag.time.max.ms", "10000")
                // Several segments, with their indexes, pass from one to the other.
                .set("log.segment.bytes", "100000")
                .set("auto.leader.rebalance.enable", "false")
                .launch()
        };
        let mut brokers: Vec<_> = (0..BROKERS).map(launch).collect();
        brokers.iter_mut().for_each(Broker::wait_until_started);
        let cluster = Self {
            connect,
            brokers,
            data,
            _zookeeper: zookeeper,
        };
        for topic in [PYTHON_TOPIC, JAVA_TOPIC, OFFSETS_TOPIC] {
            cluster.create(topic);
        }
        cluster.wait_until("every partition has a leader", |state| {
            state["leader"].as_i64() >= Some(0)
        });
        cluster.wait_for_full_isrs();
        cluster
    }

    fn create(&self, topic: &str) {
        let mut command = gregor();
        command.args([
            "topics",
            "--zookeeper",
            &self.connect,
            "--create",
            "--topic",
            topic,
        ]);
        command.args(["--replica-assignment", "0:1:2,1:2:0,2:0:1"]);
        command.args(["--config", "min.insync.replicas=2"]);
        run(command, b"", SOON).succeeded();
    }

    /// Where clients begin.
    pub(super) fn bootstrap(&self) -> String {
        let addresses: Vec<_> = self.brokers.iter().map(Broker::bootstrap).collect();
        addresses.join(",")
    }

    /// Stops a broker cleanly, starts one of this kind in its place, and waits until it is in sync.
    #[track_caller]
    pub(super) fn replace(&mut self, broker: usize, kind: Kind) {
        let replaced = &mut self.brokers[broker];
        assert_ne!(replaced.kind(), kind, "it is replaced");
        stop_having_left(replaced);
        replaced.turn_into(kind);
        replaced.launch_again();
        replaced.wait_until_started();
        self.wait_for_full_isrs();
    }

    /// Gives each broker its share of leaderships again, as the reference's command does, which takes longer.
    #[track_caller]
    pub(super) fn elect_preferred_leaders(&self) {
        let topics = [PYTHON_TOPIC, JAVA_TOPIC, OFFSETS_TOPIC].into_iter();
        let partitions: Vec<_> = topics
            .flat_map(|topic| (0..PARTITIONS).map(move |number| json!({"topic": topic, "partition": number})))
            .collect();
        let wanted = json!({"version": 1, "partitions": partitions});
        znodes::put(
            &self.connect,
            "/admin/preferred_replica_election",
            &wanted.to_string(),
        );
        eventually("each broker leads its share", SOON, || {
            let states = self.states();
            let led = (0..BROKERS)
                .map(|id| states.values().filter(|state| state["leader"] == id).count())
                .collect::<Vec<_>>();
            let shares = vec![states.len() / BROKERS; BROKERS];
            if led == shares {
                Ok(())
            } else {
                Err(format!("{states:?}"))
            }
        });
    }

    /// Stops the first broker cleanly, and has the reference read its logs and believe its indexes.
    #[track_caller]
    pub(super) fn verify_logs(&mut self) {
        self.brokers[0].stop_within(SOON);
        let logs = partitions().map(|partition| self.log(0, &partition));
        let logs: Vec<_> = logs.filter(|log| !log_bytes(log).is_empty()).collect();
        read_by_reference(&logs);
    }

    /// Nobody found anything to repair, or anything that it could not read, in what the other kind had left.
    #[track_caller]
    pub(super) fn assert_sound_hand_overs(&self) {
        for broker in &self.brokers {
            let said = broker.output();
            let complaints = [
                "Recovering unflushed",
                "orrupt",
                "FATAL",
                "Error in loading offsets",
                "gregor::log::recovery",
            ];
            let (refetched, complaints): (Vec<_>, Vec<_>) = said
                .lines()
                .filter(|line| complaints.iter().any(|complaint| line.contains(complaint)))
                .partition(|line| self.is_of_a_truncated_log(line));
            assert_eq!(complaints, [""; 0]);
            if !refetched.is_empty() {
                report(&format!("fetched again: {refetched:#?}"));
            }
        }
    }

    /// Whether a follower says that it does not take an answer, and asks again, and it was asking somebody who has truncated
    /// that log. It may find zeros in one: truncating clears the rest of a page that is still on its way through a socket,
    /// where `sendfile` has put it. What was stored in the end is compared byte by byte.
    fn is_of_a_truncated_log(&self, line: &str) -> bool {
        let asked = || {
            let (_, fetcher) = line.split_once("[ReplicaFetcherThread-")?;
            let (number, _) = fetcher.split_once(']')?;
            let (_, leader) = number.split_once('-')?;
            self.brokers.get(leader.parse::<usize>().ok()?)
        };
        let partition = || {
            let (_, rest) = line.split_once("Found invalid messages during fetch for partition [")?;
            let (topic, rest) = rest.split_once(',')?;
            let (number, _) = rest.split_once(']')?;
            Some(format!("{topic}-{number}"))
        };
        let (Some(asked), Some(partition)) = (asked(), partition()) else {
            return false;
        };
        let truncated = [
            format!("Truncating log {partition} to offset"),
            format!("{partition}: truncating from"),
        ];
        asked
            .output()
            .lines()
            .any(|said| truncated.iter().any(|truncated| said.contains(truncated)))
    }

    /// Where a broker keeps a partition.
    fn log(&self, broker: usize, partition: &str) -> PathBuf {
        let places = directories(self.data.path(), broker).map(|directory| directory.join(partition));
        let there: Vec<_> = places.into_iter().filter(|place| place.exists()).collect();
        let [place] = there.as_slice() else {
            panic!("{partition} of broker {broker} is in {there:?}")
        };
        place.clone()
    }

    /// Waits until all brokers have the same logs, byte for byte.
    #[track_caller]
    pub(super) fn wait_for_equal_logs(&self) {
        for partition in partitions() {
            // The group's positions are in one partition of their topic.
            let may_be_empty = partition.starts_with(OFFSETS_TOPIC);
            eventually("all have the same log", SOON, || {
                let bytes = |broker| log_bytes(&self.log(broker, &partition));
                let logs: Vec<_> = (0..BROKERS).map(bytes).collect();
                let filled = may_be_empty || !logs[0].is_empty();
                if filled && logs.iter().all(|log| *log == logs[0]) {
                    Ok(())
                } else {
                    let sizes: Vec<_> = logs.iter().map(Vec::len).collect();
                    Err(format!("{partition}: bytes {sizes:?}"))
                }
            });
        }
    }

    /// Waits until every replica of every partition is in sync.
    #[track_caller]
    fn wait_for_full_isrs(&self) {
        self.wait_until("every replica is in sync", |state| {
            state["isr"].as_array().is_some_and(|isr| isr.len() == BROKERS)
        });
    }

    #[track_caller]
    fn wait_until(&self, what: &str, wanted: impl Fn(&Value) -> bool) {
        eventually(what, SOON, || {
            let states = self.states();
            if states.len() == 3 * PARTITIONS && states.values().all(&wanted) {
                Ok(())
            } else {
                Err(format!("{states:?}"))
            }
        });
    }

    /// What ZooKeeper says about each partition.
    fn states(&self) -> BTreeMap<String, Value> {
        znodes::partition_states(&self.connect)
    }
}

/// A broker's data directories.
fn directories(data: &Path, broker: usize) -> [PathBuf; 2] {
    ["first", "second"].map(|name| data.join(format!("{broker}-{name}")))
}

/// All partitions, as their directories are called.
fn partitions() -> impl Iterator<Item = String> {
    let topics = [PYTHON_TOPIC, JAVA_TOPIC, OFFSETS_TOPIC].into_iter();
    topics.flat_map(|topic| (0..PARTITIONS).map(move |number| format!("{topic}-{number}")))
}

/// Stops a broker, which hands over what it leads before.
#[track_caller]
fn stop_having_left(broker: &mut Broker) {
    let left = |broker: &Broker| broker.output().matches("Controlled shutdown succeeded").count();
    let before = left(broker);
    // The reference asks again after five seconds if somebody is not ready yet.
    broker.stop_within(SOON);
    assert_eq!(left(broker), before + 1, "{}", broker.output());
}
