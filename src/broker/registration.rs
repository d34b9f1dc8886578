//! Being in `/brokers/ids`, across sessions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::replication::Partitions;
use crate::shutdown::Shutdown;
use crate::types::TopicPartition;
use crate::types::listed;
use crate::types::now_millis;
use crate::zookeeper;
use crate::zookeeper::BrokerRegistration;
use crate::zookeeper::SessionId;
use crate::zookeeper::Sessions;
use crate::zookeeper::Store;

/// Pause after ZooKeeper refused.
const RETRY: Duration = Duration::from_millis(500);

/// How long a controller may take to give a broker that has registered the next of its roles.
const UNNOTICED: Duration = Duration::from_secs(5);

/// How often it is reminded.
const UNNOTICED_MAX: usize = 3;

/// Keeps the broker registered: once per session, for as long as it runs.
#[derive(Debug)]
pub(crate) struct Registration {
    sessions: Sessions,
    broker: BrokerRegistration,
    session: watch::Sender<Option<SessionId>>,
}

impl Registration {
    /// Not registered yet. The receiver tells in which session the broker is.
    pub(crate) fn new(
        sessions: Sessions,
        broker: BrokerRegistration,
    ) -> (Self, watch::Receiver<Option<SessionId>>) {
        let (session, registered) = watch::channel(None);
        (
            Self {
                sessions,
                broker,
                session,
            },
            registered,
        )
    }

    /// Fails at once if a live broker has our id, before anything is done in its name.
    pub(crate) async fn refuse_if_taken(&self, store: &Store) -> Result<(), zookeeper::Error> {
        match store.broker(self.broker.id).await {
            Ok(Some(other)) if (&other.host, other.port) != (&self.broker.host, self.broker.port) => {
                // What it says is worth more than that we say so: registering refuses it with all there is to know.
                self.register_in(store).await
            }
            Ok(_) | Err(zookeeper::Error::Corrupt { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Registers for the first time. A node of a dead session of ours is waited out, and so is ZooKeeper should it go
    /// away meanwhile; a live broker of the same id is an error that the start must not outlive.
    pub(crate) async fn register(&self, shutdown: &Shutdown) -> Result<Store, zookeeper::Error> {
        let mut shutdown = shutdown.clone();
        tokio::select! {
            () = shutdown.requested() => Err(zookeeper::Error::Closed),
            registered = self.register_in_some_session() => registered,
        }
    }

    async fn register_in_some_session(&self) -> Result<Store, zookeeper::Error> {
        let mut previous = None;
        loop {
            let store = self.sessions.next_after(previous).await?;
            match self.register_in(&store).await {
                Ok(()) => return Ok(store),
                Err(zookeeper::Error::SessionLost) => previous = Some(store.session_id()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Registers anew in every session after `first`. Completes only with an error: another live broker took the id
    /// while this one had no session.
    pub(crate) async fn keep(self, first: Store, partitions: &Partitions) -> zookeeper::Error {
        let mut store = first;
        tokio::select! {
            () = store.ended() => {}
            result = self.be_noticed(&store, partitions) => if let Err(error) = result {
                tracing::warn!("registration in ZooKeeper: {error}");
            },
        }
        loop {
            if let Err(error) = self.keep_in(&store).await {
                return error;
            }
            self.session.send_replace(None);
            store = match self.sessions.next_after(Some(store.session_id())).await {
                Ok(next) => next,
                Err(closed) => return closed,
            };
            if let Err(error) = self.insist(&store).await {
                return error;
            }
        }
    }

    /// Puts the node right whenever somebody has deleted or damaged it, until the session is over.
    async fn keep_in(&self, store: &Store) -> Result<(), zookeeper::Error> {
        let mut node = store.watch_broker(self.broker.id);
        loop {
            let found = match node.next().await {
                Ok(Some(found)) if (&found.host, found.port) == (&self.broker.host, self.broker.port) => {
                    continue;
                }
                Ok(Some(found)) => format!("says {}:{}", found.host, found.port),
                Ok(None) => "is gone".to_owned(),
                Err(error @ zookeeper::Error::Corrupt { .. }) => error.to_string(),
                Err(_) => {
                    store.ended().await;
                    return Ok(());
                }
            };
            tracing::warn!("this broker's node in ZooKeeper was changed by somebody else: {found}");
            self.insist(store).await?;
        }
    }

    /// Goes and comes again while no controller gives this broker the roles of what it keeps. A controller of 0.8.2.2
    /// compares ids only: it doesn't notice a broker that was away between two of its looks, and never tells it what to
    /// lead and to follow, whatever else it tells it.
    async fn be_noticed(&self, store: &Store, partitions: &Partitions) -> Result<(), zookeeper::Error> {
        for _ in 0..UNNOTICED_MAX {
            let forgotten = self.forgotten(store, partitions).await?;
            if forgotten.is_empty() {
                break;
            }
            tracing::warn!(
                "no controller has spoken of {}, and of nothing else that is here for {UNNOTICED:?}: registering again",
                listed(&forgotten.iter().collect::<Vec<_>>())
            );
            store.unregister_broker(self.broker.id).await?;
            self.register_in(store).await?;
        }
        Ok(())
    }

    /// Waits for as long as roles keep coming. Answers the replicas that are still without one and should have one.
    async fn forgotten(
        &self,
        store: &Store,
        partitions: &Partitions,
    ) -> Result<Vec<TopicPartition>, zookeeper::Error> {
        let mut changes = partitions.changes();
        let mut waiting = partitions.without_orders();
        while !waiting.is_empty() {
            let fewer = changes.wait_for(|_| partitions.without_orders().len() < waiting.len());
            let told = timeout(UNNOTICED, fewer).await.is_ok();
            // An order that is being carried out tells nobody before its end.
            let left = partitions.without_orders();
            if !told && left.len() >= waiting.len() {
                return self.expected(store, left).await;
            }
            waiting = left;
        }
        Ok(waiting)
    }

    /// Those of these replicas whose roles a controller knows, and must tell this broker.
    async fn expected(
        &self,
        store: &Store,
        replicas: Vec<TopicPartition>,
    ) -> Result<Vec<TopicPartition>, zookeeper::Error> {
        let doomed = store.topic_deletions().await?;
        let topics: BTreeSet<Arc<str>> = replicas.iter().map(|name| Arc::clone(&name.topic)).collect();
        let names: Vec<String> = topics
            .iter()
            .map(ToString::to_string)
            .filter(|topic| !doomed.contains(topic))
            .collect();
        let mut assigned = BTreeSet::new();
        for (topic, assignment) in names.iter().zip(store.assignments(&names).await) {
            let assignment = match assignment {
                Ok(assignment) => assignment.unwrap_or_default(),
                Err(zookeeper::Error::Corrupt { .. }) => continue,
                Err(error) => return Err(error),
            };
            let mine = assignment
                .into_iter()
                .filter(|(_, replicas)| replicas.contains(&self.broker.id));
            assigned.extend(mine.map(|(number, _)| TopicPartition::new(topic.as_str(), number)));
        }
        let assigned: Vec<_> = replicas
            .into_iter()
            .filter(|name| assigned.contains(name))
            .collect();
        let mut expected = Vec::new();
        for (name, state) in assigned.iter().zip(store.partition_states(&assigned).await) {
            match state {
                Ok(Some(_)) => expected.push(name.clone()),
                // Nobody decides about it.
                Ok(None) | Err(zookeeper::Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(expected)
    }

    /// Tries for as long as the session lasts; only a live broker with the same id is a reason to give up.
    async fn insist(&self, store: &Store) -> Result<(), zookeeper::Error> {
        loop {
            match self.register_in(store).await {
                Err(error @ zookeeper::Error::BrokerIdTaken { .. }) => return Err(error),
                Ok(()) | Err(zookeeper::Error::SessionLost) => return Ok(()),
                Err(error) => tracing::warn!("registration in ZooKeeper: {error}; trying again"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn register_in(&self, store: &Store) -> Result<(), zookeeper::Error> {
        store.create_common_paths().await?;
        let broker = BrokerRegistration {
            // As text: the reference can't read larger numbers in JSON.
            timestamp: now_millis().to_string(),
            ..self.broker.clone()
        };
        store
            .register_broker(&broker, |waiting| {
                let seconds = waiting.remaining.as_secs();
                if waiting.remaining.is_zero() {
                    tracing::warn!(
                        "broker {} is still registered as {}:{}; is another process running with the same settings?",
                        broker.id,
                        broker.host,
                        broker.port
                    );
                } else {
                    tracing::info!(
                        "broker {} is still registered by an earlier run of its own, which expires in {seconds} s",
                        broker.id
                    );
                }
            })
            .await?;
        tracing::info!(
            "registered broker {} as {}:{}",
            broker.id,
            broker.host,
            broker.port
        );
        self.session.send_replace(Some(store.session_id()));
        Ok(())
    }
}
