//! A scripted handler, a client that speaks frames, and waiting for conditions.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::message::slice::FileSlice;
use crate::metrics::Metrics;
use crate::net::Handler;
use crate::net::Listener;
use crate::net::ListenerConfig;
use crate::net::Peer;
use crate::net::Reply;
use crate::protocol::DecodeError;
use crate::protocol::ErrorCode;
use crate::protocol::Request;
use crate::protocol::RequestHeader;
use crate::protocol::Response;
use crate::protocol::decode_response;
use crate::protocol::encode_request;
use crate::protocol::fetch::FetchRequest;
use crate::protocol::fetch::FetchResponse;
use crate::protocol::fetch::PartitionFetched;
use crate::protocol::fetch::Reader;
use crate::protocol::metadata::MetadataRequest;
use crate::protocol::metadata::MetadataResponse;
use crate::protocol::metadata::TopicMetadata;
use crate::shutdown::Trigger;

/// Longest wait for anything in these tests.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Does what the first topic of a metadata request says: `ack <name>` and `later <name>` answer once the gate of that
/// name is opened, `nothing`, `close`; whatever else is answered at once. Fetches get `slices`.
#[derive(Debug, Clone, Default)]
pub(super) struct Script(pub(super) Arc<State>);

#[derive(Debug, Default)]
pub(super) struct State {
    handled: Mutex<Vec<String>>,
    refused: Mutex<Vec<String>>,
    gates: Mutex<HashMap<String, Arc<Semaphore>>>,
    dropped: Mutex<Vec<String>>,
    pub(super) slices: Mutex<Vec<FileSlice>>,
}

/// Notes when a promise of an answer is dropped or kept.
struct Promise(String, Arc<State>);

impl Drop for Promise {
    fn drop(&mut self) {
        self.1.dropped.lock().unwrap().push(self.0.clone());
    }
}

impl State {
    fn gate(&self, name: &str) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().unwrap();
        Arc::clone(
            gates
                .entry(name.to_owned())
                .or_insert_with(|| Arc::new(Semaphore::new(0))),
        )
    }

    pub(super) fn open(&self, name: &str) {
        self.gate(name).add_permits(Semaphore::MAX_PERMITS / 2);
    }

    pub(super) fn handled(&self) -> Vec<String> {
        self.handled.lock().unwrap().clone()
    }

    pub(super) fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap().clone()
    }

    pub(super) fn dropped(&self) -> Vec<String> {
        self.dropped.lock().unwrap().clone()
    }
}

fn answer(topic: &str) -> Reply {
    let topic = TopicMetadata {
        error: ErrorCode::None,
        topic: Some(topic.to_owned()),
        partitions: vec![],
    };
    Reply::Send(Response::Metadata(MetadataResponse {
        brokers: vec![],
        topics: vec![topic],
    }))
}

impl Handler for Script {
    fn handle(&self, _peer: &Peer, _header: RequestHeader, request: Request) -> Reply {
        let command = match &request {
            Request::Metadata(metadata) => metadata.topics[0].clone().unwrap(),
            Request::Fetch(_) => "fetch".to_owned(),
            other => panic!("not scripted: {other:?}"),
        };
        self.0.handled.lock().unwrap().push(command.clone());
        let (verb, name) = command.split_once(' ').unwrap_or((&command, ""));
        let gate = self.0.gate(name);
        let promise = Promise(command.clone(), Arc::clone(&self.0));
        let echoed = command.clone();
        let promised = Box::pin(async move {
            let _promise = promise;
            let _open = gate.acquire().await.unwrap();
            answer(&echoed)
        });
        match verb {
            "ack" => Reply::Acknowledging(promised),
            "later" => Reply::Later(promised),
            "nothing" => Reply::Nothing,
            "close" => Reply::Close,
            "fetch" => fetched(&self.0.slices.lock().unwrap()),
            _ => answer(&command),
        }
    }

    fn refused(&self, _peer: &Peer, error: DecodeError) {
        self.0.refused.lock().unwrap().push(error.to_string());
    }

    fn misframed(&self, _peer: &Peer, size: i32) {
        self.0.refused.lock().unwrap().push(format!("size {size}"));
    }
}

fn fetched(slices: &[FileSlice]) -> Reply {
    let partition = |(partition, slice): (i32, &FileSlice)| PartitionFetched {
        partition,
        error: ErrorCode::None,
        high_watermark: 7,
        messages: Some(slice.clone()),
    };
    let partitions = (0..).zip(slices).map(partition).collect();
    Reply::Send(Response::Fetch(FetchResponse {
        topics: vec![(Some("t".to_owned()), partitions)],
    }))
}

/// A listener that serves a script.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    pub(super) script: Script,
    pub(super) metrics: Metrics,
    pub(super) trigger: Trigger,
    pub(super) running: JoinHandle<()>,
}

/// The defaults of these tests: the system's port, its buffers.
pub(super) fn config() -> ListenerConfig {
    ListenerConfig {
        host: Some("127.0.0.1".to_owned()),
        port: 0,
        send_buffer_bytes: None,
        receive_buffer_bytes: None,
        ..ListenerConfig::default()
    }
}

pub(super) async fn serve(config: ListenerConfig) -> Served {
    let (metrics, script, trigger) = (Metrics::new(), Script::default(), Trigger::new());
    let listener = Listener::bind(config, &metrics).await.unwrap();
    let address = listener.local_addr().unwrap();
    let running = tokio::spawn(listener.run(script.clone(), trigger.signal()));
    Served {
        address,
        script,
        metrics,
        trigger,
        running,
    }
}

/// A client.
pub(super) struct Client {
    pub(super) socket: TcpStream,
    pub(super) sent: i32,
}

/// A whole metadata request.
pub(super) fn request(correlation_id: i32, topics: &[String]) -> Vec<u8> {
    let topics = topics.iter().cloned().map(Some).collect();
    encode_request(correlation_id, Some("test"), &MetadataRequest { topics }).to_vec()
}

/// A whole fetch request, which asks for nothing.
pub(super) fn fetch(correlation_id: i32) -> Bytes {
    let request = FetchRequest {
        reader: Reader::Consumer,
        max_wait: Duration::ZERO,
        min_bytes: 0,
        topics: vec![],
    };
    encode_request(correlation_id, None, &request).freeze()
}

impl Served {
    pub(super) async fn client(&self) -> Client {
        Client {
            socket: TcpStream::connect(self.address).await.unwrap(),
            sent: 0,
        }
    }

    /// Waits until the script has handled exactly this.
    pub(super) async fn handled(&self, commands: &[&str]) {
        eventually(|| self.script.0.handled(), |handled| *handled == commands).await;
    }
}

impl Client {
    /// Sends requests with one write.
    pub(super) async fn send(&mut self, commands: &[&str]) {
        let mut bytes = Vec::new();
        for command in commands {
            bytes.extend(request(self.sent, &[(*command).to_owned()]));
            self.sent += 1;
        }
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// The payload of the next frame.
    pub(super) async fn frame(&mut self) -> io::Result<Bytes> {
        let receive = async {
            let len = self.socket.read_i32().await?;
            let mut frame = vec![0; usize::try_from(len).unwrap()];
            self.socket.read_exact(&mut frame).await?;
            Ok(frame.into())
        };
        patiently("a frame", receive).await
    }

    /// The next answer: its correlation id and the command it echoes.
    pub(super) async fn answer(&mut self) -> (i32, String) {
        let frame = self.frame().await.unwrap();
        let (id, response) = decode_response::<MetadataResponse>(frame).unwrap();
        (id, response.topics[0].topic.clone().unwrap())
    }

    pub(super) async fn expect(&mut self, answers: &[(i32, &str)]) {
        for (id, command) in answers {
            assert_eq!(self.answer().await, (*id, (*command).to_owned()));
        }
    }

    /// Waits until the broker closes the connection, and gives what it sent before.
    pub(super) async fn closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match patiently("the end", self.socket.read_to_end(&mut rest)).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
        rest
    }

    /// Whether nothing has come by now. To be asked only after something else shows that it would have.
    pub(super) fn hears_nothing(&self) -> bool {
        let mut byte = [0];
        let read = self.socket.try_read(&mut byte);
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Gives up after a while.
pub(super) async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("waited for {what}"),
    }
}

/// Waits until `look` finds what `enough` accepts; shows the last find if that never happens.
pub(super) async fn eventually<T: std::fmt::Debug>(look: impl Fn() -> T, enough: impl Fn(&T) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = look();
        if enough(&found) {
            return;
        }
        assert!(Instant::now() < deadline, "last seen: {found:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The value of a series.
pub(super) fn metric(metrics: &Metrics, series: &str) -> f64 {
    let text = metrics.render();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is missing"))
        .parse()
        .unwrap()
}
