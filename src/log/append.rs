//! Appending: offsets, rolling, the index.

use std::sync::Arc;
use std::time::Instant;

use crate::log::Appended;
use crate::log::Error;
use crate::log::Log;
use crate::log::LogConfig;
use crate::log::Writer;
use crate::log::lock;
use crate::log::segment::Segment;
use crate::message::entry::entries;
use crate::message::set::CheckedSet;

/// Whole entries with their offsets.
struct Batch<'a> {
    bytes: &'a [u8],
    /// One past the last offset.
    end_offset: i64,
}

impl Log {
    /// Gives the messages of a set their offsets and appends them. Writes in the calling thread.
    ///
    /// A set without messages changes nothing. After an error the log is as it was. The flush that may be due is left to
    /// the caller: others who append meanwhile can share it.
    pub fn append(&self, set: CheckedSet) -> Result<Appended, Error> {
        self.append_at(set, Instant::now())
    }

    /// As [`Self::append`], at another time: the one that the rule about a segment's age goes by.
    pub(crate) fn append_at(&self, set: CheckedSet, now: Instant) -> Result<Appended, Error> {
        let config = self.config();
        let limits = config.limits();
        // This may compress, so that it is done before others are kept out, in the hope that none comes
        // first.
        let mut assigned = set.assign(self.log_end_offset(), &limits)?;
        let mut writer = self.writer()?;
        let base_offset = self.log_end_offset();
        if assigned.base_offset() != base_offset {
            assigned = assigned.reassign(base_offset, &limits)?;
        }
        let bytes = assigned.bytes();
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > config.segment_bytes {
            return Err(Error::SetTooLarge {
                size: bytes.len(),
                limit: config.segment_bytes,
            });
        }
        let end_offset = assigned.end_offset();
        self.write(&mut writer, &config, &Batch { bytes, end_offset }, now)?;
        drop(writer);
        Ok(Appended {
            base_offset,
            end_offset,
            flush_due: self.is_flush_due(&config),
        })
    }

    /// Appends messages that have their offsets, as they come from a leader. An incomplete tail is left out.
    ///
    /// Their size is the leader's business: 0.8.2.2 stops fetching for ever when an entry is beyond this
    /// broker's `max.message.bytes` or all of them together beyond `segment.bytes`. Here they are spread over
    /// segments.
    pub fn append_replicated(&self, bytes: &[u8]) -> Result<Appended, Error> {
        let config = self.config();
        let first_offset = check_replicated(bytes)?;
        let mut writer = self.writer()?;
        let base_offset = self.log_end_offset();
        if let Some(offset) = first_offset.filter(|&offset| offset < base_offset) {
            return Err(Error::OutOfOrder {
                offset,
                end: base_offset,
            });
        }
        let mut rest = bytes;
        while let Some((batch, others)) = split_batch(rest, config.segment_bytes) {
            self.write(&mut writer, &config, &batch, Instant::now())?;
            rest = others;
        }
        let end_offset = self.log_end_offset();
        drop(writer);
        if self.is_flush_due(&config) {
            self.flush()?;
        }
        Ok(Appended {
            base_offset,
            end_offset,
            flush_due: false,
        })
    }

    fn write(
        &self,
        writer: &mut Writer,
        config: &LogConfig,
        batch: &Batch<'_>,
        now: Instant,
    ) -> Result<(), Error> {
        let len = u64::try_from(batch.bytes.len()).unwrap_or(u64::MAX);
        let (active, offset) = {
            let view = lock(&self.view);
            (view.active().map(Arc::clone), view.end_offset)
        };
        if len == 0 {
            return Ok(());
        }
        let active = match active {
            Some(active) if !active.must_roll(offset, len, config, now) => active,
            _ => self.roll(writer, config)?,
        };
        active.append(batch.bytes, offset, config).map_err(|failure| {
            if failure.undone {
                failure.error
            } else {
                self.fail(failure.error)
            }
        })?;
        lock(&self.view).appended(batch.end_offset, active.len());
        Ok(())
    }

    /// Begins a new segment at the log's end.
    pub(super) fn roll(&self, _writer: &mut Writer, config: &LogConfig) -> Result<Arc<Segment>, Error> {
        let (previous, base_offset) = {
            let view = lock(&self.view);
            (view.active().map(Arc::clone), view.end_offset)
        };
        // First, since it makes the index full: should the rest fail, the next append tries again.
        if let Some(previous) = &previous {
            previous.trim_index()?;
        }
        let segment = Arc::new(Segment::create(
            &self.path,
            base_offset,
            config,
            &self.open_files,
        )?);
        {
            let mut view = lock(&self.view);
            view.rolled(Arc::clone(&segment));
            // Were it the new segment's base, a restart would trust an index that was not flushed.
            view.recovery_point = view.recovery_point.min(base_offset - 1);
        }
        tracing::debug!("{}: new segment at {base_offset}", self.topic_partition);
        self.flush_requests.request(&self.topic_partition, base_offset);
        Ok(segment)
    }
}

/// Checks entries as a follower does: whole, with the right checksum, in order. Returns the first offset.
fn check_replicated(bytes: &[u8]) -> Result<Option<i64>, Error> {
    let mut first = None;
    let mut last = None;
    for entry in entries(bytes) {
        let (offset, message) = entry?;
        message.check_crc()?;
        let least = last.map_or(0_i64, |last: i64| last.saturating_add(1));
        if offset < least || offset == i64::MAX {
            return Err(Error::OutOfOrder { offset, end: least });
        }
        first.get_or_insert(offset);
        last = Some(offset);
    }
    Ok(first)
}

/// The entries at the front that fit into one segment, at least one; and the rest.
fn split_batch(bytes: &[u8], limit: u64) -> Option<(Batch<'_>, &[u8])> {
    let mut walk = entries(bytes);
    let mut taken = None;
    while let Some(Ok((offset, _))) = walk.next() {
        let len = bytes.len() - walk.rest().len();
        if taken.is_some() && u64::try_from(len).unwrap_or(u64::MAX) > limit {
            break;
        }
        taken = Some((len, offset + 1));
    }
    let (len, end_offset) = taken?;
    let (bytes, rest) = bytes.split_at_checked(len)?;
    Some((Batch { bytes, end_offset }, rest))
}

#[cfg(test)]
mod tests;
