//! Fetch — key 1, version 0.
//!
//! - Answers at once if there is enough to read, if any partition has an error, or if nothing was asked for. What there
//!   is to read counts, not what the request's sizes let through.
//! - Otherwise waits for the progress of any partition, and looks again at all of them; at the deadline it answers
//!   what is there.
//! - A follower's fetch also notes how far that follower is, once, after the first reading.
//! - Answers with places in files; the messages themselves never enter this process.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::sleep;

use crate::broker::error_mapping;
use crate::metrics::ReplicationMetrics;
use crate::metrics::TopicMetrics;
use crate::net::Reply;
use crate::protocol::ErrorCode;
use crate::protocol::fetch::FetchRequest;
use crate::protocol::fetch::FetchResponse;
use crate::protocol::fetch::PartitionFetch;
use crate::protocol::fetch::PartitionFetched;
use crate::protocol::fetch::Reader;
use crate::replication::Found;
use crate::replication::Partition;
use crate::replication::Partitions;
use crate::replication::any_changed;

/// High watermark in the answer of a partition that failed.
const NO_OFFSET: i64 = -1;

/// A request is looked at again whenever something has changed; what it says of the reader is noted only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looking {
    First,
    Again,
}

/// What one look at all partitions found.
struct Look {
    topics: Vec<(Option<String>, Vec<PartitionFetched>)>,
    bytes: u64,
    /// What was found of each topic, to be counted once it is sent.
    counted: Vec<(Arc<TopicMetrics>, u64)>,
    /// Some partition failed, or has come to an end that waiting cannot move.
    settled: bool,
    /// Some partition has more than the request takes.
    cut: bool,
}

/// Answers as soon as there is enough to read, or when the time is up.
pub(crate) fn handle(
    partitions: &Arc<Partitions>,
    metrics: &ReplicationMetrics,
    request: FetchRequest,
) -> Reply {
    let first = look(partitions, &request, Looking::First);
    if is_enough(partitions, &first, &request) {
        return answer(first);
    }
    let (partitions, metrics) = (Arc::clone(partitions), metrics.clone());
    Reply::Later(Box::pin(async move {
        let _waiting = metrics.waiting_fetches.enter();
        let mut time_is_up = pin!(sleep(request.max_wait));
        loop {
            // Subscribe before looking: an append in between must wake us.
            let mut progress: Vec<_> = hosted(&partitions, &request)
                .iter()
                .map(|partition| partition.subscribe())
                .collect();
            let found = look(&partitions, &request, Looking::Again);
            if is_enough(&partitions, &found, &request) {
                return answer(found);
            }
            tokio::select! {
                // First, since progress may go on and on and never be enough.
                biased;
                () = &mut time_is_up => break,
                () = any_changed(&mut progress) => {}
            }
        }
        match request.reader {
            Reader::Follower(_) => metrics.follower_fetch_expires.increment(1),
            Reader::Consumer | Reader::DebuggingConsumer => metrics.consumer_fetch_expires.increment(1),
        }
        answer(look(&partitions, &request, Looking::Again))
    }))
}

fn is_enough(partitions: &Partitions, look: &Look, request: &FetchRequest) -> bool {
    let min_bytes = u64::try_from(request.min_bytes).unwrap_or(0);
    request.max_wait.is_zero()
        || look.settled
        || look.topics.iter().all(|(_, partitions)| partitions.is_empty())
        || look.bytes >= min_bytes
        || look.cut && is_there(partitions, request, min_bytes)
}

/// Whether so many bytes are there, however few of them the request takes, or a closed segment's end is.
fn is_there(partitions: &Partitions, request: &FetchRequest, min_bytes: u64) -> bool {
    let mut there = 0;
    request.topics.iter().any(|(topic, fetches)| {
        fetches.iter().any(|fetch| {
            let partition = topic
                .as_deref()
                .and_then(|topic| partitions.get(topic, fetch.partition));
            let found =
                partition.and_then(|partition| partition.read(request.reader, fetch.offset, i32::MAX).ok());
            let closed = found.as_ref().is_some_and(|found| found.ends_closed_segment);
            there += found
                .and_then(|found| found.messages)
                .map_or(0, |slice| slice.len);
            closed || there >= min_bytes
        })
    })
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

fn look(partitions: &Partitions, request: &FetchRequest, looking: Looking) -> Look {
    let topics = Vec::with_capacity(request.topics.len());
    let mut look = Look {
        topics,
        bytes: 0,
        counted: Vec::new(),
        settled: false,
        cut: false,
    };
    for (topic, fetches) in &request.topics {
        let fetched = fetches
            .iter()
            .map(
                |fetch| match find(partitions, topic.as_deref(), fetch, (request.reader, looking)) {
                    Ok((found, partition)) => {
                        let bytes = found.messages.as_ref().map_or(0, |slice| slice.len);
                        look.bytes += bytes;
                        if bytes > 0 {
                            look.counted.push((Arc::clone(partition.metrics()), bytes));
                        }
                        look.settled |= found.ends_closed_segment && bytes > 0;
                        look.cut |= u64::try_from(fetch.max_bytes) == Ok(bytes);
                        PartitionFetched {
                            partition: fetch.partition,
                            error: ErrorCode::None,
                            high_watermark: found.high_watermark,
                            messages: found.messages,
                        }
                    }
                    Err(error) => {
                        look.settled = true;
                        PartitionFetched {
                            partition: fetch.partition,
                            error,
                            high_watermark: NO_OFFSET,
                            messages: None,
                        }
                    }
                },
            )
            .collect();
        look.topics.push((topic.clone(), fetched));
    }
    look
}

fn find(
    partitions: &Partitions,
    topic: Option<&str>,
    fetch: &PartitionFetch,
    (reader, looking): (Reader, Looking),
) -> Result<(Found, Arc<Partition>), ErrorCode> {
    let missing = match reader {
        Reader::DebuggingConsumer => ErrorCode::ReplicaNotAvailable,
        Reader::Consumer | Reader::Follower(_) => ErrorCode::UnknownTopicOrPartition,
    };
    let partition = topic
        .and_then(|topic| partitions.get(topic, fetch.partition))
        .ok_or(missing)?;
    let found = partition.read(reader, fetch.offset, fetch.max_bytes);
    if looking == Looking::First {
        partition.metrics().fetch_requested();
    }
    if let (Reader::Follower(id), Looking::First) = (reader, looking) {
        let position = found.is_ok().then_some(fetch.offset);
        let recorded = partition.record_fetch(id, position);
        if found.is_ok() {
            recorded.map_err(|error| error_mapping::code_of(&error))?;
        }
    }
    match found {
        Ok(found) => Ok((found, partition)),
        Err(error) => {
            tracing::debug!("{}: fetch: {error}", partition.topic_partition());
            let code = error_mapping::code_of(&error);
            // As 0.8.2.2: that the client asked the wrong broker is no failure.
            if code != ErrorCode::NotLeaderForPartition {
                partition.metrics().fetch_failed();
            }
            Err(code)
        }
    }
}

fn answer(look: Look) -> Reply {
    for (metrics, bytes) in &look.counted {
        metrics.read(*bytes);
    }
    Reply::Send(FetchResponse { topics: look.topics }.into())
}
