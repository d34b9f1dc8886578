//! One task that copies partitions from one leader: fetch, append, repeat.
//!
//! All its partitions are in one request. One that fails is left out for a while, and never holds up the others: 0.8.2.2
//! asks again at once, or ends the thread for all of them (KAFKA-1461, KAFKA-4384). What an answer says is only taken if
//! the partition still follows as it did when it was asked, so that nobody who changes roles has to wait for a fetch.

mod copies;
mod orders;
mod range;

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio::time::sleep_until;
use tokio::time::timeout;

use self::copies::Copied;
use self::copies::Copies;
use self::copies::Failure;
use self::copies::PAUSE_MIN;
use self::copies::Pause;
use self::copies::next_due;
pub(crate) use self::orders::Followed;
pub(crate) use self::orders::Order;
use crate::blocking;
use crate::log;
use crate::log::Logs;
use crate::metrics::ReplicationMetrics;
use crate::net::CallError;
use crate::net::Caller;
use crate::protocol::ErrorCode;
use crate::protocol::fetch::FetchRequest;
use crate::protocol::fetch::FetchResponse;
use crate::protocol::fetch::PartitionFetch;
use crate::protocol::fetch::PartitionFetched;
use crate::protocol::fetch::Reader;
use crate::replication::config::Config;
use crate::replication::error::Error;
use crate::replication::partition::Taken;
use crate::shutdown::Shutdown;
use crate::types::BrokerId;
use crate::types::Endpoint;
use crate::types::TopicPartition;

/// Orders that follow each other within this time are taken together,
const SETTLE: Duration = Duration::from_millis(5);
/// but not so many that the first waits longer than this.
const SETTLE_MAX: Duration = Duration::from_millis(50);
/// How long orders wait for the rest of an answer that has begun to arrive.
const REST_MAX: Duration = Duration::from_secs(1);
/// Bytes of one answer that are asked for at most, as long as that leaves each partition a little; and as many again for
/// messages that don't fit into that.
const ANSWER_BYTES: usize = 128 << 20;
/// The least that a partition is asked for.
const PARTITION_BYTES_MIN: usize = 4 << 10;

/// What a fetcher works with.
#[derive(Debug)]
pub(crate) struct Fetcher {
    pub(crate) me: BrokerId,
    pub(crate) leader: Endpoint,
    pub(crate) number: usize,
    pub(crate) config: Arc<Config>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) followed: Arc<Followed>,
    pub(crate) metrics: ReplicationMetrics,
    pub(crate) shutdown: Shutdown,
}

impl Fetcher {
    /// Copies until shutdown.
    pub(crate) async fn run(self) {
        let mut shutdown = self.shutdown.clone();
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.copy() => {}
        }
    }

    async fn copy(&self) {
        let mut changes = self.followed.changes.subscribe();
        let mut copies = Copies::new();
        let mut connection = None;
        let mut pause = Pause::NONE;
        // Waiting for a change may be given up after it was seen: what counts is which one was taken last.
        let mut taken = None;
        loop {
            let latest = Some(*changes.borrow_and_update());
            if taken != latest {
                taken = latest;
                self.take_orders(&mut copies);
            }
            if connection.as_ref().is_none_or(Caller::is_closed) {
                connection = None;
                // What the leader was meanwhile, and whether it has kept what was copied from it, is not known.
                copies
                    .values()
                    .flat_map(BTreeMap::values)
                    .for_each(Copied::compare_again);
            }
            let now = Instant::now();
            let Some(request) = self.request(&mut copies, now) else {
                // Nobody is to wait for a connection that is not used.
                connection = connection.filter(|_| !copies.is_empty());
                wait(next_due(&copies), &mut changes).await;
                continue;
            };
            match self.fetch(&mut connection, &request, &mut changes).await {
                Some(Ok(response)) => {
                    pause = Pause::NONE;
                    self.followed.rate.count(std::time::Instant::now());
                    self.metrics.fetcher_requests.increment(1);
                    self.take(&mut copies, response, connection.as_ref()).await;
                }
                Some(Err(error)) => {
                    self.metrics.fetcher_failures.increment(1);
                    if pause == Pause::NONE {
                        tracing::warn!("fetching from broker {}: {error}; trying again", self.leader.id);
                    }
                    wait(Some(Instant::now() + pause.next()), &mut changes).await;
                }
                None => {}
            }
        }
    }

    /// None if orders come before the answer, which may take long, and their partitions are not in it. The connection is
    /// kept only with an answer: what is on its way is not to be taken for that of another request.
    async fn fetch(
        &self,
        connection: &mut Option<Caller>,
        request: &FetchRequest,
        changes: &mut watch::Receiver<u64>,
    ) -> Option<Result<FetchResponse<Bytes>, CallError>> {
        let id = format!("ReplicaFetcherThread-{}-{}", self.number, self.leader.id);
        let caller = match connection.take() {
            // One that is closed by now fails: a new one is not to be asked for what follows on what the old one sent.
            Some(caller) => caller,
            None => tokio::select! {
                connected = Caller::connect(&self.leader, self.config.socket_timeout, Some(&id)) => match connected {
                    Ok(caller) => caller,
                    Err(error) => return Some(Err(error)),
                },
                () = settled(changes) => return None,
            },
        };
        let answer = {
            let mut call = pin!(caller.call(request));
            tokio::select! {
                answer = &mut call => answer,
                () = settled(changes) => {
                    // Not for nothing, lest a follower that is told something all the time never gets a large answer.
                    let rest = if caller.is_receiving() { REST_MAX } else { Duration::ZERO };
                    timeout(rest, call).await.ok()?
                }
            }
        };
        if answer.is_ok() {
            *connection = Some(caller);
        }
        Some(answer)
    }

    /// Brings the partitions in line with the orders.
    fn take_orders(&self, copies: &mut Copies) {
        let orders = self.followed.orders();
        copies.retain(|topic, partitions| {
            partitions.retain(|number, copied| {
                let name = TopicPartition {
                    topic: Arc::clone(topic),
                    partition: *number,
                };
                orders
                    .get(&name)
                    .is_some_and(|order| order.since == copied.order.since)
            });
            !partitions.is_empty()
        });
        for (name, order) in orders.iter() {
            let partitions = copies.entry(Arc::clone(&name.topic)).or_default();
            partitions.entry(name.partition).or_insert_with(|| Copied {
                order: order.clone(),
                asked: None,
                bytes_asked: 0,
                bytes_needed: 0,
                failure: None,
                rests_until: None,
                pause: Pause::NONE,
            });
        }
    }

    /// Asks for every partition that doesn't rest; none if there is none.
    fn request(&self, copies: &mut Copies, now: Instant) -> Option<FetchRequest> {
        let count: usize = copies.values().map(BTreeMap::len).sum();
        let most = usize::try_from(self.config.fetch_max_bytes).unwrap_or(0);
        let share = (ANSWER_BYTES / count.max(1)).max(PARTITION_BYTES_MIN).min(most);
        let mut extra = self.message_bytes_max();
        let mut topics = Vec::with_capacity(copies.len());
        for (topic, partitions) in copies.iter_mut() {
            let mut fetches = Vec::with_capacity(partitions.len());
            for (number, copied) in partitions.iter_mut() {
                copied.asked = None;
                if copied.rests_until.is_some_and(|until| until > now) {
                    continue;
                }
                copied.rests_until = None;
                if copied.bytes_needed > share {
                    let Some(left) = extra.checked_sub(copied.bytes_needed) else {
                        // It has its turn when the others of its kind are here.
                        continue;
                    };
                    extra = left;
                }
                copied.bytes_asked = share.max(copied.bytes_needed);
                copied.asked = copied.order.partition.next_fetch(copied.order.since);
                fetches.extend(copied.asked.map(|offset| PartitionFetch {
                    partition: *number,
                    offset,
                    max_bytes: i32::try_from(copied.bytes_asked).unwrap_or(i32::MAX),
                }));
            }
            if !fetches.is_empty() {
                topics.push((Some(topic.to_string()), fetches));
            }
        }
        let until_due = next_due(copies).map(|due| due.saturating_duration_since(now));
        (!topics.is_empty()).then(|| FetchRequest {
            reader: Reader::Follower(self.me),
            max_wait: until_due
                .map_or(Duration::MAX, |due| due.max(PAUSE_MIN))
                .min(self.config.fetch_wait_max),
            min_bytes: self.config.fetch_min_bytes,
            topics,
        })
    }

    /// The largest message that is fetched: the settings may allow more than usually fits into an answer.
    fn message_bytes_max(&self) -> usize {
        ANSWER_BYTES.max(usize::try_from(self.config.fetch_max_bytes).unwrap_or(0))
    }

    /// Takes what was answered for each partition.
    async fn take(&self, copies: &mut Copies, response: FetchResponse<Bytes>, caller: Option<&Caller>) {
        let mut out_of_range = Vec::new();
        // Where nothing comes the leader's log ends, and what is here beyond is cut off.
        let cuts = copies.values().flat_map(BTreeMap::values).any(|copied| {
            let Order { partition, since } = &copied.order;
            copied.asked.is_some() && partition.compares(*since)
        });
        let mut take = || {
            for (topic, partitions) in &response.topics {
                let copies = topic.as_deref().and_then(|topic| copies.get_mut(topic));
                let Some(copies) = copies else { continue };
                for fetched in partitions {
                    let copied = copies.get_mut(&fetched.partition);
                    let Some(copied) = copied.filter(|copied| copied.asked.is_some()) else {
                        continue;
                    };
                    if fetched.error == ErrorCode::OffsetOutOfRange {
                        out_of_range.push(copied.order.partition.topic_partition().clone());
                    } else {
                        self.take_one(copied, fetched);
                    }
                }
            }
        };
        let anything = response
            .topics
            .iter()
            .flat_map(|(_, partitions)| partitions)
            .any(|fetched| fetched.messages.is_some());
        if anything || cuts {
            blocking::in_place(take);
        } else {
            take();
        }
        if let Some(caller) = caller.filter(|_| !out_of_range.is_empty()) {
            self.look_for_range(copies, &out_of_range, caller).await;
        }
    }

    fn take_one(&self, copied: &mut Copied, fetched: &PartitionFetched<Bytes>) {
        let (Order { partition, since }, Some(asked)) = (&copied.order, copied.asked) else {
            return;
        };
        let name = partition.topic_partition();
        if fetched.error != ErrorCode::None {
            self.metrics.fetcher_failures.increment(1);
            let pause = copied.pause.next();
            tracing::debug!(
                "{name}: fetch from broker {}: {:?}",
                self.leader.id,
                fetched.error
            );
            copied.rests_until = Some(Instant::now() + pause);
            // Whoever leads next, this broker again perhaps, may have something else.
            copied.compare_again();
            return;
        }
        let bytes = fetched.messages.as_ref().map_or(0, Bytes::len);
        match partition.take_fetched(*since, asked, fetched, &self.logs) {
            Ok(Taken::All) => {
                // What comes before a failure is compared again and again, and no progress.
                let next = partition.next_fetch(*since);
                if copied.failure.is_none_or(|failure| next > Some(failure.offset)) {
                    copied.failure = None;
                    copied.pause = Pause::NONE;
                }
                copied.bytes_needed = 0;
                self.metrics
                    .fetcher_bytes
                    .increment(u64::try_from(bytes).unwrap_or(0));
            }
            Ok(Taken::TooLarge(needed)) => {
                tracing::debug!("{name}: the next message takes {needed} bytes");
                let failure = Failure {
                    offset: asked,
                    bytes: needed,
                };
                // A damaged size must not have all that follows sent again and again.
                let at_end = bytes < copied.bytes_asked;
                if at_end || needed > self.message_bytes_max() || copied.failure == Some(failure) {
                    self.failed(copied, Error::Incomplete { needed, bytes });
                    copied.failure = Some(failure);
                } else {
                    copied.bytes_needed = needed;
                }
            }
            Ok(Taken::Outdated) => {}
            Err(error) => self.failed(copied, error),
        }
    }

    fn failed(&self, copied: &mut Copied, error: Error) {
        let name = copied.order.partition.topic_partition();
        match error {
            // It is being deleted, or the broker stops.
            Error::Log(log::Error::Closed(_)) => {}
            Error::Log(log::Error::Io { .. }) => {
                tracing::error!("{name}: append: {error}");
                self.shutdown.fail(error);
            }
            error => {
                self.metrics.fetcher_failures.increment(1);
                tracing::error!("{name}: what broker {} sent: {error}", self.leader.id);
                copied.compare_again();
            }
        }
        copied.bytes_needed = 0;
        copied.failure = copied.asked.map(|offset| Failure { offset, bytes: 0 });
        copied.rests_until = Some(Instant::now() + copied.pause.next());
    }
}

/// Waits until then, or for an order.
async fn wait(until: Option<Instant>, changes: &mut watch::Receiver<u64>) {
    let time_is_up = async {
        match until {
            Some(until) => sleep_until(until).await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = time_is_up => {}
        changed = changes.changed() => if changed.is_err() {
            // Whoever gave the orders is gone, and ends this task.
            pending::<()>().await;
        },
    }
}

/// Waits for an order, and then until no more come.
async fn settled(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        pending::<()>().await;
    }
    let more = async {
        while timeout(SETTLE, changes.changed())
            .await
            .is_ok_and(|changed| changed.is_ok())
        {}
    };
    // Either way they are taken now.
    let _ = timeout(SETTLE_MAX, more).await;
}

#[cfg(test)]
mod tests;
