//! Sending requests to another broker and awaiting the answers.
//!
//! A task owns the socket. Callers hand it whole frames and await a oneshot, so one that gives up half-way costs nothing:
//! its request is still sent whole and its answer is read and dropped. Answers come in the order of requests, as 0.8
//! brokers give them; each is checked to be the one expected.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use socket2::SockRef;
use socket2::TcpKeepalive;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio::time::timeout;

use super::frame::FrameBuffer;
use crate::protocol::Api;
use crate::protocol::ApiKey;
use crate::protocol::DecodeError;
use crate::protocol::decode_response;
use crate::protocol::encode_request;
use crate::types::Endpoint;

/// Requests that wait for the socket's task. When they are as many, calls wait, within their time.
const QUEUE_MAX: usize = 64;
/// Requests sent that await their answer, beyond which no more are taken from the queue.
const IN_FLIGHT_MAX: usize = 1024;
/// The same for bytes that wait to be written.
const UNSENT_MAX: usize = 1 << 20;

/// How long connecting may take at most, whatever an answer may: the system asks again after ever longer pauses, and who
/// waits for it is still waiting long after the network is back.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// The same for what is sent and not received by the other host, whether or not its broker has time for it.
const UNRECEIVED_MAX: Duration = Duration::from_secs(8);
/// How long a connection is quiet before the other host is asked whether it is still there, and between two such questions.
const QUIET_MAX: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no such host or port to connect to.
    #[error("connect to {endpoint}")]
    Connect {
        /// Where to.
        endpoint: Endpoint,
        /// What the system says.
        source: io::Error,
    },
    /// Connecting took too long.
    #[error("connect to {endpoint}: no answer within {within:?}")]
    ConnectTimeout {
        /// Where to.
        endpoint: Endpoint,
        /// How long was waited.
        within: Duration,
    },
    /// The connection was closed before the answer came, or before the request was sent.
    #[error("{endpoint} closed the connection")]
    Closed {
        /// By whom.
        endpoint: Endpoint,
    },
    /// Nothing of the answer came for too long. The request may have been carried out.
    #[error("no answer from {endpoint} within {within:?}")]
    Timeout {
        /// From whom.
        endpoint: Endpoint,
        /// How long was waited.
        within: Duration,
    },
    /// What came is not the answer.
    #[error("bad answer from {endpoint}")]
    BadAnswer {
        /// From whom.
        endpoint: Endpoint,
        /// What is wrong with it.
        source: DecodeError,
    },
}

/// A connection to one broker. Dropping it closes the connection.
#[derive(Debug)]
pub struct Caller {
    endpoint: Endpoint,
    client_id: Option<Arc<str>>,
    within: Duration,
    next_id: AtomicI32,
    calls: mpsc::Sender<Call>,
    arrival: Arc<Mutex<Arrival>>,
    task: JoinHandle<()>,
}

/// What came of answers.
#[derive(Debug)]
struct Arrival {
    /// When the last bytes came.
    latest: Instant,
    /// Whether they are the beginning of an answer.
    partial: bool,
}

#[derive(Debug)]
struct Call {
    frame: BytesMut,
    /// None if the request gets no answer.
    expected: Option<Expected>,
}

/// What becomes of the answer to a request.
#[derive(Debug)]
struct Expected {
    correlation_id: i32,
    /// As 0.8.2.2 does when it finds no coordinator (ConsumerMetadataRequest.handleError): its answer has the id 0.
    perhaps_zero: bool,
    answer: oneshot::Sender<Bytes>,
}

impl Caller {
    /// Connects. `within` bounds connecting, which may not take long anyhow, and later how long nothing may come while a call
    /// waits, as the timeouts of sockets in 0.8.2.2 do: a large answer over a slow network takes what it takes.
    /// `Duration::MAX` is for ever.
    pub async fn connect(
        endpoint: &Endpoint,
        within: Duration,
        client_id: Option<&str>,
    ) -> Result<Self, CallError> {
        let connect = |source| CallError::Connect {
            endpoint: endpoint.clone(),
            source,
        };
        let port = u16::try_from(endpoint.port).map_err(|error| connect(io::Error::other(error)))?;
        let connect_within = within.min(CONNECT_MAX);
        let connected = timeout(connect_within, TcpStream::connect((endpoint.host.as_str(), port))).await;
        let socket = connected
            .map_err(|_elapsed| CallError::ConnectTimeout {
                endpoint: endpoint.clone(),
                within: connect_within,
            })?
            .map_err(connect)?;
        socket.set_nodelay(true).map_err(connect)?;
        // What nobody waits for any more must not arrive later, after what was sent again.
        let options = SockRef::from(&socket);
        options
            .set_tcp_user_timeout(Some(within.min(UNRECEIVED_MAX)))
            .map_err(connect)?;
        // An answer that is lost on its way is not waited for either.
        let keepalive = TcpKeepalive::new().with_time(QUIET_MAX).with_interval(QUIET_MAX);
        options.set_tcp_keepalive(&keepalive).map_err(connect)?;
        Ok(Self::over(socket, endpoint.clone(), within, client_id))
    }

    /// Calls over a transport that is there already.
    fn over(
        transport: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        endpoint: Endpoint,
        within: Duration,
        client_id: Option<&str>,
    ) -> Self {
        let (calls, queue) = mpsc::channel(QUEUE_MAX);
        let peer = endpoint.clone();
        let arrival = Arc::new(Mutex::new(Arrival {
            latest: Instant::now(),
            partial: false,
        }));
        let arrived = Arc::clone(&arrival);
        let task = tokio::spawn(async move {
            if let Err(error) = serve(transport, queue, &arrived).await {
                tracing::debug!("{peer}: {error}");
            }
        });
        let next_id = AtomicI32::new(0);
        Self {
            endpoint,
            client_id: client_id.map(Arc::from),
            within,
            next_id,
            calls,
            arrival,
            task,
        }
    }

    /// Whom it calls.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the connection ended, so that every call will fail.
    pub fn is_closed(&self) -> bool {
        self.calls.is_closed()
    }

    /// Whether part of an answer has come, and more of it is on its way.
    pub fn is_receiving(&self) -> bool {
        lock(&self.arrival).partial
    }

    /// Sends a request and awaits its answer.
    pub async fn call<A: Api>(&self, request: &A) -> Result<A::Response, CallError> {
        self.call_within(request, self.within).await
    }

    /// The same, with a time of its own: for requests that the other side may sit on.
    pub async fn call_within<A: Api>(&self, request: &A, within: Duration) -> Result<A::Response, CallError> {
        let correlation_id = self.next_id.fetch_add(1, Relaxed);
        let frame = encode_request(correlation_id, self.client_id.as_deref(), request);
        let (answer, answered) = oneshot::channel();
        let perhaps_zero = A::KEY == ApiKey::ConsumerMetadata;
        let expected = Some(Expected {
            correlation_id,
            perhaps_zero,
            answer,
        });
        let exchange = async {
            self.calls.send(Call { frame, expected }).await.ok()?;
            answered.await.ok()
        };
        let mut exchange = pin!(exchange);
        let endpoint = || self.endpoint.clone();
        let mut left = within;
        let answer = loop {
            if let Ok(answer) = timeout(left, &mut exchange).await {
                break answer;
            }
            let silent = lock(&self.arrival).latest.elapsed();
            left = within.saturating_sub(silent);
            if left.is_zero() {
                return Err(CallError::Timeout {
                    endpoint: endpoint(),
                    within,
                });
            }
        };
        let frame = answer.ok_or_else(|| CallError::Closed { endpoint: endpoint() })?;
        let decoded = decode_response(frame);
        let (_, response) = decoded.map_err(|source| CallError::BadAnswer {
            endpoint: endpoint(),
            source,
        })?;
        Ok(response)
    }

    /// Sends a request that gets no answer; `Ok` once it is on its way.
    pub async fn send<A: Api>(&self, request: &A) -> Result<(), CallError> {
        let correlation_id = self.next_id.fetch_add(1, Relaxed);
        let frame = encode_request(correlation_id, self.client_id.as_deref(), request);
        let sent = timeout(
            self.within,
            self.calls.send(Call {
                frame,
                expected: None,
            }),
        )
        .await;
        sent.map_err(|_elapsed| CallError::Timeout {
            endpoint: self.endpoint.clone(),
            within: self.within,
        })?
        .map_err(|_closed| CallError::Closed {
            endpoint: self.endpoint.clone(),
        })
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Writes requests and hands out answers, until either side is gone. Pending calls then learn it by their dropped sender.
async fn serve(
    transport: impl AsyncRead + AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Call>,
    arrival: &Mutex<Arrival>,
) -> io::Result<()> {
    let (mut reading, mut writing) = tokio::io::split(transport);
    // The other side is a broker: it may send whatever it was asked for, and nobody counts what that takes.
    let mut charged = 0;
    let mut input = FrameBuffer::new(usize::try_from(i32::MAX).unwrap_or(usize::MAX));
    let mut unsent = BytesMut::new();
    let mut expected: VecDeque<Expected> = VecDeque::new();
    loop {
        tokio::select! {
            call = queue.recv(), if unsent.len() < UNSENT_MAX && expected.len() < IN_FLIGHT_MAX => {
                let Some(Call { frame, expected: more }) = call else { return Ok(()) };
                if unsent.is_empty() {
                    unsent = frame;
                } else {
                    unsent.extend_from_slice(&frame);
                }
                expected.extend(more);
            }
            written = writing.write_buf(&mut unsent), if !unsent.is_empty() => {
                if written? == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
            }
            read = reading.read_buf(input.room(charged)) => {
                if read? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                charged = input.wishes(charged).unwrap_or(charged);
                let partial = hand_out(&mut input, &mut expected)?;
                *lock(arrival) = Arrival { latest: Instant::now(), partial };
                charged = input.lacks(charged).unwrap_or(charged);
            }
        }
    }
}

/// Answers whether part of another answer is left.
fn hand_out(input: &mut FrameBuffer, expected: &mut VecDeque<Expected>) -> io::Result<bool> {
    while let Some(frame) = input.next_frame().map_err(io::Error::other)? {
        let id = frame.first_chunk().map(|id| i32::from_be_bytes(*id));
        match expected.pop_front() {
            Some(first) if Some(first.correlation_id) == id || (first.perhaps_zero && id == Some(0)) => {
                // Nobody listens if the caller gave up.
                let _ = first.answer.send(frame.freeze());
            }
            Some(_) | None => return Err(io::Error::other("an answer that nobody asked for")),
        }
    }
    Ok(!input.release())
}

fn lock(arrival: &Mutex<Arrival>) -> MutexGuard<'_, Arrival> {
    arrival.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
