//! Several brokers in one chroot, and what tests ask of them.

use std::time::Duration;

use gregor::message::Codec;
use gregor::protocol::fetch::Reader;
use gregor::protocol::list_offsets::OffsetSpec;
use serde_json::Value;
use serde_json::json;

use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::eventually::eventually;
use crate::support::reference;
use crate::support::requests::ask_one;
use crate::support::requests::fetch;
use crate::support::requests::offsets;
use crate::support::requests::produce;
use crate::support::requests::set;
use crate::support::scratch;
use crate::support::segments::log_bytes;
use crate::support::znodes;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

/// Enough for every step of replication on a busy machine, sessions and lags included.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// How long a produce request may wait for its acknowledgements.
pub(super) const ACKS: Duration = Duration::from_secs(10);

/// Brokers by their ids; number 0 is the controller.
pub(super) struct Cluster {
    pub(super) connect: String,
    pub(super) brokers: Vec<Broker>,
    _zookeeper: std::sync::Arc<ZooKeeper>,
}

impl Cluster {
    /// Starts a controller of the reference and then brokers of these kinds, numbered from 1.
    pub(super) fn start(test: &str, kinds: &[Kind]) -> Self {
        Self::with(test, kinds, |setup| setup)
    }

    /// As `start`, with settings for the brokers that keep replicas.
    pub(super) fn with(test: &str, kinds: &[Kind], settings: impl Fn(Setup) -> Setup) -> Self {
        let zookeeper = ZooKeeper::shared(Version::Reference);
        let connect = chroot(&zookeeper, test);
        // Leaders that a test has moved are to stay where they are.
        let controller = Setup::of_kind(Kind::Reference, &connect)
            .set("auto.leader.rebalance.enable", "false")
            .set("zookeeper.session.timeout.ms", "30000")
            .set("controlled.shutdown.enable", "false");
        let mut brokers = vec![controller.start()];
        let launched: Vec<_> = (1..)
            .zip(kinds)
            .map(|(id, kind)| {
                let setup = Setup::of_kind(*kind, &connect)
                    .set("broker.id", id.to_string())
                    .set("replica.lag.time.max.ms", "2000")
                    .set("controlled.shutdown.enable", "false");
                settings(setup).launch()
            })
            .collect();
        brokers.extend(launched);
        for broker in &mut brokers {
            broker.wait_until_started();
        }
        Self {
            connect,
            brokers,
            _zookeeper: zookeeper,
        }
    }

    /// Creates a topic with one partition on these brokers, the first of which will lead, and waits for it.
    #[track_caller]
    pub(super) fn create(&self, topic: &str, replicas: &[usize], settings: &[&str]) {
        self.create_many(topic, &[replicas], settings);
    }

    /// As `create`, with several partitions.
    #[track_caller]
    pub(super) fn create_many(&self, topic: &str, partitions: &[&[usize]], settings: &[&str]) {
        let list = |replicas: &[usize]| {
            let ids: Vec<_> = replicas.iter().map(ToString::to_string).collect();
            ids.join(":")
        };
        let assignment: Vec<_> = partitions.iter().map(|replicas| list(replicas)).collect();
        let assignment = assignment.join(",");
        let mut arguments = vec![
            "topics",
            "--zookeeper",
            &self.connect,
            "--create",
            "--topic",
            topic,
        ];
        arguments.extend(["--replica-assignment", &assignment]);
        for setting in settings {
            arguments.extend(["--config", setting]);
        }
        reference::tool(&arguments, b"");
        for replicas in partitions {
            for id in *replicas {
                self.brokers[*id].wait_for_topic(topic, partitions.len());
            }
        }
        for (partition, replicas) in (0..).zip(partitions) {
            self.wait_for_isr(topic, partition, replicas);
        }
    }

    /// Starts a broker on the data it has, and waits until it is registered.
    #[track_caller]
    pub(super) fn restart(&mut self, broker: usize) {
        self.brokers[broker].launch_again();
        self.brokers[broker].wait_until_started();
    }

    /// What ZooKeeper says about a partition.
    pub(super) fn state(&self, topic: &str, partition: usize) -> Value {
        let path = format!("/brokers/topics/{topic}/partitions/{partition}/state");
        let node = znodes::node(&self.connect, &path);
        node.and_then(|node| serde_json::from_str(&node.data?).ok())
            .unwrap_or_default()
    }

    /// Waits until the ISR consists of these brokers, in any order.
    #[track_caller]
    pub(super) fn wait_for_isr(&self, topic: &str, partition: usize, brokers: &[usize]) {
        let mut expected: Vec<_> = brokers.iter().map(|id| i64::try_from(*id).unwrap()).collect();
        expected.sort_unstable();
        eventually(
            &format!("the ISR of {topic}-{partition} is {expected:?}"),
            SOON,
            || {
                let state = self.state(topic, partition);
                let mut isr: Vec<_> = state["isr"]
                    .as_array()
                    .map(|isr| isr.iter().filter_map(Value::as_i64).collect())
                    .unwrap_or_default();
                isr.sort_unstable();
                if isr == expected { Ok(()) } else { Err(state) }
            },
        );
    }

    /// Who leads, by ZooKeeper.
    #[track_caller]
    pub(super) fn leader(&self, topic: &str) -> usize {
        let state = self.wait_for_state(topic, |state| state["leader"].as_u64().is_some());
        usize::try_from(state["leader"].as_u64().unwrap()).unwrap()
    }

    /// Waits until ZooKeeper says this of partition 0.
    #[track_caller]
    pub(super) fn wait_for_state(&self, topic: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("{topic} is as expected"), SOON, || {
            let state = self.state(topic, 0);
            if is(&state) { Ok(state) } else { Err(state) }
        })
    }

    /// Moves partition 0 to other brokers with the reference's tool, and waits until that is done.
    #[track_caller]
    pub(super) fn reassign(&self, topic: &str, replicas: &[usize]) {
        let plan =
            json!({"version": 1, "partitions": [{"topic": topic, "partition": 0, "replicas": replicas}]});
        let directory = scratch("plan");
        let file = directory.path().join("plan.json");
        std::fs::write(&file, plan.to_string()).unwrap();
        let file = file.to_string_lossy();
        let arguments = ["reassign-partitions", "--zookeeper", &self.connect];
        let mut execute = arguments.to_vec();
        execute.extend(["--reassignment-json-file", &file, "--execute"]);
        reference::tool(&execute, b"");
        eventually("the partition is moved", SOON, || {
            let under_way = znodes::node(&self.connect, "/admin/reassign_partitions");
            under_way.map_or(Ok(()), |node| Err(format!("{node:?}")))
        });
    }

    /// Waits until ZooKeeper and the broker itself say that it leads.
    #[track_caller]
    pub(super) fn wait_for_leader(&self, topic: &str, broker: usize) {
        eventually(&format!("broker {broker} leads {topic}"), SOON, || {
            let state = self.state(topic, 0);
            let answer = ask_one(&self.brokers[broker], &fetch(topic, 0, 0));
            if state["leader"] == broker && matches!(answer["error_code"].as_i64(), Some(-1..=1)) {
                Ok(())
            } else {
                Err(format!("{state} {answer}"))
            }
        });
    }

    /// Produces messages and returns the error code and the base offset.
    #[track_caller]
    pub(super) fn produce(&self, leader: usize, topic: &str, acks: i16, values: &[&str]) -> (i64, i64) {
        let request = produce(acks, ACKS, topic, [(0, set(Codec::None, values))]);
        let answer = ask_one(&self.brokers[leader], &request);
        (
            answer["error_code"].as_i64().unwrap(),
            answer["base_offset"].as_i64().unwrap(),
        )
    }

    /// As `produce`, which must go well.
    #[track_caller]
    pub(super) fn write(&self, leader: usize, topic: &str, acks: i16, values: &[&str]) {
        let (error, offset) = self.produce(leader, topic, acks, values);
        assert!(error == 0 && offset >= 0, "error {error}, offset {offset}");
    }

    /// Waits until the logs of these brokers end at this offset.
    #[track_caller]
    pub(super) fn wait_for_end(&self, topic: &str, brokers: &[usize], end: i64) {
        for id in brokers {
            eventually(&format!("{topic} ends at {end} on broker {id}"), SOON, || {
                let request = offsets(Reader::DebuggingConsumer, topic, 0, OffsetSpec::Latest);
                let found = ask_one(&self.brokers[*id], &request);
                if found["offsets"][0] == end {
                    Ok(())
                } else {
                    Err(found)
                }
            });
        }
    }

    /// Asserts that the logs of these brokers are the same, byte for byte.
    #[track_caller]
    pub(super) fn assert_equal_logs(&self, topic: &str, brokers: &[usize]) {
        self.assert_equal(&format!("{topic}-0"), brokers);
    }

    /// The same of any partition, named like its directory.
    #[track_caller]
    pub(super) fn assert_equal(&self, partition: &str, brokers: &[usize]) {
        let bytes = |id: &usize| log_bytes(&self.brokers[*id].data().join(partition));
        let first = bytes(&brokers[0]);
        assert!(!first.is_empty(), "there is something to compare");
        for id in &brokers[1..] {
            assert!(
                first == bytes(id),
                "{partition}: broker {id} has something else than {}",
                brokers[0]
            );
        }
    }
}
