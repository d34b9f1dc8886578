//! `/brokers/ids`: which brokers run, and where.

use std::time::Duration;

use tokio::time::Instant;
use tokio::time::sleep;
use tracing::warn;

use crate::types::BrokerId;
use crate::zookeeper::BrokerRegistration;
use crate::zookeeper::Error;
use crate::zookeeper::Node;
use crate::zookeeper::SessionId;
use crate::zookeeper::Store;
use crate::zookeeper::Watched;
use crate::zookeeper::election::Claim;
use crate::zookeeper::paths;
use crate::zookeeper::pipeline::pipelined;

/// How often somebody who waits for a dead session hears about it.
const WAITING_INTERVAL: Duration = Duration::from_secs(1);

/// The id is held by a session of ours that nobody uses any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The session that holds it.
    pub session: SessionId,
    /// How long we have been waiting.
    pub waited: Duration,
    /// How long it should take at most: zero once that is over, which hints at a second process with the same id,
    /// host and port.
    pub remaining: Duration,
}

/// How long the id stays unused between two sessions, so that the controller sees that the first one ended.
const GAP: Duration = Duration::from_secs(1);

/// The broker is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// How long a dead session held the id.
    pub waited: Duration,
}

impl Store {
    /// Registers a broker for as long as the session lasts.
    ///
    /// If a dead session of this very broker (same host and port) still holds the id, this waits until it is gone,
    /// however long that takes, and calls `waiting` every second. Anybody else makes it
    /// [`Error::BrokerIdTaken`].
    pub async fn register_broker(
        &self,
        me: &BrokerRegistration,
        mut waiting: impl FnMut(Waiting) + Send,
    ) -> Result<Registered, Error> {
        let path = paths::broker(me.id);
        let mut waiting_since = None;
        loop {
            let (node, change) = match self.claim(&path, me.encode().as_bytes()).await? {
                Claim::Ours => {
                    let waited = waiting_since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
                    return Ok(Registered { waited });
                }
                Claim::Taken(node, change) => (node, change),
            };
            refuse_others(me, &path, &node)?;
            let since = *waiting_since.get_or_insert_with(Instant::now);
            let tick = || {
                let waited = since.elapsed();
                waiting(Waiting {
                    session: node.owner,
                    waited,
                    remaining: self.session_timeout().saturating_sub(waited),
                });
            };
            self.wait_for_change(change, WAITING_INTERVAL, tick).await?;
            // A controller of 0.8.2.2 compares ids only: should it look when the new node is there already, this broker
            // would never be told of its partitions.
            sleep(GAP).await;
        }
    }

    /// Takes a registration of this session back, and leaves the id unused for a moment, so that a controller sees it.
    pub async fn unregister_broker(&self, id: BrokerId) -> Result<(), Error> {
        self.delete(&paths::broker(id), None).await?;
        sleep(GAP).await;
        Ok(())
    }

    /// Every registered broker, by id. A registration that cannot be understood is left out, with a warning.
    pub async fn brokers(&self) -> Result<Vec<BrokerRegistration>, Error> {
        Ok(self.registrations().await?.0)
    }

    /// Every registered broker, and those whose registrations cannot be understood; both by id.
    pub async fn registrations(&self) -> Result<(Vec<BrokerRegistration>, Vec<BrokerId>), Error> {
        let ids = broker_ids(self.children(paths::BROKER_IDS).await?);
        let reads = ids.iter().copied().map(|id| {
            let store = self.clone();
            async move { store.broker(id).await }
        });
        let (mut brokers, mut unreadable) = (Vec::new(), Vec::new());
        for (id, broker) in ids.iter().zip(pipelined(reads).await) {
            match broker {
                Ok(broker) => brokers.extend(broker),
                Err(error @ Error::Corrupt { .. }) => {
                    warn!("skipping a broker: {error}");
                    unreadable.push(*id);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((brokers, unreadable))
    }

    /// One broker, if it is registered.
    pub async fn broker(&self, id: BrokerId) -> Result<Option<BrokerRegistration>, Error> {
        let path = paths::broker(id);
        match self.read(&path).await? {
            Some(node) => BrokerRegistration::parse(&path, id, &node.data),
            None => Ok(None),
        }
    }

    /// Follows what a broker says about itself.
    pub fn watch_broker(&self, id: BrokerId) -> Watched<Option<BrokerRegistration>> {
        Watched::content(self, paths::broker(id), parse_broker)
    }

    /// Follows the ids of the registered brokers, in order.
    pub fn watch_broker_ids(&self) -> Watched<Vec<BrokerId>> {
        Watched::children(self, paths::BROKER_IDS.to_owned(), broker_ids)
    }
}

fn parse_broker(path: &str, node: Option<Node>) -> Result<Option<BrokerRegistration>, Error> {
    let id = path.rsplit('/').next().and_then(|name| name.parse().ok());
    match (node, id) {
        (Some(node), Some(id)) => BrokerRegistration::parse(path, BrokerId(id), &node.data),
        _ => Ok(None),
    }
}

/// Refuses to wait for anybody but our own dead session. A node that can't be read may be its, and is waited for as long
/// as some session owns it.
fn refuse_others(me: &BrokerRegistration, path: &str, node: &Node) -> Result<(), Error> {
    let readable = BrokerRegistration::parse(path, me.id, &node.data)
        .and_then(|holder| holder.ok_or_else(|| Error::corrupt(path, "a registration without content")));
    if matches!(readable, Err(Error::Corrupt { .. })) && node.owner != SessionId(0) {
        return Ok(());
    }
    let holder = readable?;
    // A node without owner is persistent and never goes away by itself.
    let same = holder.host == me.host && holder.port == me.port && node.owner != SessionId(0);
    if same {
        return Ok(());
    }
    Err(Error::BrokerIdTaken {
        id: me.id.0,
        host: holder.host,
        port: holder.port,
        timestamp: holder.timestamp,
        session: node.owner,
    })
}

fn broker_ids(names: Vec<String>) -> Vec<BrokerId> {
    let mut ids: Vec<BrokerId> = names
        .iter()
        .filter_map(|name| name.parse().ok().map(BrokerId))
        .collect();
    ids.sort_unstable();
    ids
}
