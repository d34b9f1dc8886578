//! See `gregor_fuzz::responses`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| gregor_fuzz::responses::holds(input));
