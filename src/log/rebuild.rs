//! Reading a segment from front to back: its index is made anew, and what isn't whole is cut off.

use std::time::Duration;
use std::time::Instant;

use crate::log::Error;
use crate::log::LogConfig;
use crate::log::index::IndexEntry;
use crate::log::scan::Checked;
use crate::log::scan::EntryReader;
use crate::log::scan::Headers;
use crate::log::scan::Located;
use crate::log::segment::Segment;
use crate::message;

/// How often a long one says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// What is known of a segment's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Messages {
    /// They may not have reached the disk: the first one with a wrong checksum ends the segment.
    Unflushed,
    /// They were flushed: one with a wrong checksum is damaged, but those after it are as good as ever.
    /// 0.8.2.2 cuts there too, when an index is missing, and loses them.
    Flushed,
}

/// What a segment ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Bytes of whole entries.
    pub(crate) len: u64,
    /// The offset of the last one.
    pub(crate) last_offset: Option<i64>,
}

impl Walked {
    fn before(base_offset: i64) -> Progress {
        Progress {
            walked: Self {
                len: 0,
                last_offset: None,
            },
            least: base_offset,
        }
    }
}

/// A walk over entries whose offsets must increase.
struct Progress {
    walked: Walked,
    /// The least offset that may come.
    least: i64,
}

impl Progress {
    /// Takes an entry; false if it can't follow. An offset that goes back makes 0.8.2.2 empty the segment, if
    /// it notices (LogSegment.recover); what comes before it is sound, and stays.
    fn take(&mut self, at: Located) -> bool {
        let offset = at.header.last_offset;
        let follows = offset >= self.least && offset < i64::MAX;
        if follows {
            self.least = offset + 1;
            self.walked = Walked {
                len: at.end(),
                last_offset: Some(offset),
            };
        }
        follows
    }
}

/// Makes the index anew and cuts off what isn't whole, as 0.8.2.2 recovers a segment; returns what is left
/// and how many bytes were cut.
///
/// Its one other difference: 0.8.2.2 also cuts at a message beyond `max.message.bytes`. The limit may have
/// been lowered since, and a message with the right checksum was accepted when it came.
pub(crate) fn rebuild(
    segment: &Segment,
    messages: Messages,
    config: &LogConfig,
) -> Result<(Walked, u64), Error> {
    let path = segment.log().path();
    segment.mark_dirty();
    segment.index().clear(config.index_bytes)?;
    let file = segment.log().readable()?;
    let len = segment.len();
    let mut reader = EntryReader::new(&file, len);
    let mut progress = Walked::before(segment.base_offset());
    let mut indexed = 0;
    let mut reported = Instant::now();
    let mut told = false;
    loop {
        let position = progress.walked.len;
        let due = position - indexed > config.index_interval_bytes;
        let Checked::Entry { at, check } = reader.next(due).map_err(Error::io(path))? else {
            break;
        };
        if let Err(message::Error::Crc { .. }) = check {
            tracing::warn!("{}: message with a wrong checksum at {position}", path.display());
            if messages == Messages::Unflushed {
                break;
            }
        }
        let least = progress.least;
        if !progress.take(at) {
            tracing::warn!("{}: offsets go back at {position}", path.display());
            break;
        }
        match check {
            Ok(entry) if due => {
                segment.index().append(IndexEntry {
                    // No checksum covers the offset of a wrapper: it may contradict those inside, by which
                    // readers don't go.
                    offset: entry.first_offset.max(least),
                    position,
                });
                indexed = position;
            }
            // Such a wrapper stops the start of 0.8.2.2. The next message is as good for the index.
            Err(error) if due && !told && !matches!(error, message::Error::Crc { .. }) => {
                told = true;
                tracing::warn!(
                    "{}: a wrapper that can't be opened is kept, at {position}: {error}",
                    path.display()
                );
            }
            _ => {}
        }
        // Reading the clock costs as much as checking a small message.
        if due && reported.elapsed() > PROGRESS_INTERVAL {
            reported = Instant::now();
            tracing::info!("{}: {position} of {len} bytes checked", path.display());
        }
    }
    segment.trim_index()?;
    let cut = cut_to(segment, progress.walked.len)?;
    segment.give_back_room();
    segment.release();
    Ok((progress.walked, cut))
}

/// Finds the end of a segment that was closed properly, without reading messages: from the last index entry
/// on.
///
/// Cuts off what isn't whole. 0.8.2.2 leaves it there, appends after it, and readers get stuck. Nothing if
/// the index is not about this segment.
pub(crate) fn find_end(segment: &Segment) -> Result<Option<Walked>, Error> {
    let Some(walked) = walk_end(segment)? else {
        return Ok(None);
    };
    cut_to(segment, walked.len)?;
    Ok(Some(walked))
}

/// One past the last offset of a segment, found as by [`find_end`], without changing anything.
pub(crate) fn end_offset(segment: &Segment) -> Result<Option<i64>, Error> {
    let end = |walked: Walked| walked.last_offset.map_or(segment.base_offset(), |last| last + 1);
    Ok(walk_end(segment)?.map(end))
}

fn walk_end(segment: &Segment) -> Result<Option<Walked>, Error> {
    let path = segment.log().path();
    let file = segment.log().readable()?;
    let len = segment.len();
    let indexed = match segment.index().last_entry() {
        Ok(indexed) => indexed,
        Err(error) => {
            tracing::warn!("{error}");
            return Ok(None);
        }
    };
    let (start, least) = indexed.map_or((0, segment.base_offset()), |entry| (entry.position, entry.offset));
    let mut progress = Walked::before(least);
    progress.walked.len = start;
    let mut headers = Headers::reading_on(&file, start, len);
    while let Some(Ok(at)) = headers.next().map_err(Error::io(path))? {
        if at.end() > len || !progress.take(at) {
            break;
        }
    }
    if indexed.is_some() && progress.walked.last_offset.is_none() {
        return Ok(None);
    }
    Ok(Some(progress.walked))
}

fn cut_to(segment: &Segment, len: u64) -> Result<u64, Error> {
    let cut = segment.len() - len;
    if cut > 0 {
        tracing::warn!(
            "{}: cutting {cut} bytes after {len}",
            segment.log().path().display()
        );
        segment.cut(len)?;
    }
    Ok(cut)
}
