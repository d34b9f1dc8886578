//! Taking inputs apart: what decides how a property is looked at comes first, what it is about comes last.

/// What is left of an input. Whatever is missing reads as zero.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    pub(super) fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// At most so many bytes.
    pub(super) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes that are preceded by their number.
    pub(super) fn counted(&mut self) -> &'a [u8] {
        let len = self.short();
        self.take(len.into())
    }
}

/// The counterpart of [`Input::counted`].
pub(super) fn put_counted(seed: &mut Vec<u8>, bytes: &[u8]) {
    seed.extend(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    seed.extend(bytes.iter().take(usize::from(u16::MAX)));
}
