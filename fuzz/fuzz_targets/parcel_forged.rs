//! Fuzzes `decoders::parcel_forged`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stepwell_fuzz::decoders::parcel_forged(data));
