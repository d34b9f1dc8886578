//! Committed offsets of groups, kept in `__consumer_offsets` and in memory.
//!
//! A group's positions live on the leader of one partition of that topic. They are read from its log when this broker
//! becomes leader, and forgotten when it no longer is. A commit is an append like any other; memory follows after it is
//! acknowledged.

mod cache;
mod load;
pub mod records;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::timeout;

use crate::broker::offsets::cache::Committed;
use crate::broker::offsets::cache::Slot;
pub(crate) use crate::broker::offsets::records::Key;
use crate::broker::offsets::records::Value;
use crate::log::Times;
use crate::message::Codec;
use crate::message::set::ProducedSet;
use crate::message::set::SetBuilder;
use crate::protocol::produce::Acks;
use crate::replication;
use crate::replication::Partition;
use crate::replication::Partitions;
use crate::types::OFFSETS_TOPIC;
use crate::types::java_abs;
use crate::types::java_hash;
use crate::types::now_millis;

/// How offsets are kept.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Partitions that groups are hashed over: the configured number, which all brokers must agree on, not the topic's.
    pub(crate) partitions: i32,
    /// Longest metadata, in UTF-16 code units.
    pub(crate) metadata_max_chars: usize,
    /// Replicas that must have a commit.
    pub(crate) acks: Acks,
    /// How long to wait for them.
    pub(crate) timeout: Duration,
    /// How commits are compressed.
    pub(crate) codec: Codec,
    /// How long a position is kept after its commit.
    pub(crate) retention: Duration,
    /// Most bytes that one compressed record may unfold to.
    pub(crate) max_decompressed_bytes: usize,
}

/// Why a commit or a fetch of positions failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// This broker keeps no replica of the group's partition.
    #[error("the group's offsets partition is not known here")]
    CoordinatorNotAvailable,
    /// Another broker leads the group's partition.
    #[error("another broker is the group's coordinator")]
    NotCoordinator,
    /// The log is still being read.
    #[error("the group's offsets are still loading")]
    Loading,
    /// Not enough replicas had it in time.
    #[error("not acknowledged in time")]
    TimedOut,
    /// The metadata is too long.
    #[error("metadata of {0} characters")]
    MetadataTooLong(usize),
    /// A name is too long to be written.
    #[error("name too long")]
    NameTooLong,
    /// The set could not be made, or the append failed.
    #[error(transparent)]
    Append(#[from] replication::Error),
}

/// One position that a consumer commits.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    /// The topic.
    pub(crate) topic: String,
    /// The partition.
    pub(crate) partition: i32,
    /// Next offset to consume.
    pub(crate) offset: i64,
    /// Kept with it.
    pub(crate) metadata: Option<String>,
    /// When; none is now.
    pub(crate) timestamp: Option<i64>,
}

/// A position as a consumer gets it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    /// Next offset to consume.
    pub(crate) offset: i64,
    /// Kept with it.
    pub(crate) metadata: Option<String>,
}

/// The committed offsets that this broker coordinates.
#[derive(Debug)]
pub(crate) struct Offsets {
    config: Config,
    partitions: Arc<Partitions>,
    slots: Mutex<HashMap<i32, Slot>>,
}

impl Offsets {
    /// Nothing is led yet.
    pub(crate) fn new(config: Config, partitions: Arc<Partitions>) -> Self {
        Self {
            config,
            partitions,
            slots: Mutex::new(HashMap::new()),
        }
    }

    /// The partition of the offsets topic that keeps a group's positions.
    pub(crate) fn partition_of(&self, group: &str) -> i32 {
        java_abs(java_hash(group)) % self.config.partitions
    }

    /// Whether a commit's metadata is short enough, counted as Java counts.
    fn check_metadata(&self, metadata: Option<&str>) -> Result<(), Error> {
        let chars = metadata.map_or(0, |metadata| metadata.encode_utf16().count());
        if chars > self.config.metadata_max_chars {
            Err(Error::MetadataTooLong(chars))
        } else {
            Ok(())
        }
    }

    /// Whether a v0 commit's metadata, which is then thrown away, is short enough.
    pub(crate) fn accepts_metadata(&self, metadata: Option<&str>) -> bool {
        self.check_metadata(metadata).is_ok()
    }

    /// Commits all positions whose metadata is short enough with one append, and answers for each in turn.
    pub(crate) async fn commit(&self, group: &str, commits: Vec<Commit>) -> Vec<Result<(), Arc<Error>>> {
        let now = now_millis();
        let checked: Vec<_> = commits
            .iter()
            .map(|commit| self.check_metadata(commit.metadata.as_deref()).map_err(Arc::new))
            .collect();
        let accepted = commits
            .into_iter()
            .zip(&checked)
            .filter(|(_, checked)| checked.is_ok())
            .map(|(commit, _)| commit);
        let records: Vec<_> = accepted.map(|commit| record(group, commit, now)).collect();
        let result = if records.is_empty() {
            Ok(())
        } else {
            self.append(group, records).await.map_err(Arc::new)
        };
        checked
            .into_iter()
            .map(|checked| checked.and(result.clone()))
            .collect()
    }

    async fn append(&self, group: &str, records: Vec<(Key, Committed)>) -> Result<(), Error> {
        let number = self.partition_of(group);
        let partition = self
            .partitions
            .get(OFFSETS_TOPIC, number)
            .ok_or(Error::CoordinatorNotAvailable)?;
        let mut set = SetBuilder::new(self.config.codec);
        for (key, committed) in &records {
            let value = Value {
                offset: committed.offset,
                metadata: committed.metadata.clone().unwrap_or_default(),
                timestamp: committed.timestamp,
            };
            let key = key.encode().map_err(|_too_long| Error::NameTooLong)?;
            let value = value.encode().map_err(|_too_long| Error::NameTooLong)?;
            set.push(Some(&key), Some(&value));
        }
        let base_offset = self
            .append_acknowledged(&partition, set, self.config.acks)
            .await?;
        if let Some(slot) = self.slots().get_mut(&number) {
            for ((key, mut committed), log_offset) in records.into_iter().zip(base_offset..) {
                committed.log_offset = log_offset;
                slot.put(key, committed);
            }
        }
        Ok(())
    }

    async fn append_acknowledged(
        &self,
        partition: &Arc<Partition>,
        set: SetBuilder,
        acks: Acks,
    ) -> Result<i64, Error> {
        let bytes = set.build().map_err(replication::Error::from)?;
        let appended = partition
            .append(ProducedSet::new(bytes), acks)
            .map_err(not_coordinator)?;
        match timeout(self.config.timeout, partition.acknowledged(&appended, acks)).await {
            Ok(acknowledged) => acknowledged.map_err(not_coordinator)?,
            Err(_elapsed) => return Err(Error::TimedOut),
        }
        Ok(appended.base_offset.unwrap_or_default())
    }

    /// A group's position in a partition, or none if it has not committed any.
    pub(crate) fn fetch(&self, group: &str, topic: &str, partition: i32) -> Result<Option<Position>, Error> {
        let number = self.partition_of(group);
        // It may have stopped leading without an order.
        let led = self.partitions.get(OFFSETS_TOPIC, number);
        if !led.is_some_and(|partition| partition.leads()) {
            return Err(Error::NotCoordinator);
        }
        let slots = self.slots();
        let slot = slots.get(&number).ok_or(Error::NotCoordinator)?;
        if slot.loading {
            return Err(Error::Loading);
        }
        let key = Key {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partition,
        };
        Ok(slot.get(&key).map(|committed| Position {
            offset: committed.offset,
            metadata: committed.metadata.clone(),
        }))
    }

    /// Starts to coordinate the groups of a partition that this broker now leads: reads its log in the background.
    pub(crate) fn lead(self: &Arc<Self>, number: i32, leader_epoch: i32) {
        self.slots().insert(number, Slot::new(leader_epoch));
        let offsets = Arc::clone(self);
        // Blocking reads. It ends by itself, with the log or with the leadership.
        drop(tokio::task::spawn_blocking(move || {
            offsets.load(number, leader_epoch);
        }));
    }

    /// Forgets the groups of a partition that this broker no longer leads.
    pub(crate) fn resign(&self, number: i32) {
        self.slots().remove(&number);
    }

    /// Drops positions that were committed too long ago, and writes tombstones for them.
    pub(crate) async fn expire(&self, times: &Times) {
        let expired: Vec<_> = self
            .slots()
            .iter()
            .map(|(number, slot)| (*number, slot.expired(times, self.config.retention)))
            .filter(|(_, expired)| !expired.is_empty())
            .collect();
        for (number, expired) in expired {
            tracing::info!("{OFFSETS_TOPIC}-{number}: {} positions expired", expired.len());
            if let Err(error) = self.forget(number, &expired).await {
                tracing::warn!("{OFFSETS_TOPIC}-{number}: write tombstones: {error}");
            }
        }
    }

    async fn forget(&self, number: i32, expired: &[(Key, i64)]) -> Result<(), Error> {
        let partition = self
            .partitions
            .get(OFFSETS_TOPIC, number)
            .ok_or(Error::CoordinatorNotAvailable)?;
        let mut tombstones = SetBuilder::new(Codec::None);
        for (key, _) in expired {
            let key = key.encode().map_err(|_too_long| Error::NameTooLong)?;
            tombstones.push(Some(&key), None);
        }
        self.append_acknowledged(&partition, tombstones, Acks::Leader)
            .await?;
        if let Some(slot) = self.slots().get_mut(&number) {
            for (key, log_offset) in expired {
                slot.remove(key, *log_offset);
            }
        }
        Ok(())
    }

    /// Positions and groups kept here.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let slots = self.slots();
        slots.values().fold((0, 0), |(positions, groups), slot| {
            (positions + slot.len(), groups + slot.groups())
        })
    }

    /// Every position kept here.
    pub(crate) fn positions(&self) -> Vec<(Key, i64)> {
        let slots = self.slots();
        let positions = slots.values().flat_map(Slot::positions);
        positions
            .map(|(key, committed)| (key.clone(), committed.offset))
            .collect()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<i32, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn record(group: &str, commit: Commit, now: i64) -> (Key, Committed) {
    let key = Key {
        group: group.to_owned(),
        topic: commit.topic,
        partition: commit.partition,
    };
    let committed = Committed {
        offset: commit.offset,
        metadata: commit.metadata,
        timestamp: commit.timestamp.unwrap_or(now),
        log_offset: 0,
    };
    (key, committed)
}

/// That another broker leads the partition has a name of its own here.
fn not_coordinator(error: replication::Error) -> Error {
    match error {
        replication::Error::NotLeader => Error::NotCoordinator,
        error => Error::Append(error),
    }
}
