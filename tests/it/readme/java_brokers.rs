//! Three brokers of the reference, as somebody has them who thinks of replacing them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::eventually::eventually;
use crate::support::namespace::Network;
use crate::support::process::Running;
use crate::support::process::run;
use crate::support::project;
use crate::support::scratch;

/// Enough for a Java broker on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// What is in each partition of their topic before anybody does anything.
const MESSAGES: usize = 1000;

/// Partitions of their topic.
const PARTITIONS: usize = 2;

/// Settings that every client needs.
const CLIENT: [&str; 4] = [
    "-X",
    "broker.version.fallback=0.8.2.2",
    "-X",
    "api.version.request=false",
];

/// Scripts of 0.8.2 that there are.
const SCRIPTS: [&str; 4] = [
    "kafka-server-start",
    "kafka-server-stop",
    "kafka-reassign-partitions",
    "kafka-preferred-replica-election",
];

/// Brokers 1 to 3 with a topic `orders` on all of them, in a network of their own; ZooKeeper at its default port. The
/// first is the one of the folder, with `bin` and `config/server.properties`.
pub(super) struct JavaBrokers<'a> {
    network: &'a Network,
    _zookeeper: Running,
    _others: Vec<Running>,
    _data: tempfile::TempDir,
}

impl<'a> JavaBrokers<'a> {
    /// Starts them.
    pub(super) fn start(network: &'a Network, folder: &Path) -> Self {
        let data = scratch("java-brokers");
        for name in ["bin", "config"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        for script in SCRIPTS {
            let link = folder.join("bin").join(script).with_extension("sh");
            std::os::unix::fs::symlink(project().join("tests/reference/script"), link).unwrap();
        }
        let settings = format!(
            "dataDir={}\nclientPort=2181\ntickTime=200\nmaxClientCnxns=0\n",
            data.path().join("zookeeper").display()
        );
        let file = data.path().join("zoo.cfg");
        fs::write(&file, settings).unwrap();
        let zookeeper = Running::start(reference(network, &["zookeeper", &file.to_string_lossy()]), None);
        eventually("ZooKeeper listens", SOON, || {
            let mut connect = network.command("bash");
            connect.args(["-c", ": < /dev/tcp/127.0.0.1/2181"]);
            let tried = run(connect, b"", SOON);
            if tried.status.success() {
                Ok(())
            } else {
                Err(tried.stderr)
            }
        });

        let others = [2, 3].map(|id| {
            let file = data.path().join(format!("{id}.properties"));
            fs::write(&file, properties(id, data.path())).unwrap();
            Running::start(reference(network, &["server", &file.to_string_lossy()]), None)
        });
        fs::write(
            folder.join("config/server.properties"),
            properties(1, data.path()),
        )
        .unwrap();
        let mut first = network.command("bin/kafka-server-start.sh");
        first.args(["-daemon", "config/server.properties"]);
        first.current_dir(folder).env("REFERENCE_HEAP", "256m");
        run(first, b"", SOON).succeeded();
        let started = "], started (kafka.server.KafkaServer)";
        for other in &others {
            wait_for(started, || other.stderr());
        }
        wait_for(started, || {
            fs::read_to_string(folder.join("kafka.log")).unwrap_or_default()
        });
        let brokers = Self {
            network,
            _zookeeper: zookeeper,
            _others: others.into(),
            _data: data,
        };
        brokers.fill();
        brokers
    }

    fn fill(&self) {
        let mut create = reference(self.network, &["topics", "--zookeeper", "localhost:2181"]);
        create.args(["--create", "--topic", "orders"]);
        create.args([
            "--replica-assignment",
            "1:2:3,2:3:1",
            "--config",
            "min.insync.replicas=2",
        ]);
        run(create, b"", SOON).succeeded();
        for partition in 0..PARTITIONS {
            let mut produce = self.kcat("localhost:9092", partition);
            produce.args(["-P", "-X", "acks=-1"]);
            let lines: String = messages(partition).map(|message| message + "\n").collect();
            run(produce, lines.as_bytes(), SOON).succeeded();
        }
    }

    /// Whatever was done, all messages are there.
    pub(super) fn check(&self) {
        for partition in 0..PARTITIONS {
            let mut consume = self.kcat("localhost:9093", partition);
            consume.args(["-C", "-o", "beginning", "-e", "-q"]);
            let consumed = run(consume, b"", SOON).succeeded().text();
            assert!(consumed.lines().eq(messages(partition)), "{consumed}");
        }
    }

    /// Reads or writes one partition of `orders`.
    fn kcat(&self, bootstrap: &str, partition: usize) -> Command {
        let mut kcat = self.network.command("kcat");
        kcat.args(CLIENT).args(["-b", bootstrap, "-t", "orders"]);
        kcat.args(["-p", &partition.to_string()]);
        kcat
    }
}

fn messages(partition: usize) -> impl Iterator<Item = String> {
    (0..MESSAGES).map(move |number| format!("message {number} of {partition}"))
}

fn properties(id: u16, data: &Path) -> String {
    let (port, data) = (9091 + id, data.join(id.to_string()));
    format!(
        "broker.id={id}\nport={port}\nadvertised.host.name=localhost\nlog.dirs={}\nzookeeper.connect=localhost:2181\n\
         zookeeper.session.timeout.ms=10000\n",
        data.display()
    )
}

fn reference(network: &Network, arguments: &[&str]) -> Command {
    let mut command = network.command(project().join("tests/reference/kafka"));
    command.args(arguments).env("REFERENCE_HEAP", "256m");
    command
}

fn wait_for(text: &str, said: impl Fn() -> String) {
    eventually(text, SOON, || {
        let said = said();
        if said.contains(text) { Ok(()) } else { Err(said) }
    });
}
