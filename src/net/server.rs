//! Accepting clients: bind, admit, spawn, drain.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::Domain;
use socket2::Protocol;
use socket2::SockRef;
use socket2::Socket;
use socket2::Type;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Handler;
use super::Peer;
use super::connection::Connection;
use super::descriptors::Descriptors;
use super::limits::PerIp;
use super::shared::Memory;
use super::shared::Shared;
use crate::metrics::ClosedBecause;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// After an accept that failed, for example for want of file descriptors: the connections that are there can go on.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Longer idle times are cut to this, ten years: a moment so far ahead must still be a moment.
const IDLE_LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Memory for the requests in flight unless it is configured. Above the largest request of the defaults (100 MiB),
/// small enough for a small machine.
pub const QUEUED_BYTES: u32 = 128 << 20;

/// How to listen, and what clients may do.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Name or address to listen on; all addresses of this machine if absent.
    pub host: Option<String>,
    /// Port to listen on; 0 has the system choose.
    pub port: u16,
    /// Connections that may wait to be accepted.
    pub backlog: i32,
    /// Of each socket, in the kernel; the system's choice if absent.
    pub send_buffer_bytes: Option<usize>,
    /// Of each socket, in the kernel; the system's choice if absent.
    pub receive_buffer_bytes: Option<usize>,
    /// Size of the largest request.
    pub max_request_bytes: usize,
    /// How long a client may send nothing; `Duration::MAX` is for ever.
    pub max_idle: Duration,
    /// Connections from one address.
    pub max_connections_per_ip: usize,
    /// The same for certain hosts.
    pub max_connections_per_ip_overrides: HashMap<String, usize>,
    /// Bytes in this process at once of requests and of answers that are not read; one request of any legal size always
    /// gets through.
    pub queued_bytes: usize,
    /// How long answers may take that are under way when the broker stops.
    pub drain: Duration,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            host: None,
            port: 9092,
            backlog: 4096,
            send_buffer_bytes: Some(100 << 10),
            receive_buffer_bytes: None,
            max_request_bytes: 100 << 20,
            max_idle: Duration::from_secs(600),
            max_connections_per_ip: usize::MAX,
            max_connections_per_ip_overrides: HashMap::new(),
            queued_bytes: QUEUED_BYTES as usize,
            drain: Duration::from_secs(2),
        }
    }
}

/// Why it is not possible to listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name has no address.
    #[error("resolve {host}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The address is taken, or not one of this machine.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// A bound socket for clients that are not served yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    descriptors: Descriptors,
    per_ip: Arc<PerIp>,
    shared: Arc<Shared>,
    send_buffer_bytes: Option<usize>,
    drain: Duration,
}

impl Listener {
    /// Binds and listens: clients may connect from now on, and wait until [`Listener::run`].
    pub async fn bind(config: ListenerConfig, metrics: &Metrics) -> Result<Self, Error> {
        let mut overrides = HashMap::new();
        for (host, limit) in &config.max_connections_per_ip_overrides {
            for address in resolve(host).await? {
                overrides.insert(address.to_canonical(), *limit);
            }
        }
        let memory = config.queued_bytes.max(config.max_request_bytes);
        let waiting = &metrics.connections().waiting_for_memory;
        let shared = Shared {
            request_bytes_max: config.max_request_bytes,
            idle_max: config.max_idle.min(IDLE_LONGEST),
            memory: Memory::new(memory, config.max_request_bytes, waiting),
            connections: metrics.connections().clone(),
            requests: Arc::clone(metrics.requests()),
        };
        Ok(Self {
            listener: listen(&config).await?,
            descriptors: Descriptors::of_this_process(),
            per_ip: PerIp::new(config.max_connections_per_ip, overrides),
            shared: Arc::new(shared),
            send_buffer_bytes: config.send_buffer_bytes,
            drain: config.drain,
        })
    }

    /// Where it listens, with the port that the system chose.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until shutdown. Then idle connections are closed at once, and answers under way may still finish.
    pub async fn run(self, handler: impl Handler, mut shutdown: Shutdown) {
        let mut connections = JoinSet::new();
        let mut failing = false;
        let mut number = 0;
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) if !self.descriptors.suffice(&socket) => {
                        if !failing {
                            tracing::warn!("refusing connections: the descriptors that are left are for files");
                        }
                        failing = true;
                        self.shared.connections.accepted.increment(1);
                        self.shared.connections.closed(ClosedBecause::OpenFiles);
                    }
                    Ok((socket, address)) => {
                        failing = false;
                        number += 1;
                        self.admit(&mut connections, socket, Peer { address, number }, (handler.clone(), shutdown.clone()));
                    }
                    Err(error) => {
                        if !failing {
                            tracing::warn!("accept a connection: {error}; trying on");
                        }
                        failing = true;
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => note_ended(ended),
                () = shutdown.requested() => break,
            }
        }
        drop(self.listener);
        let drained = async {
            while let Some(ended) = connections.join_next().await {
                note_ended(ended);
            }
        };
        if tokio::time::timeout(self.drain, drained).await.is_err() {
            tracing::info!("{} connections had answers under way", connections.len());
            connections.shutdown().await;
        }
    }

    fn admit(
        &self,
        connections: &mut JoinSet<()>,
        socket: TcpStream,
        peer: Peer,
        (handler, shutdown): (impl Handler, Shutdown),
    ) {
        let metrics = self.shared.connections.clone();
        metrics.accepted.increment(1);
        let Some(counted) = self.per_ip.admit(peer.address.ip()) else {
            tracing::debug!("{peer}: too many connections from this address");
            metrics.closed(ClosedBecause::PerIpLimit);
            return;
        };
        if let Err(error) = self.set_up(&socket) {
            // Gone again already, or at worst slower than it could be.
            tracing::debug!("{peer}: set socket options: {error}");
        }
        let mut connection = Connection::new(socket, peer, handler, Arc::clone(&self.shared), shutdown);
        connections.spawn(async move {
            let _counted = counted;
            let _open = metrics.open.enter();
            metrics.closed(connection.run().await);
        });
    }

    fn set_up(&self, socket: &TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        match self.send_buffer_bytes {
            Some(bytes) => SockRef::from(socket).set_send_buffer_size(bytes),
            None => Ok(()),
        }
    }
}

fn note_ended(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended.map_err(|error| error.to_string()) {
        tracing::error!("serve a connection: {error}");
    }
}

async fn resolve(host: &str) -> Result<Vec<IpAddr>, Error> {
    let addresses = tokio::net::lookup_host((host, 0)).await;
    let addresses = addresses.map_err(|source| Error::Resolve {
        host: host.to_owned(),
        source,
    })?;
    Ok(addresses.map(|address| address.ip()).collect())
}

async fn listen(config: &ListenerConfig) -> Result<TcpListener, Error> {
    let candidates = match &config.host {
        Some(host) => resolve(host).await?,
        // IPv6 takes IPv4 along; a machine without it has only IPv4.
        None => vec![Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()],
    };
    let mut failed = None;
    for ip in candidates {
        let address = SocketAddr::new(ip, config.port);
        match listen_on(address, config) {
            Ok(listener) => return Ok(listener),
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                return Err(Error::Listen { address, source });
            }
            Err(source) => failed = Some(Error::Listen { address, source }),
        }
    }
    Err(failed.unwrap_or_else(|| Error::Resolve {
        host: config.host.clone().unwrap_or_default(),
        source: io::ErrorKind::NotFound.into(),
    }))
}

fn listen_on(address: SocketAddr, config: &ListenerConfig) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    if let Some(bytes) = config.receive_buffer_bytes {
        // Before listening: the window that is offered depends on it, and accepted sockets inherit it.
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(&address.into())?;
    socket.listen(config.backlog)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}
