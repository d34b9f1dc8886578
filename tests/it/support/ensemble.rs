//! A ZooKeeper ensemble of three real servers, each on a host of its own. Killed when dropped.

use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::process::Child;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;

use super::eventually::within;
use super::lan::Lan;
use super::scratch;
use super::zookeeper::Version;
use super::zookeeper::program;

const PORT: u16 = 2181;

/// Time for three Java processes to start and agree on a leader.
const START: Duration = Duration::from_secs(60);

/// How long a server may take to say what it is.
const ANSWER: Duration = Duration::from_millis(500);

/// An ensemble.
#[derive(Debug)]
pub(crate) struct Ensemble {
    version: Version,
    servers: Vec<Server>,
}

/// One of its servers.
#[derive(Debug)]
struct Server {
    address: Ipv4Addr,
    folder: tempfile::TempDir,
    under: [String; 3],
    process: Option<Child>,
}

impl Ensemble {
    /// Starts servers without any data on these hosts, and waits until they have a leader.
    pub(crate) fn start(version: Version, lan: &Lan, hosts: &[usize]) -> Self {
        let servers = hosts.iter().map(|host| Server {
            address: lan.address(*host),
            folder: scratch("zookeeper"),
            under: lan.under(*host),
            process: None,
        });
        let mut ensemble = Self {
            version,
            servers: servers.collect(),
        };
        for number in 0..ensemble.servers.len() {
            ensemble.write_settings(number);
            ensemble.start_again(number);
        }
        ensemble
            .wait_until_it_serves()
            .unwrap_or_else(|why| panic!("{why}"));
        ensemble
    }

    /// How many servers there are.
    pub(crate) fn len(&self) -> usize {
        self.servers.len()
    }

    /// All its servers, as connect strings list them.
    pub(crate) fn connect(&self) -> String {
        let servers: Vec<_> = self
            .servers
            .iter()
            .map(|server| format!("{}:{PORT}", server.address))
            .collect();
        servers.join(",")
    }

    /// The server that leads, if one does.
    pub(crate) fn leader(&self) -> Option<usize> {
        (0..self.servers.len()).find(|number| self.servers[*number].mode().as_deref() == Some("leader"))
    }

    /// Waits until every server that runs is a leader or follows one; what they are if they take too long.
    pub(crate) fn wait_until_it_serves(&self) -> Result<(), String> {
        let mut modes = Vec::new();
        let serves = within(START, || {
            let running = self.servers.iter().filter(|server| server.process.is_some());
            modes = running.map(Server::mode).collect();
            modes.iter().all(Option::is_some).then_some(())
        });
        serves.ok_or_else(|| format!("the ensemble does not serve within {START:?}: {modes:?}"))
    }

    /// Stops one as a power cut does (SIGKILL).
    pub(crate) fn kill(&mut self, number: usize) {
        if let Some(mut process) = self.servers[number].process.take() {
            process.kill().expect("kill a child");
            process.wait().expect("wait for a child");
        }
    }

    /// Starts one on the data it has, without waiting.
    pub(crate) fn start_again(&mut self, number: usize) {
        let server = &mut self.servers[number];
        assert!(server.process.is_none(), "it runs");
        let log = File::options()
            .create(true)
            .append(true)
            .open(server.folder.path().join("log"))
            .unwrap();
        let mut command = program(self.version, &server.under);
        let process = command
            .arg(server.folder.path().join("zoo.cfg"))
            .current_dir(server.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        server.process = Some(process.unwrap_or_else(|error| panic!("run {command:?}: {error}")));
    }

    /// Makes one hang: connections stay open, and it does not answer.
    pub(crate) fn freeze(&self, number: usize) {
        self.servers[number].signal(Signal::STOP);
    }

    /// Ends [`Self::freeze`].
    pub(crate) fn thaw(&self, number: usize) {
        self.servers[number].signal(Signal::CONT);
    }

    /// Everything that each of them has written to its outputs.
    pub(crate) fn outputs(&self) -> Vec<String> {
        let log = |server: &Server| fs::read(server.folder.path().join("log")).unwrap_or_default();
        let logs = self.servers.iter().map(log);
        logs.map(|log| String::from_utf8_lossy(&log).into_owned())
            .collect()
    }

    fn write_settings(&self, number: usize) {
        let folder = self.servers[number].folder.path();
        let data = folder.join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("myid"), (number + 1).to_string()).unwrap();
        // Short ticks, so that sessions expire soon after their timeout; the limits are in ticks.
        let mut settings = format!(
            "dataDir={}\nclientPort={PORT}\nclientPortAddress={}\nmaxClientCnxns=0\ntickTime=100\ninitLimit=100\n\
             syncLimit=30\nminSessionTimeout=200\nmaxSessionTimeout=60000\nadmin.enableServer=false\n\
             4lw.commands.whitelist=srvr\n",
            data.display(),
            self.servers[number].address
        );
        for (number, server) in (1..).zip(&self.servers) {
            settings += &format!("server.{number}={}:2888:3888\n", server.address);
        }
        fs::write(folder.join("zoo.cfg"), settings).unwrap();
    }
}

impl Server {
    /// What it says it is: `leader` or `follower`.
    fn mode(&self) -> Option<String> {
        let address = SocketAddr::from((self.address, PORT));
        let mut connection = TcpStream::connect_timeout(&address, ANSWER).ok()?;
        connection.set_read_timeout(Some(ANSWER)).ok()?;
        connection.write_all(b"srvr").ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "))?;
        Some(mode.to_owned())
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("it runs");
        kill_process(Pid::from_child(process), signal).expect("signal a child that was not waited for");
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for number in 0..self.servers.len() {
            self.kill(number);
        }
    }
}
