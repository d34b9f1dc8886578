//! Requests and the split of their times, per API.
//!
//! Recorded once a request is over: its answer written, or known that there is none. A fetch is recorded twice, as `Fetch`
//! and under who fetched, because that is how 0.8.2.2 counts.

use std::time::Duration;
use std::time::Instant;

use super::Timer;
use super::names;
use super::names::Metric;
use super::scrape::Scrape;

/// What a request is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the APIs")]
pub enum RequestKind {
    Produce,
    FetchConsumer,
    FetchFollower,
    Offsets,
    Metadata,
    LeaderAndIsr,
    StopReplica,
    UpdateMetadata,
    ControlledShutdown,
    OffsetCommit,
    OffsetFetch,
    ConsumerMetadata,
    JoinGroup,
    Heartbeat,
}

/// The moments of one request, in order.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    /// Its last byte was read.
    pub received: Instant,
    /// Its handler began.
    pub started: Instant,
    /// The handler returned: an answer, or a promise of one.
    pub handled: Instant,
    /// The answer was there.
    pub ready: Instant,
    /// Writing it began.
    pub writing: Instant,
    /// It was written.
    pub written: Instant,
}

impl Marks {
    fn phases(&self) -> [Duration; PHASES.len()] {
        [
            self.written.saturating_duration_since(self.received),
            self.started.saturating_duration_since(self.received),
            self.handled.saturating_duration_since(self.started),
            self.ready.saturating_duration_since(self.handled),
            self.writing.saturating_duration_since(self.ready),
            self.written.saturating_duration_since(self.writing),
        ]
    }
}

struct Phase {
    label: &'static str,
    quantiles: Metric,
    count: Metric,
}

/// In the order of [`Marks::phases`].
const PHASES: [Phase; 6] = [
    Phase {
        label: "total",
        quantiles: names::TOTAL_TIME,
        count: names::TOTAL_TIME_COUNT,
    },
    Phase {
        label: "request_queue",
        quantiles: names::QUEUE_TIME,
        count: names::QUEUE_TIME_COUNT,
    },
    Phase {
        label: "local",
        quantiles: names::LOCAL_TIME,
        count: names::LOCAL_TIME_COUNT,
    },
    Phase {
        label: "remote",
        quantiles: names::REMOTE_TIME,
        count: names::REMOTE_TIME_COUNT,
    },
    Phase {
        label: "response_queue",
        quantiles: names::RESPONSE_QUEUE_TIME,
        count: names::RESPONSE_QUEUE_TIME_COUNT,
    },
    Phase {
        label: "response_send",
        quantiles: names::RESPONSE_SEND_TIME,
        count: names::RESPONSE_SEND_TIME_COUNT,
    },
];

/// The times of one name.
#[derive(Debug)]
struct RequestMetrics {
    name: &'static str,
    phases: [Timer; PHASES.len()],
}

impl RequestMetrics {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            phases: std::array::from_fn(|_| Timer::new()),
        }
    }

    fn record(&self, phases: &[Duration; PHASES.len()]) {
        for (timer, took) in self.phases.iter().zip(phases) {
            timer.record(*took);
        }
    }

    fn turn(&self, now: Instant) {
        for timer in &self.phases {
            timer.turn(now);
        }
    }

    fn collect(&self, scrape: &mut Scrape) {
        let request = ("request", self.name);
        let count = self.phases.first().map_or(0, Timer::count);
        scrape.counter(names::REQUESTS, &[request], count);
        for (phase, timer) in PHASES.iter().zip(&self.phases) {
            // All phases are recorded together: one count holds for all, and a scrape in between shows no difference.
            scrape.counter(phase.count, &[request], count);
            scrape.quantiles(phase.quantiles, &[request], timer);
            if count > 0 {
                scrape.histogram(names::REQUEST_DURATION, &[request, ("phase", phase.label)], timer);
            }
        }
    }
}

/// The times of all APIs.
#[derive(Debug)]
pub struct RequestsMetrics {
    /// In the order of [`RequestKind`].
    kinds: [RequestMetrics; 14],
    fetches: RequestMetrics,
}

impl RequestsMetrics {
    pub(super) fn new() -> Self {
        let kinds = [
            "Produce",
            "FetchConsumer",
            "FetchFollower",
            "Offsets",
            "Metadata",
            "LeaderAndIsr",
            "StopReplica",
            "UpdateMetadata",
            "ControlledShutdown",
            "OffsetCommit",
            "OffsetFetch",
            "ConsumerMetadata",
            "JoinGroup",
            "Heartbeat",
        ];
        Self {
            kinds: kinds.map(RequestMetrics::new),
            fetches: RequestMetrics::new("Fetch"),
        }
    }

    /// Counts a request that is over.
    pub fn record(&self, kind: RequestKind, marks: &Marks) {
        let phases = marks.phases();
        if let Some(metrics) = self.kinds.get(kind as usize) {
            metrics.record(&phases);
        }
        if matches!(kind, RequestKind::FetchConsumer | RequestKind::FetchFollower) {
            self.fetches.record(&phases);
        }
    }

    pub(super) fn turn(&self, now: Instant) {
        for metrics in self.kinds.iter().chain([&self.fetches]) {
            metrics.turn(now);
        }
    }

    pub(super) fn collect(&self, scrape: &mut Scrape) {
        for metrics in self.kinds.iter().chain([&self.fetches]) {
            metrics.collect(scrape);
        }
    }
}
