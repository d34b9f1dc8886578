//! How often something happens, over the last minute.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

/// What the rate is taken over.
const WINDOW: Duration = Duration::from_secs(60);

/// Counts events. The rate is over the last whole window and the one that is filled now.
#[derive(Debug)]
pub(crate) struct FetchRate(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    /// When the present window began.
    since: Instant,
    now: u32,
    /// Events of the window before, if there was one.
    before: Option<u32>,
}

impl FetchRate {
    /// Nothing has happened yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Counts {
            since: now,
            now: 0,
            before: None,
        }))
    }

    /// It happened once more.
    pub(crate) fn count(&self, now: Instant) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.turn(now);
        counts.now = counts.now.saturating_add(1);
    }

    /// Events per second.
    pub(crate) fn per_second(&self, now: Instant) -> f64 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.turn(now);
        let mut time = now.saturating_duration_since(counts.since);
        let mut events = f64::from(counts.now);
        if let Some(before) = counts.before {
            time += WINDOW;
            events += f64::from(before);
        }
        events / time.as_secs_f64().max(1.0)
    }
}

impl Counts {
    fn turn(&mut self, now: Instant) {
        let time = now.saturating_duration_since(self.since);
        if time < WINDOW {
            return;
        }
        let just_ended = time < 2 * WINDOW;
        self.before = Some(if just_ended { self.now } else { 0 });
        self.since = if just_ended { self.since + WINDOW } else { now };
        self.now = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_forgets_what_was_long_ago() {
        let start = Instant::now();
        let rate = FetchRate::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..60 {
            rate.count(at(second));
            rate.count(at(second));
        }
        let about = |rate: f64, expected: f64| (rate - expected).abs() < 0.1;
        assert!(about(rate.per_second(at(59)), 2.0));
        assert!(about(rate.per_second(at(90)), 120.0 / 90.0));
        assert!(about(rate.per_second(at(300)), 0.0));
    }
}
