//! How old a segment is, for the rule that begins a new one after a while.

use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use crate::log::LogConfig;
use crate::log::lock;

/// Counted from when this process created, opened or emptied the segment, as in 0.8.2.2.
#[derive(Debug)]
pub(crate) struct Age(Mutex<Since>);

#[derive(Debug)]
struct Since {
    start: Instant,
    jitter: Duration,
}

impl Age {
    /// Begins now.
    pub(crate) fn new(config: &LogConfig) -> Self {
        Self(Mutex::new(Since::now(config)))
    }

    /// Begins again.
    pub(crate) fn restart(&self, config: &LogConfig) {
        *lock(&self.0) = Since::now(config);
    }

    /// Whether `segment.ms` have passed, less the jitter that keeps segments from all ending at once.
    pub(crate) fn is_over(&self, config: &LogConfig, now: Instant) -> bool {
        let since = lock(&self.0);
        now.saturating_duration_since(since.start) > config.segment_ms.saturating_sub(since.jitter)
    }
}

impl Since {
    fn now(config: &LogConfig) -> Self {
        let most = config.segment_jitter.min(config.segment_ms);
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        let jitter = if most == 0 { 0 } else { fastrand::u64(0..most) };
        Self {
            start: Instant::now(),
            jitter: Duration::from_millis(jitter),
        }
    }
}
