//! Taking messages away from the end, as a follower does that has what its leader hasn't.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::log::Error;
use crate::log::Log;
use crate::log::LogConfig;
use crate::log::Logs;
use crate::log::Writer;
use crate::log::durable;
use crate::log::lock;
use crate::log::segment::Segment;
use crate::types::TopicPartition;

impl Log {
    /// Keeps what is below `offset`, which becomes the log's end. A wrapper that has messages on both sides
    /// goes as a whole; the gap is filled when it is fetched again.
    ///
    /// The recovery points must be written to their checkpoint before anything is appended: see
    /// [`Logs::truncate_to`](crate::log::Logs::truncate_to), which does.
    pub fn truncate_to(&self, offset: i64) -> Result<(), Error> {
        let offset = offset.max(0);
        let mut writer = self.writer()?;
        let (start, end) = {
            let view = lock(&self.view);
            (view.start_offset(), view.end_offset)
        };
        if offset >= end {
            return Ok(());
        }
        tracing::info!("{}: truncating from {end} to {offset}", self.topic_partition);
        let config = self.config();
        let truncated = if offset < start {
            self.start_at(&mut writer, &config, offset)
        } else {
            self.cut_at(&mut writer, &config, offset)
        };
        truncated.map_err(|error| self.fail(error))
    }

    /// Deletes everything; the next message gets `offset`. As for [`Self::truncate_to`], the recovery points
    /// must be written.
    pub fn truncate_fully_and_start_at(&self, offset: i64) -> Result<(), Error> {
        let offset = offset.max(0);
        let mut writer = self.writer()?;
        tracing::info!(
            "{}: deleting everything, starting at {offset}",
            self.topic_partition
        );
        self.start_at(&mut writer, &self.config(), offset)
            .map_err(|error| self.fail(error))
    }

    fn cut_at(&self, writer: &mut Writer, config: &LogConfig, offset: i64) -> Result<(), Error> {
        let mut kept = Vec::clone(&self.segment_list());
        let gone = kept.split_off(kept.partition_point(|segment| segment.base_offset() <= offset));
        self.remove_last_first(writer, config, &gone)?;
        if let Some(active) = kept.last() {
            let file = active.log().readable()?;
            if let Some(position) = active.find(&file, offset, active.len())? {
                active.truncate(position, offset, config)?;
            }
            active.activate(config)?;
        }
        durable::sync_directory(&self.path)?;
        lock(&self.view).truncated(kept, offset);
        Ok(())
    }

    fn start_at(&self, writer: &mut Writer, config: &LogConfig, offset: i64) -> Result<(), Error> {
        self.remove_last_first(writer, config, &self.segment_list())?;
        let segment = Segment::create(&self.path, offset, config, &self.open_files)?;
        durable::sync_directory(&self.path)?;
        lock(&self.view).truncated(vec![Arc::new(segment)], offset);
        Ok(())
    }

    /// In this order, so that a crash leaves no gap.
    fn remove_last_first(
        &self,
        writer: &mut Writer,
        config: &LogConfig,
        segments: &[Arc<Segment>],
    ) -> Result<(), Error> {
        let due = Instant::now() + config.file_delete_delay;
        for segment in segments.iter().rev() {
            writer.doom(segment, due)?;
        }
        Ok(())
    }
}

impl Logs {
    /// Truncates logs, and makes sure that no recovery point is left beyond an end. Partitions that aren't
    /// here are left out.
    pub fn truncate_to(&self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<(), Error> {
        let mut lowered = false;
        for (log, offset) in offsets
            .iter()
            .filter_map(|(name, offset)| Some((self.get(name)?, offset)))
        {
            // What is written down is at most one more: a new segment takes the point back by that.
            lowered |= log.recovery_point() >= *offset;
            log.truncate_to(*offset)?;
        }
        if lowered {
            self.checkpoint_recovery_points()
        } else {
            Ok(())
        }
    }

    /// As [`Self::truncate_to`], for a log that begins anew.
    pub fn truncate_fully_and_start_at(
        &self,
        topic_partition: &TopicPartition,
        offset: i64,
    ) -> Result<(), Error> {
        if let Some(log) = self.get(topic_partition) {
            log.truncate_fully_and_start_at(offset)?;
        }
        self.checkpoint_recovery_points()
    }
}

#[cfg(test)]
mod tests;
