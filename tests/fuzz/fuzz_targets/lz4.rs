//! See `gregor_fuzz::lz4`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| gregor_fuzz::lz4::holds(input));
