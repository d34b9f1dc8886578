//! See `gregor_fuzz::recovery`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| gregor_fuzz::recovery::holds(input));
