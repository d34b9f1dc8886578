//! What the controller told about brokers, topics and leaders. Each is told by one broker only, so that a cluster tells
//! it once: by the controller, or by the leader.

use crate::broker::gauges::count;
use crate::broker::metadata_cache::MetadataCache;
use crate::metrics::Scrape;
use crate::metrics::names;
use crate::protocol::leader_and_isr::Leader;
use crate::types::BrokerId;

/// Brokers and topics, if this broker is the controller; the partitions that it leads.
pub(super) fn cluster(scrape: &mut Scrape, metadata: &MetadataCache, me: BrokerId, is_controller: bool) {
    if is_controller {
        for broker in metadata.brokers() {
            let labels: &[(&'static str, &str)] =
                &[("id", &broker.id.to_string()), ("address", &broker.to_string())];
            scrape.gauge(names::BROKER_INFO, labels, true);
        }
        for (topic, partitions) in metadata.partition_counts() {
            scrape.gauge(names::TOPIC_PARTITIONS, &[("topic", &topic)], count(partitions));
        }
    }
    metadata.for_each_partition(|topic, partition, state| {
        if state.leader != Leader::Broker(me) {
            return;
        }
        let number = partition.to_string();
        let labels: &[(&'static str, &str)] = &[("topic", topic), ("partition", &number)];
        scrape.gauge(names::TOPIC_LEADER, labels, me.0);
        let preferred = state.replicas.first() == Some(&me);
        scrape.gauge(names::TOPIC_LEADER_IS_PREFERRED, labels, preferred);
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::metrics::Metrics;
    use crate::protocol::leader_and_isr::PartitionState;
    use crate::protocol::update_metadata::UpdateMetadataRequest;
    use crate::types::Endpoint;

    fn partition(number: i32, leader: Leader, replicas: [i32; 2]) -> (String, i32, PartitionState) {
        let replicas = replicas.map(BrokerId).to_vec();
        let state = PartitionState {
            controller_epoch: 1,
            leader,
            leader_epoch: 0,
            isr: replicas.clone(),
            zk_version: 0,
            replicas,
        };
        ("orders".to_owned(), number, state)
    }

    /// The series that broker 1 tells.
    fn told(is_controller: bool) -> Vec<String> {
        let metadata = Arc::new(MetadataCache::default());
        let first = Leader::Broker(BrokerId(1));
        metadata.update(UpdateMetadataRequest {
            controller_id: BrokerId(1),
            controller_epoch: 1,
            partitions: vec![
                partition(0, first, [1, 2]),
                partition(1, first, [2, 1]),
                partition(2, Leader::Broker(BrokerId(2)), [2, 1]),
                partition(3, Leader::None, [2, 1]),
            ],
            alive_brokers: vec![Endpoint {
                id: BrokerId(1),
                host: "::1".to_owned(),
                port: 9092,
            }],
        });
        let metrics = Metrics::new();
        metrics.register_collector(move |scrape| cluster(scrape, &metadata, BrokerId(1), is_controller));
        let text = metrics.render();
        let mut series: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("kafka_broker_info") || line.starts_with("kafka_topic"))
            .map(str::to_owned)
            .collect();
        series.sort();
        series
    }

    #[test]
    fn the_leader_tells_what_it_leads() {
        assert_eq!(
            told(false),
            [
                "kafka_topic_partition_leader_is_preferred{topic=\"orders\",partition=\"0\"} 1",
                "kafka_topic_partition_leader_is_preferred{topic=\"orders\",partition=\"1\"} 0",
                "kafka_topic_partition_leader{topic=\"orders\",partition=\"0\"} 1",
                "kafka_topic_partition_leader{topic=\"orders\",partition=\"1\"} 1",
            ]
        );
    }

    #[test]
    fn the_controller_tells_of_brokers_and_topics() {
        let told = told(true);
        for series in [
            "kafka_broker_info{id=\"1\",address=\"[::1]:9092\"} 1",
            "kafka_topic_partitions{topic=\"orders\"} 4",
        ] {
            assert!(told.contains(&series.to_owned()), "{told:?}");
        }
    }
}
