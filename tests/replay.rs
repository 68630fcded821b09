//! Feeds every decoder some thousands of random and changed inputs, by the functions that `fuzz/` runs for hours.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[allow(unreachable_pub)]
#[path = "../fuzz/src/decoders/mod.rs"]
mod decoders;

#[test]
fn what_the_fuzzers_found_is_refused() {
    // Frames that verify and whose sequence numbers overflow when their points are counted.
    for (kind, sequence) in [(0, u64::MAX), (3, u64::MAX), (3, 1 << 62)] {
        let mut input = vec![kind, 0];
        input.extend_from_slice(&sequence.to_le_bytes());
        input.extend_from_slice(&[0, 3, 0, 1, 0xFF]);
        input.extend_from_slice(&sequence.to_le_bytes());
        input.extend_from_slice(&input.clone());
        decoders::log_forged(&input);
    }
    // Words that claim to stand 2^60 points behind a damaged frame: the turn of the tail is looked for within bounds.
    let far = [
        "050606063a0000fff9f9f9f9f9f90200060606060606060606060606060606060606060606060606",
        "06060606060606060008000606060606060606060683ff5b04006c6f67038306060606600a0000ee",
        "008d000900ee060606faf3060606060606060606060606060606060506060606f9fef9f906050606",
        "06060606060800060606060606060606060606060606060606060606060606060000",
    ];
    let digits: Vec<u8> = far.concat().bytes().map(|digit| char::from(digit).to_digit(16).unwrap() as u8).collect();
    let input: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    decoders::log_forged(&input);
    // Slots numbered up to the greatest number.
    decoders::slots(&[[0xFF; 8].as_slice(), &[7; 200]].concat());
    // Footers that claim 2^24 keys, and as many axes and series, in a few bytes.
    let mut footer = vec![0, 0, 0x80, 0x80, 0x80, 8];
    for codec in 0..=u8::MAX {
        footer.extend_from_slice(&[codec, 1, 0]);
        decoders::group(&[&[0, 0], &footer[..]].concat());
        footer.truncate(6);
    }
}

/// Runs a decoder on bytes of all kinds: any, few different ones, short ones. `STEPWELL_REPLAY_TIMES` multiplies the
/// cases.
fn feed(decode: fn(&[u8]), cases: u32) {
    let times = std::env::var("STEPWELL_REPLAY_TIMES").ok().and_then(|times| times.parse::<u32>().ok());
    let cases = cases.saturating_mul(times.unwrap_or(1));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..600),
        vec(prop_oneof![Just(0_u8), Just(1), Just(0xFF), 0..16_u8], 0..300),
        vec(any::<u8>(), 0..24),
    ];
    TestRunner::new(config)
        .run(&bytes, |bytes| {
            decode(&bytes);
            Ok(())
        })
        .unwrap();
}

macro_rules! replay {
    ($($name:ident: $cases:literal,)*) => {
        $(#[test]
        fn $name() {
            feed(decoders::$name, $cases);
        })*

        /// Each decoder of the fuzzers is fed here.
        #[test]
        fn all_targets_are_here() {
            let targets = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/fuzz_targets")).unwrap();
            for target in targets {
                let name = target.unwrap().file_name().into_string().unwrap();
                let name = name.trim_end_matches(".rs");
                let elsewhere = name == "canary" || name.starts_with("import_");
                assert!(elsewhere || [$(stringify!($name)),*].contains(&name), "{name} is not replayed");
            }
        }
    };
}

replay! {
    log: 3000,
    log_forged: 3000,
    records: 5000,
    slots: 3000,
    codec: 5000,
    group: 3000,
    group_forged: 1500,
    pack: 2000,
    journal: 3000,
    index: 2000,
    query: 3000,
    parcel: 3000,
    parcel_forged: 3000,
}
