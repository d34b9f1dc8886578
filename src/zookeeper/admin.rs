//! `/admin`: what operators ask the controller for. It reads each wish, and takes it away when it is fulfilled or refused.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use zookeeper_client::Client;
use zookeeper_client::CreateMode;

use crate::types::BrokerId;
use crate::types::TopicPartition;
use crate::zookeeper::Error;
use crate::zookeeper::Node;
use crate::zookeeper::Retry;
use crate::zookeeper::Store;
use crate::zookeeper::Watched;
use crate::zookeeper::paths;
use crate::zookeeper::pipeline::pipelined;
use crate::zookeeper::records::wishes;
use crate::zookeeper::transactions::in_transactions;

/// The replicas that partitions shall have, the preferred leader first.
pub type Reassignments = BTreeMap<TopicPartition, Vec<BrokerId>>;

/// How often a topic's nodes are listed again because somebody created one meanwhile.
const DELETE_ATTEMPTS: usize = 5;

impl Store {
    /// The replicas asked for.
    pub async fn reassignments(&self) -> Result<Reassignments, Error> {
        let path = paths::REASSIGNMENTS;
        parse_reassignments(path, self.read(path).await?)
    }

    /// Follows the replicas asked for.
    pub fn watch_reassignments(&self) -> Watched<Reassignments> {
        Watched::content(self, paths::REASSIGNMENTS.to_owned(), parse_reassignments)
    }

    /// Asks for other replicas. [`Error::Exists`] while others are still asked for.
    pub async fn request_reassignments(&self, wanted: &Reassignments) -> Result<(), Error> {
        let data = wishes::encode_reassignments(wanted);
        self.create_with_parents(paths::REASSIGNMENTS, data.as_bytes(), CreateMode::Persistent)
            .await
    }

    /// Takes wishes away that ask for exactly these replicas; the node goes with the last one.
    pub async fn remove_reassignments(&self, settled: &Reassignments) -> Result<(), Error> {
        let path = paths::REASSIGNMENTS;
        loop {
            let Some(node) = self.read(path).await? else {
                return Ok(());
            };
            let version = Some(node.version);
            let mut left = parse_reassignments(path, Some(node))?;
            left.retain(|partition, replicas| settled.get(partition) != Some(replicas));
            let done = if left.is_empty() {
                self.delete(path, version).await
            } else {
                let data = wishes::encode_reassignments(&left);
                let written = self.write(path, data.as_bytes(), version, Retry::Safe).await;
                written.map(|_| ())
            };
            match done {
                // Written by somebody else, or by ourselves before the connection broke.
                Err(Error::Conflict { .. } | Error::NotFound { .. }) => {}
                done => return done,
            }
        }
    }

    /// Follows for which partitions an election of the preferred leader is asked for; `None` while it is for none.
    pub fn watch_preferred_elections(&self) -> Watched<Option<BTreeSet<TopicPartition>>> {
        Watched::content(self, paths::PREFERRED_ELECTION.to_owned(), |path, node| {
            node.map_or(Ok(None), |node| {
                wishes::parse_preferred_elections(path, &node.data).map(Some)
            })
        })
    }

    /// Asks for preferred leaders. [`Error::Exists`] while an earlier wish is not fulfilled.
    pub async fn request_preferred_elections(
        &self,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<(), Error> {
        let data = wishes::encode_preferred_elections(partitions);
        self.create_with_parents(paths::PREFERRED_ELECTION, data.as_bytes(), CreateMode::Persistent)
            .await
    }

    /// Takes the wish for preferred leaders away.
    pub async fn remove_preferred_elections(&self) -> Result<(), Error> {
        self.delete(paths::PREFERRED_ELECTION, None).await
    }

    /// Topics that shall be deleted.
    pub async fn topic_deletions(&self) -> Result<BTreeSet<String>, Error> {
        Ok(self.children(paths::DELETE_TOPICS).await?.into_iter().collect())
    }

    /// Follows which topics shall be deleted.
    pub fn watch_topic_deletions(&self) -> Watched<BTreeSet<String>> {
        let collected = |names: Vec<String>| names.into_iter().collect();
        Watched::children(self, paths::DELETE_TOPICS.to_owned(), collected)
    }

    /// Asks for a topic to be deleted. [`Error::Exists`] if that was done already.
    pub async fn request_topic_deletion(&self, topic: &str) -> Result<(), Error> {
        self.create_with_parents(&paths::delete_topic(topic), b"", CreateMode::Persistent)
            .await
    }

    /// Takes the wish to delete a topic away.
    pub async fn remove_topic_deletion(&self, topic: &str) -> Result<(), Error> {
        self.delete(&paths::delete_topic(topic), None).await
    }

    /// Removes everything that is known about topics, and last of all the wishes to delete them: whoever finds those can go
    /// on where another one stopped.
    pub async fn delete_topics(&self, topics: &[&str]) -> Result<(), Error> {
        self.delete_all(topics.iter().map(|topic| paths::topic_config(topic)))
            .await?;
        self.delete_trees(topics.iter().map(|topic| paths::topic(topic)).collect())
            .await?;
        self.delete_all(topics.iter().map(|topic| paths::delete_topic(topic)))
            .await
    }

    async fn delete_all(&self, paths: impl Iterator<Item = String>) -> Result<(), Error> {
        let paths: Vec<String> = paths.collect();
        let together = |paths| {
            let store = self.clone();
            async move { store.delete_together(paths).await }
        };
        let alone = |path: String| {
            let store = self.clone();
            async move { store.delete(&path, None).await }
        };
        let results = in_transactions(&paths, together, alone).await;
        results.into_iter().collect()
    }

    /// All of them, or none if one is not there or has children.
    async fn delete_together(&self, paths: Vec<String>) -> Result<Vec<()>, Error> {
        let (name, paths) = (paths.first().cloned().unwrap_or_default(), &paths);
        let transaction = |client: Arc<Client>| async move {
            let mut writer = client.new_multi_writer();
            for path in paths {
                writer.add_delete(path, None)?;
            }
            writer.commit().await?;
            Ok(vec![(); paths.len()])
        };
        self.call(&name, Retry::Safe, transaction).await
    }

    async fn delete_trees(&self, roots: Vec<String>) -> Result<(), Error> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.try_delete_trees(roots.clone()).await {
                Err(Error::NotEmpty { .. }) if attempts < DELETE_ATTEMPTS => {}
                result => return result,
            }
        }
    }

    /// Level by level from the leaves up.
    async fn try_delete_trees(&self, roots: Vec<String>) -> Result<(), Error> {
        let mut levels = vec![roots];
        while let Some(nodes) = levels.last().filter(|nodes| !nodes.is_empty()) {
            let lists = nodes.iter().cloned().map(|path| {
                let store = self.clone();
                async move {
                    let children = store.children(&path).await?;
                    let full = |child| format!("{path}/{child}");
                    Ok(children.into_iter().map(full).collect::<Vec<_>>())
                }
            });
            let below: Result<Vec<_>, Error> = pipelined(lists).await.into_iter().collect();
            levels.push(below?.concat());
        }
        for nodes in levels.into_iter().rev() {
            self.delete_all(nodes.into_iter()).await?;
        }
        Ok(())
    }
}

fn parse_reassignments(path: &str, node: Option<Node>) -> Result<Reassignments, Error> {
    match node {
        Some(node) => wishes::parse_reassignments(path, &node.data),
        None => Ok(Reassignments::new()),
    }
}
