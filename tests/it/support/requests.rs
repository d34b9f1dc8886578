//! Requests in a line, and their answers in words.

use std::time::Duration;

use bytes::BytesMut;
use gregor::message::Codec;
use gregor::message::set::ProducedSet;
use gregor::message::set::SetBuilder;
use gregor::protocol::Api;
use gregor::protocol::encode_request;
use gregor::protocol::fetch::FetchRequest;
use gregor::protocol::fetch::PartitionFetch;
use gregor::protocol::fetch::Reader;
use gregor::protocol::list_offsets::ListOffsetsRequest;
use gregor::protocol::list_offsets::OffsetSpec;
use gregor::protocol::list_offsets::PartitionOffsets;
use gregor::protocol::offset_commit::OffsetCommitRequest;
use gregor::protocol::offset_commit::OffsetStorage;
use gregor::protocol::offset_commit::PartitionCommit;
use gregor::protocol::offset_fetch::OffsetFetchRequest;
use gregor::protocol::produce::Acks;
use gregor::protocol::produce::PartitionProduce;
use gregor::protocol::produce::ProduceRequest;
use gregor::protocol::produce::TopicProduce;
use serde_json::Value;

use super::answer::canonical;
use super::answer::decode;
use super::broker::Broker;
use super::connection::Connection;

/// More than a test fetches at once.
const FETCH_MAX: i32 = 1 << 20;

/// One request on a connection of its own, and the answer in words, without what may differ.
#[track_caller]
pub(crate) fn ask<A: Api>(broker: &Broker, request: &A) -> Value {
    let mut connection = Connection::open(broker.address());
    connection.send(&encode_request(1, None, request));
    canonical(&decode(A::KEY, &connection.frame()))
}

/// The answer for the first partition of the first topic.
#[track_caller]
pub(crate) fn ask_one<A: Api>(broker: &Broker, request: &A) -> Value {
    ask(broker, request)["topics"][0]["partitions"][0].clone()
}

/// A set of messages without keys.
pub(crate) fn set(codec: Codec, values: &[&str]) -> BytesMut {
    let mut set = SetBuilder::new(codec);
    for value in values {
        set.push(None, Some(value.as_bytes()));
    }
    set.build().unwrap()
}

pub(crate) fn produce(
    acks: i16,
    timeout: Duration,
    topic: &str,
    sets: impl IntoIterator<Item = (i32, BytesMut)>,
) -> ProduceRequest {
    let sets = sets.into_iter().map(|(partition, set)| PartitionProduce {
        partition,
        set: ProducedSet::new(set),
    });
    ProduceRequest {
        acks: Acks::from_wire(acks),
        timeout,
        topics: vec![TopicProduce {
            topic: Some(topic.to_owned()),
            partitions: sets.collect(),
        }],
    }
}

/// A consumer's fetch that does not wait.
pub(crate) fn fetch(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    let from = PartitionFetch {
        partition,
        offset,
        max_bytes: FETCH_MAX,
    };
    FetchRequest {
        reader: Reader::Consumer,
        max_wait: Duration::ZERO,
        min_bytes: 0,
        topics: vec![(Some(topic.to_owned()), vec![from])],
    }
}

pub(crate) fn offsets(reader: Reader, topic: &str, partition: i32, at: OffsetSpec) -> ListOffsetsRequest {
    let asked = PartitionOffsets {
        partition,
        at,
        max_offsets: 1,
    };
    ListOffsetsRequest {
        reader,
        topics: vec![(Some(topic.to_owned()), vec![asked])],
    }
}

/// Where a partition's log ends, committed or not.
#[track_caller]
pub(crate) fn log_end(broker: &Broker, topic: &str, partition: i32) -> i64 {
    let request = offsets(Reader::DebuggingConsumer, topic, partition, OffsetSpec::Latest);
    ask_one(broker, &request)["offsets"][0].as_i64().unwrap()
}

pub(crate) fn commit(
    storage: OffsetStorage,
    group: &str,
    (topic, partition): (&str, i32),
    offset: i64,
) -> OffsetCommitRequest {
    let position = PartitionCommit {
        partition,
        offset,
        timestamp: None,
        metadata: None,
    };
    OffsetCommitRequest {
        storage,
        group: Some(group.to_owned()),
        generation: -1,
        consumer_id: Some(String::new()),
        topics: vec![(Some(topic.to_owned()), vec![position])],
    }
}

pub(crate) fn committed(
    storage: OffsetStorage,
    group: &str,
    topic: &str,
    partition: i32,
) -> OffsetFetchRequest {
    OffsetFetchRequest {
        storage,
        group: Some(group.to_owned()),
        topics: vec![(Some(topic.to_owned()), vec![partition])],
    }
}
