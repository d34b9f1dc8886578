//! See `gregor_fuzz::snappy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| gregor_fuzz::snappy::holds(input));
