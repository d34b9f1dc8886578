//! How far each client has come, counted as its output grows.

use std::collections::BTreeMap;
use std::collections::HashMap;

use super::load::Place;
use super::load::acknowledged;
use super::load::consumed;
use crate::support::process::Running;

/// Messages by client and partition.
pub(super) type Counts = BTreeMap<(&'static str, Place), usize>;

/// What was counted so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    counts: Counts,
    acknowledged: Tail,
    consumed_by_python: Tail,
    consumed_by_java: Tail,
    /// Java's consumer doesn't say where a message comes from: as Python's has found out.
    places: HashMap<String, Place>,
    /// What only Java's has seen so far.
    unplaced: Vec<String>,
}

/// How far an output has been read.
#[derive(Debug, Default)]
struct Tail(usize);

impl Tail {
    /// The whole lines that have come since.
    fn more(&mut self, of: &Running) -> Vec<u8> {
        let mut new = of.stdout_from(self.0);
        let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        new.truncate(whole);
        self.0 += whole;
        new
    }
}

impl Progress {
    /// Counts what has come: Python's producer, its consumer, and Java's consumer.
    pub(super) fn look(&mut self, producer: &Running, python: &Running, java: &Running) -> &Counts {
        for (place, _, _) in acknowledged(&self.acknowledged.more(producer)) {
            self.count("acknowledged", place);
        }
        for (place, _, message) in consumed(&self.consumed_by_python.more(python)) {
            self.places.insert(message, place.clone());
            self.count("consumed by Python", place);
        }
        let more = self.consumed_by_java.more(java);
        let mut messages = std::mem::take(&mut self.unplaced);
        messages.extend(String::from_utf8_lossy(&more).lines().map(str::to_owned));
        for message in messages {
            match self.places.get(&message) {
                Some(place) => self.count("consumed by Java", place.clone()),
                None => self.unplaced.push(message),
            }
        }
        &self.counts
    }

    fn count(&mut self, client: &'static str, place: Place) {
        *self.counts.entry((client, place)).or_default() += 1;
    }
}
