//! Opening the directory of a partition: leftovers, torn tails, indexes that must be made anew.
//!
//! What 0.8.2.2 writes is opened as it does it. Where it refuses to start over something that can be mended
//! without losing a message, it is mended, and the log says so.

mod seams;

use std::ffi::OsStr;
use std::fs;
use std::fs::Metadata;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::log::Error;
use crate::log::LogConfig;
use crate::log::durable;
use crate::log::files::OpenFiles;
use crate::log::rebuild::Messages;
use crate::log::rebuild::Walked;
use crate::log::rebuild::find_end;
use crate::log::rebuild::rebuild;
use crate::log::segment::INDEX_SUFFIX;
use crate::log::segment::IndexFound;
use crate::log::segment::LOG_SUFFIX;
use crate::log::segment::Segment;
use crate::log::segment::file_path;
use crate::log::segment::parse_base_offset;

/// How the broker stopped that used the directory last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastStop {
    /// Everything was flushed and every file is complete.
    Clean,
    /// Everything below the recovery point was flushed.
    Unclean {
        /// The recovery point.
        recovery_point: i64,
    },
}

/// What a directory held.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// At least one, in order.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// One past the last offset.
    pub(crate) end_offset: i64,
    /// Up to where everything is flushed.
    pub(crate) recovery_point: i64,
    /// Files that are to be removed later.
    pub(crate) doomed: Vec<PathBuf>,
}

/// Opens a directory, which must exist.
pub(crate) fn load(
    directory: &Path,
    last_stop: LastStop,
    config: &LogConfig,
    open_files: &Arc<OpenFiles>,
) -> Result<Loaded, Error> {
    finish_what_was_begun(directory)?;
    let mut found = open_segments(directory, config, open_files)?;
    if found.is_empty() {
        let segment = Segment::create(directory, 0, config, open_files)?;
        found.push((Arc::new(segment), IndexFound::Yes));
    }
    let unflushed_from = match last_stop {
        LastStop::Clean => found.len(),
        LastStop::Unclean { recovery_point } => {
            let not_after = found.partition_point(|(segment, _)| segment.base_offset() <= recovery_point);
            not_after.saturating_sub(1)
        }
    };
    for (segment, index) in found.iter().take(unflushed_from) {
        mend_index(segment, *index, config)?;
    }
    let mut segments: Vec<_> = found.into_iter().map(|(segment, _)| segment).collect();
    let (end, doomed) = recover(&mut segments, unflushed_from, config)?;
    let end_offset = activate(&segments, end, config)?;
    // Only where everything was read anyhow: older segments may be many, on a slow disk, and nobody has touched them.
    let read_from = unflushed_from.saturating_sub(1).min(segments.len());
    if let (LastStop::Unclean { .. }, Some(read)) = (&last_stop, segments.get(read_from..)) {
        seams::report(directory, read, config);
    }
    let recovery_point = match last_stop {
        LastStop::Clean => end_offset,
        LastStop::Unclean { recovery_point } => recovery_point.min(end_offset),
    };
    Ok(Loaded {
        segments,
        end_offset,
        recovery_point,
        doomed,
    })
}

/// Removes what was about to be removed, and completes the swapping-in of a compacted segment: from the first
/// renaming on the compacted file is whole, and replaces the one of its name. Originals beside it stay;
/// readers find the same messages in them.
fn finish_what_was_begun(directory: &Path) -> Result<(), Error> {
    let mut names = list(directory)?;
    names.sort();
    for name in names {
        let path = directory.join(&name);
        if name.ends_with(".deleted") || name.ends_with(".cleaned") {
            durable::remove_if_present(&path)?;
        } else if let Some(name) = name.strip_suffix(".swap") {
            match split(name) {
                Some((_, INDEX_SUFFIX)) => durable::remove_if_present(&path)?,
                Some((base_offset, _)) => {
                    tracing::info!("{}: completing an interrupted compaction", path.display());
                    durable::remove_if_present(&file_path(directory, base_offset, INDEX_SUFFIX))?;
                    let to = file_path(directory, base_offset, LOG_SUFFIX);
                    fs::rename(&path, &to).map_err(Error::io(&path))?;
                }
                None => tracing::warn!("{}: ignored, it is no segment", path.display()),
            }
        }
    }
    Ok(())
}

/// Opens every segment, in order. An index without messages goes.
fn open_segments(
    directory: &Path,
    config: &LogConfig,
    open_files: &Arc<OpenFiles>,
) -> Result<Vec<(Arc<Segment>, IndexFound)>, Error> {
    let mut base_offsets = Vec::new();
    for name in list(directory)? {
        match split(&name) {
            Some((base_offset, LOG_SUFFIX)) => base_offsets.push(base_offset),
            Some((base_offset, _)) if !file_path(directory, base_offset, LOG_SUFFIX).is_file() => {
                tracing::warn!(
                    "{}: removed, its messages are gone",
                    directory.join(&name).display()
                );
                durable::remove_if_present(&directory.join(&name))?;
            }
            Some(_) => {}
            None if matches!(suffix(&name), Some(LOG_SUFFIX | INDEX_SUFFIX)) => {
                // 0.8.2.2 doesn't start with such a file around.
                tracing::warn!(
                    "{}: ignored, its name is no offset",
                    directory.join(&name).display()
                );
            }
            None => {}
        }
    }
    base_offsets.sort_unstable();
    base_offsets
        .into_iter()
        .map(|base_offset| {
            let (segment, index) = Segment::open(directory, base_offset, config, open_files)?;
            Ok((Arc::new(segment), index))
        })
        .collect()
}

/// Makes an index anew that is missing or can't be right. 0.8.2.2 doesn't start in the latter case.
fn mend_index(segment: &Segment, index: IndexFound, config: &LogConfig) -> Result<(), Error> {
    let defect = match index {
        IndexFound::No => Some("it is missing"),
        IndexFound::Yes => segment
            .index()
            .defect(segment.len())
            .inspect_err(|error| tracing::warn!("{error}"))
            .unwrap_or(Some("it can't be read")),
    };
    if let Some(defect) = defect {
        let path = segment.index().file().path().display();
        tracing::warn!("{path}: making the index anew, {defect}");
        rebuild(segment, Messages::Flushed, config)?;
    }
    Ok(())
}

/// Recovers the segments from `unflushed_from` on. After one that lost something, none is kept: what follows
/// a gap was never promised to be there. Returns the end of the last one if it was recovered, and the files
/// that are to be removed.
fn recover(
    segments: &mut Vec<Arc<Segment>>,
    unflushed_from: usize,
    config: &LogConfig,
) -> Result<(Option<Walked>, Vec<PathBuf>), Error> {
    let mut end = None;
    let mut lost_at = None;
    for (at, segment) in segments.iter().enumerate().skip(unflushed_from) {
        tracing::debug!("{}: recovering", segment.log().path().display());
        let (walked, cut) = rebuild(segment, Messages::Unflushed, config)?;
        end = Some(walked);
        if cut > 0 {
            lost_at = Some(at);
            break;
        }
    }
    let mut doomed = Vec::new();
    let kept = lost_at.map_or(segments.len(), |at| at + 1);
    // From the end, so that a crash leaves no gap.
    for segment in segments.split_off(kept).into_iter().rev() {
        tracing::warn!(
            "{}: deleted, the segment before it is cut",
            segment.log().path().display()
        );
        doomed.extend(segment.remove()?);
    }
    Ok((end, doomed))
}

/// Prepares the last segment for being appended to; returns the log's end.
fn activate(segments: &[Arc<Segment>], end: Option<Walked>, config: &LogConfig) -> Result<i64, Error> {
    let Some(active) = segments.last() else {
        return Ok(0);
    };
    let end = match end {
        Some(end) => end,
        None => match find_end(active)? {
            Some(end) => end,
            None => {
                let path = active.index().file().path().display();
                tracing::warn!("{path}: making the index anew, it does not fit its messages");
                rebuild(active, Messages::Flushed, config)?.0
            }
        },
    };
    active.activate(config)?;
    Ok(end.last_offset.map_or(active.base_offset(), |last| last + 1))
}

/// Names of the plain files in a directory.
fn list(directory: &Path) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(Error::io(directory))? {
        let entry = entry.map_err(Error::io(directory))?;
        if durable::is_there(&entry.path(), Metadata::is_file)? {
            // A name that is no text is no segment's.
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

/// The base offset and the suffix that a file name of a segment consists of.
fn split(name: &str) -> Option<(i64, &'static str)> {
    let (stem, suffix) = name.rsplit_once('.')?;
    let suffix = [LOG_SUFFIX, INDEX_SUFFIX]
        .into_iter()
        .find(|&known| known == suffix)?;
    Some((parse_base_offset(stem)?, suffix))
}

fn suffix(name: &str) -> Option<&str> {
    Path::new(name).extension().and_then(OsStr::to_str)
}

#[cfg(test)]
mod tests;
