//! Being in `/brokers/ids`, across sessions.

use tokio::sync::watch;

use crate::zookeeper;
use crate::zookeeper::BrokerRegistration;
use crate::zookeeper::Sessions;
use crate::zookeeper::Store;

/// Keeps the broker registered: once per session, for as long as it runs.
#[derive(Debug)]
pub struct Registration {
    sessions: Sessions,
    broker: BrokerRegistration,
    session: watch::Sender<Option<i64>>,
}

impl Registration {
    /// Not registered yet. The receiver tells in which session the broker is.
    pub fn new(sessions: Sessions, broker: BrokerRegistration) -> (Self, watch::Receiver<Option<i64>>) {
        let (session, registered) = watch::channel(None);
        (Self { sessions, broker, session }, registered)
    }

    /// Registers for the first time. A node of a dead session of ours is waited out; a live broker of the same id is
    /// an error that the start must not outlive.
    pub async fn register(&self) -> Result<Store, zookeeper::Error> {
        let store = self.sessions.current()?;
        self.register_in(&store).await?;
        Ok(store)
    }

    /// Registers anew in every session after `first`. Completes only with an error: another live broker took the id
    /// while this one had no session.
    pub async fn keep(self, first: Store) -> zookeeper::Error {
        let mut store = first;
        loop {
            store.ended().await;
            self.session.send_replace(None);
            store = self.sessions.next_session(Some(&store)).await;
            match self.register_in(&store).await {
                Ok(()) => {}
                Err(error @ zookeeper::Error::BrokerIdTaken { .. }) => return error,
                Err(error) => tracing::warn!("registration in ZooKeeper: {error}"),
            }
        }
    }

    async fn register_in(&self, store: &Store) -> Result<(), zookeeper::Error> {
        store.create_common_paths().await?;
        let broker = BrokerRegistration { timestamp: zookeeper::now(), ..self.broker.clone() };
        store
            .register_broker(&broker, |waiting| {
                tracing::info!(
                    "broker {} is still registered by a session of ours that ended; it expires in at most {} s",
                    broker.id,
                    waiting.as_secs()
                );
            })
            .await?;
        tracing::info!("registered broker {} as {}:{}", broker.id, broker.host, broker.port);
        self.session.send_replace(Some(store.session_id()));
        Ok(())
    }
}
