//! Fuzzes `decoders::pack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stepwell_fuzz::decoders::pack(data));
