//! See `gregor_fuzz::group_offsets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| gregor_fuzz::group_offsets::holds(input));
