//! Fuzzes `decoders::parcel`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stepwell_fuzz::decoders::parcel(data));
