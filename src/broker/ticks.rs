//! What is to be done every now and then: retention, flushes, checkpoints, expired offsets.
//!
//! Each runs in a task of its own and does its disk work on the blocking pool. A disk that fails stops the broker.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio::time::interval_at;

use crate::broker::config::BrokerConfig;
use crate::broker::offsets::Offsets;
use crate::log::Logs;
use crate::log::WallClock;
use crate::replication;
use crate::replication::Partitions;
use crate::shutdown::Shutdown;

/// The log's own ticks begin this long after the start, as in 0.8.2.2 (LogManager.InitialTaskDelayMs).
const FIRST: Duration = Duration::from_secs(30);

/// How often files of deleted segments are looked at whose time has come.
const DELETIONS: Duration = Duration::from_secs(1);

/// How often logs are looked at for flushing if no setting says so; a topic may have a setting of its own.
const FLUSHES: Duration = Duration::from_secs(1);

/// What the ticks work on.
#[derive(Debug, Clone)]
pub(crate) struct Ticked {
    pub(crate) logs: Arc<Logs>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) offsets: Arc<Offsets>,
    pub(crate) clock: Arc<WallClock>,
}

/// Starts all ticks.
pub(crate) fn start(tasks: &mut JoinSet<()>, config: &BrokerConfig, ticked: &Ticked, shutdown: &Shutdown) {
    let mut every = |first: Duration, period: Duration, work: Work| {
        tasks.spawn(on_disk(first, period, ticked.clone(), work, shutdown.clone()));
    };
    every(FIRST, config.logs.retention_check_interval, |on| {
        Ok(on.logs.apply_retention(&on.clock.read())?)
    });
    every(FIRST, config.logs.checkpoint_interval, |on| {
        Ok(on.logs.checkpoint_recovery_points()?)
    });
    let flushes = config.logs.flush_check_interval.unwrap_or(FLUSHES);
    every(flushes, flushes, |on| Ok(on.logs.flush_due(Instant::now())?));
    every(DELETIONS, DELETIONS, |on| {
        // Often, so that no setting of the clock is missed.
        on.clock.read();
        Ok(on.logs.delete_due_files(Instant::now())?)
    });
    let checkpoint = config.replication.checkpoint_interval;
    every(checkpoint, checkpoint, |on| {
        on.partitions.checkpoint_high_watermarks()
    });
    let expiry = config.offsets.retention_check_interval;
    tasks.spawn(expire_offsets(expiry, ticked.clone(), shutdown.clone()));
}

type Work = fn(&Ticked) -> Result<(), replication::Error>;

async fn on_disk(first: Duration, period: Duration, on: Ticked, work: Work, mut shutdown: Shutdown) {
    let mut ticks = interval_at(
        tokio::time::Instant::now() + first,
        period.max(Duration::from_millis(1)),
    );
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = ticks.tick() => {}
        }
        let on = on.clone();
        match tokio::task::spawn_blocking(move || work(&on)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!("{error}");
                shutdown.fail(error);
                return;
            }
            // The process is going down.
            Err(_) => return,
        }
    }
}

async fn expire_offsets(period: Duration, on: Ticked, mut shutdown: Shutdown) {
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = ticks.tick() => on.offsets.expire(&on.clock.read()).await,
        }
    }
}
