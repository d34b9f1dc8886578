//! `/brokers/topics/<topic>/partitions/<number>/state`: leader and in-sync replicas, with versions.
//!
//! Created once, by the controller; changed only at the version that the writer has seen.

use std::sync::Arc;

use zookeeper_client::Client;
use zookeeper_client::CreateMode;
use zookeeper_client::MultiWriteError;
use zookeeper_client::MultiWriteResult;

use crate::types::TopicPartition;
use crate::zookeeper::Error;
use crate::zookeeper::PartitionState;
use crate::zookeeper::Retry;
use crate::zookeeper::Store;
use crate::zookeeper::Versioned;
use crate::zookeeper::Watched;
use crate::zookeeper::paths;
use crate::zookeeper::pipeline::pipelined;
use crate::zookeeper::transactions::in_transactions;

/// A partition and the state it starts with.
pub type NewPartition = (TopicPartition, PartitionState);

/// A partition, the state it shall have, and the version of the one it has.
pub type ChangedPartition = (TopicPartition, Versioned<PartitionState>);

impl Store {
    /// The state of a partition; `None` if it has none yet.
    pub async fn partition_state(
        &self,
        partition: &TopicPartition,
    ) -> Result<Option<Versioned<PartitionState>>, Error> {
        let path = paths::partition_state(partition);
        let Some(node) = self.read(&path).await? else {
            return Ok(None);
        };
        let state = PartitionState::parse(&path, &node.data)?;
        Ok(state.map(|value| Versioned {
            value,
            version: node.version,
        }))
    }

    /// What is not to be understood was written by somebody else, and that is all that matters here.
    async fn readable_state(
        &self,
        partition: &TopicPartition,
    ) -> Result<Option<Versioned<PartitionState>>, Error> {
        match self.partition_state(partition).await {
            Err(Error::Corrupt { .. }) => Ok(None),
            result => result,
        }
    }

    /// The states of many partitions, in their order.
    pub async fn partition_states(
        &self,
        partitions: &[TopicPartition],
    ) -> Vec<Result<Option<Versioned<PartitionState>>, Error>> {
        let reads = partitions.iter().cloned().map(|partition| {
            let store = self.clone();
            async move { store.partition_state(&partition).await }
        });
        pipelined(reads).await
    }

    /// Follows the state of a partition.
    pub fn watch_partition_state(
        &self,
        partition: &TopicPartition,
    ) -> Watched<Option<Versioned<PartitionState>>> {
        Watched::content(self, paths::partition_state(partition), |path, node| {
            let Some(node) = node else { return Ok(None) };
            let state = PartitionState::parse(path, &node.data)?;
            Ok(state.map(|value| Versioned {
                value,
                version: node.version,
            }))
        })
    }

    /// Gives a partition its first state, at version 0. [`Error::Exists`] if it has another one, [`Error::NotFound`] if
    /// there is no such topic.
    pub async fn create_partition_state(
        &self,
        partition: &TopicPartition,
        state: &PartitionState,
    ) -> Result<(), Error> {
        let path = paths::partition_state(partition);
        let parent = paths::partition(partition);
        let data = state.encode();
        let options = CreateMode::Persistent.with_acls(self.acls(&path));
        let (path, parent, data, options) = (path.as_str(), parent.as_str(), data.as_bytes(), &options);
        // Both are on their way before the first answer is here; the first may be there already.
        let both = |client: Arc<Client>| async move {
            let parent = client.create(parent, b"", options);
            let state = client.create(path, data, options);
            let parent = parent.await;
            let state = state.await;
            match parent {
                Ok(_) | Err(zookeeper_client::Error::NodeExists) => state,
                Err(error) => Err(error),
            }
        };
        let created = match self.call(path, Retry::Safe, both).await {
            // The topic itself is never created here: it may have been deleted a moment ago.
            Err(Error::NotFound { .. }) => {
                let above = paths::partitions(&partition.topic);
                match self.create(&above, b"", CreateMode::Persistent).await {
                    Ok(()) | Err(Error::Exists { .. }) => {
                        self.call(path, Retry::Safe, both).await.map(|_| ())
                    }
                    Err(error) => Err(error),
                }
            }
            result => result.map(|_| ()),
        };
        match created {
            // The answer to a first attempt may have got lost.
            Err(Error::Exists { .. }) => match self.readable_state(partition).await? {
                Some(found) if found.version == 0 && found.value == *state => Ok(()),
                _ => Err(Error::Exists {
                    path: path.to_owned(),
                }),
            },
            created => created,
        }
    }

    /// Gives many partitions their first state; results in their order.
    pub async fn create_partition_states(&self, partitions: &[NewPartition]) -> Vec<Result<(), Error>> {
        let mut topics: Vec<&str> = partitions
            .iter()
            .map(|(partition, _)| partition.topic.as_ref())
            .collect();
        topics.dedup();
        let parents = topics.into_iter().map(|topic| {
            let (store, path) = (self.clone(), paths::partitions(topic));
            async move { store.create(&path, b"", CreateMode::Persistent).await }
        });
        // Whether this works shows when the partitions are created; it only spares each of them a failed attempt.
        pipelined(parents).await;
        let creates = partitions.iter().cloned().map(|(partition, state)| {
            let store = self.clone();
            async move { store.create_partition_state(&partition, &state).await }
        });
        pipelined(creates).await
    }

    /// Changes the state of a partition if it still has the given version; returns the new one.
    ///
    /// If the version has moved, but to exactly what was to be written, then our own write came through and its answer
    /// got lost: that is a success. Otherwise it is [`Error::Conflict`]. The in-sync replicas are compared in order.
    pub async fn set_partition_state(
        &self,
        partition: &TopicPartition,
        state: &PartitionState,
        version: i32,
    ) -> Result<i32, Error> {
        let state = Versioned {
            value: state.clone(),
            version,
        };
        self.set_alone((partition.clone(), state), None).await
    }

    /// Changes the states of many partitions, each at its version; results in their order.
    pub async fn set_partition_states(&self, partitions: &[ChangedPartition]) -> Vec<Result<i32, Error>> {
        self.set_all(partitions, None).await
    }

    /// Changes the states of many partitions, each at its version; results in their order. Only the controller whose
    /// term began at this version of the epoch may: [`Error::Fenced`] for one that was replaced.
    pub async fn decide_partition_states(
        &self,
        partitions: &[ChangedPartition],
        epoch_version: i32,
    ) -> Vec<Result<i32, Error>> {
        self.set_all(partitions, Some(epoch_version)).await
    }

    async fn set_all(&self, partitions: &[ChangedPartition], term: Option<i32>) -> Vec<Result<i32, Error>> {
        let together = |partitions: Vec<ChangedPartition>| {
            let store = self.clone();
            async move { store.set_together(&partitions, term).await }
        };
        let alone = |partition: ChangedPartition| {
            let store = self.clone();
            async move { store.set_alone(partition, term).await }
        };
        in_transactions(partitions, together, alone).await
    }

    async fn set_alone(&self, changed: ChangedPartition, term: Option<i32>) -> Result<i32, Error> {
        match self.set_together(std::slice::from_ref(&changed), term).await {
            Err(Error::Conflict { path }) => {
                let (partition, wanted) = changed;
                match self.readable_state(&partition).await? {
                    Some(found) if found.value == wanted.value => Ok(found.version),
                    _ => Err(Error::Conflict { path }),
                }
            }
            versions => Ok(versions?.into_iter().next().unwrap_or_default()),
        }
    }

    /// Changes the states of all of them, or of none. `term` is the version of the controller's epoch that must be the
    /// present one.
    async fn set_together(
        &self,
        partitions: &[ChangedPartition],
        term: Option<i32>,
    ) -> Result<Vec<i32>, Error> {
        let writes: Vec<(String, String, i32)> = partitions
            .iter()
            .map(|(partition, state)| {
                let path = paths::partition_state(partition);
                (path, state.value.encode(), state.version)
            })
            .collect();
        let writes = &writes;
        let transaction = |client: Arc<Client>| async move {
            let mut writer = client.new_multi_writer();
            if let Some(version) = term {
                writer.add_check_version(paths::CONTROLLER_EPOCH, version)?;
            }
            for (path, data, version) in writes {
                writer.add_set_data(path, data.as_bytes(), Some(*version))?;
            }
            match writer.commit().await {
                Ok(results) => versions(results, writes.len()),
                Err(MultiWriteError::OperationFailed {
                    index: 0,
                    source: zookeeper_client::Error::BadVersion | zookeeper_client::Error::NoNode,
                }) if term.is_some() => Err(REPLACED),
                Err(error) => Err(error.into()),
            }
        };
        let first = writes.first().map_or(paths::ROOT, |(path, ..)| path);
        match self.call(first, Retry::Safe, transaction).await {
            Err(Error::Refused { path, source }) if source == REPLACED => Err(Error::Fenced { path }),
            result => result,
        }
    }
}

/// Stands for a check of the epoch that failed, until it becomes an error of ours; no server sends it for a write.
const REPLACED: zookeeper_client::Error = zookeeper_client::Error::RuntimeInconsistent;

/// The new versions, as many as nodes were written.
fn versions(results: Vec<MultiWriteResult>, count: usize) -> Result<Vec<i32>, zookeeper_client::Error> {
    let versions: Vec<i32> = results
        .into_iter()
        .filter_map(|result| match result {
            MultiWriteResult::SetData { stat } => Some(stat.version),
            _ => None,
        })
        .collect();
    if versions.len() == count {
        Ok(versions)
    } else {
        let problem = format!("{} of {count} writes were answered", versions.len());
        Err(zookeeper_client::Error::UnexpectedError(problem))
    }
}
