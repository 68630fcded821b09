//! Fuzzes `decoders::log_forged`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stepwell_fuzz::decoders::log_forged(data));
