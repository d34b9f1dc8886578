//! A connection to ZooKeeper that can be cut, and that knows the session inside.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a client needs to go on with a session, or to end it: number and password.
type Credentials = (i64, Vec<u8>);

/// Passes on everything between clients and one server.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: String,
    server: String,
    open: watch::Sender<bool>,
    session: Arc<Mutex<Option<Credentials>>>,
    /// Stops with the proxy.
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Opens a port whose connections lead to the server.
    pub(crate) async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (open, is_open) = watch::channel(true);
        let session = Arc::new(Mutex::new(None));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server.clone(), is_open, Arc::clone(&session)));
        Self {
            address,
            server,
            open,
            session,
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

    /// Ends the session that was opened last: takes it over, as its owner could, and closes it. Meanwhile the
    /// connection is cut, or else the owner would take it back.
    pub(crate) async fn expire(&self) {
        self.cut();
        let (session, password) = self
            .session
            .lock()
            .unwrap()
            .clone()
            .expect("a session was opened");
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

async fn accept(
    listener: TcpListener,
    server: String,
    open: watch::Receiver<bool>,
    session: Arc<Mutex<Option<Credentials>>>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        if *open.borrow() {
            let (server, mut open, session) = (server.clone(), open.clone(), Arc::clone(&session));
            connections.spawn(async move {
                tokio::select! {
                    // Broken connections are what this is for.
                    _ = pass_on(client, &server, &session) => {}
                    _ = open.wait_for(|open| !open) => {}
                }
            });
        }
    }
}

async fn pass_on(
    mut client: TcpStream,
    server: &str,
    session: &Mutex<Option<Credentials>>,
) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let request = read_frame(&mut client).await?;
    write_frame(&mut server, &request).await?;
    let response = read_frame(&mut server).await?;
    // protocol version i32 | timeout i32 | session i64 | size i32 | password | ..
    let id = i64::from_be_bytes(response[8..16].try_into().unwrap());
    *session.lock().unwrap() = Some((id, response[20..36].to_vec()));
    write_frame(&mut client, &response).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

async fn read_frame(connection: &mut TcpStream) -> io::Result<Vec<u8>> {
    let size = connection.read_u32().await?;
    let mut frame = vec![0; usize::try_from(size).unwrap()];
    connection.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write_frame(connection: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    connection.write_u32(u32::try_from(frame.len()).unwrap()).await?;
    connection.write_all(frame).await
}
