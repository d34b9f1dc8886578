//! Fetch — key 1, version 0.
//!
//! - Answers at once if there is enough to read, if any partition has an error, or if nothing was asked for. What there
//!   is to read counts, not what the request's sizes let through.
//! - Otherwise waits for the progress of any partition, and looks again at those that moved; at the deadline it answers
//!   what is there.
//! - A follower's fetch also notes how far that follower is, once, after the first reading. On a connection from before the
//!   leadership it is not answered: the connection is closed, so that the follower begins anew.
//! - Answers with places in files; the messages themselves never enter this process.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::watch;
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
use crate::replication;
use crate::replication::Found;
use crate::replication::Partition;
use crate::replication::Partitions;
use crate::replication::Progress;
use crate::replication::changed;

/// High watermark in the answer of a partition that failed.
const NO_OFFSET: i64 = -1;

/// How the partitions are looked at.
#[derive(Debug, Clone, Copy)]
struct Looking {
    /// For the first time: a follower's fetch is noted then.
    first: bool,
    /// The connection that asks.
    connection: u64,
}

/// Why there is nothing to read.
enum Refusal {
    Error(ErrorCode),
    /// The follower has to connect anew.
    OldConnection,
}

/// What is found in one partition.
struct Seen {
    fetched: PartitionFetched,
    bytes: u64,
    /// Counts what is sent; none if nothing is.
    counts: Option<Arc<TopicMetrics>>,
    /// It failed, or has come to an end that waiting cannot move.
    settled: bool,
    /// It has more than the request takes.
    cut: bool,
    /// The follower that asks has to connect anew.
    hangs_up: bool,
}

/// What is found in all partitions, in the order of the request.
struct Look {
    topics: Vec<(Option<String>, Vec<Seen>)>,
}

impl Look {
    fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.topics.iter().flat_map(|(_, partitions)| partitions)
    }
}

/// The partitions that a fetch waits for: where they are in the request, and how far they come.
struct Watched {
    places: Vec<(usize, usize)>,
    progress: Vec<watch::Receiver<Progress>>,
}

/// Answers as soon as there is enough to read, or when the time is up.
pub(crate) fn handle(
    partitions: &Arc<Partitions>,
    metrics: &ReplicationMetrics,
    (connection, request): (u64, FetchRequest),
) -> Reply {
    if let Reader::Follower(_) = request.reader {
        partitions.follower_connections().note(connection);
    }
    let look_first = Looking {
        first: true,
        connection,
    };
    let look_again = Looking {
        first: false,
        connection,
    };
    let first = look(partitions, &request, look_first);
    if is_enough(partitions, &first, &request) {
        return answer(first);
    }
    let (partitions, metrics) = (Arc::clone(partitions), metrics.clone());
    Reply::Later(Box::pin(async move {
        let _waiting = metrics.waiting_fetches.enter();
        let mut time_is_up = pin!(sleep(request.max_wait));
        // Before looking: an append in between must wake us.
        let mut watched = watched(&partitions, &request);
        let mut found = look(&partitions, &request, look_again);
        while !is_enough(&partitions, &found, &request) {
            let changed = tokio::select! {
                // First, since progress may go on and on and never be enough.
                biased;
                () = &mut time_is_up => None,
                changed = changed(&mut watched.progress) => Some(changed),
            };
            let Some(changed) = changed else {
                match request.reader {
                    Reader::Follower(_) => metrics.follower_fetch_expires.increment(1),
                    Reader::Consumer | Reader::DebuggingConsumer => {
                        metrics.consumer_fetch_expires.increment(1);
                    }
                }
                return answer(look(&partitions, &request, look_again));
            };
            // A follower's fetch may wait for thousands of partitions, few of which move at a time.
            for place in changed.into_iter().filter_map(|at| watched.places.get(at)) {
                look_at_one(&partitions, &request, (*place, look_again), &mut found);
            }
        }
        answer(found)
    }))
}

fn is_enough(partitions: &Partitions, look: &Look, request: &FetchRequest) -> bool {
    let min_bytes = u64::try_from(request.min_bytes).unwrap_or(0);
    request.max_wait.is_zero()
        || look.seen().next().is_none()
        || look.seen().any(|seen| seen.settled)
        || look.seen().map(|seen| seen.bytes).sum::<u64>() >= min_bytes
        || look.seen().any(|seen| seen.cut) && is_there(partitions, request, min_bytes)
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

fn watched(partitions: &Partitions, request: &FetchRequest) -> Watched {
    let mut watched = Watched {
        places: Vec::new(),
        progress: Vec::new(),
    };
    for (at, (topic, fetches)) in request.topics.iter().enumerate() {
        for (place, fetch) in fetches.iter().enumerate() {
            let partition = topic
                .as_deref()
                .and_then(|topic| partitions.get(topic, fetch.partition));
            if let Some(partition) = partition {
                watched.places.push((at, place));
                watched.progress.push(partition.subscribe());
            }
        }
    }
    watched
}

fn look(partitions: &Partitions, request: &FetchRequest, looking: Looking) -> Look {
    let look_at = |(topic, fetches): &(Option<String>, Vec<PartitionFetch>)| {
        let seen = fetches
            .iter()
            .map(|fetch| look_at(partitions, topic.as_deref(), fetch, (request.reader, looking)));
        (topic.clone(), seen.collect())
    };
    Look {
        topics: request.topics.iter().map(look_at).collect(),
    }
}

/// Looks at one partition again.
fn look_at_one(
    partitions: &Partitions,
    request: &FetchRequest,
    ((at, place), looking): ((usize, usize), Looking),
    found: &mut Look,
) {
    let (Some((topic, fetches)), Some((_, seen))) = (request.topics.get(at), found.topics.get_mut(at)) else {
        return;
    };
    if let (Some(fetch), Some(seen)) = (fetches.get(place), seen.get_mut(place)) {
        *seen = look_at(partitions, topic.as_deref(), fetch, (request.reader, looking));
    }
}

fn look_at(
    partitions: &Partitions,
    topic: Option<&str>,
    fetch: &PartitionFetch,
    how: (Reader, Looking),
) -> Seen {
    match find(partitions, topic, fetch, how) {
        Ok((found, partition)) => {
            let bytes = found.messages.as_ref().map_or(0, |slice| slice.len);
            Seen {
                bytes,
                counts: (bytes > 0).then(|| Arc::clone(partition.metrics())),
                settled: found.ends_closed_segment && bytes > 0,
                cut: u64::try_from(fetch.max_bytes) == Ok(bytes),
                hangs_up: false,
                fetched: PartitionFetched {
                    partition: fetch.partition,
                    error: ErrorCode::None,
                    high_watermark: found.high_watermark,
                    messages: found.messages,
                },
            }
        }
        Err(refusal) => Seen {
            bytes: 0,
            counts: None,
            settled: true,
            cut: false,
            hangs_up: matches!(refusal, Refusal::OldConnection),
            fetched: PartitionFetched {
                partition: fetch.partition,
                error: match refusal {
                    Refusal::Error(error) => error,
                    Refusal::OldConnection => ErrorCode::NotLeaderForPartition,
                },
                high_watermark: NO_OFFSET,
                messages: None,
            },
        },
    }
}

fn find(
    partitions: &Partitions,
    topic: Option<&str>,
    fetch: &PartitionFetch,
    (reader, looking): (Reader, Looking),
) -> Result<(Found, Arc<Partition>), Refusal> {
    let missing = match reader {
        Reader::DebuggingConsumer => ErrorCode::ReplicaNotAvailable,
        Reader::Consumer | Reader::Follower(_) => ErrorCode::UnknownTopicOrPartition,
    };
    let partition = topic
        .and_then(|topic| partitions.get(topic, fetch.partition))
        .ok_or(Refusal::Error(missing))?;
    let found = partition.read(reader, fetch.offset, fetch.max_bytes);
    if looking.first {
        partition.metrics().fetch_requested();
    }
    if let Reader::Follower(id) = reader {
        // After reading: what was read may be of a leadership that the follower doesn't know of.
        let heard = if looking.first {
            let position = found.is_ok().then_some(fetch.offset);
            partition.record_fetch((id, looking.connection), position)
        } else {
            partition.hears(looking.connection)
        };
        match heard {
            Err(replication::Error::OldConnection) => return Err(Refusal::OldConnection),
            Err(error) if found.is_ok() => return Err(Refusal::Error(error_mapping::code_of(&error))),
            _ => {}
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
            Err(Refusal::Error(code))
        }
    }
}

fn answer(look: Look) -> Reply {
    if look.seen().any(|seen| seen.hangs_up) {
        return Reply::Close;
    }
    let topics = look.topics.into_iter().map(|(topic, seen)| {
        let fetched = seen.into_iter().map(|seen| {
            if let Some(counts) = seen.counts {
                counts.read(seen.bytes);
            }
            seen.fetched
        });
        (topic, fetched.collect())
    });
    let topics = topics.collect();
    Reply::Send(FetchResponse { topics }.into())
}
