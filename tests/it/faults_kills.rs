//! `kill -9` in the middle of a produce load, again and again: everything acknowledged is there, and the reference reads
//! what is left.
//!
//! `GREGOR_KILLS` says how often; 3 by default. `GREGOR_CRASH_SEED` chooses other moments.

use std::time::Duration;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::eventually::within;
use crate::support::have;
use crate::support::load::Book;
use crate::support::load::Load;
use crate::support::load::topics;
use crate::support::report;
use crate::support::segments::read_by_reference;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const NEEDS: [Need; 4] = [Need::Gregor, Need::Reference, Need::Python, Need::Kcat];

/// How long a call may be waited for at which the broker dies.
const DEATH: Duration = Duration::from_secs(20);

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable)
        .ok()
        .map_or(default, |text| text.parse().expect("a number"))
}

/// A broker that rolls, flushes and writes checkpoints all the time.
fn busy(connect: &str) -> Setup {
    Setup::new(connect)
        .set("zookeeper.session.timeout.ms", "2500")
        .set("log.index.interval.bytes", "400")
        .set("log.index.size.max.bytes", "100000")
        .set("log.flush.offset.checkpoint.interval.ms", "100")
        .set("replica.high.watermark.checkpoint.interval.ms", "50")
}

fn create_topics(broker: &Broker) {
    for (topic, messages) in topics().into_iter().zip(["150", "1000000"]) {
        let settings = [("segment.bytes", "30000"), ("flush.messages", messages)];
        broker.create_topic(topic, 1, &settings);
    }
}

fn read_what_is_left(broker: &mut Broker) {
    assert!(broker.stop().success());
    let partitions = topics().map(|topic| broker.data().join(format!("{topic}-0")));
    read_by_reference(&partitions);
}

#[test]
fn nothing_acknowledged_is_lost_by_any_number_of_kills() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let mut broker = busy(&chroot(&zookeeper, "kills")).start();
    create_topics(&broker);
    let seed = u64::try_from(number("GREGOR_CRASH_SEED", 822)).unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut book = Book::default();
    let kills = number("GREGOR_KILLS", 3);
    for round in 1..=kills {
        let load = Load::start(&broker, round);
        load.get_more(random.usize(1..1000), "acknowledgements before the kill");
        broker.kill();
        book.close(load);
        broker.start_again();
        book.check(&broker);
    }
    book.check_all(&broker);
    read_what_is_left(&mut broker);
    report(&format!(
        "killed {kills} times; {} acknowledged messages are there",
        book.len()
    ));
}

/// Kills the whole broker at the n-th call of a kind that one of its threads makes; whether that came.
fn killed_at(broker: &mut Broker, book: &mut Book, (call, n): (&str, usize), round: usize) -> bool {
    // Half of them find a clean stop, half of them a crash.
    if round.is_multiple_of(2) {
        broker.stop();
    } else {
        broker.kill();
    }
    // The tracer is the broker's grandchild, so that the broker stays the child that is waited for.
    let (trace, inject) = (
        format!("-etrace={call}"),
        format!("-einject={call}:signal=KILL:when={n}"),
    );
    broker.run_under(&["strace", "-Df", "-o/dev/null", &trace, &inject]);
    let load = match broker.try_start_again() {
        Ok(()) => Some(Load::start(broker, round)),
        Err(_died) => None,
    };
    let died = load.is_none() || within(DEATH, || broker.exited()).is_some();
    if !died {
        // Its clean stop may be what brings the call.
        broker.signal(rustix::process::Signal::TERM);
        assert!(within(DEATH, || broker.exited()).is_some(), "it does not stop");
    }
    broker.forget();
    if let Some(load) = load {
        book.close(load);
    }
    broker.run_under(&[]);
    broker.start_again();
    book.check(broker);
    died
}

/// The same from the first call of the start to the last one of the stop, whatever the broker is doing then: fewer
/// points than the log's own test has, but all threads of the real process.
#[test]
fn nothing_acknowledged_is_lost_wherever_the_broker_is_killed() {
    if !have(&NEEDS) || !have(&[Need::Strace]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let mut broker = busy(&chroot(&zookeeper, "killed-anywhere")).start();
    create_topics(&broker);
    let points = [
        ("pwrite64", vec![1, 2, 5, 40, 300, 700]),
        ("ftruncate", vec![1, 2, 3, 4, 5, 6, 7, 8, 12, 20]),
        ("fsync", vec![1, 2, 3, 4, 5, 6, 8, 12, 20, 40, 80]),
        ("rename", vec![1, 2, 3, 5, 9, 20]),
        ("unlink", vec![1, 2, 3, 4, 5, 8, 12]),
        ("openat", vec![40, 60, 70, 80, 90, 120, 200, 400]),
    ];
    let all: Vec<_> = points
        .iter()
        .flat_map(|(call, numbers)| numbers.iter().map(move |n| (*call, *n)))
        .collect();
    let chosen = match number("GREGOR_KILLS", 3) {
        few @ ..50 => {
            let seed = u64::try_from(number("GREGOR_CRASH_SEED", 822)).unwrap();
            fastrand::Rng::with_seed(seed).choose_multiple(all.iter().copied(), few)
        }
        _ => all,
    };
    let mut book = Book::default();
    let mut died = 0;
    for (round, point) in chosen.iter().enumerate() {
        died += usize::from(killed_at(&mut broker, &mut book, *point, round));
    }
    book.check_all(&broker);
    read_what_is_left(&mut broker);
    report(&format!(
        "killed at {died} of {} points; {} acknowledged messages are there",
        chosen.len(),
        book.len()
    ));
    // As the log's own test: how often a thread makes a call is not the same each time.
    assert!(died * 10 >= chosen.len() * 9, "killed at {died} points only");
}
