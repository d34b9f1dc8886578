//! Serving one client: read, decode, handle, write, in order, in one task.
//!
//! - Bytes are read only while more requests may be handled, so a client that does not read its answers, or sends more
//!   than is handled, fills its own socket and nothing here.
//! - What exceeds a little is charged to the [`Budget`] that all connections share, before it is read, before it is
//!   decoded, and until its answer is written. Who is slow with what others wait for is hung up on.
//! - Whatever ends a connection, answers to earlier requests are written first, unless the peer is gone.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::Sleep;

use super::BoxFuture;
use super::Handler;
use super::Peer;
use super::answers::Answered;
use super::answers::Answers;
use super::answers::Asked;
use super::answers::Taken;
use super::budget::Charge;
use super::budget::FREE;
use super::frame::FrameBuffer;
use super::incoming::Incoming;
use super::incoming::Leave;
use super::incoming::Watched;
use super::incoming::incoming;
use super::outgoing::Outgoing;
use super::pace::HoldsUp;
use super::pace::Pace;
use super::request_kind::request_kind;
use super::shared::Memory;
use super::shared::Shared;
use crate::metrics::ClosedBecause;
use crate::protocol::Request;
use crate::protocol::decode_request;
use crate::shutdown::Shutdown;

/// A connection silent for so long gives its read buffer back.
const REST_AFTER: Duration = Duration::from_secs(1);

/// What is kept of each partition of a produce request until it is acknowledged.
const PARTITION_BYTES: usize = 128;

/// One client.
pub(super) struct Connection<H> {
    socket: TcpStream,
    peer: Peer,
    handler: H,
    shared: Arc<Shared>,
    input: FrameBuffer,
    leave: Leave,
    answers: Answers,
    outgoing: Outgoing,
    /// Requests whose answers are being written.
    over: Vec<Answered>,
    /// When bytes arrived last.
    read_at: Instant,
    pace: Pace,
    /// Fires when the connection has been idle for too long or, while it holds a buffer, for long enough to rest.
    timer: Pin<Box<Sleep>>,
    resting: bool,
    /// Completes when the broker stops.
    stop: BoxFuture<'static, ()>,
    /// Nothing more is read or handled; once all answers are written, the connection ends with this.
    ending: Option<ClosedBecause>,
}

/// Something for a connection to wake up for.
enum Event {
    /// The first promised answer came a step further.
    Advanced,
    Incoming(io::Result<Incoming>),
    Timer,
    Stop,
}

impl<H: Handler> Connection<H> {
    pub(super) fn new(
        socket: TcpStream,
        peer: Peer,
        handler: H,
        shared: Arc<Shared>,
        mut shutdown: Shutdown,
    ) -> Self {
        let now = Instant::now();
        Self {
            socket,
            peer,
            handler,
            input: FrameBuffer::new(shared.request_bytes_max),
            leave: Leave::new(&shared.memory),
            answers: Answers::new(&shared.memory.answering, shared.connections.unanswered.clone()),
            pace: Pace::from(now),
            outgoing: Outgoing::default(),
            over: Vec::new(),
            read_at: now,
            timer: Box::pin(tokio::time::sleep_until(now + shared.idle_max)),
            resting: true,
            stop: Box::pin(async move { shutdown.requested().await }),
            ending: None,
            shared,
        }
    }

    /// Serves until one side has had enough.
    pub(super) async fn run(&mut self) -> ClosedBecause {
        loop {
            let more = self.handle_received().await;
            let wrote = match self.write_answers().await {
                Ok(wrote) => wrote,
                Err(because) => return because,
            };
            if let Some(because) = self.ending.filter(|_| self.answers.is_empty()) {
                return because;
            }
            if more && wrote {
                continue;
            }
            if let Err(because) = self.wait().await {
                return because;
            }
        }
    }

    fn may_handle(&self) -> bool {
        self.ending.is_none() && !self.answers.is_full() && !self.answers.is_exclusive()
    }

    /// Handles the frames that are complete; whether it stopped before the last of them.
    async fn handle_received(&mut self) -> bool {
        while self.may_handle() {
            if !self.leave.get(&self.input) {
                return false;
            }
            match self.input.next_frame() {
                Ok(Some(frame)) => {
                    // Many small requests may come with one read; other connections want their turn, too.
                    tokio::task::coop::consume_budget().await;
                    self.handle(frame);
                }
                Ok(None) => return false,
                Err(size) => {
                    self.handler.misframed(&self.peer, size.0);
                    self.ending = Some(ClosedBecause::Error);
                }
            }
        }
        true
    }

    fn handle(&mut self, frame: bytes::BytesMut) {
        let charge = self.leave.take();
        let size = frame.len();
        let started = Instant::now().into_std();
        match decode_request(frame) {
            Ok((header, request)) => {
                let (kind, correlation_id) = (request_kind(&request), header.correlation_id);
                let charge = charge.or_else(|| self.charge_for_partitions(&request));
                let reply = self.handler.handle(&self.peer, header, request);
                let handled = Instant::now().into_std();
                let received = self.read_at.into_std();
                self.answers.push(
                    Asked {
                        kind,
                        correlation_id,
                        received,
                        started,
                        handled,
                        size,
                        charge,
                    },
                    reply,
                );
            }
            Err(error) => {
                self.handler.refused(&self.peer, error);
                self.ending = Some(ClosedBecause::Error);
            }
        }
        let others_wait = self.shared.memory.reading.is_short();
        if FrameBuffer::is_too_large_to_keep(self.leave.charged(), others_wait) {
            self.release();
        }
    }

    /// Messages are gone when they are appended, but of each partition something stays until it is acknowledged.
    fn charge_for_partitions(&self, request: &Request) -> Option<Charge> {
        let Request::Produce(request) = request else {
            return None;
        };
        let partitions = request
            .topics
            .iter()
            .map(|topic| topic.partitions.len() + 1)
            .sum::<usize>();
        let bytes = partitions * PARTITION_BYTES;
        (bytes > FREE).then(|| {
            let mut charge = Charge::new(&self.shared.memory.answering);
            charge.set(bytes - FREE);
            charge
        })
    }

    /// Gives the buffer back, if nothing is in it.
    fn release(&mut self) {
        if self.input.release() {
            self.leave.give_back();
        }
    }

    /// Writes the answers that are there; whether there were any.
    async fn write_answers(&mut self) -> Result<bool, ClosedBecause> {
        if self.answers.take_ready(&mut self.outgoing, &mut self.over) == Taken::UpToClose {
            self.ending = Some(ClosedBecause::Server);
        }
        if self.over.is_empty() {
            return Ok(false);
        }
        let writing = Instant::now().into_std();
        let mut written = writing;
        if !self.outgoing.is_empty() {
            self.write().await?;
            written = Instant::now().into_std();
        }
        for answered in self.over.drain(..) {
            let (kind, marks) = answered.marks(writing, written);
            self.shared.requests.record(kind, &marks);
        }
        Ok(true)
    }

    async fn write(&mut self) -> Result<(), ClosedBecause> {
        let mut blocked = None;
        loop {
            let metrics = &self.shared.connections;
            let sent_by_file = |bytes| metrics.sendfile_bytes.increment(bytes);
            // Writing may be dropped halfway: what was sent is gone from `outgoing`.
            tokio::select! {
                biased;
                written = self.outgoing.write(&self.socket, sent_by_file) => {
                    return written.map_err(|error| self.note_unwritten(&error));
                }
                () = std::future::ready(()), if blocked.is_none() => {
                    blocked = Some(metrics.writing.enter());
                    continue;
                }
                () = &mut self.timer => {}
            }
            self.tick()?;
            self.set_timer();
        }
    }

    fn note_unwritten(&self, error: &io::Error) -> ClosedBecause {
        if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) {
            // No socket says that: it is a segment that can't be read.
            tracing::error!(
                "{}: send messages from the disk: {error}; connection closed",
                self.peer
            );
            return ClosedBecause::Error;
        }
        tracing::debug!("{}: write: {error}", self.peer);
        if error.kind() == io::ErrorKind::UnexpectedEof {
            ClosedBecause::Error // A file was truncated; the answer cannot be completed.
        } else {
            ClosedBecause::Client
        }
    }

    /// Waits for something to do, and notes it.
    async fn wait(&mut self) -> Result<(), ClosedBecause> {
        let watched = if self.answers.is_exclusive() {
            Watched::HangUp
        } else if self.may_handle() {
            Watched::Bytes
        } else {
            Watched::Reset
        };
        let event = tokio::select! {
            biased;
            () = self.answers.advance(), if self.answers.is_waiting() => Event::Advanced,
            // Before what comes in: a client that never pauses is to hear of it, too.
            () = &mut self.stop, if self.ending.is_none() => Event::Stop,
            incoming = incoming(&mut self.socket, &mut self.input, &mut self.leave, watched) => {
                Event::Incoming(incoming)
            }
            () = &mut self.timer => Event::Timer,
        };
        match event {
            Event::Advanced => {
                if self.resting && self.has_charged_answers() {
                    self.end_rest();
                }
            }
            Event::Incoming(Ok(Incoming::Leave)) => {}
            Event::Incoming(Ok(Incoming::Read(0))) => self.ending = Some(ClosedBecause::Client),
            Event::Incoming(Ok(Incoming::Read(bytes))) => self.note_read(bytes),
            Event::Incoming(Ok(Incoming::HungUp)) => return Err(ClosedBecause::Client),
            Event::Incoming(Err(error)) => {
                tracing::debug!("{}: read: {error}", self.peer);
                return Err(ClosedBecause::Client);
            }
            Event::Timer => self.rest()?,
            Event::Stop => self.ending = Some(ClosedBecause::Server),
        }
        Ok(())
    }

    fn note_read(&mut self, bytes: usize) {
        if let Some(bytes) = self.input.wishes(self.leave.charged()) {
            self.leave.wish(bytes);
        }
        self.read_at = Instant::now();
        if self.resting {
            self.end_rest();
        }
        self.pace.note_read(bytes);
    }

    fn end_rest(&mut self) {
        self.resting = false;
        self.pace.begin(Instant::now());
        self.set_timer();
    }

    /// The timer fired: gives the buffer back if it was not needed lately.
    fn rest(&mut self) -> Result<(), ClosedBecause> {
        self.tick()?;
        let quiet = self.read_at.elapsed() >= REST_AFTER;
        if quiet {
            self.release();
        }
        self.resting = quiet && self.leave.charged() == 0 && !self.has_charged_answers();
        if self.resting {
            self.timer.as_mut().reset(self.read_at + self.shared.idle_max);
        } else {
            self.set_timer();
        }
        Ok(())
    }

    /// Whether memory is charged for requests or answers of this connection.
    fn has_charged_answers(&self) -> bool {
        self.answers.are_charged() || self.over.iter().any(Answered::is_charged)
    }

    fn holds_up(&self) -> HoldsUp {
        let Memory { reading, answering } = &self.shared.memory;
        if reading.is_short() && self.leave.is_exception() {
            HoldsUp::Exceptionally
        } else if (reading.is_short() && self.leave.charged() > 0)
            || (answering.is_short() && self.has_charged_answers())
        {
            HoldsUp::Others
        } else {
            HoldsUp::Nobody
        }
    }

    /// Ends the connection if it has been idle for too long, or slow while others wait for memory that it holds.
    fn tick(&mut self) -> Result<(), ClosedBecause> {
        self.check_idle()?;
        let (holds_up, now) = (self.holds_up(), Instant::now());
        let waits_for_us = self.answers.is_waiting() && self.outgoing.is_empty();
        let excused = holds_up == HoldsUp::Nobody || self.answers.is_full_lately(now.into_std());
        if self.leave.is_waiting() || (waits_for_us && excused) {
            self.pace.begin(now);
        } else if self.pace.is_too_slow(holds_up, self.outgoing.len(), now) {
            tracing::debug!("{}: slow, while others wait for memory", self.peer);
            return Err(ClosedBecause::Slow);
        }
        Ok(())
    }

    /// Has the timer fire when it is time to rest, or earlier if the connection will have been idle for too long.
    fn set_timer(&mut self) {
        let idle_at = self.read_at + self.shared.idle_max;
        self.timer
            .as_mut()
            .reset(idle_at.min(Instant::now() + REST_AFTER));
    }

    fn check_idle(&self) -> Result<(), ClosedBecause> {
        if self.read_at.elapsed() < self.shared.idle_max {
            Ok(())
        } else {
            Err(ClosedBecause::Idle)
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::metrics::Metrics;
    use crate::net::Reply;
    use crate::protocol::DecodeError;
    use crate::protocol::RequestHeader;
    use crate::shutdown::Trigger;

    #[derive(Clone)]
    struct Nobody;

    impl Handler for Nobody {
        fn handle(&self, _: &Peer, _: RequestHeader, _: Request) -> Reply {
            Reply::Close
        }

        fn refused(&self, _: &Peer, _: DecodeError) {}
    }

    async fn connection(idle_max: Duration) -> Connection<Nobody> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Metrics::new();
        let shared = Shared {
            request_bytes_max: 1000,
            idle_max,
            memory: Memory::new(1000, 1000, &metrics.connections().waiting_for_memory),
            connections: metrics.connections().clone(),
            requests: Arc::clone(metrics.requests()),
        };
        let socket = TcpStream::connect(address).await.unwrap();
        Connection::new(
            socket,
            Peer { address, number: 1 },
            Nobody,
            Arc::new(shared),
            Trigger::new().signal(),
        )
    }

    #[tokio::test]
    async fn a_buffer_is_given_back_after_a_while_and_not_before() {
        let idle_max = Duration::from_secs(600);
        let mut connection = connection(idle_max).await;
        connection.input.room(0);
        connection.note_read(1);
        assert!(
            connection.timer.deadline() <= connection.read_at + 2 * REST_AFTER,
            "set to rest soon"
        );
        connection.rest().unwrap();
        assert!(connection.input.capacity() > 0, "bytes came a moment ago");

        connection.read_at = Instant::now().checked_sub(REST_AFTER).unwrap();
        connection.rest().unwrap();
        assert_eq!(connection.input.capacity(), 0);
        assert_eq!(connection.timer.deadline(), connection.read_at + idle_max);
        connection.note_read(1);
        assert!(
            connection.timer.deadline() <= connection.read_at + 2 * REST_AFTER,
            "and again"
        );
    }

    #[tokio::test]
    async fn the_timer_never_fires_later_than_the_connection_is_idle() {
        let mut connection = connection(REST_AFTER / 10).await;
        connection.note_read(1);
        assert_eq!(connection.timer.deadline(), connection.read_at + REST_AFTER / 10);
        connection.read_at = Instant::now().checked_sub(REST_AFTER / 5).unwrap();
        assert_eq!(connection.rest(), Err(ClosedBecause::Idle));
    }
}
