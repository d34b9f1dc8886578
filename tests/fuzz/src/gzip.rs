//! gzip: the value of a wrapper, or messages to be put into one.

use std::io::Read;
use std::path::Path;

use flate2::bufread::GzDecoder;
use gregor::message::Codec;

use super::fixtures;
use super::messages::UNFOLDED;
use super::messages::holds_for_codec;
use super::messages::wrapped;

pub fn holds(input: &[u8]) {
    holds_for_codec(Codec::Gzip, input, single_member);
}

/// The image, if the value is one member and nothing else.
fn single_member(value: &[u8]) -> Option<Vec<u8>> {
    let mut image = Vec::new();
    let mut decoder = GzDecoder::new(value).take(UNFOLDED as u64 + 1);
    decoder.read_to_end(&mut image).ok()?;
    decoder.into_inner().into_inner().is_empty().then_some(image)
}

pub fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    fixtures::message_sets(folder)
        .iter()
        .flat_map(|set| wrapped(set, Codec::Gzip))
        .map(|value| [vec![0], value].concat())
        .chain([b"\x03\x05\x02k1\x09some text\x00\x04null\x04null".to_vec()])
        .collect()
}
