//! How idle the runtime's threads are: they serve sockets and handle requests, so one number stands for both pools of the
//! reference.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use tokio::runtime::Handle;

use super::names;
use super::scrape::Scrape;

/// When somebody looked, and how long all workers had been busy until then.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    busy: Duration,
}

/// Remembers two samples, so that the share covers the last one to two minutes.
#[derive(Debug)]
pub(super) struct Idle(Mutex<[Sample; 2]>);

impl Idle {
    pub(super) fn new() -> Self {
        let sample = Sample {
            at: Instant::now(),
            busy: busy().unwrap_or_default(),
        };
        Self(Mutex::new([sample; 2]))
    }

    pub(super) fn turn(&self, now: Instant) {
        if let Some(busy) = busy() {
            let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let [_, last] = *samples;
            *samples = [last, Sample { at: now, busy }];
        }
    }

    pub(super) fn collect(&self, scrape: &mut Scrape) {
        let Some(busy) = busy() else { return };
        let [before, _] = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = share(
            before,
            Sample {
                at: Instant::now(),
                busy,
            },
            workers(),
        );
        for metric in [
            names::NETWORK_IDLE,
            names::HANDLER_IDLE,
            names::NETWORK_IDLE_PLAIN,
            names::HANDLER_IDLE_PLAIN,
        ] {
            scrape.gauge(metric, &[], idle);
        }
    }
}

fn share(from: Sample, to: Sample, workers: u32) -> f64 {
    let all = to.at.saturating_duration_since(from.at).as_secs_f64() * f64::from(workers);
    let busy = to.busy.saturating_sub(from.busy).as_secs_f64();
    if all > 0.0 {
        (1.0 - busy / all).clamp(0.0, 1.0)
    } else {
        1.0
    }
}

fn workers() -> u32 {
    let workers = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
    u32::try_from(workers).unwrap_or(u32::MAX)
}

fn busy() -> Option<Duration> {
    let runtime = Handle::try_current().ok()?.metrics();
    Some(
        (0..runtime.num_workers())
            .map(|worker| runtime.worker_total_busy_duration(worker))
            .sum(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_what_the_workers_were_not_busy() {
        let at = Instant::now();
        let from = Sample {
            at,
            busy: Duration::from_secs(5),
        };
        let to = Sample {
            at: at + Duration::from_secs(10),
            busy: Duration::from_secs(10),
        };
        assert!((share(from, to, 2) - 0.75).abs() < 1e-9);
        assert!((share(from, from, 2) - 1.0).abs() < 1e-9);
    }
}
