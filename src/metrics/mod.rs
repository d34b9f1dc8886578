//! What this process tells Prometheus.
//!
//! [`Metrics`] is made once and cloned. Whoever counts is given a handle when it is built ([`TopicMetrics`], [`Level`],
//! [`Timer`], counters) and never looks up a name again. Whatever can be asked for its value registers a collector
//! instead, which runs at each scrape; a series that no collector names any more is gone with the next scrape.

mod handles;
mod histogram;
mod http;
mod idle;
pub mod names;
mod process;
mod requests;
mod scrape;
mod topics;

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use metrics_exporter_prometheus::PrometheusRecorder;

pub use handles::ClosedBecause;
pub use handles::ConnectionMetrics;
pub use handles::ControllerMetrics;
pub use handles::Level;
pub use handles::LevelGuard;
pub use handles::ReplicationMetrics;
pub use handles::ZooKeeperMetrics;
pub use histogram::Timer;
pub use http::Error;
pub use http::Server;
pub use names::Metric;
pub use requests::Marks;
pub use requests::RequestKind;
pub use requests::RequestsMetrics;
pub use scrape::Scrape;
pub use scrape::Value;
pub use topics::TopicMetrics;
pub use topics::TopicsMetrics;

/// The type of `/metrics`: Prometheus' text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// How often [`Metrics::tick`] wants to be called.
pub const TICK: Duration = Duration::from_secs(60);

type Collector = Box<dyn Fn(&mut Scrape) + Send + Sync>;

/// Every metric of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    recorder: Arc<PrometheusRecorder>,
    topics: TopicsMetrics,
    requests: Arc<RequestsMetrics>,
    connections: ConnectionMetrics,
    replication: ReplicationMetrics,
    controller: ControllerMetrics,
    zookeeper: ZooKeeperMetrics,
    log_flushes: Timer,
    idle: idle::Idle,
    collectors: Mutex<Vec<Collector>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics of their own: nothing is global, so tests do not meet each other.
    pub fn new() -> Self {
        let recorder = Arc::new(scrape::recorder());
        names::ALL
            .iter()
            .for_each(|metric| scrape::describe(&recorder, *metric));
        Self(Arc::new(Inner {
            topics: TopicsMetrics::new(Arc::clone(&recorder)),
            requests: Arc::new(RequestsMetrics::new()),
            connections: ConnectionMetrics::new(&recorder),
            replication: ReplicationMetrics::new(&recorder),
            controller: ControllerMetrics::new(&recorder),
            zookeeper: ZooKeeperMetrics::new(&recorder),
            log_flushes: Timer::new(),
            idle: idle::Idle::new(),
            collectors: Mutex::default(),
            recorder,
        }))
    }

    /// Messages and bytes by topic.
    pub fn topics(&self) -> &TopicsMetrics {
        &self.0.topics
    }

    /// Requests and their times by API.
    pub fn requests(&self) -> &Arc<RequestsMetrics> {
        &self.0.requests
    }

    /// Sockets.
    pub fn connections(&self) -> &ConnectionMetrics {
        &self.0.connections
    }

    /// Replicas, in-sync sets, and what waits for them.
    pub fn replication(&self) -> &ReplicationMetrics {
        &self.0.replication
    }

    /// Elections.
    pub fn controller(&self) -> &ControllerMetrics {
        &self.0.controller
    }

    /// The session.
    pub fn zookeeper(&self) -> &ZooKeeperMetrics {
        &self.0.zookeeper
    }

    /// Flushes of segments to disk, for who makes them.
    pub fn log_flushes(&self) -> &Timer {
        &self.0.log_flushes
    }

    /// Has `collect` asked for current values at every scrape, from now on. It may look at the disk.
    pub fn register_collector(&self, collect: impl Fn(&mut Scrape) + Send + Sync + 'static) {
        self.collectors().push(Box::new(collect));
    }

    /// Everything, in Prometheus' text format 0.0.4. Blocks: the collectors ask the system.
    pub fn render(&self) -> String {
        let mut scrape = Scrape::new();
        self.collect_own(&mut scrape);
        self.collectors().iter().for_each(|collect| collect(&mut scrape));
        let mut text = self.0.recorder.handle().render();
        scrape.finish(&mut text);
        text
    }

    /// Moves the windows of recent times on. [`Server`] calls it; needed only while somebody scrapes.
    pub fn tick(&self, now: Instant) {
        self.0.requests.turn(now);
        self.0.controller.elections.turn(now);
        self.0.log_flushes.turn(now);
        self.0.idle.turn(now);
        self.0.recorder.handle().run_upkeep();
    }

    fn collect_own(&self, scrape: &mut Scrape) {
        self.0.requests.collect(scrape);
        self.0.connections.collect(scrape);
        self.0.replication.collect(scrape);
        self.0.controller.collect(scrape);
        self.0.idle.collect(scrape);
        let flushes = &self.0.log_flushes;
        scrape.counter(names::LOG_FLUSH_TIME_COUNT, &[], flushes.count());
        scrape.quantiles(names::LOG_FLUSH_TIME, &[], flushes);
        scrape.histogram(names::LOG_FLUSH_DURATION, &[], flushes);
        let build = [("version", env!("CARGO_PKG_VERSION")), ("compat", "0.8.2.2")];
        scrape.gauge(names::BUILD_INFO, &build, 1);
        process::collect(scrape);
    }

    fn collectors(&self) -> std::sync::MutexGuard<'_, Vec<Collector>> {
        self.0.collectors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
