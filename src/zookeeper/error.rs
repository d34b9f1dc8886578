//! Why ZooKeeper could not do what was asked, as far as callers treat it differently.

use crate::zookeeper::SessionId;
use crate::zookeeper::servers::Host;
use crate::zookeeper::servers::HostProblem;

/// Why ZooKeeper could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list of hosts, or the path behind it, cannot be understood.
    #[error("ZooKeeper address {text:?}: {problem}")]
    Address {
        /// What was configured.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No session could be opened in time.
    #[error("connect to ZooKeeper: {}", list(.hosts))]
    Unreachable {
        /// Every configured host with its problem.
        hosts: Vec<(Host, HostProblem)>,
    },
    /// The path behind the hosts does not exist.
    #[error("ZooKeeper has no node {chroot}, the chroot of the connect string")]
    NoChroot {
        /// The missing path.
        chroot: String,
    },
    /// There is no session at the moment; another one is being opened.
    #[error("no ZooKeeper session")]
    NotConnected,
    /// The sessions were closed; there will be no other one.
    #[error("the ZooKeeper session is closed")]
    Closed,
    /// The session has ended; its ephemeral nodes are gone.
    #[error("the ZooKeeper session has ended")]
    SessionLost,
    /// ZooKeeper did not answer in time. Whether a write took effect is unknown.
    #[error("access {path}: ZooKeeper does not answer")]
    Unavailable {
        /// The node.
        path: String,
    },
    /// Somebody else wrote the node first.
    #[error("write {path}: changed by somebody else")]
    Conflict {
        /// The node.
        path: String,
    },
    /// Another controller has begun its term; what the one before it decides is refused.
    #[error("write {path}: another controller has begun its term")]
    Fenced {
        /// The node that was to be written.
        path: String,
    },
    /// The node is there already.
    #[error("create {path}: exists")]
    Exists {
        /// The node.
        path: String,
    },
    /// The node, or its parent, is not there.
    #[error("access {path}: no such node")]
    NotFound {
        /// The node.
        path: String,
    },
    /// The node has children.
    #[error("delete {path}: not empty")]
    NotEmpty {
        /// The node.
        path: String,
    },
    /// The node holds something that cannot be understood.
    #[error("read {path}: {problem}")]
    Corrupt {
        /// The node.
        path: String,
        /// What is wrong with its content.
        problem: String,
    },
    /// The credentials were refused, or do not allow this.
    #[error("access {path}: not authorized")]
    Auth {
        /// The node, or `/` if the session itself was refused.
        path: String,
    },
    /// Another broker with our id is running.
    #[error("broker id {id} is taken by {host}:{port}, registered at {timestamp} by session {session}")]
    BrokerIdTaken {
        /// The id.
        id: i32,
        /// Where the other broker is reached.
        host: String,
        /// Where the other broker is reached.
        port: i32,
        /// When it registered, in milliseconds since 1970.
        timestamp: String,
        /// Its session; 0 if somebody made the node persistent.
        session: SessionId,
    },
    /// Anything else, which retrying is unlikely to cure.
    #[error("access {path}")]
    Refused {
        /// The node.
        path: String,
        /// What the client says.
        source: zookeeper_client::Error,
    },
}

impl Error {
    pub(super) fn from_zookeeper(path: &str, error: zookeeper_client::Error) -> Self {
        use zookeeper_client::Error as Client;
        let path = path.to_owned();
        match error {
            error if is_connection_loss(&error) => Self::Unavailable { path },
            Client::SessionExpired | Client::SessionMoved | Client::ClientClosed => Self::SessionLost,
            Client::BadVersion => Self::Conflict { path },
            Client::NodeExists => Self::Exists { path },
            Client::NoNode => Self::NotFound { path },
            Client::NotEmpty => Self::NotEmpty { path },
            Client::NoAuth | Client::AuthFailed | Client::InvalidAcl => Self::Auth { path },
            source => Self::Refused { path, source },
        }
    }

    /// The same again, if it says nothing about a node: whatever else is asked for meets it, too.
    pub(super) fn repeated(&self) -> Option<Self> {
        match self {
            Self::SessionLost => Some(Self::SessionLost),
            Self::Unavailable { path } => Some(Self::Unavailable { path: path.clone() }),
            Self::Fenced { path } => Some(Self::Fenced { path: path.clone() }),
            _ => None,
        }
    }

    pub(super) fn corrupt(path: &str, problem: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}

/// Whether the connection broke: nobody knows if the request took effect, but the session may live on.
pub(super) fn is_connection_loss(error: &zookeeper_client::Error) -> bool {
    use zookeeper_client::Error as Client;
    // The client passes on what broke the connection, and that may be any I/O error.
    matches!(
        error,
        Client::ConnectionLoss | Client::Timeout | Client::NoHosts | Client::Custom(_) | Client::Throttled
    )
}

fn list(hosts: &[(Host, HostProblem)]) -> String {
    let problems: Vec<String> = hosts
        .iter()
        .map(|(host, problem)| format!("{host} {problem}"))
        .collect();
    problems.join(", ")
}
