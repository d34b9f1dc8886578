//! Creating topics because somebody asked for them.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::admin::topics;
use crate::broker::metadata_cache::MetadataCache;
use crate::types::OFFSETS_TOPIC;
use crate::zookeeper::SessionId;
use crate::zookeeper::Sessions;

/// Which topics may be created, and how they look.
#[derive(Debug)]
pub(crate) struct AutoCreate {
    sessions: Sessions,
    registered: watch::Receiver<Option<SessionId>>,
    enabled: bool,
    partitions: usize,
    replicas: usize,
    offsets: OffsetsTopic,
}

/// How the topic in which groups keep their offsets looks.
#[derive(Debug, Clone)]
pub(crate) struct OffsetsTopic {
    /// Partitions; also what groups are hashed over.
    pub(crate) partitions: usize,
    /// Replicas, fewer while there are fewer brokers.
    pub(crate) replicas: usize,
    /// Its settings.
    pub(crate) config: BTreeMap<String, String>,
}

/// Why a topic was not created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// `auto.create.topics.enable` is off.
    SwitchedOff,
    /// No topic may have that name.
    IllegalName,
    /// ZooKeeper was not there, or there are too few brokers.
    Failed,
}

/// What a topic that a client asks for looks like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewTopics {
    /// Whether it is created at all.
    pub(crate) enabled: bool,
    /// Its partitions.
    pub(crate) partitions: usize,
    /// Its replicas.
    pub(crate) replicas: usize,
}

impl AutoCreate {
    /// Creates topics of these shapes.
    pub(crate) fn new(
        sessions: Sessions,
        registered: watch::Receiver<Option<SessionId>>,
        topics: NewTopics,
        offsets: OffsetsTopic,
    ) -> Self {
        let NewTopics {
            enabled,
            partitions,
            replicas,
        } = topics;
        Self {
            sessions,
            registered,
            enabled,
            partitions,
            replicas,
            offsets,
        }
    }

    /// Whether topics are created at all.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Creates a topic. That somebody else was faster counts as done.
    pub(crate) async fn create(&self, topic: &str, cache: &MetadataCache) -> Result<(), Refused> {
        let (partitions, replicas, config) = if topic == OFFSETS_TOPIC {
            let alive = cache.brokers().len();
            let replicas = if alive == 0 {
                self.offsets.replicas
            } else {
                self.offsets.replicas.min(alive)
            };
            (self.offsets.partitions, replicas, self.offsets.config.clone())
        } else if self.enabled {
            (self.partitions, self.replicas, BTreeMap::new())
        } else {
            return Err(Refused::SwitchedOff);
        };
        if self.registered.borrow().is_none() {
            // Its replicas might find no broker. The client is told that there is no leader yet, and asks again.
            return Ok(());
        }
        let created = match self.sessions.current() {
            Ok(store) => topics::create(&store, topic, partitions, replicas, &config).await,
            Err(error) => Err(error.into()),
        };
        match created {
            Ok(()) => {
                tracing::info!(
                    "{topic}: created with {partitions} partitions, {replicas} replicas, on demand"
                );
                Ok(())
            }
            Err(topics::Error::Exists(_)) => Ok(()),
            Err(topics::Error::IllegalName(_)) => Err(Refused::IllegalName),
            Err(error) => {
                tracing::warn!("{topic}: create on demand: {error}");
                Err(Refused::Failed)
            }
        }
    }
}
