//! Writing to one topic: messages are collected, and sent in one request per leader.
//!
//! At least once: a request whose answer got lost is sent again. Messages of one partition arrive in the order in
//! which they were given, since nothing is sent before what came earlier has been acknowledged.

mod batch;
mod partitioner;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use self::batch::Batches;
pub use self::partitioner::partition_of;
use crate::client::Cluster;
use crate::client::Error;
use crate::client::Retry;
use crate::client::Topic;
use crate::message::Codec;
use crate::message::set::ProducedSet;
use crate::protocol::ErrorCode;
use crate::protocol::produce::Acks;
use crate::protocol::produce::PartitionProduce;
use crate::protocol::produce::ProduceRequest;
use crate::protocol::produce::TopicProduce;
use crate::types::BrokerId;
use crate::types::TopicPartition;

/// How messages are sent.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who must have a message before it counts as sent.
    pub acks: Acks,
    /// How messages are compressed.
    pub codec: Codec,
    /// Messages that are collected before they are sent.
    pub batch_messages: usize,
    /// The same in bytes, before compression.
    pub batch_bytes: usize,
    /// How long the leader may wait for other replicas.
    pub ack_timeout: Duration,
    /// How often what failed is sent again.
    pub retry: Retry,
    /// How often is asked for a topic that has no leaders yet.
    pub topic_retry: Retry,
}

/// See the module.
#[derive(Debug)]
pub struct Producer {
    cluster: Arc<Cluster>,
    topic: Arc<str>,
    config: Config,
    batches: Batches,
    /// Counts requests, so that messages without key go to another partition in each.
    turn: usize,
}

/// What is still to be sent.
type Sets = BTreeMap<i32, ProducedSet>;

impl Producer {
    /// Prepares to write to a topic; waits until it has leaders.
    pub async fn open(cluster: Arc<Cluster>, topic: &str, config: Config) -> Result<Self, Error> {
        config
            .topic_retry
            .run(|| async { led(&cluster, topic).await })
            .await?;
        Ok(Self {
            cluster,
            topic: topic.into(),
            batches: Batches::new(config.codec),
            config,
            turn: 0,
        })
    }

    /// Takes a message. Sends all there are when they have become enough.
    pub async fn send(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), Error> {
        let topic = match self.cluster.known(&self.topic) {
            Some(topic) => topic,
            None => {
                self.config
                    .topic_retry
                    .run(|| async { led(&self.cluster, &self.topic).await })
                    .await?
            }
        };
        let partition = match key {
            Some(key) => partition_of(key, i32::try_from(topic.leaders.len()).unwrap_or(i32::MAX)),
            None => partition_in_turn(&topic, self.turn),
        };
        self.batches.add(partition, key, value);
        if self.batches.messages() >= self.config.batch_messages
            || self.batches.bytes() >= self.config.batch_bytes
        {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends what was collected, and waits for the acknowledgements.
    pub async fn flush(&mut self) -> Result<(), Error> {
        let mut sets = Sets::new();
        for (partition, set) in self.batches.take() {
            let set = set.map_err(|source| Error::Unsendable {
                partition: self.partition(partition),
                source,
            })?;
            sets.insert(partition, set);
        }
        self.turn = self.turn.wrapping_add(1);
        let mut left = self.config.retry.retries;
        while let Some(error) = self.attempt(&mut sets).await {
            if left == 0 || !error.is_retriable() {
                return Err(error);
            }
            debug!("sending again, at most {left} times: {error}");
            left -= 1;
            tokio::time::sleep(self.config.retry.backoff).await;
            // Should this fail, the next attempt does, too, and its error is the one to tell.
            let _ = self.cluster.refresh(&self.topic).await;
        }
        Ok(())
    }

    /// Sends everything. Without acknowledgements this waits until the brokers have read it.
    pub async fn close(mut self) -> Result<(), Error> {
        self.flush().await?;
        let topic = self
            .cluster
            .known(&self.topic)
            .filter(|_| self.config.acks == Acks::None);
        let mut leaders: Vec<BrokerId> = topic
            .iter()
            .flat_map(|topic| topic.leaders.values().flatten())
            .copied()
            .collect();
        leaders.sort_unstable();
        leaders.dedup();
        for leader in leaders {
            // Answers come in the order of requests: this one's says that all before it have been handled.
            let nothing = crate::protocol::metadata::MetadataRequest {
                topics: vec![Some(self.topic.to_string())],
            };
            self.cluster.broker(leader).await?.call(&nothing).await?;
        }
        Ok(())
    }

    /// Sends every set once and keeps those that could not be; the failure that says most about them, if any.
    async fn attempt(&self, sets: &mut Sets) -> Option<Error> {
        let mut worst = None;
        let mut by_leader: HashMap<BrokerId, Sets> = HashMap::new();
        let topic = self.cluster.known(&self.topic);
        for (partition, set) in std::mem::take(sets) {
            match topic
                .as_ref()
                .and_then(|topic| topic.leaders.get(&partition).copied().flatten())
            {
                Some(leader) => {
                    by_leader.entry(leader).or_default().insert(partition, set);
                }
                None => {
                    sets.insert(partition, set);
                    worst = Some(Error::NoLeader {
                        partition: self.partition(partition),
                    });
                }
            }
        }
        for (leader, mut theirs) in by_leader {
            if let Err(error) = self.send_to(leader, &mut theirs).await {
                worst = Some(match worst {
                    Some(known) if !known.is_retriable() => known,
                    _ => error,
                });
            }
            sets.append(&mut theirs);
        }
        worst
    }

    /// Sends sets to one broker and keeps those that it did not take.
    async fn send_to(&self, leader: BrokerId, sets: &mut Sets) -> Result<(), Error> {
        let broker = self.cluster.broker(leader).await?;
        let partitions = std::mem::take(sets).into_iter();
        let partitions = partitions
            .map(|(partition, set)| PartitionProduce { partition, set })
            .collect();
        let topic = Some(self.topic.to_string());
        let request = ProduceRequest {
            acks: self.config.acks,
            timeout: self.config.ack_timeout,
            topics: vec![TopicProduce { topic, partitions }],
        };
        let answered = match self.config.acks {
            Acks::None => broker.send(&request).await.map(|()| None),
            _ => broker.call(&request).await.map(Some),
        };
        let mut unsent = request.topics.into_iter().flat_map(|topic| topic.partitions);
        match answered {
            Ok(None) => Ok(()),
            Ok(Some(response)) => {
                let produced = response.topics.into_iter().flat_map(|(_, partitions)| partitions);
                let codes: HashMap<i32, ErrorCode> = produced.map(|one| (one.partition, one.error)).collect();
                let code = |partition| codes.get(&partition).copied().unwrap_or(ErrorCode::Unknown);
                let mut result = Ok(());
                for part in unsent.filter(|part| !code(part.partition).is_none()) {
                    let (partition, code) = (self.partition(part.partition), code(part.partition));
                    result = Err(Error::Refused { partition, code });
                    sets.insert(part.partition, part.set);
                }
                result
            }
            Err(error) => {
                sets.extend(unsent.by_ref().map(|part| (part.partition, part.set)));
                Err(error.into())
            }
        }
    }

    fn partition(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(Arc::clone(&self.topic), partition)
    }
}

/// A topic that can be written to: at least one of its partitions has a leader.
async fn led(cluster: &Cluster, topic: &str) -> Result<Arc<Topic>, Error> {
    let described = cluster.refresh(topic).await?;
    if described.led().next().is_none() {
        return Err(Error::Topic {
            topic: topic.to_owned(),
            code: ErrorCode::LeaderNotAvailable,
        });
    }
    Ok(described)
}

/// The partition for messages without key: one with a leader, another one every turn.
fn partition_in_turn(topic: &Topic, turn: usize) -> i32 {
    let led: Vec<i32> = topic.led().collect();
    let turn = turn.checked_rem(led.len()).unwrap_or(0);
    led.get(turn).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
