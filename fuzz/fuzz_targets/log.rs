//! Fuzzes `decoders::log`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stepwell_fuzz::decoders::log(data));
