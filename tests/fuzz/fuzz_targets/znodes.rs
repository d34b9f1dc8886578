//! See `gregor_fuzz::znodes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| gregor_fuzz::znodes::holds(input));
