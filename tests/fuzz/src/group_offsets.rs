//! Keys and values of `__consumer_offsets`, chosen by the first byte: refused, or read as something that can be written
//! and read again.

use std::path::Path;

use gregor::broker::offsets::records::Key;
use gregor::broker::offsets::records::Value;
use gregor::message::wrapper::deep_entries;

use super::fixtures;
use super::input::Input;
use super::within;

pub fn holds(input: &[u8]) {
    let mut input = Input(input);
    let is_key = input.byte() % 2 == 0;
    let bytes = input.0;
    // What is no UTF-8 becomes three times as long, piece by piece.
    let memory = 8 * bytes.len() + 256;
    if is_key {
        if let Ok(key) = within(memory, || Key::decode(bytes)) {
            let encoded = key.encode().unwrap();
            assert_eq!(Key::decode(&encoded), Ok(key));
            assert!((0..encoded.len()).all(|len| Key::decode(&encoded[..len]).is_err()));
        }
    } else if let Ok(value) = within(memory, || Value::decode(bytes)) {
        let encoded = value.encode().unwrap();
        assert_eq!(Value::decode(&encoded), Ok(value));
        assert!((0..encoded.len()).all(|len| Value::decode(&encoded[..len]).is_err()));
    }
}

pub fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let segments = fixtures::segments(folder).into_iter();
    let messages = segments
        .filter_map(|segment| deep_entries(&segment, 1 << 24).ok())
        .flatten();
    let mut seeds: Vec<Vec<u8>> = messages
        .filter_map(|(_, message)| Some((message.key?, message.value?)))
        .filter(|(key, value)| Key::decode(key).is_ok() && Value::decode(value).is_ok())
        .flat_map(|(key, value)| [[&[0], &key[..]].concat(), [&[1], &value[..]].concat()])
        .collect();
    seeds.sort();
    seeds.dedup();
    seeds
}
