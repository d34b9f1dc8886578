//! The control path: one broker of the cluster decides who leads what. It never touches a log.
//!
//! Watches become events, pure plans turn events into decisions, one loop carries them out: ZooKeeper first, then
//! requests to brokers, this process's own among them.

mod apply;
mod channel;
mod event;
mod load;
mod notify;
mod plan;
mod run;
mod state;
mod under_way;
mod watch;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch as channel_watch;
use tokio::time::Instant;

pub use crate::controller::channel::Calls;
use crate::controller::event::Event;
use crate::controller::run::Term;
use crate::metrics::ControllerMetrics;
use crate::shutdown::Shutdown;
use crate::types::BrokerId;
use crate::types::TopicPartition;
use crate::zookeeper;
use crate::zookeeper::Election;
use crate::zookeeper::SessionId;
use crate::zookeeper::Sessions;
use crate::zookeeper::Store;

/// Events waiting for the loop; a watch that meets a full queue waits, and then tells the newest state.
const EVENTS: usize = 1024;

/// Pause after a term that ended in an error; it doubles while nothing else happens.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);
/// As long as it gets: so late somebody who mends a node in ZooKeeper may be noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// What a controller needs to know of its broker.
#[derive(Debug, Clone)]
pub struct Config {
    /// This broker.
    pub me: BrokerId,
    /// Where this process listens.
    pub own_address: SocketAddr,
    /// Whether a replica outside the ISR may lead when nobody else is left.
    pub unclean_election: bool,
    /// Which of several replicas in sync leads.
    pub policy: ElectionPolicy,
    /// Partitions that are on the way to other replicas at the same time; `None` is all of them.
    pub reassignments_max: Option<usize>,
    /// Whether wishes to delete topics are fulfilled. They are not looked at otherwise.
    pub delete_topics: bool,
    /// When leadership goes back to preferred replicas by itself; `None` is never.
    pub rebalance: Option<Rebalance>,
    /// How brokers are called.
    pub calls: Calls,
    /// Counts elections.
    pub metrics: ControllerMetrics,
}

/// Which of several equally eligible replicas becomes leader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ElectionPolicy {
    /// The first in the order of the assignment, as in 0.8.2.2.
    #[default]
    Assignment,
    /// The one on the broker with the fewest leaderships, so that those of a broker that died spread over all others.
    Balanced,
}

/// When leadership goes back to preferred replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebalance {
    /// How often the balance is looked at.
    pub interval: Duration,
    /// Of the partitions that prefer a broker, the percentage led elsewhere above which it gets them back.
    pub percentage: u32,
}

/// The controller as others in this process see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Which broker is controller, if one is known.
    pub controller: Option<BrokerId>,
    /// Whether this process is.
    pub active: bool,
    /// Live brokers (0 unless active; so are the others).
    pub brokers: usize,
    /// Topics.
    pub topics: usize,
    /// Partitions.
    pub partitions: usize,
    /// Partitions without a live leader.
    pub offline_partitions: usize,
    /// Partitions that are not led by their first replica.
    pub preferred_replica_imbalance: usize,
    /// Partitions that are still to be moved to other replicas.
    pub reassigning_partitions: usize,
}

/// A way to ask and watch this broker's controller.
#[derive(Debug, Clone)]
pub struct ControllerHandle {
    events: channel_watch::Receiver<Option<mpsc::Sender<Event>>>,
    status: channel_watch::Receiver<Status>,
}

impl ControllerHandle {
    /// What the controller looks like now, and from now on.
    pub fn status(&self) -> channel_watch::Receiver<Status> {
        self.status.clone()
    }

    /// Asks the controller to relieve a broker that is about to stop. Answers the replicated partitions that it still
    /// leads, or none if this broker is not the controller or doesn't know the other.
    pub async fn controlled_shutdown(&self, broker: BrokerId) -> Option<Vec<TopicPartition>> {
        let events = self.events.borrow().clone()?;
        let (answer, answered) = oneshot::channel();
        events
            .send(Event::ControlledShutdown(broker, answer))
            .await
            .ok()?;
        answered.await.ok()?
    }
}

/// Contends for the office in every session, and holds it while elected.
#[derive(Debug)]
pub struct Controller {
    config: Config,
    sessions: Sessions,
    /// The session in which the broker is registered. From the second session on nobody is elected before: a
    /// controller that doesn't see its own broker would move leadership off it.
    registered: channel_watch::Receiver<Option<SessionId>>,
    events: channel_watch::Sender<Option<mpsc::Sender<Event>>>,
    status: channel_watch::Sender<Status>,
}

impl Controller {
    /// A controller that has not contended yet, and the handle to it.
    pub fn new(
        config: Config,
        sessions: Sessions,
        registered: channel_watch::Receiver<Option<SessionId>>,
    ) -> (Self, ControllerHandle) {
        let (events, events_seen) = channel_watch::channel(None);
        let (status, status_seen) = channel_watch::channel(Status::default());
        let handle = ControllerHandle {
            events: events_seen,
            status: status_seen,
        };
        (
            Self {
                config,
                sessions,
                registered,
                events,
                status,
            },
            handle,
        )
    }

    /// Runs until shutdown. `first_round` is told when the first election is over, whoever won.
    pub async fn run(mut self, mut shutdown: Shutdown, first_round: oneshot::Sender<()>) {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.contend_in_every_session(first_round) => {}
        }
        self.step_down();
    }

    async fn contend_in_every_session(&mut self, first_round: oneshot::Sender<()>) {
        let mut first_round = Some(first_round);
        let mut previous = None;
        // The error means that the sessions are closed for good.
        while let Ok(store) = self.sessions.next_after(previous).await {
            previous = Some(store.session_id());
            if first_round.is_none() {
                let session = store.session_id();
                let registered = self
                    .registered
                    .wait_for(|registered| *registered == Some(session));
                tokio::select! {
                    _ = registered => {}
                    () = store.ended() => {}
                }
            }
            self.contend(&store, &mut first_round).await;
        }
    }

    /// Contends for as long as the session lives.
    async fn contend(&mut self, store: &Store, first_round: &mut Option<oneshot::Sender<()>>) {
        let mut pause = PAUSE_AFTER_ERROR;
        loop {
            let began = Instant::now();
            let result = tokio::select! {
                () = store.ended() => break,
                result = self.one_election(store, first_round) => result,
            };
            self.step_down();
            if let Err(error) = result {
                tracing::warn!("controller: {error}");
                if let Err(error) = store.resign_controller().await {
                    tracing::warn!("controller: give the office back: {error}");
                }
                if began.elapsed() > LONGEST_PAUSE {
                    pause = PAUSE_AFTER_ERROR;
                }
                tokio::select! {
                    () = store.ended() => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
        self.step_down();
    }

    async fn one_election(
        &mut self,
        store: &Store,
        first_round: &mut Option<oneshot::Sender<()>>,
    ) -> Result<(), zookeeper::Error> {
        match store.try_elect(self.config.me).await? {
            Election::Elected => self.hold_office(store, first_round).await,
            Election::Other(controller) => {
                self.status.send_replace(Status {
                    controller: Some(controller),
                    ..Status::default()
                });
                tracing::info!("controller is broker {controller}");
                end_round(first_round);
                let mut watched = store.watch_controller();
                while watched.next().await?.is_some_and(|node| node.id == controller) {}
                Ok(())
            }
        }
    }

    async fn hold_office(
        &mut self,
        store: &Store,
        first_round: &mut Option<oneshot::Sender<()>>,
    ) -> Result<(), zookeeper::Error> {
        let config = self.config.clone();
        let (me, delete_topics) = (config.me, config.delete_topics);
        let (sender, mut events) = mpsc::channel(EVENTS);
        let term = Term::start(config, store.clone(), sender.clone(), self.status.clone());
        let mut term = Box::pin(term).await?;
        end_round(first_round);
        let _watches = watch::start(store, me, delete_topics, &sender);
        self.events.send_replace(Some(sender));
        term.run(&mut events).await
    }

    fn step_down(&self) {
        self.events.send_replace(None);
        self.status.send_if_modified(|status| {
            let active = status.active;
            if active {
                *status = Status::default();
                tracing::info!("controller is no longer this broker");
            }
            active
        });
    }
}

fn end_round(first_round: &mut Option<oneshot::Sender<()>>) {
    if let Some(first_round) = first_round.take() {
        // Nobody listens when the start was given up meanwhile.
        let _ = first_round.send(());
    }
}
