//! Frames on their way out: bytes in memory, and stretches of files between them.

use bytes::Bytes;
use bytes::BytesMut;

use crate::message::slice::FileSlice;

/// Bytes of a frame's size.
pub(super) const SIZE_LEN: usize = 4;

/// A response on its way out: a frame, of which some parts are in files.
#[derive(Debug, Clone)]
pub struct ResponseFrame {
    /// The parts, in order. Together they are the whole frame, its size included.
    pub chunks: Vec<Chunk>,
}

impl ResponseFrame {
    /// Bytes of the whole frame, its size included.
    pub fn len(&self) -> u64 {
        self.chunks.iter().map(Chunk::len).sum()
    }

    /// Bytes of it that are in memory, what holds the parts together included.
    pub fn memory(&self) -> usize {
        let bytes = |chunk: &Chunk| match chunk {
            Chunk::Bytes(bytes) => bytes.len(),
            Chunk::File(_) => 0,
        };
        self.chunks
            .iter()
            .map(|chunk| bytes(chunk) + size_of::<Chunk>())
            .sum()
    }

    /// Never, in fact: there always is a size.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A part of a frame.
#[derive(Debug, Clone)]
pub enum Chunk {
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes in a file.
    File(FileSlice),
}

impl Chunk {
    /// How many bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::File(slice) => slice.len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Leaves at most `len` bytes.
    pub(super) fn truncate(&mut self, len: u64) {
        match self {
            Self::Bytes(bytes) => bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX)),
            Self::File(slice) => slice.len = slice.len.min(len),
        }
    }
}

impl From<Bytes> for Chunk {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<FileSlice> for Chunk {
    fn from(slice: FileSlice) -> Self {
        Self::File(slice)
    }
}

/// Writes a frame's size over the place that was kept for it.
pub(super) fn put_size(buf: &mut BytesMut, size: usize) {
    let size = i32::try_from(size).unwrap_or(i32::MAX);
    if let Some(place) = buf.first_chunk_mut() {
        *place = size.to_be_bytes();
    }
}
