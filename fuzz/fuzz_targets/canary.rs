//! Must crash, within seconds: where it does not, the fuzzers here find nothing either.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Found byte by byte, which needs both the sanitizer's coverage and the engine's mutations.
    if data.first() == Some(&b'S') && data.get(1) == Some(&b'W') {
        assert_ne!(data.get(2), Some(&b'!'), "the canary: a crash that must be found");
    }
});
