//! Creating topics.

use std::collections::BTreeMap;

use crate::admin::assignment;
use crate::admin::assignment::Start;
use crate::types::is_legal_topic_name;
use crate::zookeeper;
use crate::zookeeper::Store;

/// Why a topic was not created.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not 1 to 255 characters of `[a-zA-Z0-9._-]`, or one of the two names that mean directories.
    #[error("topic name \"{0}\" is illegal: use 1 to 255 of a-z, A-Z, 0-9, '.', '_', '-'")]
    IllegalName(String),
    /// There is one of that name.
    #[error("topic \"{0}\" exists already")]
    Exists(String),
    /// Its replicas cannot be placed.
    #[error(transparent)]
    Assignment(#[from] assignment::Error),
    /// ZooKeeper could not be asked.
    #[error(transparent)]
    ZooKeeper(#[from] zookeeper::Error),
}

/// Creates a topic with its replicas spread over the registered brokers. Its leaders come from the controller, later.
pub async fn create(
    store: &Store,
    topic: &str,
    partitions: usize,
    replicas: usize,
    config: &BTreeMap<String, String>,
) -> Result<(), Error> {
    if !is_legal_topic_name(topic) {
        return Err(Error::IllegalName(topic.to_owned()));
    }
    let mut brokers: Vec<_> = store
        .brokers()
        .await?
        .into_iter()
        .map(|broker| broker.id)
        .collect();
    brokers.sort_unstable();
    let assignment = assignment::spread(&brokers, partitions, replicas, Start::random(brokers.len()))?;
    match store.create_topic(topic, &assignment, config).await {
        Err(zookeeper::Error::Exists { .. }) => Err(Error::Exists(topic.to_owned())),
        other => Ok(other?),
    }
}
