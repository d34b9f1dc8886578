//! Handles for what is counted where it happens: sockets, replicas, elections, the session.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use metrics::Counter;
use metrics::Recorder;
use metrics_exporter_prometheus::PrometheusRecorder;

use super::Timer;
use super::names;
use super::names::Metric;
use super::scrape;
use super::scrape::Scrape;

fn counter(recorder: &PrometheusRecorder, metric: Metric, labels: &[(&'static str, &str)]) -> Counter {
    let counter = recorder.register_counter(&scrape::key(metric, labels), &scrape::METADATA);
    counter.increment(0);
    counter
}

/// How many there are at this moment. Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Level(Arc<AtomicI64>);

/// One that is counted until this is dropped.
#[derive(Debug)]
pub struct LevelGuard(Level);

impl Level {
    /// Counts one more until the guard is dropped.
    pub fn enter(&self) -> LevelGuard {
        self.add(1);
        LevelGuard(self.clone())
    }

    /// Counts `more` more, or fewer if negative.
    pub fn add(&self, more: i64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// How many there are.
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

impl Drop for LevelGuard {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedBecause {
    /// The client closed it.
    Client,
    /// It was silent for too long.
    Idle,
    /// Its address has too many already.
    PerIpLimit,
    /// It sent what is not a request, or the socket or a file failed.
    Error,
    /// The answer demanded it, or the broker stops.
    Server,
    /// It was slow to send or to read while others waited for the memory that it held.
    Slow,
    /// The process had too few descriptors left for its files.
    OpenFiles,
}

/// Counts sockets and bytes.
#[derive(Debug, Clone)]
pub struct ConnectionMetrics {
    /// Open connections.
    pub open: Level,
    /// Connections whose answer is being written.
    pub writing: Level,
    /// Requests whose answer is not written yet.
    pub unanswered: Level,
    /// Requests that wait for memory.
    pub waiting_for_memory: Level,
    /// Connections accepted.
    pub accepted: Counter,
    /// Bytes that went from file to socket inside the kernel.
    pub sendfile_bytes: Counter,
    closed: [Counter; 7],
}

impl ConnectionMetrics {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        let reasons = [
            "client",
            "idle",
            "per_ip_limit",
            "error",
            "server",
            "slow",
            "open_files",
        ];
        Self {
            open: Level::default(),
            writing: Level::default(),
            unanswered: Level::default(),
            waiting_for_memory: Level::default(),
            accepted: counter(recorder, names::CONNECTIONS_OPENED, &[]),
            sendfile_bytes: counter(recorder, names::SENDFILE_BYTES, &[]),
            closed: reasons.map(|reason| counter(recorder, names::CONNECTIONS_CLOSED, &[("reason", reason)])),
        }
    }

    /// A connection ended.
    pub fn closed(&self, because: ClosedBecause) {
        if let Some(counter) = self.closed.get(because as usize) {
            counter.increment(1);
        }
    }

    pub(super) fn collect(&self, scrape: &mut Scrape) {
        scrape.gauge(names::CONNECTIONS, &[], self.open.value());
        scrape.gauge(names::RESPONSES_BEING_SENT, &[], self.writing.value());
        scrape.gauge(names::RESPONSE_QUEUE_SIZE, &[], self.unanswered.value());
        scrape.gauge(names::REQUEST_QUEUE_SIZE, &[], self.waiting_for_memory.value());
    }
}

/// Counts what happens to replicas, and who waits for them.
#[derive(Debug, Clone)]
pub struct ReplicationMetrics {
    /// In-sync sets that shrank.
    pub isr_shrinks: Counter,
    /// In-sync sets that grew.
    pub isr_expands: Counter,
    /// Partitions of produce requests not acknowledged in time.
    pub produce_expires: Counter,
    /// Long polls of consumers that ran out.
    pub consumer_fetch_expires: Counter,
    /// Long polls of followers that ran out.
    pub follower_fetch_expires: Counter,
    /// Produce requests that wait for acknowledgements.
    pub waiting_produces: Level,
    /// Fetch requests that wait for messages.
    pub waiting_fetches: Level,
    /// Fetches from leaders that were answered.
    pub fetcher_requests: Counter,
    /// Bytes of messages that leaders sent.
    pub fetcher_bytes: Counter,
    /// Fetches from leaders that were not answered, or not with what can be used.
    pub fetcher_failures: Counter,
}

impl ReplicationMetrics {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        let counter = |metric| counter(recorder, metric, &[]);
        Self {
            isr_shrinks: counter(names::ISR_SHRINKS),
            isr_expands: counter(names::ISR_EXPANDS),
            produce_expires: counter(names::PRODUCE_EXPIRES),
            consumer_fetch_expires: counter(names::CONSUMER_FETCH_EXPIRES),
            follower_fetch_expires: counter(names::FOLLOWER_FETCH_EXPIRES),
            fetcher_requests: counter(names::FETCHER_REQUESTS),
            fetcher_bytes: counter(names::FETCHER_BYTES),
            fetcher_failures: counter(names::FETCHER_FAILURES),
            waiting_produces: Level::default(),
            waiting_fetches: Level::default(),
        }
    }

    pub(super) fn collect(&self, scrape: &mut Scrape) {
        let (produces, fetches) = (self.waiting_produces.value(), self.waiting_fetches.value());
        scrape.gauge(names::PRODUCE_PURGATORY_SIZE, &[], produces);
        scrape.gauge(names::PRODUCE_DELAYED, &[], produces);
        scrape.gauge(names::FETCH_PURGATORY_SIZE, &[], fetches);
        scrape.gauge(names::FETCH_DELAYED, &[], fetches);
    }
}

/// Counts elections.
#[derive(Debug, Clone)]
pub struct ControllerMetrics {
    /// Leaders chosen outside the in-sync set.
    pub unclean_elections: Counter,
    /// Changes of the live brokers, and how long each took to handle.
    pub elections: Timer,
}

impl ControllerMetrics {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        let unclean_elections = counter(recorder, names::UNCLEAN_ELECTIONS, &[]);
        Self {
            unclean_elections,
            elections: Timer::new(),
        }
    }

    pub(super) fn collect(&self, scrape: &mut Scrape) {
        scrape.counter(names::ELECTION_TIME_COUNT, &[], self.elections.count());
        scrape.quantiles(names::ELECTION_TIME, &[], &self.elections);
        scrape.histogram(names::ELECTION_DURATION, &[], &self.elections);
    }
}

/// Counts what happens to the session.
#[derive(Debug, Clone)]
pub struct ZooKeeperMetrics {
    /// Connections lost.
    pub disconnects: Counter,
    /// Sessions expired.
    pub expires: Counter,
    /// Connections made.
    pub connects: Counter,
}

impl ZooKeeperMetrics {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        let counter = |metric| counter(recorder, metric, &[]);
        Self {
            disconnects: counter(names::ZOOKEEPER_DISCONNECTS),
            expires: counter(names::ZOOKEEPER_EXPIRES),
            connects: counter(names::ZOOKEEPER_CONNECTS),
        }
    }
}
