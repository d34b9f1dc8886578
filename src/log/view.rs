//! What readers see of a log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::log::segment::Segment;

/// Appends whose positions are remembered.
const RECENT: usize = 64;

/// What readers see of a log: all of it taken at one moment fits together.
#[derive(Debug)]
pub(crate) struct View {
    /// In order, at least one.
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    /// The offset that the next message will get.
    pub(crate) end_offset: i64,
    /// Where it will be in the last segment.
    pub(crate) end_position: u64,
    /// Everything below was flushed.
    pub(crate) recovery_point: i64,
    /// When it was flushed last.
    pub(crate) last_flush: Instant,
    /// How often messages were taken away from the end: a flush that was under way then proves nothing.
    pub(crate) truncations: u64,
    /// Whether there are files whose names may not have reached the disk.
    pub(crate) directory_dirty: bool,
    /// Where recent appends to the last segment begin: an offset, below which everything before the position
    /// is.
    recent: VecDeque<(i64, u64)>,
}

/// Where in the last segment an offset is, as far as recent appends tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    /// The first entry that isn't below the offset begins here.
    At(u64),
    /// It doesn't begin before.
    From(u64),
    /// Nothing is known.
    None,
}

impl View {
    pub(crate) fn new(segments: Vec<Arc<Segment>>, end_offset: i64, recovery_point: i64) -> Self {
        Self {
            end_position: segments.last().map_or(0, |active| active.len()),
            segments: Arc::new(segments),
            end_offset,
            recovery_point,
            last_flush: Instant::now(),
            truncations: 0,
            directory_dirty: true,
            recent: VecDeque::new(),
        }
    }

    /// The lowest offset that may be read.
    pub(crate) fn start_offset(&self) -> i64 {
        self.segments
            .first()
            .map_or(self.end_offset, |first| first.base_offset())
    }

    /// The segment that is appended to.
    pub(crate) fn active(&self) -> Option<&Arc<Segment>> {
        self.segments.last()
    }

    /// Messages were appended to the last segment.
    pub(crate) fn appended(&mut self, end_offset: i64, end_position: u64) {
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((self.end_offset, self.end_position));
        self.end_offset = end_offset;
        self.end_position = end_position;
    }

    /// Another segment is appended to.
    pub(crate) fn rolled(&mut self, segment: Arc<Segment>) {
        let mut segments = Vec::clone(&self.segments);
        segments.push(segment);
        self.segments = Arc::new(segments);
        self.end_position = 0;
        self.recent.clear();
        self.directory_dirty = true;
    }

    /// The end is somewhere else.
    pub(crate) fn truncated(&mut self, segments: Vec<Arc<Segment>>, end_offset: i64) {
        self.end_position = segments.last().map_or(0, |active| active.len());
        self.segments = Arc::new(segments);
        self.end_offset = end_offset;
        self.recovery_point = self.recovery_point.min(end_offset);
        self.truncations += 1;
        self.recent.clear();
    }

    /// The first segment is to be deleted.
    pub(crate) fn forget_first(&mut self, segment: &Arc<Segment>) {
        let mut segments = Vec::clone(&self.segments);
        segments.retain(|other| !Arc::ptr_eq(other, segment));
        self.segments = Arc::new(segments);
    }

    /// Where in the last segment an offset is.
    pub(crate) fn hint(&self, offset: i64) -> Hint {
        let after = self.recent.partition_point(|&(begin, _)| begin <= offset);
        match after.checked_sub(1).and_then(|at| self.recent.get(at)) {
            Some(&(begin, position)) if begin == offset => Hint::At(position),
            Some(&(_, position)) => Hint::From(position),
            None => Hint::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_appends_tell_where_offsets_are() {
        let mut view = View::new(Vec::new(), 10, 10);
        assert_eq!(view.hint(10), Hint::None);
        view.appended(15, 100);
        view.appended(16, 200);
        for (offset, hint) in [
            (9, Hint::None),
            (10, Hint::At(0)),
            (11, Hint::From(0)),
            (14, Hint::From(0)),
            (15, Hint::At(100)),
            (16, Hint::From(100)),
        ] {
            assert_eq!(view.hint(offset), hint, "{offset}");
        }
        view.truncated(Vec::new(), 12);
        assert_eq!(view.hint(12), Hint::None, "positions are others now");
    }

    #[test]
    fn only_so_many_appends_are_remembered() {
        let mut view = View::new(Vec::new(), 0, 0);
        for offset in 1..=1000 {
            view.appended(offset, 10 * offset.unsigned_abs());
        }
        assert_eq!(view.recent.len(), RECENT);
        assert_eq!(view.hint(999), Hint::At(9990));
        assert_eq!(view.hint(900), Hint::None);
    }

    #[test]
    fn the_recovery_point_is_never_beyond_the_end() {
        let mut view = View::new(Vec::new(), 10, 8);
        view.truncated(Vec::new(), 9);
        assert_eq!((view.recovery_point, view.truncations), (8, 1));
        view.truncated(Vec::new(), 3);
        assert_eq!((view.recovery_point, view.truncations), (3, 2));
    }
}
