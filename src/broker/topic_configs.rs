//! Settings of single topics: from ZooKeeper to the logs.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio::time::interval;

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

/// How often topics are looked at again whose settings could not be read.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// What becomes of a log whose topic's settings have not been read yet.
const KEEPS: &str = "the broker's are used, and nothing is deleted until they are read";

/// What becomes of a log whose topic's settings have been read before.
const STAYS: &str = "they stay as they were until they are read";

/// What a topic sets of its own.
type Overrides = BTreeMap<String, String>;

/// The broker's settings, and how a topic's own are laid over them. Clones know of the same unread topics.
#[derive(Debug, Clone)]
pub(crate) struct TopicConfigs {
    defaults: LogConfig,
    sessions: Sessions,
    unread: Unread,
}

/// Topics whose settings are not in force because they could not be read.
#[derive(Debug, Clone, Default)]
struct Unread(Arc<Mutex<BTreeSet<String>>>);

impl Unread {
    fn topics(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The settings of some topics, as they were read for logs that are about to be created.
#[derive(Debug)]
pub(crate) struct ReadConfigs {
    read: HashMap<String, LogConfig>,
    /// For topics that could not be read.
    keeping_everything: LogConfig,
    not_read: Vec<String>,
    unread: Unread,
}

impl ReadConfigs {
    /// The settings of a topic that was asked for.
    pub(crate) fn of(&self, topic: &str) -> LogConfig {
        self.read.get(topic).unwrap_or(&self.keeping_everything).clone()
    }
}

impl Drop for ReadConfigs {
    /// Not before the logs are there: who reads the settings again would find no log to give them to.
    fn drop(&mut self) {
        self.unread.topics().extend(self.not_read.drain(..));
    }
}

impl TopicConfigs {
    /// Settings that hold where a topic says nothing.
    pub(crate) fn new(defaults: LogConfig, sessions: Sessions) -> Self {
        Self {
            defaults,
            sessions,
            unread: Unread::default(),
        }
    }

    /// What every topic sets, for the logs that are about to be opened. Of one that can't be read nothing is deleted:
    /// 0.8.2.2 would not start.
    pub(crate) async fn of_all(&self, store: &Store) -> Result<HashMap<String, Overrides>, zookeeper::Error> {
        let topics = store.topics().await?;
        let overrides = store.topic_configs(&topics).await;
        let mut failures = Vec::new();
        let readable = |(topic, overrides): (String, Result<Overrides, _>)| {
            let overrides = overrides.unwrap_or_else(|error| {
                failures.push((topic.clone(), error));
                LogConfig::overrides_keeping_everything()
            });
            (topic, overrides)
        };
        let all = topics.into_iter().zip(overrides).map(readable).collect();
        let failed = failures.iter().map(|(topic, _)| topic.clone());
        self.unread.topics().extend(failed);
        tell_unreadable(failures, KEEPS);
        Ok(all)
    }

    /// The settings of these topics. A topic whose node can't be read gets the broker's settings, but for what deletes:
    /// refusing it would leave its partitions without a leader.
    pub(crate) async fn of(&self, topics: BTreeSet<&str>) -> ReadConfigs {
        let names: Vec<String> = topics.into_iter().map(str::to_owned).collect();
        let keeping_everything = LogConfig::overrides_keeping_everything();
        let mut configs = ReadConfigs {
            read: HashMap::new(),
            keeping_everything: self.defaults.with_overrides(&keeping_everything).0,
            not_read: Vec::new(),
            unread: self.unread.clone(),
        };
        let overrides = match self.sessions.current() {
            Ok(store) => store.topic_configs(&names).await,
            Err(_) => names
                .iter()
                .map(|_| Err(zookeeper::Error::NotConnected))
                .collect(),
        };
        let mut failures = Vec::new();
        for (topic, overrides) in names.into_iter().zip(overrides) {
            match overrides {
                Ok(overrides) => {
                    let config = self.overlaid(&topic, &overrides);
                    configs.read.insert(topic, config);
                }
                Err(error) => {
                    configs.not_read.push(topic.clone());
                    failures.push((topic, error));
                }
            }
        }
        tell_unreadable(failures, KEEPS);
        configs
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
            if missed {
                self.take_over(store, hosted(partitions), partitions).await;
            }
            let Err(error) = self.follow(store, partitions, clock).await;
            tracing::warn!("changes of topic settings: {error}; trying again");
            missed = true;
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Handles each notification once, and reads again what could not be read. All present notifications count as new
    /// at the start of a session: what was missed in between is among them, and applying one twice does no harm.
    async fn follow(
        &self,
        store: &Store,
        partitions: &Partitions,
        clock: &WallClock,
    ) -> Result<Infallible, zookeeper::Error> {
        let mut changes = store.watch_config_changes();
        let mut again = interval(READ_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                pending = changes.next() => {
                    let topics = pending?.into_iter().map(|change| change.topic).collect();
                    self.take_over(store, topics, partitions).await;
                    // A clock that was set forth makes none of them old: other brokers may not have heard of them yet.
                    let times = clock.read();
                    store
                        .purge_config_changes(|created| times.age_of(created))
                        .await?;
                }
                _ = again.tick() => {
                    let unread = self.unread.topics().clone();
                    self.take_over(store, unread, partitions).await;
                }
            }
        }
    }

    /// Reads the settings of topics and puts them in force. Those that can't be read stay as they are, and are read
    /// again later.
    async fn take_over(&self, store: &Store, topics: BTreeSet<String>, partitions: &Partitions) {
        let (topics, others): (Vec<_>, Vec<_>) =
            topics.into_iter().partition(|topic| is_legal_topic_name(topic));
        for topic in others {
            tracing::warn!("settings are said to have changed of {topic:?}, which is no topic");
        }
        let overrides = store.topic_configs(&topics).await;
        let mut failures = Vec::new();
        for (topic, overrides) in topics.into_iter().zip(overrides) {
            match overrides {
                Ok(overrides) => {
                    tracing::info!("{topic}: settings are now {overrides:?} over the broker's");
                    self.unread.topics().remove(&topic);
                    partitions.configure(&topic, &self.overlaid(&topic, &overrides));
                }
                Err(error) => {
                    // What was not readable before has been told of.
                    if self.unread.topics().insert(topic.clone()) {
                        failures.push((topic, error));
                    }
                }
            }
        }
        tell_unreadable(failures, STAYS);
    }

    /// The broker's settings with a topic's own laid over them.
    fn overlaid(&self, topic: &str, overrides: &Overrides) -> LogConfig {
        let (config, bad) = self.defaults.with_overrides(overrides);
        for problem in bad {
            tracing::error!("{topic}: {problem}; the broker's setting is used");
        }
        config
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

/// Says what becomes of topics whose settings can't be read: once for all of them, but for those whose own nodes are
/// wrong.
fn tell_unreadable(failures: Vec<(String, zookeeper::Error)>, becomes: &str) {
    let (wrong, others): (Vec<_>, Vec<_>) = failures.into_iter().partition(|(_, error)| {
        matches!(
            error,
            zookeeper::Error::Corrupt { .. } | zookeeper::Error::Auth { .. }
        )
    });
    for (topic, error) in wrong {
        tracing::error!("{topic}: its settings are not readable ({error}); {becomes}");
    }
    if let [(topic, error), more @ ..] = &others[..] {
        let more = more.len();
        tracing::error!(
            "the settings of {topic} and {more} other topics are not readable ({error}); {becomes}"
        );
    }
}
