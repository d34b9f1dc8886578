//! The reference's own commands, and ours, on a cluster of Gregor's brokers and on one of the reference's: whoever is
//! asked and whoever answers, the same things happen and the same words are printed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::clients::Python;
use crate::support::clients::Release;
use crate::support::eventually::eventually;
use crate::support::gregor;
use crate::support::have;
use crate::support::numbered::numbered;
use crate::support::process::Running;
use crate::support::process::run;
use crate::support::reference;
use crate::support::scratch;
use crate::support::znodes;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const BROKERS: usize = 3;

/// Enough for every step on a busy machine, sessions included.
const SOON: Duration = Duration::from_secs(60);

/// A cluster and everything that commands said to it.
struct Cluster {
    connect: String,
    brokers: Vec<Broker>,
    said: Vec<String>,
    _zookeeper: Arc<ZooKeeper>,
}

impl Cluster {
    fn start(test: &str, kind: Kind) -> Self {
        let zookeeper = ZooKeeper::shared(Version::Reference);
        let connect = chroot(&zookeeper, test);
        let launch = |id: usize| {
            Setup::of_kind(kind, &connect)
                .set("broker.id", id.to_string())
                .set("delete.topic.enable", "true")
                .set("auto.leader.rebalance.enable", "false")
                .set("offsets.topic.num.partitions", "1")
                .set("offsets.topic.replication.factor", "3")
                .set("zookeeper.session.timeout.ms", "20000")
                .launch()
        };
        // The first is controller: what a new controller does about a broker that has gone before is another story.
        let mut first = launch(0);
        first.wait_until_started();
        let mut brokers: Vec<_> = (1..BROKERS).map(launch).collect();
        brokers.iter_mut().for_each(Broker::wait_until_started);
        brokers.insert(0, first);
        Self {
            connect,
            brokers,
            said: Vec::new(),
            _zookeeper: zookeeper,
        }
    }

    /// Runs one of the reference's commands and keeps what it said.
    #[track_caller]
    fn reference(&mut self, tool: &str, arguments: &[&str]) {
        let connect = self.connect.clone();
        let all = [&[tool, "--zookeeper", &connect], arguments].concat();
        let said = reference::tool(&all, b"").text();
        self.keep(&[&[tool], arguments].concat(), &said);
    }

    /// Runs the topics command of one of the two.
    #[track_caller]
    fn topics(&mut self, kind: Kind, arguments: &[&str]) {
        match kind {
            Kind::Reference => self.reference("topics", arguments),
            Kind::Gregor => {
                let mut command = gregor();
                command
                    .args(["topics", "--zookeeper", &self.connect])
                    .args(arguments);
                let said = run(command, b"", SOON).succeeded().text();
                self.keep(&[&["topics"], arguments].concat(), &said);
            }
        }
    }

    /// Notes what was said, without what differs from cluster to cluster.
    fn keep(&mut self, command: &[&str], said: &str) {
        let mut text = format!("$ {}\n{said}", command.join(" "));
        for (id, broker) in self.brokers.iter().enumerate() {
            text = text.replace(&broker.bootstrap(), &format!("broker {id}"));
        }
        self.said.push(text.replace(&self.connect, "ZOOKEEPER"));
    }

    fn bootstrap(&self) -> String {
        let addresses: Vec<_> = self.brokers.iter().map(Broker::bootstrap).collect();
        addresses.join(",")
    }

    /// What ZooKeeper says about each partition, by topic and number with a slash between.
    fn states(&self) -> BTreeMap<String, Value> {
        znodes::partition_states(&self.connect)
    }

    /// Waits until so many partitions of a topic have a leader and so many replicas in sync, and everybody knows.
    #[track_caller]
    fn wait_for(&self, topic: &str, partitions: usize, isr: usize) {
        self.wait_until(topic, partitions, |_, state| {
            state["leader"].as_i64() >= Some(0)
                && state["isr"]
                    .as_array()
                    .is_some_and(|members| members.len() == isr)
        });
        for broker in &self.brokers {
            broker.wait_for_topic(topic, partitions);
        }
    }

    #[track_caller]
    fn wait_until(&self, topic: &str, partitions: usize, wanted: impl Fn(&str, &Value) -> bool) {
        eventually(&format!("{topic} is as wanted"), SOON, || {
            let mut states = self.states();
            states.retain(|name, _| name.starts_with(&format!("{topic}/")));
            if states.len() == partitions && states.iter().all(|(name, state)| wanted(name, state)) {
                Ok(())
            } else {
                Err(format!("{states:?}"))
            }
        });
    }

    #[track_caller]
    fn wait_until_gone(&self, path: &str) {
        eventually(&format!("{path} is gone"), SOON, || {
            znodes::node(&self.connect, path).map_or(Ok(()), |node| Err(format!("{node:?}")))
        });
    }
}

/// A topic's life by the topics command of one kind.
fn manage_topics(cluster: &mut Cluster, by: Kind) {
    let assignment = "0:1:2,1:2:0,2:0:1";
    cluster.topics(
        by,
        &[
            "--create",
            "--topic",
            "t",
            "--replica-assignment",
            assignment,
            "--config",
            "retention.ms=100000000",
        ],
    );
    cluster.wait_for("t", 3, 3);
    cluster.topics(by, &["--list"]);
    cluster.topics(by, &["--describe", "--topic", "t"]);
    let alter = ["--alter", "--topic", "t"];
    cluster.topics(
        by,
        &[
            &alter[..],
            &[
                "--config",
                "max.message.bytes=2000",
                "--config",
                "cleanup.policy=delete",
            ],
        ]
        .concat(),
    );
    cluster.topics(by, &[&alter[..], &["--delete-config", "retention.ms"]].concat());
    cluster.topics(by, &[&alter[..], &["--partitions", "5"]].concat());
    cluster.wait_for("t", 5, 3);
    cluster.topics(by, &["--describe", "--topics-with-overrides"]);
    cluster.topics(by, &["--describe", "--topic", "t"]);
    cluster.topics(by, &["--describe", "--under-replicated-partitions"]);
    cluster.topics(by, &["--delete", "--topic", "t"]);
    cluster.wait_until_gone("/admin/delete_topics/t");
    cluster.wait_until_gone("/brokers/topics/t");
    cluster.topics(by, &["--list"]);
}

/// What is seen of a broker that is away, by the topics command of one kind.
fn look_at_what_is_missing(cluster: &mut Cluster, by: Kind) {
    cluster.topics(by, &["--describe"]);
    cluster.topics(by, &["--describe", "--under-replicated-partitions"]);
    cluster.topics(by, &["--describe", "--unavailable-partitions"]);
}

/// A broker goes and comes back, and leads again when somebody asks for it.
fn elect_leaders(cluster: &mut Cluster) {
    cluster.brokers[2].stop_within(SOON);
    for (topic, partitions) in [("orders", 3), ("single", 2)] {
        cluster.wait_until(topic, partitions, |_, state| {
            let isr = state["isr"].as_array();
            state["leader"] != 2 && isr.is_some_and(|isr| !isr.contains(&json!(2)))
        });
    }
    for by in [Kind::Reference, Kind::Gregor] {
        look_at_what_is_missing(cluster, by);
    }
    cluster.brokers[2].launch_again();
    cluster.brokers[2].wait_until_started();
    cluster.wait_for("orders", 3, 3);
    cluster.wait_for("single", 2, 1);
    cluster.reference("topics", &["--describe"]);
    cluster.reference("preferred-replica-election", &[]);
    cluster.wait_until_gone("/admin/preferred_replica_election");
    cluster.wait_until("orders", 3, |partition, state| {
        state["leader"]
            .as_u64()
            .is_some_and(|leader| partition.ends_with(&format!("/{leader}")))
    });
    cluster.reference("topics", &["--describe"]);
}

fn reassign(cluster: &mut Cluster) {
    let directory = scratch("reassignment");
    let file = |name: &str, content: &Value| {
        let file = directory.path().join(name);
        std::fs::write(&file, content.to_string()).unwrap();
        file.to_string_lossy().into_owned()
    };
    let topics = file(
        "topics.json",
        &json!({"version": 1, "topics": [{"topic": "single"}]}),
    );
    let tool = |cluster: &mut Cluster, arguments: &[&str]| {
        cluster.reference("reassign-partitions", arguments);
        let last = cluster.said.last_mut().unwrap();
        *last = last.replace(&directory.path().to_string_lossy().into_owned(), "FOLDER");
    };
    tool(
        cluster,
        &[
            "--generate",
            "--topics-to-move-json-file",
            &topics,
            "--broker-list",
            "1",
        ],
    );
    let plan = json!({"version": 1, "partitions": [
        {"topic": "single", "partition": 0, "replicas": [1]},
        {"topic": "single", "partition": 1, "replicas": [0]},
        {"topic": "orders", "partition": 1, "replicas": [2, 1, 0]},
        {"topic": "unknown", "partition": 0, "replicas": [0]},
    ]});
    let plan = file("plan.json", &plan);
    tool(cluster, &["--execute", "--reassignment-json-file", &plan]);
    cluster.wait_until_gone("/admin/reassign_partitions");
    tool(cluster, &["--verify", "--reassignment-json-file", &plan]);
    cluster.reference("topics", &["--describe"]);
}

/// Messages, copied to all replicas, and positions of groups in both storages.
fn produce_and_commit(cluster: &mut Cluster) {
    let mut python = Python::start(Release::Kafka20, &cluster.bootstrap());
    python.produce("orders", "none", "-1", &numbered("x", 10));
    for storage in ["zookeeper", "kafka"] {
        python.commit(storage, &format!("group-{storage}"), "orders", 7);
    }
    for storage in ["zookeeper", "kafka"] {
        let group = format!("group-{storage}");
        cluster.reference(
            "consumer-offset-checker",
            &["--group", &group, "--topic", "orders", "--broker-info"],
        );
    }
    verify_replicas(cluster);
}

/// The command goes on until it is stopped: what it says once it has found everything equal.
fn verify_replicas(cluster: &mut Cluster) {
    let bootstrap = cluster.bootstrap();
    let arguments = [
        "--broker-list",
        &bootstrap,
        "--topic-white-list",
        "orders",
        // From the beginning.
        "--time",
        "-2",
        "--report-interval-ms",
        "200",
    ];
    let command = reference::command(&[&["replica-verification"], &arguments[..]].concat());
    let verifying = Running::start(command, None);
    let verdict = eventually("all replicas are equal", SOON, || {
        let said = String::from_utf8_lossy(&verifying.stdout()).into_owned();
        let verdict = said.lines().find_map(|line| {
            let (_time, verdict) = line.split_once(": ")?;
            verdict.starts_with("max lag is 0 ").then(|| verdict.to_owned())
        });
        verdict.ok_or_else(|| said + &verifying.stderr())
    });
    cluster.keep(&["replica-verification"], &verdict);
}

/// Everything, one after the other; what was said.
fn tell(kind: Kind) -> Vec<String> {
    let mut cluster = Cluster::start(&format!("commands-{kind:?}"), kind);
    for by in [Kind::Reference, Kind::Gregor] {
        manage_topics(&mut cluster, by);
    }
    // Each kind of command has been told the same.
    let (theirs, ours) = cluster.said.split_at(cluster.said.len() / 2);
    assert_eq!(theirs, ours, "on {kind:?}");
    for (topic, assignment) in [
        ("orders", "0:1:2,1:2:0,2:0:1"),
        ("single", "0,2"),
        ("__consumer_offsets", "0:1:2"),
    ] {
        cluster.topics(
            Kind::Gregor,
            &["--create", "--topic", topic, "--replica-assignment", assignment],
        );
    }
    cluster.wait_for("orders", 3, 3);
    cluster.wait_for("single", 2, 1);
    cluster.wait_for("__consumer_offsets", 1, 3);
    elect_leaders(&mut cluster);
    produce_and_commit(&mut cluster);
    reassign(&mut cluster);
    cluster.said
}

#[test]
fn commands_say_the_same_to_clusters_of_both_kinds() {
    if !have(&[Need::Gregor, Need::Reference, Need::Python]) {
        return;
    }
    let (ours, theirs) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| tell(Kind::Reference));
        (tell(Kind::Gregor), theirs.join().unwrap())
    });
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "Gregor's cluster, and then the reference's");
    }
    assert_eq!(ours.len(), theirs.len());
}
