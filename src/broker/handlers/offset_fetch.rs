//! OffsetFetch — key 9, versions 0 and 1.
//!
//! - Version 0 reads ZooKeeper, every other version the offsets kept in Kafka.
//! - Nothing committed: offset -1, with error 3 in version 0 and without one in version 1.
//! - A topic or partition that is not known comes before everything else: error 3. Without a group, though, one that is
//!   known fails them all.

use std::sync::Arc;

use crate::broker::error_mapping;
use crate::broker::metadata_cache::MetadataCache;
use crate::broker::offsets::Offsets;
use crate::net::Reply;
use crate::protocol::ErrorCode;
use crate::protocol::offset_commit::OffsetStorage;
use crate::protocol::offset_fetch::OffsetFetchRequest;
use crate::protocol::offset_fetch::OffsetFetchResponse;
use crate::protocol::offset_fetch::PartitionOffset;
use crate::types::TopicPartition;
use crate::zookeeper::Sessions;

/// Stands for "no offset".
const NO_OFFSET: i64 = -1;
/// The name that the reference ends up with for a group that is null.
const NULL: &str = "null";

/// Fetches from where the version says.
pub(crate) fn handle(
    offsets: &Offsets,
    cache: &Arc<MetadataCache>,
    sessions: &Sessions,
    request: OffsetFetchRequest,
) -> Reply {
    match request.storage {
        OffsetStorage::Kafka => Reply::Send(from_memory(offsets, cache, request).into()),
        OffsetStorage::ZooKeeper => {
            let (cache, sessions) = (Arc::clone(cache), sessions.clone());
            Reply::Later(Box::pin(async move {
                Reply::Send(from_zookeeper(&cache, &sessions, request).await.into())
            }))
        }
    }
}

fn from_memory(offsets: &Offsets, cache: &MetadataCache, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let is_known = |topic: Option<&str>, partition: i32| {
        topic.is_some_and(|topic| cache.has_partition(topic, partition))
    };
    let group = request.group.as_deref();
    let nobody_asks_for_a_known_one = group.is_none()
        && request.topics.iter().any(|(topic, partitions)| {
            partitions
                .iter()
                .any(|number| is_known(topic.as_deref(), *number))
        });
    let position = |topic: Option<&str>, partition: i32| match (group, topic) {
        _ if nobody_asks_for_a_known_one => nothing(partition, ErrorCode::Unknown),
        (Some(group), Some(topic)) if is_known(Some(topic), partition) => {
            found(offsets, group, topic, partition)
        }
        _ => nothing(partition, ErrorCode::UnknownTopicOrPartition),
    };
    let topics = request
        .topics
        .iter()
        .map(|(topic, partitions)| {
            let positions = partitions
                .iter()
                .map(|number| position(topic.as_deref(), *number));
            (topic.clone(), positions.collect())
        })
        .collect();
    OffsetFetchResponse { topics }
}

fn found(offsets: &Offsets, group: &str, topic: &str, partition: i32) -> PartitionOffset {
    match offsets.fetch(group, topic, partition) {
        Ok(Some(position)) => PartitionOffset {
            partition,
            offset: position.offset,
            metadata: position.metadata,
            error: ErrorCode::None,
        },
        Ok(None) => nothing(partition, ErrorCode::None),
        Err(error) => nothing(partition, error_mapping::code_of_offsets(&error)),
    }
}

async fn from_zookeeper(
    cache: &MetadataCache,
    sessions: &Sessions,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let group = request.group.as_deref().unwrap_or(NULL);
    let mut topics = Vec::with_capacity(request.topics.len());
    for (topic, partitions) in request.topics {
        let known = topic.as_deref().filter(|topic| cache.has_topic(topic));
        let positions = match known {
            Some(known) => stored(sessions, group, known, &partitions).await,
            None => partitions
                .into_iter()
                .map(|number| nothing(number, ErrorCode::UnknownTopicOrPartition))
                .collect(),
        };
        topics.push((topic, positions));
    }
    OffsetFetchResponse { topics }
}

async fn stored(sessions: &Sessions, group: &str, topic: &str, partitions: &[i32]) -> Vec<PartitionOffset> {
    let names: Vec<_> = partitions
        .iter()
        .map(|number| TopicPartition::new(topic, *number))
        .collect();
    let found = match sessions.current() {
        Ok(store) => store.fetch_offsets(group, &names).await,
        Err(error) => {
            tracing::debug!("group {group}: fetch from ZooKeeper: {error}");
            Vec::new()
        }
    };
    let mut found = found.into_iter();
    let position = |partition: &i32| match found.next() {
        Some(Ok(Some(offset))) => PartitionOffset {
            partition: *partition,
            offset,
            metadata: Some(String::new()),
            error: ErrorCode::None,
        },
        Some(Ok(None)) => nothing(*partition, ErrorCode::UnknownTopicOrPartition),
        Some(Err(error)) => {
            tracing::warn!("group {group}: fetch from ZooKeeper: {error}");
            nothing(*partition, ErrorCode::Unknown)
        }
        None => nothing(*partition, ErrorCode::Unknown),
    };
    partitions.iter().map(position).collect()
}

fn nothing(partition: i32, error: ErrorCode) -> PartitionOffset {
    PartitionOffset {
        partition,
        offset: NO_OFFSET,
        metadata: Some(String::new()),
        error,
    }
}
