//! See `gregor_fuzz::gzip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| gregor_fuzz::gzip::holds(input));
