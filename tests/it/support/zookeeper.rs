//! A real ZooKeeper server as a child process, with its own port and folder. Killed when dropped.

use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::Weak;
use std::time::Duration;
use std::time::Instant;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use tempfile::TempDir;

/// How long a server may take to start; the first one of the reference may have to be downloaded.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a server may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Ports are free only until somebody else takes them.
const START_ATTEMPTS: usize = 5;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// 3.4.6, which Kafka 0.8.2.2 comes with; run by `tests/reference/kafka`.
    Reference,
    /// 3.8 as Debian packages it, or whatever is in `ZOOKEEPER_HOME`.
    Installed,
}

/// A running server, or a stopped one that can be started again.
#[derive(Debug)]
pub(crate) struct ZooKeeper {
    version: Version,
    port: u16,
    folder: TempDir,
    process: Option<Child>,
}

impl ZooKeeper {
    /// Starts a server without any data, and waits until it answers.
    pub(crate) fn start(version: Version) -> Self {
        for _ in 1..START_ATTEMPTS {
            if let Ok(server) = Self::try_start(version) {
                return server;
            }
        }
        Self::try_start(version).unwrap_or_else(|log| panic!("ZooKeeper {version:?} does not start:\n{log}"))
    }

    /// The server that all tests running at this moment share: use a chroot of your own and leave it running.
    pub(crate) fn shared(version: Version) -> Arc<Self> {
        static SHARED: [Mutex<Weak<ZooKeeper>>; 2] = [Mutex::new(Weak::new()), Mutex::new(Weak::new())];
        let slot = match version {
            Version::Reference => &SHARED[0],
            Version::Installed => &SHARED[1],
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start(version));
            *slot = Arc::downgrade(&server);
            server
        })
    }

    /// Where it is reached: `127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Stops it as an operator does (SIGTERM).
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.wait();
    }

    /// Stops it as a power cut does (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Starts it again, on the same port and with the same data.
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        if let Err(log) = self.launch() {
            panic!("ZooKeeper {:?} does not start again:\n{log}", self.version);
        }
    }

    /// Makes it hang: connections stay open, and nobody answers.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Ends [`Self::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn try_start(version: Version) -> Result<Self, String> {
        let folder = tempfile::tempdir().expect("create a folder for ZooKeeper");
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        // Short ticks, so that sessions expire soon after their timeout and tests may ask for short ones.
        let settings = format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\ntickTime=100\n\
             minSessionTimeout=200\nmaxSessionTimeout=60000\nadmin.enableServer=false\n",
            folder.path().join("data").display()
        );
        fs::write(folder.path().join("zoo.cfg"), settings).expect("write ZooKeeper's settings");
        let mut server = Self {
            version,
            port,
            folder,
            process: None,
        };
        server.launch()?;
        Ok(server)
    }

    /// Runs the server until it answers; what it has logged if it does not.
    fn launch(&mut self) -> Result<(), String> {
        let log_path = self.folder.path().join("log");
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log_path)
            .expect("open ZooKeeper's log");
        let mut command = program(self.version, &[]);
        let process = command
            .arg(self.folder.path().join("zoo.cfg"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share ZooKeeper's log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("run {command:?}: {error}; apt-get install zookeeper maven"));
        self.process = Some(process);
        let up = wait_until(START_TIMEOUT, || self.has_ended() || self.answers());
        if up && !self.has_ended() {
            return Ok(());
        }
        self.kill();
        Err(fs::read_to_string(log_path).unwrap_or_default())
    }

    fn answers(&self) -> bool {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let Ok(mut connection) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
            return false;
        };
        let mut answer = String::new();
        let asked = connection
            .set_read_timeout(Some(Duration::from_secs(1)))
            .and_then(|()| connection.write_all(b"srvr"))
            .and_then(|()| connection.read_to_string(&mut answer));
        asked.is_ok() && answer.contains("Mode:")
    }

    fn has_ended(&mut self) -> bool {
        let process = self.process.as_mut().expect("it runs");
        process.try_wait().expect("ask for ZooKeeper's state").is_some()
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("it runs");
        // An error means that it has ended by itself.
        let _ = kill_process(Pid::from_child(process), signal);
    }

    fn wait(&mut self) {
        let ended = wait_until(STOP_TIMEOUT, || self.has_ended());
        assert!(ended, "ZooKeeper {:?} does not stop", self.version);
        self.process = None;
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Nothing can be done about a failure here, and the test may be panicking already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A server's command, which its configuration is to follow; run under another program if there is one.
pub(super) fn program(version: Version, under: &[String]) -> Command {
    let server = match version {
        Version::Reference => vec![
            reference_file("kafka").display().to_string(),
            "zookeeper".to_owned(),
        ],
        Version::Installed => installed(),
    };
    let mut words = under.iter().chain(&server);
    let mut command = Command::new(words.next().expect("a program"));
    // The reference's launcher replaces itself with the server.
    command.args(words).env("REFERENCE_HEAP", "128m");
    command
}

fn installed() -> Vec<String> {
    let log = reference_file("log4j.properties");
    vec![
        "java".to_owned(),
        "-Xmx128m".to_owned(),
        "-Djava.awt.headless=true".to_owned(),
        format!("-Dlog4j.configuration=file:{}", log.display()),
        "-cp".to_owned(),
        class_path(),
        "org.apache.zookeeper.server.quorum.QuorumPeerMain".to_owned(),
    ]
}

fn class_path() -> String {
    if let Some(home) = std::env::var_os("ZOOKEEPER_HOME") {
        let home = Path::new(&home).display();
        return format!("{home}/lib/*:{home}/*");
    }
    let jar = Path::new("/usr/share/java/zookeeper.jar");
    assert!(
        jar.exists(),
        "ZooKeeper is not installed: apt-get install zookeeper, or set ZOOKEEPER_HOME"
    );
    // Debian's archive names everything it needs in its manifest.
    jar.display().to_string()
}

fn reference_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/reference")
        .join(name)
}

/// Whether the condition came true in time.
#[expect(
    clippy::disallowed_methods,
    reason = "waits for another process, outside of any executor"
)]
fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
