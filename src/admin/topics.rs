//! Creating, describing, changing and deleting topics. The words of its errors are those of 0.8.2.2, which scripts read.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::admin::assignment;
use crate::admin::assignment::Start;
use crate::admin::filter::TopicFilter;
use crate::log::LogConfig;
use crate::types::BrokerId;
use crate::types::OFFSETS_TOPIC;
use crate::types::TopicPartition;
use crate::types::is_legal_topic_name;
use crate::zookeeper;
use crate::zookeeper::Assignment;
use crate::zookeeper::PartitionState;
use crate::zookeeper::Store;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not 1 to 255 characters of `[a-zA-Z0-9._-]`, or one of the two names that mean directories.
    #[error("{}", illegal(.0))]
    IllegalName(String),
    /// There is one of that name.
    #[error("Topic \"{0}\" already exists.")]
    Exists(String),
    /// There is none of that name.
    #[error("The topic {0} does not exist")]
    Missing(String),
    /// Its replicas cannot be placed.
    #[error(transparent)]
    Assignment(#[from] assignment::Error),
    /// Partitions don't go away.
    #[error("The number of partitions for a topic can only be increased")]
    FewerPartitions,
    /// Groups are hashed over its partitions.
    #[error("The number of partitions for the offsets topic cannot be changed.")]
    OffsetsTopic,
    /// No topic has such a setting.
    #[error("requirement failed: Unknown configuration \"{0}\".")]
    UnknownConfig(String),
    /// A setting has no such value.
    #[error("{0}")]
    BadConfig(String),
    /// ZooKeeper could not be asked.
    #[error(transparent)]
    ZooKeeper(#[from] zookeeper::Error),
}

/// What there is to know about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its name.
    pub topic: String,
    /// What is set for it.
    pub config: BTreeMap<String, String>,
    /// Where its replicas belong.
    pub assignment: Assignment,
    /// Who leads each partition, and who keeps up; nothing for one that never had a leader.
    pub states: BTreeMap<i32, PartitionState>,
}

/// Creates a topic with its replicas spread over the registered brokers. Its leaders come from the controller, later.
pub async fn create(
    store: &Store,
    topic: &str,
    partitions: usize,
    replicas: usize,
    config: &BTreeMap<String, String>,
) -> Result<(), Error> {
    check_name(topic)?;
    let brokers = brokers(store).await?;
    let assignment = assignment::spread(&brokers, partitions, replicas, Start::random(brokers.len()))?;
    create_assigned(store, topic, &assignment, config).await
}

/// Creates a topic with these replicas, whether their brokers are there or not.
pub async fn create_assigned(
    store: &Store,
    topic: &str,
    assignment: &Assignment,
    config: &BTreeMap<String, String>,
) -> Result<(), Error> {
    check_name(topic)?;
    check_config(config)?;
    match store.create_topic(topic, assignment, config).await {
        Err(zookeeper::Error::Exists { .. }) => Err(Error::Exists(topic.to_owned())),
        other => Ok(other?),
    }
}

/// Names of the topics that a filter means, in order.
pub async fn list(store: &Store, filter: &TopicFilter) -> Result<Vec<String>, Error> {
    let mut topics = store.topics().await?;
    topics.retain(|topic| filter.includes(topic));
    Ok(topics)
}

/// Topics that shall be deleted and are still there.
pub async fn doomed(store: &Store) -> Result<BTreeSet<String>, Error> {
    Ok(store.topic_deletions().await?)
}

/// Ids of the brokers that are registered, in order.
pub async fn brokers(store: &Store) -> Result<Vec<BrokerId>, Error> {
    let brokers = store.brokers().await?;
    let mut ids: Vec<_> = brokers.into_iter().map(|broker| broker.id).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// What there is to know about these topics. One that is gone by now is left out.
pub async fn describe(store: &Store, topics: &[String]) -> Result<Vec<Description>, Error> {
    let assignments = store.assignments(topics).await;
    let configs = store.topic_configs(topics).await;
    let mut descriptions = Vec::new();
    for ((topic, assignment), config) in topics.iter().zip(assignments).zip(configs) {
        let Some(assignment) = assignment? else { continue };
        let partitions: Vec<_> = assignment
            .keys()
            .map(|partition| TopicPartition::new(topic.as_str(), *partition))
            .collect();
        let mut states = BTreeMap::new();
        for (partition, state) in partitions.iter().zip(store.partition_states(&partitions).await) {
            states.extend(state?.map(|state| (partition.partition, state.value)));
        }
        descriptions.push(Description {
            topic: topic.clone(),
            config: config?,
            assignment,
            states,
        });
    }
    Ok(descriptions)
}

/// Sets and unsets some of a topic's settings, and tells every broker.
pub async fn change_config(
    store: &Store,
    topic: &str,
    set: &BTreeMap<String, String>,
    unset: &[String],
) -> Result<(), Error> {
    check_config(set)?;
    for name in unset {
        if !is_setting(name) {
            return Err(Error::UnknownConfig(name.clone()));
        }
    }
    let mut config = store.topic_config(topic).await?;
    config.extend(set.clone());
    config.retain(|name, _| !unset.contains(name));
    Ok(store.change_topic_config(topic, &config).await?)
}

/// Adds partitions up to this number, spread like those that are there.
pub async fn add_partitions(store: &Store, topic: &str, count: usize) -> Result<(), Error> {
    let missing = || Error::Missing(topic.to_owned());
    let assignment = store.assignment(topic).await?.ok_or_else(missing)?;
    let (_, first) = assignment.first_key_value().ok_or_else(missing)?;
    let added = count
        .checked_sub(assignment.len())
        .filter(|added| *added > 0)
        .ok_or(Error::FewerPartitions)?;
    let brokers = brokers(store).await?;
    // As 0.8.2.2 does, which takes the number of a broker for its place (AdminUtils.addPartitions).
    let start = first.first().and_then(|id| usize::try_from(id.0).ok());
    let start = Start {
        broker: start.unwrap_or_default(),
        shift: start.unwrap_or_default(),
        partition: assignment.len(),
    };
    let new = assignment::spread(&brokers, added, first.len(), start)?;
    Ok(store.change_assignment(topic, &new).await?)
}

/// Whether the partitions of a topic may become more.
pub fn may_grow(topic: &str) -> Result<(), Error> {
    if topic == OFFSETS_TOPIC {
        return Err(Error::OffsetsTopic);
    }
    Ok(())
}

/// Asks the controller to delete a topic. Answers whether nobody had done so before.
pub async fn delete(store: &Store, topic: &str) -> Result<bool, Error> {
    match store.request_topic_deletion(topic).await {
        Ok(()) => Ok(true),
        Err(zookeeper::Error::Exists { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn check_name(topic: &str) -> Result<(), Error> {
    if is_legal_topic_name(topic) {
        Ok(())
    } else {
        Err(Error::IllegalName(topic.to_owned()))
    }
}

/// Whether a topic can have a setting of this name, whatever its value.
fn is_setting(name: &str) -> bool {
    let nothing = BTreeMap::from([(name.to_owned(), String::new())]);
    let (_, bad) = LogConfig::default().with_overrides(&nothing);
    bad.iter().all(|bad| !bad.is_unknown())
}

fn check_config(config: &BTreeMap<String, String>) -> Result<(), Error> {
    if let Some(unknown) = config.keys().find(|name| !is_setting(name)) {
        return Err(Error::UnknownConfig(unknown.clone()));
    }
    let (_, bad) = LogConfig::default().with_overrides(config);
    match bad.into_iter().next() {
        Some(bad) if bad.is_no_number() => {
            Err(Error::BadConfig(format!("For input string: \"{}\"", bad.value)))
        }
        Some(bad) => Err(Error::BadConfig(bad.to_string())),
        None => Ok(()),
    }
}

fn illegal(topic: &str) -> String {
    match topic {
        "" => "topic name is illegal, can't be empty".to_owned(),
        "." | ".." => "topic name cannot be \".\" or \"..\"".to_owned(),
        long if long.len() > 255 => "topic name is illegal, can't be longer than 255 characters".to_owned(),
        other => format!(
            "topic name {other} is illegal, contains a character other than ASCII alphanumerics, '.', '_' and '-'"
        ),
    }
}
