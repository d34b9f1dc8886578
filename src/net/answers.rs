//! The answers of one connection, in the order of its requests.
//!
//! Bounded: [`Answers::is_full`] tells the connection to handle nothing more until some are written.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use super::BoxFuture;
use super::Reply;
use super::budget::Budget;
use super::budget::Charge;
use super::budget::FREE;
use super::outgoing::Outgoing;
use crate::metrics::Level;
use crate::metrics::Marks;
use crate::metrics::RequestKind;
use crate::protocol::ResponseFrame;

/// Answers that may wait behind one that is not there yet.
const COUNT_MAX: usize = 64;
/// Bytes of requests that were carried out and wait for others to acknowledge that. What a producer sends beyond is not
/// appended yet: it would only make the followers fall behind, and nobody waits less. 0.8.2.2 takes one request at a time.
const UNACKNOWLEDGED_MAX: usize = 1 << 20;
/// How long a client that may send no more before something is acknowledged is not to blame for the memory that it holds: as
/// long as a client of 0.8.2.2 waits for that.
const ACKNOWLEDGING_MAX: Duration = Duration::from_secs(30);
/// Bytes (messages in files included) of answers that may wait to be written.
const BYTES_MAX: u64 = 1 << 20;
/// Bytes of them in memory.
const MEMORY_MAX: usize = 64 << 10;

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
    /// Bytes of it.
    pub(super) size: usize,
    /// Memory that it uses, and then its answer until that is written.
    pub(super) charge: Option<Charge>,
}

impl Asked {
    fn is_charged(&self) -> bool {
        self.charge.as_ref().is_some_and(|charge| charge.bytes() > 0)
    }
}

/// A request that is over but for the last mark.
#[derive(Debug)]
pub(super) struct Answered {
    asked: Asked,
    ready: Instant,
}

impl Answered {
    /// Whether memory is charged for it.
    pub(super) fn is_charged(&self) -> bool {
        self.asked.is_charged()
    }

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
        memory: usize,
        at: Instant,
    },
    Close,
}

impl State {
    fn new(reply: Reply, asked: &mut Asked, (budget, now): (&Arc<Budget>, Instant)) -> Self {
        match reply {
            Reply::Send(response) => {
                let frame = response.encode(asked.correlation_id);
                let (bytes, memory) = (frame.len(), frame.memory());
                asked.charge = (memory > FREE).then(|| {
                    let mut charge = asked.charge.take().unwrap_or_else(|| Charge::new(budget));
                    charge.set(memory - FREE);
                    charge
                });
                Self::Ready {
                    frame: Some(frame),
                    bytes,
                    memory,
                    at: now,
                }
            }
            Reply::Nothing => Self::Ready {
                frame: None,
                bytes: 0,
                memory: 0,
                at: now,
            },
            Reply::Close => Self::Close,
            Reply::Acknowledging(reply) => {
                // It may wait for followers, who may wait for the exception that this request was.
                if let Some(charge) = &mut asked.charge {
                    charge.except(None);
                }
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

    fn is_unacknowledged(&self) -> bool {
        matches!(self, Self::Waiting { exclusive: false, .. })
    }

    /// All bytes, and those of them in memory.
    fn bytes(&self) -> (u64, usize) {
        match self {
            Self::Ready { bytes, memory, .. } => (*bytes, *memory),
            Self::Waiting { .. } | Self::Close => (0, 0),
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
    memory: usize,
    /// Bytes of the requests that were carried out and wait for others to acknowledge that.
    unacknowledged: usize,
    budget: Arc<Budget>,
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
    pub(super) fn new(budget: &Arc<Budget>, unanswered: Level) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            memory: 0,
            unacknowledged: 0,
            budget: Arc::clone(budget),
            unanswered,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether nothing more may be handled before some of these are written.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= COUNT_MAX
            || self.bytes >= BYTES_MAX
            || self.memory >= MEMORY_MAX
            || self.unacknowledged >= UNACKNOWLEDGED_MAX
    }

    /// Whether nothing more is handled, and for so short a time that the client is not to blame: it is not read.
    pub(super) fn is_full_lately(&self, now: Instant) -> bool {
        let first = self.queue.front().filter(|_| self.is_full());
        first.is_some_and(|first| now.saturating_duration_since(first.asked.handled) < ACKNOWLEDGING_MAX)
    }

    /// Whether memory is charged for any of them.
    pub(super) fn are_charged(&self) -> bool {
        self.queue.iter().any(|answer| answer.asked.is_charged())
    }

    /// Whether the last request demands that nothing else is handled until it has its answer.
    pub(super) fn is_exclusive(&self) -> bool {
        let last = self.queue.back().map(|answer| &answer.state);
        matches!(last, Some(State::Waiting { exclusive: true, .. } | State::Close))
    }

    /// Queues what becomes of a request.
    pub(super) fn push(&mut self, mut asked: Asked, reply: Reply) {
        let handled = asked.handled;
        let state = State::new(reply, &mut asked, (&self.budget, handled));
        let (bytes, memory) = state.bytes();
        self.bytes += bytes;
        self.memory += memory;
        if state.is_unacknowledged() {
            self.unacknowledged += asked.size;
        }
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
        let State::Waiting { reply, exclusive } = state else {
            return;
        };
        let reply = poll_fn(|cx| reply.as_mut().poll(cx)).await;
        if !*exclusive {
            self.unacknowledged -= asked.size;
        }
        *state = State::new(reply, asked, (&self.budget, Instant::now()));
        let (bytes, memory) = state.bytes();
        self.bytes += bytes;
        self.memory += memory;
        if state.is_unacknowledged() {
            self.unacknowledged += asked.size;
        }
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
                state:
                    State::Ready {
                        frame,
                        bytes,
                        memory,
                        at,
                    },
            }) = self.queue.pop_front()
            else {
                return Taken::All; // Not reached: the first was just seen to be ready.
            };
            self.bytes -= bytes;
            self.memory -= memory;
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
        self.memory = 0;
        self.unacknowledged = 0;
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.clear();
    }
}
