//! Filling in what is known only when the rest is written.

/// Writes over what is there.
pub(super) fn put_at(bytes: &mut [u8], at: usize, new: &[u8]) {
    if let Some(old) = bytes.get_mut(at..at + new.len()) {
        old.copy_from_slice(new);
    }
}
