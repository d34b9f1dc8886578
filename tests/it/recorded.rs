//! What the reference answered, case by case, is what this broker answers: the recorded requests are sent again, in the
//! recorded order, to a broker in the recorded state.

mod better;
mod cluster;
mod messages;
mod replay;

use std::fs::File;
use std::time::Duration;
use std::time::SystemTime;

use gregor::protocol::fetch::Reader;
use gregor::protocol::list_offsets::OffsetSpec;

use crate::recorded::better::BETTER;
use crate::recorded::better::LEFT_OUT;
use crate::recorded::replay::Case;
use crate::recorded::replay::Recording;
use crate::recorded::replay::position;
use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::broker::kind;
use crate::support::chroot;
use crate::support::connection::Connection;
use crate::support::connection::Received;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::requests::ask_one;
use crate::support::requests::offsets;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

/// A fetch that waits, and the produce request that ends its waiting.
const WAITING: &str = "fetch-released-by-produce";
const RELEASING: &str = "produce-that-releases-a-fetch";

/// Retention starts to look half a minute after the broker.
const RETENTION: Duration = Duration::from_secs(60);

/// A broker with 9 topics, all 13 APIs, each with its corners.
#[test]
fn one_broker_answers_as_recorded() {
    replayed("solo", &[], |broker, recording, case| match case.name.as_str() {
        "metadata-all" => eventually("retention has cut `trimmed`", RETENTION, || {
            let request = offsets(Reader::Consumer, "trimmed", 0, OffsetSpec::Earliest);
            let first = ask_one(broker, &request)["offsets"][0].clone();
            if first == 8 { Ok(()) } else { Err(first) }
        }),
        "metadata-auto-created-later" => broker.wait_for_topic("made-by-metadata", 2),
        "offsets-time-before-first" => touch_segments(broker, "rolled-0"),
        RELEASING => {}
        WAITING => release_a_fetch(broker, recording),
        _ => {}
    });
}

/// Frames that are cut short, too large, no requests at all.
#[test]
fn bad_frames_are_answered_as_recorded() {
    replayed("malformed", &LEFT_OUT, |_, _, _| {});
}

/// Orders of a controller, right and wrong ones, and what clients are answered after them.
#[test]
fn a_controllers_orders_are_answered_as_recorded() {
    replayed("controller", &[], |broker, _, case| {
        if case.name == "fetch-offset-v1-after-load" {
            const LOADING: i16 = 14;
            eventually("the positions of g1 are loaded", RETENTION, || {
                let code = position(broker, "g1")["error_code"].clone();
                if code == LOADING { Err(code) } else { Ok(()) }
            });
        }
    });
}

/// Replays a recording from its first to its last case, but for those that are left out, each with a reason. `before` does
/// what was done before a case.
#[expect(clippy::print_stdout, reason = "how much was compared is a result, too")]
fn replayed(name: &'static str, left_out: &[(&str, &str)], before: impl Fn(&Broker, &Recording, &Case)) {
    if !have(&[Need::Reference]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let recording = Recording::open(name);
    let broker = recording.broker(&chroot(&zookeeper, &format!("recorded-{name}")));
    recording.prepare(&broker);
    let mut differ = Vec::new();
    let mut compared = Vec::new();
    for case in &recording.cases {
        if left_out.iter().any(|(left_out, _)| *left_out == case.name) {
            continue;
        }
        before(&broker, &recording, case);
        // These two are compared by what is done before.
        if ![WAITING, RELEASING].contains(&case.name.as_str()) {
            differ.extend(
                case.replay(&broker)
                    .err()
                    .map(|how| format!("{}: {how}", case.name)),
            );
        }
        compared.push(case.name.as_str());
    }
    recording.has_no_more_than(&compared, left_out);
    let better = BETTER
        .iter()
        .filter(|better| kind() == Kind::Gregor && recording.has(better.case));
    println!(
        "{name}: {} of {} cases compared, {} differ",
        compared.len(),
        recording.cases.len(),
        differ.len()
    );
    for better in better {
        println!("{name}: {} differs on purpose: {}", better.case, better.why);
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// The fetch is sent first and waits; the append answers it.
fn release_a_fetch(broker: &Broker, recording: &Recording) {
    let (waiting, releasing) = (recording.case(WAITING), recording.case(RELEASING));
    let mut fetching = Connection::open(broker.address());
    fetching.send(&waiting.request(broker));
    assert_eq!(
        fetching.receive(Duration::from_millis(500)),
        Received::Nothing,
        "it waits"
    );
    releasing.replay(broker).unwrap();
    waiting.compare(broker, &mut fetching).unwrap();
}

/// Sets the modification times of a partition's segments to the recorded ones: one second after the other.
fn touch_segments(broker: &Broker, directory: &str) {
    const FIRST: u64 = 1_400_000_000;
    let entries = std::fs::read_dir(broker.data().join(directory)).unwrap();
    let mut logs: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    for (log, seconds) in logs.iter().zip(FIRST..) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        File::options()
            .write(true)
            .open(log)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
}
