//! A broker as a child process: Gregor, or the reference when GREGOR_TEST_BROKER says so; own port, own data, own chroot.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;

use super::eventually::eventually;
use super::eventually::within;
use super::free_port;
use super::gregor;
use super::reference;
use super::scratch;
use super::wire;
use super::znodes;

/// Long enough for a restart that has to wait until the session of its killed predecessor is over.
const START: Duration = Duration::from_secs(60);

/// How long a broker that was started again is waited for to hear of its topics.
const TOLD: Duration = Duration::from_secs(5);

/// How much of its output is printed when a test fails.
const LINES_ON_FAILURE: usize = 200;

/// Which implementation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Gregor,
    Reference,
}

/// The broker that this test run is about.
pub(crate) fn kind() -> Kind {
    match std::env::var("GREGOR_TEST_BROKER").as_deref() {
        Ok("reference") => Kind::Reference,
        Ok("gregor") | Err(_) => Kind::Gregor,
        Ok(other) => panic!("GREGOR_TEST_BROKER is gregor or reference, not {other}"),
    }
}

/// A broker that does not run yet.
#[derive(Debug)]
pub(crate) struct Setup {
    kind: Kind,
    settings: BTreeMap<String, String>,
    directory: tempfile::TempDir,
    metrics_port: u16,
}

impl Setup {
    /// A broker with id 0 in the cluster at `connect`, with small and quick settings.
    pub(crate) fn new(connect: &str) -> Self {
        Self::of_kind(kind(), connect)
    }

    /// As `new`, whatever this test run is about.
    pub(crate) fn of_kind(kind: Kind, connect: &str) -> Self {
        let directory = scratch("broker");
        let (port, metrics_port) = (free_port(), free_port());
        let data = directory.path().join("data");
        let settings = [
            ("broker.id", "0"),
            ("port", &port.to_string()),
            ("host.name", "127.0.0.1"),
            ("advertised.host.name", "127.0.0.1"),
            ("log.dirs", &data.to_string_lossy()),
            ("zookeeper.connect", connect),
            ("zookeeper.session.timeout.ms", "3000"),
            ("offsets.topic.num.partitions", "3"),
            ("offsets.topic.replication.factor", "1"),
        ];
        let settings = settings
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let setup = Self {
            kind,
            settings,
            directory,
            metrics_port,
        };
        match kind {
            Kind::Gregor => setup.set("metrics.listen", format!("127.0.0.1:{metrics_port}")),
            // A virtual machine that starts on a busy machine stands still for seconds.
            Kind::Reference => setup.set("zookeeper.session.timeout.ms", "6000"),
        }
    }

    /// On a host of its own instead of the loopback interface.
    pub(crate) fn at(self, host: Ipv4Addr) -> Self {
        let (kind, metrics_port) = (self.kind, self.metrics_port);
        let setup = self
            .set("host.name", host.to_string())
            .set("advertised.host.name", host.to_string());
        match kind {
            Kind::Gregor => setup.set("metrics.listen", format!("{host}:{metrics_port}")),
            Kind::Reference => setup,
        }
    }

    /// One more setting, or another value for one.
    pub(crate) fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.settings.insert(key.to_owned(), value.into());
        self
    }

    /// The configuration as written to a file.
    pub(crate) fn file(&self) -> PathBuf {
        let mut text = String::new();
        for (key, value) in &self.settings {
            writeln!(text, "{key}={value}").unwrap();
        }
        let file = self.directory.path().join("server.properties");
        std::fs::write(&file, text).unwrap();
        file
    }

    /// The command that would run it.
    pub(crate) fn command(&self) -> Command {
        let file = self.file();
        match self.kind {
            Kind::Gregor => {
                let mut command = gregor();
                command.arg("server").arg(file);
                command
            }
            Kind::Reference => {
                let mut command = reference::command(&["server"]);
                command.arg(file);
                command
            }
        }
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        PathBuf::from(&self.settings["log.dirs"])
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.settings["port"].parse().expect("a port")
    }

    /// Starts it and waits until it serves.
    #[track_caller]
    pub(crate) fn start(self) -> Broker {
        let mut broker = self.launch();
        broker.wait_until_ready();
        broker
    }

    /// Starts it without waiting.
    pub(crate) fn launch(self) -> Broker {
        let mut broker = self.stopped();
        broker.launch();
        broker
    }

    /// Does not start it yet.
    pub(crate) fn stopped(self) -> Broker {
        Broker {
            setup: self,
            child: None,
            under: Vec::new(),
            environment: Vec::new(),
            reference_launches: 0,
        }
    }
}

/// A broker that runs, or that was stopped and can be started again on its data.
#[derive(Debug)]
pub(crate) struct Broker {
    setup: Setup,
    child: Option<Child>,
    /// What it runs under: a program with arguments, which are followed by its own command line.
    under: Vec<String>,
    environment: Vec<(String, String)>,
    /// How often it was started as the reference.
    reference_launches: usize,
}

impl Broker {
    /// A broker with the usual settings.
    #[track_caller]
    pub(crate) fn start(connect: &str) -> Self {
        Setup::new(connect).start()
    }

    fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .unwrap();
        let server = self.setup.command();
        let mut command = match self.under.split_first() {
            Some((program, arguments)) => {
                let mut under = Command::new(program);
                under
                    .args(arguments)
                    .arg(server.get_program())
                    .args(server.get_args());
                under
            }
            None => server,
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("start {command:?}: {error}")),
        );
        if self.setup.kind == Kind::Reference {
            self.reference_launches += 1;
        }
    }

    /// From the next start on it is a broker of this kind, with the same id, address and data.
    pub(crate) fn turn_into(&mut self, kind: Kind) {
        assert!(self.child.is_none(), "it runs");
        self.setup.kind = kind;
        let metrics = format!("127.0.0.1:{}", self.setup.metrics_port);
        // The reference takes no offence at settings that it doesn't know.
        self.setup.settings.insert("metrics.listen".to_owned(), metrics);
    }

    /// Which implementation it is.
    pub(crate) fn kind(&self) -> Kind {
        self.setup.kind
    }

    /// From the next start on it runs under this program; under none if there is none.
    pub(crate) fn run_under(&mut self, program: &[&str]) {
        self.under = program.iter().map(|&argument| argument.to_owned()).collect();
    }

    /// From the next start on it has these variables, and no others that were given before.
    pub(crate) fn run_with(&mut self, environment: &[(String, String)]) {
        self.environment = environment.to_owned();
    }

    /// Starts it again, for what it may not survive: how it ended if it did before it served.
    pub(crate) fn try_start_again(&mut self) -> Result<(), ExitStatus> {
        self.launch();
        eventually("the broker serves or ends", START, || match self.exited() {
            Some(status) => Ok(Err(status)),
            None => self.serves().map(Ok),
        })
    }

    /// Starts it again where it cannot know who leads: waits until it calls itself started, no longer.
    #[track_caller]
    pub(crate) fn start_again_without_leaders(&mut self) {
        self.launch();
        eventually("the broker calls itself started", START, || {
            assert!(self.exited().is_none(), "the broker ended");
            self.started()
        });
    }

    /// It has ended by itself, and may be started again.
    #[track_caller]
    pub(crate) fn forget(&mut self) {
        assert!(self.exited().is_some(), "it still runs");
        self.child = None;
    }

    /// Starts it on the data it has and waits until it serves.
    #[track_caller]
    pub(crate) fn start_again(&mut self) {
        if self.setup.kind == Kind::Reference {
            // Should the session of its killed predecessor end while it runs, the reference takes that for the end
            // of its own time as controller, fails, and is never elected again.
            eventually("the old session is over", START, || {
                let own = format!("\"brokerid\":{},", self.setup.settings["broker.id"]);
                let left = znodes::node(self.connect(), "/controller")
                    .filter(|node| node.data.as_ref().is_some_and(|data| data.contains(&own)));
                left.map_or(Ok(()), |node| Err(format!("{node:?}")))
            });
        }
        self.launch();
        self.wait_until_ready();
        // It serves before its controller has told it of anything. What lies there may be of no topic any more.
        within(TOLD, || {
            let seen = wire::metadata(self.address()).ok()?;
            (self.has_logs() <= !seen.topics.is_empty()).then_some(())
        });
    }

    /// Whether there is a partition's directory in its data directory.
    fn has_logs(&self) -> bool {
        let entries = std::fs::read_dir(self.data()).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.into_iter().any(|name| {
            name.rsplit_once('-')
                .is_some_and(|(_, number)| number.parse::<u32>().is_ok())
        })
    }

    /// Starts it on the data it has without waiting: in a cluster others may have to come first.
    pub(crate) fn launch_again(&mut self) {
        self.launch();
    }

    /// Ready: it knows itself as a broker, and each partition it tells about has a leader.
    #[track_caller]
    pub(crate) fn wait_until_ready(&mut self) {
        eventually("the broker serves", START, || {
            if let Some(status) = self.exited() {
                panic!("the broker ended: {status}");
            }
            self.serves()
        });
    }

    /// Waits until it is registered and serves, whatever it leads.
    #[track_caller]
    pub(crate) fn wait_until_started(&mut self) {
        eventually("the broker has started", START, || {
            if let Some(status) = self.exited() {
                panic!("the broker ended: {status}");
            }
            self.started()
        });
    }

    fn serves(&self) -> Result<(), String> {
        self.started()?;
        let seen = wire::metadata(self.address()).map_err(|error| error.to_string())?;
        // Before it has a first topic the reference tells of no brokers, not even of itself.
        let me = seen.topics.is_empty()
            || seen
                .brokers
                .iter()
                .any(|(_, _, port)| *port == i32::from(self.setup.port()));
        let led = seen.topics.iter().all(|(_, error, partitions)| {
            *error == 0
                && partitions
                    .iter()
                    .all(|(_, error, leader)| *error == 0 && *leader >= 0)
        });
        if me && led {
            Ok(())
        } else {
            Err(format!("{seen:?}"))
        }
    }

    /// Whether it calls itself started: Gregor over HTTP, the reference in its log.
    fn started(&self) -> Result<(), String> {
        match self.setup.kind {
            Kind::Gregor => match wire::http_get(self.metrics_address(), "/readyz") {
                Ok((200, _)) => Ok(()),
                other => Err(format!("/readyz: {other:?}")),
            },
            Kind::Reference => {
                let said = self
                    .output()
                    .matches("], started (kafka.server.KafkaServer)")
                    .count();
                if said == self.reference_launches {
                    Ok(())
                } else {
                    Err("not started".to_owned())
                }
            }
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((self.host(), self.setup.port()))
    }

    /// The same as clients want it.
    pub(crate) fn bootstrap(&self) -> String {
        self.address().to_string()
    }

    /// Its cluster's connect string.
    pub(crate) fn connect(&self) -> &str {
        &self.setup.settings["zookeeper.connect"]
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.setup.data()
    }

    /// Where Gregor serves its metrics.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        SocketAddr::from((self.host(), self.setup.metrics_port))
    }

    fn host(&self) -> Ipv4Addr {
        self.setup.settings["host.name"].parse().expect("an address")
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("it runs"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("signal a child that was not waited for");
    }

    /// Stops it in its tracks, and waits until every thread has: some may still run when the signal is sent.
    #[track_caller]
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.pid().as_raw_nonzero());
        eventually("every thread stands still", START, || {
            let states = std::fs::read_dir(&tasks).unwrap().map(|task| {
                let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default();
                // The name before may hold anything, also parentheses.
                let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
                state.unwrap_or('?')
            });
            let states: String = states.collect();
            if states.chars().all(|state| state == 'T') {
                Ok(())
            } else {
                Err(states)
            }
        });
    }

    /// Its exit status if it has ended by itself.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child
            .as_mut()
            .and_then(|child| child.try_wait().expect("wait for a child"))
    }

    /// A clean stop: SIGTERM, then its end.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.stop_within(Duration::from_secs(20))
    }

    /// As `stop`, with the time it may take.
    #[track_caller]
    pub(crate) fn stop_within(&mut self, deadline: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        let status = within(deadline, || self.exited());
        let Some(status) = status else {
            panic!("still runs {deadline:?} after SIGTERM")
        };
        self.child = None;
        status
    }

    /// A crash: SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill a child");
            child.wait().expect("wait for a child");
        }
    }

    /// Everything it has written to its outputs, over all starts.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// Creates a topic with the reference's tool and waits until its partitions have leaders here.
    #[track_caller]
    pub(crate) fn create_topic(&self, topic: &str, partitions: usize, settings: &[(&str, &str)]) {
        let partitions_text = partitions.to_string();
        let mut arguments = vec![
            "topics",
            "--zookeeper",
            self.connect(),
            "--create",
            "--topic",
            topic,
        ];
        arguments.extend(["--partitions", &partitions_text, "--replication-factor", "1"]);
        let settings: Vec<String> = settings
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        for setting in &settings {
            arguments.extend(["--config", setting]);
        }
        reference::tool(&arguments, b"");
        self.wait_for_topic(topic, partitions);
    }

    /// Waits until it tells clients of a topic with this many partitions, each with a leader.
    #[track_caller]
    pub(crate) fn wait_for_topic(&self, topic: &str, partitions: usize) {
        eventually("the topic has leaders", Duration::from_secs(20), || {
            let seen = wire::metadata(self.address()).map_err(|error| error.to_string())?;
            let there = seen.topics.iter().any(|(name, error, listed)| {
                name == topic
                    && *error == 0
                    && listed.len() == partitions
                    && listed
                        .iter()
                        .all(|(_, error, leader)| *error == 0 && *leader >= 0)
            });
            if there { Ok(()) } else { Err(format!("{seen:?}")) }
        });
    }

    fn log_file(&self) -> PathBuf {
        self.setup.directory.path().join("log")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<&str> = output.lines().collect();
            let last = lines[lines.len().saturating_sub(LINES_ON_FAILURE)..].join("\n");
            eprintln!("--- the end of what {:?} said:\n{last}\n---", self.setup.kind);
        }
        if let Some(mut child) = self.child.take() {
            // Fails only when it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
