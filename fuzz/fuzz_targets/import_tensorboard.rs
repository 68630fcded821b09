//! Fuzzes the import of one file named `events.out.tfevents.1.host`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stepwell_fuzz::import::file("events.out.tfevents.1.host", data));
