//! The configuration -> the small configurations of the modules below.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::time::Duration;

use crate::broker::auto_create::NewTopics;
use crate::broker::auto_create::OffsetsTopic;
use crate::broker::config::BrokerConfig;
use crate::broker::config::ElectionPolicy;
use crate::broker::config::OffsetsCodec;
use crate::broker::offsets;
use crate::controller;
use crate::controller::Calls;
use crate::controller::Rebalance;
use crate::log::CleanupPolicy;
use crate::log::LogConfig;
use crate::log::LogsConfig;
use crate::message::Codec;
use crate::metrics::ControllerMetrics;
use crate::metrics::Timer;
use crate::net::ListenerConfig;
use crate::protocol::produce::Acks;
use crate::replication;
use crate::zookeeper;

/// Answers under way when the broker stops may take this long.
const DRAIN: Duration = Duration::from_secs(2);

/// For what has no limit.
const NEVER: Duration = Duration::MAX;

/// What one read of the offsets' log may decompress to: brokers wrote it, and it must stay readable.
const OFFSETS_DECOMPRESSED_MAX: usize = 128 << 20;

pub(crate) fn zookeeper(config: &BrokerConfig) -> zookeeper::Config {
    let zookeeper = &config.zookeeper;
    zookeeper::Config {
        session_timeout: zookeeper.session_timeout,
        connection_timeout: zookeeper.connection_timeout,
        call_timeout: zookeeper.session_timeout,
        auth: zookeeper
            .auth
            .as_ref()
            .map(|auth| (auth.scheme.clone(), auth.credentials.clone())),
        set_acl: zookeeper.set_acl,
        ..zookeeper::Config::new(zookeeper.connect.clone())
    }
}

pub(crate) fn listener(config: &BrokerConfig) -> ListenerConfig {
    let network = &config.network;
    ListenerConfig {
        host: network.host.clone(),
        port: network.port,
        send_buffer_bytes: network.send_buffer_bytes,
        receive_buffer_bytes: network.receive_buffer_bytes,
        max_request_bytes: network.max_request_bytes,
        max_idle: network.max_idle.unwrap_or(NEVER),
        max_connections_per_ip: network.max_connections_per_ip,
        max_connections_per_ip_overrides: network
            .max_connections_per_ip_overrides
            .clone()
            .into_iter()
            .collect(),
        queued_bytes: network.queued_max_bytes,
        drain: DRAIN,
        ..ListenerConfig::default()
    }
}

pub(crate) fn log(config: &BrokerConfig) -> LogConfig {
    let log = &config.log;
    let defaults = LogConfig::default();
    LogConfig {
        segment_bytes: u64::from(log.segment_bytes),
        segment_ms: log.segment_age,
        segment_jitter: log.segment_jitter,
        index_bytes: u64::from(log.index_bytes),
        flush_messages: log.flush_messages.unwrap_or(defaults.flush_messages),
        flush_ms: log.flush_age.unwrap_or(defaults.flush_ms),
        retention_bytes: log.retention_bytes,
        retention_ms: log.retention_age,
        max_message_bytes: log.max_message_bytes,
        index_interval_bytes: u64::from(log.index_interval_bytes),
        delete_retention: log.delete_retention,
        file_delete_delay: log.file_delete_delay,
        min_cleanable_ratio: log.min_cleanable_ratio,
        cleanup_policy: if log.compact {
            CleanupPolicy::Compact
        } else {
            CleanupPolicy::Delete
        },
        unclean_leader_election: config.controller.unclean_leader_election,
        min_in_sync_replicas: log.min_insync_replicas,
        gzip_level: config.compression.gzip_level,
        ..defaults
    }
}

pub(crate) fn logs(
    config: &BrokerConfig,
    overrides: HashMap<String, BTreeMap<String, String>>,
    flushes: Timer,
) -> LogsConfig {
    LogsConfig {
        directories: config.logs.directories.clone(),
        defaults: log(config),
        overrides,
        recovery_threads: config.logs.recovery_threads,
        flushes,
    }
}

pub(crate) fn replication(config: &BrokerConfig) -> replication::Config {
    let replication = &config.replication;
    replication::Config {
        fetchers: replication.fetchers,
        fetch_max_bytes: replication.fetch_max_bytes,
        fetch_wait_max: replication.fetch_wait_max,
        fetch_min_bytes: replication.fetch_min_bytes,
        socket_timeout: replication.socket_timeout,
    }
}

pub(crate) fn controller(
    config: &BrokerConfig,
    bound: SocketAddr,
    metrics: ControllerMetrics,
) -> controller::Config {
    let host = config.network.host.as_deref().unwrap_or("null");
    let settings = &config.controller;
    controller::Config {
        me: config.id,
        own_address: reachable(bound),
        unclean_election: settings.unclean_leader_election,
        policy: match settings.election_policy {
            ElectionPolicy::Assignment => controller::ElectionPolicy::Assignment,
            ElectionPolicy::Balanced => controller::ElectionPolicy::Balanced,
        },
        reassignments_max: settings.reassignment_max_partitions,
        delete_topics: config.topics.delete,
        rebalance: settings.auto_rebalance.then_some(Rebalance {
            interval: settings.imbalance_check_interval,
            percentage: settings.imbalance_percentage,
        }),
        metrics,
        calls: Calls {
            within: config.controller.socket_timeout,
            client_id: format!("id_{}-host_{host}-port_{}", config.id, config.network.port),
        },
    }
}

/// An address under which this process reaches itself: "all interfaces" is none.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

pub(crate) fn topics(config: &BrokerConfig) -> (NewTopics, OffsetsTopic) {
    let new_topics = NewTopics {
        enabled: config.topics.auto_create,
        partitions: number(config.topics.partitions),
        replicas: number(config.topics.replication_factor),
    };
    let offsets = &config.offsets;
    let settings = [
        ("cleanup.policy", "compact".to_owned()),
        ("segment.bytes", offsets.segment_bytes.to_string()),
    ];
    let offsets_topic = OffsetsTopic {
        partitions: number(offsets.partitions),
        replicas: number(offsets.replication_factor),
        config: settings
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    };
    (new_topics, offsets_topic)
}

pub(crate) fn offsets(config: &BrokerConfig) -> offsets::Config {
    let offsets = &config.offsets;
    offsets::Config {
        partitions: offsets.partitions,
        metadata_max_chars: offsets.metadata_max_chars,
        acks: Acks::from_wire(offsets.commit_required_acks),
        timeout: offsets.commit_timeout,
        codec: match offsets.codec {
            OffsetsCodec::None => Codec::None,
            OffsetsCodec::Gzip => Codec::Gzip,
            OffsetsCodec::Snappy => Codec::Snappy,
            OffsetsCodec::Lz4 => Codec::Lz4,
        },
        retention: offsets.retention,
        max_decompressed_bytes: OFFSETS_DECOMPRESSED_MAX,
    }
}

fn number(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_interfaces_are_reached_through_loopback() {
        let reached = |bound: &str| reachable(bound.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:9092"), "127.0.0.1:9092");
        assert_eq!(reached("[::]:9092"), "[::1]:9092");
        assert_eq!(reached("10.1.2.3:9092"), "10.1.2.3:9092");
    }
}
