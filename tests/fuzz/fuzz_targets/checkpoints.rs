//! See `gregor_fuzz::checkpoints`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| gregor_fuzz::checkpoints::holds(input));
