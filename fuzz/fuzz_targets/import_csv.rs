//! Fuzzes the import of one file named `progress.csv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stepwell_fuzz::import::file("progress.csv", data));
