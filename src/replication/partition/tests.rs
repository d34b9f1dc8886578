use std::collections::BTreeMap;
use std::collections::HashMap;

use bytes::BytesMut;

use super::*;
use crate::log::Logs;
use crate::log::LogsConfig;
use crate::message::Codec;
use crate::message::set::ProducedSet;
use crate::message::set::SetBuilder;
use crate::metrics::Metrics;
use crate::protocol::leader_and_isr::Leader;
use crate::protocol::produce::Acks;

const ME: BrokerId = BrokerId(1);
const OTHER: BrokerId = BrokerId(2);

/// A partition that this broker leads, with one follower in the ISR.
fn led(directory: &tempfile::TempDir) -> Arc<Partition> {
    led_by(directory, LogConfig::default(), vec![ME, OTHER])
}

fn led_by(directory: &tempfile::TempDir, log_config: LogConfig, isr: Vec<BrokerId>) -> Arc<Partition> {
    let config = LogsConfig {
        directories: vec![directory.path().to_owned()],
        defaults: LogConfig::default(),
        overrides: HashMap::<String, BTreeMap<String, String>>::new(),
        recovery_threads: 1,
    };
    let name = TopicPartition::new("t", 0);
    let log = Logs::open(&config).unwrap().create(&name, log_config).unwrap();
    let partition = Arc::new(Partition::new(name, ME, Metrics::new().topics().topic("t")));
    let order = PartitionState {
        controller_epoch: 1,
        leader: Leader::Broker(ME),
        leader_epoch: 0,
        isr,
        zk_version: 0,
        replicas: vec![ME, OTHER],
    };
    partition.become_leader(log, &order, 0);
    partition
}

fn set() -> BytesMut {
    let mut set = SetBuilder::new(Codec::None);
    set.push(None, Some(b"message"));
    set.build().unwrap()
}

#[tokio::test]
async fn a_follower_moves_the_high_watermark_and_ends_the_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let partition = led(&directory);
    let appended = partition
        .append(ProducedSet::new(set()), Acks::AllInSync)
        .unwrap();
    partition.record_fetch(OTHER, Some(0)).unwrap();
    assert_eq!(partition.high_watermark(), 0);
    assert!(partition.is_acknowledged(&appended, Acks::AllInSync).is_none());

    partition.record_fetch(OTHER, Some(1)).unwrap();
    assert_eq!(partition.high_watermark(), 1);
    partition.acknowledged(&appended, Acks::AllInSync).await.unwrap();
    partition.acknowledged(&appended, Acks::Count(2)).await.unwrap();
}

/// A fetch waits for progress and is itself noted as some: it must not wake itself, or it would never rest.
#[test]
fn a_fetch_from_where_the_follower_was_wakes_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let partition = led(&directory);
    partition.record_fetch(OTHER, Some(0)).unwrap();
    let mut progress = partition.subscribe();
    partition.record_fetch(OTHER, Some(0)).unwrap();
    assert!(!progress.has_changed().unwrap());
    partition.append(ProducedSet::new(set()), Acks::Leader).unwrap();
    assert!(progress.has_changed().unwrap());
    progress.mark_unchanged();
    partition.record_fetch(OTHER, Some(1)).unwrap();
    assert!(progress.has_changed().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_to_be_flushed_is_acknowledged_and_seen_when_it_is() {
    const PRODUCERS: i64 = 40;
    let directory = tempfile::tempdir().unwrap();
    let config = LogConfig {
        flush_messages: 1,
        ..LogConfig::default()
    };
    let partition = led_by(&directory, config, vec![ME]);
    let log = partition.log().unwrap();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|_| {
            let (partition, log) = (Arc::clone(&partition), Arc::clone(&log));
            tokio::spawn(async move {
                let appended = partition.append(ProducedSet::new(set()), Acks::Leader).unwrap();
                partition.acknowledged(&appended, Acks::Leader).await.unwrap();
                assert!(log.recovery_point() >= appended.end_offset);
                assert!(partition.high_watermark() >= appended.end_offset);
            })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    assert_eq!(log.log_end_offset(), PRODUCERS);
}

/// The flush of one is under way while another appends.
#[tokio::test]
async fn who_is_not_flushed_yet_waits() {
    let directory = tempfile::tempdir().unwrap();
    let config = LogConfig {
        flush_messages: 1,
        ..LogConfig::default()
    };
    let partition = led_by(&directory, config, vec![ME]);
    let log = partition.log().unwrap();
    assert!(partition.turn.take());
    let appended = partition.append(ProducedSet::new(set()), Acks::Leader).unwrap();
    assert!(partition.is_acknowledged(&appended, Acks::Leader).is_none());
    assert_eq!(partition.high_watermark(), 0, "nobody reads it");
    partition.flush_for_others(&log);
    assert!(matches!(
        partition.is_acknowledged(&appended, Acks::Leader),
        Some(Ok(()))
    ));
    assert_eq!(partition.high_watermark(), 1);
}
