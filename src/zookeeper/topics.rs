//! `/brokers/topics`, `/config/topics` and `/config/changes`: which topics there are, where their replicas belong, and
//! what is set for them.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use tracing::warn;
use zookeeper_client::CreateMode;

use crate::zookeeper::Assignment;
use crate::zookeeper::Error;
use crate::zookeeper::Node;
use crate::zookeeper::Retry;
use crate::zookeeper::Store;
use crate::zookeeper::Watched;
use crate::zookeeper::paths;
use crate::zookeeper::pipeline::pipelined;
use crate::zookeeper::records;

/// How old a notification gets; every broker has had its chance by then.
const CONFIG_CHANGE_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The settings of a topic have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// Position among all notifications.
    pub number: i64,
    /// The topic.
    pub topic: String,
}

/// Notifications in their order, each once.
#[derive(Debug)]
pub struct ConfigChanges {
    store: Store,
    names: Watched<Vec<String>>,
    /// Seen, but not yet handed out: number and name.
    pending: Vec<(i64, String)>,
    /// Highest number that was handed out.
    handled: i64,
}

impl ConfigChanges {
    /// What is pending, oldest first: at the first call everything that is there, later what has been added. May be
    /// empty, since notifications are also removed. Nothing is lost when the future is dropped before it completes.
    pub async fn next(&mut self) -> Result<Vec<ConfigChange>, Error> {
        if self.pending.is_empty() {
            self.pending = numbered(self.names.next().await?);
            self.pending.retain(|(number, _)| *number > self.handled);
        }
        let reads = self.pending.iter().cloned().map(|(number, name)| {
            let store = self.store.clone();
            async move { store.config_change(number, &name).await }
        });
        let mut changes = Vec::new();
        for change in pipelined(reads).await {
            match change {
                Ok(change) => changes.extend(change),
                Err(error @ Error::Corrupt { .. }) => warn!("skipping a notification: {error}"),
                Err(error) => return Err(error),
            }
        }
        // Only now: when this was dropped, or failed, the next call reads them again.
        if let Some((last, _)) = self.pending.last() {
            self.handled = *last;
        }
        self.pending.clear();
        Ok(changes)
    }
}

impl Store {
    /// Names of all topics, in order.
    pub async fn topics(&self) -> Result<Vec<String>, Error> {
        Ok(sorted(self.children(paths::TOPICS).await?))
    }

    /// Follows the names of all topics.
    pub fn watch_topics(&self) -> Watched<Vec<String>> {
        Watched::children(self, paths::TOPICS.to_owned(), sorted)
    }

    /// Where the replicas of a topic belong; `None` if there is no such topic.
    pub async fn assignment(&self, topic: &str) -> Result<Option<Assignment>, Error> {
        let path = paths::topic(topic);
        parse_assignment(&path, self.read(&path).await?)
    }

    /// Where the replicas of many topics belong, in the order of the topics.
    pub async fn assignments(&self, topics: &[String]) -> Vec<Result<Option<Assignment>, Error>> {
        let reads = topics.iter().cloned().map(|topic| {
            let store = self.clone();
            async move { store.assignment(&topic).await }
        });
        pipelined(reads).await
    }

    /// Follows where the replicas of a topic belong.
    pub fn watch_assignment(&self, topic: &str) -> Watched<Option<Assignment>> {
        Watched::content(self, paths::topic(topic), parse_assignment)
    }

    /// Creates a topic. [`Error::Exists`] if there is one of that name.
    ///
    /// As in 0.8.2.2 the settings are written first, and whatever was there before is overwritten: who sees the topic
    /// sees its settings.
    pub async fn create_topic(
        &self,
        topic: &str,
        assignment: &Assignment,
        config: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let path = paths::topic(topic);
        if self.exists(&path).await? {
            return Err(Error::Exists { path });
        }
        self.write_topic_config(topic, config).await?;
        let data = records::encode_assignment(assignment);
        match self
            .create_with_parents(&path, data.as_bytes(), CreateMode::Persistent)
            .await
        {
            // It was not there a moment ago: if it says just what we said, it is ours, and the first answer got lost.
            Err(Error::Exists { path }) => match self.read(&path).await? {
                Some(node) if node.version == 0 && node.data == data.as_bytes() => Ok(()),
                _ => Err(Error::Exists { path }),
            },
            result => result,
        }
    }

    /// Gives partitions of a topic other replicas, or adds partitions; what is not named stays as it is.
    /// [`Error::NotFound`] if there is no such topic.
    pub async fn change_assignment(&self, topic: &str, changes: &Assignment) -> Result<(), Error> {
        let path = paths::topic(topic);
        loop {
            let node = self.read(&path).await?;
            let Some(node) = node else {
                return Err(Error::NotFound { path });
            };
            let version = node.version;
            let before = records::parse_assignment(&path, &node.data)?.unwrap_or_default();
            let mut after = before.clone();
            after.extend(changes.clone());
            if after == before {
                return Ok(());
            }
            let data = records::encode_assignment(&after);
            match self
                .write(&path, data.as_bytes(), Some(version), Retry::Safe)
                .await
            {
                // By somebody else, or by ourselves before the connection broke.
                Err(Error::Conflict { .. }) => {}
                result => return result.map(|_| ()),
            }
        }
    }

    /// Changes the replicas of many topics, each as [`Self::change_assignment`] does; results in their order.
    pub async fn change_assignments(&self, topics: &BTreeMap<&str, Assignment>) -> Vec<Result<(), Error>> {
        let changes = topics.iter().map(|(topic, changes)| {
            let (store, topic, changes) = (self.clone(), (*topic).to_owned(), changes.clone());
            async move { store.change_assignment(&topic, &changes).await }
        });
        pipelined(changes).await
    }

    /// What is set for a topic; empty if nothing is.
    pub async fn topic_config(&self, topic: &str) -> Result<BTreeMap<String, String>, Error> {
        let path = paths::topic_config(topic);
        match self.read(&path).await? {
            Some(node) => records::parse_topic_config(&path, &node.data),
            None => Ok(BTreeMap::new()),
        }
    }

    /// What is set for many topics, in the order of the topics.
    pub async fn topic_configs(&self, topics: &[String]) -> Vec<Result<BTreeMap<String, String>, Error>> {
        let reads = topics.iter().cloned().map(|topic| {
            let store = self.clone();
            async move { store.topic_config(&topic).await }
        });
        pipelined(reads).await
    }

    /// Replaces what is set for a topic and tells every broker.
    pub async fn change_topic_config(
        &self,
        topic: &str,
        config: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        self.write_topic_config(topic, config).await?;
        let path = paths::config_change(paths::CONFIG_CHANGE_PREFIX);
        let data = records::encode_config_change(topic);
        // Sent again, the notification is there twice, which does no harm.
        self.create_with_parents(&path, data.as_bytes(), CreateMode::PersistentSequential)
            .await
    }

    /// Follows the notifications.
    pub fn watch_config_changes(&self) -> ConfigChanges {
        ConfigChanges {
            store: self.clone(),
            names: Watched::children(self, paths::CONFIG_CHANGES.to_owned(), |names| names),
            pending: Vec::new(),
            handled: -1,
        }
    }

    /// Removes the notifications that are older than a quarter of an hour.
    pub async fn purge_config_changes(&self, age_of: impl Fn(SystemTime) -> Duration) -> Result<(), Error> {
        for (_, name) in numbered(self.children(paths::CONFIG_CHANGES).await?) {
            let path = paths::config_change(&name);
            let path = path.as_str();
            let stat = self
                .call(path, Retry::Safe, |client| async move {
                    client.check_stat(path).await
                })
                .await?;
            let Some(stat) = stat else { continue };
            let created = Duration::from_millis(u64::try_from(stat.ctime).unwrap_or(0));
            if age_of(UNIX_EPOCH + created) < CONFIG_CHANGE_LIFETIME {
                break;
            }
            self.delete(path, None).await?;
        }
        Ok(())
    }

    async fn config_change(&self, number: i64, name: &str) -> Result<Option<ConfigChange>, Error> {
        let path = paths::config_change(name);
        let Some(node) = self.read(&path).await? else {
            return Ok(None);
        };
        let topic = records::parse_config_change(&path, &node.data)?;
        Ok(topic.map(|topic| ConfigChange { number, topic }))
    }

    async fn write_topic_config(&self, topic: &str, config: &BTreeMap<String, String>) -> Result<(), Error> {
        let data = records::encode_topic_config(config);
        self.overwrite(&paths::topic_config(topic), data.as_bytes()).await
    }
}

/// Notifications by number. ZooKeeper returns children in no order.
fn numbered(names: Vec<String>) -> Vec<(i64, String)> {
    let number = |name: &str| name.strip_prefix(paths::CONFIG_CHANGE_PREFIX)?.parse().ok();
    let mut numbered: Vec<(i64, String)> = names
        .into_iter()
        .filter_map(|name| Some((number(&name)?, name)))
        .collect();
    numbered.sort_unstable();
    numbered
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

fn parse_assignment(path: &str, node: Option<Node>) -> Result<Option<Assignment>, Error> {
    match node {
        Some(node) => records::parse_assignment(path, &node.data),
        None => Ok(None),
    }
}
