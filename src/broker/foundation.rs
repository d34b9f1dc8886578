//! What must be there before a client is let in: ZooKeeper, then the logs; and what is built on both.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::broker::auto_create::AutoCreate;
use crate::broker::config::BrokerConfig;
use crate::broker::gauges;
use crate::broker::gauges::Gauged;
use crate::broker::gauges::StateGauge;
use crate::broker::handlers::Handlers;
use crate::broker::handlers::Parts;
use crate::broker::limits;
use crate::broker::live;
use crate::broker::meta_properties;
use crate::broker::metadata_cache::MetadataCache;
use crate::broker::offsets::Offsets;
use crate::broker::refusals::Refusals;
use crate::broker::settings;
use crate::broker::start_error::StartError;
use crate::broker::ticks;
use crate::broker::ticks::Ticked;
use crate::broker::topic_configs::TopicConfigs;
use crate::controller::ControllerHandle;
use crate::log::Logs;
use crate::log::WallClock;
use crate::metrics::Metrics;
use crate::replication::ControllerEpoch;
use crate::replication::HighWatermarks;
use crate::replication::Partitions;
use crate::replication::keep_isrs;
use crate::shutdown::Shutdown;
use crate::zookeeper;
use crate::zookeeper::SessionId;
use crate::zookeeper::Sessions;
use crate::zookeeper::Store;

/// What the start has put together before anybody is served.
pub(crate) struct Foundation {
    pub(crate) config: BrokerConfig,
    pub(crate) metrics: Metrics,
    pub(crate) sessions: Sessions,
    pub(crate) store: Store,
    pub(crate) logs: Arc<Logs>,
    pub(crate) opened_in: Duration,
    pub(crate) topics: usize,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) topic_configs: TopicConfigs,
    pub(crate) metadata: Arc<MetadataCache>,
    pub(crate) clock: Arc<WallClock>,
    pub(crate) shutdown: Shutdown,
    /// The limit of open files, before and after it was raised.
    pub(crate) open_files: (u64, u64),
}

impl Foundation {
    /// What answers requests.
    pub(crate) async fn handlers(
        &self,
        offsets: &Arc<Offsets>,
        controller: &ControllerHandle,
        registered: watch::Receiver<Option<SessionId>>,
    ) -> Result<Handlers, StartError> {
        // A controller that was replaced before this broker started is refused from the first request on.
        let epoch = match self.store.controller_epoch().await {
            Ok(epoch) => epoch.map_or(0, |epoch| epoch.value),
            Err(error @ zookeeper::Error::Corrupt { .. }) => {
                tracing::error!("{error}; there is no new controller until it is mended");
                0
            }
            Err(error) => return Err(error.into()),
        };
        let (new_topics, offsets_topic) = settings::topics(&self.config);
        Ok(Handlers::new(Parts {
            partitions: Arc::clone(&self.partitions),
            metadata: Arc::clone(&self.metadata),
            offsets: Arc::clone(offsets),
            auto_create: Arc::new(AutoCreate::new(
                self.sessions.clone(),
                registered,
                new_topics,
                offsets_topic,
            )),
            topic_configs: self.topic_configs.clone(),
            controller_epoch: Arc::new(ControllerEpoch::new(epoch)),
            controller: controller.clone(),
            sessions: self.sessions.clone(),
            metrics: self.metrics.replication().clone(),
            refusals: Refusals::default(),
            shutdown: self.shutdown.clone(),
        }))
    }

    /// Lets the metrics see what is here.
    pub(crate) fn gauge(&self, offsets: &Arc<Offsets>, controller: &ControllerHandle, state: &StateGauge) {
        let gauged = Gauged {
            id: self.config.id,
            metadata: Arc::clone(&self.metadata),
            partitions: Arc::clone(&self.partitions),
            logs: Arc::clone(&self.logs),
            offsets: Arc::clone(offsets),
            controller: controller.clone(),
            sessions: self.sessions.clone(),
            state: state.clone(),
        };
        gauges::register(&self.metrics, gauged);
    }

    /// Marks the data directories as this broker's. Not before it is registered: who starts with an id that is taken
    /// must be able to take another one.
    pub(crate) async fn mark_directories(&self) -> Result<(), StartError> {
        let (id, directories) = (self.config.id, self.config.logs.directories.clone());
        let mark = move || {
            let mut directories = directories.iter();
            directories.try_for_each(|directory| meta_properties::mark(directory, id))
        };
        let marked = tokio::task::spawn_blocking(mark).await;
        Ok(marked.map_err(|panicked| StartError::Panicked(panicked.to_string()))??)
    }

    /// Starts what a registered broker does beside answering requests.
    pub(crate) fn keep_going(self, tasks: &mut JoinSet<()>, offsets: Arc<Offsets>) {
        let Self {
            config,
            metrics,
            sessions,
            logs,
            partitions,
            clock,
            shutdown,
            ..
        } = self;
        let live = live::keep_live(
            sessions.clone(),
            config.id,
            Arc::clone(&partitions),
            shutdown.clone(),
        );
        tasks.spawn(live);
        tasks.spawn(keep_isrs(
            Arc::clone(&partitions),
            sessions.clone(),
            metrics.replication().clone(),
            config.replication.lag_time_max,
            shutdown.clone(),
        ));
        tasks.spawn(gauges::follow_session(metrics, sessions, shutdown.clone()));
        ticks::start(
            tasks,
            &config,
            &Ticked {
                logs,
                partitions,
                offsets,
                clock,
            },
            &shutdown,
        );
    }
}

/// ZooKeeper, then the logs: what must be there before a client is let in.
pub(crate) async fn lay_foundation(
    config: BrokerConfig,
    metrics: Metrics,
    shutdown: Shutdown,
) -> Result<Foundation, StartError> {
    let sessions = Sessions::start(settings::zookeeper(&config), shutdown.clone()).await?;
    let store = sessions.current()?;
    store.create_common_paths().await?;
    let topic_configs = TopicConfigs::new(settings::log(&config), sessions.clone());
    let overrides = topic_configs.of_all(&store).await?;
    let topics = overrides.len();

    let (before, after) = limits::raise_open_files();
    let open_files = (before.unwrap_or(u64::MAX), after.unwrap_or(u64::MAX));
    let opening = Instant::now();
    let logs_config = settings::logs(&config, overrides, metrics.log_flushes().clone());
    let (id, directories) = (config.id, config.logs.directories.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let logs = Logs::open(&logs_config)?;
        for directory in &directories {
            meta_properties::refuse_foreign(directory, id)?;
        }
        let high_watermarks = HighWatermarks::open(&directories)?;
        Ok::<_, StartError>((Arc::new(logs), high_watermarks))
    });
    let (logs, high_watermarks) = opened
        .await
        .map_err(|panicked| StartError::Panicked(panicked.to_string()))??;
    let partitions = Partitions::new(
        config.id,
        (Arc::clone(&logs), high_watermarks),
        metrics.clone(),
        settings::replication(&config),
        shutdown.clone(),
    );
    Ok(Foundation {
        config,
        metrics,
        sessions,
        store,
        logs,
        opened_in: opening.elapsed(),
        topics,
        partitions: Arc::new(partitions),
        topic_configs,
        metadata: Arc::default(),
        clock: Arc::default(),
        shutdown,
        open_files,
    })
}
