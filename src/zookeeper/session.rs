//! Connecting, noticing the end of a session, opening the next.
//!
//! One task owns the session. When it ends, nothing is patched up: the task publishes that, opens another one, for as
//! long as it takes, and publishes a new [`Store`]. Host names are resolved again at every attempt.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::sleep_until;
use tokio::time::timeout;
use tokio::time::timeout_at;
use tracing::info;
use tracing::warn;
use zookeeper_client::Acls;
use zookeeper_client::Client;
use zookeeper_client::CreateMode;
use zookeeper_client::SessionState;
use zookeeper_client::StateWatcher;

use crate::shutdown::Shutdown;
use crate::zookeeper::Error;
use crate::zookeeper::Liveness;
use crate::zookeeper::SECURED;
use crate::zookeeper::SessionId;
use crate::zookeeper::Store;
use crate::zookeeper::servers;
use crate::zookeeper::servers::Host;
use crate::zookeeper::servers::ServerDescription;

/// How long closing waits for ZooKeeper to confirm it. Unconfirmed, the ephemeral nodes stay for the session timeout.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause between two attempts to open a session.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// How long a host is questioned about what is wrong with it.
const DIAGNOSIS_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a host is asked for its version, which nothing depends on.
const VERSION_TIMEOUT: Duration = Duration::from_secs(3);

/// Where ZooKeeper is and how to talk to it.
#[derive(Clone)]
pub struct Config {
    /// Hosts, and behind them the path below which everything happens: `h1:2181,h2:2181/kafka`.
    pub connect: String,
    /// How long the ensemble keeps a session, and its ephemeral nodes, without hearing from us.
    pub session_timeout: Duration,
    /// How long the first connect may take.
    pub connection_timeout: Duration,
    /// How long any call may take.
    pub call_timeout: Duration,
    /// Scheme and credentials, such as `digest` and `user:password`.
    pub auth: Option<(String, String)>,
    /// Whether only we may change the nodes that we create. Needs `auth`.
    pub set_acl: bool,
    /// Whether a missing chroot is created.
    pub create_chroot: bool,
}

impl Config {
    /// The settings 0.8.2.2 has where none are given.
    pub fn new(connect: impl Into<String>) -> Self {
        let session_timeout = Duration::from_secs(6);
        Self {
            connect: connect.into(),
            session_timeout,
            connection_timeout: session_timeout,
            call_timeout: session_timeout,
            auth: None,
            set_acl: false,
            create_chroot: true,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By hand, so that the credentials stay out of the log.
        f.debug_struct("Config")
            .field("connect", &self.connect)
            .field("session_timeout", &self.session_timeout)
            .field("auth", &self.auth.as_ref().map(|(scheme, _)| scheme))
            .finish_non_exhaustive()
    }
}

/// What the session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Usable.
    Connected(SessionId),
    /// Not usable, but perhaps again: the ensemble may still keep it.
    Disconnected(SessionId),
    /// Ended; the next one is being opened.
    Expired,
    /// Closed for good.
    Closed,
}

/// One session after the other. Cheap to clone; dropping the last clone closes the session.
#[derive(Debug, Clone)]
pub struct Sessions(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    hosts: Vec<Host>,
    state: watch::Receiver<State>,
    store: watch::Receiver<Option<Store>>,
    closing: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Sessions {
    /// Opens the first session, within the connection timeout.
    pub async fn start(config: Config, mut shutdown: Shutdown) -> Result<Self, Error> {
        let connector = Connector::new(config)?;
        let hosts = connector.hosts.clone();
        let client = tokio::select! {
            client = Box::pin(connector.open_first()) => client?,
            () = shutdown.requested() => return Err(Error::Closed),
        };
        let (closing, closed) = watch::channel(false);
        let (state_sender, state) = watch::channel(State::Expired);
        let (store_sender, store) = watch::channel(None);
        let mut owner = Owner {
            connector,
            closing: closed,
            state: state_sender,
            store: store_sender,
        };
        let session = owner.publish(client);
        let task = tokio::spawn(async move { owner.run(session).await });
        Ok(Self(Arc::new(Handle {
            hosts,
            state,
            store,
            closing,
            task: Mutex::new(Some(task)),
        })))
    }

    /// The session at hand.
    pub fn current(&self) -> Result<Store, Error> {
        let absent = match *self.0.state.borrow() {
            State::Closed => Error::Closed,
            _ => Error::NotConnected,
        };
        self.0.store.borrow().clone().ok_or(absent)
    }

    /// Waits for a session other than the given one; with `None`, for any.
    pub async fn next_after(&self, previous: Option<SessionId>) -> Result<Store, Error> {
        let mut stores = self.0.store.clone();
        let newer = |store: &Option<Store>| {
            store
                .as_ref()
                .is_some_and(|store| Some(store.session_id()) != previous)
        };
        // The task holds the sender for as long as there can be another session.
        let store = stores.wait_for(newer).await.map_err(|_| Error::Closed)?;
        store.clone().ok_or(Error::Closed)
    }

    /// What the session is doing, now and after every change.
    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.0.state.clone()
    }

    /// Release and distance of the ensemble, for people to read.
    pub async fn describe_server(&self) -> Result<ServerDescription, Error> {
        let round_trip = self.current()?.round_trip().await?;
        let version = servers::version(&self.0.hosts, VERSION_TIMEOUT).await;
        Ok(ServerDescription { version, round_trip })
    }

    /// Closes the session, so that its ephemeral nodes vanish at once. Takes two seconds at most.
    pub async fn close(&self) {
        self.0.closing.send_replace(true);
        if let Some(task) = self.0.task.lock().await.take() {
            let stop = task.abort_handle();
            if timeout(CLOSE_TIMEOUT + RECONNECT_PAUSE, task).await.is_err() {
                stop.abort();
            }
        }
    }
}

/// Opens sessions.
struct Connector {
    config: Config,
    hosts: Vec<Host>,
    chroot: String,
}

impl Connector {
    fn new(config: Config) -> Result<Self, Error> {
        let (hosts, chroot) = servers::parse_connect_string(&config.connect)?;
        Ok(Self {
            config,
            hosts,
            chroot,
        })
    }

    /// Tries until the connection timeout, and then says what is wrong with each host.
    async fn open_first(&self) -> Result<Client, Error> {
        let deadline = Instant::now() + self.config.connection_timeout;
        let diagnosis_time = DIAGNOSIS_TIMEOUT.min(self.config.connection_timeout / 2);
        let diagnosis = async {
            sleep_until(deadline - diagnosis_time).await;
            let hosts = servers::diagnose(&self.hosts, diagnosis_time).await;
            sleep_until(deadline).await;
            Error::Unreachable { hosts }
        };
        let attempts = async {
            loop {
                match self.open().await {
                    Err(Error::Unavailable { .. } | Error::SessionLost) => sleep(RECONNECT_PAUSE).await,
                    result => return result,
                }
            }
        };
        tokio::select! {
            result = attempts => result,
            error = diagnosis => Err(error),
        }
    }

    /// One attempt, which goes round the hosts for as long as the session timeout.
    async fn open(&self) -> Result<Client, Error> {
        // The release is a lower bound: create2 and everything that came after it stay unused.
        let mut connector = Client::connector()
            .with_server_version(3, 4, 6)
            .with_session_timeout(self.config.session_timeout);
        if let Some((scheme, credentials)) = &self.config.auth {
            connector = connector.with_auth(scheme, credentials.as_bytes());
        }
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        let refused = |error| Error::from_zookeeper("/", error);
        let client = connector.connect(&hosts.join(",")).await.map_err(refused)?;
        if self.chroot.is_empty() {
            return Ok(client);
        }
        self.find_chroot(&client).await?;
        client.chroot(self.chroot.as_str()).map_err(|_| Error::Address {
            text: self.config.connect.clone(),
            problem: format!("{} is no path", self.chroot),
        })
    }

    async fn find_chroot(&self, client: &Client) -> Result<(), Error> {
        let refused = |error| Error::from_zookeeper(&self.chroot, error);
        if client.check_stat(&self.chroot).await.map_err(refused)?.is_some() {
            return Ok(());
        }
        if !self.config.create_chroot {
            return Err(Error::NoChroot {
                chroot: self.chroot.clone(),
            });
        }
        let acls = if self.config.set_acl {
            Acls::new(&SECURED)
        } else {
            Acls::anyone_all()
        };
        let options = CreateMode::Persistent.with_acls(acls);
        client.mkdir(&self.chroot, &options).await.map_err(refused)
    }
}

/// The task that owns the session.
struct Owner {
    connector: Connector,
    closing: watch::Receiver<bool>,
    state: watch::Sender<State>,
    store: watch::Sender<Option<Store>>,
}

/// A session from its owner's point of view.
struct Session {
    store: Store,
    changes: StateWatcher,
    liveness: watch::Sender<Liveness>,
}

impl Owner {
    async fn run(mut self, mut session: Session) {
        loop {
            self.follow(&mut session).await;
            session.liveness.send_replace(Liveness::Ended);
            session.store.release();
            self.store.send_replace(None);
            if *self.closing.borrow() || self.closing.has_changed().is_err() {
                close(session).await;
                break;
            }
            self.state.send_replace(State::Expired);
            warn!("ZooKeeper session {} has ended", session.store.session_id());
            let Some(client) = self.open_next().await else {
                break;
            };
            session = self.publish(client);
        }
        self.state.send_replace(State::Closed);
    }

    /// Makes a session known.
    fn publish(&mut self, client: Client) -> Session {
        let changes = client.state_watcher();
        let (liveness, receiver) = watch::channel(Liveness::Connected);
        let store = Store::new(&self.connector.config, client, receiver);
        let id = store.session_id();
        info!(
            "ZooKeeper session {id} with a timeout of {} ms",
            store.session_timeout().as_millis()
        );
        self.state.send_replace(State::Connected(id));
        self.store.send_replace(Some(store.clone()));
        Session {
            store,
            changes,
            liveness,
        }
    }

    /// Passes on how the session is, until it has ended or is to be closed.
    async fn follow(&mut self, session: &mut Session) {
        let id = session.store.session_id();
        let mut now = session.changes.state();
        loop {
            let (liveness, state) = match now {
                SessionState::SyncConnected | SessionState::ConnectedReadOnly => {
                    (Liveness::Connected, State::Connected(id))
                }
                SessionState::Disconnected => (Liveness::Disconnected, State::Disconnected(id)),
                SessionState::Expired | SessionState::AuthFailed | SessionState::Closed => return,
            };
            session.liveness.send_replace(liveness);
            let changed = self.state.send_if_modified(|current| {
                let changed = *current != state;
                *current = state;
                changed
            });
            if changed {
                info!("ZooKeeper session {id}: {now}");
            }
            tokio::select! {
                state = session.changes.changed() => now = state,
                // An error means that nobody is left who could use the session.
                _ = self.closing.wait_for(|closing| *closing) => return,
            }
        }
    }

    /// Tries until it has a session, or is to be closed.
    async fn open_next(&mut self) -> Option<Client> {
        loop {
            let attempt = async {
                let opened = Box::pin(self.connector.open()).await;
                if let Err(error) = &opened {
                    warn!("opening a ZooKeeper session: {error}");
                    sleep(RECONNECT_PAUSE).await;
                }
                opened
            };
            tokio::select! {
                opened = attempt => if let Ok(client) = opened { return Some(client) },
                _ = self.closing.wait_for(|closing| *closing) => return None,
            }
        }
    }
}

/// Waits until ZooKeeper has confirmed that the session is closed, but not for long.
async fn close(mut session: Session) {
    let deadline = Instant::now() + CLOSE_TIMEOUT;
    let mut now = session.changes.state();
    while !now.is_terminated() {
        match timeout_at(deadline, session.changes.changed()).await {
            Ok(state) => now = state,
            Err(_) => {
                warn!(
                    "ZooKeeper did not confirm that session {} is closed",
                    session.store.session_id()
                );
                return;
            }
        }
    }
}
