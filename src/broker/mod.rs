//! The broker: the modules below put together. It starts from the bottom to the top and stops from the top to the bottom.

mod auto_create;
pub mod config;
mod controlled_shutdown;
mod error_mapping;
mod foundation;
mod gauges;
mod handlers;
pub mod limits;
mod live;
mod meta_properties;
mod metadata_cache;
pub mod offsets;
pub mod preflight;
mod refusals;
mod registration;
mod settings;
mod start_error;
mod summary;
mod ticks;
mod topic_configs;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::broker::config::BrokerConfig;
use crate::broker::controlled_shutdown::Leaving;
use crate::broker::foundation::Foundation;
use crate::broker::gauges::BrokerState;
use crate::broker::gauges::StateGauge;
use crate::broker::offsets::Offsets;
use crate::broker::registration::Registration;
pub use crate::broker::start_error::StartError;
pub use crate::broker::start_error::hint_about;
pub use crate::broker::summary::Summary;
use crate::controller::Controller;
use crate::controller::ControllerHandle;
use crate::log::Logs;
use crate::metrics;
use crate::metrics::Metrics;
use crate::net::Listener;
use crate::replication::Partitions;
use crate::shutdown::Shutdown;
use crate::shutdown::Trigger;
use crate::types::Endpoint;
use crate::zookeeper::BrokerRegistration;
use crate::zookeeper::Sessions;
use crate::zookeeper::Store;

/// How long the tasks may take to end once they were asked to.
const TASKS_TIMEOUT: Duration = Duration::from_secs(3);

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    summary: Summary,
    trigger: Trigger,
    sessions: Sessions,
    partitions: Arc<Partitions>,
    logs: Arc<Logs>,
    tasks: JoinSet<()>,
    metrics_server: JoinSet<()>,
    state: StateGauge,
    /// Once it is part of a cluster.
    leaving: Option<Leaving>,
}

impl Broker {
    /// Starts a broker. When this returns it is registered and serves; until then nothing that it did outlives an error
    /// but what a crash would leave, too.
    pub async fn start(config: BrokerConfig, trigger: &Trigger) -> Result<Self, StartError> {
        let started = Instant::now();
        let shutdown = trigger.signal();
        let metrics = Metrics::new();
        let state = StateGauge::new();
        let server = bind_metrics(&config, &metrics, state.clone()).await?;
        let metrics_address = server.as_ref().and_then(|server| server.local_addr().ok());
        let mut metrics_server = JoinSet::new();
        if let Some(server) = server {
            // Recovery may take long: whoever asks meanwhile whether the process lives must get an answer.
            metrics_server.spawn(server.run(std::future::pending()));
        }

        let foundation = foundation::lay_foundation(config, metrics, shutdown.clone()).await?;
        let listener = Listener::bind(settings::listener(&foundation.config), &foundation.metrics).await?;
        let bound = listener.local_addr().map_err(StartError::Bound)?;
        let advertised = advertised(&foundation.config, bound);

        let mut broker = Self {
            summary: Summary::new(&foundation, bound, advertised.clone(), metrics_address),
            trigger: trigger.clone(),
            sessions: foundation.sessions.clone(),
            partitions: Arc::clone(&foundation.partitions),
            logs: Arc::clone(&foundation.logs),
            tasks: JoinSet::new(),
            metrics_server,
            state,
            leaving: None,
        };
        match broker.serve(foundation, listener, advertised).await {
            Ok(controller) => {
                broker.state.set(BrokerState::Running);
                broker.describe(&controller, started).await;
                Ok(broker)
            }
            Err(error) => {
                trigger.stop();
                broker.stop().await?;
                Err(error)
            }
        }
    }

    /// Opens the doors, contends for the office of controller, and registers: in the order in which 0.8.2.2 does.
    async fn serve(
        &mut self,
        foundation: Foundation,
        listener: Listener,
        advertised: Endpoint,
    ) -> Result<ControllerHandle, StartError> {
        let Foundation {
            config,
            sessions,
            shutdown,
            ..
        } = &foundation;
        let (registration, registered) = Registration::new(sessions.clone(), registration(&advertised));
        self.state.watch(registered.clone());
        let contender = settings::controller(
            config,
            self.summary.bound,
            foundation.metrics.controller().clone(),
        );
        let (controller, handle) = Controller::new(contender, sessions.clone(), registered.clone());
        let offsets = Offsets::new(settings::offsets(config), Arc::clone(&foundation.partitions));
        let offsets = Arc::new(offsets);
        foundation.gauge(&offsets, &handle, &self.state);
        let handlers = foundation.handlers(&offsets, &handle, registered).await?;
        self.tasks.spawn(listener.run(handlers, shutdown.clone()));

        registration.refuse_if_taken(&foundation.store).await?;
        let (first_round, round_over) = oneshot::channel();
        self.tasks.spawn(controller.run(shutdown.clone(), first_round));
        // An election that takes longer goes on in the background; only its order with the registration is lost.
        let _ = timeout(config.zookeeper.session_timeout, round_over).await;
        let partitions = Arc::clone(&foundation.partitions);
        let clock = Arc::clone(&foundation.clock);
        let configs = foundation.topic_configs.clone();
        self.tasks
            .spawn(configs.follow_changes(partitions, clock, shutdown.clone()));

        let registered = registration.register(shutdown).await?;
        foundation.mark_directories().await?;
        self.leaving = Some(Leaving {
            me: config.id,
            config: config.controlled_shutdown.clone(),
            sessions: sessions.clone(),
            controller: handle.clone(),
        });
        self.tasks.spawn(keep_registered(
            registration,
            (registered, Arc::clone(&foundation.partitions)),
            shutdown.clone(),
        ));
        foundation.keep_going(&mut self.tasks, offsets);
        Ok(handle)
    }

    /// What there is to say about it.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Hands leaderships over to other brokers, while everything still runs. To be followed by [`Self::stop`]. Takes a few
    /// seconds at most, and no time while ZooKeeper is away.
    pub async fn leave(&self) {
        self.state.set(BrokerState::Leaving);
        if let Some(leaving) = &self.leaving {
            // What it led it is told to follow now: it must not get in sync once more.
            self.partitions.follow_no_more();
            leaving.leave().await;
        }
    }

    /// Stops: no new requests, running ones finish, high watermarks and logs are written, the session is closed.
    /// Bounded in time but for the disk, also while ZooKeeper is away.
    pub async fn stop(mut self) -> Result<(), StartError> {
        self.state.set(BrokerState::Stopping);
        self.trigger.stop();
        let tasks = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(TASKS_TIMEOUT, tasks).await.is_err() {
            tracing::warn!("some tasks did not end in time; stopping without them");
            self.tasks.shutdown().await;
        }
        self.partitions.stop_following().await;
        let (partitions, logs) = (Arc::clone(&self.partitions), Arc::clone(&self.logs));
        let closed = tokio::task::spawn_blocking(move || {
            let written = partitions.checkpoint_high_watermarks();
            logs.close()?;
            Ok::<_, StartError>(written?)
        });
        // Side by side: a ZooKeeper that hangs must not take the time that the disk needs. Nothing is served any more.
        let (closed, ()) = tokio::join!(closed, self.sessions.close());
        let closed = closed.unwrap_or_else(|panicked| Err(StartError::Panicked(panicked.to_string())));
        self.metrics_server.shutdown().await;
        closed
    }

    async fn describe(&mut self, controller: &ControllerHandle, started: Instant) {
        if let Ok(server) = self.sessions.describe_server().await {
            self.summary.zookeeper_version = server.version;
            self.summary.round_trip = server.round_trip;
        }
        if let Ok(store) = self.sessions.current() {
            self.summary.brokers = store.brokers().await.map_or(1, |brokers| brokers.len());
        }
        self.summary.controller = controller.status().borrow().controller;
        self.summary.ready_in = started.elapsed();
    }
}

async fn bind_metrics(
    config: &BrokerConfig,
    metrics: &Metrics,
    state: StateGauge,
) -> Result<Option<metrics::Server>, StartError> {
    let listen = config.metrics.listen.as_deref().unwrap_or_default();
    Ok(metrics::Server::bind(listen, metrics.clone(), move || state.ready()).await?)
}

/// What clients and other brokers are told: the configured address, or the port that was really bound.
fn advertised(config: &BrokerConfig, bound: SocketAddr) -> Endpoint {
    let port = config.advertised.port.unwrap_or_else(|| bound.port());
    Endpoint {
        id: config.id,
        host: config.advertised.host.clone(),
        port: i32::from(port),
    }
}

fn registration(advertised: &Endpoint) -> BrokerRegistration {
    /// There is no Java to be managed here.
    const NO_JMX: i32 = -1;
    BrokerRegistration {
        id: advertised.id,
        host: advertised.host.clone(),
        port: advertised.port,
        jmx_port: NO_JMX,
        timestamp: String::new(),
    }
}

/// Another live broker with our id is a reason to stop: clients could not tell the two apart.
async fn keep_registered(
    registration: Registration,
    (first, partitions): (Store, Arc<Partitions>),
    mut shutdown: Shutdown,
) {
    let stop = shutdown.clone();
    tokio::select! {
        () = shutdown.requested() => {}
        error = registration.keep(first, &partitions) => stop.fail(error),
    }
}
