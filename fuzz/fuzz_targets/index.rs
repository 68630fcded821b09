//! Fuzzes `decoders::index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stepwell_fuzz::decoders::index(data));
