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

/// A fetch that waits, and producers, notice nothing.
fn waits_as_long_as_ever(broker: &Broker, load: &Load, set: impl Fn(), ahead: i64) {
    let address = broker.address();
    let poll = std::thread::spawn(move || {
        let began = Instant::now();
        let polled = wire::fetch_waiting(address, "idle", 3, LONG_POLL);
        (polled, began.elapsed())
    });
    load.get_more(100, "acknowledgements before the clock is set");
    set();
    load.get_more(200, "acknowledgements after the clock was set");
    let (polled, took) = poll.join().unwrap();
    assert_eq!(polled.unwrap(), 0);
    let patient = LONG_POLL * 9 / 10..LONG_POLL * 3;
    assert!(patient.contains(&took), "set {ahead:+} s, a fetch took {took:?}");
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
        .set("log.roll.hours", "1");
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
    let mut book = Book::default();
    let load = Load::start(&broker, 1);

    for (ahead, old) in jumps.into_iter().zip(&old) {
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
        let committed = python.committed("kafka", "group", "kept");
        assert_eq!(committed, Some(2), "set {ahead:+} s");
        assert_eq!(registered(&broker), before, "the session was lost");
    }
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
