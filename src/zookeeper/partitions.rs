//! `/brokers/topics/<topic>/partitions/<number>/state`: leader and in-sync replicas, with versions.
//!
//! Created once, by the controller; changed only at the version that the writer has seen.

use std::sync::Arc;

use zookeeper_client::Client;
use zookeeper_client::CreateMode;
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

/// A partition and the state it starts with.
pub type NewPartition = (TopicPartition, PartitionState);

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
        let path = paths::partition_state(partition);
        let data = state.encode();
        match self
            .write(&path, data.as_bytes(), Some(version), Retry::Safe)
            .await
        {
            Err(Error::Conflict { path }) => match self.readable_state(partition).await? {
                Some(found) if found.value == *state => Ok(found.version),
                _ => Err(Error::Conflict { path }),
            },
            result => result,
        }
    }

    /// Changes the states of many partitions, each at its version; results in their order.
    pub async fn set_partition_states(
        &self,
        partitions: &[(TopicPartition, Versioned<PartitionState>)],
    ) -> Vec<Result<i32, Error>> {
        let writes = partitions.iter().cloned().map(|(partition, state)| {
            let store = self.clone();
            async move {
                store
                    .set_partition_state(&partition, &state.value, state.version)
                    .await
            }
        });
        pipelined(writes).await
    }

    /// Changes the states of many partitions, each at its version; results in their order. Only the controller whose
    /// term began at this version of the epoch may: [`Error::Fenced`] for one that was replaced.
    pub async fn decide_partition_states(
        &self,
        partitions: &[(TopicPartition, Versioned<PartitionState>)],
        epoch_version: i32,
    ) -> Vec<Result<i32, Error>> {
        let writes = partitions.iter().cloned().map(|(partition, state)| {
            let store = self.clone();
            async move {
                store
                    .decide_partition_state(&partition, &state, epoch_version)
                    .await
            }
        });
        pipelined(writes).await
    }

    async fn decide_partition_state(
        &self,
        partition: &TopicPartition,
        state: &Versioned<PartitionState>,
        epoch_version: i32,
    ) -> Result<i32, Error> {
        let path = paths::partition_state(partition);
        let data = state.value.encode();
        let (path, data) = (path.as_str(), data.as_bytes());
        let transaction = |client: Arc<Client>| async move {
            let mut writer = client.new_check_writer(paths::CONTROLLER_EPOCH, Some(epoch_version))?;
            writer.add_set_data(path, data, Some(state.version))?;
            let results = writer.commit().await?;
            match results.as_slice() {
                [MultiWriteResult::SetData { stat }] => Ok(stat.version),
                _ => Err(zookeeper_client::Error::RuntimeInconsistent),
            }
        };
        match self.call(path, Retry::Safe, transaction).await {
            // The client's word for a check that did not hold.
            Err(Error::Refused {
                path,
                source: zookeeper_client::Error::RuntimeInconsistent,
            }) => Err(Error::Fenced { path }),
            Err(Error::Conflict { path }) => match self.readable_state(partition).await? {
                Some(found) if found.value == state.value => Ok(found.version),
                _ => Err(Error::Conflict { path }),
            },
            result => result,
        }
    }
}
