//! What there is to say about a broker that has just started.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::broker::foundation::Foundation;
use crate::broker::gauges;
use crate::types::BrokerId;
use crate::types::Endpoint;

/// What there is to say about a broker that has just started.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Its number.
    pub id: BrokerId,
    /// Where clients are told to find it.
    pub advertised: Endpoint,
    /// Where it listens.
    pub bound: SocketAddr,
    /// The ensemble, as configured.
    pub zookeeper: String,
    /// Release of the ensemble, unless it keeps that to itself.
    pub zookeeper_version: Option<String>,
    /// Timeout of the session.
    pub session_timeout: Duration,
    /// How long the ensemble took to answer.
    pub round_trip: Duration,
    /// Registered brokers, this one included.
    pub brokers: usize,
    /// Topics of the cluster.
    pub topics: usize,
    /// The controller, if there is one.
    pub controller: Option<BrokerId>,
    /// Data directories, and the bytes free in each.
    pub directories: Vec<(PathBuf, u64)>,
    /// Partitions found in them.
    pub partitions: usize,
    /// How long opening them took.
    pub opened_in: Duration,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// How many files may be open: before the start, and now.
    pub open_files: (u64, u64),
    /// How long the start took.
    pub ready_in: Duration,
}

impl Summary {
    /// What is known before the broker serves; the rest is filled in once it does.
    pub(crate) fn new(
        foundation: &Foundation,
        bound: SocketAddr,
        advertised: Endpoint,
        metrics: Option<SocketAddr>,
    ) -> Self {
        let free = |directory: &PathBuf| (directory.clone(), gauges::free_bytes(directory).unwrap_or(0));
        let directories = foundation.config.logs.directories.iter().map(free).collect();
        Self {
            id: foundation.config.id,
            advertised,
            bound,
            zookeeper: foundation.config.zookeeper.connect.clone(),
            zookeeper_version: None,
            session_timeout: foundation.store.session_timeout(),
            round_trip: Duration::ZERO,
            brokers: 1,
            topics: foundation.topics,
            controller: None,
            directories,
            partitions: foundation.logs.all().len(),
            opened_in: foundation.opened_in,
            metrics,
            open_files: foundation.open_files,
            ready_in: Duration::ZERO,
        }
    }
}
