//! Messages and bytes per topic, and of all topics together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use metrics::Counter;
use metrics::Recorder;
use metrics_exporter_prometheus::PrometheusRecorder;

use super::names;
use super::names::Metric;
use super::scrape;

/// The counters of one topic; counting there counts for all topics, too.
#[derive(Debug)]
pub struct TopicMetrics {
    topic: Counters,
    all: Arc<Counters>,
}

#[derive(Debug)]
struct Counters {
    messages_in: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    bytes_rejected: Counter,
    failed_produce: Counter,
    failed_fetch: Counter,
    total_produce: Counter,
    total_fetch: Counter,
}

impl Counters {
    fn new(recorder: &PrometheusRecorder, labels: &[(&'static str, &str)]) -> Self {
        let counter = |metric: Metric| {
            let counter = recorder.register_counter(&scrape::key(metric, labels), &scrape::METADATA);
            counter.increment(0); // Rates see the first increment only if there was a 0 before.
            counter
        };
        Self {
            messages_in: counter(names::MESSAGES_IN),
            bytes_in: counter(names::BYTES_IN),
            bytes_out: counter(names::BYTES_OUT),
            bytes_rejected: counter(names::BYTES_REJECTED),
            failed_produce: counter(names::FAILED_PRODUCE),
            failed_fetch: counter(names::FAILED_FETCH),
            total_produce: counter(names::TOTAL_PRODUCE),
            total_fetch: counter(names::TOTAL_FETCH),
        }
    }
}

impl TopicMetrics {
    /// A set of a producer was appended; `bytes` as it was received.
    pub fn appended(&self, messages: u64, bytes: u64) {
        self.count(|counters| &counters.messages_in, messages);
        self.count(|counters| &counters.bytes_in, bytes);
    }

    /// The log was read for a fetch.
    pub fn read(&self, bytes: u64) {
        self.count(|counters| &counters.bytes_out, bytes);
    }

    /// A set was refused because one of its messages is too large.
    pub fn rejected(&self, bytes: u64) {
        self.count(|counters| &counters.bytes_rejected, bytes);
    }

    /// A partition was named in a produce request.
    pub fn produce_requested(&self) {
        self.count(|counters| &counters.total_produce, 1);
    }

    /// A partition was named in a fetch request.
    pub fn fetch_requested(&self) {
        self.count(|counters| &counters.total_fetch, 1);
    }

    /// An append met an error other than: unknown or illegal topic, not the leader, too few replicas.
    pub fn produce_failed(&self) {
        self.count(|counters| &counters.failed_produce, 1);
    }

    /// A read met an error other than: unknown topic, not the leader.
    pub fn fetch_failed(&self) {
        self.count(|counters| &counters.failed_fetch, 1);
    }

    fn count(&self, which: impl Fn(&Counters) -> &Counter, by: u64) {
        which(&self.topic).increment(by);
        which(&self.all).increment(by);
    }
}

/// The counters of every topic.
#[derive(Debug)]
pub struct TopicsMetrics {
    recorder: Arc<PrometheusRecorder>,
    all: Arc<Counters>,
    topics: RwLock<HashMap<Arc<str>, Arc<TopicMetrics>>>,
}

impl TopicsMetrics {
    pub(super) fn new(recorder: Arc<PrometheusRecorder>) -> Self {
        let all = Arc::new(Counters::new(&recorder, &[]));
        Self {
            recorder,
            all,
            topics: RwLock::default(),
        }
    }

    /// The counters of this topic. To be resolved once, when a partition of it comes to this broker.
    pub fn topic(&self, topic: &str) -> Arc<TopicMetrics> {
        let known = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = known.get(topic) {
            return Arc::clone(metrics);
        }
        drop(known);
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let metrics = topics.entry(topic.into()).or_insert_with(|| {
            Arc::new(TopicMetrics {
                topic: Counters::new(&self.recorder, &[("topic", topic)]),
                all: Arc::clone(&self.all),
            })
        });
        Arc::clone(metrics)
    }
}
