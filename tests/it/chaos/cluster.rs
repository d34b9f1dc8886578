//! Brokers and a ZooKeeper ensemble, each on a host of its own, and what can be seen of them.

use std::collections::BTreeSet;
use std::io::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::client;
use super::plan::BROKERS;
use super::plan::PARTITIONS;
use super::plan::REPLICAS;
use super::plan::SESSION;
use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::broker::Setup;
use crate::support::ensemble::Ensemble;
use crate::support::gregor;
use crate::support::lan::Lan;
use crate::support::process::try_run;
use crate::support::wire;
use crate::support::znodes;
use crate::support::znodes::Znode;
use crate::support::zookeeper::Version;

/// The topic that is written to.
pub(super) const TOPIC: &str = "numbers";

/// Partitions of the topics that come and go.
pub(super) const BRIEF_PARTITIONS: usize = 3;

/// Servers of the ensemble.
const SERVERS: usize = 3;

const COMMAND: Duration = Duration::from_secs(30);

/// Everything that runs. Brokers have their hosts' numbers for ids.
pub(super) struct Cluster {
    pub(super) brokers: Vec<Broker>,
    pub(super) ensemble: Ensemble,
    pub(super) lan: Lan,
    pub(super) connect: String,
    /// Between hosts, in one direction each.
    pub(super) cuts: BTreeSet<(usize, usize)>,
}

impl Cluster {
    /// Starts the ensemble and the brokers; the last `java` of these are of the reference.
    pub(super) fn start(lan: Lan, version: Version, java: usize) -> Self {
        let hosts: Vec<usize> = (BROKERS..BROKERS + SERVERS).collect();
        let ensemble = Ensemble::start(version, &lan, &hosts);
        let connect = format!("{}/chaos", ensemble.connect());
        let mut brokers: Vec<Broker> = (0..BROKERS)
            .map(|id| {
                let kind = if id + java < BROKERS {
                    Kind::Gregor
                } else {
                    Kind::Reference
                };
                let mut broker = setup(kind, &connect, id).at(lan.address(id)).stopped();
                let under = lan.under(id);
                broker.run_under(&under.each_ref().map(String::as_str));
                if let Ok(log) = std::env::var("GREGOR_CHAOS_LOG") {
                    broker.run_with(&[("RUST_LOG".to_owned(), log)]);
                }
                broker.launch_again();
                broker
            })
            .collect();
        for broker in &mut brokers {
            broker.wait_until_started();
        }
        Self {
            brokers,
            ensemble,
            lan,
            connect,
            cuts: BTreeSet::new(),
        }
    }

    /// How many hosts it takes.
    pub(super) fn hosts() -> u8 {
        u8::try_from(BROKERS + SERVERS).expect("few")
    }

    /// The hosts of the ensemble.
    pub(super) fn servers() -> std::ops::Range<usize> {
        BROKERS..BROKERS + SERVERS
    }

    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.brokers.iter().map(Broker::address).collect()
    }

    /// Creates a topic with so many partitions, each on `REPLICAS` brokers.
    pub(super) fn create(&self, topic: &str, partitions: usize) -> Result<(), String> {
        let replicas = |first: usize| {
            let ids: Vec<_> = (0..REPLICAS)
                .map(|next| ((first + next) % BROKERS).to_string())
                .collect();
            ids.join(":")
        };
        let assignment: Vec<_> = (0..partitions).map(replicas).collect();
        let assignment = assignment.join(",");
        self.topics(&["--create", "--topic", topic, "--replica-assignment", &assignment])
    }

    /// Runs the `topics` command.
    pub(super) fn topics(&self, arguments: &[&str]) -> Result<(), String> {
        let mut command = gregor();
        command
            .args(["topics", "--zookeeper", &self.connect])
            .args(arguments);
        try_run(command, b"", COMMAND).map(drop)
    }

    /// The broker that says it is the controller, of those that say so.
    pub(super) fn controller(&self) -> Option<usize> {
        let active = "kafka_controller_kafkacontroller_activecontrollercount";
        (0..BROKERS).find(|id| self.metric(*id, active) == Some(1.0))
    }

    /// Who leads a partition, by whoever answers.
    pub(super) fn leader(&self, topic: &str, partition: usize) -> Option<usize> {
        let mut answers = self
            .brokers
            .iter()
            .filter_map(|broker| client::leaders(broker.address(), topic).ok());
        answers.find_map(|leaders| leaders.get(partition).copied().flatten())
    }

    /// Every partition of `TOPIC` and of the topics that came since has a leader that some broker tells of and that itself
    /// says so. Those who are away are not asked.
    pub(super) fn led(&self, brief: &[String], away: &[usize]) -> Result<(), String> {
        let mut topics = vec![(TOPIC, PARTITIONS)];
        topics.extend(brief.iter().map(|topic| (topic.as_str(), BRIEF_PARTITIONS)));
        let names: Vec<&str> = topics.iter().map(|(topic, _)| *topic).collect();
        let there = || (0..BROKERS).filter(|id| !away.contains(id));
        let told: Vec<_> = there()
            .filter_map(|id| client::leaders_of(self.brokers[id].address(), &names).ok())
            .collect();
        for (topic, partitions) in topics {
            for partition in 0..partitions {
                let named: BTreeSet<usize> = told
                    .iter()
                    .filter_map(|leaders| leaders.get(topic)?.get(partition).copied().flatten())
                    .filter(|id| there().any(|other| other == *id))
                    .collect();
                let leads = |id: &usize| {
                    client::leads(self.brokers[*id].address(), topic, partition).map_err(|e| (*id, e))
                };
                if !named.iter().any(|id| leads(id).is_ok()) {
                    let why: Vec<_> = named.iter().map(leads).collect();
                    let told: Vec<_> = told.iter().map(|leaders| leaders.get(topic)).collect();
                    return Err(format!("nobody leads {topic}-{partition}: {told:?} {why:?}"));
                }
            }
        }
        Ok(())
    }

    /// All replicas of all partitions are in sync, all brokers agree on who leads, and nothing is left to be done.
    pub(super) fn settled(&self, brief: &[String]) -> Result<(), String> {
        let mut told = Vec::new();
        for (id, broker) in self.brokers.iter().enumerate() {
            let leaders = client::leaders(broker.address(), TOPIC);
            told.push(leaders.map_err(|error| format!("broker {id}: {error}"))?);
        }
        if told.windows(2).any(|pair| pair[0] != pair[1]) || told[0].iter().any(Option::is_none) {
            return Err(format!("brokers disagree: {told:?}"));
        }
        for id in 0..BROKERS {
            let name = "kafka_server_replicamanager_underreplicatedpartitions";
            if let Some(count @ 1.0..) = self.metric(id, name) {
                return Err(format!("broker {id} has {count} under-replicated partitions"));
            }
        }
        // Last, because looking takes long.
        let tree = znodes::try_tree(&self.connect)?;
        if let Some(wish) = tree.iter().find(|node| is_wish(&node.path)) {
            return Err(format!("{wish:?} is not done"));
        }
        settled_in(&tree, TOPIC, PARTITIONS)?;
        brief
            .iter()
            .try_for_each(|topic| settled_in(&tree, topic, BRIEF_PARTITIONS))
    }

    /// The brokers that have each partition.
    pub(super) fn assignment(&self) -> Result<Vec<(usize, Vec<usize>)>, String> {
        assignment(&znodes::try_tree(&self.connect)?, TOPIC, PARTITIONS)
    }

    /// The directories of a topic that are still on some broker.
    pub(super) fn directories_of(&self, topic: &str) -> Vec<PathBuf> {
        let of = |broker: &Broker| {
            let entries = std::fs::read_dir(broker.data()).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let all = self.brokers.iter().flat_map(of);
        all.filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&format!("{topic}-")))
        })
        .collect()
    }

    /// Leaves logs and data of all brokers in a directory, for whoever wants to know what happened.
    pub(super) fn leave(&self, at: &Path) -> Result<(), Error> {
        for (id, broker) in self.brokers.iter().enumerate() {
            let at = at.join(id.to_string());
            std::fs::create_dir_all(&at)?;
            std::fs::write(at.join("log"), broker.output())?;
            // What a broker deletes meanwhile is missed, and nothing else.
            Command::new("cp").arg("-r").args([broker.data(), at]).status()?;
        }
        for (number, output) in self.ensemble.outputs().iter().enumerate() {
            std::fs::write(at.join(format!("zookeeper-{number}")), output)?;
        }
        let tree = znodes::try_tree(&self.connect);
        std::fs::write(at.join("znodes"), format!("{tree:#?}"))
    }

    fn metric(&self, id: usize, name: &str) -> Option<f64> {
        let (_, page) = wire::http_get(self.brokers[id].metrics_address(), "/metrics").ok()?;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.parse().ok()
    }
}

/// Small and quick; what the rounds wait for is as short as their faults are.
fn setup(kind: Kind, connect: &str, id: usize) -> Setup {
    let settings = [
        ("zookeeper.session.timeout.ms", SESSION.as_millis().to_string()),
        ("min.insync.replicas", "2".to_owned()),
        ("unclean.leader.election.enable", "false".to_owned()),
        ("auto.create.topics.enable", "false".to_owned()),
        ("delete.topic.enable", "true".to_owned()),
        ("replica.lag.time.max.ms", "2000".to_owned()),
        ("replica.socket.timeout.ms", "3000".to_owned()),
        ("controller.socket.timeout.ms", "3000".to_owned()),
        ("controlled.shutdown.retry.backoff.ms", "500".to_owned()),
        ("leader.imbalance.check.interval.seconds", "5".to_owned()),
        ("log.segment.bytes", "200000".to_owned()),
        ("log.index.size.max.bytes", "20000".to_owned()),
        ("replica.high.watermark.checkpoint.interval.ms", "1000".to_owned()),
    ];
    let setup = Setup::of_kind(kind, connect).set("broker.id", id.to_string());
    settings
        .into_iter()
        .fold(setup, |setup, (key, value)| setup.set(key, value))
}

fn is_wish(path: &str) -> bool {
    path.starts_with("/admin/delete_topics/")
        || path == "/admin/reassign_partitions"
        || path == "/admin/preferred_replica_election"
}

fn json(tree: &[Znode], path: &str) -> Result<Value, String> {
    let node = tree.iter().find(|node| node.path == path);
    let data = node.and_then(|node| node.data.as_deref());
    serde_json::from_str(data.unwrap_or_default()).map_err(|error| format!("{path}: {error}: {data:?}"))
}

fn numbers(list: &Value) -> Vec<usize> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|id| usize::try_from(id.as_u64()?).ok()).collect()
}

/// All replicas of a topic are in sync.
fn settled_in(tree: &[Znode], topic: &str, partitions: usize) -> Result<(), String> {
    for (partition, replicas) in assignment(tree, topic, partitions)? {
        let path = format!("/brokers/topics/{topic}/partitions/{partition}/state");
        let state = json(tree, &path)?;
        let mut isr = numbers(&state["isr"]);
        isr.sort_unstable();
        let mut assigned = replicas.clone();
        assigned.sort_unstable();
        if isr != assigned || state["leader"].as_i64() == Some(-1) {
            return Err(format!(
                "{topic}-{partition} on {replicas:?} is not in sync: {state}"
            ));
        }
    }
    Ok(())
}

fn assignment(tree: &[Znode], topic: &str, partitions: usize) -> Result<Vec<(usize, Vec<usize>)>, String> {
    let node = json(tree, &format!("/brokers/topics/{topic}"))?;
    let replicas = |partition: usize| numbers(&node["partitions"][partition.to_string()]);
    let all: Vec<_> = (0..partitions)
        .map(|partition| (partition, replicas(partition)))
        .collect();
    match all.iter().find(|(_, replicas)| replicas.len() != REPLICAS) {
        Some(wrong) => Err(format!("{topic}: {wrong:?} are not {REPLICAS} replicas")),
        None => Ok(all),
    }
}
