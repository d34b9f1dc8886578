//! See `gregor_fuzz::frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| gregor_fuzz::frames::holds(input));
