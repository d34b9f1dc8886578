//! Where one segment ends and the next begins. What doesn't fit together is served as it is; but nobody should have to
//! find out from consumers.

use std::path::Path;
use std::sync::Arc;

use crate::log::LogConfig;
use crate::log::config::CleanupPolicy;
use crate::log::rebuild::end_offset;
use crate::log::segment::Segment;

/// How the neighbours of one kind are apart.
#[derive(Debug, Default)]
struct Found {
    count: usize,
    /// Where the first of them end and begin.
    first: Option<(i64, i64)>,
}

impl Found {
    fn add(&mut self, end: i64, begin: i64) {
        self.count += 1;
        self.first.get_or_insert((end, begin));
    }
}

/// Says once that segments overlap, and once that offsets are missing between them, which compaction leaves so.
pub(super) fn report(directory: &Path, segments: &[Arc<Segment>], config: &LogConfig) {
    let (mut overlaps, mut gaps) = (Found::default(), Found::default());
    for pair in segments.windows(2) {
        let [segment, next] = pair else { continue };
        // One that can't be read is a matter of those who want to read it, not of the start.
        let Ok(Some(end)) = end_offset(segment) else {
            continue;
        };
        let begin = next.base_offset();
        if end > begin {
            overlaps.add(end, begin);
        } else if end < begin && config.cleanup_policy == CleanupPolicy::Delete {
            gaps.add(end, begin);
        }
    }
    let directory = directory.display();
    if let Found {
        count,
        first: Some((end, begin)),
    } = overlaps
    {
        tracing::warn!(
            "{directory}: {count} segments overlap the next one; the first ends at offset {end}, the next begins at {begin}"
        );
    }
    if let Found {
        count,
        first: Some((end, begin)),
    } = gaps
    {
        tracing::warn!(
            "{directory}: offsets are missing between segments, in {count} places; \
             the first gap is from offset {end} to {begin}"
        );
    }
}
