//! Reading the positions of a partition's groups from its log.

use std::io;
use std::os::unix::fs::FileExt;

use crate::broker::offsets::Offsets;
use crate::broker::offsets::cache::Committed;
use crate::broker::offsets::records::Key;
use crate::broker::offsets::records::Value;
use crate::log;
use crate::message;
use crate::message::entry;
use crate::message::wrapper;
use crate::protocol::fetch::Reader;
use crate::replication;
use crate::types::OFFSETS_TOPIC;

/// Bytes read at a time; more if one entry is larger.
const CHUNK_BYTES: i32 = 1 << 20;

/// Why loading stopped early.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Read(#[from] replication::Error),
    #[error("read the log")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Message(#[from] message::Error),
    #[error("the entry at offset {0} has no end")]
    Endless(i64),
    #[error("the partition is gone")]
    Gone,
}

impl Offsets {
    /// Reads the log to its end, and serves what was found. Blocks. Not only up to the high watermark: that of a new
    /// leader lags behind what is committed, and what is beyond will be if this broker goes on leading.
    ///
    /// A record that is not understood is passed over: 0.8.2.2 would stop there and serve half of the groups.
    pub(super) fn load(&self, number: i32, leader_epoch: i32) {
        let result = self.read_log(number, leader_epoch);
        let mut slots = self.slots();
        let Some(slot) = slots
            .get_mut(&number)
            .filter(|slot| slot.leader_epoch == leader_epoch)
        else {
            return;
        };
        // Half of the groups would be told that they never committed anything, and begin anew.
        slot.loading = matches!(
            &result,
            Err(Error::Io(_) | Error::Read(replication::Error::Log(log::Error::Io { .. })))
        );
        match result {
            Ok(()) => tracing::debug!("{OFFSETS_TOPIC}-{number}: {} positions loaded", slot.len()),
            Err(error) if slot.loading => {
                tracing::error!(
                    "{OFFSETS_TOPIC}-{number}: load positions: {error}; its groups wait until this broker leads it anew"
                );
            }
            Err(error) => {
                tracing::error!(
                    "{OFFSETS_TOPIC}-{number}: load positions: {error}; {} are served",
                    slot.len()
                );
            }
        }
    }

    fn read_log(&self, number: i32, leader_epoch: i32) -> Result<(), Error> {
        let partition = self.partitions.get(OFFSETS_TOPIC, number).ok_or(Error::Gone)?;
        let mut offset = partition.log().ok_or(Error::Gone)?.log_start_offset();
        let mut max_bytes = CHUNK_BYTES;
        let to_the_end = Reader::Follower(partition.me());
        while self
            .slots()
            .get(&number)
            .is_some_and(|slot| slot.leader_epoch == leader_epoch)
        {
            let found = partition.read(to_the_end, offset, max_bytes)?;
            let Some(slice) = found.messages.filter(|slice| slice.len > 0) else {
                return Ok(());
            };
            let mut bytes = vec![0; usize::try_from(slice.len).map_err(io::Error::other)?];
            slice.file.read_exact_at(&mut bytes, slice.position)?;
            match self.take(number, &bytes)? {
                Some(last_offset) => {
                    // The last there can be ends the log.
                    offset = last_offset.saturating_add(1);
                    max_bytes = CHUNK_BYTES;
                }
                None if max_bytes == i32::MAX => return Err(Error::Endless(offset)),
                // Not even one whole entry.
                None => max_bytes = max_bytes.saturating_mul(2),
            }
        }
        Ok(())
    }

    /// Takes over the records of whole entries. Answers the offset of the last one.
    fn take(&self, number: i32, bytes: &[u8]) -> Result<Option<i64>, Error> {
        let mut last_offset = None;
        for entry in entry::entries(bytes) {
            last_offset = Some(entry?.0);
        }
        let messages = wrapper::deep_entries(bytes, self.config.max_decompressed_bytes)?;
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&number) else {
            return Ok(last_offset);
        };
        for (log_offset, message) in messages {
            let Some(key) = message.key else { continue };
            let key = match Key::decode(&key) {
                Ok(key) => key,
                Err(error) => {
                    tracing::warn!(
                        "{OFFSETS_TOPIC}-{number}: key at offset {log_offset}: {error}; passed over"
                    );
                    continue;
                }
            };
            match message.value.map(|value| Value::decode(&value)) {
                None => slot.remove(&key, log_offset),
                Some(Ok(value)) => {
                    let Value {
                        offset,
                        metadata,
                        timestamp,
                    } = value;
                    slot.put(
                        key,
                        Committed {
                            offset,
                            metadata: Some(metadata),
                            timestamp,
                            log_offset,
                        },
                    );
                }
                Some(Err(error)) => {
                    tracing::warn!(
                        "{OFFSETS_TOPIC}-{number}: value at offset {log_offset}: {error}; passed over"
                    );
                }
            }
        }
        Ok(last_offset)
    }
}
