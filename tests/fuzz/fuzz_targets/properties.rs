//! See `gregor_fuzz::properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| gregor_fuzz::properties::holds(input));
