//! What a connection hears from the other side: bytes, or that it is gone; and leave to hear more.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::BoxFuture;
use super::connection::Shared;
use super::frame::FrameBuffer;

/// What the other side did, or may do.
pub(super) enum Incoming {
    Read(usize),
    /// The first frame in the buffer has leave.
    Leave,
    HungUp,
}

/// What a connection wants to know of the other side.
#[derive(Clone, Copy)]
pub(super) enum Watched {
    /// Nothing; it has enough to do.
    Nothing,
    /// Only whether it hangs up. Its bytes stay in the socket.
    HangUp,
    /// Its bytes.
    Bytes,
}

pub(super) async fn incoming(
    socket: &mut TcpStream,
    input: &mut FrameBuffer,
    (leave, shared): (&mut Leave, &Shared),
    watched: Watched,
) -> io::Result<Incoming> {
    match watched {
        Watched::Nothing => std::future::pending().await,
        Watched::HangUp => {
            // The socket is readable while pipelined requests lie in it; only its end is of interest.
            let ready = socket.ready(Interest::PRIORITY | Interest::ERROR).await?;
            if ready.is_read_closed() || ready.is_error() {
                return Ok(Incoming::HungUp);
            }
            std::future::pending().await
        }
        Watched::Bytes => {
            if let Some(len) = input.needs_leave().filter(|_| leave.given.is_none()) {
                leave.ask(len, shared).await;
                return Ok(Incoming::Leave);
            }
            socket.readable().await?; // No buffer is held while nothing comes.
            Ok(Incoming::Read(
                socket.read_buf(input.room(leave.given.is_some())).await?,
            ))
        }
    }
}

/// Leave to keep the frame that is being read in memory.
#[derive(Default)]
pub(super) struct Leave {
    given: Option<OwnedSemaphorePermit>,
    /// Kept while other things happen, so that the place in the queue is not lost.
    asked: Option<BoxFuture<'static, Option<OwnedSemaphorePermit>>>,
}

impl Leave {
    pub(super) fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// The leave of the frame that is complete now.
    pub(super) fn take(&mut self) -> Option<OwnedSemaphorePermit> {
        self.given.take()
    }

    async fn ask(&mut self, len: usize, shared: &Shared) {
        let asked = self.asked.get_or_insert_with(|| {
            let memory = Arc::clone(&shared.memory);
            let waiting = shared.connections.waiting_for_memory.clone();
            let permits = u32::try_from(len).unwrap_or(u32::MAX);
            Box::pin(async move {
                if let Ok(given) = Arc::clone(&memory).try_acquire_many_owned(permits) {
                    return Some(given);
                }
                let _waiting = waiting.enter();
                memory.acquire_many_owned(permits).await.ok() // Never closed.
            })
        });
        self.given = asked.await;
        self.asked = None;
    }
}
