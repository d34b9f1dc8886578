//! `/metrics`, `/healthz` and `/readyz` over HTTP.
//!
//! Bounded: so many connections, each with a limit on how long its request may take to arrive; more are closed at once.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use http_body_util::Full;
use hyper::Method;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::Metrics;
use super::TICK;

const CONNECTIONS_MAX: usize = 64;
/// How long a client may take to send a request on an open connection.
const REQUEST_WITHIN: Duration = Duration::from_secs(60);
/// After an accept that failed, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on: taken, not ours, or not an address.
    #[error("listen on {listen} for metrics")]
    Listen {
        /// As it was configured.
        listen: String,
        /// What the system says.
        source: io::Error,
    },
}

/// `Ok` when ready; otherwise why not yet.
type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A bound listener that does not serve yet.
pub struct Server {
    listener: TcpListener,
    metrics: Metrics,
    readiness: Readiness,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Binds `listen` (`host:port`); `None` if it is empty, which switches metrics off.
    pub async fn bind(
        listen: &str,
        metrics: Metrics,
        readiness: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Result<Option<Self>, Error> {
        if listen.is_empty() {
            return Ok(None);
        }
        let listener = TcpListener::bind(listen).await;
        let listener = listener.map_err(|source| Error::Listen {
            listen: listen.to_owned(),
            source,
        })?;
        Ok(Some(Self {
            listener,
            metrics,
            readiness: Arc::new(readiness),
        }))
    }

    /// Where it listens, with the port that the system chose.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` completes; then open connections are dropped.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut connections = JoinSet::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, _)) if connections.len() < CONNECTIONS_MAX => {
                        connections.spawn(serve(socket, self.metrics.clone(), Arc::clone(&self.readiness)));
                    }
                    Ok(_one_too_many) => {}
                    Err(error) => {
                        tracing::warn!("accept a connection for metrics: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                _ = tick.tick() => self.metrics.tick(Instant::now()),
                () = &mut stop => return,
            }
        }
    }
}

async fn serve(socket: TcpStream, metrics: Metrics, readiness: Readiness) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (metrics, readiness) = (metrics.clone(), Arc::clone(&readiness));
        async move { Ok::<_, Infallible>(answer(&request, metrics, &readiness).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WITHIN)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    if let Err(error) = poll_fn(|cx| connection.as_mut().poll(cx)).await {
        tracing::debug!("serve metrics: {error}");
    }
}

async fn answer(
    request: &Request<Incoming>,
    metrics: Metrics,
    readiness: &Readiness,
) -> Response<Full<Bytes>> {
    const PLAIN: &str = "text/plain; charset=utf-8";
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return respond(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET\n".to_owned());
    }
    match request.uri().path() {
        "/metrics" => match tokio::task::spawn_blocking(move || metrics.render()).await {
            Ok(text) => respond(StatusCode::OK, super::CONTENT_TYPE, text),
            Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n")),
        },
        "/healthz" => respond(StatusCode::OK, PLAIN, "ok\n".to_owned()),
        "/readyz" => match readiness() {
            Ok(()) => respond(StatusCode::OK, PLAIN, "ready\n".to_owned()),
            Err(why) => respond(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n")),
        },
        _ => respond(
            StatusCode::NOT_FOUND,
            PLAIN,
            "try /metrics, /healthz or /readyz\n".to_owned(),
        ),
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let content_type = hyper::header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
