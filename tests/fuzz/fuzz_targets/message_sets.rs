//! See `gregor_fuzz::message_sets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| gregor_fuzz::message_sets::holds(input));
