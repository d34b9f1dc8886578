//! What a broker leaves in ZooKeeper, and what it does when ZooKeeper or its session goes away.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::broker::Setup;
use crate::support::broker::kind;
use crate::support::chroot;
use crate::support::clients::Python;
use crate::support::clients::Record;
use crate::support::clients::Release;
use crate::support::clients::kcat_produce;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::numbered::acknowledged;
use crate::support::numbered::numbered;
use crate::support::numbered::text;
use crate::support::process::Running;
use crate::support::znodes;
use crate::support::znodes::Znode;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const NEEDS: [Need; 4] = [Need::Reference, Need::ZooKeeper, Need::Python, Need::Kcat];

/// Time for a session to end, a new one to be opened and everything to be registered anew.
const RECOVERY: Duration = Duration::from_secs(30);

/// The text with every timestamp (a string of 13 digits) replaced, since two runs never agree on one.
fn timeless(data: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for character in data.chars().chain(['\n']) {
        if character.is_ascii_digit() {
            digits.push(character);
        } else {
            out.push_str(if digits.len() == 13 { "NOW" } else { &digits });
            digits.clear();
            out.push(character);
        }
    }
    out.trim_end().to_owned()
}

/// Path, data without times, and `ephemeral` where it is: one line per node, in the order of creation.
///
/// No data and empty data are both `null`: the client library can send only the latter, and no reader of 0.8 tells them
/// apart on these nodes.
fn lines(nodes: &[Znode]) -> Vec<String> {
    nodes
        .iter()
        .map(|node| {
            let data = node.data.as_deref().filter(|data| !data.is_empty());
            let data = data.map_or("null".to_owned(), timeless);
            let kind = if node.ephemeral { " ephemeral" } else { "" };
            format!("{} {data}{kind}", node.path)
        })
        .collect()
}

/// A first broker creates what the reference does, in its order, with its bytes.
fn first_broker(version: Version) {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(version);
    let connect = chroot(&zookeeper, "deep/first-broker");
    let broker = Setup::new(&connect)
        .set("broker.id", "7")
        .set("advertised.host.name", "127.0.0.9")
        .set("advertised.port", "9999")
        .launch();
    let nodes = eventually("the broker is registered", Duration::from_secs(20), || {
        if znodes::node(&connect, "/brokers/ids/7").is_none() {
            return Err(broker.output());
        }
        Ok(znodes::tree(&connect))
    });

    assert_eq!(
        lines(&nodes),
        [
            "/ null",
            "/consumers null",
            "/brokers null",
            "/brokers/ids null",
            "/brokers/topics null",
            "/config null",
            "/config/changes null",
            "/config/topics null",
            "/admin null",
            "/admin/delete_topics null",
            r#"/controller {"version":1,"brokerid":7,"timestamp":"NOW"} ephemeral"#,
            "/controller_epoch 1",
            concat!(
                r#"/brokers/ids/7 {"jmx_port":-1,"timestamp":"NOW","host":"127.0.0.9","version":1,"port":9999}"#,
                " ephemeral"
            ),
        ]
    );
    for node in &nodes {
        assert_eq!(node.acl, "world:anyone:rwcda", "{}", node.path);
        assert_eq!(node.version, 0, "{}", node.path);
    }
}

#[test]
fn a_first_broker_creates_the_tree_in_zookeeper_3_4() {
    first_broker(Version::Reference);
}

#[test]
fn a_first_broker_creates_the_tree_in_zookeeper_3_8() {
    first_broker(Version::Installed);
}

/// What appears for a topic that a client's first use creates, and what goes with the broker's session.
#[test]
fn a_topic_created_by_a_client_is_written_as_the_reference_does() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "auto-topic");
    let mut broker = Setup::new(&connect).set("num.partitions", "2").start();
    let before = znodes::tree(&connect).last().map(|node| node.created).unwrap();
    kcat_produce(
        &broker.bootstrap(),
        "orders",
        "none",
        &[Record::new(None, Some("first"))],
        false,
    );
    broker.wait_for_topic("orders", 2);

    let new: Vec<Znode> = znodes::tree(&connect)
        .into_iter()
        .filter(|node| node.created > before)
        .collect();
    let (live, topic): (Vec<Znode>, Vec<Znode>) = new
        .into_iter()
        .partition(|node| node.path.starts_with("/brokers/live"));
    let mut topic = lines(&topic);
    assert_eq!(topic[0], r#"/config/topics/orders {"version":1,"config":{}}"#);
    // The order of partitions is that of a hash map.
    let (one, other) = (r#""0":[0]"#, r#""1":[0]"#);
    let assigned = |first: &str, second: &str| {
        format!(r#"/brokers/topics/orders {{"version":1,"partitions":{{{first},{second}}}}}"#)
    };
    assert!(
        topic[1] == assigned(one, other) || topic[1] == assigned(other, one),
        "{}",
        topic[1]
    );
    let mut states = topic.split_off(2);
    states.sort();
    let state = r#"{"controller_epoch":1,"leader":0,"version":1,"leader_epoch":0,"isr":[0]}"#;
    assert_eq!(
        states,
        [
            "/brokers/topics/orders/partitions null".to_owned(),
            "/brokers/topics/orders/partitions/0 null".to_owned(),
            format!("/brokers/topics/orders/partitions/0/state {state}"),
            "/brokers/topics/orders/partitions/1 null".to_owned(),
            format!("/brokers/topics/orders/partitions/1/state {state}"),
        ]
    );
    if kind() == Kind::Gregor {
        let role = r#"{"role":"leader","leader_epoch":0}"#;
        let served = || {
            eventually("what it serves is registered", Duration::from_secs(10), || {
                let node = znodes::node(&connect, "/brokers/live/orders/0").filter(|node| node.ephemeral);
                node.and_then(|node| node.data).ok_or_else(|| format!("{live:?}"))
            })
        };
        let both = format!(r#"{{"version":1,"partitions":{{"0":{role},"1":{role}}}}}"#);
        assert_eq!(served(), both);
    } else {
        assert_eq!(live.len(), 0, "{live:?}");
    }

    broker.stop();
    let left: Vec<String> = znodes::tree(&connect)
        .into_iter()
        .filter(|node| node.ephemeral)
        .map(|node| node.path)
        .collect();
    assert_eq!(
        left, [""; 0],
        "its ephemeral nodes go at once, not when the session times out"
    );
}

/// The next start is a new epoch of the controller; the topics are still there.
#[test]
fn the_controller_epoch_grows_with_every_start() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "epochs-grow");
    let mut broker = Broker::start(&connect);
    broker.create_topic("orders", 1, &[]);
    for epoch in ["1", "2"] {
        let node = znodes::node(&connect, "/controller_epoch").unwrap();
        assert_eq!(node.data.as_deref(), Some(epoch));
        broker.stop();
        broker.start_again();
    }
    let state = znodes::node(&connect, "/brokers/topics/orders/partitions/0/state")
        .unwrap()
        .data
        .unwrap();
    assert!(
        state.contains(r#""leader":0"#) && state.contains(r#""isr":[0]"#),
        "{state}"
    );
}

/// Waits until a load has that many more acknowledgements than it has now.
fn more_acknowledged(load: &Running, count: usize, why: &str) {
    let now = acknowledged(&load.stdout()).len();
    eventually(why, RECOVERY, || {
        let seen = acknowledged(&load.stdout()).len();
        if seen >= now + count { Ok(()) } else { Err(seen) }
    });
}

/// Everything the load got acknowledged is there, at the offset it was told.
fn check_load(load: Running, broker: &Broker, topic: &str, sender: &str) {
    load.signal(Signal::KILL);
    let acked = acknowledged(&load.wait(Duration::from_secs(5)).stdout);
    let read = Python::start(Release::Kafka20, &broker.bootstrap()).consume(topic, 0, 0);
    assert!(
        (0..)
            .zip(&read)
            .all(|(expected, (offset, _))| *offset == expected),
        "a gap"
    );
    for (number, offset) in acked {
        let (_, record) = &read[usize::try_from(offset).unwrap()];
        assert_eq!(
            record.value.as_deref(),
            Some(text(sender, number).as_bytes()),
            "at {offset}"
        );
    }
}

/// The broker is held still until its session is over, under load; then it must come back by itself.
fn expiry_under_load(version: Version) {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(version);
    let connect = chroot(&zookeeper, "expiry");
    let broker = Setup::new(&connect)
        .set("zookeeper.session.timeout.ms", "1500")
        .start();
    broker.create_topic("orders", 1, &[]);
    let registered = || znodes::node(&connect, "/brokers/ids/0");
    let before = registered().expect("it is registered").created;
    let load = Release::Kafka20.load(&broker.bootstrap(), "orders", "expiry", "-1");
    more_acknowledged(&load, 500, "acknowledgements before");

    broker.signal(Signal::STOP);
    eventually("the session is over", RECOVERY, || {
        registered().map_or(Ok(()), |node| Err(format!("{node:?}")))
    });
    assert!(znodes::node(&connect, "/controller").is_none());
    broker.signal(Signal::CONT);

    eventually("it is registered and controller again", RECOVERY, || {
        let again = registered().filter(|node| node.ephemeral && node.created > before);
        match (again, znodes::node(&connect, "/controller")) {
            (Some(_), Some(controller)) if controller.ephemeral => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    more_acknowledged(&load, 500, "acknowledgements after");
    check_load(load, &broker, "orders", "expiry");
    // The controller works again, too.
    kcat_produce(&broker.bootstrap(), "after", "none", &numbered("kcat", 3), false);
    if kind() == Kind::Gregor {
        eventually("what it serves is registered again", RECOVERY, || {
            let there =
                ["orders", "after"].map(|topic| znodes::node(&connect, &format!("/brokers/live/{topic}/0")));
            if there.iter().all(Option::is_some) {
                Ok(())
            } else {
                Err(format!("{there:?}"))
            }
        });
    }
}

#[test]
fn a_session_that_expires_under_load_is_replaced_with_zookeeper_3_4() {
    expiry_under_load(Version::Reference);
}

#[test]
fn a_session_that_expires_under_load_is_replaced_with_zookeeper_3_8() {
    expiry_under_load(Version::Installed);
}

/// While ZooKeeper is away the broker serves what it leads; when ZooKeeper is back, the broker is too.
fn zookeeper_away(version: Version) {
    if !have(&NEEDS) {
        return;
    }
    let mut zookeeper = ZooKeeper::start(version);
    let connect = chroot(&zookeeper, "away");
    let broker = Setup::new(&connect)
        .set("zookeeper.session.timeout.ms", "1500")
        .start();
    let bootstrap = broker.bootstrap();
    broker.create_topic("orders", 1, &[]);
    let load = Release::Kafka20.load(&bootstrap, "orders", "away", "-1");
    more_acknowledged(&load, 500, "acknowledgements before");

    zookeeper.kill();
    more_acknowledged(&load, 2_000, "acknowledgements while ZooKeeper is away");
    let read = Python::start(Release::Kafka14, &bootstrap).consume("orders", 0, 0);
    assert!(read.len() > 2_000, "{}", read.len());
    zookeeper.start_again();

    more_acknowledged(&load, 500, "acknowledgements after");
    eventually("it is registered", RECOVERY, || {
        let nodes = ["/brokers/ids/0", "/controller"].map(|path| znodes::node(&connect, path));
        if nodes.iter().flatten().filter(|node| node.ephemeral).count() == 2 {
            Ok(())
        } else {
            Err(format!("{nodes:?}"))
        }
    });
    check_load(load, &broker, "orders", "away");
    kcat_produce(&bootstrap, "after", "none", &numbered("kcat", 3), false);
    let mut python = Python::start(Release::Kafka14, &bootstrap);
    python.commit("zookeeper", "group", "after", 2);
    assert_eq!(python.committed("zookeeper", "group", "after"), Some(2));
    assert_eq!(python.bounds("after", 0), (0, 3));
}

#[test]
fn zookeeper_3_4_may_go_and_come_back() {
    zookeeper_away(Version::Reference);
}

#[test]
fn zookeeper_3_8_may_go_and_come_back() {
    zookeeper_away(Version::Installed);
}
