//! Fetch — key 1, version 0.
//!
//! - Answers at once if there is enough to read, if any partition has an error, or if nothing was asked for.
//! - Otherwise waits for the progress of any partition, and looks again at all of them; at the deadline it answers
//!   what is there.
//! - A follower's fetch also notes how far that follower is, after reading.
//! - Answers with places in files; the messages themselves never enter this process.

use std::sync::Arc;

use tokio::time::Instant;
use tokio::time::timeout_at;

use crate::broker::error_mapping;
use crate::metrics::Topics;
use crate::net::Reply;
use crate::protocol::ErrorCode;
use crate::protocol::FetchRequest;
use crate::protocol::FetchResponse;
use crate::protocol::PartitionFetch;
use crate::protocol::PartitionFetched;
use crate::protocol::Reader;
use crate::replication::Found;
use crate::replication::Partition;
use crate::replication::Partitions;
use crate::replication::any_changed;

/// High watermark in the answer of a partition that failed.
const NO_OFFSET: i64 = -1;

/// What one look at all partitions found.
struct Look {
    topics: Vec<(Option<String>, Vec<PartitionFetched>)>,
    bytes: u64,
    /// Some partition failed, or has come to an end that waiting cannot move.
    settled: bool,
}

/// Answers as soon as there is enough to read, or when the time is up.
pub(crate) fn handle(partitions: &Arc<Partitions>, metrics: &Arc<Topics>, request: FetchRequest) -> Reply {
    let first = look(partitions, metrics, &request);
    if is_enough(&first, &request) {
        return answer(first, metrics);
    }
    let (partitions, metrics) = (Arc::clone(partitions), Arc::clone(metrics));
    Reply::Later(Box::pin(async move {
        let _waiting = metrics.fetch_waits();
        let deadline = Instant::now() + request.max_wait;
        loop {
            // Subscribe before looking: an append in between must wake us.
            let mut progress: Vec<_> =
                hosted(&partitions, &request).iter().map(|partition| partition.subscribe()).collect();
            let found = look(&partitions, &metrics, &request);
            if is_enough(&found, &request) {
                return answer(found, &metrics);
            }
            if timeout_at(deadline, any_changed(&mut progress)).await.is_err() {
                metrics.fetch_expired(matches!(request.reader, Reader::Follower(_)));
                return answer(look(&partitions, &metrics, &request), &metrics);
            }
        }
    }))
}

fn is_enough(look: &Look, request: &FetchRequest) -> bool {
    request.max_wait.is_zero()
        || look.settled
        || look.topics.iter().all(|(_, partitions)| partitions.is_empty())
        || u64::try_from(request.min_bytes).map_or(true, |min_bytes| look.bytes >= min_bytes)
}

fn hosted(partitions: &Partitions, request: &FetchRequest) -> Vec<Arc<Partition>> {
    let partition = |(topic, fetches): &(Option<String>, Vec<PartitionFetch>)| {
        let topic = topic.clone();
        fetches
            .iter()
            .filter_map(|fetch| partitions.get(topic.as_deref()?, fetch.partition))
            .collect::<Vec<_>>()
    };
    request.topics.iter().flat_map(partition).collect()
}

fn look(partitions: &Partitions, metrics: &Topics, request: &FetchRequest) -> Look {
    let mut look = Look { topics: Vec::with_capacity(request.topics.len()), bytes: 0, settled: false };
    for (topic, fetches) in &request.topics {
        let fetched = fetches
            .iter()
            .map(|fetch| match find(partitions, topic.as_deref(), fetch, request.reader) {
                Ok(found) => {
                    let bytes = found.messages.as_ref().map_or(0, |slice| slice.len);
                    look.bytes += bytes;
                    look.settled |= found.ends_closed_segment && bytes > 0;
                    PartitionFetched {
                        partition: fetch.partition,
                        error: ErrorCode::None,
                        high_watermark: found.high_watermark,
                        messages: found.messages,
                    }
                }
                Err(error) => {
                    look.settled = true;
                    count_failure(metrics, topic.as_deref(), error);
                    PartitionFetched {
                        partition: fetch.partition,
                        error,
                        high_watermark: NO_OFFSET,
                        messages: None,
                    }
                }
            })
            .collect();
        look.topics.push((topic.clone(), fetched));
    }
    look
}

fn find(
    partitions: &Partitions,
    topic: Option<&str>,
    fetch: &PartitionFetch,
    reader: Reader,
) -> Result<Found, ErrorCode> {
    let missing = match reader {
        Reader::DebuggingConsumer => ErrorCode::ReplicaNotAvailable,
        Reader::Consumer | Reader::Follower(_) => ErrorCode::UnknownTopicOrPartition,
    };
    let partition = topic.and_then(|topic| partitions.get(topic, fetch.partition)).ok_or(missing)?;
    let found = partition.read(reader, fetch.offset, fetch.max_bytes);
    if let Reader::Follower(id) = reader {
        let position = found.is_ok().then_some(fetch.offset);
        let recorded = partition.record_fetch(id, position);
        if found.is_ok() {
            recorded.map_err(|error| error_mapping::code_of(&error))?;
        }
    }
    found.map_err(|error| {
        tracing::debug!("{}: fetch: {error}", partition.topic_partition());
        error_mapping::code_of(&error)
    })
}

/// Counts what 0.8.2.2 counts: not the failures that only say that the client asked the wrong broker.
fn count_failure(metrics: &Topics, topic: Option<&str>, error: ErrorCode) {
    if !matches!(error, ErrorCode::UnknownTopicOrPartition | ErrorCode::NotLeaderForPartition)
        && let Some(topic) = topic
    {
        metrics.topic(topic).fetch_failed();
    }
}

fn answer(look: Look, metrics: &Topics) -> Reply {
    for (topic, partitions) in &look.topics {
        let bytes = partitions.iter().filter_map(|partition| partition.messages.as_ref()).map(|slice| slice.len).sum();
        if let Some(topic) = topic.as_deref().filter(|_| bytes > 0) {
            metrics.topic(topic).fetched(bytes);
        }
    }
    Reply::Send(FetchResponse { topics: look.topics }.into())
}
