//! See `gregor_fuzz::request_bodies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| gregor_fuzz::request_bodies::holds(input));
