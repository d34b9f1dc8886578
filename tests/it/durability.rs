//! Nothing acknowledged is lost by a stop or a crash in the middle of a load, and offsets have no gap.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::chroot;
use crate::support::clients::Python;
use crate::support::clients::Release;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::numbered::acknowledged;
use crate::support::numbered::text;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

/// How many messages must be acknowledged before the broker goes down.
const BEFORE: usize = 2_000;

/// Takes the broker down while producers with acks 1 and -1 send as fast as they can, and compares.
fn load_interrupted(test: &str, take_down: impl Fn(&mut Broker)) {
    if !have(&[Need::Reference, Need::Python]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, test);
    let mut broker = Broker::start(&connect);
    let bootstrap = broker.bootstrap();
    let senders = [
        ("acks-1", "1", Release::Kafka14),
        ("acks-all", "-1", Release::Kafka20),
    ];
    let mut acked: Vec<Vec<(usize, i64)>> = vec![Vec::new(); senders.len()];
    for (topic, _, _) in senders {
        broker.create_topic(topic, 1, &[]);
    }
    // The second round finds data that the first one left.
    for round in 1..=2 {
        let name = |topic: &str| format!("{topic} round {round}");
        let loads: Vec<_> = senders
            .map(|(topic, acks, release)| release.load(&bootstrap, topic, &name(topic), acks))
            .into();
        eventually(
            "both producers get acknowledgements",
            Duration::from_secs(30),
            || {
                let counts: Vec<usize> = loads
                    .iter()
                    .map(|load| acknowledged(&load.stdout()).len())
                    .collect();
                if counts.iter().all(|count| *count > BEFORE) {
                    Ok(())
                } else {
                    Err(format!("{counts:?}"))
                }
            },
        );
        take_down(&mut broker);
        for (load, acked) in loads.into_iter().zip(&mut acked) {
            load.signal(Signal::KILL);
            let output = load.wait(Duration::from_secs(5)).stdout;
            acked.extend(acknowledged(&output));
        }
        broker.start_again();
        for ((topic, _, release), acked) in senders.iter().zip(&mut acked) {
            let read = Python::start(*release, &bootstrap).consume(topic, 0, 0);
            let offsets: Vec<i64> = read.iter().map(|(offset, _)| *offset).collect();
            assert!(
                offsets.iter().copied().eq(0..i64::try_from(read.len()).unwrap()),
                "{topic}: a gap"
            );
            for (number, offset) in acked.drain(..) {
                let (_, record) = read.get(usize::try_from(offset).unwrap()).unwrap_or_else(|| {
                    panic!("{topic}: {number} was acknowledged at {offset}, is not there")
                });
                let expected = text(&name(topic), number);
                assert_eq!(
                    record.value.as_deref(),
                    Some(expected.as_bytes()),
                    "{topic} at {offset}"
                );
            }
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_a_clean_stop() {
    load_interrupted("clean-stop", |broker| {
        broker.stop();
    });
}

#[test]
fn nothing_acknowledged_is_lost_by_a_crash() {
    load_interrupted("crash", Broker::kill);
}
