//! High watermarks on disk: one checkpoint file in each data directory.
//!
//! They are written every few seconds and at the end. Entries of logs that no controller has spoken of yet are kept:
//! a broker that stops early must not forget what was committed.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::log;
use crate::log::Logs;
use crate::log::OffsetCheckpoint;
use crate::replication::partition::Partition;
use crate::types::TopicPartition;

/// Name of the checkpoint file in a data directory.
const FILE_NAME: &str = "replication-offset-checkpoint";

/// The checkpoints of every data directory.
#[derive(Debug)]
pub struct HighWatermarks {
    checkpoints: Vec<(PathBuf, OffsetCheckpoint)>,
    known: Mutex<HashMap<TopicPartition, i64>>,
}

impl HighWatermarks {
    /// Reads what the last run left.
    pub fn open(directories: &[PathBuf]) -> Result<Self, log::Error> {
        let mut checkpoints = Vec::new();
        let mut known = HashMap::new();
        for directory in directories {
            let checkpoint = OffsetCheckpoint::new(directory.join(FILE_NAME));
            known.extend(checkpoint.read()?);
            checkpoints.push((directory.clone(), checkpoint));
        }
        Ok(Self {
            checkpoints,
            known: Mutex::new(known),
        })
    }

    /// The high watermark that the last run left, 0 if it left none.
    pub fn of(&self, partition: &TopicPartition) -> i64 {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(partition)
            .copied()
            .unwrap_or(0)
    }

    /// Forgets a partition that is being deleted.
    pub fn forget(&self, partition: &TopicPartition) {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(partition);
    }

    /// Writes the high watermarks of all logs, each into the directory its log lies in.
    pub fn write(&self, logs: &Logs, partitions: &[Arc<Partition>]) -> Result<(), log::Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in partitions.iter().filter(|partition| partition.log().is_some()) {
            known.insert(partition.topic_partition().clone(), partition.high_watermark());
        }
        for (directory, checkpoint) in &self.checkpoints {
            let here: BTreeMap<_, _> = logs
                .all()
                .iter()
                .filter(|log| log.directory() == directory)
                .filter_map(|log| {
                    let name = log.topic_partition();
                    known
                        .get(name)
                        .map(|high_watermark| (name.clone(), *high_watermark))
                })
                .collect();
            checkpoint.write(&here)?;
        }
        Ok(())
    }
}
