//! Messages that stay where they are: a stretch of a file.
//!
//! A fetch is answered with these, so that the bytes go from the page cache to the socket and never enter this
//! process. The file is kept open by the slice: one that is deleted meanwhile can still be sent.

use std::fs::File;
use std::sync::Arc;

/// A stretch of a log file that holds messages, perhaps ending within one.
#[derive(Debug, Clone)]
pub struct FileSlice {
    /// The file.
    pub file: Arc<File>,
    /// Where the messages begin in it.
    pub position: u64,
    /// How many bytes of it.
    pub len: u64,
    /// Whether it is probably not in the page cache, so that reading it may block.
    pub cold: bool,
}
