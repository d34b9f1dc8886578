//! The broker that is put under load, and what the kernel says about it.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use bytes::BytesMut;
use gregor::message::Codec;
use gregor::message::set::ProducedSet;
use gregor::message::set::SetBuilder;
use gregor::protocol::Api;
use gregor::protocol::DecodeResponse;
use gregor::protocol::ErrorCode;
use gregor::protocol::decode_response;
use gregor::protocol::encode_request;
use gregor::protocol::metadata::MetadataRequest;
use gregor::protocol::produce::Acks;
use gregor::protocol::produce::PartitionProduce;
use gregor::protocol::produce::ProduceRequest;
use gregor::protocol::produce::TopicProduce;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::eventually::eventually;
use crate::support::eventually::within;
use crate::support::have;
use crate::support::wire;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

/// What the broker may never exceed, whatever is done to it.
pub(super) const RESIDENT_MAX: u64 = 256 << 20;

/// How long anything may take that is not itself a measurement.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Sessions outlive a machine that is busy, and data that is written for minutes does not fill the disk.
const SETTINGS: [(&str, &str); 5] = [
    ("zookeeper.session.timeout.ms", "20000"),
    ("log.segment.bytes", "67108864"),
    ("log.retention.bytes", "134217728"),
    ("log.retention.check.interval.ms", "1000"),
    ("log.segment.delete.delay.ms", "1000"),
];

/// Whether the long form was asked for.
pub(super) fn long() -> bool {
    std::env::var_os("GREGOR_LONG_TESTS").is_some_and(|value| value != "0")
}

/// The number for the bounded form, or the one for the long form.
pub(super) fn scaled(bounded: usize, long_form: usize) -> usize {
    if long() { long_form } else { bounded }
}

/// Lets time pass in which the broker is only watched.
pub(super) fn let_pass(time: Duration) {
    within(time, || None::<()>);
}

/// Prints a figure for `scripts/overload.sh`, past the test runner's capture.
pub(super) fn report(line: &str) {
    if long() {
        let _ = writeln!(std::io::stderr(), "  {line}");
    }
}

pub(super) fn mib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024.0
}

/// A broker of its own, and the ZooKeeper server it shares.
pub(super) struct Target {
    pub(super) broker: Broker,
    _zookeeper: Arc<ZooKeeper>,
}

impl Target {
    /// Starts one; `None` if this machine can't.
    pub(super) fn start(test: &str, settings: &[(&str, &str)]) -> Option<Self> {
        if !have(&[Need::Gregor, Need::ZooKeeper]) {
            return None;
        }
        raise_open_files();
        let zookeeper = ZooKeeper::shared(Version::Installed);
        let setup = SETTINGS
            .iter()
            .fold(Setup::new(&chroot(&zookeeper, test)), |setup, (key, value)| {
                setup.set(key, *value)
            });
        let setup = settings
            .iter()
            .fold(setup, |setup, (key, value)| setup.set(key, *value));
        Some(Self {
            broker: setup.start(),
            _zookeeper: zookeeper,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.broker.address()
    }

    /// A topic of one partition, created by asking for it.
    pub(super) fn topic(&self, name: &str) {
        self.topic_of(name, 1);
    }

    /// A topic of `partitions` partitions, which is what the broker was configured to create.
    pub(super) fn topic_of(&self, name: &str, partitions: usize) {
        let asked = MetadataRequest {
            topics: vec![Some(name.to_owned())],
        };
        eventually("the topic is created", PATIENCE, || {
            let found = Client::connect(self.address()).ask(&asked);
            let topic = &found.topics[0];
            let led = topic.partitions.iter().filter(|one| one.leader.is_some()).count();
            if topic.error == ErrorCode::None && led == partitions {
                Ok(())
            } else {
                Err(format!("{:?}, {led} led", topic.error))
            }
        });
    }

    /// Resident memory.
    pub(super) fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most that was resident since [`Self::forget_peak`].
    pub(super) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    pub(super) fn forget_peak(&self) {
        std::fs::write(self.proc("clear_refs"), "5").expect("reset the peak of a child");
    }

    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).expect("the broker runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib << 10
    }

    /// Processor time that it has used.
    pub(super) fn processor(&self) -> Duration {
        let stat = std::fs::read_to_string(self.proc("stat")).expect("the broker runs");
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.broker.pid().as_raw_nonzero())
    }

    /// The sum of a metric's samples whose line begins with `name`.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let (_, page) = wire::http_get(self.broker.metrics_address(), "/metrics").expect("the broker runs");
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Waits until a metric is what is wanted.
    #[track_caller]
    pub(super) fn wait_for(&self, name: &str, wanted: impl Fn(f64) -> bool) {
        eventually(name, PATIENCE, || {
            let value = self.metric(name);
            if wanted(value) { Ok(()) } else { Err(value) }
        });
    }

    /// What must hold after every attack: it runs, it serves, it has not grown beyond bounds.
    #[track_caller]
    pub(super) fn holds(&mut self, what: &str) {
        assert_eq!(self.broker.exited(), None, "{what}: the broker runs");
        eventually(what, PATIENCE, || wire::metadata(self.address()).map(drop));
        let peak = self.peak();
        assert!(peak < RESIDENT_MAX, "{what}: {:.0} MiB resident", mib(peak));
    }
}

fn raise_open_files() {
    let hard = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: hard,
        maximum: hard,
    };
    setrlimit(Resource::Nofile, raised).expect("raise the limit of open files");
}

/// How many connections the limit of open files leaves room for, at either end.
pub(super) fn connections_max() -> usize {
    let files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(500)).unwrap_or(usize::MAX)
}

/// A client that asks one thing at a time.
pub(super) struct Client {
    pub(super) socket: TcpStream,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).expect("connect to the broker");
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// Sends a request and reads its answer.
    #[track_caller]
    pub(super) fn ask<A: Api>(&mut self, request: &A) -> A::Response {
        self.try_ask(request)
            .unwrap_or_else(|error| panic!("ask: {error}"))
    }

    pub(super) fn try_ask<A: Api>(&mut self, request: &A) -> std::io::Result<A::Response> {
        self.socket.write_all(&encode_request(1, Some("test"), request))?;
        self.answer::<A::Response>()
    }

    fn answer<R: DecodeResponse>(&mut self) -> std::io::Result<R> {
        let (_, response) = decode_response(self.frame()?).map_err(std::io::Error::other)?;
        Ok(response)
    }

    /// One answer, not decoded.
    pub(super) fn frame(&mut self) -> std::io::Result<Bytes> {
        let mut size = [0; 4];
        self.socket.read_exact(&mut size)?;
        let mut frame = vec![0; usize::try_from(u32::from_be_bytes(size)).unwrap()];
        self.socket.read_exact(&mut frame)?;
        Ok(frame.into())
    }

    /// Whether the broker has closed the connection, or does so before long.
    pub(super) fn is_closed(&mut self) -> bool {
        let start = Instant::now();
        let read = self.socket.read(&mut [0; 1]);
        match read {
            Ok(count) => count == 0,
            Err(_) => start.elapsed() < PATIENCE,
        }
    }
}

/// A set of `count` messages of `len` bytes each.
pub(super) fn set(count: usize, len: usize) -> BytesMut {
    let mut set = SetBuilder::new(Codec::None);
    let value: Vec<u8> = (0..len).map(|n| n.to_le_bytes()[0]).collect();
    for _ in 0..count {
        set.push(None, Some(&value));
    }
    set.build().unwrap()
}

/// A request that appends a set to the one partition of a topic.
pub(super) fn produce(topic: &str, set: BytesMut) -> ProduceRequest {
    ProduceRequest {
        acks: Acks::Leader,
        timeout: Duration::from_secs(10),
        topics: vec![TopicProduce {
            topic: Some(topic.to_owned()),
            partitions: vec![PartitionProduce {
                partition: 0,
                set: ProducedSet::new(set),
            }],
        }],
    }
}
