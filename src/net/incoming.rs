//! What a connection hears from the other side: bytes, or that it is gone; and leave to hear more.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::BoxFuture;
use super::budget::Charge;
use super::budget::Exception;
use super::frame::FrameBuffer;
use super::shared::Memory;

/// What the other side did, or may do.
pub(super) enum Incoming {
    Read(usize),
    /// There may be memory for the first frame now.
    Leave,
    HungUp,
}

/// What a connection wants to know of the other side.
#[derive(Clone, Copy)]
pub(super) enum Watched {
    /// Only whether it is reset; there is enough to do.
    Reset,
    /// Only whether it hangs up. Its bytes stay in the socket.
    HangUp,
    /// Its bytes.
    Bytes,
}

pub(super) async fn incoming(
    socket: &mut TcpStream,
    input: &mut FrameBuffer,
    leave: &mut Leave,
    watched: Watched,
) -> io::Result<Incoming> {
    match watched {
        Watched::Reset => {
            if socket.ready(Interest::ERROR).await?.is_error() {
                return Ok(Incoming::HungUp);
            }
            std::future::pending().await
        }
        Watched::HangUp => {
            // The socket is readable while pipelined requests lie in it; only its end is of interest.
            let ready = socket.ready(Interest::PRIORITY | Interest::ERROR).await?;
            if ready.is_read_closed() || ready.is_error() {
                return Ok(Incoming::HungUp);
            }
            std::future::pending().await
        }
        Watched::Bytes => {
            if let Some(wanted) = leave.wants(input) {
                leave.ask(wanted).await;
                return Ok(Incoming::Leave);
            }
            socket.readable().await?; // No buffer is held while nothing comes.
            Ok(Incoming::Read(
                socket.read_buf(input.room(leave.charged())).await?,
            ))
        }
    }
}

/// Leave to read and to decode: what is charged for the buffer, and for the first frame in it.
pub(super) struct Leave {
    memory: Memory,
    buffer: Charge,
    /// Charged for the first frame, which may be decoded.
    request: Option<Charge>,
    /// Kept while other things happen, so that the place in the queue is not lost.
    asked: Option<(Want, BoxFuture<'static, Option<Exception>>)>,
}

/// What the first frame needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// So much charged for the buffer.
    Buffer(usize),
    /// So much charged for decoding and answering it.
    Request(usize),
}

impl Leave {
    pub(super) fn new(memory: &Memory) -> Self {
        Self {
            memory: memory.clone(),
            buffer: Charge::new(&memory.reading),
            request: None,
            asked: None,
        }
    }

    /// Charges what the first frame needs next. False if there is nothing left.
    pub(super) fn get(&mut self, input: &FrameBuffer) -> bool {
        while let Some(want) = self.wants(input) {
            if !self.take_up(want, None) {
                return false;
            }
            // What was asked for is here without an answer: whoever waits behind that question gets it now.
            self.asked = None;
        }
        true
    }

    fn wants(&self, input: &FrameBuffer) -> Option<Want> {
        if let Some(bytes) = input.lacks(self.buffer.bytes()) {
            return Some(Want::Buffer(bytes));
        }
        let weight = input.weight().filter(|_| self.request.is_none())?;
        Some(Want::Request(weight))
    }

    fn take_up(&mut self, want: Want, exception: Option<Exception>) -> bool {
        match want {
            Want::Buffer(bytes) => {
                if exception.is_some() {
                    self.buffer.except(exception);
                }
                self.buffer.may_grow() && {
                    self.buffer.set(bytes);
                    true
                }
            }
            Want::Request(bytes) => {
                let mut request = Charge::new(&self.memory.answering);
                request.except(exception);
                request.may_grow() && {
                    request.set(bytes);
                    self.request = Some(request);
                    true
                }
            }
        }
    }

    /// Waits until there is something left, and charges what is wanted. Something else may be wanted afterwards.
    async fn ask(&mut self, want: Want) {
        let (asked_for, asked) = self.asked.get_or_insert_with(|| {
            let budget = match want {
                Want::Buffer(_) => &self.memory.reading,
                Want::Request(_) => &self.memory.answering,
            };
            (want, Box::pin(Arc::clone(budget).room()))
        });
        let want = *asked_for;
        let exception = asked.await;
        self.asked = None;
        self.take_up(want, exception);
    }

    /// What was charged for the frame that is decoded now.
    pub(super) fn take(&mut self) -> Option<Charge> {
        self.buffer.except(None);
        self.request.take()
    }

    /// What is charged for the buffer.
    pub(super) fn charged(&self) -> usize {
        self.buffer.bytes()
    }

    /// Whether the frame that is read is the one that goes on although nothing is left.
    pub(super) fn is_exception(&self) -> bool {
        self.buffer.is_exception()
    }

    /// Charges more for the buffer if there is plenty.
    pub(super) fn wish(&mut self, bytes: usize) {
        if self.memory.reading.has_room() {
            self.buffer.set(bytes);
        }
    }

    /// The buffer was given back.
    pub(super) fn give_back(&mut self) {
        self.buffer.set(0);
    }

    /// Whether it waits for others to give something back.
    pub(super) fn is_waiting(&self) -> bool {
        self.asked.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::metrics::Level;
    use crate::net::budget::Budget;

    const SOON: Duration = Duration::from_secs(10);
    const NEVER: Duration = Duration::from_millis(20);
    const ALL: usize = 1 << 20;

    #[tokio::test]
    async fn who_got_memory_without_an_answer_is_in_nobodys_way() {
        let budget = || Budget::new(ALL, Level::default());
        let memory = Memory {
            reading: budget(),
            answering: budget(),
        };
        let mut others = Charge::new(&memory.reading);
        others.set(ALL);
        let exception = Arc::clone(&memory.reading).room().await;
        assert!(exception.is_some());
        let mut input = FrameBuffer::new(ALL);
        let frame = [&100_000_i32.to_be_bytes()[..], &[0; 50_000]].concat();
        input.room(ALL).extend_from_slice(&frame);
        let mut leave = Leave::new(&memory);
        let wanted = leave.wants(&input).unwrap();
        assert!(timeout(NEVER, leave.ask(wanted)).await.is_err());
        assert!(memory.reading.is_short());

        others.set(0);
        assert!(leave.get(&input));
        assert!(!leave.is_waiting());
        assert!(!memory.reading.is_short());
        others.set(ALL);
        drop(exception);
        let next = timeout(SOON, Arc::clone(&memory.reading).room()).await;
        assert!(next.unwrap().is_some(), "the exception is nobody's");
    }
}
