//! Taking messages away from the front, when they are too old or too many; and everything, when the partition
//! goes.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use crate::log::CleanupPolicy;
use crate::log::Error;
use crate::log::Log;
use crate::log::Times;
use crate::log::Writer;
use crate::log::durable;
use crate::log::lock;
use crate::log::retention::expired;
use crate::log::segment::Segment;

impl Writer {
    /// Takes a segment's files out of the way, to be removed when `due`.
    pub(super) fn doom(&mut self, segment: &Segment, due: Instant) -> Result<(), Error> {
        self.doomed.extend(segment.remove()?.map(|path| (due, path)));
        Ok(())
    }
}

impl Log {
    /// Deletes the oldest segments that the retention rules don't keep; returns how many. Compacted logs have
    /// no such rules. An idle log is emptied, but keeps its end.
    pub fn apply_retention(&self, times: &Times) -> Result<usize, Error> {
        let config = self.config();
        if config.cleanup_policy == CleanupPolicy::Compact {
            return Ok(0);
        }
        let seen = self.segment_list();
        let summaries = self.segments()?;
        let count = expired(&summaries, times, config.retention_ms, config.retention_bytes);
        if count == 0 || summaries.len() != seen.len() {
            return Ok(0);
        }
        let mut writer = self.writer()?;
        let all = count == seen.len();
        // Whoever appended or truncated meanwhile has made it young: the next time will do.
        let changed = !Arc::ptr_eq(&seen, &self.segment_list());
        if changed || all && summaries.last().map(|last| last.size) != seen.last().map(|last| last.len()) {
            return Ok(0);
        }
        if all {
            self.roll(&mut writer, &config)?;
            // From here on only its name keeps the log's end.
            durable::sync_directory(&self.path)?;
        }
        let due = Instant::now() + config.file_delete_delay;
        for segment in seen.iter().take(count) {
            // Readers must not find it before it loses its name.
            lock(&self.view).forget_first(segment);
            writer.doom(segment, due)?;
        }
        tracing::info!(
            "{}: deleted {count} segments, starts at {}",
            self.topic_partition,
            self.log_start_offset()
        );
        Ok(count)
    }

    /// Removes the files of deleted segments whose time has come.
    pub(crate) fn delete_due_files(&self, now: Instant) -> Result<(), Error> {
        let mut due = Vec::new();
        lock(&self.writer).doomed.retain(|(when, path)| {
            let keep = *when > now;
            if !keep {
                due.push(path.clone());
            }
            keep
        });
        due.iter().try_for_each(|path| durable::remove_if_present(path))
    }

    /// Removes the partition's directory with everything in it. Nothing is accepted afterwards.
    pub(crate) fn delete(&self) -> Result<(), Error> {
        let _flushing = lock(&self.flushing);
        let mut writer = lock(&self.writer);
        writer.closed = true;
        writer.doomed.clear();
        self.segment_list()
            .iter()
            .for_each(|segment| segment.mark_removed());
        match fs::remove_dir_all(&self.path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::io(&self.path)(source)),
            _ => Ok(()),
        }
    }
}
