//! The clock set forth and back, by an hour and by ten years, under load: nothing is deleted that is not old, nothing that
//! waits fires or hangs, and what is old still goes.
//!
//! The broker runs with libfaketime, whose file says how wrong the wall clock is; the monotonic clock is left alone.

use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use gregor::message::Codec;
use gregor::protocol::leader_and_isr::Leader;
use gregor::protocol::leader_and_isr::LeaderAndIsrRequest;
use gregor::protocol::leader_and_isr::PartitionState;
use gregor::types::BrokerId;
use gregor::types::Endpoint;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::clients::Python;
use crate::support::clients::Release;
use crate::support::clients::kcat_produce;
use crate::support::eventually::eventually;
use crate::support::faketime;
use crate::support::have;
use crate::support::load::Book;
use crate::support::load::Load;
use crate::support::load::topics;
use crate::support::numbered::numbered;
use crate::support::requests::ask;
use crate::support::requests::ask_one;
use crate::support::requests::produce;
use crate::support::requests::set;
use crate::support::segments::segments;
use crate::support::wire;
use crate::support::znodes;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const HOUR: i64 = 3600;
const TEN_YEARS: i64 = 10 * 365 * 24 * HOUR;

/// How long a fetch waits for messages that don't come.
const LONG_POLL: Duration = Duration::from_secs(2);

/// The first look for old segments comes half a minute after the start.
const RETENTION: Duration = Duration::from_secs(60);

/// The topic of a partition that lacks a replica, and how an append is answered that waits for it in vain.
const LACKING: &str = "lacking";
const REQUEST_TIMED_OUT: i16 = 7;

/// Topics of which nothing goes.
const KEPT: [&str; 3] = ["kept", "future", "idle"];

/// Sets the broker's clock to so many seconds ahead of the real one.
fn set_clock(file: &Path, ahead: i64) {
    let new = file.with_extension("new");
    std::fs::write(&new, format!("{ahead:+}\n")).unwrap();
    std::fs::rename(new, file).unwrap();
}

fn first_segment(broker: &Broker, topic: &str) -> PathBuf {
    segments(&broker.data().join(format!("{topic}-0")))[0].clone()
}

/// Makes a topic's segment look as if it had been written so long before, or after, now.
#[expect(clippy::disallowed_methods, reason = "the times of files")]
fn written(broker: &Broker, topic: &str, ahead: i64) {
    let file = File::options()
        .write(true)
        .open(first_segment(broker, topic))
        .unwrap();
    let by = Duration::from_secs(ahead.unsigned_abs());
    let now = SystemTime::now();
    file.set_modified(if ahead < 0 { now - by } else { now + by })
        .unwrap();
}

fn is_emptied(broker: &Broker, topic: &str) -> bool {
    first_segment(broker, topic).file_stem().unwrap() != "00000000000000000000"
}

/// What was written longer ago than any setting of the clock can explain goes, now as ever.
fn old_goes(broker: &Broker, topic: &str) {
    written(broker, topic, -3 * HOUR);
    eventually("old segments are deleted", RETENTION, || {
        if is_emptied(broker, topic) {
            Ok(())
        } else {
            Err(format!("{topic} is still there"))
        }
    });
}

/// A fetch that waits for messages, a produce request that waits for a replica, and producers: they notice nothing.
fn waits_as_long_as_ever(broker: &Broker, load: &Load, set_clock: impl Fn(), ahead: i64) {
    let patient = LONG_POLL * 9 / 10..LONG_POLL * 3;
    let waits = |what: &str, ask: &dyn Fn()| {
        let began = Instant::now();
        ask();
        let took = began.elapsed();
        assert!(patient.contains(&took), "set {ahead:+} s, {what} took {took:?}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            waits("a fetch", &|| {
                let error = wire::fetch_waiting(broker.address(), "idle", 3, LONG_POLL);
                assert_eq!(error.unwrap(), 0);
            });
        });
        scope.spawn(|| {
            waits("a produce request", &|| {
                let sets = [(0, set(Codec::None, &["waits"]))];
                let answer = ask_one(broker, &produce(-1, LONG_POLL, LACKING, sets));
                assert_eq!(answer["error_code"], REQUEST_TIMED_OUT, "{answer}");
            });
        });
        load.get_more(100, "acknowledgements before the clock is set");
        set_clock();
        load.get_more(200, "acknowledgements after the clock was set");
    });
}

/// Makes the broker lead a partition of which a replica, which is not there, counts as in sync. The test takes the place of
/// the controller, so that nothing else is created from here on.
fn lead_without_a_replica(broker: &Broker) {
    const ABSENT: BrokerId = BrokerId(9);
    let me = Endpoint {
        id: BrokerId(0),
        host: "127.0.0.1".to_owned(),
        port: i32::from(broker.address().port()),
    };
    let state = PartitionState {
        controller_epoch: 1000,
        leader: Leader::Broker(me.id),
        leader_epoch: 1,
        isr: vec![me.id, ABSENT],
        zk_version: 1,
        replicas: vec![me.id, ABSENT],
    };
    let role = LeaderAndIsrRequest {
        controller_id: ABSENT,
        controller_epoch: state.controller_epoch,
        partitions: vec![(LACKING.to_owned(), 0, state)],
        live_leaders: vec![me],
    };
    let answer = ask(broker, &role);
    assert_eq!(answer["partitions"][0]["error_code"], 0, "{answer}");
}

/// Changed settings are taken over whatever the clock says, and the notification stays for those who have not heard it.
fn settings_change(broker: &Broker, number: usize) {
    let settings = format!(
        r#"{{"version":1,"config":{{"flush.messages":"{}"}}}}"#,
        1000 + number
    );
    let notification = format!("/config/changes/config_change_{:010}", 1000 + number);
    znodes::set(
        broker.connect(),
        &[
            ("/config/topics/kept", settings.as_bytes()),
            (&notification, br#""kept""#),
        ],
    );
    let wanted = format!(
        r#"kept: settings are now {{"flush.messages": "{}"}}"#,
        1000 + number
    );
    eventually("a changed setting is taken over", RETENTION, || {
        let output = broker.output();
        if output.contains(&wanted) {
            Ok(())
        } else {
            Err(output)
        }
    });
}

/// All of them are from the last few minutes.
#[track_caller]
fn notifications_are_kept(broker: &Broker, count: usize) {
    let tree = znodes::tree(broker.connect());
    let notifications = tree
        .iter()
        .filter(|node| node.path.starts_with("/config/changes/"));
    assert_eq!(notifications.count(), count, "none of them is old");
}

/// An hour is not over, whatever the clock says.
#[track_caller]
fn roll_seldom(broker: &Broker, ahead: i64) {
    for topic in topics() {
        let count = segments(&broker.data().join(format!("{topic}-0"))).len();
        assert!(count <= 2, "set {ahead:+} s: {topic} has {count} segments");
    }
}

#[test]
fn a_clock_that_is_set_deletes_nothing_and_neither_fires_nor_hangs_what_waits() {
    if !have(&[
        Need::Gregor,
        Need::Reference,
        Need::Python,
        Need::Kcat,
        Need::Faketime,
    ]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let setup = Setup::new(&chroot(&zookeeper, "clock"))
        .set("log.retention.check.interval.ms", "200")
        .set("offsets.retention.check.interval.ms", "200")
        .set("log.retention.minutes", "30")
        .set("log.roll.hours", "1")
        .set("replica.lag.time.max.ms", "3600000");
    let clock = setup.file().with_file_name("clock");
    set_clock(&clock, 0);
    let mut broker = setup.stopped();
    broker.run_with(&faketime::environment(&clock));
    broker.start_again();
    let jumps = [HOUR, 0, -HOUR, 0, TEN_YEARS, 0, -TEN_YEARS, HOUR];
    for topic in KEPT.into_iter().chain(topics()) {
        broker.create_topic(topic, 1, &[]);
    }
    for topic in KEPT {
        kcat_produce(&broker.bootstrap(), topic, "none", &numbered(topic, 3), false);
    }
    let old: Vec<_> = (0..=jumps.len()).map(|n| format!("old-{n}")).collect();
    for topic in &old {
        kcat_produce(&broker.bootstrap(), topic, "none", &numbered(topic, 3), false);
    }
    let mut python = Python::start(Release::Kafka20, &broker.bootstrap());
    python.commit("kafka", "group", "kept", 2);
    let registered = |broker: &Broker| znodes::node(broker.connect(), "/brokers/ids/0").unwrap().created;
    let before = registered(&broker);
    old_goes(&broker, old.last().unwrap());
    lead_without_a_replica(&broker);
    let mut book = Book::default();
    let load = Load::start(&broker, 1);

    for (jump, (ahead, old)) in jumps.into_iter().zip(&old).enumerate() {
        waits_as_long_as_ever(&broker, &load, || set_clock(&clock, ahead), ahead);
        // Written under this setting of the clock.
        written(&broker, "future", ahead);
        old_goes(&broker, old);
        for topic in KEPT.into_iter().chain(topics()) {
            assert!(
                !is_emptied(&broker, topic),
                "set {ahead:+} s: {topic} was emptied"
            );
        }
        settings_change(&broker, jump);
        roll_seldom(&broker, ahead);
        let committed = python.committed("kafka", "group", "kept");
        assert_eq!(committed, Some(2), "set {ahead:+} s");
        assert_eq!(registered(&broker), before, "the session was lost");
    }
    notifications_are_kept(&broker, jumps.len());
    book.close(load);
    book.check_all(&broker);
    let output = broker.output();
    for said in ["the clock was set forth by 3", "the clock was set back by 3"] {
        assert!(output.contains(said), "{said}: {output}");
    }
    assert!(!output.contains("positions expired"), "{output}");
    let stopping = Instant::now();
    assert!(broker.stop().success());
    assert!(stopping.elapsed() < Duration::from_secs(10));
}
