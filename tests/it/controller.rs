//! Gregor as controller: of itself, and of brokers of the reference, which follow and lead as under one of their own.

use std::time::Duration;

use serde_json::Value;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::reference;
use crate::support::znodes;
use crate::support::znodes::wait_until_gone;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

mod deletion;
mod election;
mod failure;
mod poison;
mod reassignment;
mod shutdown;
mod succession;

const NEEDS: [Need; 4] = [Need::Gregor, Need::Reference, Need::ZooKeeper, Need::Python];

/// Time for a session to end and everything that follows from it.
const FAILOVER: Duration = Duration::from_secs(30);

/// A controller of Gregor with id 0 and brokers of the reference with the next ids.
struct Mixed {
    connect: String,
    controller: Broker,
    java: Vec<Broker>,
    _zookeeper: std::sync::Arc<ZooKeeper>,
}

impl Mixed {
    /// `configure` sets what differs from the usual for each id.
    #[track_caller]
    fn start(name: &str, java: usize, configure: impl Fn(Setup, usize) -> Setup) -> Self {
        let zookeeper = ZooKeeper::shared(Version::Reference);
        let connect = chroot(&zookeeper, name);
        let controller = configure(setup(Kind::Gregor, &connect, 0), 0).start();
        let mut launched: Vec<Broker> = (1..=java)
            .map(|id| configure(setup(Kind::Reference, &connect, id), id).launch())
            .collect();
        launched.iter_mut().for_each(Broker::wait_until_ready);
        for id in 1..=java {
            wait_until_registered(&connect, id);
        }
        Self {
            connect,
            controller,
            java: launched,
            _zookeeper: zookeeper,
        }
    }
}

/// A broker of either kind with the given id.
fn setup(kind: Kind, connect: &str, id: usize) -> Setup {
    Setup::of_kind(kind, connect).set("broker.id", id.to_string())
}

#[track_caller]
fn wait_until_registered(connect: &str, id: usize) {
    let path = format!("/brokers/ids/{id}");
    eventually("it is registered", FAILOVER, || {
        znodes::node(connect, &path).map(drop).ok_or("missing")
    });
}

/// Creates a topic with these replicas with the reference's tool, and waits until every partition has a leader.
fn create(connect: &str, topic: &str, assignment: &str) {
    create_with(connect, topic, assignment, &[]);
}

/// The same with settings of its own.
fn create_with(connect: &str, topic: &str, assignment: &str, settings: &[&str]) {
    let mut arguments = vec!["topics", "--zookeeper", connect, "--create", "--topic", topic];
    arguments.extend(["--replica-assignment", assignment]);
    for setting in settings {
        arguments.extend(["--config", setting]);
    }
    reference::tool(&arguments, b"");
    for partition in 0..assignment.split(',').count() {
        wait_for_state(connect, topic, partition, |state| {
            state["leader"].as_i64() >= Some(0)
        });
    }
}

/// Gives a topic more partitions, now so many, with the reference's tool, which chooses their replicas by itself.
#[track_caller]
fn add_partitions(connect: &str, topic: &str, partitions: &str) {
    let mut arguments = vec!["topics", "--zookeeper", connect, "--alter", "--topic", topic];
    arguments.extend(["--partitions", partitions]);
    let said = reference::tool(&arguments, b"");
    assert!(
        said.text().contains("Adding partitions succeeded!"),
        "{}",
        said.account()
    );
}

/// What ZooKeeper says about a partition's leadership.
fn state(connect: &str, topic: &str, partition: usize) -> Option<Value> {
    content(
        connect,
        &format!("/brokers/topics/{topic}/partitions/{partition}/state"),
    )
}

fn content(connect: &str, path: &str) -> Option<Value> {
    let data = znodes::node(connect, path)?.data?;
    Some(serde_json::from_str(&data).unwrap_or_else(|error| panic!("{path}: {error}: {data}")))
}

#[track_caller]
fn wait_for_state(connect: &str, topic: &str, partition: usize, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually("the partition's state is as wanted", FAILOVER, || {
        match state(connect, topic, partition) {
            Some(state) if wanted(&state) => Ok(state),
            other => Err(format!("{topic}-{partition}: {other:?}")),
        }
    })
}

fn has_replica(broker: &Broker, topic: &str, partition: i32) -> bool {
    broker.data().join(format!("{topic}-{partition}")).exists()
}

#[track_caller]
fn wait_until_replica_gone(broker: &Broker, topic: &str, partition: i32) {
    eventually("the broker has deleted its replica", FAILOVER, || {
        if has_replica(broker, topic, partition) {
            Err("not yet")
        } else {
            Ok(())
        }
    });
}

/// Waits until a broker tells clients that this one leads the partition, and until that one agrees.
#[track_caller]
fn wait_for_leader(told_by: &Broker, topic: &str, partition: i32, leader: i32) {
    eventually("the broker tells of the leader", FAILOVER, || {
        let seen = crate::support::wire::metadata(told_by.address()).map_err(|error| error.to_string())?;
        let named = seen
            .topics
            .iter()
            .filter(|(name, _, _)| name == topic)
            .flat_map(|(_, _, partitions)| partitions)
            .any(|(number, _, led_by)| (*number, *led_by) == (partition, leader));
        if named { Ok(()) } else { Err(format!("{seen:?}")) }
    });
}
