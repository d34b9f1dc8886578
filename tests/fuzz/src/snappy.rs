//! Snappy in xerial's framing or without it: the value of a wrapper, or messages to be put into one.

use std::path::Path;

use gregor::message::Codec;

use super::fixtures;
use super::messages::UNFOLDED;
use super::messages::holds_for_codec;
use super::messages::wrapped;

pub fn holds(input: &[u8]) {
    holds_for_codec(Codec::Snappy, input, bare_block);
}

/// The image, if the value is a block without framing.
fn bare_block(value: &[u8]) -> Option<Vec<u8>> {
    let len = snap::raw::decompress_len(value).ok()?;
    let framed = value.len() >= 16 && value.starts_with(b"\x82SNAPPY\0");
    if framed || len > UNFOLDED {
        return None;
    }
    snap::raw::Decoder::new().decompress_vec(value).ok()
}

pub fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    fixtures::message_sets(folder)
        .iter()
        .flat_map(|set| wrapped(set, Codec::Snappy))
        .map(|value| [vec![0], value].concat())
        .chain([b"\x03\x05\x02k1\x09some text\x00\x04null\x04null".to_vec()])
        .collect()
}
