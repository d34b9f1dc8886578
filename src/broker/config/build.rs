//! From settings to a [`BrokerConfig`]: which key fills which field, and which of several keys for one field wins.

use std::path::PathBuf;
use std::time::Duration;

use super::keys;
use super::keys::Number;
use super::keys::Text;
use super::origin::Origin;
use super::sections::AdvertisedConfig;
use super::sections::BrokerConfig;
use super::sections::CompressionConfig;
use super::sections::ControlledShutdownConfig;
use super::sections::ControllerConfig;
use super::sections::ElectionPolicy;
use super::sections::LogDefaults;
use super::sections::LogsConfig;
use super::sections::MetricsConfig;
use super::sections::NamedBy;
use super::sections::NetworkConfig;
use super::sections::OffsetsCodec;
use super::sections::OffsetsConfig;
use super::sections::ReplicationConfig;
use super::sections::TopicsConfig;
use super::sections::ZooKeeperAuth;
use super::sections::ZooKeeperConfig;
use super::values::Reader;
use crate::types::BrokerId;
use crate::zookeeper;

/// The data directory when neither a file nor a key names one.
const DIRECTORY_WITHOUT_FILE: &str = "./gregor-data";

const HOUR_MS: u64 = 3_600_000;
const MINUTE_MS: u64 = 60_000;

/// Keys for one time in different units: the first one that is set wins, whatever its value; the last one's default
/// is used when none is.
pub(crate) type Units = [(&'static Number, u64)];

pub(crate) const RETENTION: &Units = &[
    (&keys::LOG_RETENTION_MS, 1),
    (&keys::LOG_RETENTION_MINUTES, MINUTE_MS),
    (&keys::LOG_RETENTION_HOURS, HOUR_MS),
];
pub(crate) const ROLL: &Units = &[(&keys::LOG_ROLL_MS, 1), (&keys::LOG_ROLL_HOURS, HOUR_MS)];
pub(crate) const ROLL_JITTER: &Units = &[
    (&keys::LOG_ROLL_JITTER_MS, 1),
    (&keys::LOG_ROLL_JITTER_HOURS, HOUR_MS),
];

/// Reads every key. Wrong values are with the reader afterwards.
pub(crate) fn build(reader: &mut Reader<'_>) -> BrokerConfig {
    let directories = directories(reader);
    BrokerConfig {
        id: BrokerId(reader.clamped(&keys::BROKER_ID)),
        worker_threads: reader.limit(&keys::WORKER_THREADS).filter(|threads| *threads > 0),
        network: network(reader),
        advertised: advertised(reader),
        compression: CompressionConfig {
            gzip_level: reader.clamped(&keys::COMPRESSION_GZIP_LEVEL),
        },
        log: log_defaults(reader),
        logs: logs(reader, directories),
        topics: TopicsConfig {
            auto_create: reader.flag(&keys::AUTO_CREATE_TOPICS_ENABLE),
            partitions: reader.clamped(&keys::NUM_PARTITIONS),
            replication_factor: reader.clamped(&keys::DEFAULT_REPLICATION_FACTOR),
            delete: reader.flag(&keys::DELETE_TOPIC_ENABLE),
        },
        replication: replication(reader),
        controller: ControllerConfig {
            socket_timeout: reader.timeout(&keys::CONTROLLER_SOCKET_TIMEOUT_MS),
            unclean_leader_election: reader.flag(&keys::UNCLEAN_LEADER_ELECTION_ENABLE),
            election_policy: election_policy(reader),
            reassignment_max_partitions: reader
                .limit(&keys::REASSIGNMENT_MAX_PARTITIONS)
                .filter(|partitions| *partitions > 0),
            auto_rebalance: reader.flag(&keys::AUTO_LEADER_REBALANCE_ENABLE),
            imbalance_percentage: reader.clamped(&keys::LEADER_IMBALANCE_PER_BROKER_PERCENTAGE),
            imbalance_check_interval: Duration::from_secs(
                reader.clamped(&keys::LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS),
            ),
        },
        controlled_shutdown: ControlledShutdownConfig {
            enabled: reader.flag(&keys::CONTROLLED_SHUTDOWN_ENABLE),
            max_retries: reader.clamped(&keys::CONTROLLED_SHUTDOWN_MAX_RETRIES),
            retry_backoff: reader.millis(&keys::CONTROLLED_SHUTDOWN_RETRY_BACKOFF_MS),
        },
        offsets: offsets(reader),
        zookeeper: zookeeper_session(reader),
        metrics: MetricsConfig {
            listen: metrics_listen(reader),
        },
        places: reader.places(),
    }
}

fn network(reader: &mut Reader<'_>) -> NetworkConfig {
    let max_request_bytes = reader.clamped(&keys::SOCKET_REQUEST_MAX_BYTES);
    let queued: usize = reader.clamped(&keys::QUEUED_MAX_BYTES);
    NetworkConfig {
        host: reader.non_blank(&keys::HOST_NAME).map(str::to_owned),
        port: reader.clamped(&keys::PORT),
        send_buffer_bytes: reader.limit(&keys::SOCKET_SEND_BUFFER_BYTES),
        receive_buffer_bytes: reader.limit(&keys::SOCKET_RECEIVE_BUFFER_BYTES),
        max_request_bytes,
        max_connections_per_ip: reader.clamped(&keys::MAX_CONNECTIONS_PER_IP),
        max_connections_per_ip_overrides: reader.limits(&keys::MAX_CONNECTIONS_PER_IP_OVERRIDES),
        max_idle: reader
            .limit(&keys::CONNECTIONS_MAX_IDLE_MS)
            .map(Duration::from_millis),
        // Only a default can be smaller here: one that was set has been refused.
        queued_max_bytes: queued.max(max_request_bytes),
    }
}

/// Presence decides, as in 0.8.2.2: a blank `advertised.host.name` asks for the machine's name, `host.name` or not.
fn advertised(reader: &mut Reader<'_>) -> AdvertisedConfig {
    let key = [&keys::ADVERTISED_HOST_NAME, &keys::HOST_NAME]
        .into_iter()
        .find(|key| reader.is_set(key.name));
    let named = key.and_then(|key| Some((key, reader.non_blank(key)?)));
    let (host, named_by) = match named {
        Some((key, host)) if key.name == keys::HOST_NAME.name => {
            (host.to_owned(), NamedBy::Bound(reader.origin(key.name)))
        }
        Some((key, host)) => (host.to_owned(), NamedBy::Advertised(reader.origin(key.name))),
        None => (machine_name(), NamedBy::Machine),
    };
    let port = reader
        .is_set(keys::ADVERTISED_PORT.name)
        .then(|| reader.clamped(&keys::ADVERTISED_PORT));
    AdvertisedConfig { host, port, named_by }
}

/// This machine's name as the system knows it.
fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn log_defaults(reader: &mut Reader<'_>) -> LogDefaults {
    LogDefaults {
        segment_bytes: reader.clamped(&keys::LOG_SEGMENT_BYTES),
        segment_age: first_set(reader, ROLL).unwrap_or(Duration::MAX),
        segment_jitter: first_set(reader, ROLL_JITTER).unwrap_or(Duration::ZERO),
        index_bytes: reader.clamped(&keys::LOG_INDEX_SIZE_MAX_BYTES),
        index_interval_bytes: reader.clamped(&keys::LOG_INDEX_INTERVAL_BYTES),
        flush_messages: reader.unless_never(&keys::LOG_FLUSH_INTERVAL_MESSAGES),
        flush_age: reader
            .unless_never(flush_age_key(reader))
            .map(Duration::from_millis),
        retention_bytes: reader.limit(&keys::LOG_RETENTION_BYTES),
        retention_age: first_set(reader, RETENTION),
        max_message_bytes: reader.clamped(&keys::MESSAGE_MAX_BYTES),
        delete_retention: reader.millis(&keys::LOG_CLEANER_DELETE_RETENTION_MS),
        file_delete_delay: reader.millis(&keys::LOG_SEGMENT_DELETE_DELAY_MS),
        min_cleanable_ratio: reader.real(&keys::LOG_CLEANER_MIN_CLEANABLE_RATIO),
        // Anything but `compact` is to delete, as in 0.8.2.2.
        compact: reader
            .text(&keys::LOG_CLEANUP_POLICY)
            .is_some_and(|policy| policy.eq_ignore_ascii_case("compact")),
        min_insync_replicas: reader.clamped(&keys::MIN_INSYNC_REPLICAS),
    }
}

fn flush_age_key(reader: &Reader<'_>) -> &'static Number {
    if reader.is_set(keys::LOG_FLUSH_INTERVAL_MS.name) {
        &keys::LOG_FLUSH_INTERVAL_MS
    } else {
        &keys::LOG_FLUSH_SCHEDULER_INTERVAL_MS
    }
}

/// The time that the first key which is set gives; `None` is no limit.
fn first_set(reader: &mut Reader<'_>, units: &Units) -> Option<Duration> {
    let set = units
        .iter()
        .find(|(key, _)| reader.is_set(key.name))
        .or(units.last());
    let (key, unit) = set?;
    let number: u64 = reader.limit(key)?;
    Some(Duration::from_millis(number.saturating_mul(*unit)))
}

fn directories(reader: &mut Reader<'_>) -> Vec<PathBuf> {
    let key: &Text = if reader.is_set(keys::LOG_DIRS.name) {
        &keys::LOG_DIRS
    } else {
        &keys::LOG_DIR
    };
    if !reader.is_set(key.name) && reader.file().is_none() {
        return vec![PathBuf::from(DIRECTORY_WITHOUT_FILE)];
    }
    let directories: Vec<PathBuf> = reader.list(key).into_iter().map(PathBuf::from).collect();
    if directories.is_empty() {
        let value = reader.text(key).unwrap_or_default();
        reader.problem(
            key.name,
            "names no directory",
            value,
            "name at least one, like log.dirs=/var/lib/kafka",
        );
    }
    directories
}

fn logs(reader: &mut Reader<'_>, directories: Vec<PathBuf>) -> LogsConfig {
    // 0.8.2.2 looks at the scheduler's interval only, so that a flush age alone does nothing there.
    let age = reader.unless_never(flush_age_key(reader));
    let scheduler = reader.unless_never(&keys::LOG_FLUSH_SCHEDULER_INTERVAL_MS);
    LogsConfig {
        directories,
        recovery_threads: reader.clamped(&keys::NUM_RECOVERY_THREADS_PER_DATA_DIR),
        retention_check_interval: reader.millis(&keys::LOG_RETENTION_CHECK_INTERVAL_MS),
        flush_check_interval: age
            .into_iter()
            .chain(scheduler)
            .min()
            .map(|ms| Duration::from_millis(ms.max(1))),
        checkpoint_interval: reader.millis(&keys::LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS),
    }
}

fn replication(reader: &mut Reader<'_>) -> ReplicationConfig {
    ReplicationConfig {
        lag_time_max: reader.millis(&keys::REPLICA_LAG_TIME_MAX_MS),
        socket_timeout: reader.timeout(&keys::REPLICA_SOCKET_TIMEOUT_MS),
        fetch_max_bytes: reader.clamped(&keys::REPLICA_FETCH_MAX_BYTES),
        fetch_wait_max: reader.millis(&keys::REPLICA_FETCH_WAIT_MAX_MS),
        fetch_min_bytes: reader.clamped(&keys::REPLICA_FETCH_MIN_BYTES),
        fetchers: reader.clamped(&keys::NUM_REPLICA_FETCHERS),
        checkpoint_interval: reader.millis(&keys::REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS),
    }
}

fn offsets(reader: &mut Reader<'_>) -> OffsetsConfig {
    let retention_minutes: u64 = reader.clamped(&keys::OFFSETS_RETENTION_MINUTES);
    OffsetsConfig {
        metadata_max_chars: reader.clamped(&keys::OFFSET_METADATA_MAX_BYTES),
        replication_factor: reader.clamped(&keys::OFFSETS_TOPIC_REPLICATION_FACTOR),
        partitions: reader.clamped(&keys::OFFSETS_TOPIC_NUM_PARTITIONS),
        segment_bytes: reader.clamped(&keys::OFFSETS_TOPIC_SEGMENT_BYTES),
        codec: codec(reader),
        retention: Duration::from_millis(retention_minutes.saturating_mul(MINUTE_MS)),
        retention_check_interval: reader.millis(&keys::OFFSETS_RETENTION_CHECK_INTERVAL_MS),
        commit_timeout: reader.millis(&keys::OFFSETS_COMMIT_TIMEOUT_MS),
        commit_required_acks: reader.clamped(&keys::OFFSETS_COMMIT_REQUIRED_ACKS),
    }
}

fn election_policy(reader: &mut Reader<'_>) -> ElectionPolicy {
    let key = &keys::LEADER_ELECTION_POLICY;
    match reader.text(key).unwrap_or_default() {
        "assignment" => ElectionPolicy::Assignment,
        "balanced" => ElectionPolicy::Balanced,
        other => {
            let hint = "take assignment, the order of 0.8.2.2, or balanced";
            reader.problem(key.name, "is an unknown policy", other, hint);
            ElectionPolicy::Assignment
        }
    }
}

/// A codec by its number or by its name in any case.
fn codec(reader: &mut Reader<'_>) -> OffsetsCodec {
    let key = &keys::OFFSETS_TOPIC_COMPRESSION_CODEC;
    let text = reader.text(key).unwrap_or_default();
    match text.to_ascii_lowercase().as_str() {
        "none" | "0" => OffsetsCodec::None,
        "gzip" | "1" => OffsetsCodec::Gzip,
        "snappy" | "2" => OffsetsCodec::Snappy,
        "lz4" | "3" => OffsetsCodec::Lz4,
        _ => {
            reader.problem(
                key.name,
                "is an unknown compression codec",
                text,
                "take none, gzip, snappy or lz4",
            );
            OffsetsCodec::None
        }
    }
}

fn zookeeper_session(reader: &mut Reader<'_>) -> ZooKeeperConfig {
    let connect = reader.text(&keys::ZOOKEEPER_CONNECT).unwrap_or_default();
    let hint = "name the ensemble, like zookeeper.connect=zk1:2181,zk2:2181/chroot";
    if connect.split('/').next().unwrap_or_default().trim().is_empty() {
        reader.problem(keys::ZOOKEEPER_CONNECT.name, "names no host", connect, hint);
    } else if let Err(problem) = zookeeper::check_connect_string(connect) {
        let what = format!("is malformed, {problem}");
        reader.problem(keys::ZOOKEEPER_CONNECT.name, &what, connect, hint);
    }
    let connection = if reader.is_set(keys::ZOOKEEPER_CONNECTION_TIMEOUT_MS.name) {
        &keys::ZOOKEEPER_CONNECTION_TIMEOUT_MS
    } else {
        &keys::ZOOKEEPER_SESSION_TIMEOUT_MS
    };
    ZooKeeperConfig {
        connect: connect.to_owned(),
        session_timeout: reader.millis(&keys::ZOOKEEPER_SESSION_TIMEOUT_MS),
        connection_timeout: reader.millis(connection),
        auth: zookeeper_auth(reader),
        set_acl: reader.flag(&keys::ZOOKEEPER_SET_ACL),
    }
}

/// `scheme:credentials`. What was given is a secret even when it is wrong, so that no message repeats it.
fn zookeeper_auth(reader: &mut Reader<'_>) -> Option<ZooKeeperAuth> {
    let key = &keys::ZOOKEEPER_AUTH;
    let text = reader.non_blank(key)?;
    match text.split_once(':') {
        Some((scheme, credentials)) if !scheme.is_empty() && !credentials.is_empty() => Some(ZooKeeperAuth {
            scheme: scheme.to_owned(),
            credentials: credentials.to_owned(),
        }),
        _ => {
            reader.problem(
                key.name,
                "is not scheme:credentials",
                "(hidden)",
                "write it like digest:user:password",
            );
            None
        }
    }
}

fn metrics_listen(reader: &mut Reader<'_>) -> Option<String> {
    let key = &keys::METRICS_LISTEN;
    let text = reader.non_blank(key)?;
    let complete = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !complete {
        let hint = "write it like 0.0.0.0:9308, or leave it empty to serve no metrics";
        reader.problem(key.name, "is not host:port", text, hint);
    }
    Some(text.to_owned())
}

/// The origin of the advertised host, for messages about it.
impl NamedBy {
    /// The key to change, and where it is set.
    pub fn key(&self) -> (&'static str, Origin) {
        match self {
            Self::Advertised(origin) => (keys::ADVERTISED_HOST_NAME.name, origin.clone()),
            Self::Bound(origin) => (keys::HOST_NAME.name, origin.clone()),
            Self::Machine => (keys::ADVERTISED_HOST_NAME.name, Origin::Default),
        }
    }
}
