//! ListOffsets — key 2, version 0.
//!
//! - Answers bases of segments, by the time their files were last written; never an offset inside a segment.
//! - "Latest" is the high watermark for consumers, the log end offset for followers and debugging consumers.
//! - A negative number of offsets: error -1. None found: no offsets, no error.

use crate::blocking;
use crate::broker::error_mapping;
use crate::log;
use crate::log::Log;
use crate::log::SegmentSummary;
use crate::net::Reply;
use crate::protocol::ErrorCode;
use crate::protocol::fetch::Reader;
use crate::protocol::list_offsets::ListOffsetsRequest;
use crate::protocol::list_offsets::ListOffsetsResponse;
use crate::protocol::list_offsets::OffsetSpec;
use crate::protocol::list_offsets::PartitionOffsets;
use crate::protocol::list_offsets::PartitionOffsetsFound;
use crate::replication;
use crate::replication::Partitions;
use crate::replication::RoleName;
use crate::types::millis_since_1970;
use crate::types::now_millis;

/// Looks at every partition's segments.
pub(crate) fn handle(partitions: &Partitions, request: &ListOffsetsRequest) -> Reply {
    let topics = request
        .topics
        .iter()
        .map(|(topic, asked)| {
            let answers = asked.iter().map(|asked| {
                let found = offsets(partitions, topic.as_deref(), asked, request.reader);
                let (error, offsets) = match found {
                    Ok(offsets) => (ErrorCode::None, offsets),
                    Err(error) => (error, Vec::new()),
                };
                PartitionOffsetsFound {
                    partition: asked.partition,
                    error,
                    offsets,
                }
            });
            (topic.clone(), answers.collect())
        })
        .collect();
    Reply::Send(ListOffsetsResponse { topics }.into())
}

fn offsets(
    partitions: &Partitions,
    topic: Option<&str>,
    asked: &PartitionOffsets,
    reader: Reader,
) -> Result<Vec<i64>, ErrorCode> {
    let debugging = reader == Reader::DebuggingConsumer;
    let missing = if debugging {
        ErrorCode::ReplicaNotAvailable
    } else {
        ErrorCode::UnknownTopicOrPartition
    };
    let partition = topic
        .and_then(|topic| partitions.get(topic, asked.partition))
        .ok_or(missing)?;
    let leads = partition.role().is_some_and(|(role, _)| role == RoleName::Leader);
    if !leads && !debugging {
        return Err(ErrorCode::NotLeaderForPartition);
    }
    let log = partition.log().ok_or(missing)?;
    let max_offsets = usize::try_from(asked.max_offsets).map_err(|_negative| ErrorCode::Unknown)?;

    let mut positions =
        segments(&log, asked.at).map_err(|error| error_mapping::code_of(&replication::Error::from(error)))?;
    let end = log.log_end_offset();
    if positions.last().is_some_and(|(last, _)| *last < end) {
        positions.push((end, now_millis()));
    }
    let mut offsets = before(&positions, asked.at, max_offsets);
    if reader == Reader::Consumer {
        clip(&mut offsets, partition.high_watermark());
    }
    Ok(offsets)
}

/// Where the segments begin, and when each was written last, as far as that matters: the disk has to be asked.
fn segments(log: &Log, at: OffsetSpec) -> Result<Vec<(i64, i64)>, log::Error> {
    if !matches!(at, OffsetSpec::Timestamp(_)) {
        return Ok(log.segment_bases().into_iter().map(|base| (base, 0)).collect());
    }
    let segments = blocking::in_place(|| log.segments())?;
    let position = |segment: &SegmentSummary| (segment.base_offset, millis_since_1970(segment.modified));
    Ok(segments.iter().map(position).collect())
}

/// The newest position that is not later than `at`, and those before it, newest first.
fn before(positions: &[(i64, i64)], at: OffsetSpec, max_offsets: usize) -> Vec<i64> {
    let candidates = match at {
        OffsetSpec::Latest => positions.len(),
        OffsetSpec::Earliest => positions.len().min(1),
        OffsetSpec::Timestamp(time) => positions
            .iter()
            .rposition(|(_, modified)| *modified <= time)
            .map_or(0, |last| last + 1),
    };
    positions
        .iter()
        .take(candidates)
        .rev()
        .take(max_offsets)
        .map(|(offset, _)| *offset)
        .collect()
}

/// Consumers see nothing beyond the high watermark: it stands once for everything above it.
fn clip(offsets: &mut Vec<i64>, high_watermark: i64) {
    let above = offsets
        .iter()
        .take_while(|offset| **offset > high_watermark)
        .count();
    if above > 0 {
        offsets.splice(..above, [high_watermark]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSITIONS: &[(i64, i64)] = &[(0, 1000), (10, 2000), (20, 3000), (25, 4000)];

    #[test]
    fn offsets_are_segment_starts_not_later_than_asked() {
        assert_eq!(before(POSITIONS, OffsetSpec::Latest, 2), [25, 20]);
        assert_eq!(before(POSITIONS, OffsetSpec::Earliest, 2), [0]);
        assert_eq!(before(POSITIONS, OffsetSpec::Timestamp(2500), 9), [10, 0]);
        assert_eq!(before(POSITIONS, OffsetSpec::Timestamp(999), 9), [] as [i64; 0]);
        assert_eq!(before(POSITIONS, OffsetSpec::Timestamp(-3), 9), [] as [i64; 0]);
        assert_eq!(before(POSITIONS, OffsetSpec::Latest, 0), [] as [i64; 0]);
    }

    #[test]
    fn one_high_watermark_stands_for_everything_above_it() {
        let mut offsets = vec![25, 20, 10, 0];
        clip(&mut offsets, 12);
        assert_eq!(offsets, [12, 10, 0]);
        clip(&mut offsets, 12);
        assert_eq!(offsets, [12, 10, 0]);
    }
}
