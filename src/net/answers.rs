//! The answers of one connection, in the order of its requests.
//!
//! Bounded: [`Answers::is_full`] tells the connection to handle nothing more until some are written.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use super::BoxFuture;
use super::Reply;
use super::outgoing::Outgoing;
use crate::metrics::Level;
use crate::metrics::Marks;
use crate::metrics::RequestKind;
use crate::protocol::ResponseFrame;

/// Answers that may wait behind one that is not there yet.
const COUNT_MAX: usize = 64;
/// Bytes (messages in files included) of answers that may wait to be written.
const BYTES_MAX: u64 = 1 << 20;

/// A request whose answer is not written yet.
#[derive(Debug)]
pub(super) struct Asked {
    /// What it is counted as.
    pub(super) kind: RequestKind,
    /// Echoed in the answer.
    pub(super) correlation_id: i32,
    /// Its last byte was read.
    pub(super) received: Instant,
    /// Its handler began.
    pub(super) started: Instant,
    /// Its handler returned.
    pub(super) handled: Instant,
    /// Memory it may go on using until its answer is there.
    pub(super) leave: Option<OwnedSemaphorePermit>,
}

/// A request that is over but for the last mark.
#[derive(Debug)]
pub(super) struct Answered {
    asked: Asked,
    ready: Instant,
}

impl Answered {
    /// What is recorded of it, given when the batch of answers was written.
    pub(super) fn marks(&self, writing: Instant, written: Instant) -> (RequestKind, Marks) {
        let Asked {
            kind,
            received,
            started,
            handled,
            ..
        } = self.asked;
        (
            kind,
            Marks {
                received,
                started,
                handled,
                ready: self.ready,
                writing,
                written,
            },
        )
    }
}

struct Answer {
    asked: Asked,
    state: State,
}

enum State {
    Waiting {
        reply: BoxFuture<'static, Reply>,
        exclusive: bool,
    },
    /// `frame`: none if the request gets no answer.
    Ready {
        frame: Option<ResponseFrame>,
        bytes: u64,
        at: Instant,
    },
    Close,
}

impl State {
    fn new(reply: Reply, asked: &mut Asked, now: Instant) -> Self {
        match reply {
            Reply::Send(response) => {
                let frame = response.encode(asked.correlation_id);
                let bytes = frame.len();
                Self::Ready {
                    frame: Some(frame),
                    bytes,
                    at: now,
                }
            }
            Reply::Nothing => Self::Ready {
                frame: None,
                bytes: 0,
                at: now,
            },
            Reply::Close => Self::Close,
            Reply::Acknowledging(reply) => {
                // The messages are appended. Holding memory for them would hold up the very fetches of followers that
                // the acknowledgement waits for.
                asked.leave = None;
                Self::Waiting {
                    reply,
                    exclusive: false,
                }
            }
            Reply::Later(reply) => Self::Waiting {
                reply,
                exclusive: true,
            },
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Ready { bytes, .. } => *bytes,
            Self::Waiting { .. } | Self::Close => 0,
        }
    }
}

/// What [`Answers::take_ready`] came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Everything that was ready.
    All,
    /// Everything up to an answer that closes the connection.
    UpToClose,
}

/// See the module.
pub(super) struct Answers {
    queue: VecDeque<Answer>,
    bytes: u64,
    /// Of all connections together.
    unanswered: Level,
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answers")
            .field("len", &self.queue.len())
            .finish_non_exhaustive()
    }
}

impl Answers {
    pub(super) fn new(unanswered: Level) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            unanswered,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether nothing more may be handled before some of these are written.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= COUNT_MAX || self.bytes >= BYTES_MAX
    }

    /// Whether the last request demands that nothing else is handled until it has its answer.
    pub(super) fn is_exclusive(&self) -> bool {
        let last = self.queue.back().map(|answer| &answer.state);
        matches!(last, Some(State::Waiting { exclusive: true, .. } | State::Close))
    }

    /// Queues what becomes of a request.
    pub(super) fn push(&mut self, mut asked: Asked, reply: Reply) {
        let handled = asked.handled;
        let state = State::new(reply, &mut asked, handled);
        self.bytes += state.bytes();
        self.unanswered.add(1);
        self.queue.push_back(Answer { asked, state });
    }

    /// Whether the first answer is only promised.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(
            self.queue.front(),
            Some(Answer {
                state: State::Waiting { .. },
                ..
            })
        )
    }

    /// Waits until the first answer, which is only promised, has come a step further.
    ///
    /// Only the first is ever polled: the others cannot leave before it, and lose nothing by being asked then.
    pub(super) async fn advance(&mut self) {
        let Some(Answer { asked, state }) = self.queue.front_mut() else {
            return;
        };
        let State::Waiting { reply, .. } = state else {
            return;
        };
        let reply = poll_fn(|cx| reply.as_mut().poll(cx)).await;
        *state = State::new(reply, asked, Instant::now());
        self.bytes += state.bytes();
    }

    /// Moves all answers that can be written now to `outgoing`, and their requests to `over`.
    pub(super) fn take_ready(&mut self, outgoing: &mut Outgoing, over: &mut Vec<Answered>) -> Taken {
        while let Some(Answer { state, .. }) = self.queue.front() {
            match state {
                State::Waiting { .. } => return Taken::All,
                State::Close => {
                    self.clear();
                    return Taken::UpToClose;
                }
                State::Ready { .. } => {}
            }
            let Some(Answer {
                asked,
                state: State::Ready { frame, bytes, at },
            }) = self.queue.pop_front()
            else {
                return Taken::All; // Not reached: the first was just seen to be ready.
            };
            self.bytes -= bytes;
            self.unanswered.add(-1);
            if let Some(frame) = frame {
                outgoing.push(frame);
            }
            over.push(Answered { asked, ready: at });
        }
        Taken::All
    }

    fn clear(&mut self) {
        self.unanswered.add(-i64::try_from(self.queue.len()).unwrap_or(0));
        self.queue.clear();
        self.bytes = 0;
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.clear();
    }
}
