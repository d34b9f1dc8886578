//! Reading: which stretch of which file. No message enters this process.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::blocking;
use crate::log::Error;
use crate::log::Log;
use crate::log::Read;
use crate::log::lock;
use crate::log::segment::Segment;
use crate::log::view::Hint;
use crate::message::slice::FileSlice;

/// The end of the active segment that is taken to be in the page cache.
const WARM_BYTES: u64 = 64 * 1024 * 1024;
/// Times that a reader looks again after the segment that it had found was deleted.
const RETRIES: usize = 8;
/// How long the same trouble of readers is not told again.
const QUIET: Duration = Duration::from_secs(60);
/// What there is when there is nothing.
const NOTHING: Read = Read {
    messages: None,
    ends_closed_segment: false,
};

/// The log at one moment, as far as one reader needs it.
struct Snapshot {
    segments: Arc<Vec<Arc<Segment>>>,
    /// The segment to begin with.
    at: usize,
    end_offset: i64,
    end_position: u64,
    /// Where the start is, in the last segment.
    start: Hint,
    /// Where the bound is, in the last segment.
    bound: Hint,
}

impl Log {
    /// The messages from `offset` on, at most `max_bytes` of them, all below `below` if that is given, and
    /// all of one segment. They may begin with a wrapper that has messages below `offset`, and end within an
    /// entry.
    pub fn read(&self, offset: i64, max_bytes: u64, below: Option<i64>) -> Result<Read, Error> {
        self.find(offset, max_bytes, below).inspect_err(|error| {
            if matches!(error, Error::Io { .. } | Error::Corrupt { .. }) {
                self.tell_unreadable(offset, error);
            }
        })
    }

    /// Others are still served; and what was written before is not less safe than it was.
    fn tell_unreadable(&self, offset: i64, error: &Error) {
        let mut told = lock(&self.unreadable);
        if told.is_none_or(|told| told.elapsed() >= QUIET) {
            *told = Some(Instant::now());
            tracing::error!("{}: read at offset {offset}: {error}", self.topic_partition);
        }
    }

    fn find(&self, offset: i64, max_bytes: u64, below: Option<i64>) -> Result<Read, Error> {
        for _ in 0..RETRIES {
            let Some(snapshot) = self.snapshot(offset, below.filter(|_| max_bytes > 0))? else {
                return Ok(NOTHING);
            };
            if max_bytes == 0 || below == Some(offset) {
                return Ok(NOTHING);
            }
            if let Some(read) = snapshot.read(offset, max_bytes, below)? {
                return Ok(read);
            }
        }
        // The log is being deleted faster than it is read.
        Ok(NOTHING)
    }

    /// Nothing if the offset is the end.
    fn snapshot(&self, offset: i64, below: Option<i64>) -> Result<Option<Snapshot>, Error> {
        let view = lock(&self.view);
        let (first, end) = (view.start_offset(), view.end_offset);
        if offset == end {
            return Ok(None);
        }
        if !(first..end).contains(&offset) {
            return Err(Error::OffsetOutOfRange {
                asked: offset,
                first,
                end,
            });
        }
        if let Some(bound) = below.filter(|&bound| bound < offset) {
            return Err(Error::BeyondBound { asked: offset, bound });
        }
        let not_after = view
            .segments
            .partition_point(|segment| segment.base_offset() <= offset);
        Ok(Some(Snapshot {
            at: not_after.saturating_sub(1),
            segments: Arc::clone(&view.segments),
            end_offset: end,
            end_position: view.end_position,
            start: view.hint(offset),
            bound: below.map_or(Hint::None, |bound| view.hint(bound)),
        }))
    }
}

impl Snapshot {
    /// Nothing if a segment was deleted meanwhile: what there is now is to be looked at again.
    fn read(&self, offset: i64, max_bytes: u64, below: Option<i64>) -> Result<Option<Read>, Error> {
        for (at, segment) in self.segments.iter().enumerate().skip(self.at) {
            let wanted = (offset, max_bytes, below);
            let read = if at + 1 == self.segments.len() {
                self.read_segment(segment, true, wanted)
            } else {
                // Neither it nor its index are likely to be in the page cache, or even open.
                blocking::in_place(|| self.read_segment(segment, false, wanted))
            };
            if segment.is_removed() {
                return Ok(None);
            }
            if let Some(read) = read? {
                return Ok(Some(read));
            }
        }
        Ok(Some(NOTHING))
    }

    /// Nothing if every offset in the segment is below the wanted one.
    fn read_segment(
        &self,
        segment: &Segment,
        is_active: bool,
        (offset, max_bytes, below): (i64, u64, Option<i64>),
    ) -> Result<Option<Read>, Error> {
        let len = if is_active {
            self.end_position
        } else {
            segment.len()
        };
        let file = segment.log().readable()?;
        let hint = if is_active { self.start } else { Hint::None };
        let search = Search {
            segment,
            file: &file,
            len,
            is_active,
        };
        let Some(position) = search.find(offset, hint)? else {
            return Ok(None);
        };
        let end = match below {
            Some(bound) if !self.is_all_below(bound, is_active) => {
                let hint = if is_active { self.bound } else { Hint::None };
                search.find(bound, hint)?.unwrap_or(len)
            }
            _ => len,
        };
        let stop = position.saturating_add(max_bytes).min(end);
        if stop <= position {
            return Ok(Some(NOTHING));
        }
        let cold = search.is_cold(position);
        Ok(Some(Read {
            messages: Some(FileSlice {
                file,
                position,
                len: stop - position,
                cold,
            }),
            ends_closed_segment: !is_active && stop == len,
        }))
    }

    /// Whether no offset of the segment reaches the bound. Segments before the active one may overlap each
    /// other, when a compaction was interrupted, but not the active one.
    fn is_all_below(&self, bound: i64, is_active: bool) -> bool {
        if is_active {
            bound >= self.end_offset
        } else {
            self.segments
                .last()
                .is_none_or(|active| bound >= active.base_offset())
        }
    }
}

/// Looks for offsets in one segment.
struct Search<'a> {
    segment: &'a Segment,
    file: &'a File,
    len: u64,
    is_active: bool,
}

impl Search<'_> {
    /// Where the first entry is whose offset is not below `target`.
    fn find(&self, target: i64, hint: Hint) -> Result<Option<u64>, Error> {
        let known = match hint {
            Hint::At(position) => return Ok((position < self.len).then_some(position)),
            Hint::From(position) => Some(position),
            Hint::None => None,
        };
        // The index of the active segment is warm: it is small, and was written a while ago, or is in memory.
        let start = self.segment.near(target, self.len, known);
        let walk = || self.segment.find_from(start, self.file, target, self.len);
        if self.is_cold(start) {
            blocking::in_place(walk)
        } else {
            walk()
        }
    }

    /// Whether what is there may have to come from the disk.
    fn is_cold(&self, position: u64) -> bool {
        !self.is_active || position.saturating_add(WARM_BYTES) < self.len
    }
}

#[cfg(test)]
mod tests;
