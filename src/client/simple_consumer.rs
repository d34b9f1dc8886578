//! Reading one topic, all its partitions, without a group: positions are this reader's own.
//!
//! One long poll per leader is under way at any time. Leaders that change, and brokers that restart, are followed for as
//! long as it takes. Always holds: of each partition, offsets are given out in rising order and none twice.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::debug;
use tracing::warn;

use crate::client::Cluster;
use crate::client::Error;
use crate::client::Retry;
use crate::message::wrapper::deep_entries;
use crate::protocol::ErrorCode;
use crate::protocol::fetch::FetchRequest;
use crate::protocol::fetch::FetchResponse;
use crate::protocol::fetch::PartitionFetch;
use crate::protocol::fetch::PartitionFetched;
use crate::protocol::fetch::Reader;
use crate::protocol::list_offsets::ListOffsetsRequest;
use crate::protocol::list_offsets::OffsetSpec;
use crate::protocol::list_offsets::PartitionOffsets;
use crate::types::BrokerId;
use crate::types::TopicPartition;

/// Limit of what one fetched set decompresses to.
const DECOMPRESSED_MAX: usize = 512 * 1024 * 1024;

/// How messages are read.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to start, and where to go on when a position no longer exists.
    pub start: OffsetSpec,
    /// How long a broker may wait for messages.
    pub max_wait: Duration,
    /// How much is fetched from a partition at a time; more for as long as a message needs it.
    pub fetch_bytes: i32,
    /// How much at most.
    pub fetch_bytes_max: i32,
    /// How long an answer may take beyond `max_wait`.
    pub request_timeout: Duration,
    /// Age at which is asked again who leads what, and which partitions there are.
    pub metadata_age_max: Duration,
    /// How often is asked at the start; its pause is also that between attempts later.
    pub retry: Retry,
}

/// A message that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key, if there is one.
    pub key: Option<Bytes>,
    /// Its value; none deletes the key in compacted topics.
    pub value: Option<Bytes>,
}

/// See the module.
#[derive(Debug)]
pub struct SimpleConsumer {
    cluster: Arc<Cluster>,
    topic: Arc<str>,
    config: Config,
    positions: BTreeMap<i32, Position>,
    fetches: JoinSet<(BrokerId, Result<FetchResponse<Bytes>, Error>)>,
    /// Brokers with a fetch under way.
    asked: HashSet<BrokerId>,
    /// When to ask who leads what.
    refresh_at: Instant,
    /// Whether the last attempt at anything failed, so that an outage is logged once.
    failing: bool,
}

#[derive(Debug, Clone, Copy)]
struct Position {
    next: i64,
    fetch_bytes: i32,
    /// The position is to be looked up again.
    lost: bool,
}

impl SimpleConsumer {
    /// Prepares to read a topic; waits until it has partitions, and finds where to start in each.
    pub async fn open(cluster: Arc<Cluster>, topic: &str, config: Config) -> Result<Self, Error> {
        let described = config.retry.run(|| cluster.refresh(topic)).await?;
        let mut consumer = Self {
            refresh_at: Instant::now() + config.metadata_age_max,
            cluster,
            topic: topic.into(),
            config,
            positions: BTreeMap::new(),
            fetches: JoinSet::new(),
            asked: HashSet::new(),
            failing: false,
        };
        for partition in described.leaders.keys().copied() {
            let next = consumer.look_up(partition, consumer.config.start).await?;
            consumer.begin(partition, next);
        }
        Ok(consumer)
    }

    /// Waits for messages. May be dropped at any time: nothing is lost by it.
    pub async fn poll(&mut self) -> Result<Vec<Record>, Error> {
        loop {
            if Instant::now() >= self.refresh_at {
                self.refresh().await?;
            }
            self.start_fetches();
            let Some(done) = self.fetches.join_next().await else {
                self.failed("no partition has a leader").await;
                continue;
            };
            let Ok((leader, result)) = done else {
                // A fetch that panicked does not say whose it was.
                self.fetches.abort_all();
                self.asked.clear();
                continue;
            };
            self.asked.remove(&leader);
            match result {
                Ok(response) => {
                    let records = self.take(response)?;
                    if !records.is_empty() {
                        return Ok(records);
                    }
                    if Instant::now() >= self.refresh_at {
                        // Something was refused; who leads is not settled at once.
                        tokio::time::sleep(self.config.retry.backoff).await;
                    }
                }
                Err(error) if error.is_retriable() => self.failed(&error.to_string()).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks who leads what, takes up new partitions, and finds lost positions again.
    async fn refresh(&mut self) -> Result<(), Error> {
        let described = match self.cluster.refresh(&self.topic).await {
            Ok(described) => described,
            Err(error) if error.is_retriable() => {
                self.failed(&error.to_string()).await;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.failing = false;
        self.refresh_at = Instant::now() + self.config.metadata_age_max;
        for partition in described.leaders.keys().copied() {
            let from = match self.positions.get(&partition) {
                Some(Position { lost: false, .. }) => continue,
                Some(_) => self.config.start,
                // It was added while we were reading: all of it is new.
                None => OffsetSpec::Earliest,
            };
            match self.look_up_once(partition, from).await {
                Ok(next) => self.begin(partition, next),
                Err(error) if error.is_retriable() => {
                    self.failed(&error.to_string()).await;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Notes a failure that passes, and pauses.
    async fn failed(&mut self, why: &str) {
        if !self.failing {
            warn!("{}: {why}; trying on", self.topic);
        }
        self.failing = true;
        self.refresh_at = Instant::now();
        tokio::time::sleep(self.config.retry.backoff).await;
    }

    fn begin(&mut self, partition: i32, next: i64) {
        let fetch_bytes = self.config.fetch_bytes;
        self.positions.insert(
            partition,
            Position {
                next,
                fetch_bytes,
                lost: false,
            },
        );
    }

    /// Sends a fetch to every leader that has none to answer.
    fn start_fetches(&mut self) {
        let Some(topic) = self.cluster.known(&self.topic) else {
            return;
        };
        let mut by_leader: BTreeMap<BrokerId, Vec<PartitionFetch>> = BTreeMap::new();
        for (partition, position) in self.positions.iter().filter(|(_, position)| !position.lost) {
            let leader = topic.leaders.get(partition).copied().flatten();
            if let Some(leader) = leader.filter(|leader| !self.asked.contains(leader)) {
                by_leader.entry(leader).or_default().push(PartitionFetch {
                    partition: *partition,
                    offset: position.next,
                    max_bytes: position.fetch_bytes,
                });
            }
        }
        for (leader, partitions) in by_leader {
            let request = FetchRequest {
                reader: Reader::Consumer,
                max_wait: self.config.max_wait,
                min_bytes: 1,
                topics: vec![(Some(self.topic.to_string()), partitions)],
            };
            let cluster = Arc::clone(&self.cluster);
            let within = self.config.max_wait + self.config.request_timeout;
            self.asked.insert(leader);
            self.fetches
                .spawn(async move { (leader, fetch(&cluster, leader, &request, within).await) });
        }
    }

    /// Takes the messages out of an answer and moves the positions.
    fn take(&mut self, response: FetchResponse<Bytes>) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        let mut all_went_well = true;
        for fetched in response.topics.into_iter().flat_map(|(_, partitions)| partitions) {
            match fetched.error {
                ErrorCode::None => self.read(&fetched, &mut records)?,
                code => {
                    all_went_well = false;
                    self.refused(fetched.partition, code)?;
                }
            }
        }
        if all_went_well {
            self.failing = false;
        }
        Ok(records)
    }

    fn refused(&mut self, partition: i32, code: ErrorCode) -> Result<(), Error> {
        let error = Error::Refused {
            partition: self.partition(partition),
            code,
        };
        let position = self.positions.get_mut(&partition);
        match (code, position) {
            (ErrorCode::OffsetOutOfRange, Some(position)) => {
                warn!(
                    "{}-{partition}: offset {} is gone, looking for another one",
                    self.topic, position.next
                );
                position.lost = true;
            }
            _ if error.is_retriable() => debug!("{error}"),
            _ => return Err(error),
        }
        self.refresh_at = Instant::now();
        Ok(())
    }

    fn read(&mut self, fetched: &PartitionFetched<Bytes>, records: &mut Vec<Record>) -> Result<(), Error> {
        let partition = self.partition(fetched.partition);
        let (Some(position), Some(bytes)) = (self.positions.get_mut(&fetched.partition), &fetched.messages)
        else {
            return Ok(());
        };
        let offset = position.next;
        let messages = deep_entries(bytes, DECOMPRESSED_MAX).map_err(|source| Error::Corrupt {
            partition: partition.clone(),
            offset,
            source,
        })?;
        if messages.is_empty() {
            // Not one whole message: it is larger than what was asked for.
            let limit = self.config.fetch_bytes_max;
            if position.fetch_bytes >= limit {
                return Err(Error::TooLarge {
                    partition,
                    offset,
                    limit,
                });
            }
            position.fetch_bytes = position.fetch_bytes.saturating_mul(2).min(limit);
            return Ok(());
        }
        // A compressed message may begin before the position, and so may an answer that was overtaken.
        for (offset, message) in messages.into_iter().filter(|(found, _)| *found >= offset) {
            position.next = offset.saturating_add(1);
            position.fetch_bytes = self.config.fetch_bytes;
            records.push(Record {
                partition: fetched.partition,
                offset,
                key: message.key,
                value: message.value,
            });
        }
        Ok(())
    }

    /// An offset of a partition, with patience.
    async fn look_up(&self, partition: i32, at: OffsetSpec) -> Result<i64, Error> {
        let mut first = true;
        self.config
            .retry
            .run(|| {
                let again = !std::mem::take(&mut first);
                async move {
                    if again {
                        self.cluster.refresh(&self.topic).await?;
                    }
                    self.look_up_once(partition, at).await
                }
            })
            .await
    }

    async fn look_up_once(&self, partition: i32, at: OffsetSpec) -> Result<i64, Error> {
        let asked = PartitionOffsets {
            partition,
            at,
            max_offsets: 1,
        };
        let request = ListOffsetsRequest {
            reader: Reader::Consumer,
            topics: vec![(Some(self.topic.to_string()), vec![asked])],
        };
        let partition = self.partition(partition);
        let response = self.cluster.leader(&partition).await?.call(&request).await?;
        let found = response
            .topics
            .into_iter()
            .flat_map(|(_, partitions)| partitions)
            .next();
        let code = found.as_ref().map_or(ErrorCode::Unknown, |found| found.error);
        let offset = found
            .filter(|_| code.is_none())
            .and_then(|found| found.offsets.first().copied());
        offset.ok_or(Error::Refused { partition, code })
    }

    fn partition(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(Arc::clone(&self.topic), partition)
    }
}

async fn fetch(
    cluster: &Cluster,
    leader: BrokerId,
    request: &FetchRequest,
    within: Duration,
) -> Result<FetchResponse<Bytes>, Error> {
    Ok(cluster.broker(leader).await?.call_within(request, within).await?)
}

#[cfg(test)]
mod tests;
