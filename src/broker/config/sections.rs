//! What a configuration says, grouped by the module that needs it. Plain values: each module has its own `Config`, and
//! the broker fills it from here.
//!
//! Always holds: units are types; a value that means "none", "no limit" or "the system's choice" is a `None`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::Origin;
use super::Places;
use crate::types::BrokerId;

/// Everything a broker is told before it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerConfig {
    /// The number of this broker.
    pub id: BrokerId,
    /// Threads of the runtime; `None` is one per core.
    pub worker_threads: Option<usize>,
    /// Listening and serving connections.
    pub network: NetworkConfig,
    /// What clients and other brokers are told.
    pub advertised: AdvertisedConfig,
    /// Compressing and decompressing.
    pub compression: CompressionConfig,
    /// What a topic's logs are like unless the topic says otherwise.
    pub log: LogDefaults,
    /// The data directories and what is done to all logs.
    pub logs: LogsConfig,
    /// Creating and deleting topics.
    pub topics: TopicsConfig,
    /// Following and being followed.
    pub replication: ReplicationConfig,
    /// What the controller does, should this broker become it.
    pub controller: ControllerConfig,
    /// Handing leadership away before stopping.
    pub controlled_shutdown: ControlledShutdownConfig,
    /// The offsets that groups keep in Kafka.
    pub offsets: OffsetsConfig,
    /// The session with ZooKeeper.
    pub zookeeper: ZooKeeperConfig,
    /// Serving metrics.
    pub metrics: MetricsConfig,
    /// Where all of this was said.
    pub places: Places,
}

/// Listening and serving connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// The address to bind; `None` is every interface.
    pub host: Option<String>,
    /// The port to bind; 0 is any free one.
    pub port: u16,
    /// Send buffer of accepted sockets; `None` is the system's choice.
    pub send_buffer_bytes: Option<usize>,
    /// Receive buffer, set on the listening socket; `None` is the system's choice.
    pub receive_buffer_bytes: Option<usize>,
    /// Size of the largest request.
    pub max_request_bytes: usize,
    /// Connections at a time from one address.
    pub max_connections_per_ip: usize,
    /// Other limits for some hosts, by name or address as configured.
    pub max_connections_per_ip_overrides: BTreeMap<String, usize>,
    /// How long a connection may be silent; `None` is for ever.
    pub max_idle: Option<Duration>,
    /// Memory for all requests in flight; at least `max_request_bytes`.
    pub queued_max_bytes: usize,
}

/// What clients and other brokers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvertisedConfig {
    /// The host in the broker's registration. Unless configured it is the name of this machine as the system knows it,
    /// without asking a name server for a longer one as Java would.
    pub host: String,
    /// The port in the broker's registration; `None` is the port that was bound.
    pub port: Option<u16>,
    /// Where the host comes from.
    pub named_by: NamedBy,
}

/// Where the advertised host comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedBy {
    /// It was configured as the advertised one.
    Advertised(Origin),
    /// It is the host that is bound.
    Bound(Origin),
    /// Nobody configured one: it is this machine's name.
    Machine,
}

/// Compressing and decompressing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressionConfig {
    /// How hard gzip tries when the broker has to compress a set again: 1 (fast) to 9.
    pub gzip_level: u32,
}

/// What a topic's logs are like unless the topic says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct LogDefaults {
    /// Size at which a segment is closed.
    pub segment_bytes: u32,
    /// Age at which a segment is closed.
    pub segment_age: Duration,
    /// Upper bound of a random part that is taken off that age.
    pub segment_jitter: Duration,
    /// Largest size of an index; a full one closes its segment.
    pub index_bytes: u32,
    /// Log bytes from one index entry to the next.
    pub index_interval_bytes: u32,
    /// Messages after which a log is flushed; `None` is never because of their number.
    pub flush_messages: Option<u64>,
    /// Age of unflushed messages at which a log is flushed; `None` is never because of their age.
    pub flush_age: Option<Duration>,
    /// Size above which the oldest segments go; `None` is no limit.
    pub retention_bytes: Option<u64>,
    /// Age at which a segment goes; `None` is no limit.
    pub retention_age: Option<Duration>,
    /// Size of the largest entry, its offset and size included.
    pub max_message_bytes: usize,
    /// How long the cleaner keeps tombstones.
    pub delete_retention: Duration,
    /// How long a removed segment's files stay on disk.
    pub file_delete_delay: Duration,
    /// Share of uncleaned bytes above which a log is cleaned.
    pub min_cleanable_ratio: f64,
    /// Whether old messages are compacted by key instead of deleted.
    pub compact: bool,
    /// Replicas that must be in sync for `acks=-1`. 0.8.2.2 applies it only when a topic sets it.
    pub min_insync_replicas: u32,
}

/// The data directories and what is done to all logs.
#[derive(Debug, Clone, PartialEq)]
pub struct LogsConfig {
    /// At least one.
    pub directories: Vec<PathBuf>,
    /// Threads per directory that open and close logs.
    pub recovery_threads: usize,
    /// How often segments are looked at for deletion.
    pub retention_check_interval: Duration,
    /// How often logs are looked at for flushing; `None` unless a flush age or the interval itself is configured.
    pub flush_check_interval: Option<Duration>,
    /// How often the recovery points are written down.
    pub checkpoint_interval: Duration,
}

/// Creating and deleting topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicsConfig {
    /// Whether asking for a topic creates it.
    pub auto_create: bool,
    /// Partitions of such a topic.
    pub partitions: i32,
    /// Replicas of such a topic.
    pub replication_factor: i32,
    /// Whether requests to delete topics are carried out.
    pub delete: bool,
}

/// Following and being followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationConfig {
    /// How long a follower may be behind before it is out of sync.
    pub lag_time_max: Duration,
    /// How long a follower waits for an answer; `Duration::MAX` is for ever.
    pub socket_timeout: Duration,
    /// Bytes per partition in a follower's fetch; never below `LogDefaults::max_message_bytes`.
    pub fetch_max_bytes: i32,
    /// How long the leader may hold back an answer.
    pub fetch_wait_max: Duration,
    /// Bytes that make the leader answer at once.
    pub fetch_min_bytes: i32,
    /// Fetchers per leader.
    pub fetchers: usize,
    /// How often the high watermarks are written down.
    pub checkpoint_interval: Duration,
}

/// What the controller does, should this broker become it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerConfig {
    /// How long a broker may take to answer; `Duration::MAX` is for ever.
    pub socket_timeout: Duration,
    /// Whether a replica that is not in sync may lead when no other one lives.
    pub unclean_leader_election: bool,
    /// Which of several replicas in sync leads.
    pub election_policy: ElectionPolicy,
    /// Partitions that are on the way to other replicas at the same time; `None` is all of them.
    pub reassignment_max_partitions: Option<usize>,
    /// Whether leadership goes back to preferred replicas by itself.
    pub auto_rebalance: bool,
    /// Share of a broker's preferred partitions led elsewhere at which it does.
    pub imbalance_percentage: u32,
    /// How often that is looked at.
    pub imbalance_check_interval: Duration,
}

/// Which of several replicas in sync leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElectionPolicy {
    /// The first of the assignment.
    Assignment,
    /// The one whose broker leads the fewest partitions.
    Balanced,
}

/// Handing leadership away before stopping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlledShutdownConfig {
    /// Whether it is done at all.
    pub enabled: bool,
    /// Attempts.
    pub max_retries: u32,
    /// Pause after an attempt that did not succeed.
    pub retry_backoff: Duration,
}

impl ControlledShutdownConfig {
    /// All attempts together. With what follows, stopping ends well before a supervisor loses its patience.
    pub const LIMIT: Duration = Duration::from_secs(3);
    /// The longest pause between two attempts, however long the configured one: later ones would come too late.
    pub const LONGEST_PAUSE: Duration = Duration::from_millis(700);

    /// The pause that is made.
    pub fn pause(&self) -> Duration {
        self.retry_backoff.min(Self::LONGEST_PAUSE)
    }
}

/// The offsets that groups keep in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetsConfig {
    /// Characters that a commit's metadata may have.
    pub metadata_max_chars: usize,
    /// Replicas of the offsets topic, unless there are fewer brokers.
    pub replication_factor: i32,
    /// Partitions of the offsets topic.
    pub partitions: i32,
    /// Size at which its segments are closed. 0.8.2.2 always takes 104857600.
    pub segment_bytes: u32,
    /// How commits are compressed.
    pub codec: OffsetsCodec,
    /// Age at which an offset expires.
    pub retention: Duration,
    /// How often that is looked at. 0.8.2.2 always takes ten minutes.
    pub retention_check_interval: Duration,
    /// How long a commit waits for its replicas.
    pub commit_timeout: Duration,
    /// Replicas that must have a commit, -1 for all in sync; as `acks` of a produce request.
    pub commit_required_acks: i16,
}

/// How commits are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetsCodec {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
    /// By snappy.
    Snappy,
    /// By LZ4.
    Lz4,
}

/// Serving metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// `host:port` to listen on; `None` is not at all.
    pub listen: Option<String>,
}

/// The session with ZooKeeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZooKeeperConfig {
    /// Hosts, and perhaps a chroot after the last of them.
    pub connect: String,
    /// The session timeout to ask for.
    pub session_timeout: Duration,
    /// How long the first connection may take.
    pub connection_timeout: Duration,
    /// Who the broker says it is.
    pub auth: Option<ZooKeeperAuth>,
    /// Whether what the broker creates can be changed by itself only.
    pub set_acl: bool,
}

/// Who the broker says it is to ZooKeeper. Its debug output keeps the credentials to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct ZooKeeperAuth {
    /// How, `digest` for a user and a password.
    pub scheme: String,
    /// What the scheme takes: `user:password` for `digest`.
    pub credentials: String,
}

impl fmt::Debug for ZooKeeperAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeperAuth")
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}
