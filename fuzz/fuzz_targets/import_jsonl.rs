//! Fuzzes the import of one file named `log.jsonl`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stepwell_fuzz::import::file("log.jsonl", data));
