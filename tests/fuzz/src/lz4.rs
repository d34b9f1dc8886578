//! LZ4 in 0.8's framing: the value of a wrapper, or messages to be put into one.

use std::path::Path;

use gregor::message::Codec;

use super::fixtures;
use super::messages::holds_for_codec;
use super::messages::wrapped;

pub fn holds(input: &[u8]) {
    let sealed = sealed(input);
    holds_for_codec(Codec::Lz4, &sealed, one_stored_block);
}

/// Every other input gets the right checksum of its header, which mutations hardly find.
fn sealed(input: &[u8]) -> Vec<u8> {
    let mut sealed = input.to_vec();
    if let [
        0 | 2,
        0x04,
        0x22,
        0x4d,
        0x18,
        0x60 | 0x70,
        descriptor,
        checksum,
        ..,
    ] = &mut *sealed
    {
        let blocks = input[5] & 0x10 != 0;
        *checksum = match (&*descriptor, blocks) {
            (0x40, false) => 0x1a,
            (0x70, false) => 0x10,
            _ => *checksum,
        };
    }
    sealed
}

/// The image, if the value is a frame of one block that is not compressed.
fn one_stored_block(value: &[u8]) -> Option<Vec<u8>> {
    let rest = value.strip_prefix(b"\x04\x22\x4d\x18\x60\x40\x1a")?;
    let (len, rest) = rest.split_first_chunk()?;
    let len = u32::from_le_bytes(*len).checked_sub(0x8000_0000)?;
    let (image, end) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    (len > 0 && len <= 1 << 16 && end.starts_with(&[0; 4])).then(|| image.to_vec())
}

pub fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    fixtures::message_sets(folder)
        .iter()
        .flat_map(|set| wrapped(set, Codec::Lz4))
        .map(|value| [vec![0], value].concat())
        .chain([b"\x03\x05\x02k1\x09some text\x00\x04null\x04null".to_vec()])
        .collect()
}
