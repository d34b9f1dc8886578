//! The name, kind and help text of every metric this process can export.
//!
//! Names are those that dashboards for 0.8 brokers already query (the ones the widely used exporter rules give to the
//! reference's JMX objects), then later names that the same dashboards ask for, then some in plain Prometheus form. Only
//! this file writes a name; a test holds that no name occurs twice.

/// How a metric moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets, each a counter.
    Histogram,
}

/// One metric: all series of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// As it is exported.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// One sentence for whoever reads the exposition.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric { name: $name, kind: Kind::$kind, help: $help };
        )*
        /// Every metric there is.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

// Per topic, and without a label for all topics.
metrics! {
    MESSAGES_IN = Counter "kafka_server_brokertopicmetrics_messagesin_total", "Messages appended by producers, those inside compressed sets included.";
    BYTES_IN = Counter "kafka_server_brokertopicmetrics_bytesin_total", "Bytes of message sets appended, as producers sent them.";
    BYTES_OUT = Counter "kafka_server_brokertopicmetrics_bytesout_total", "Bytes of messages found for fetches, those of followers included.";
    BYTES_REJECTED = Counter "kafka_server_brokertopicmetrics_bytesrejected_total", "Bytes of message sets refused because a message was too large.";
    FAILED_PRODUCE = Counter "kafka_server_brokertopicmetrics_failedproducerequests_total", "Partitions of produce requests that met an unexpected error.";
    FAILED_FETCH = Counter "kafka_server_brokertopicmetrics_failedfetchrequests_total", "Partitions of fetch requests that met an unexpected error, offsets out of range included.";
    TOTAL_PRODUCE = Counter "kafka_server_brokertopicmetrics_totalproducerequests_total", "Partitions of produce requests.";
    TOTAL_FETCH = Counter "kafka_server_brokertopicmetrics_totalfetchrequests_total", "Partitions of fetch requests.";

    LEADER_COUNT = Gauge "kafka_server_replicamanager_leadercount", "Partitions led by this broker.";
    PARTITION_COUNT = Gauge "kafka_server_replicamanager_partitioncount", "Partitions with a replica on this broker.";
    UNDER_REPLICATED_PARTITIONS = Gauge "kafka_server_replicamanager_underreplicatedpartitions", "Partitions led by this broker whose in-sync set is smaller than their assignment.";
    UNDER_MIN_ISR_PARTITION_COUNT = Gauge "kafka_server_replicamanager_underminisrpartitioncount", "Partitions led by this broker whose in-sync set is below the configured minimum.";
    ISR_SHRINKS = Counter "kafka_server_replicamanager_isrshrinks_total", "Times the in-sync set of a led partition shrank.";
    ISR_EXPANDS = Counter "kafka_server_replicamanager_isrexpands_total", "Times the in-sync set of a led partition grew.";
    UNDER_REPLICATED = Gauge "kafka_cluster_partition_underreplicated", "Whether the partition's in-sync set is smaller than its assignment; 0 on followers.";
    UNDER_MIN_ISR = Gauge "kafka_cluster_partition_underminisr", "Whether the partition's in-sync set is below the configured minimum, from the leader.";
    AT_MIN_ISR = Gauge "kafka_cluster_partition_atminisr", "Whether the partition's in-sync set is exactly the configured minimum, from the leader.";
    FETCHER_MAX_LAG = Gauge "kafka_server_replicafetchermanager_maxlag", "Largest number of messages that a followed partition is behind its leader.";
    FETCHER_MIN_FETCH_RATE = Gauge "kafka_server_replicafetchermanager_minfetchrate", "Smallest one-minute rate of fetches over all fetchers; 0 without any.";
    FETCHER_FAILED_PARTITIONS = Gauge "kafka_server_replicafetchermanager_failedpartitionscount", "Followed partitions that are not copied, because their leader lacks committed messages and the topic forbids to lose them.";
    FETCHER_REQUESTS = Counter "kafka_server_fetcherstats_requests_total", "Fetches from leaders that were answered.";
    FETCHER_BYTES = Counter "kafka_server_fetcherstats_bytes_total", "Bytes of messages that leaders sent.";
    FETCHER_FAILURES = Counter "kafka_server_fetcherstats_failures_total", "Fetches from leaders that were not answered, or not with what can be used.";
    FETCHER_CONSUMER_LAG = Gauge "kafka_server_fetcherlagmetrics_consumerlag", "Messages that the followed partition is behind its leader.";

    PRODUCE_PURGATORY_SIZE = Gauge "kafka_server_producerrequestpurgatory_purgatorysize", "Produce requests waiting for acknowledgements.";
    PRODUCE_DELAYED = Gauge "kafka_server_producerrequestpurgatory_numdelayedrequests", "Produce requests waiting for acknowledgements, as counted by the expiry of the reference.";
    FETCH_PURGATORY_SIZE = Gauge "kafka_server_fetchrequestpurgatory_purgatorysize", "Fetch requests waiting for messages.";
    FETCH_DELAYED = Gauge "kafka_server_fetchrequestpurgatory_numdelayedrequests", "Fetch requests waiting for messages, as counted by the expiry of the reference.";
    PRODUCE_EXPIRES = Counter "kafka_server_delayedproducerrequestmetrics_expires_total", "Partitions of produce requests that were not acknowledged in time.";
    CONSUMER_FETCH_EXPIRES = Counter "kafka_server_delayedfetchrequestmetrics_consumerexpires_total", "Fetches of consumers that waited as long as they were allowed to.";
    FOLLOWER_FETCH_EXPIRES = Counter "kafka_server_delayedfetchrequestmetrics_followerexpires_total", "Fetches of followers that waited as long as they were allowed to.";

    REQUESTS = Counter "kafka_network_requestmetrics_requests_total", "Requests finished. Fetches count twice: as Fetch and as FetchConsumer or FetchFollower.";
    TOTAL_TIME = Gauge "kafka_network_requestmetrics_totaltimems", "Milliseconds from the last byte of a request to the last byte of its answer; the last one to two minutes.";
    TOTAL_TIME_COUNT = Counter "kafka_network_requestmetrics_totaltimems_count", "Requests behind the total times.";
    QUEUE_TIME = Gauge "kafka_network_requestmetrics_requestqueuetimems", "Milliseconds a complete request waited to be handled; the last one to two minutes.";
    QUEUE_TIME_COUNT = Counter "kafka_network_requestmetrics_requestqueuetimems_count", "Requests behind the queue times.";
    LOCAL_TIME = Gauge "kafka_network_requestmetrics_localtimems", "Milliseconds of work on this broker; the last one to two minutes.";
    LOCAL_TIME_COUNT = Counter "kafka_network_requestmetrics_localtimems_count", "Requests behind the local times.";
    REMOTE_TIME = Gauge "kafka_network_requestmetrics_remotetimems", "Milliseconds of waiting for replicas or for messages; the last one to two minutes.";
    REMOTE_TIME_COUNT = Counter "kafka_network_requestmetrics_remotetimems_count", "Requests behind the remote times.";
    RESPONSE_QUEUE_TIME = Gauge "kafka_network_requestmetrics_responsequeuetimems", "Milliseconds an answer waited to be written; the last one to two minutes.";
    RESPONSE_QUEUE_TIME_COUNT = Counter "kafka_network_requestmetrics_responsequeuetimems_count", "Requests behind the response queue times.";
    RESPONSE_SEND_TIME = Gauge "kafka_network_requestmetrics_responsesendtimems", "Milliseconds of writing an answer; the last one to two minutes.";
    RESPONSE_SEND_TIME_COUNT = Counter "kafka_network_requestmetrics_responsesendtimems_count", "Requests behind the response send times.";
    REQUEST_DURATION = Histogram "kafka_network_request_duration_seconds", "Time of requests by phase.";

    REQUEST_QUEUE_SIZE = Gauge "kafka_network_requestchannel_requestqueuesize", "Requests that wait for memory before they are read to their end.";
    RESPONSE_QUEUE_SIZE = Gauge "kafka_network_requestchannel_responsequeuesize", "Requests whose answer is not written yet.";
    NETWORK_IDLE = Gauge "kafka_network_socketserver_networkprocessoravgidle_percent", "Idle share (0 to 1) of the threads that serve sockets, over the last one to two minutes.";
    HANDLER_IDLE = Gauge "kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent", "Idle share (0 to 1) of the threads that handle requests (the same that serve sockets), over the last one to two minutes.";
    NETWORK_IDLE_PLAIN = Gauge "kafka_network_socketserver_networkprocessoravgidlepercent", "The same share under the name that alert rules use.";
    HANDLER_IDLE_PLAIN = Gauge "kafka_server_kafkarequesthandlerpool_requesthandleravgidlepercent", "The same share under the name that alert rules use.";
    RESPONSES_BEING_SENT = Gauge "kafka_network_socketserver_responsesbeingsent", "Connections whose answer is being written.";
    CONNECTIONS = Gauge "kafka_network_connections", "Open connections.";
    CONNECTIONS_OPENED = Counter "kafka_network_connections_total", "Connections accepted.";
    CONNECTIONS_CLOSED = Counter "kafka_network_connections_closed_total", "Connections closed, by reason.";
    SENDFILE_BYTES = Counter "kafka_network_sendfile_bytes_total", "Bytes of messages that went from file to socket without passing through this process.";

    ACTIVE_CONTROLLER = Gauge "kafka_controller_kafkacontroller_activecontrollercount", "1 on the controller, else 0.";
    OFFLINE_PARTITIONS = Gauge "kafka_controller_kafkacontroller_offlinepartitionscount", "Partitions without a live leader; 0 on brokers that are not the controller.";
    PREFERRED_REPLICA_IMBALANCE = Gauge "kafka_controller_kafkacontroller_preferredreplicaimbalancecount", "Partitions not led by their first replica; 0 on brokers that are not the controller.";
    REASSIGNING_PARTITIONS = Gauge "kafka_controller_kafkacontroller_reassigningpartitionscount", "Partitions still to be moved to other replicas; 0 on brokers that are not the controller.";
    GLOBAL_TOPIC_COUNT = Gauge "kafka_controller_kafkacontroller_globaltopiccount", "Topics in the cluster; 0 on brokers that are not the controller.";
    GLOBAL_PARTITION_COUNT = Gauge "kafka_controller_kafkacontroller_globalpartitioncount", "Partitions in the cluster; 0 on brokers that are not the controller.";
    UNCLEAN_ELECTIONS = Counter "kafka_controller_controllerstats_uncleanleaderelections_total", "Leaders chosen outside the in-sync set.";
    ELECTION_TIME = Gauge "kafka_controller_controllerstats_leaderelectionrateandtimems", "Milliseconds of handling a change of the live brokers; the last one to two minutes.";
    ELECTION_TIME_COUNT = Counter "kafka_controller_controllerstats_leaderelectionrateandtimems_count", "Changes of the live brokers handled.";
    ELECTION_DURATION = Histogram "kafka_controller_leader_election_duration_seconds", "Time of handling a change of the live brokers.";

    LOG_SIZE = Gauge "kafka_log_log_size", "Bytes of the partition's segments, indexes excluded.";
    LOG_START_OFFSET = Gauge "kafka_log_log_logstartoffset", "First offset kept.";
    LOG_END_OFFSET = Gauge "kafka_log_log_logendoffset", "Next offset to be written.";
    LOG_SEGMENTS = Gauge "kafka_log_log_numlogsegments", "Segments of the partition.";
    LOG_FLUSH_TIME = Gauge "kafka_log_logflushstats_logflushrateandtimems", "Milliseconds of flushing a segment to disk; the last one to two minutes.";
    LOG_FLUSH_TIME_COUNT = Counter "kafka_log_logflushstats_logflushrateandtimems_count", "Segments flushed to disk.";
    LOG_FLUSH_DURATION = Histogram "kafka_log_flush_duration_seconds", "Time of flushing a segment to disk.";
    LOG_DIR_SIZE = Gauge "kafka_log_dir_size_bytes", "Bytes of all segments in the data directory.";
    LOG_DIR_FREE = Gauge "kafka_log_dir_free_bytes", "Bytes free on the file system of the data directory.";

    BROKER_STATE = Gauge "kafka_server_kafkaserver_brokerstate", "0 not running, 1 starting, 2 recovering, 3 running, 4 running as controller, 6 waiting for controlled shutdown, 7 stopping.";
    OFFSETS_CACHED = Gauge "kafka_server_offsetmanager_numoffsets", "Committed offsets of groups kept on this broker.";
    OFFSET_GROUPS = Gauge "kafka_server_offsetmanager_numgroups", "Groups with committed offsets kept on this broker.";
    ZOOKEEPER_DISCONNECTS = Counter "kafka_server_sessionexpirelistener_zookeeperdisconnects_total", "Times the connection to ZooKeeper was lost.";
    ZOOKEEPER_EXPIRES = Counter "kafka_server_sessionexpirelistener_zookeeperexpires_total", "Sessions of ZooKeeper that expired.";
    ZOOKEEPER_CONNECTS = Counter "kafka_server_sessionexpirelistener_zookeepersyncconnects_total", "Times a connection to ZooKeeper was made.";
    ZOOKEEPER_SESSION_STATE = Gauge "kafka_zookeeper_session_state", "1 for the state that the ZooKeeper session is in, 0 for the others.";

    BROKERS = Gauge "kafka_brokers", "Live brokers of the cluster, from its controller.";
    BROKER_INFO = Gauge "kafka_broker_info", "1 for each live broker, from the controller.";
    TOPIC_PARTITIONS = Gauge "kafka_topic_partitions", "Partitions of the topic, from the controller.";
    TOPIC_CURRENT_OFFSET = Gauge "kafka_topic_partition_current_offset", "Next offset that consumers will find (the high watermark), from the leader.";
    TOPIC_OLDEST_OFFSET = Gauge "kafka_topic_partition_oldest_offset", "First offset kept, from the leader.";
    TOPIC_LEADER = Gauge "kafka_topic_partition_leader", "Id of the leader, from the leader.";
    TOPIC_LEADER_IS_PREFERRED = Gauge "kafka_topic_partition_leader_is_preferred", "Whether the leader is the first replica, from the leader.";
    TOPIC_REPLICAS = Gauge "kafka_topic_partition_replicas", "Assigned replicas, from the leader.";
    TOPIC_IN_SYNC = Gauge "kafka_topic_partition_in_sync_replica", "In-sync replicas, from the leader.";
    TOPIC_UNDER_REPLICATED = Gauge "kafka_topic_partition_under_replicated_partition", "Whether the in-sync set is smaller than the assignment, from the leader.";
    GROUP_OFFSET = Gauge "kafka_consumergroup_current_offset", "Offset committed by the group, from the broker that keeps it.";
    GROUP_OFFSET_SUM = Gauge "kafka_consumergroup_current_offset_sum", "Sum of the offsets committed by the group.";
    GROUP_LAG = Gauge "kafka_consumergroup_lag", "Messages that the group is behind the end of the partition.";
    GROUP_LAG_SUM = Gauge "kafka_consumergroup_lag_sum", "Sum of the group's lag over the partitions of the topic.";

    BUILD_INFO = Gauge "kafka_build_info", "1; the labels say what this is.";
    PROCESS_CPU = Counter "process_cpu_seconds_total", "Seconds of CPU spent in user and system mode.";
    PROCESS_OPEN_FDS = Gauge "process_open_fds", "Open file descriptors.";
    PROCESS_MAX_FDS = Gauge "process_max_fds", "File descriptors that may be open.";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes", "Resident memory in bytes.";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes", "Virtual memory in bytes.";
    PROCESS_START = Gauge "process_start_time_seconds", "Start of the process in seconds since 1970.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_legal_and_occurs_once() {
        let mut seen = BTreeSet::new();
        for metric in ALL {
            assert!(seen.insert(metric.name), "{} twice", metric.name);
            assert!(
                metric
                    .name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            let counted = metric.name.ends_with("_total") || metric.name.ends_with("_count");
            assert_eq!(counted, metric.kind == Kind::Counter, "{}", metric.name);
        }
    }
}
