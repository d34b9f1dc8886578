//! Many clients at once, none of them well-behaved. They live on a runtime of their own and go when dropped.

use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;

use super::target::PATIENCE;
use crate::support::eventually::eventually;

/// What each client of a crowd does once it is connected.
#[derive(Debug, Clone)]
pub(super) enum Does {
    /// Nothing.
    Idles,
    /// Sends these bytes at once, then one more byte a second, and reads nothing.
    Drips(Bytes),
    /// Sends these bytes, and waits for what comes.
    SendsOnce(Bytes),
    /// Sends these bytes over and over as long as they are taken, and reads nothing.
    Repeats(Bytes),
}

/// Connections that stay until this is dropped, unless the broker closes them.
pub(super) struct Crowd {
    runtime: Option<Runtime>,
    address: SocketAddr,
    connected: Arc<AtomicUsize>,
    taken: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    /// Of those that are to stay.
    lost: Arc<AtomicUsize>,
    wanted: usize,
    staying: usize,
}

impl Crowd {
    pub(super) fn new(address: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self {
            runtime: Some(runtime),
            address,
            connected: Arc::default(),
            taken: Arc::default(),
            closed: Arc::default(),
            lost: Arc::default(),
            wanted: 0,
            staying: 0,
        }
    }

    /// Adds `count` clients, spread over addresses of 127.1.0.0/16, and waits until they are connected.
    #[track_caller]
    pub(super) fn add(&mut self, count: usize, does: &Does) {
        self.add_counting(count, does, &Arc::default());
    }

    /// As [`Self::add`], of such that the broker has no reason to hang up on.
    #[track_caller]
    pub(super) fn add_to_stay(&mut self, count: usize, does: &Does) {
        self.staying += count;
        self.add_counting(count, does, &Arc::clone(&self.lost));
    }

    #[track_caller]
    fn add_counting(&mut self, count: usize, does: &Does, lost: &Arc<AtomicUsize>) {
        for number in self.wanted..self.wanted + count {
            let (connected, closed) = (Arc::clone(&self.connected), Arc::clone(&self.closed));
            let (taken, lost) = (Arc::clone(&self.taken), Arc::clone(lost));
            let (from, to, does) = (loopback(1, number / 200), self.address, does.clone());
            self.spawn(async move {
                let socket = connect(from, to).await.expect("connect to the broker");
                connected.fetch_add(1, Ordering::Relaxed);
                // An error is the broker's way of hanging up.
                let _ = behave(socket, does, &taken).await;
                closed.fetch_add(1, Ordering::Relaxed);
                lost.fetch_add(1, Ordering::Relaxed);
            });
        }
        self.wanted += count;
        eventually("all are connected", PATIENCE, || {
            let connected = self.connected.load(Ordering::Relaxed);
            if connected == self.wanted {
                Ok(())
            } else {
                Err(format!("{connected} of {}", self.wanted))
            }
        });
    }

    /// Connects from one address `per_second` times, and hangs up after an instant.
    pub(super) fn storm(&self, address: Ipv4Addr, per_second: u32) {
        let to = self.address;
        self.spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second);
            loop {
                pace.tick().await;
                tokio::spawn(async move {
                    if let Ok(mut socket) = connect(address, to).await {
                        let _ = tokio::time::timeout(Duration::from_millis(20), socket.read_u8()).await;
                    }
                });
            }
        });
    }

    /// From how many the broker, or this machine's kernel, has taken all that they send at once.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many the broker has hung up on.
    pub(super) fn closed(&self) -> usize {
        self.closed.load(Ordering::Relaxed)
    }

    /// How many are to stay, and how many of them the broker has hung up on.
    pub(super) fn staying(&self) -> (usize, usize) {
        (self.staying, self.lost.load(Ordering::Relaxed))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }
}

/// An address of 127.`net`.0.0/16.
pub(super) fn loopback(net: u8, number: usize) -> Ipv4Addr {
    let [low, high, ..] = number.to_le_bytes();
    Ipv4Addr::new(127, net, high, low.max(1))
}

async fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // So that tens of thousands from one address to one port are no matter of ports that are free.
    socket.set_reuseaddr(true)?;
    // What they don't read is to wait at the broker, not in this machine's kernel, and what they send not here.
    socket.set_recv_buffer_size(16 << 10)?;
    socket.set_send_buffer_size(64 << 10)?;
    socket.bind(SocketAddrV4::new(from, 0).into())?;
    socket.connect(to).await
}

async fn behave(mut socket: TcpStream, does: Does, taken: &AtomicUsize) -> std::io::Result<()> {
    match does {
        Does::Idles => socket.read_u8().await.map(drop),
        Does::SendsOnce(bytes) => {
            socket.write_all(&bytes).await?;
            taken.fetch_add(1, Ordering::Relaxed);
            socket.read_u8().await.map(drop)
        }
        Does::Drips(first) => {
            socket.write_all(&first).await?;
            taken.fetch_add(1, Ordering::Relaxed);
            let second = Duration::from_secs(1);
            let mut pace = tokio::time::interval(second);
            loop {
                pace.tick().await;
                socket.write_all(&[0]).await?;
            }
        }
        Does::Repeats(bytes) => loop {
            socket.write_all(&bytes).await?;
        },
    }
}
