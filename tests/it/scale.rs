//! How long a cluster with many partitions is without leaders when its controller, or one of its brokers, dies.
//!
//! A few hundred partitions by default; `GREGOR_SCALE=10000` says how many, `GREGOR_BINARY` which build is measured, and
//! `GREGOR_TEST_BROKER=reference` measures the reference.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;
use std::time::Instant;

use gregor::message::Codec;
use gregor::message::set::ProducedSet;
use gregor::protocol::encode_request;
use gregor::protocol::produce::Acks;
use gregor::protocol::produce::PartitionProduce;
use gregor::protocol::produce::ProduceRequest;
use gregor::protocol::produce::TopicProduce;
use gregor::shutdown::Trigger;
use gregor::types::BrokerId;
use gregor::types::TopicPartition;
use gregor::zookeeper::Config;
use gregor::zookeeper::Error;
use gregor::zookeeper::PartitionState;
use gregor::zookeeper::Sessions;
use gregor::zookeeper::Store;
use gregor::zookeeper::Versioned;

use crate::support::Need;
use crate::support::answer::decode;
use crate::support::broker::Broker;
use crate::support::broker::Setup;
use crate::support::broker::kind;
use crate::support::chroot;
use crate::support::connection::Connection;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::requests::set;
use crate::support::wire;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

/// Partitions unless the environment says otherwise.
const FEW: usize = 300;

/// Partitions of each topic.
const EACH: usize = 100;

/// Much more than any step takes, on a machine that does something else meanwhile.
const PATIENCE: Duration = Duration::from_secs(120);

/// A topic and the number of a partition.
type Partition = (String, i32);

fn wanted() -> usize {
    let wanted = std::env::var("GREGOR_SCALE").ok();
    wanted.map_or(FEW, |count| count.parse().expect("GREGOR_SCALE is a number"))
}

/// Says how long something took, past the test runner's capture.
fn tell(what: &str, took: Duration) {
    let line = format!(
        "scale: {:?}, {} partitions: {what}: {} ms\n",
        kind(),
        wanted(),
        took.as_millis()
    );
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Produces to every partition at the leader that a broker tells of, with acks=1; those that accepted.
fn accepted(
    told_by: &Broker,
    brokers: &[&Broker],
    all: &BTreeSet<Partition>,
) -> Result<BTreeSet<Partition>, String> {
    let metadata = wire::metadata(told_by.address()).map_err(|error| error.to_string())?;
    let mut led: BTreeMap<i32, Vec<Partition>> = BTreeMap::new();
    for (topic, _, partitions) in metadata.topics {
        for (partition, _, leader) in partitions {
            led.entry(leader).or_default().push((topic.clone(), partition));
        }
    }
    let mut accepted = BTreeSet::new();
    for (leader, partitions) in led {
        let Some((_, _, port)) = metadata.brokers.iter().find(|(id, _, _)| *id == leader) else {
            continue;
        };
        let Some(broker) = brokers
            .iter()
            .find(|broker| i32::from(broker.address().port()) == *port)
        else {
            continue;
        };
        let asked = partitions.into_iter().filter(|partition| all.contains(partition));
        accepted.extend(produce(broker, asked));
    }
    Ok(accepted)
}

fn produce(broker: &Broker, partitions: impl Iterator<Item = Partition>) -> BTreeSet<Partition> {
    let mut topics: BTreeMap<String, Vec<PartitionProduce>> = BTreeMap::new();
    for (topic, partition) in partitions {
        topics.entry(topic).or_default().push(PartitionProduce {
            partition,
            set: ProducedSet::new(set(Codec::None, &["x"])),
        });
    }
    let topics = topics.into_iter().map(|(topic, partitions)| TopicProduce {
        topic: Some(topic),
        partitions,
    });
    let request = ProduceRequest {
        acks: Acks::Leader,
        timeout: Duration::from_secs(10),
        topics: topics.collect(),
    };
    let mut connection = Connection::open(broker.address());
    connection.send(&encode_request(1, None, &request));
    let answer = decode(gregor::protocol::ApiKey::Produce, &connection.frame());
    let mut accepted = BTreeSet::new();
    for topic in answer["topics"].as_array().unwrap() {
        for partition in topic["partitions"].as_array().unwrap() {
            if partition["error_code"] == 0 {
                let number = i32::try_from(partition["partition"].as_i64().unwrap()).unwrap();
                accepted.insert((topic["topic"].as_str().unwrap().to_owned(), number));
            }
        }
    }
    accepted
}

#[track_caller]
fn wait_for_all(what: &str, since: Instant, brokers: &[&Broker], all: &BTreeSet<Partition>) -> Duration {
    let mut done = BTreeSet::new();
    eventually("every partition accepts a message", PATIENCE, || {
        let missing: BTreeSet<Partition> = all.difference(&done).cloned().collect();
        done.extend(accepted(brokers[0], brokers, &missing)?);
        if done.len() == all.len() {
            Ok(())
        } else {
            Err(format!("{} of {}", done.len(), all.len()))
        }
    });
    let took = since.elapsed();
    tell(what, took);
    took
}

async fn until_gone(store: &Store, id: i32) -> Instant {
    while store.broker(BrokerId(id)).await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Instant::now()
}

/// Waits until every partition has both of its replicas in sync.
async fn wait_until_in_sync(store: &Store, all: &BTreeSet<Partition>) {
    let all: Vec<_> = all
        .iter()
        .map(|(topic, partition)| TopicPartition::new(topic.as_str(), *partition))
        .collect();
    let started = Instant::now();
    loop {
        let states = store.partition_states(&all).await;
        let in_sync = |state: &&Result<Option<Versioned<PartitionState>>, Error>| matches!(state, Ok(Some(state)) if state.value.isr.len() == 2);
        let short = states.len() - states.iter().filter(in_sync).count();
        if short == 0 {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{short} partitions are not in sync");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn create(store: &Store, count: usize) -> BTreeSet<Partition> {
    let mut all = BTreeSet::new();
    for first in (0..count).step_by(EACH) {
        let topic = format!("t{:05}", first / EACH);
        let assignment = (0..EACH.min(count - first)).zip(0..).map(|(partition, number)| {
            let leader = i32::try_from((first + partition) % 3).unwrap();
            (number, vec![BrokerId(leader), BrokerId((leader + 1) % 3)])
        });
        let assignment = assignment.collect::<BTreeMap<i32, _>>();
        all.extend(assignment.keys().map(|partition| (topic.clone(), *partition)));
        store
            .create_topic(&topic, &assignment, &BTreeMap::new())
            .await
            .unwrap();
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn many_partitions_get_new_leaders_soon() {
    if !have(&[Need::ZooKeeper, Need::Reference]) {
        return;
    }
    let zookeeper = ZooKeeper::start(Version::Installed);
    let connect = chroot(&zookeeper, "scale");
    let start = |id: usize| {
        Setup::new(&connect)
            .set("broker.id", id.to_string())
            .set("log.index.size.max.bytes", "4096")
            .set("auto.leader.rebalance.enable", "false")
            .set("controlled.shutdown.enable", "false")
            // Without it a leader without the messages might be the faster one.
            .set("unclean.leader.election.enable", "false")
            .start()
    };
    let mut brokers = [start(0), start(1), start(2)];
    let never = Trigger::new();
    let sessions = Sessions::start(Config::new(&connect), never.signal())
        .await
        .unwrap();
    let store = sessions.current().unwrap();

    let created = Instant::now();
    let all = create(&store, wanted()).await;
    wait_for_all("created", created, &brokers.each_ref(), &all);

    brokers[2].kill();
    let gone = until_gone(&store, 2).await;
    let left = [&brokers[0], &brokers[1]];
    let took = wait_for_all("a leader of a third is gone", gone, &left, &all);
    assert!(took < Duration::from_secs(10), "{took:?}");

    brokers[2].launch_again();
    brokers[2].wait_until_ready();
    wait_until_in_sync(&store, &all).await;
    assert_eq!(store.controller().await.unwrap().unwrap().id, BrokerId(0));
    brokers[0].kill();
    let gone = until_gone(&store, 0).await;
    let left = [&brokers[1], &brokers[2]];
    let took = wait_for_all(
        "the controller, a leader of two thirds, is gone",
        gone,
        &left,
        &all,
    );
    assert!(took < Duration::from_secs(10), "{took:?}");
    for broker in &brokers {
        let said = broker.output();
        let times = |line: &&str| line.contains("took over") || line.contains("handled the change");
        for line in said.lines().filter(times) {
            let _ = writeln!(std::io::stderr(), "scale: {line}");
        }
    }
    sessions.close().await;
}
