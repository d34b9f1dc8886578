//! Producers that number their messages and send as fast as they can, and the book of what was acknowledged to them.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;

use super::broker::Broker;
use super::clients::Release;
use super::clients::kcat_consume_from;
use super::eventually::eventually;
use super::numbered::acknowledged;
use super::numbered::text;
use super::process::Running;

/// Topic, acks, client.
const SENDERS: [(&str, &str, Release); 2] = [
    ("acks-1", "1", Release::Kafka14),
    ("acks-all", "-1", Release::Kafka20),
];

/// How long a producer may need to get so many acknowledgements.
const PATIENCE: Duration = Duration::from_secs(60);

/// The topics that are sent to.
pub(crate) fn topics() -> [&'static str; 2] {
    SENDERS.map(|(topic, _, _)| topic)
}

/// A producer with acks 1 and one with acks -1, each with a topic of its own.
#[derive(Debug)]
pub(crate) struct Load {
    round: usize,
    producers: Vec<Running>,
}

impl Load {
    /// Starts both; rounds tell their messages from those of earlier ones.
    pub(crate) fn start(broker: &Broker, round: usize) -> Self {
        let start = |(topic, acks, release): (&str, &str, Release)| {
            release.load(&broker.bootstrap(), topic, &name(topic, round), acks)
        };
        Self {
            round,
            producers: SENDERS.map(start).into(),
        }
    }

    /// How many acknowledgements each has got.
    pub(crate) fn counts(&self) -> Vec<usize> {
        self.producers
            .iter()
            .map(|producer| acknowledged(&producer.stdout()).len())
            .collect()
    }

    /// Waits until each has got so many more acknowledgements than it has now.
    #[track_caller]
    pub(crate) fn get_more(&self, count: usize, why: &str) {
        let before = self.counts();
        eventually(why, PATIENCE, || {
            let now = self.counts();
            if now
                .iter()
                .zip(&before)
                .all(|(now, before)| *now >= before + count)
            {
                Ok(())
            } else {
                Err(format!("{now:?} after {before:?}"))
            }
        });
    }
}

/// What was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// By topic and offset.
    acknowledged: BTreeMap<&'static str, BTreeMap<i64, String>>,
    /// Up to where each topic has been read.
    read: BTreeMap<&'static str, i64>,
}

impl Book {
    /// Ends the producers and notes what they were told.
    #[track_caller]
    pub(crate) fn close(&mut self, load: Load) -> usize {
        let mut count = 0;
        for ((topic, _, _), producer) in SENDERS.into_iter().zip(load.producers) {
            producer.signal(Signal::KILL);
            let output = producer.wait(Duration::from_secs(5)).stdout;
            let page = self.acknowledged.entry(topic).or_default();
            for (number, offset) in acknowledged(&output) {
                let message = text(&name(topic, load.round), number);
                let other = page.insert(offset, message.clone());
                assert!(
                    other.is_none(),
                    "{topic}: {other:?} and {message} were both given offset {offset}"
                );
                count += 1;
            }
        }
        count
    }

    /// Everything noted since the last time is there, offsets without a gap.
    #[track_caller]
    pub(crate) fn check(&mut self, broker: &Broker) {
        for (topic, page) in &self.acknowledged {
            let from = self.read.get(topic).copied().unwrap_or(0);
            let held = kcat_consume_from(&broker.bootstrap(), topic, from);
            let dense = held
                .iter()
                .map(|(offset, _)| *offset)
                .eq((from..).take(held.len()));
            assert!(dense, "{topic}: a gap after {from}");
            for (offset, message) in page.range(from..) {
                let at = usize::try_from(offset - from).unwrap();
                let (_, record) = held.get(at).unwrap_or_else(|| {
                    let end = from + i64::try_from(held.len()).unwrap();
                    panic!("{topic}: {message} was acknowledged at {offset}, the topic ends at {end}")
                });
                assert_eq!(
                    record.value.as_deref(),
                    Some(message.as_bytes()),
                    "{topic} at {offset}"
                );
            }
            self.read.insert(topic, from + i64::try_from(held.len()).unwrap());
        }
    }

    /// As [`Self::check`], for everything that was ever noted.
    #[track_caller]
    pub(crate) fn check_all(&mut self, broker: &Broker) {
        self.read.clear();
        self.check(broker);
    }

    /// How many messages it knows of.
    pub(crate) fn len(&self) -> usize {
        self.acknowledged.values().map(BTreeMap::len).sum()
    }
}

fn name(topic: &str, round: usize) -> String {
    format!("{topic} round {round}")
}
