//! Which segments can go. Decides only; the log removes them.

use std::time::Duration;

use crate::log::SegmentSummary;
use crate::log::Times;

/// The oldest segments that can go, counted: those last written to longer than `retention_ms` ago, and of the
/// rest those without which at least `retention_bytes` stay. The last segment may be among them, unless it is
/// empty: an idle log is emptied.
pub(crate) fn expired(
    segments: &[SegmentSummary],
    times: &Times,
    retention_ms: Option<Duration>,
    retention_bytes: Option<u64>,
) -> usize {
    let deletable = match segments.split_last() {
        Some((last, older)) if last.size == 0 => older,
        _ => segments,
    };
    let too_old = deletable
        .iter()
        .take_while(|segment| retention_ms.is_some_and(|limit| times.age_of(segment.modified) > limit))
        .count();
    let rest = deletable.get(too_old..).unwrap_or_default();
    too_old + too_many(rest, retention_bytes)
}

fn too_many(segments: &[SegmentSummary], retention_bytes: Option<u64>) -> usize {
    let size = segments.iter().map(|segment| segment.size).sum::<u64>();
    let Some(mut excess) = retention_bytes.and_then(|limit| size.checked_sub(limit)) else {
        return 0;
    };
    segments
        .iter()
        .take_while(|segment| match excess.checked_sub(segment.size) {
            Some(rest) => {
                excess = rest;
                true
            }
            None => false,
        })
        .count()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    const NOW: u64 = 1_000_000;

    /// Segments by size and age in seconds, oldest first.
    fn segments(sizes_and_ages: &[(u64, u64)]) -> Vec<SegmentSummary> {
        let mut base_offset = 0;
        sizes_and_ages
            .iter()
            .map(|&(size, age)| {
                base_offset += 10;
                let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW - age);
                SegmentSummary {
                    base_offset,
                    size,
                    modified,
                }
            })
            .collect()
    }

    fn count(sizes_and_ages: &[(u64, u64)], seconds: Option<u64>, bytes: Option<u64>) -> usize {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        expired(
            &segments(sizes_and_ages),
            &now.into(),
            seconds.map(Duration::from_secs),
            bytes,
        )
    }

    #[test]
    fn without_limits_everything_stays() {
        assert_eq!(count(&[(100, 900_000), (100, 800_000)], None, None), 0);
        assert_eq!(count(&[], Some(0), Some(0)), 0);
    }

    #[test]
    fn old_segments_go_up_to_the_first_younger_one() {
        assert_eq!(count(&[(1, 30), (1, 5), (1, 30)], Some(10), None), 1);
        assert_eq!(
            count(&[(1, 10)], Some(10), None),
            0,
            "the limit itself is not beyond it"
        );
        assert_eq!(count(&[(1, 11)], Some(10), None), 1, "the active segment too");
    }

    #[test]
    fn an_empty_last_segment_stays() {
        assert_eq!(count(&[(1, 30), (0, 30)], Some(10), Some(0)), 1);
        assert_eq!(count(&[(0, 30)], Some(10), Some(0)), 0);
        assert_eq!(
            count(&[(0, 30), (1, 30)], Some(10), None),
            2,
            "an empty older one goes"
        );
    }

    #[test]
    fn at_least_the_retained_size_stays() {
        let four = [(100, 0), (100, 0), (100, 0), (50, 0)];
        assert_eq!(count(&four, None, Some(350)), 0);
        assert_eq!(count(&four, None, Some(251)), 0);
        assert_eq!(count(&four, None, Some(250)), 1);
        assert_eq!(count(&four, None, Some(60)), 2);
        assert_eq!(count(&four, None, Some(50)), 3);
        assert_eq!(count(&four, None, Some(0)), 4);
    }

    #[test]
    fn size_is_judged_after_age() {
        let three = [(100, 30), (100, 0), (100, 0)];
        assert_eq!(count(&three, Some(10), Some(150)), 1);
        assert_eq!(count(&three, Some(10), Some(100)), 2);
    }

    #[test]
    fn segments_from_the_future_are_young() {
        let times = SystemTime::UNIX_EPOCH.into();
        assert_eq!(
            expired(&segments(&[(1, 0)]), &times, Some(Duration::ZERO), None),
            0
        );
    }
}
