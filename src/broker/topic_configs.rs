//! Settings of single topics: from ZooKeeper to the logs.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::log::LogConfig;
use crate::log::WallClock;
use crate::replication::Partitions;
use crate::shutdown::Shutdown;
use crate::types::is_legal_topic_name;
use crate::zookeeper;
use crate::zookeeper::Sessions;
use crate::zookeeper::Store;

/// Pause after ZooKeeper refused, or was not there.
const RETRY: Duration = Duration::from_secs(1);

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

    /// The settings of these topics. A topic whose node can't be read gets the broker's settings, but for what deletes:
    /// refusing it would leave its partitions without a leader.
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
    pub(crate) async fn follow_changes(
        self,
        partitions: Arc<Partitions>,
        clock: Arc<WallClock>,
        mut shutdown: Shutdown,
    ) {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.follow_in_every_session(&partitions, &clock) => {}
        }
    }

    async fn follow_in_every_session(&self, partitions: &Partitions, clock: &WallClock) {
        let mut previous = None;
        // The error means that the sessions are closed for good.
        while let Ok(store) = self.sessions.next_after(previous).await {
            let missed = previous.is_some();
            previous = Some(store.session_id());
            tokio::select! {
                () = store.ended() => {}
                () = self.follow_in(&store, partitions, clock, missed) => {}
            }
        }
    }

    /// Follows for as long as the session lasts. After a session before it, and after a failure, notifications may have
    /// come and gone unheard: then every topic is looked at.
    async fn follow_in(&self, store: &Store, partitions: &Partitions, clock: &WallClock, mut missed: bool) {
        loop {
            let followed = async {
                if missed {
                    self.take_over(store, &hosted(partitions), partitions).await?;
                }
                self.follow(store, partitions, clock).await
            };
            if let Err(error) = followed.await {
                tracing::warn!("changes of topic settings: {error}; trying again");
            }
            missed = true;
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Handles each notification once. All present ones count as new at the start of a session: what was missed in
    /// between is among them, and applying one twice does no harm. Ends with an error only.
    async fn follow(
        &self,
        store: &Store,
        partitions: &Partitions,
        clock: &WallClock,
    ) -> Result<(), zookeeper::Error> {
        let mut changes = store.watch_config_changes();
        loop {
            let pending = changes.next().await?;
            let topics = pending.into_iter().map(|change| change.topic).collect();
            self.take_over(store, &topics, partitions).await?;
            // A clock that was set forth makes none of them old: other brokers may not have heard of them yet.
            let times = clock.read();
            store
                .purge_config_changes(|created| times.age_of(created))
                .await?;
        }
    }

    async fn take_over(
        &self,
        store: &Store,
        topics: &BTreeSet<String>,
        partitions: &Partitions,
    ) -> Result<(), zookeeper::Error> {
        for topic in topics {
            if !is_legal_topic_name(topic) {
                tracing::warn!("settings are said to have changed of {topic:?}, which is no topic");
                continue;
            }
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
        Ok(())
    }
}

/// The topics that have a log here.
fn hosted(partitions: &Partitions) -> BTreeSet<String> {
    let all = partitions.all();
    let hosted = all.iter().filter(|partition| partition.log().is_some());
    hosted
        .map(|partition| partition.topic_partition().topic.to_string())
        .collect()
}

/// The broker's settings with a topic's own laid over them. Where those can't be read the broker's hold, and nothing is
/// deleted.
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
            tell_unreadable(topic, &error);
            defaults
                .with_overrides(&LogConfig::overrides_keeping_everything())
                .0
        }
    }
}

/// Says what becomes of a topic whose settings can't be read.
pub(crate) fn tell_unreadable(topic: &str, error: &zookeeper::Error) {
    tracing::error!(
        "{topic}: its settings are not readable ({error}); the broker's are used, and nothing of it is deleted until \
         they are read"
    );
}
