//! Fetch — key 1, version 0.
//!
//! - Answers at once if there is enough to read, if any partition has an error, or if nothing was asked for. What there
//!   is to read counts, not what the request's sizes let through.
//! - Otherwise waits for the progress of any partition, and reads those again that moved; at the deadline it answers what
//!   is there.
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

/// Why nothing is read from a partition.
enum Refusal {
    Error(ErrorCode),
    /// The follower has to connect anew.
    OldConnection,
}

/// What was read from one partition.
struct PartitionRead {
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

/// What was read from all partitions, in the order of the request.
struct FetchRead {
    topics: Vec<(Option<String>, Vec<PartitionRead>)>,
}

impl FetchRead {
    fn partitions(&self) -> impl Iterator<Item = &PartitionRead> {
        self.topics.iter().flat_map(|(_, partitions)| partitions)
    }

    fn into_reply(self) -> Reply {
        if self.partitions().any(|read| read.hangs_up) {
            return Reply::Close;
        }
        let topics = self.topics.into_iter().map(|(topic, partitions)| {
            let fetched = partitions.into_iter().map(|read| {
                if let Some(counts) = read.counts {
                    counts.read(read.bytes);
                }
                read.fetched
            });
            (topic, fetched.collect())
        });
        let topics = topics.collect();
        Reply::Send(FetchResponse { topics }.into())
    }
}

/// Where a partition is in the request: of which topic, and which of its partitions.
type Place = (usize, usize);

/// The partitions that a fetch waits for: where they are in the request, and how far they come.
struct Watched {
    places: Vec<Place>,
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
    let mut fetch = Fetch {
        partitions: Arc::clone(partitions),
        request,
        connection,
        is_first_read: true,
    };
    let read = fetch.read();
    if fetch.is_enough(&read) {
        return read.into_reply();
    }
    fetch.is_first_read = false;
    let metrics = metrics.clone();
    Reply::Later(Box::pin(async move { fetch.wait(&metrics).await.into_reply() }))
}

/// One request.
struct Fetch {
    partitions: Arc<Partitions>,
    request: FetchRequest,
    /// The connection that asks.
    connection: u64,
    /// A request counts once, and a follower's is noted once.
    is_first_read: bool,
}

impl Fetch {
    /// Reads again whenever a partition moves, until there is enough or the time is up.
    async fn wait(&self, metrics: &ReplicationMetrics) -> FetchRead {
        let _waiting = metrics.waiting_fetches.enter();
        let mut time_is_up = pin!(sleep(self.request.max_wait));
        // Before reading: an append in between must wake us.
        let mut watched = self.watch();
        let mut read = self.read();
        while !self.is_enough(&read) {
            let changed = tokio::select! {
                // First, since progress may go on and on and never be enough.
                biased;
                () = &mut time_is_up => None,
                changed = changed(&mut watched.progress) => Some(changed),
            };
            let Some(changed) = changed else {
                match self.request.reader {
                    Reader::Follower(_) => metrics.follower_fetch_expires.increment(1),
                    Reader::Consumer | Reader::DebuggingConsumer => {
                        metrics.consumer_fetch_expires.increment(1);
                    }
                }
                return self.read();
            };
            // A follower's fetch may wait for thousands of partitions, few of which move at a time.
            for place in changed.into_iter().filter_map(|at| watched.places.get(at)) {
                self.read_again(*place, &mut read);
            }
        }
        read
    }

    fn is_enough(&self, read: &FetchRead) -> bool {
        let min_bytes = u64::try_from(self.request.min_bytes).unwrap_or(0);
        self.request.max_wait.is_zero()
            || read.partitions().next().is_none()
            || read.partitions().any(|read| read.settled)
            || read.partitions().map(|read| read.bytes).sum::<u64>() >= min_bytes
            || read.partitions().any(|read| read.cut) && self.is_there(min_bytes)
    }

    /// Whether so many bytes are there, however few of them the request takes, or a closed segment's end is.
    fn is_there(&self, min_bytes: u64) -> bool {
        let mut there = 0;
        self.request.topics.iter().any(|(topic, fetches)| {
            fetches.iter().any(|fetch| {
                let found = self
                    .partition(topic.as_deref(), fetch)
                    .and_then(|partition| partition.read(self.request.reader, fetch.offset, i32::MAX).ok());
                let closed = found.as_ref().is_some_and(|found| found.ends_closed_segment);
                there += found
                    .and_then(|found| found.messages)
                    .map_or(0, |slice| slice.len);
                closed || there >= min_bytes
            })
        })
    }

    fn watch(&self) -> Watched {
        let mut watched = Watched {
            places: Vec::new(),
            progress: Vec::new(),
        };
        for (at, (topic, fetches)) in self.request.topics.iter().enumerate() {
            for (place, fetch) in fetches.iter().enumerate() {
                if let Some(partition) = self.partition(topic.as_deref(), fetch) {
                    watched.places.push((at, place));
                    watched.progress.push(partition.subscribe());
                }
            }
        }
        watched
    }

    fn partition(&self, topic: Option<&str>, fetch: &PartitionFetch) -> Option<Arc<Partition>> {
        self.partitions.get(topic?, fetch.partition)
    }

    fn read(&self) -> FetchRead {
        let read_topic = |(topic, fetches): &(Option<String>, Vec<PartitionFetch>)| {
            let partitions = fetches
                .iter()
                .map(|fetch| self.read_partition(topic.as_deref(), fetch));
            (topic.clone(), partitions.collect())
        };
        FetchRead {
            topics: self.request.topics.iter().map(read_topic).collect(),
        }
    }

    fn read_again(&self, (at, place): Place, read: &mut FetchRead) {
        let (Some((topic, fetches)), Some((_, partitions))) =
            (self.request.topics.get(at), read.topics.get_mut(at))
        else {
            return;
        };
        if let (Some(fetch), Some(read)) = (fetches.get(place), partitions.get_mut(place)) {
            *read = self.read_partition(topic.as_deref(), fetch);
        }
    }

    fn read_partition(&self, topic: Option<&str>, fetch: &PartitionFetch) -> PartitionRead {
        match self.find(topic, fetch) {
            Ok((found, partition)) => {
                let bytes = found.messages.as_ref().map_or(0, |slice| slice.len);
                PartitionRead {
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
            Err(refusal) => PartitionRead {
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

    fn find(&self, topic: Option<&str>, fetch: &PartitionFetch) -> Result<(Found, Arc<Partition>), Refusal> {
        let reader = self.request.reader;
        let missing = match reader {
            Reader::DebuggingConsumer => ErrorCode::ReplicaNotAvailable,
            Reader::Consumer | Reader::Follower(_) => ErrorCode::UnknownTopicOrPartition,
        };
        let partition = self.partition(topic, fetch).ok_or(Refusal::Error(missing))?;
        let found = partition.read(reader, fetch.offset, fetch.max_bytes);
        if self.is_first_read {
            partition.metrics().fetch_requested();
        }
        if let Reader::Follower(id) = reader {
            // After reading: what was read may be of a leadership that the follower doesn't know of.
            let heard = if self.is_first_read {
                let position = found.is_ok().then_some(fetch.offset);
                partition.record_fetch((id, self.connection), position)
            } else {
                partition.hears(self.connection)
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
}
