//! Durations, counted in log-linear buckets: eight per power of two microseconds, so a quantile is at most 12.5 % off.
//!
//! Why not the exporter's: its histograms keep every sample until somebody drains them, and its summaries cost a lock and
//! a logarithm each. Here a sample is one relaxed addition, memory is fixed, and buckets only ever grow: what happened in
//! the last one to two minutes is the difference to a copy that [`Timer::turn`] made, so nothing is lost when a window
//! ends while others record.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::time::Instant;

/// Buckets of a power of two: 2 to the power of this.
const SUB_BITS: u32 = 3;
const SUB_BUCKETS: u64 = 1 << SUB_BITS;
/// Longer times (71 minutes) are counted as this.
const MICROS_MAX: u64 = u32::MAX as u64;
const BUCKETS: usize = 240;
/// A window is at least this old before the next begins.
const WINDOW: Duration = Duration::from_secs(60);

/// Where a number of microseconds is counted.
fn bucket(micros: u64) -> usize {
    let micros = micros.min(MICROS_MAX);
    let index = if micros < SUB_BUCKETS {
        micros
    } else {
        let power = micros.ilog2() - SUB_BITS;
        (u64::from(power) << SUB_BITS) + (micros >> power)
    };
    usize::try_from(index).unwrap_or(BUCKETS - 1)
}

/// First number of microseconds beyond a bucket.
fn bucket_end(index: usize) -> u64 {
    let next = u64::try_from(index).unwrap_or(0) + 1;
    if next < SUB_BUCKETS {
        return next;
    }
    let power = (next >> SUB_BITS) - 1;
    (next - (power << SUB_BITS)) << power
}

/// Counts durations. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Timer(Arc<Inner>);

struct Inner {
    buckets: Box<[AtomicU64]>,
    micros: AtomicU64,
    windows: Mutex<Windows>,
}

/// What was counted when the last window ended, and the one before. Empty means nothing was.
struct Windows {
    turned: Instant,
    last: Box<[u64]>,
    before: Box<[u64]>,
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl Timer {
    /// One that has counted nothing.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            micros: AtomicU64::new(0),
            windows: Mutex::new(Windows {
                turned: Instant::now(),
                last: Box::default(),
                before: Box::default(),
            }),
        }))
    }

    /// Counts one.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.0.buckets.get(bucket(micros)) {
            count.fetch_add(1, Relaxed);
        }
        if micros > 0 {
            self.0.micros.fetch_add(micros.min(MICROS_MAX), Relaxed);
        }
    }

    /// How many were counted since the start.
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Their sum.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.0.micros.load(Relaxed))
    }

    /// How many were counted since the start that took no longer than each of `bounds`, which ascend.
    pub fn at_most(&self, bounds: &[Duration]) -> Vec<u64> {
        let counts = self.counts();
        let within = |bound: &Duration| {
            let bound = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
            let ended = |index: &usize| bucket_end(*index) <= bound.saturating_add(1);
            counts
                .iter()
                .enumerate()
                .filter(|(index, _)| ended(index))
                .map(|(_, count)| count)
                .sum()
        };
        bounds.iter().map(within).collect()
    }

    /// The times below which the given shares of the last one to two minutes' samples lie; zero without any.
    pub fn quantiles(&self, shares: &[f64]) -> Vec<Duration> {
        let mut counts = self.counts();
        let windows = self.0.windows.lock().unwrap_or_else(PoisonError::into_inner);
        for (count, before) in counts.iter_mut().zip(&*windows.before) {
            *count = count.saturating_sub(*before);
        }
        drop(windows);
        let all: u64 = counts.iter().sum();
        shares
            .iter()
            .map(|share| quantile(&counts, all, *share))
            .collect()
    }

    /// Begins the next window if this one is old enough. To be called about once a minute.
    pub fn turn(&self, now: Instant) {
        let mut windows = self.0.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(windows.turned) < WINDOW {
            return;
        }
        windows.turned = now;
        let counts = self.counts();
        let used = counts.iter().any(|count| *count > 0);
        let counts = if used {
            counts.into_boxed_slice()
        } else {
            Box::default()
        };
        windows.before = std::mem::replace(&mut windows.last, counts);
    }

    fn counts(&self) -> Vec<u64> {
        self.0.buckets.iter().map(|count| count.load(Relaxed)).collect()
    }
}

fn quantile(counts: &[u64], all: u64, share: f64) -> Duration {
    if all == 0 {
        return Duration::ZERO;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank between 0 and the number of samples"
    )]
    let rank = ((all as f64) * share).ceil() as u64;
    let mut below = 0;
    let reached = counts.iter().position(|count| {
        below += count;
        below >= rank.max(1)
    });
    Duration::from_micros(bucket_end(reached.unwrap_or(BUCKETS - 1)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        assert_eq!(bucket(MICROS_MAX), BUCKETS - 1);
        let mut next = 0;
        for index in 0..BUCKETS {
            assert_eq!(bucket(next), index);
            assert_eq!(bucket(bucket_end(index) - 1), index);
            next = bucket_end(index);
        }
        assert_eq!(next, MICROS_MAX + 1);
    }

    #[test]
    fn quantiles_are_close_to_the_samples() {
        let timer = Timer::new();
        for micros in 1..=10_000 {
            timer.record(Duration::from_micros(micros));
        }
        for (share, exact) in [(0.5, 5_000.0), (0.99, 9_900.0), (0.999, 9_990.0)] {
            let [found] = timer.quantiles(&[share])[..] else {
                panic!("one share, one quantile")
            };
            let error = (found.as_secs_f64() * 1e6 / exact - 1.0).abs();
            assert!(error < 0.125, "{share}: {found:?}");
        }
        assert_eq!(timer.count(), 10_000);
        assert_eq!(timer.sum(), Duration::from_micros(50_005_000));
        assert_eq!(
            timer.at_most(&[Duration::from_micros(7), Duration::from_secs(1)]),
            [7, 10_000]
        );
    }

    #[test]
    fn quantiles_forget_after_two_windows_and_counts_never_do() {
        let timer = Timer::new();
        let start = Instant::now();
        let worst = || timer.quantiles(&[0.999])[0];
        timer.record(Duration::from_secs(1));
        timer.turn(start + WINDOW / 2);
        timer.turn(start + WINDOW * 2);
        assert!(
            worst() >= Duration::from_secs(1),
            "one window later it still counts"
        );
        timer.record(Duration::from_millis(1));
        timer.turn(start + WINDOW * 3);
        assert!(
            (Duration::from_millis(1)..Duration::from_millis(2)).contains(&worst()),
            "{:?}",
            worst()
        );
        timer.turn(start + WINDOW * 4);
        assert_eq!(worst(), Duration::ZERO);
        assert_eq!(timer.count(), 2);
    }

    #[test]
    fn what_lasts_for_hours_is_counted_as_long() {
        let timer = Timer::new();
        timer.record(Duration::MAX);
        assert_eq!(timer.count(), 1);
        assert!(timer.quantiles(&[0.5])[0] > Duration::from_secs(4_000));
    }
}
