//! A connection to ZooKeeper that can be cut, and that knows the session inside and what comes of its reads.

use std::collections::HashMap;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a client needs to go on with a session, or to end it: number and password.
type Credentials = (i64, Vec<u8>);

/// Requests that read a node, and those that list its children.
const READ: i32 = 4;
const LIST: [i32; 2] = [8, 12];

/// There is no such node.
const NO_NODE: i32 = -101;

/// What is known of the sessions behind the proxy.
#[derive(Debug, Default)]
struct Seen {
    /// Of the session that was opened last.
    session: Option<Credentials>,
    /// Nodes that were named when their parents' children were listed.
    listed: HashSet<String>,
    /// How often one of these was gone when it was read.
    vanished: usize,
}

/// Passes on everything between clients and one server.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: String,
    server: String,
    open: watch::Sender<bool>,
    seen: Arc<Mutex<Seen>>,
    /// Stops with the proxy.
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Opens a port whose connections lead to the server.
    pub(crate) async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (open, is_open) = watch::channel(true);
        let seen = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server.clone(), is_open, Arc::clone(&seen)));
        Self {
            address,
            server,
            open,
            seen,
            _tasks: tasks,
        }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Breaks all connections and lets no new one through.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }

    /// How often a node was gone when it was read that had been there when it was listed.
    pub(crate) fn vanished(&self) -> usize {
        self.seen.lock().unwrap().vanished
    }

    /// Ends the session that was opened last: takes it over, as its owner could, and closes it. Meanwhile the
    /// connection is cut, or else the owner would take it back.
    pub(crate) async fn expire(&self) {
        self.cut();
        let session = self.seen.lock().unwrap().session.clone();
        let (session, password) = session.expect("a session was opened");
        let mut connection = TcpStream::connect(&self.server).await.unwrap();
        let mut request = Vec::new();
        request.extend(0_i32.to_be_bytes()); // protocol version
        request.extend(0_i64.to_be_bytes()); // last transaction seen
        request.extend(10_000_i32.to_be_bytes()); // session timeout
        request.extend(session.to_be_bytes());
        request.extend(i32::try_from(password.len()).unwrap().to_be_bytes());
        request.extend(password);
        write_frame(&mut connection, &request).await.unwrap();
        let response = read_frame(&mut connection).await.unwrap();
        assert_eq!(
            response[8..16],
            session.to_be_bytes(),
            "the session is still there"
        );
        let close = [1_i32.to_be_bytes(), (-11_i32).to_be_bytes()].concat();
        write_frame(&mut connection, &close).await.unwrap();
        read_frame(&mut connection).await.unwrap();
        self.mend();
    }
}

async fn accept(listener: TcpListener, server: String, open: watch::Receiver<bool>, seen: Arc<Mutex<Seen>>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        if *open.borrow() {
            let (server, mut open, seen) = (server.clone(), open.clone(), Arc::clone(&seen));
            connections.spawn(async move {
                tokio::select! {
                    // Broken connections are what this is for.
                    _ = pass_on(client, &server, &seen) => {}
                    _ = open.wait_for(|open| !open) => {}
                }
            });
        }
    }
}

async fn pass_on(mut client: TcpStream, server: &str, seen: &Mutex<Seen>) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let request = read_frame(&mut client).await?;
    write_frame(&mut server, &request).await?;
    let response = read_frame(&mut server).await?;
    // protocol version i32 | timeout i32 | session i64 | size i32 | password | ..
    let id = i64::from_be_bytes(response[8..16].try_into().unwrap());
    seen.lock().unwrap().session = Some((id, response[20..36].to_vec()));
    write_frame(&mut client, &response).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let asked = Mutex::new(HashMap::new());
    let requests = async {
        loop {
            let request = read_frame(&mut from_client).await?;
            if let Some((number, kind, path)) = read_request(&request) {
                asked.lock().unwrap().insert(number, (kind, path));
            }
            write_frame(&mut to_server, &request).await?;
        }
    };
    let answers = async {
        loop {
            let answer = read_frame(&mut from_server).await?;
            let number = answer[..4].try_into().map(i32::from_be_bytes).unwrap();
            let asked = asked.lock().unwrap().remove(&number);
            if let Some((kind, path)) = asked {
                seen.lock().unwrap().note(kind, path, &answer);
            }
            write_frame(&mut to_client, &answer).await?;
        }
    };
    tokio::select! {
        ended = requests => ended,
        ended = answers => ended,
    }
}

/// Number, kind and path of a request that reads a node or lists its children.
fn read_request(request: &[u8]) -> Option<(i32, i32, String)> {
    // number i32 | kind i32 | path | ..
    let (number, rest) = request.split_first_chunk()?;
    let (kind, rest) = rest.split_first_chunk()?;
    let (number, kind) = (i32::from_be_bytes(*number), i32::from_be_bytes(*kind));
    let read = kind == READ || LIST.contains(&kind);
    read.then(|| Some((number, kind, text(rest)?.0)))?
}

/// A text and what follows it.
fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(usize::try_from(i32::from_be_bytes(*len)).ok()?)?;
    Some((String::from_utf8_lossy(text).into_owned(), rest))
}

impl Seen {
    fn note(&mut self, kind: i32, path: String, answer: &[u8]) {
        // number i32 | transaction i64 | error i32 | ..
        let error = i32::from_be_bytes(answer[12..16].try_into().unwrap());
        if kind == READ {
            self.vanished += usize::from(error == NO_NODE && self.listed.contains(&path));
        } else if error == 0 {
            // count i32 | names | ..
            let count = i32::from_be_bytes(answer[16..20].try_into().unwrap());
            let mut rest = &answer[20..];
            for _ in 0..count {
                let (name, after) = text(rest).expect("as many names as announced");
                self.listed.insert(format!("{path}/{name}"));
                rest = after;
            }
        }
    }
}

async fn read_frame(connection: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let size = connection.read_u32().await?;
    let mut frame = vec![0; usize::try_from(size).unwrap()];
    connection.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write_frame(connection: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    connection.write_u32(u32::try_from(frame.len()).unwrap()).await?;
    connection.write_all(frame).await
}
