//! `gregor topics` says what the reference's command said in the same situation, word by word.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use gregor::shutdown::Trigger;
use gregor::types::BrokerId;
use gregor::types::TopicPartition;
use gregor::zookeeper::Assignment;
use gregor::zookeeper::BrokerRegistration;
use gregor::zookeeper::Config;
use gregor::zookeeper::PartitionState;
use gregor::zookeeper::Sessions;
use gregor::zookeeper::Store;
use serde_json::Value;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::chroot;
use crate::support::gregor;
use crate::support::have;
use crate::support::process::Finished;
use crate::support::process::run;
use crate::support::project;
use crate::support::reference;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const DEADLINE: Duration = Duration::from_secs(20);

/// What the reference printed before the reason of a failure.
const FAILURE: &str = "Error while executing topic command ";

/// Where ZooKeeper was then.
const RECORDED_AT: &str = "127.0.0.1:41781";

/// Commands in the order in which they follow from each other.
const QUESTIONS: &[&str] = &[
    "topics-list",
    "topics-list-filter",
    "topics-list-regex",
    "topics-list-none",
    "topics-single-dash",
    "topics-describe-all",
    "topics-describe-one",
    "topics-describe-config",
    "topics-describe-missing",
    "topics-describe-regex",
    "topics-describe-overrides",
    "topics-describe-unavailable-none",
    "topics-describe-under-replicated-none",
    "topics-describe-two-filters",
    "topics-no-action",
    "topics-two-actions",
    "topics-no-zookeeper",
    "topics-option-twice",
    "topics-bad-number",
];

/// `scripts/kafka-topics.sh` is the same command under the name that people know, and ends as it does.
#[test]
fn the_script_of_the_old_name_is_the_command() {
    if !have(&[Need::Reference]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "topics-script");
    let script = |arguments: &[&str]| {
        let mut command = Command::new(project().join("scripts/kafka-topics.sh"));
        command
            .args(arguments)
            .args(["--zookeeper", &connect])
            .env("GREGOR_BINARY", gregor().get_program())
            .env_remove("GREGOR_EXIT_LIKE_KAFKA");
        run(command, b"", DEADLINE)
    };
    let listed = ["topics", "--list", "--zookeeper", &connect];
    let _broker = Broker::start(&connect);
    let assignment = ["--create", "--topic", "by script", "--replica-assignment", "0"];
    assert!(!script(&assignment).status.success(), "no such name is allowed");
    script(&["--create", "--topic", "by-script", "--replica-assignment", "0"]).succeeded();
    let text = script(&["--list"]).succeeded().text();
    assert_eq!(text, reference::tool(&listed, b"").text());
    assert_eq!(text, "by-script\n");
}

const CHANGES: &[&str] = &[
    "topics-create",
    "topics-create-exists",
    "topics-create-config",
    "topics-create-colliding-name",
    "topics-create-assignment",
    "topics-create-assignment-and-partitions",
    "topics-create-assignment-duplicate",
    "topics-create-assignment-unequal",
    "topics-create-bad-config-pair",
    "topics-create-bad-config-value",
    "topics-create-unknown-config",
    "topics-create-bad-name",
    "topics-create-dot",
    "topics-create-long-name",
    "topics-create-delete-config",
    "topics-create-no-topic",
    "topics-create-no-partitions",
    "topics-create-partitions-0",
    "topics-create-replication-0",
    "topics-create-replication-too-large",
    "topics-alter-offsets-topic",
    "topics-alter-config",
    "topics-alter-config-more",
    "topics-alter-partitions",
    "topics-alter-partitions-same",
    "topics-alter-partitions-fewer",
    "topics-alter-partitions-assignment",
    "topics-alter-assignment-only",
    "topics-alter-nothing",
    "topics-alter-missing",
    "topics-alter-unknown-config",
    "topics-alter-delete-unknown-config",
    "topics-delete",
    "topics-delete-again",
    "topics-delete-missing",
    "topics-list-pending",
];

fn fixture(name: &str) -> Value {
    let path = project()
        .join("tests/fixtures/output")
        .join(format!("{name}.json"));
    serde_json::from_slice(&fs::read(&path).unwrap()).unwrap()
}

fn topics(arguments: &[&str]) -> Finished {
    let mut command = gregor();
    command.arg("topics").args(arguments);
    run(command, b"", DEADLINE)
}

/// Runs what was recorded, and compares: results as a whole, of a failure its reason and that it is one.
#[track_caller]
fn as_recorded(connect: &str, name: &str) {
    let recorded = fixture(name);
    let arguments: Vec<String> = recorded["argv"]
        .as_array()
        .unwrap()
        .iter()
        .map(|argument| argument.as_str().unwrap().replace(RECORDED_AT, connect))
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let finished = topics(&arguments);
    let (stdout, stderr) = (
        recorded["stdout"].as_str().unwrap(),
        recorded["stderr"].as_str().unwrap(),
    );
    // The way to an array in a Java machine's memory.
    let (expected, reason) = match stdout.split_once(FAILURE) {
        Some((before, trace)) => {
            let reason = trace.lines().next().unwrap().split("[I@").next().unwrap();
            (before, Some(reason))
        }
        None => (stdout, None),
    };
    let said = finished.text();
    match reason {
        Some(reason) => {
            let (before, after) = said
                .split_once(FAILURE)
                .unwrap_or_else(|| panic!("{name}: {}", finished.account()));
            assert_eq!(before, expected, "{name}");
            assert!(after.starts_with(reason), "{name}: {}", finished.account());
        }
        None => assert_eq!(said, expected, "{name}: {}", finished.account()),
    }
    assert_eq!(
        finished.stderr.lines().next(),
        stderr.lines().next(),
        "{name}: {}",
        finished.account()
    );
    let failed = reason.is_some() || !stderr.is_empty();
    assert_eq!(
        !finished.status.success(),
        failed,
        "{name}: {}",
        finished.account()
    );
}

/// Writes what a description tells into ZooKeeper.
async fn rebuild(store: &Store, description: &str) {
    let mut described: BTreeMap<&str, (Assignment, BTreeMap<i32, PartitionState>)> = BTreeMap::new();
    let mut configs: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for line in description.lines() {
        let fields: BTreeMap<&str, &str> = line
            .split('\t')
            .filter_map(|field| field.split_once(':'))
            .map(|(name, value)| (name, value.trim()))
            .collect();
        if let Some(config) = fields.get("Configs") {
            let pairs = config.split(',').filter_map(|pair| pair.split_once('='));
            let owned = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
            configs.insert(fields["Topic"], owned.collect());
            continue;
        }
        let ids = |text: &str| -> Vec<BrokerId> {
            let ids = text.split(',').filter(|id| !id.is_empty());
            ids.map(|id| BrokerId(id.parse().unwrap())).collect()
        };
        let partition = fields["Partition"].parse().unwrap();
        let leader = fields["Leader"].parse().unwrap();
        let state = PartitionState {
            leader: (leader >= 0).then_some(BrokerId(leader)),
            leader_epoch: 0,
            isr: ids(fields["Isr"]),
            controller_epoch: 1,
        };
        let (assignment, states) = described.entry(fields["Topic"]).or_default();
        assignment.insert(partition, ids(fields["Replicas"]));
        states.insert(partition, state);
    }
    for (topic, (assignment, states)) in described {
        let config = configs.remove(topic).unwrap_or_default();
        store.create_topic(topic, &assignment, &config).await.unwrap();
        for (partition, state) in states {
            let partition = TopicPartition::new(topic, partition);
            store.create_partition_state(&partition, &state).await.unwrap();
        }
    }
}

/// A cluster of which only ZooKeeper is there: these brokers, and the topics of a description.
async fn pretend(connect: &str, brokers: &[i32], description: &str) -> Sessions {
    let never = Trigger::new();
    let sessions = Sessions::start(Config::new(connect), never.signal())
        .await
        .unwrap();
    let store = sessions.current().unwrap();
    store.create_common_paths().await.unwrap();
    for id in brokers {
        let broker = BrokerRegistration {
            id: BrokerId(*id),
            host: "h".to_owned(),
            port: 9092,
            jmx_port: -1,
            timestamp: "1".to_owned(),
        };
        store.register_broker(&broker, |_| {}).await.unwrap();
    }
    rebuild(&store, description).await;
    sessions
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_managed_in_the_words_of_the_reference() {
    if !have(&[Need::Gregor, Need::ZooKeeper]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Installed);
    let connect = chroot(&zookeeper, "topics-command");
    let tree = fixture("topics-describe-all");
    let sessions = pretend(&connect, &[0, 1, 2], tree["stdout"].as_str().unwrap()).await;
    for name in QUESTIONS.iter().chain(CHANGES) {
        as_recorded(&connect, name);
    }

    // What was changed is what was asked for.
    let store = sessions.current().unwrap();
    let setting = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    assert_eq!(
        store.topic_config("new").await.unwrap(),
        setting("segment.bytes", "2000")
    );
    let assignment = store.assignment("new").await.unwrap().unwrap();
    assert_eq!(assignment.len(), 3);
    assert!(
        assignment.values().all(|replicas| replicas.len() == 1),
        "{assignment:?}"
    );
    let by_hand = store.assignment("new-assigned").await.unwrap().unwrap();
    let ids = |ids: [i32; 2]| ids.map(BrokerId).to_vec();
    assert_eq!(by_hand, BTreeMap::from([(0, ids([0, 1])), (1, ids([2, 0]))]));
    assert_eq!(
        store
            .topic_deletions()
            .await
            .unwrap()
            .into_iter()
            .collect::<Vec<_>>(),
        ["new-config"]
    );

    topics(&[
        "--zookeeper",
        &connect,
        "--create",
        "--topic",
        "__consumer_offsets",
        "--replica-assignment",
        "0",
    ])
    .succeeded();
    as_recorded(&connect, "topics-alter-offsets-topic-partitions");

    // For scripts that stop at exit codes which the reference does not have.
    let mut command = gregor();
    command
        .args(["topics", "--zookeeper", &connect, "--create", "--topic", "t1"])
        .args(["--replica-assignment", "0"])
        .env("GREGOR_EXIT_LIKE_KAFKA", "1");
    let finished = run(command, b"", DEADLINE).succeeded();
    assert!(
        finished.text().contains("Topic \"t1\" already exists."),
        "{}",
        finished.account()
    );
    sessions.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_without_leader_or_replicas_are_found() {
    if !have(&[Need::Gregor, Need::ZooKeeper]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Installed);
    for name in [
        "down-topics-unavailable",
        "down-topics-under-replicated",
        "down-topics-describe",
    ] {
        let connect = chroot(&zookeeper, name);
        let tree = fixture(name);
        let sessions = pretend(&connect, &[0, 2], tree["stdout"].as_str().unwrap()).await;
        as_recorded(&connect, name);
        as_recorded(&connect, "down-topics-create-replication");
        sessions.close().await;
    }
}

/// The reference's command reads what ours has written, and the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn both_commands_work_on_the_same_tree() {
    if !have(&[Need::Gregor, Need::ZooKeeper, Need::Reference]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "both-commands");
    let sessions = pretend(&connect, &[0, 1, 2], "").await;
    let base = ["--zookeeper", connect.as_str()];
    let with =
        |rest: &[&'static str]| -> Vec<&str> { base.iter().copied().chain(rest.iter().copied()).collect() };
    topics(&with(&[
        "--create",
        "--topic",
        "ours",
        "--partitions",
        "4",
        "--replication-factor",
        "2",
        "--config",
        "retention.ms=5",
    ]))
    .succeeded();
    let create: Vec<&str> = ["topics"]
        .into_iter()
        .chain(with(&[
            "--create",
            "--topic",
            "theirs",
            "--partitions",
            "3",
            "--replication-factor",
            "2",
        ]))
        .collect();
    reference::tool(&create, b"");
    for rest in [
        &["--describe"][..],
        &["--list"],
        &["--describe", "--unavailable-partitions"],
    ] {
        let theirs: Vec<&str> = ["topics"].into_iter().chain(with(rest)).collect();
        assert_eq!(
            topics(&with(rest)).succeeded().text(),
            reference::tool(&theirs, b"").text(),
            "{rest:?}"
        );
    }
    sessions.close().await;
}
