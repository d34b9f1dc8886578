//! ZooKeeper away, a session ended by somebody else, nodes that say nothing sensible, nodes that come and go between two
//! reads: the broker says so, goes on, and never writes rubbish back.
//!
//! `GREGOR_ZOOKEEPER_AWAY` says for how many seconds it is away; 4 by default.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use gregor::protocol::offset_commit::OffsetStorage;
use serde_json::Value;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::clients::Python;
use crate::support::clients::Release;
use crate::support::clients::kcat_consume;
use crate::support::clients::kcat_produce;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::load::Book;
use crate::support::load::Load;
use crate::support::load::topics;
use crate::support::numbered::numbered;
use crate::support::proxy::Proxy;
use crate::support::report;
use crate::support::requests::ask_one;
use crate::support::requests::committed;
use crate::support::wire;
use crate::support::znodes;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const NEEDS: [Need; 4] = [Need::Gregor, Need::Reference, Need::Python, Need::Kcat];

/// Whatever has to be noticed, retried or elected.
const SOON: Duration = Duration::from_secs(30);

/// The error that says nothing more.
const UNKNOWN: i64 = -1;

/// A record of which only the version is left.
const NOTHING_IN_IT: &[u8] = b"{\"version\":1}";

/// What nobody can read, in various ways.
const RUBBISH: [&[u8]; 6] = [
    b"{",
    b"\xff\xfe rubbish",
    b"[]",
    NOTHING_IN_IT,
    b"nonsense",
    b"{\"version\":1,\"partitions\":{\"0\":\"x\"},\"config\":{\"a\":1},\"host\":7}",
];

fn start(zookeeper: &ZooKeeper, test: &str) -> Broker {
    let broker = Setup::new(&chroot(zookeeper, test))
        .set("zookeeper.session.timeout.ms", "3000")
        .start();
    for topic in topics() {
        broker.create_topic(topic, 1, &[]);
    }
    broker
}

/// Where others look for it.
const KNOWN_AT: [&str; 2] = ["/brokers/ids/0", "/controller"];

/// It is in all the places where it was when it started.
#[track_caller]
fn is_registered(connect: &str) {
    let live = ["/brokers/live/acks-1/0", "/brokers/live/acks-all/0"];
    is_at(connect, &[KNOWN_AT, live].concat());
}

#[track_caller]
fn is_at(connect: &str, wanted: &[&str]) {
    eventually("it is registered", SOON, || {
        let tree = znodes::tree(connect);
        let there: Vec<_> = tree
            .iter()
            .filter(|node| node.ephemeral && wanted.contains(&node.path.as_str()))
            .collect();
        let data = |node: &znodes::Znode| node.data.clone().unwrap_or_default();
        let sensible = there
            .iter()
            .all(|node| data(node).starts_with(r#"{"#) && data(node).ends_with('}'));
        if there.len() == wanted.len() && sensible {
            Ok(())
        } else {
            Err(format!("{there:?}"))
        }
    });
}

/// A new topic gets a leader: the controller works.
#[track_caller]
fn works(broker: &Broker, topic: &str) {
    kcat_produce(&broker.bootstrap(), topic, "none", &numbered("works", 3), false);
    assert_eq!(kcat_consume(&broker.bootstrap(), topic).len(), 3);
}

/// How often it was elected controller so far.
fn elections(broker: &Broker) -> usize {
    broker
        .output()
        .matches("controller is this broker, epoch")
        .count()
}

#[test]
fn zookeeper_may_be_away_for_long_under_load() {
    if !have(&NEEDS) {
        return;
    }
    let mut zookeeper = ZooKeeper::start(Version::Installed);
    let broker = start(&zookeeper, "away");
    let connect = broker.connect().to_owned();
    let load = Load::start(&broker, 1);
    load.get_more(500, "acknowledgements before");
    let said = broker.output().len();
    zookeeper.kill();
    let seconds: u64 = std::env::var("GREGOR_ZOOKEEPER_AWAY").map_or(4, |text| text.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        load.get_more(200, "acknowledgements while ZooKeeper is away");
        assert_eq!(wire::fetch(broker.address(), "acks-all", 0).unwrap(), 0);
    }
    let output = broker.output();
    let (said, lines) = (&output[said..], output[said..].lines().count());
    assert!(said.contains("Disconnected"), "it says so: {said}");
    assert!(
        lines <= 20 + usize::try_from(seconds).unwrap(),
        "{lines} lines in {seconds} s: {said}"
    );
    zookeeper.start_again();
    is_registered(&connect);
    load.get_more(500, "acknowledgements after");
    works(&broker, "new");
    let mut book = Book::default();
    book.close(load);
    book.check_all(&broker);
    report(&format!(
        "{seconds} s without ZooKeeper, {} acknowledged messages are there",
        book.len()
    ));
}

/// Killed and started again at once, a broker has to wait until its predecessor's session is over.
#[test]
fn zookeeper_may_go_away_while_a_broker_waits_to_register() {
    if !have(&NEEDS) {
        return;
    }
    let mut zookeeper = ZooKeeper::start(Version::Reference);
    let controller = start(&zookeeper, "away-at-start");
    let mut broker = Setup::new(controller.connect()).set("broker.id", "1").start();
    broker.kill();
    broker.launch_again();
    let said = |what: &str| {
        eventually(what, SOON, || {
            let output = broker.output();
            if output.contains(what) {
                Ok(())
            } else {
                Err(output)
            }
        });
    };
    said("is still registered by an earlier run of its own");
    zookeeper.kill();
    said("has ended");
    zookeeper.start_again();
    broker.wait_until_started();
    assert!(znodes::node(controller.connect(), "/brokers/ids/1").is_some());
}

/// For a proxy.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn a_session_that_somebody_else_ends_is_replaced_under_load() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Installed);
    let runtime = runtime();
    let proxy = runtime.block_on(Proxy::start(zookeeper.address()));
    let direct = chroot(&zookeeper, "taken");
    let broker = Setup::new(&format!("{}/taken", proxy.address())).start();
    for topic in topics() {
        // Not with the reference's tool: its session would be the last one that the proxy knows.
        works(&broker, topic);
    }
    let load = Load::start(&broker, 1);
    for round in 0..3 {
        load.get_more(200, "acknowledgements before");
        let created = || znodes::node(&direct, "/brokers/ids/0").map(|node| node.created);
        let before = created();
        runtime.block_on(proxy.expire());
        eventually("it has registered anew", SOON, || {
            let now = created();
            if now.is_some() && now != before {
                Ok(())
            } else {
                Err(format!("{before:?} {now:?}"))
            }
        });
        is_registered(&direct);
        load.get_more(200, "acknowledgements after");
        works(&broker, &format!("new-{round}"));
    }
    let mut book = Book::default();
    book.close(load);
    book.check_all(&broker);
}

/// What a tree's nodes hold, without what the broker is to write there.
fn contents(connect: &str, paths: &[&str]) -> BTreeMap<String, Option<String>> {
    let nodes = znodes::tree(connect).into_iter();
    nodes
        .filter(|node| paths.contains(&node.path.as_str()))
        .map(|node| (node.path, node.data))
        .collect()
}

/// No node holds what nobody can read, and none is there that was taken away.
#[track_caller]
fn nothing_is_rubbish(connect: &str) {
    for node in znodes::tree(connect) {
        assert!(
            !node.path.contains("flicker") && !node.path.starts_with("/brokers/ids/7"),
            "it came back: {node:?}"
        );
        let data = node.data.as_deref().unwrap_or_default();
        let sensible = data.is_empty() || serde_json::from_str::<Value>(data).is_ok();
        assert!(sensible, "rubbish: {node:?}");
    }
    for wish in ["/admin/reassign_partitions", "/admin/preferred_replica_election"] {
        assert!(znodes::node(connect, wish).is_none(), "{wish} came back");
    }
}

/// Nodes of topics `assignment`, `state` and `config`, and others that nobody owns.
const BREAKABLE: [&str; 7] = [
    "/brokers/topics/assignment",
    "/brokers/topics/state/partitions/0/state",
    "/config/topics/config",
    "/config/changes/config_change_0000000900",
    "/config/changes/config_change_nonsense",
    "/brokers/ids/7",
    "/consumers/group/offsets/config/0",
];

fn create_breakable(broker: &Broker) {
    for topic in ["assignment", "state"] {
        broker.create_topic(topic, 1, &[]);
    }
    broker.create_topic("config", 1, &[("retention.ms", "100000000000")]);
}

/// The offset and the error that are answered for the position in them.
fn broken_position(broker: &Broker) -> [Value; 2] {
    let answer = ask_one(broker, &committed(OffsetStorage::ZooKeeper, "group", "config", 0));
    ["offset", "error_code"].map(|field| answer[field].clone())
}

fn break_all(connect: &str, with: &[u8]) -> BTreeMap<String, Option<String>> {
    znodes::set(connect, &BREAKABLE.map(|path| (path, with)));
    let broken = contents(connect, &BREAKABLE);
    assert_eq!(broken.len(), BREAKABLE.len());
    broken
}

#[test]
fn nodes_that_say_nothing_sensible_cost_only_what_they_are_about_at_the_start() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let mut broker = start(&zookeeper, "rubbish-at-start");
    let connect = broker.connect().to_owned();
    create_breakable(&broker);
    for topic in ["assignment", "state", "config"] {
        kcat_produce(&broker.bootstrap(), topic, "none", &numbered(topic, 3), false);
    }
    let path = |path: &str| znodes::node(&connect, path).unwrap().data.unwrap();
    let sound = BREAKABLE[..3]
        .iter()
        .map(|node| (*node, path(node)))
        .collect::<Vec<_>>();
    for rubbish in RUBBISH {
        assert!(broker.stop().success());
        let broken = break_all(&connect, rubbish);
        let before = broker.output().len();
        broker.start_again();
        let elected = elections(&broker);
        for topic in ["acks-1", "acks-all", "config"] {
            kcat_produce(&broker.bootstrap(), topic, "none", &numbered("on", 1), false);
        }
        works(&broker, &format!("new-{}", rubbish.len()));
        let mut python = Python::start(Release::Kafka14, &broker.bootstrap());
        python.commit("zookeeper", "other", "config", 2);
        assert_eq!(python.committed("zookeeper", "other", "config"), Some(2));
        assert_eq!(broken_position(&broker), [-1, UNKNOWN]);
        let output = broker.output();
        let said = &output[before..];
        // An assignment without partitions is a topic without partitions, as in 0.8.2.2.
        let empty = usize::from(rubbish == NOTHING_IN_IT);
        for node in &BREAKABLE[empty..3] {
            assert!(said.contains(node), "{node} is not mentioned: {said}");
        }
        assert_eq!(
            elections(&broker),
            elected,
            "it is elected again and again: {said}"
        );
        assert_eq!(contents(&connect, &BREAKABLE), broken, "rubbish was replaced");
        assert!(!said.contains("panicked"), "{said}");
    }
    // Mended while it runs, or at the latest at the next start.
    let mended: Vec<_> = sound
        .iter()
        .map(|(path, data)| (*path, data.as_bytes()))
        .collect();
    znodes::set(&connect, &mended);
    znodes::delete(&connect, &BREAKABLE[3..6]);
    broker.wait_for_topic("assignment", 1);
    eventually(
        "settings that were nonsense at the start are read again",
        SOON,
        || {
            let output = broker.output();
            if output.contains(r#"config: settings are now {"retention.ms": "100000000000"}"#) {
                Ok(())
            } else {
                Err(output)
            }
        },
    );
    broker.stop();
    broker.start_again();
    for topic in ["assignment", "state"] {
        broker.wait_for_topic(topic, 1);
        assert_eq!(kcat_consume(&broker.bootstrap(), topic).len(), 3);
    }
}

#[test]
fn nodes_that_become_nonsense_change_nothing_for_a_running_broker() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let broker = start(&zookeeper, "rubbish-at-work");
    let connect = broker.connect().to_owned();
    create_breakable(&broker);
    let load = Load::start(&broker, 1);
    for (n, rubbish) in RUBBISH.into_iter().enumerate() {
        let broken = break_all(&connect, rubbish);
        // These are the broker's own: it is they that are put right.
        znodes::set(&connect, &[("/brokers/ids/0", rubbish), ("/controller", rubbish)]);
        is_registered(&connect);
        works(&broker, &format!("new-{n}"));
        for topic in ["assignment", "state", "config"] {
            kcat_produce(&broker.bootstrap(), topic, "none", &numbered(topic, 1), false);
        }
        load.get_more(100, "acknowledgements");
        let elected = elections(&broker);
        works(&broker, &format!("newer-{n}"));
        assert_eq!(contents(&connect, &BREAKABLE), broken, "rubbish was replaced");
        let metadata = wire::metadata(broker.address()).unwrap();
        assert!(metadata.brokers.iter().any(|(id, _, _)| *id == 0), "{metadata:?}");
        assert_eq!(elections(&broker), elected, "{}", broker.output());
    }
    // Notifications are still heard.
    znodes::set(
        &connect,
        &[
            (
                "/config/topics/acks-1",
                br#"{"version":1,"config":{"segment.bytes":"12345"}}"#,
            ),
            ("/config/changes/config_change_0000000901", br#""acks-1""#),
        ],
    );
    eventually("a changed setting is taken over", SOON, || {
        let output = broker.output();
        if output.contains(r#"acks-1: settings are now {"segment.bytes": "12345"}"#) {
            Ok(())
        } else {
            Err(output)
        }
    });
    let mut book = Book::default();
    book.close(load);
    book.check_all(&broker);
    assert!(!broker.output().contains("panicked"));
}

/// What operators ask the controller for, in words that nobody understands: a reassignment is left until it is mended, as by
/// 0.8.2.2; the other wishes go, or nobody could wish again. The controller goes on.
#[test]
fn wishes_that_say_nothing_sensible_hold_up_nothing() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let mut broker = Setup::new(&chroot(&zookeeper, "rubbish-wishes"))
        .set("delete.topic.enable", "true")
        .start();
    let connect = broker.connect().to_owned();
    works(&broker, "old");
    let (reassigned, elected, deleted) = (
        "/admin/reassign_partitions",
        "/admin/preferred_replica_election",
        "/admin/delete_topics/nobody",
    );
    let wish = |rubbish| {
        znodes::set(
            &connect,
            &[reassigned, elected, deleted].map(|path| (path, rubbish)),
        );
    };
    let is_as_it_was = |rubbish: &[u8]| {
        for path in [elected, deleted] {
            znodes::wait_until_gone(&connect, path);
        }
        let left = znodes::node(&connect, reassigned).unwrap().data.unwrap();
        assert_eq!(left, String::from_utf8_lossy(rubbish));
    };
    let elections_before = elections(&broker);
    for (n, rubbish) in RUBBISH.into_iter().enumerate() {
        let before = broker.output().len();
        wish(rubbish);
        is_as_it_was(rubbish);
        works(&broker, &format!("new-{n}"));
        let output = broker.output();
        let said = &output[before..];
        for path in [reassigned, elected] {
            let lines = said.lines().filter(|line| line.contains(path)).count();
            assert!((1..10).contains(&lines), "{lines} lines about {path}: {said}");
        }
    }
    assert_eq!(elections(&broker), elections_before, "{}", broker.output());

    assert!(broker.stop().success());
    wish(RUBBISH[0]);
    broker.start_again();
    is_as_it_was(RUBBISH[0]);
    works(&broker, "newer");
    assert_eq!(elections(&broker), elections_before + 1, "{}", broker.output());
    // Mended, it is heard: the partition has these replicas already, so the wish is refused.
    let mended = br#"{"version":1,"partitions":[{"topic":"old","partition":0,"replicas":[0]}]}"#;
    znodes::set(&connect, &[(reassigned, mended)]);
    znodes::wait_until_gone(&connect, reassigned);
    assert!(!broker.output().contains("panicked"));
}

/// Nobody can be controller without knowing the epoch; leaders lead on, and the broker starts all the same.
#[test]
fn an_epoch_that_is_no_number_stops_elections_only_until_it_is_mended() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let mut broker = start(&zookeeper, "rubbish-epoch");
    let connect = broker.connect().to_owned();
    let load = Load::start(&broker, 1);
    load.get_more(100, "acknowledgements before");
    znodes::set(&connect, &[("/controller_epoch", b"five")]);
    znodes::delete(&connect, &["/controller"]);
    eventually("it says so", SOON, || {
        let output = broker.output();
        if output.contains("/controller_epoch") {
            Ok(())
        } else {
            Err(output)
        }
    });
    load.get_more(500, "acknowledgements while there is no controller");
    assert_eq!(
        znodes::node(&connect, "/controller_epoch").unwrap().data.unwrap(),
        "five"
    );
    let lines = broker.output().matches("/controller_epoch").count();
    assert!(lines < 20, "{lines} lines say the same");
    znodes::set(&connect, &[("/controller_epoch", b"41")]);
    eventually("it is elected", SOON, || {
        let epoch = znodes::node(&connect, "/controller_epoch").unwrap().data.unwrap();
        if epoch == "42" { Ok(()) } else { Err(epoch) }
    });
    works(&broker, "new");
    let mut book = Book::default();
    book.close(load);
    book.check_all(&broker);

    broker.stop();
    znodes::set(&connect, &[("/controller_epoch", b"{}")]);
    broker.start_again_without_leaders();
    znodes::set(&connect, &[("/controller_epoch", b"50")]);
    for topic in topics() {
        broker.wait_for_topic(topic, 1);
    }
    book.check_all(&broker);
    assert_eq!(
        znodes::node(&connect, "/controller_epoch").unwrap().data.unwrap(),
        "51"
    );
}

/// The broker's own registration, left with something in it that nobody can read: the session of a killed broker is waited
/// out; what no session owns would stay for ever, so the broker says so and leaves it to people.
#[test]
fn an_own_registration_that_nobody_can_read_is_waited_out_or_stops_the_start() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    // Long enough to get at the node before the session is over.
    let mut broker = Setup::new(&chroot(&zookeeper, "rubbish-registration"))
        .set("zookeeper.session.timeout.ms", "10000")
        .start();
    let connect = broker.connect().to_owned();
    let own = "/brokers/ids/0";
    works(&broker, "orders");
    broker.kill();
    znodes::set(&connect, &[(own, RUBBISH[0])]);
    // Or it would be that for which the next run waits.
    znodes::delete(&connect, &["/controller"]);
    assert!(znodes::node(&connect, own).unwrap().ephemeral);
    let before = broker.output().len();
    broker.start_again();
    is_at(&connect, &KNOWN_AT);
    let output = broker.output();
    assert!(output[before..].contains("is still registered"), "{output}");
    assert!(broker.stop().success());

    for rubbish in RUBBISH.into_iter().chain([&b""[..]]) {
        znodes::set(&connect, &[(own, rubbish)]);
        let before = broker.output().len();
        let status = broker.try_start_again().unwrap_err();
        assert!(!status.success(), "{status}");
        broker.forget();
        let output = broker.output();
        let said: Vec<_> = output[before..].lines().collect();
        let errors: Vec<_> = said.iter().filter(|line| line.starts_with("error: ")).collect();
        assert!(errors.len() == 1 && errors[0].contains(own), "{said:?}");
        let hints = said.iter().filter(|line| line.starts_with("hint: ")).count();
        assert_eq!(hints, 1, "{said:?}");
        let left = znodes::node(&connect, own).unwrap();
        assert_eq!(left.data.unwrap(), String::from_utf8_lossy(rubbish));
        assert!(!left.ephemeral && !output.contains("panicked"), "{output}");
    }
    znodes::delete(&connect, &[own]);
    broker.start_again();
    assert_eq!(kcat_consume(&broker.bootstrap(), "orders").len(), 3);
    works(&broker, "new");
}

/// A `/controller` that nobody can read, and that no session owns, is waited out.
#[test]
fn a_controller_that_is_nobody_is_waited_out() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let mut broker = start(&zookeeper, "rubbish-controller");
    let connect = broker.connect().to_owned();
    broker.stop();
    znodes::set(&connect, &[("/controller", b"nobody")]);
    broker.start_again_without_leaders();
    let said = || broker.output().matches("/controller:").count();
    eventually("it says so", SOON, || {
        if said() > 0 { Ok(()) } else { Err(broker.output()) }
    });
    assert!(said() < 5, "{}", broker.output());
    assert_eq!(
        znodes::node(&connect, "/controller").unwrap().data.unwrap(),
        "nobody"
    );
    znodes::delete(&connect, &["/controller"]);
    broker.wait_until_ready();
    works(&broker, "new");
}

#[test]
fn nodes_that_vanish_under_a_running_broker_are_missed_by_nobody() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let runtime = runtime();
    let proxy = runtime.block_on(Proxy::start(zookeeper.address()));
    let connect = chroot(&zookeeper, "vanishing");
    let mut broker = Setup::new(&format!("{}/vanishing", proxy.address()))
        .set("delete.topic.enable", "true")
        .start();
    for topic in topics() {
        works(&broker, topic);
    }
    create_breakable(&broker);
    let load = Load::start(&broker, 1);
    load.get_more(100, "acknowledgements before");
    znodes::delete(
        &connect,
        &[
            "/brokers/topics/state/partitions/0/state",
            "/config/topics/config",
            "/config/changes",
            "/brokers/topics/assignment",
            "/brokers/live/acks-1",
            "/brokers/ids/0",
            "/controller",
        ],
    );
    load.get_more(500, "acknowledgements while nodes are gone");
    is_at(&connect, &KNOWN_AT);
    works(&broker, "new");
    for topic in ["state", "config"] {
        kcat_produce(&broker.bootstrap(), topic, "none", &numbered(topic, 1), false);
    }
    // Everything comes, changes and goes while it is read, until the broker has often enough been told of nodes that were
    // gone when it read them.
    let (mut changes, before) = (0, proxy.vanished());
    let vanished = || proxy.vanished() - before;
    eventually("nodes vanish between two reads", 2 * SOON, || {
        changes += znodes::flicker(&connect, "3");
        if vanished() >= 3 { Ok(()) } else { Err(vanished()) }
    });
    load.get_more(200, "acknowledgements after");
    is_at(&connect, &KNOWN_AT);
    works(&broker, "newer");
    nothing_is_rubbish(&connect);
    assert_eq!(broker.exited(), None);
    let metadata = wire::metadata(broker.address()).unwrap();
    assert!(metadata.brokers.iter().any(|(id, _, _)| *id == 0), "{metadata:?}");
    let mut book = Book::default();
    book.close(load);
    book.check_all(&broker);
    assert!(!broker.output().contains("panicked"));
    report(&format!(
        "{changes} times nodes of all kinds came and went, {} times between a listing and a read",
        vanished()
    ));
}
