//! One answer to Prometheus while it is put together.
//!
//! Every scrape gets a recorder of its own for whatever is read at that moment, so a series ends with its owner: a
//! partition that left is not asked any more. (The exporter's own way, an idle timeout, detaches handles that are still
//! in use and needs scrapes in a rhythm.) Only what has to add up between scrapes lives in the lasting recorder.

use std::fmt::Write;
use std::time::Duration;

use metrics::Key;
use metrics::Label;
use metrics::Level;
use metrics::Metadata;
use metrics::Recorder;
use metrics_exporter_prometheus::PrometheusBuilder;
use metrics_exporter_prometheus::PrometheusRecorder;

use super::Timer;
use super::names::Kind;
use super::names::Metric;

/// The shares of samples whose times are exported, and their label, as the common exporter rules write them.
pub(super) const QUANTILES: [(f64, &str); 6] = [
    (0.5, "0.50"),
    (0.75, "0.75"),
    (0.95, "0.95"),
    (0.98, "0.98"),
    (0.99, "0.99"),
    (0.999, "0.999"),
];

/// Upper bounds of exported histograms, in microseconds, and their label in seconds.
const BOUNDS: [(u64, &str); 14] = [
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (10_000_000, "10"),
];

pub(super) const METADATA: Metadata<'static> = Metadata::new("gregor", Level::INFO, None);

/// Numbers that gauges take. Prometheus knows only `f64`; counts beyond 2^53 lose their last digits there.
pub trait Value {
    /// As Prometheus sees it.
    fn value(self) -> f64;
}

macro_rules! value {
    ($($number:ty),*) => {
        $(impl Value for $number {
            #[allow(clippy::cast_precision_loss, clippy::cast_lossless, reason = "see the trait; one macro for all")]
            fn value(self) -> f64 {
                self as f64
            }
        })*
    };
}
value!(f64, i32, u32, i64, u64, usize);

impl Value for bool {
    fn value(self) -> f64 {
        f64::from(u8::from(self))
    }
}

pub(super) fn key(metric: Metric, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<_> = labels
        .iter()
        .map(|(name, value)| Label::new(*name, String::from(*value)))
        .collect();
    Key::from_parts(metric.name, labels)
}

pub(super) fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

/// Describes a metric to a recorder, so that its help text is exported.
pub(super) fn describe(recorder: &PrometheusRecorder, metric: Metric) {
    match metric.kind {
        Kind::Counter => recorder.describe_counter(metric.name.into(), None, metric.help.into()),
        Kind::Gauge => recorder.describe_gauge(metric.name.into(), None, metric.help.into()),
        Kind::Histogram => {} // Written by hand, see `Scrape::histogram`.
    }
}

/// What collectors write the values of this moment into.
pub struct Scrape {
    recorder: PrometheusRecorder,
    /// Histograms, which the exporter cannot take ready-made: per metric, its lines.
    histograms: Vec<(Metric, String)>,
    /// Other finished lines.
    text: String,
}

impl std::fmt::Debug for Scrape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Scrape {
    pub(super) fn new() -> Self {
        let recorder = recorder();
        super::names::ALL
            .iter()
            .for_each(|metric| describe(&recorder, *metric));
        Self {
            recorder,
            histograms: Vec::new(),
            text: String::new(),
        }
    }

    /// The gauge of these labels has this value now.
    pub fn gauge(&mut self, metric: Metric, labels: &[(&'static str, &str)], value: impl Value) {
        self.recorder
            .register_gauge(&key(metric, labels), &METADATA)
            .set(value.value());
    }

    /// The counter of these labels stands at `value`. For counts that are kept elsewhere.
    pub fn counter(&mut self, metric: Metric, labels: &[(&'static str, &str)], value: u64) {
        self.recorder
            .register_counter(&key(metric, labels), &METADATA)
            .absolute(value);
    }

    /// The recent quantiles of a timer, in milliseconds.
    pub fn quantiles(&mut self, metric: Metric, labels: &[(&'static str, &str)], timer: &Timer) {
        let times = timer.quantiles(&QUANTILES.map(|(share, _)| share));
        for ((_, name), time) in QUANTILES.iter().zip(times) {
            let mut labels = labels.to_vec();
            labels.push(("quantile", name));
            self.gauge(metric, &labels, time.as_secs_f64() * 1e3);
        }
    }

    /// A timer as a histogram in seconds. Label values must need no escaping.
    pub fn histogram(&mut self, metric: Metric, labels: &[(&'static str, &str)], timer: &Timer) {
        let mut prefix = String::new();
        for (name, value) in labels {
            let _ = write!(prefix, "{name}=\"{value}\",");
        }
        let counts = timer.at_most(&BOUNDS.map(|(micros, _)| Duration::from_micros(micros)));
        let (sum, count) = (timer.sum().as_secs_f64(), timer.count());
        let lines = self.lines_of(metric);
        let name = metric.name;
        for ((_, bound), count) in BOUNDS.iter().zip(counts) {
            let _ = writeln!(lines, "{name}_bucket{{{prefix}le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(lines, "{name}_bucket{{{prefix}le=\"+Inf\"}} {count}");
        let labels = match prefix.strip_suffix(',') {
            Some(labels) => format!("{{{labels}}}"),
            None => String::new(),
        };
        let _ = writeln!(lines, "{name}_sum{labels} {sum}\n{name}_count{labels} {count}");
    }

    /// A counter with a fraction, which the exporter's whole-number counters cannot hold.
    pub(super) fn fractional_counter(&mut self, metric: Metric, value: f64) {
        let Metric { name, help, .. } = metric;
        let _ = writeln!(
            self.text,
            "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}\n"
        );
    }

    fn lines_of(&mut self, metric: Metric) -> &mut String {
        let at = self.histograms.iter().position(|(other, _)| *other == metric);
        let at = at.unwrap_or_else(|| {
            self.histograms.push((metric, String::new()));
            self.histograms.len() - 1
        });
        match self.histograms.get_mut(at) {
            Some((_, lines)) => lines,
            None => &mut self.text, // Not reached: `at` was just found or pushed.
        }
    }

    pub(super) fn finish(self, into: &mut String) {
        into.push_str(&self.recorder.handle().render());
        for (Metric { name, help, .. }, lines) in &self.histograms {
            let _ = writeln!(into, "# HELP {name} {help}\n# TYPE {name} histogram\n{lines}");
        }
        into.push_str(&self.text);
    }
}
