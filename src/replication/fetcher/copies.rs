//! How far a fetcher is with each of its partitions, and which of them rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Order;

/// The first pause after a failure; each further one is twice as long.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// One partition as the fetcher sees it.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) order: Order,
    /// What the request under way asks for, if it asks for anything.
    pub(super) asked: Option<i64>,
    /// Bytes of it that it takes.
    pub(super) bytes_asked: usize,
    /// Bytes to ask for, if a message did not fit into the usual.
    pub(super) bytes_needed: usize,
    /// What could not be taken, unless the copy has got beyond it.
    pub(super) failure: Option<Failure>,
    /// Left out until then.
    pub(super) rests_until: Option<Instant>,
    pub(super) pause: Pause,
}

/// Messages that could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    /// Where they were asked for.
    pub(super) offset: i64,
    /// Bytes that the first of them claims to have, if they did not come.
    pub(super) bytes: usize,
}

/// The partitions of each topic.
pub(super) type Copies = BTreeMap<Arc<str>, BTreeMap<i32, Copied>>;

impl Copied {
    /// What is here may be another thing than what the leader has.
    pub(super) fn compare_again(&self) {
        self.order.partition.compare_again(self.order.since);
    }
}

/// How long to wait after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause(Duration);

impl Pause {
    pub(super) const NONE: Self = Self(Duration::ZERO);

    /// The next one, twice as long as the last.
    pub(super) fn next(&mut self) -> Duration {
        self.0 = (self.0 * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.0
    }
}

/// When the next partition stops resting.
pub(super) fn next_due(copies: &Copies) -> Option<Instant> {
    copies
        .values()
        .flat_map(BTreeMap::values)
        .filter_map(|copied| copied.rests_until)
        .min()
}
