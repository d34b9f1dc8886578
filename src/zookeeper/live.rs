//! `/brokers/live/<topic>/<id>`: what each broker serves at the moment.
//!
//! Ephemeral nodes that only this implementation writes and reads. Their parents are persistent and go with the topic.

use std::collections::BTreeMap;

use zookeeper_client::CreateMode;

use crate::types::BrokerId;
use crate::zookeeper::Error;
use crate::zookeeper::LivePartition;
use crate::zookeeper::Retry;
use crate::zookeeper::Store;
use crate::zookeeper::paths;
use crate::zookeeper::records;

impl Store {
    /// Says what a broker does for the partitions of a topic, for as long as the session lasts.
    pub async fn set_live(
        &self,
        topic: &str,
        id: BrokerId,
        partitions: &BTreeMap<i32, LivePartition>,
    ) -> Result<(), Error> {
        let path = paths::live(topic, id);
        let data = records::encode_live(partitions);
        loop {
            let done = match self.read(&path).await? {
                None => {
                    self.create_with_parents(&path, data.as_bytes(), CreateMode::Ephemeral)
                        .await
                }
                Some(node) if node.owner == self.session_id() => self
                    .write(&path, data.as_bytes(), None, Retry::Safe)
                    .await
                    .map(|_| ()),
                // Left over from a session that has ended; whoever is registered under this id may remove it.
                Some(node) => match self.delete(&path, Some(node.version)).await {
                    Ok(()) | Err(Error::Conflict { .. }) => continue,
                    Err(error) => Err(error),
                },
            };
            match done {
                // Somebody was in between: look again.
                Err(Error::Exists { .. } | Error::NotFound { .. }) => {}
                done => return done,
            }
        }
    }

    /// What a broker says it does for a topic; `None` if it says nothing.
    pub async fn live(
        &self,
        topic: &str,
        id: BrokerId,
    ) -> Result<Option<BTreeMap<i32, LivePartition>>, Error> {
        let path = paths::live(topic, id);
        match self.read(&path).await? {
            Some(node) => records::parse_live(&path, &node.data),
            None => Ok(None),
        }
    }

    /// A broker no longer has anything of this topic. The last one takes the topic's node along.
    pub async fn remove_live(&self, topic: &str, id: BrokerId) -> Result<(), Error> {
        self.delete(&paths::live(topic, id), None).await?;
        match self.delete(&paths::live_topic(topic), None).await {
            Err(Error::NotEmpty { .. }) => Ok(()),
            result => result,
        }
    }
}
