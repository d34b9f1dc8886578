//! Everything the broker keeps in ZooKeeper, typed. Nobody else writes a path or parses the JSON behind it.
//!
//! A [`Store`] belongs to one session and is useless after it; [`Sessions`] hands out the next one. Every call is
//! bounded in time, also while ZooKeeper is away: it ends in [`Error::Unavailable`] or [`Error::SessionLost`].
//! Only operations that ZooKeeper 3.4 knows are used: plain creates, one-shot watches, and transactions. What concerns many
//! nodes is many operations, sent without waiting for each: it may be done in part. Writes and deletions share transactions;
//! the client's creations in a transaction are of a kind that 3.4 does not know.

mod admin;
mod brokers;
mod consumers;
mod controller;
mod election;
mod error;
mod live;
mod partitions;
mod paths;
mod pipeline;
pub mod records;
mod servers;
mod session;
mod topics;
mod transactions;
mod watch;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::watch as channel;
use zookeeper_client::Acl;
use zookeeper_client::Acls;
use zookeeper_client::Client;
use zookeeper_client::CreateMode;
use zookeeper_client::Permission;

pub use self::admin::Reassignments;
pub use self::brokers::Registered;
pub use self::brokers::Waiting;
pub use self::controller::ControllerRegistration;
pub use self::controller::Election;
pub use self::error::Error;
pub use self::partitions::ChangedPartition;
pub use self::partitions::NewPartition;
pub use self::records::Assignment;
pub use self::records::BrokerRegistration;
pub use self::records::LivePartition;
pub use self::records::PartitionState;
pub use self::records::Role;
pub use self::servers::Host;
pub use self::servers::HostProblem;
pub use self::servers::ServerDescription;
pub use self::servers::check_connect_string;
pub use self::session::Config;
pub use self::session::Sessions;
pub use self::session::State;
pub use self::topics::ConfigChange;
pub use self::topics::ConfigChanges;
pub use self::watch::Watched;

/// Pause before an operation whose connection broke is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// What everybody may read and only we may change.
static SECURED: [Acl; 2] = [
    Acl::new_const(Permission::ALL, "auth", ""),
    Acl::new_const(Permission::READ, "world", "anyone"),
];

/// The number of a ZooKeeper session, as it stands in the `ephemeralOwner` of its nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub i64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A value and the version of the node that it was read from or written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// What the node says.
    pub value: T,
    /// How often the node has been written since its creation.
    pub version: i32,
}

/// Whether one session can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Liveness {
    Connected,
    Disconnected,
    Ended,
}

/// The tree as one session sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    session: SessionId,
    session_timeout: Duration,
    call_timeout: Duration,
    secured: bool,
    /// Taken away on close: the session closes when the last reference is gone.
    client: Mutex<Option<Arc<Client>>>,
    liveness: channel::Receiver<Liveness>,
}

/// Whether an operation may be sent again after its connection broke, when nobody knows if it took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    Safe,
    Never,
}

/// What a node held when it was read.
#[derive(Debug)]
struct Node {
    data: Vec<u8>,
    version: i32,
    owner: SessionId,
}

impl Store {
    fn new(config: &Config, client: Client, liveness: channel::Receiver<Liveness>) -> Self {
        Self(Arc::new(Inner {
            session: SessionId(client.session_id().0),
            session_timeout: client.session_timeout(),
            call_timeout: config.call_timeout,
            secured: config.set_acl,
            client: Mutex::new(Some(Arc::new(client))),
            liveness,
        }))
    }

    /// The session behind this store.
    pub fn session_id(&self) -> SessionId {
        self.0.session
    }

    /// How long the ensemble keeps the session alive without hearing from us, as negotiated.
    pub fn session_timeout(&self) -> Duration {
        self.0.session_timeout
    }

    /// Completes once the session has ended and with it all its ephemeral nodes, or is about to be closed.
    pub async fn ended(&self) {
        // An error means that the task behind the session is gone, and so is the session.
        let _ = self
            .0
            .liveness
            .clone()
            .wait_for(|now| *now == Liveness::Ended)
            .await;
    }

    /// Makes sure of the nodes that every broker creates right after connecting, in the reference's order.
    pub async fn create_common_paths(&self) -> Result<(), Error> {
        for path in paths::COMMON {
            match self.create_with_parents(path, b"", CreateMode::Persistent).await {
                Ok(()) | Err(Error::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The time that the smallest possible question takes.
    pub async fn round_trip(&self) -> Result<Duration, Error> {
        let start = tokio::time::Instant::now();
        self.exists(paths::ROOT).await?;
        Ok(start.elapsed())
    }

    /// Lets go of the session. It closes when the calls that are under way have noticed.
    fn release(&self) {
        self.0
            .client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    async fn connected(&self) -> Result<Arc<Client>, Error> {
        // Waiting here rather than in the client's queue: what times out while ZooKeeper is away is never sent.
        let mut liveness = self.0.liveness.clone();
        let settled = liveness.wait_for(|now| *now != Liveness::Disconnected).await;
        if !settled.is_ok_and(|now| *now == Liveness::Connected) {
            return Err(Error::SessionLost);
        }
        let client = self
            .0
            .client
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        client.ok_or(Error::SessionLost)
    }

    /// Runs one request, bounded in time; sends it again after a broken connection if that is safe.
    async fn call<T, F>(
        &self,
        path: &str,
        retry: Retry,
        mut request: impl FnMut(Arc<Client>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, zookeeper_client::Error>>,
    {
        let attempts = async {
            loop {
                let client = self.connected().await?;
                match request(client).await {
                    Err(error) if retry == Retry::Safe && error::is_connection_loss(&error) => {
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                    result => return result.map_err(|error| Error::from_zookeeper(path, error)),
                }
            }
        };
        tokio::select! {
            biased;
            result = tokio::time::timeout(self.0.call_timeout, attempts) => {
                result.unwrap_or_else(|_| Err(Error::Unavailable { path: path.to_owned() }))
            }
            () = self.ended() => Err(Error::SessionLost),
        }
    }

    async fn exists(&self, path: &str) -> Result<bool, Error> {
        let stat = self
            .call(path, Retry::Safe, |client| async move {
                client.check_stat(path).await
            })
            .await?;
        Ok(stat.is_some())
    }

    /// What the node holds; `None` if there is no such node.
    async fn read(&self, path: &str) -> Result<Option<Node>, Error> {
        let read = self
            .call(
                path,
                Retry::Safe,
                |client| async move { client.get_data(path).await },
            )
            .await;
        found(read.map(|(data, stat)| Node {
            data,
            version: stat.version,
            owner: SessionId(stat.ephemeral_owner),
        }))
    }

    /// Names of the children; none if there is no such node.
    async fn children(&self, path: &str) -> Result<Vec<String>, Error> {
        let read = self
            .call(path, Retry::Safe, |client| async move {
                client.list_children(path).await
            })
            .await;
        Ok(found(read)?.unwrap_or_default())
    }

    /// Creates a node whose parent exists. After a broken connection the second attempt may see the first one's node:
    /// [`Error::Exists`] does not say whose it is.
    async fn create(&self, path: &str, data: &[u8], mode: CreateMode) -> Result<(), Error> {
        let options = mode.with_acls(self.acls(path));
        let options = &options;
        self.call(path, Retry::Safe, |client| async move {
            client.create(path, data, options).await
        })
        .await?;
        Ok(())
    }

    /// Creates a node, and its parents as empty persistent nodes where they are missing.
    async fn create_with_parents(&self, path: &str, data: &[u8], mode: CreateMode) -> Result<(), Error> {
        loop {
            match self.create(path, data, mode).await {
                Err(Error::NotFound { .. }) => self.create_parents(path).await?,
                result => return result,
            }
        }
    }

    async fn create_parents(&self, path: &str) -> Result<(), Error> {
        let parents: Vec<&str> = path
            .match_indices('/')
            .filter_map(|(end, _)| path.get(..end))
            .filter(|parent| !parent.is_empty())
            .collect();
        if parents.is_empty() {
            return Err(Error::NotFound {
                path: paths::ROOT.to_owned(),
            });
        }
        for parent in parents {
            match self.create(parent, b"", CreateMode::Persistent).await {
                Ok(()) | Err(Error::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes an existing node whatever it holds, or only at that version. Returns the new version.
    async fn write(&self, path: &str, data: &[u8], version: Option<i32>, retry: Retry) -> Result<i32, Error> {
        let stat = self
            .call(path, retry, |client| async move {
                client.set_data(path, data, version).await
            })
            .await?;
        Ok(stat.version)
    }

    /// Writes a persistent node whatever it holds; creates it, and its parents, if there is none.
    async fn overwrite(&self, path: &str, data: &[u8]) -> Result<(), Error> {
        loop {
            match self.write(path, data, None, Retry::Safe).await {
                Err(Error::NotFound { .. }) => {}
                result => return result.map(|_| ()),
            }
            match self.create_with_parents(path, data, CreateMode::Persistent).await {
                Err(Error::Exists { .. }) => {}
                result => return result,
            }
        }
    }

    /// Deletes a node; one that is not there counts as deleted.
    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        let deleted = self
            .call(path, Retry::Safe, |client| async move {
                client.delete(path, version).await
            })
            .await;
        found(deleted).map(|_| ())
    }

    fn acls(&self, path: &str) -> Acls<'static> {
        // Consumers of old releases do not authenticate, and write next to what we write there.
        if self.0.secured && !paths::is_consumers(path) {
            Acls::new(&SECURED)
        } else {
            Acls::anyone_all()
        }
    }
}

/// Turns "no such node" into `None`.
fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
