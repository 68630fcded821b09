//! Fuzzes `decoders::group`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stepwell_fuzz::decoders::group(data));
