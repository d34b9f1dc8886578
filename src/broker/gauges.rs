//! What the metrics ask for at every scrape: partitions, logs, disks, the controller, the session.
//!
//! Series of partitions come from what is here at the moment, so they go when a partition goes.

mod cluster;
mod groups;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

use crate::broker::gauges::groups::Position;
use crate::broker::metadata_cache::MetadataCache;
use crate::broker::offsets::Key;
use crate::broker::offsets::Offsets;
use crate::controller::ControllerHandle;
use crate::log::Logs;
use crate::metrics::Metrics;
use crate::metrics::Scrape;
use crate::metrics::names;
use crate::replication::Partition;
use crate::replication::Partitions;
use crate::replication::RoleName;
use crate::shutdown::Shutdown;
use crate::types::BrokerId;
use crate::zookeeper::SessionId;
use crate::zookeeper::Sessions;
use crate::zookeeper::State;

/// The states that 0.8.2.2 knows, by their numbers there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BrokerState {
    /// Connecting, opening logs.
    Starting = 1,
    /// Registered and serving.
    Running = 3,
    /// Asked to stop; others take over what it leads.
    Leaving = 6,
    /// Stopping.
    Stopping = 7,
}

/// The state of this broker, for the readiness probe and the metrics.
#[derive(Debug, Clone)]
pub(crate) struct StateGauge(Arc<Known>);

/// What is known of the broker at every moment of its life.
#[derive(Debug)]
struct Known {
    state: AtomicU8,
    /// In which session it is registered, once there are sessions.
    registered: OnceLock<watch::Receiver<Option<SessionId>>>,
}

/// Running, and the controller besides.
const RUNNING_AS_CONTROLLER: u8 = 4;

impl StateGauge {
    /// Starting.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Known {
            state: AtomicU8::new(BrokerState::Starting as u8),
            registered: OnceLock::new(),
        }))
    }

    /// From now on it is known whether it is registered.
    pub(crate) fn watch(&self, registered: watch::Receiver<Option<SessionId>>) {
        // One broker registers in one place, so that nothing else can be watched already.
        let _ = self.0.registered.set(registered);
    }

    /// Enters a state.
    pub(crate) fn set(&self, state: BrokerState) {
        self.0.state.store(state as u8, Ordering::Relaxed);
    }

    fn number(&self) -> u8 {
        self.0.state.load(Ordering::Relaxed)
    }

    /// Whether clients are served, and find this broker; else why not.
    pub(crate) fn ready(&self) -> Result<(), String> {
        let registered = self.0.registered.get();
        match self.number() {
            running if running == BrokerState::Running as u8 => {
                if registered.is_some_and(|session| session.borrow().is_some()) {
                    Ok(())
                } else {
                    Err("not registered in ZooKeeper".into())
                }
            }
            stopping if stopping >= BrokerState::Leaving as u8 => Err("stopping".into()),
            _ => Err("starting".into()),
        }
    }
}

/// Where the gauges get their values from.
#[derive(Debug, Clone)]
pub(crate) struct Gauged {
    pub(crate) id: BrokerId,
    pub(crate) metadata: Arc<MetadataCache>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) offsets: Arc<Offsets>,
    pub(crate) controller: ControllerHandle,
    pub(crate) sessions: Sessions,
    pub(crate) state: StateGauge,
}

/// Has the metrics ask these from now on. Nothing of it is exported before.
pub(crate) fn register(metrics: &Metrics, gauged: Gauged) {
    metrics.register_collector(move |scrape| {
        let controller = gauged.controller.status().borrow().clone();
        let state = gauged.state.number();
        let running = state == BrokerState::Running as u8;
        let state = if running && controller.active {
            RUNNING_AS_CONTROLLER
        } else {
            state
        };
        scrape.gauge(names::BROKER_STATE, &[], i64::from(state));

        scrape.gauge(names::ACTIVE_CONTROLLER, &[], i64::from(controller.active));
        scrape.gauge(
            names::OFFLINE_PARTITIONS,
            &[],
            count(controller.offline_partitions),
        );
        scrape.gauge(
            names::PREFERRED_REPLICA_IMBALANCE,
            &[],
            count(controller.preferred_replica_imbalance),
        );
        scrape.gauge(
            names::REASSIGNING_PARTITIONS,
            &[],
            count(controller.reassigning_partitions),
        );
        scrape.gauge(names::GLOBAL_TOPIC_COUNT, &[], count(controller.topics));
        scrape.gauge(names::GLOBAL_PARTITION_COUNT, &[], count(controller.partitions));
        if controller.active {
            scrape.gauge(names::BROKERS, &[], count(controller.brokers));
        }

        let (offsets, groups) = gauged.offsets.counts();
        scrape.gauge(names::OFFSETS_CACHED, &[], count(offsets));
        scrape.gauge(names::OFFSET_GROUPS, &[], count(groups));
        groups::groups(scrape, &positions(&gauged));
        cluster::cluster(scrape, &gauged.metadata, gauged.id, controller.active);
        session(scrape, *gauged.sessions.subscribe().borrow());
        partitions(scrape, &gauged.partitions.all());
        scrape.gauge(
            names::FETCHER_MIN_FETCH_RATE,
            &[],
            gauged.partitions.min_fetch_rate(),
        );
        logs(scrape, &gauged.logs);
    });
}

/// What the groups have committed here, with the ends of the partitions that this broker leads.
fn positions(gauged: &Gauged) -> Vec<Position> {
    let with_end = |(key, offset): (Key, i64)| {
        let led = gauged.partitions.get(&key.topic, key.partition);
        let led = led.filter(|partition| partition.leads());
        Position {
            end: led.map(|partition| partition.high_watermark()),
            group: key.group,
            topic: key.topic,
            partition: key.partition,
            offset,
        }
    };
    gauged.offsets.positions().into_iter().map(with_end).collect()
}

fn session(scrape: &mut Scrape, state: State) {
    let states = [
        ("connected", matches!(state, State::Connected(_))),
        ("disconnected", matches!(state, State::Disconnected(_))),
        ("expired", state == State::Expired),
        ("closed", state == State::Closed),
    ];
    for (name, is) in states {
        scrape.gauge(names::ZOOKEEPER_SESSION_STATE, &[("state", name)], i64::from(is));
    }
}

fn partitions(scrape: &mut Scrape, partitions: &[Arc<Partition>]) {
    let (mut kept, mut led, mut under_replicated, mut under_min_isr) = (0, 0, 0, 0);
    let (mut max_lag, mut failed) = (0, 0);
    for partition in partitions {
        let Some((role, _)) = partition.role() else {
            continue;
        };
        kept += 1;
        let mut short = false;
        if role == RoleName::Leader {
            led += 1;
            let in_sync = partition.isr().map_or(0, |(isr, _)| isr.len());
            let required = partition.min_insync_replicas();
            short = in_sync < partition.replicas();
            under_replicated += i64::from(short);
            under_min_isr += i64::from(in_sync < required);
            leader(scrape, partition, in_sync, required);
        }
        let lag = partition.lag();
        max_lag = max_lag.max(lag.unwrap_or(0));
        failed += i64::from(partition.is_halted());
        labelled(partition, |labels| {
            scrape.gauge(names::UNDER_REPLICATED, labels, i64::from(short));
            if let Some(lag) = lag {
                scrape.gauge(names::FETCHER_CONSUMER_LAG, labels, lag);
            }
        });
    }
    scrape.gauge(names::FETCHER_MAX_LAG, &[], max_lag);
    scrape.gauge(names::FETCHER_FAILED_PARTITIONS, &[], failed);
    scrape.gauge(names::PARTITION_COUNT, &[], kept);
    scrape.gauge(names::LEADER_COUNT, &[], led);
    scrape.gauge(names::UNDER_REPLICATED_PARTITIONS, &[], under_replicated);
    scrape.gauge(names::UNDER_MIN_ISR_PARTITION_COUNT, &[], under_min_isr);
}

/// What the leader alone tells, so that a cluster tells it once.
fn leader(scrape: &mut Scrape, partition: &Partition, in_sync: usize, required: usize) {
    let Some(log) = partition.log() else { return };
    labelled(partition, |labels| {
        scrape.gauge(names::UNDER_MIN_ISR, labels, i64::from(in_sync < required));
        scrape.gauge(names::AT_MIN_ISR, labels, i64::from(in_sync == required));
        scrape.gauge(names::TOPIC_CURRENT_OFFSET, labels, partition.high_watermark());
        scrape.gauge(names::TOPIC_OLDEST_OFFSET, labels, log.log_start_offset());
        scrape.gauge(names::TOPIC_REPLICAS, labels, count(partition.replicas()));
        scrape.gauge(names::TOPIC_IN_SYNC, labels, count(in_sync));
        let short = in_sync < partition.replicas();
        scrape.gauge(names::TOPIC_UNDER_REPLICATED, labels, i64::from(short));
    });
}

fn labelled(partition: &Partition, gauge: impl FnOnce(&[(&'static str, &str)])) {
    let name = partition.topic_partition();
    let number = name.partition.to_string();
    gauge(&[("topic", &name.topic), ("partition", &number)]);
}

fn logs(scrape: &mut Scrape, logs: &Logs) {
    let directories = logs.directories();
    let mut sizes: BTreeMap<PathBuf, u64> = directories
        .iter()
        .map(|directory| (directory.clone(), 0))
        .collect();
    for log in logs.all() {
        let name = log.topic_partition();
        let number = name.partition.to_string();
        let labels: &[(&'static str, &str)] = &[("topic", &name.topic), ("partition", &number)];
        let size = log.size_bytes();
        scrape.gauge(names::LOG_SIZE, labels, bytes(size));
        scrape.gauge(names::LOG_START_OFFSET, labels, log.log_start_offset());
        scrape.gauge(names::LOG_END_OFFSET, labels, log.log_end_offset());
        scrape.gauge(names::LOG_SEGMENTS, labels, count(log.segment_count()));
        *sizes.entry(log.directory().to_path_buf()).or_default() += size;
    }
    for (directory, size) in sizes {
        let path = directory.to_string_lossy();
        let labels: &[(&'static str, &str)] = &[("directory", &path)];
        scrape.gauge(names::LOG_DIR_SIZE, labels, bytes(size));
        if let Some(free) = free_bytes(&directory) {
            scrape.gauge(names::LOG_DIR_FREE, labels, bytes(free));
        }
    }
}

/// Bytes that this process may still write on a directory's file system. None if it does not tell.
pub(crate) fn free_bytes(directory: &std::path::Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(directory).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Counts what happens to the ZooKeeper session.
pub(crate) async fn follow_session(metrics: Metrics, sessions: Sessions, mut shutdown: Shutdown) {
    let mut states = sessions.subscribe();
    let counters = metrics.zookeeper();
    loop {
        match *states.borrow_and_update() {
            State::Connected(_) => counters.connects.increment(1),
            State::Disconnected(_) => counters.disconnects.increment(1),
            State::Expired => counters.expires.increment(1),
            State::Closed => return,
        }
        tokio::select! {
            () = shutdown.requested() => return,
            changed = states.changed() => if changed.is_err() { return },
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn bytes(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
