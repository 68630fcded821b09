//! Fuzzes the import of one file named `run-a/run-a.wandb`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stepwell_fuzz::import::file("run-a/run-a.wandb", data));
