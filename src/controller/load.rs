//! The cluster as ZooKeeper has it, when a term begins and whenever something must be looked up.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::controller::run::Term;
use crate::controller::state::Deletion;
use crate::controller::watch::broker_map;
use crate::log::LogConfig;
use crate::types::TopicPartition;
use crate::zookeeper;

impl Term {
    /// Reads everything. What can't be read is left out or alone, the rest is served.
    pub(super) async fn load(&mut self) -> Result<(), zookeeper::Error> {
        self.state.brokers = broker_map(self.store.brokers().await?);
        let topics = self.store.topics().await?;
        for (topic, assignment) in topics.iter().zip(self.store.assignments(&topics).await) {
            match assignment {
                Ok(Some(assignment)) => self.state.add(&Arc::from(topic.as_str()), assignment),
                Ok(None) => {}
                Err(zookeeper::Error::Corrupt { path, problem }) => {
                    tracing::error!("{topic}: {path} is not readable ({problem}); the topic is left out");
                }
                Err(error) => return Err(error),
            }
        }
        if self.delete_topics {
            let known = self.state.topics();
            let doomed = self.store.topic_deletions().await?;
            let doomed = doomed.into_iter().map(Arc::from);
            self.state.deletions = doomed
                .filter(|topic| known.contains(topic))
                .map(|topic| (topic, Deletion::default()))
                .collect();
        }
        let partitions: Vec<_> = self.state.assignments.keys().cloned().collect();
        self.refresh(&partitions).await
    }

    /// Reads a topic that the watches have not told of yet. Answers whether there is one.
    pub(super) async fn look_up(&mut self, topic: &Arc<str>) -> Result<bool, zookeeper::Error> {
        if self.state.assigned(topic).next().is_some() {
            return Ok(true);
        }
        let assignment = match self.store.assignment(topic).await {
            Ok(Some(assignment)) => assignment,
            Ok(None) => return Ok(false),
            Err(error @ zookeeper::Error::Corrupt { .. }) => {
                tracing::error!("{topic}: {error}; left alone until it is mended");
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        self.state.add(topic, assignment);
        let partitions: Vec<_> = self.state.assigned(topic).map(|(name, _)| name.clone()).collect();
        self.refresh(&partitions).await?;
        Ok(true)
    }

    /// Asks the topics of these partitions whether a replica that is not in sync may lead.
    pub(super) async fn look_up_unclean(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<(), zookeeper::Error> {
        let topics: BTreeSet<_> = partitions
            .iter()
            .map(|partition| Arc::clone(&partition.topic))
            .collect();
        let names: Vec<String> = topics.iter().map(ToString::to_string).collect();
        let broker = LogConfig {
            unclean_leader_election: self.state.unclean_election,
            ..LogConfig::default()
        };
        for (topic, config) in topics.into_iter().zip(self.store.topic_configs(&names).await) {
            let allowed = match config {
                Ok(overrides) => broker.with_overrides(&overrides).0.unclean_leader_election,
                Err(error @ zookeeper::Error::Corrupt { .. }) => {
                    tracing::error!("{topic}: {error}; the broker's setting decides on unclean elections");
                    self.state.unclean_election
                }
                Err(error) => return Err(error),
            };
            self.state.unclean_overrides.insert(topic, allowed);
        }
        Ok(())
    }
}
