//! What everybody says who takes the bytes around compressed blocks off or puts them on.

/// How much a decompressor may write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// More than this is an error.
    pub(super) limit: usize,
    /// With this much the caller is content; the rest need not be decompressed, nor be sound.
    pub(super) enough: usize,
}

/// Whether the bytes around compressed blocks are the ones that we write, which every 0.8 client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// They are.
    Ours,
    /// Acceptable here, but not to every reader.
    Foreign,
}
