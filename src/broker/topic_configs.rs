//! Settings of single topics: from ZooKeeper to the logs.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::log::LogConfig;
use crate::replication::Partitions;
use crate::shutdown::Shutdown;
use crate::zookeeper;
use crate::zookeeper::Sessions;
use crate::zookeeper::Store;

/// The broker's settings, and how a topic's own are laid over them.
#[derive(Debug, Clone)]
pub(crate) struct TopicConfigs {
    defaults: LogConfig,
    sessions: Sessions,
}

impl TopicConfigs {
    /// Settings that hold where a topic says nothing.
    pub(crate) fn new(defaults: LogConfig, sessions: Sessions) -> Self {
        Self { defaults, sessions }
    }

    /// The broker's own settings.
    pub(crate) fn defaults(&self) -> &LogConfig {
        &self.defaults
    }

    /// The settings of these topics. A topic whose node can't be read gets the broker's settings: refusing it would
    /// leave its partitions without a leader.
    pub(crate) async fn of(&self, topics: BTreeSet<&str>) -> HashMap<String, LogConfig> {
        let names: Vec<String> = topics.into_iter().map(str::to_owned).collect();
        let store = match self.sessions.current() {
            Ok(store) => store,
            Err(error) => {
                tracing::error!("settings of topics are not readable ({error}); the broker's are used");
                let default = |name| (name, self.defaults.clone());
                return names.into_iter().map(default).collect();
            }
        };
        let overrides = store.topic_configs(&names).await;
        let overlaid = |(name, overrides): (String, _)| {
            let config = overlaid(&name, overrides, &self.defaults);
            (name, config)
        };
        names.into_iter().zip(overrides).map(overlaid).collect()
    }

    /// Applies changes for as long as the broker runs.
    pub(crate) async fn follow_changes(self, partitions: Arc<Partitions>, mut shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.follow_in_every_session(&partitions) => {}
        }
    }

    async fn follow_in_every_session(&self, partitions: &Partitions) {
        let mut previous = None;
        // The error means that the sessions are closed for good.
        while let Ok(store) = self.sessions.next_after(previous).await {
            previous = Some(store.session_id());
            if let Err(error) = self.follow(&store, partitions).await {
                tracing::warn!("changes of topic settings: {error}");
            }
            store.ended().await;
        }
    }

    /// Handles each notification once. All present ones count as new at the start of a session: what was missed in
    /// between is among them, and applying one twice does no harm.
    async fn follow(&self, store: &Store, partitions: &Partitions) -> Result<(), zookeeper::Error> {
        let mut changes = store.watch_config_changes();
        loop {
            let pending = changes.next().await?;
            let topics: BTreeSet<&str> = pending.iter().map(|change| change.topic.as_str()).collect();
            for topic in topics {
                match store.topic_config(topic).await {
                    Ok(overrides) => {
                        tracing::info!("{topic}: settings are now {overrides:?} over the broker's");
                        partitions.configure(topic, &overlaid(topic, Ok(overrides), &self.defaults));
                    }
                    Err(error @ zookeeper::Error::Corrupt { .. }) => {
                        tracing::error!("{topic}: {error}; its settings stay as they were");
                    }
                    Err(error) => return Err(error),
                }
            }
            store.purge_config_changes(SystemTime::now()).await?;
        }
    }
}

/// The broker's settings with a topic's own laid over them. Where those can't be read the broker's hold.
pub(crate) fn overlaid(
    topic: &str,
    overrides: Result<BTreeMap<String, String>, zookeeper::Error>,
    defaults: &LogConfig,
) -> LogConfig {
    match overrides {
        Ok(overrides) => {
            let (config, bad) = defaults.with_overrides(&overrides);
            for problem in bad {
                tracing::error!("{topic}: {problem}; the broker's setting is used");
            }
            config
        }
        Err(error) => {
            tracing::error!("{topic}: its settings are not readable ({error}); the broker's are used");
            defaults.clone()
        }
    }
}
