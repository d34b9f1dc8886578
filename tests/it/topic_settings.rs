//! Settings of a topic that are changed while brokers run: by the reference's command and by ours, on brokers of either
//! kind, without a restart.

use std::time::Duration;

use gregor::message::Codec;
use gregor::protocol::fetch::Reader;
use gregor::protocol::leader_and_isr::Leader;
use gregor::protocol::leader_and_isr::LeaderAndIsrRequest;
use gregor::protocol::leader_and_isr::PartitionState;
use gregor::protocol::list_offsets::OffsetSpec;
use gregor::types::BrokerId;
use serde_json::Value;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::eventually::eventually;
use crate::support::gregor;
use crate::support::have;
use crate::support::process::run;
use crate::support::proxy::Proxy;
use crate::support::reference;
use crate::support::requests::ask;
use crate::support::requests::ask_one;
use crate::support::requests::offsets;
use crate::support::requests::produce;
use crate::support::requests::set;
use crate::support::segments::segments;
use crate::support::znodes;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

/// Retention begins to work half a minute after the start, in brokers of either kind.
const SOON: Duration = Duration::from_secs(60);

/// Codes of 0.8.2.
const MESSAGE_TOO_LARGE: i64 = 10;
const NOT_ENOUGH_REPLICAS: i64 = 19;

/// A running broker with a topic, and a command that changes its settings.
struct Changing {
    broker: Broker,
    /// Its cluster, for the command.
    connect: String,
    by: Kind,
    _zookeeper: std::sync::Arc<ZooKeeper>,
}

impl Changing {
    fn start(test: &str, broker: Kind, by: Kind) -> Self {
        let zookeeper = ZooKeeper::shared(Version::Reference);
        let connect = chroot(&zookeeper, test);
        let broker = Setup::of_kind(broker, &connect)
            .set("log.retention.check.interval.ms", "100")
            .start();
        broker.create_topic("t", 1, &[]);
        Self {
            broker,
            connect,
            by,
            _zookeeper: zookeeper,
        }
    }

    /// Changes settings by the command.
    fn alter(&self, changes: &[&str]) {
        let arguments = ["topics", "--zookeeper", &self.connect, "--alter", "--topic", "t"];
        let arguments = [&arguments, changes].concat();
        let said = match self.by {
            Kind::Reference => reference::tool(&arguments, b""),
            Kind::Gregor => {
                let mut command = gregor();
                command.args(&arguments);
                run(command, b"", SOON).succeeded()
            }
        };
        assert!(
            said.text().contains("Updated config for topic \"t\"."),
            "{}",
            said.account()
        );
    }

    /// Sends a message of 200 bytes; the answer.
    fn send(&self, acks: i16) -> Value {
        let request = produce(
            acks,
            SOON,
            "t",
            [(0, set(Codec::None, &["x".repeat(200).as_str()]))],
        );
        ask_one(&self.broker, &request)
    }

    /// Sends until the answer has this code.
    #[track_caller]
    fn send_until(&self, acks: i16, code: i64) {
        eventually(&format!("the answer is {code}"), SOON, || {
            let answer = self.send(acks);
            if answer["error_code"] == code {
                Ok(())
            } else {
                Err(answer)
            }
        });
    }

    fn segments(&self) -> usize {
        segments(&self.broker.data().join("t-0")).len()
    }

    fn log_start(&self) -> i64 {
        log_start(&self.broker, "t")
    }
}

fn log_start(broker: &Broker, topic: &str) -> i64 {
    let request = offsets(Reader::Consumer, topic, 0, OffsetSpec::Earliest);
    ask_one(broker, &request)["offsets"][0].as_i64().unwrap()
}

/// What producers notice at once, there and back.
fn limits(changing: &Changing) {
    changing.send_until(-1, 0);
    changing.alter(&["--config", "max.message.bytes=100"]);
    changing.send_until(-1, MESSAGE_TOO_LARGE);
    changing.alter(&[
        "--config",
        "min.insync.replicas=2",
        "--delete-config",
        "max.message.bytes",
    ]);
    changing.send_until(-1, NOT_ENOUGH_REPLICAS);
    changing.alter(&["--delete-config", "min.insync.replicas"]);
    changing.send_until(-1, 0);
}

/// How the log is cut into segments.
fn segmentation(changing: &Changing) {
    assert_eq!(changing.segments(), 1);
    changing.alter(&["--config", "segment.bytes=1000"]);
    eventually("there are more segments", SOON, || {
        changing.send_until(1, 0);
        let segments = changing.segments();
        if segments > 3 { Ok(()) } else { Err(segments) }
    });
}

/// Which segments are kept.
fn retention(changing: &Changing) {
    assert_eq!(changing.log_start(), 0);
    changing.alter(&["--config", "retention.bytes=1500"]);
    eventually("old segments are deleted", SOON, || match changing.log_start() {
        0 => Err("not yet"),
        _ => Ok(()),
    });
    changing.send_until(1, 0);
}

#[test]
fn a_running_broker_takes_over_what_the_reference_changes() {
    if !have(&[Need::Gregor, Need::Reference]) {
        return;
    }
    let mut changing = Changing::start("settings-theirs", Kind::Gregor, Kind::Reference);
    limits(&changing);
    segmentation(&changing);
    retention(&changing);
    // What changes while it is away holds from its start on.
    changing.broker.stop();
    changing.alter(&["--config", "min.insync.replicas=2"]);
    changing.broker.start_again();
    eventually("it leads", SOON, || {
        let answer = changing.send(-1);
        assert_ne!(answer["error_code"], 0);
        if answer["error_code"] == NOT_ENOUGH_REPLICAS {
            Ok(())
        } else {
            Err(answer)
        }
    });
}

#[test]
fn a_running_broker_takes_over_what_our_command_changes() {
    if !have(&[Need::Gregor, Need::Reference]) {
        return;
    }
    let changing = Changing::start("settings-ours", Kind::Gregor, Kind::Gregor);
    limits(&changing);
    segmentation(&changing);
}

#[test]
fn a_running_java_broker_takes_over_what_our_command_changes() {
    if !have(&[Need::Gregor, Need::Reference]) {
        return;
    }
    let changing = Changing::start("settings-java", Kind::Reference, Kind::Gregor);
    limits(&changing);
    segmentation(&changing);
}

/// Who changes settings leaves a notification, which is taken away after a quarter of an hour: a broker that had no
/// session for longer finds none.
#[test]
fn what_changed_between_two_sessions_is_taken_over_without_a_notification() {
    if !have(&[Need::Gregor, Need::Reference, Need::Python]) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let proxy = runtime.block_on(Proxy::start(zookeeper.address()));
    let connect = chroot(&zookeeper, "settings-missed");
    let broker = Setup::new(&format!("{}/settings-missed", proxy.address())).start();
    broker.create_topic("t", 1, &[]);
    let changing = Changing {
        broker,
        connect,
        by: Kind::Reference,
        _zookeeper: zookeeper,
    };
    changing.send_until(1, 0);

    proxy.cut();
    changing.alter(&["--config", "max.message.bytes=100"]);
    let notifications = || {
        let nodes = znodes::tree(&changing.connect).into_iter().map(|node| node.path);
        let below = nodes.filter(|path| path.starts_with("/config/changes/"));
        below.collect::<Vec<_>>()
    };
    let left = notifications();
    assert!(!left.is_empty(), "the command leaves a notification");
    znodes::delete(
        &changing.connect,
        &left.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    eventually("its session has ended", SOON, || {
        match znodes::node(&changing.connect, "/brokers/ids/0") {
            None => Ok(()),
            Some(node) => Err(format!("{node:?}")),
        }
    });
    assert_eq!(
        changing.send(1)["error_code"],
        0,
        "it has not heard of the change"
    );
    proxy.mend();
    changing.send_until(1, MESSAGE_TOO_LARGE);
    assert_eq!(notifications(), Vec::<String>::new());
}

/// A controller may give a broker a new partition while the broker has no session: what the topic says about retention
/// is not known then.
#[test]
fn of_a_topic_whose_settings_are_not_known_nothing_is_deleted() {
    if !have(&[Need::Gregor, Need::Reference]) {
        return;
    }
    let mut zookeeper = ZooKeeper::start(Version::Reference);
    let broker = Setup::new(&chroot(&zookeeper, "settings-unknown"))
        .set("log.segment.bytes", "1000")
        .set("log.retention.bytes", "1500")
        .set("log.retention.check.interval.ms", "100")
        .start();
    let fill = |topic: &str| {
        for _ in 0..20 {
            let message = [(0, set(Codec::None, &["x".repeat(200).as_str()]))];
            assert_eq!(
                ask_one(&broker, &produce(1, SOON, topic, message))["error_code"],
                0
            );
        }
    };
    let trimmed = |topic: &str, from: i64| {
        eventually("old segments are deleted", SOON, || {
            match log_start(&broker, topic) {
                start if start > from => Ok(start),
                start => Err(start),
            }
        })
    };
    broker.create_topic("known", 1, &[]);
    zookeeper.kill();
    eventually("its session has ended", SOON, || {
        let output = broker.output();
        if output.contains("has ended") {
            Ok(())
        } else {
            Err(output)
        }
    });
    let me = BrokerId(0);
    let state = PartitionState {
        controller_epoch: 1,
        leader: Leader::Broker(me),
        leader_epoch: 0,
        isr: vec![me],
        zk_version: 0,
        replicas: vec![me],
    };
    let order = LeaderAndIsrRequest {
        controller_id: me,
        controller_epoch: 1,
        partitions: vec![("unknown".to_owned(), 0, state)],
        live_leaders: Vec::new(),
    };
    assert_eq!(ask(&broker, &order)["partitions"][0]["error_code"], 0);
    fill("unknown");
    // Retention has come by twice when what was written between is gone.
    fill("known");
    let start = trimmed("known", 0);
    fill("known");
    trimmed("known", start);
    assert_eq!(log_start(&broker, "unknown"), 0);
    // It says nothing of its own, as it turns out.
    zookeeper.start_again();
    trimmed("unknown", 0);
}
