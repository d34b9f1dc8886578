//! Moving frames between sockets and whoever answers them. Knows the protocol, not the broker.
//!
//! [`Listener`] serves clients: one task per connection reads, decodes, calls the [`Handler`] and writes, so that a
//! request never waits for another thread. [`Caller`] is the other side: it sends requests and awaits their answers.

mod answers;
mod budget;
mod caller;
mod connection;
mod descriptors;
mod frame;
mod incoming;
mod limits;
mod outgoing;
mod pace;
mod request_kind;
mod sendfile;
mod server;
mod shared;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

pub use caller::CallError;
pub use caller::Caller;
pub use frame::BadSize;
pub use frame::FrameBuffer;
pub use server::Error;
pub use server::Listener;
pub use server::ListenerConfig;
pub use server::QUEUED_BYTES;

use crate::protocol::DecodeError;
use crate::protocol::Request;
use crate::protocol::RequestHeader;
use crate::protocol::Response;

/// A future whose type does not matter.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Which connection this is: later ones have greater numbers.
    pub number: u64,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // IPv4 arrives mapped at a socket that listens to both versions.
        SocketAddr::new(self.address.ip().to_canonical(), self.address.port()).fmt(f)
    }
}

/// Answers requests. Each connection has a clone of its own.
pub trait Handler: Clone + Send + 'static {
    /// Answers one request, or promises an answer. Runs on the thread that serves sockets, so it must not block for long.
    fn handle(&self, peer: &Peer, header: RequestHeader, request: Request) -> Reply;

    /// The peer sent something that is not a request this broker understands; its connection will be closed.
    fn refused(&self, peer: &Peer, error: DecodeError);

    /// The peer announced a frame of a size that no request has (most likely it speaks another protocol); its connection
    /// will be closed.
    fn misframed(&self, peer: &Peer, size: i32) {
        tracing::debug!("{peer}: a frame of {size} bytes");
    }
}

/// What becomes of a request. Answers leave in the order of their requests, whatever becomes of them.
pub enum Reply {
    /// This answer.
    Send(Response),
    /// No answer.
    Nothing,
    /// The connection is closed, once earlier answers are written.
    Close,
    /// What the future says. Further requests of the connection are handled meanwhile: for appends that are done and
    /// only await acknowledgement.
    Acknowledging(BoxFuture<'static, Self>),
    /// What the future says. Nothing else of this connection is handled meanwhile. If the peer hangs up first, the
    /// future is dropped.
    Later(BoxFuture<'static, Self>),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Send(_) => "Send",
            Self::Nothing => "Nothing",
            Self::Close => "Close",
            Self::Acknowledging(_) => "Acknowledging",
            Self::Later(_) => "Later",
        })
    }
}

#[cfg(test)]
mod tests;
