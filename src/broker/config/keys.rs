//! The table of every key: its name, what values it takes, its default. The only place that spells keys.
//!
//! Always holds: a key is in [`ACCEPTED`] (and read somewhere), or in [`WITHOUT_EFFECT`], never in both.

use crate::net::QUEUED_BYTES;

/// A whole number within its type's width or a narrower range, both ends included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number {
    pub(crate) name: &'static str,
    pub(crate) default: i64,
    pub(crate) min: i64,
    pub(crate) max: i64,
    /// -1, though below `min`, is allowed and means without a limit (or: the system's choice).
    pub(crate) unlimited: bool,
}

impl Number {
    const fn within(name: &'static str, default: i64, min: i64, max: i64) -> Self {
        Self {
            name,
            default,
            min,
            max,
            unlimited: false,
        }
    }

    const fn short(name: &'static str, default: i64) -> Self {
        Self::within(name, default, -0x8000, 0x7fff)
    }

    const fn int(name: &'static str, default: i64) -> Self {
        Self::within(name, default, -0x8000_0000, 0x7fff_ffff)
    }

    const fn long(name: &'static str, default: i64) -> Self {
        Self::within(name, default, i64::MIN, i64::MAX)
    }

    const fn at_least(self, min: i64) -> Self {
        Self { min, ..self }
    }

    const fn at_most(self, max: i64) -> Self {
        Self { max, ..self }
    }

    const fn or_unlimited(self) -> Self {
        Self {
            unlimited: true,
            ..self
        }
    }
}

/// A number with a fraction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Real {
    pub(crate) name: &'static str,
    pub(crate) default: f64,
}

/// `true` or `false`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) default: bool,
}

/// Text, or something with a form of its own that is checked where it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    pub(crate) name: &'static str,
    /// The text if nobody sets it; where there is none, what happens then.
    pub(crate) default: Option<&'static str>,
}

const fn text(name: &'static str, default: Option<&'static str>) -> Text {
    Text { name, default }
}

const fn flag(name: &'static str, default: bool) -> Flag {
    Flag { name, default }
}

const fn real(name: &'static str, default: f64) -> Real {
    Real { name, default }
}

/// Declares keys as constants and lists their names.
macro_rules! keys {
    ($( $constant:ident: $kind:ident = $key:expr; )*) => {
        $( pub(crate) const $constant: $kind = $key; )*

        /// The name of every key that has an effect.
        pub(crate) const ACCEPTED: &[&str] = &[ $( $constant.name ),* ];

        /// Every key that has an effect, for tests that compare the table.
        #[cfg(test)]
        pub(crate) const TABLE: &[Declared] = &[ $( Declared::$kind($constant) ),* ];
    };
}

/// A key of the table, whatever its kind.
#[cfg(test)]
#[derive(Debug)]
pub(crate) enum Declared {
    Number(Number),
    Real(Real),
    Flag(Flag),
    Text(Text),
}

/// What one cleaner thread needs at least, in bytes.
pub(crate) const MIN_DEDUPE_BYTES_PER_THREAD: u64 = 1024 * 1024;

// Ranges are those of 0.8.2.2 where it checks any. Where it checks none, but stops, hangs or never answers with such a
// value, the range is narrower here: what cannot work is said at the start.
keys! {
    BROKER_ID: Number = Number::int("broker.id", 0).at_least(0);
    PORT: Number = Number::int("port", 9092).at_least(0).at_most(65535);
    HOST_NAME: Text = text("host.name", None);
    ADVERTISED_HOST_NAME: Text = text("advertised.host.name", None);
    ADVERTISED_PORT: Number = Number::int("advertised.port", 0).at_least(1).at_most(65535);
    SOCKET_SEND_BUFFER_BYTES: Number = Number::int("socket.send.buffer.bytes", 102_400).at_least(1).or_unlimited();
    // Not 102400 as in 0.8.2.2: so little of a large request arrives at a time that it takes a fifth to a third more CPU
    // time.
    SOCKET_RECEIVE_BUFFER_BYTES: Number = Number::int("socket.receive.buffer.bytes", -1).at_least(1).or_unlimited();
    SOCKET_REQUEST_MAX_BYTES: Number = Number::int("socket.request.max.bytes", 104_857_600).at_least(1);
    MAX_CONNECTIONS_PER_IP: Number = Number::int("max.connections.per.ip", 2_147_483_647).at_least(1);
    MAX_CONNECTIONS_PER_IP_OVERRIDES: Text = text("max.connections.per.ip.overrides", Some(""));
    CONNECTIONS_MAX_IDLE_MS: Number = Number::long("connections.max.idle.ms", 600_000);
    MESSAGE_MAX_BYTES: Number = Number::int("message.max.bytes", 1_000_012).at_least(0);

    NUM_PARTITIONS: Number = Number::int("num.partitions", 1).at_least(1);
    LOG_DIRS: Text = text("log.dirs", None);
    LOG_DIR: Text = text("log.dir", Some("/tmp/kafka-logs"));
    LOG_SEGMENT_BYTES: Number = Number::int("log.segment.bytes", 1_073_741_824).at_least(14);
    LOG_ROLL_MS: Number = Number::long("log.roll.ms", 604_800_000).at_least(1);
    LOG_ROLL_HOURS: Number = Number::int("log.roll.hours", 168).at_least(1);
    LOG_ROLL_JITTER_MS: Number = Number::long("log.roll.jitter.ms", 0).at_least(0);
    LOG_ROLL_JITTER_HOURS: Number = Number::int("log.roll.jitter.hours", 0).at_least(0);
    LOG_RETENTION_MS: Number = Number::long("log.retention.ms", 604_800_000).at_least(1).or_unlimited();
    LOG_RETENTION_MINUTES: Number = Number::int("log.retention.minutes", 10_080).at_least(1).or_unlimited();
    LOG_RETENTION_HOURS: Number = Number::int("log.retention.hours", 168).at_least(1).or_unlimited();
    LOG_RETENTION_BYTES: Number = Number::long("log.retention.bytes", -1);
    LOG_RETENTION_CHECK_INTERVAL_MS: Number = Number::long("log.retention.check.interval.ms", 300_000).at_least(1);
    LOG_CLEANUP_POLICY: Text = text("log.cleanup.policy", Some("delete"));
    LOG_CLEANER_ENABLE: Flag = flag("log.cleaner.enable", false);
    LOG_CLEANER_THREADS: Number = Number::int("log.cleaner.threads", 1).at_least(1);
    LOG_CLEANER_IO_MAX_BYTES_PER_SECOND: Real = real("log.cleaner.io.max.bytes.per.second", f64::MAX);
    LOG_CLEANER_DEDUPE_BUFFER_SIZE: Number =
        Number::long("log.cleaner.dedupe.buffer.size", 524_288_000).at_least(0);
    LOG_CLEANER_BACKOFF_MS: Number = Number::long("log.cleaner.backoff.ms", 15_000).at_least(0);
    LOG_CLEANER_MIN_CLEANABLE_RATIO: Real = real("log.cleaner.min.cleanable.ratio", 0.5);
    LOG_CLEANER_DELETE_RETENTION_MS: Number = Number::long("log.cleaner.delete.retention.ms", 86_400_000);
    LOG_INDEX_SIZE_MAX_BYTES: Number = Number::int("log.index.size.max.bytes", 10_485_760).at_least(4);
    LOG_INDEX_INTERVAL_BYTES: Number = Number::int("log.index.interval.bytes", 4096).at_least(0);
    LOG_FLUSH_INTERVAL_MESSAGES: Number = Number::long("log.flush.interval.messages", i64::MAX).at_least(1);
    LOG_FLUSH_INTERVAL_MS: Number = Number::long("log.flush.interval.ms", i64::MAX);
    LOG_FLUSH_SCHEDULER_INTERVAL_MS: Number = Number::long("log.flush.scheduler.interval.ms", i64::MAX).at_least(1);
    LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS: Number =
        Number::int("log.flush.offset.checkpoint.interval.ms", 60_000).at_least(0);
    LOG_SEGMENT_DELETE_DELAY_MS: Number = Number::long("log.segment.delete.delay.ms", 60_000).at_least(0);
    NUM_RECOVERY_THREADS_PER_DATA_DIR: Number = Number::int("num.recovery.threads.per.data.dir", 1).at_least(1);
    AUTO_CREATE_TOPICS_ENABLE: Flag = flag("auto.create.topics.enable", true);
    DELETE_TOPIC_ENABLE: Flag = flag("delete.topic.enable", false);

    DEFAULT_REPLICATION_FACTOR: Number = Number::int("default.replication.factor", 1).at_least(1);
    MIN_INSYNC_REPLICAS: Number = Number::int("min.insync.replicas", 1).at_least(1);
    UNCLEAN_LEADER_ELECTION_ENABLE: Flag = flag("unclean.leader.election.enable", true);
    REPLICA_LAG_TIME_MAX_MS: Number = Number::long("replica.lag.time.max.ms", 10_000).at_least(1);
    REPLICA_SOCKET_TIMEOUT_MS: Number = Number::int("replica.socket.timeout.ms", 30_000).at_least(0);
    REPLICA_FETCH_MAX_BYTES: Number = Number::int("replica.fetch.max.bytes", 1_048_576).at_least(0);
    REPLICA_FETCH_WAIT_MAX_MS: Number = Number::int("replica.fetch.wait.max.ms", 500);
    REPLICA_FETCH_MIN_BYTES: Number = Number::int("replica.fetch.min.bytes", 1);
    NUM_REPLICA_FETCHERS: Number = Number::int("num.replica.fetchers", 1).at_least(1);
    REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS: Number =
        Number::long("replica.high.watermark.checkpoint.interval.ms", 5000).at_least(1);
    CONTROLLER_SOCKET_TIMEOUT_MS: Number = Number::int("controller.socket.timeout.ms", 30_000).at_least(0);
    AUTO_LEADER_REBALANCE_ENABLE: Flag = flag("auto.leader.rebalance.enable", true);
    LEADER_IMBALANCE_PER_BROKER_PERCENTAGE: Number = Number::int("leader.imbalance.per.broker.percentage", 10);
    LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS: Number =
        Number::int("leader.imbalance.check.interval.seconds", 300).at_least(1);
    CONTROLLED_SHUTDOWN_ENABLE: Flag = flag("controlled.shutdown.enable", true);
    CONTROLLED_SHUTDOWN_MAX_RETRIES: Number = Number::int("controlled.shutdown.max.retries", 3);
    CONTROLLED_SHUTDOWN_RETRY_BACKOFF_MS: Number = Number::int("controlled.shutdown.retry.backoff.ms", 5000);

    OFFSET_METADATA_MAX_BYTES: Number = Number::int("offset.metadata.max.bytes", 4096);
    OFFSETS_TOPIC_REPLICATION_FACTOR: Number = Number::short("offsets.topic.replication.factor", 3).at_least(1);
    OFFSETS_TOPIC_NUM_PARTITIONS: Number = Number::int("offsets.topic.num.partitions", 50).at_least(1);
    OFFSETS_TOPIC_SEGMENT_BYTES: Number = Number::int("offsets.topic.segment.bytes", 104_857_600).at_least(1);
    OFFSETS_TOPIC_COMPRESSION_CODEC: Text = text("offsets.topic.compression.codec", Some("none"));
    OFFSETS_RETENTION_MINUTES: Number = Number::int("offsets.retention.minutes", 1440).at_least(1);
    OFFSETS_RETENTION_CHECK_INTERVAL_MS: Number =
        Number::long("offsets.retention.check.interval.ms", 600_000).at_least(1);
    OFFSETS_COMMIT_TIMEOUT_MS: Number = Number::int("offsets.commit.timeout.ms", 5000).at_least(1);
    OFFSETS_COMMIT_REQUIRED_ACKS: Number = Number::short("offsets.commit.required.acks", -1).at_least(-1);

    ZOOKEEPER_CONNECT: Text = text("zookeeper.connect", Some("localhost:2181"));
    ZOOKEEPER_SESSION_TIMEOUT_MS: Number = Number::int("zookeeper.session.timeout.ms", 6000).at_least(1);
    ZOOKEEPER_CONNECTION_TIMEOUT_MS: Number = Number::int("zookeeper.connection.timeout.ms", 6000).at_least(1);

    // Gregor's own.
    LEADER_ELECTION_POLICY: Text = text("leader.election.policy", Some("assignment"));
    REASSIGNMENT_MAX_PARTITIONS: Number = Number::int("reassignment.max.partitions", 50).at_least(0);
    METRICS_LISTEN: Text = text("metrics.listen", Some("0.0.0.0:9308"));
    ZOOKEEPER_AUTH: Text = text("zookeeper.auth", None);
    ZOOKEEPER_SET_ACL: Flag = flag("zookeeper.set.acl", false);
    QUEUED_MAX_BYTES: Number = Number::long("queued.max.bytes", QUEUED_BYTES as i64).at_least(1);
    WORKER_THREADS: Number = Number::int("worker.threads", 0).at_least(0).at_most(1024);
    COMPRESSION_GZIP_LEVEL: Number = Number::int("compression.gzip.level", 1).at_least(1).at_most(9);
}

const NO_POOL: &str = "connections are served by worker.threads threads, not by pools of fixed size";
const NO_PURGATORY: &str = "waiting requests leave nothing behind that would have to be purged";
const NO_JAVA: &str = "Java classes cannot be loaded; metrics are served at metrics.listen";

/// Keys of 0.8.2.2 that have no meaning here, and why.
pub(crate) const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("num.network.threads", NO_POOL),
    ("num.io.threads", NO_POOL),
    (
        "background.threads",
        "there is no pool of background threads to size",
    ),
    (
        "queued.max.requests",
        "requests in flight are limited by their memory: queued.max.bytes",
    ),
    ("fetch.purgatory.purge.interval.requests", NO_PURGATORY),
    ("producer.purgatory.purge.interval.requests", NO_PURGATORY),
    (
        "controller.message.queue.size",
        "requests to another broker wait for as long as it is registered, however many they are",
    ),
    (
        "replica.lag.max.messages",
        "a burst throws no follower out: only one that has not caught up for replica.lag.time.max.ms is out of sync",
    ),
    (
        "replica.socket.receive.buffer.bytes",
        "the system sizes the buffers of connections to leaders as they need it",
    ),
    (
        "log.cleaner.io.buffer.size",
        "it tunes the buffers of one particular cleaner",
    ),
    (
        "log.cleaner.io.buffer.load.factor",
        "it tunes the key map of one particular cleaner",
    ),
    (
        "offsets.load.buffer.size",
        "offsets are loaded without a buffer of fixed size",
    ),
    ("zookeeper.sync.time.ms", "no broker uses it, not even in 0.8.2.2"),
    ("kafka.metrics.reporters", NO_JAVA),
    ("kafka.metrics.polling.interval.secs", NO_JAVA),
    ("kafka.csv.metrics.reporter.enabled", NO_JAVA),
    ("kafka.csv.metrics.dir", NO_JAVA),
];
