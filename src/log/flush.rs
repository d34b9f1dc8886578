//! Making messages durable, and closing.

use std::sync::Arc;
use std::time::Instant;

use crate::log::Error;
use crate::log::Log;
use crate::log::LogConfig;
use crate::log::durable;
use crate::log::lock;
use crate::log::segment::Segment;

/// What is to be flushed, taken at one moment.
struct Target {
    segments: Vec<Arc<Segment>>,
    /// Whether the last of them is appended to.
    with_active: bool,
    /// Everything below will be durable.
    offset: i64,
    truncations: u64,
    directory_dirty: bool,
}

impl Log {
    /// Makes everything durable that was appended before. Appends go on meanwhile.
    pub fn flush(&self) -> Result<(), Error> {
        self.flush_below(i64::MAX)
    }

    /// Makes everything below an offset durable, and with it whole segments.
    pub(crate) fn flush_below(&self, offset: i64) -> Result<(), Error> {
        let _flushing = lock(&self.flushing);
        if lock(&self.writer).closed {
            return Ok(());
        }
        self.flush_now(offset)
    }

    /// Whether `flush.messages` asks for a flush.
    pub(crate) fn is_flush_due(&self, config: &LogConfig) -> bool {
        let unflushed = {
            let view = lock(&self.view);
            view.end_offset.saturating_sub(view.recovery_point)
        };
        u64::try_from(unflushed).is_ok_and(|unflushed| unflushed >= config.flush_messages)
    }

    /// Flushes if `flush.ms` says so, and there is something to flush. Passes on what an earlier flush failed with.
    pub(crate) fn flush_if_old(&self, now: Instant) -> Result<(), Error> {
        self.check_failure()?;
        let due = {
            let view = lock(&self.view);
            let age = now.saturating_duration_since(view.last_flush);
            age >= self.config().flush_ms && view.recovery_point < view.end_offset
        };
        if due { self.flush() } else { Ok(()) }
    }

    /// Flushes everything, and leaves files that 0.8.2.2 opens without recovery. Nothing is accepted
    /// afterwards.
    pub fn close(&self) -> Result<(), Error> {
        let _flushing = lock(&self.flushing);
        {
            let mut writer = lock(&self.writer);
            if writer.closed {
                return Ok(());
            }
            writer.closed = true;
        }
        self.check_failure()?;
        let segments = self.segment_list();
        if let Some(active) = segments.last() {
            active.trim_index()?;
        }
        self.flush_now(i64::MAX)?;
        for segment in segments.iter() {
            segment.give_back_room();
            segment.sync_index().map_err(|error| self.fail(error))?;
            segment.release();
        }
        Ok(())
    }

    /// The caller holds `flushing`.
    fn flush_now(&self, offset: i64) -> Result<(), Error> {
        self.check_failure()?;
        let target = self.flush_target(offset);
        self.sync(&target).map_err(|error| self.fail(error))?;
        self.flushed(&target);
        Ok(())
    }

    fn flushed(&self, target: &Target) {
        let mut view = lock(&self.view);
        view.last_flush = Instant::now();
        if view.truncations == target.truncations {
            view.recovery_point = view.recovery_point.max(target.offset);
        }
    }

    fn flush_target(&self, offset: i64) -> Target {
        let mut view = lock(&self.view);
        let offset = offset.min(view.end_offset);
        let below = view
            .segments
            .partition_point(|segment| segment.base_offset() < offset);
        Target {
            segments: view.segments.iter().take(below).map(Arc::clone).collect(),
            with_active: below == view.segments.len(),
            offset,
            truncations: view.truncations,
            directory_dirty: std::mem::take(&mut view.directory_dirty),
        }
    }

    fn sync(&self, target: &Target) -> Result<(), Error> {
        let (active, closed) = match target.segments.split_last() {
            Some((last, others)) if target.with_active => (Some(last), others),
            _ => (None, target.segments.as_slice()),
        };
        for segment in closed {
            self.timed(segment, || segment.sync_log().and_then(|()| segment.sync_index()))?;
            if segment.has_room() {
                self.give_back_room(segment);
            }
            segment.release();
        }
        if let Some(active) = active {
            // Its index waits until it is closed: recovery makes it anew.
            self.timed(active, || active.sync_log())?;
        }
        if target.directory_dirty {
            durable::sync_directory(&self.path)?;
        }
        Ok(())
    }

    /// Only after the flush: some file systems write everything before they set a length. A truncation may have made the
    /// segment the last one again.
    fn give_back_room(&self, segment: &Arc<Segment>) {
        let _writer = lock(&self.writer);
        let is_active = lock(&self.view)
            .active()
            .is_some_and(|active| Arc::ptr_eq(active, segment));
        if !is_active && !segment.is_removed() {
            segment.give_back_room();
        }
    }

    /// Flushes a segment, and counts it if there is something to flush. Whether it failed is of no interest for one
    /// that was deleted meanwhile.
    fn timed(&self, segment: &Segment, flush: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let (counts, began) = (segment.is_dirty(), Instant::now());
        let flushed = flush();
        if segment.is_removed() {
            return Ok(());
        }
        if counts && flushed.is_ok() {
            self.flushes.record(began.elapsed());
        }
        flushed
    }
}

#[cfg(test)]
mod tests {
    use crate::log::recovery::LastStop;
    use crate::log::segment::INDEX_SUFFIX;
    use crate::log::testing::append_numbered;
    use crate::log::testing::data_directory;
    use crate::log::testing::numbers;
    use crate::log::testing::open;
    use crate::log::testing::segment_file;
    use crate::log::testing::small;
    use crate::log::testing::try_open;
    use crate::log::testing::values;

    #[test]
    fn the_recovery_point_follows_flushes() {
        let directory = data_directory();
        let log = open(&directory, &small());
        append_numbered(&log, 30);
        assert_eq!(log.recovery_point(), 0);
        log.flush_below(20).unwrap();
        assert_eq!(log.recovery_point(), 20);
        log.flush().unwrap();
        assert_eq!(log.recovery_point(), 30);
        log.flush_below(20).unwrap();
        assert_eq!(log.recovery_point(), 30, "never back");
    }

    /// Everything was flushed, but the index of the segment that was closed then is not.
    #[test]
    fn a_segment_closed_after_a_flush_is_recovered_until_its_index_is_flushed() {
        let directory = data_directory();
        let log = open(&directory, &small());
        append_numbered(&log, 20);
        log.flush().unwrap();
        append_numbered(&log, 1);
        assert_eq!(log.recovery_point(), 19);
        let recovery_point = log.recovery_point();
        drop(log);
        std::fs::write(segment_file(&directory, 0, INDEX_SUFFIX), [9; 80]).unwrap();
        let last_stop = LastStop::Unclean { recovery_point };
        let log = try_open(directory.path(), last_stop, &small()).unwrap();
        assert_eq!(values(&log), numbers(0..21));
        log.flush_below(20).unwrap();
        assert_eq!(log.recovery_point(), 20);
    }

    #[test]
    fn flushes_are_counted_by_the_segment() {
        let directory = data_directory();
        let log = open(&directory, &small());
        append_numbered(&log, 45);
        log.flush().unwrap();
        assert_eq!(log.flushes.count(), 3);
        log.flush().unwrap();
        assert_eq!(log.flushes.count(), 3, "nothing was there to be flushed");
        append_numbered(&log, 1);
        log.flush().unwrap();
        assert_eq!(log.flushes.count(), 4);
    }

    #[test]
    fn a_flush_overtaken_by_a_truncation_proves_nothing() {
        let directory = data_directory();
        let log = open(&directory, &small());
        append_numbered(&log, 30);
        let target = log.flush_target(i64::MAX);
        log.sync(&target).unwrap();
        log.truncate_to(10).unwrap();
        append_numbered(&log, 20);
        log.flushed(&target);
        assert_eq!(log.recovery_point(), 0);
        log.flush().unwrap();
        assert_eq!(log.recovery_point(), 30);
    }

    #[test]
    fn files_of_closed_segments_are_closed_once_flushed() {
        let directory = data_directory();
        let log = open(&directory, &small());
        append_numbered(&log, 45);
        let held = || {
            log.segment_list()
                .iter()
                .map(|segment| segment.is_open())
                .collect::<Vec<_>>()
        };
        assert_eq!(held(), [true, true, true]);
        log.flush().unwrap();
        assert_eq!(held(), [false, false, true]);
    }
}
