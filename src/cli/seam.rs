//! Stands in for the broker until it is merged.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::broker::config::BrokerConfig;
use crate::shutdown::Trigger;
use crate::types::BrokerId;
use crate::types::Endpoint;

#[derive(Debug)]
pub(super) struct Summary {
    pub(super) id: BrokerId,
    pub(super) advertised: Endpoint,
    pub(super) bound: SocketAddr,
    pub(super) zookeeper: String,
    pub(super) zookeeper_version: Option<String>,
    pub(super) session_timeout: Duration,
    pub(super) round_trip: Duration,
    pub(super) brokers: usize,
    pub(super) topics: usize,
    pub(super) controller: Option<BrokerId>,
    pub(super) directories: Vec<(PathBuf, u64)>,
    pub(super) partitions: usize,
    pub(super) opened_in: Duration,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) ready_in: Duration,
    pub(super) open_files: (u64, u64),
}

#[derive(Debug)]
pub(super) struct Broker(Summary);

#[derive(Debug, thiserror::Error)]
#[error("there is no broker in this build")]
pub(super) struct StartError;

impl StartError {
    pub(super) fn hint(&self) -> Option<String> {
        None
    }
}

impl Broker {
    pub(super) async fn start(_config: BrokerConfig, _trigger: &Trigger) -> Result<Self, StartError> {
        Err(StartError)
    }

    pub(super) fn summary(&self) -> &Summary {
        &self.0
    }

    pub(super) async fn stop(self) -> Result<(), StartError> {
        Ok(())
    }
}
