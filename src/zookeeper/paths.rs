//! Every path, as functions. All are below the chroot.

use crate::types::BrokerId;
use crate::types::TopicPartition;

/// The chroot itself.
pub(super) const ROOT: &str = "/";
/// Registrations of brokers.
pub(super) const BROKER_IDS: &str = "/brokers/ids";
/// Assignments of topics.
pub(super) const TOPICS: &str = "/brokers/topics";
/// Settings of topics.
pub(super) const TOPIC_CONFIGS: &str = "/config/topics";
/// Notifications that a topic's settings have changed.
pub(super) const CONFIG_CHANGES: &str = "/config/changes";
/// How the name of a notification begins; ZooKeeper appends ten digits.
pub(super) const CONFIG_CHANGE_PREFIX: &str = "config_change_";
/// The elected controller.
pub(super) const CONTROLLER: &str = "/controller";
/// How many controllers there have been.
pub(super) const CONTROLLER_EPOCH: &str = "/controller_epoch";
/// Which broker serves what at the moment. Java brokers never look here.
pub(super) const LIVE: &str = "/brokers/live";
/// Topics that shall be deleted.
pub(super) const DELETE_TOPICS: &str = "/admin/delete_topics";
/// Partitions that shall have other replicas.
pub(super) const REASSIGNMENTS: &str = "/admin/reassign_partitions";
/// Partitions that shall be led by their first replica.
pub(super) const PREFERRED_ELECTION: &str = "/admin/preferred_replica_election";
/// Members, owners and offsets of consumer groups.
const CONSUMERS: &str = "/consumers";

/// What every broker creates at its start, in this order.
pub(super) const COMMON: [&str; 6] = [
    CONSUMERS,
    BROKER_IDS,
    TOPICS,
    CONFIG_CHANGES,
    TOPIC_CONFIGS,
    DELETE_TOPICS,
];

pub(super) fn broker(id: BrokerId) -> String {
    format!("{BROKER_IDS}/{id}")
}

pub(super) fn topic(topic: &str) -> String {
    format!("{TOPICS}/{topic}")
}

pub(super) fn topic_config(topic: &str) -> String {
    format!("{TOPIC_CONFIGS}/{topic}")
}

pub(super) fn config_change(name: &str) -> String {
    format!("{CONFIG_CHANGES}/{name}")
}

pub(super) fn partitions(topic: &str) -> String {
    format!("{TOPICS}/{topic}/partitions")
}

pub(super) fn partition(partition: &TopicPartition) -> String {
    format!("{TOPICS}/{}/partitions/{}", partition.topic, partition.partition)
}

pub(super) fn partition_state(of: &TopicPartition) -> String {
    format!("{}/state", partition(of))
}

pub(super) fn delete_topic(topic: &str) -> String {
    format!("{DELETE_TOPICS}/{topic}")
}

pub(super) fn live_topic(topic: &str) -> String {
    format!("{LIVE}/{topic}")
}

pub(super) fn live(topic: &str, id: BrokerId) -> String {
    format!("{LIVE}/{topic}/{id}")
}

pub(super) fn consumer_offset(group: &str, partition: &TopicPartition) -> String {
    format!(
        "{CONSUMERS}/{group}/offsets/{}/{}",
        partition.topic, partition.partition
    )
}

/// Whether old consumers, which do not authenticate, write here too.
pub(super) fn is_consumers(path: &str) -> bool {
    path.strip_prefix(CONSUMERS)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
