//! The index against its input: round trips, damage at every byte, every length.

use std::collections::BTreeMap;

use crate::base::ids::{ExperimentId, RunId};
use crate::base::stats::{Extreme, RunStatus, SeriesStats, StatPoint};
use crate::base::summary::RunSummary;
use crate::index::part::IndexPart;
use crate::index::rows::Row;

/// A small generator of repeatable numbers (SplitMix64), so that fixtures need no seed from outside.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len() as u64) as usize]
    }
}

fn value(numbers: &mut Numbers) -> f64 {
    const ODD: [f64; 9] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, 0.5, 5e-324, -3.0];
    match numbers.below(3) {
        0 => ODD[numbers.below(9) as usize],
        1 => numbers.below(4) as f64,
        _ => numbers.next() as f64 / 1e18,
    }
}

fn time(numbers: &mut Numbers) -> Option<i64> {
    match numbers.below(4) {
        0 => None,
        1 => Some(numbers.next() as i64),
        _ => Some(1_700_000_000_000 + numbers.below(3) as i64),
    }
}

fn stats(numbers: &mut Numbers) -> SeriesStats {
    let mut point =
        || StatPoint { step: numbers.below(5) as i64 - 1, timestamp_ms: time(numbers), value: value(numbers) };
    let (first, latest) = (point(), point());
    let mut extreme =
        || (numbers.below(5) > 0).then(|| Extreme { value: value(numbers), step: numbers.below(4) as i64 });
    let (min, max) = (extreme(), extreme());
    let nan_count = numbers.below(3);
    let inf_count = numbers.below(2);
    let count = nan_count + inf_count + numbers.below(3);
    if numbers.below(4) == 0 {
        let alike = Extreme { value: latest.value, step: latest.step };
        return SeriesStats {
            count: 1,
            nan_count: 0,
            inf_count: 0,
            first: latest,
            latest,
            min: Some(alike),
            max: Some(alike),
            sum: latest.value,
        };
    }
    SeriesStats { count, nan_count, inf_count, first, latest, min, max, sum: value(numbers) }
}

pub(crate) const KEYS: [&str; 6] = ["loss", "loss.min", "a b", "é/ü", "x`y", "rare"];
const TEXTS: [&str; 8] = ["", "3", "x", "X", "adam", "50%_off", "it''s", "É\n"];

/// A run whose words and numbers repeat often and are odd often.
pub(crate) fn random_run(numbers: &mut Numbers, at: usize) -> RunSummary {
    let id = match numbers.below(4) {
        0 => format!("run-{at}_{}", numbers.below(9)),
        _ => format!("{:016x}{:016x}", numbers.next(), at),
    };
    let mut some =
        |chance: u64| KEYS.into_iter().filter(|_| numbers.below(chance) > 0).map(str::to_owned).collect::<Vec<_>>();
    let (params, tags, metrics) = (some(3), some(2), some(4));
    let texts = |keys: Vec<String>, numbers: &mut Numbers| -> BTreeMap<String, String> {
        keys.into_iter().map(|key| (key, numbers.pick(&TEXTS).to_owned())).collect()
    };
    RunSummary {
        run_id: RunId::new(id).unwrap(),
        experiment_id: ExperimentId(numbers.below(3)),
        name: numbers.pick(&TEXTS).to_owned(),
        user: numbers.pick(&["ann", "bob", ""]).to_owned(),
        status: RunStatus::ALL[numbers.below(5) as usize],
        start_time_ms: time(numbers),
        end_time_ms: time(numbers),
        kind: u8::from(numbers.below(9) == 0),
        deleted: numbers.below(4) == 0,
        deleted_generation: numbers.below(3) / 2,
        params: texts(params, numbers),
        tags: texts(tags, numbers),
        items: (0..numbers.below(3)).map(|at| (format!("\u{1}{at}"), numbers.pick(&TEXTS).to_owned())).collect(),
        metrics: metrics.into_iter().map(|key| (key, stats(numbers))).collect(),
    }
}

pub(crate) fn random_runs(seed: u64, count: usize) -> Vec<RunSummary> {
    let mut numbers = Numbers(seed);
    (0..count).map(|at| random_run(&mut numbers, at)).collect()
}

/// Equality by bits, which `==` on floats is not; `Debug` prints a NaN without its payload, so values are added as
/// bits.
pub(crate) fn bits(run: &RunSummary) -> String {
    let payloads: Vec<u64> = run
        .metrics
        .values()
        .flat_map(|m| {
            [Some(m.first.value), Some(m.latest.value), m.min.map(|e| e.value), m.max.map(|e| e.value), Some(m.sum)]
        })
        .map(|value| value.map_or(0, f64::to_bits))
        .collect();
    format!("{run:?}{payloads:?}")
}

#[test]
fn every_run_comes_back_bit_for_bit() {
    // 1,500 runs make dense blocks; the others are all sparse.
    for (seed, count) in [(1, 0), (2, 1), (3, 70), (4, 1500)] {
        let runs = random_runs(seed, count);
        let built = IndexPart::build(&runs).unwrap();
        let opened = IndexPart::from_bytes(&built.to_bytes().unwrap()).unwrap();
        assert_eq!(opened.len(), count);
        opened.verify().unwrap();
        for (ordinal, run) in runs.iter().enumerate() {
            let summary = opened.summary(ordinal as u32).unwrap();
            assert_eq!(bits(&summary), bits(run));
            assert_eq!(opened.find(&run.run_id).unwrap(), Some(ordinal as u32));
        }
        // Any of them in any order, one twice.
        let some: Vec<u32> = (0..count as u32).rev().filter(|at| at % 3 != 1).chain((count > 0).then_some(0)).collect();
        for (row, &at) in opened.rows(&some).unwrap().iter().zip(&some) {
            assert_eq!(format!("{row:?}"), format!("{:?}", Row::of(&runs[at as usize])), "by key, NaN included");
        }
        assert!(opened.rows(&[count as u32]).is_err());
        assert!(opened.summary(count as u32).is_err());
        assert_eq!(opened.find(&RunId::new("absent").unwrap()).unwrap(), None);
    }
}

#[test]
fn a_run_of_many_keys_costs_its_own_keys() {
    let mut runs = random_runs(5, 3);
    let one = runs[0].metrics.values().next().copied().unwrap_or_else(|| stats(&mut Numbers(1)));
    runs[1].metrics = (0..20_000).map(|at| (format!("layer/{at}"), one)).collect();
    let part = IndexPart::build(&runs).unwrap();
    assert_eq!(bits(&part.summary(1).unwrap()), bits(&runs[1]));
    assert!(part.to_bytes().unwrap().len() < 20_000 * 100, "rare keys share sections");
}

/// Whether the image still opens and answers everything as `runs`, or says that it is damaged.
fn harmless_or_told(bytes: &[u8], runs: &[RunSummary]) -> bool {
    let Ok(part) = IndexPart::from_bytes(bytes) else {
        return true;
    };
    if part.verify().is_err() {
        return true;
    }
    part.len() == runs.len()
        && runs.iter().enumerate().all(|(at, run)| part.summary(at as u32).is_ok_and(|found| bits(&found) == bits(run)))
}

#[test]
fn every_flipped_bit_is_detected() {
    let runs = random_runs(6, 12);
    let image = IndexPart::build(&runs).unwrap().to_bytes().unwrap();
    let mut bytes = image.clone();
    for at in 0..image.len() {
        for bit in [0, 3, 7] {
            bytes[at] ^= 1 << bit;
            let told = IndexPart::from_bytes(&bytes).and_then(|part| part.verify()).is_err();
            assert!(told, "byte {at} of {} flipped at bit {bit} goes unseen", image.len());
            // What reads without checking first must not panic either, nor tell anything wrong.
            if bit == 3
                && let Ok(part) = IndexPart::from_bytes(&bytes)
            {
                for (ordinal, run) in runs.iter().enumerate() {
                    assert!(part.summary(ordinal as u32).map_or(true, |found| bits(&found) == bits(run)));
                }
            }
            bytes[at] ^= 1 << bit;
        }
    }
}

#[test]
fn every_shorter_or_longer_image_is_refused() {
    let image = IndexPart::build(&random_runs(7, 12)).unwrap().to_bytes().unwrap();
    for len in 0..image.len() {
        assert!(IndexPart::from_bytes(&image[..len]).is_err(), "{len} bytes of {}", image.len());
    }
    let mut longer = image;
    longer.push(0);
    assert!(IndexPart::from_bytes(&longer).is_err());
}

#[test]
fn forged_images_with_right_checksums_do_not_panic() {
    use crate::base::checksum::crc32;
    let runs = random_runs(8, 6);
    let image = IndexPart::build(&runs).unwrap().to_bytes().unwrap();
    let directory = u64::from_le_bytes(image[16..24].try_into().unwrap()) as usize;
    let mut told = 0;
    for at in directory..image.len() {
        for xor in [1_u8, 0x80, 0xFF] {
            let mut forged = image.clone();
            forged[at] ^= xor;
            let crc = crc32(0, &forged[directory..]);
            forged[32..36].copy_from_slice(&crc.to_le_bytes());
            let crc = crc32(0, &forged[..52]);
            forged[52..56].copy_from_slice(&crc.to_le_bytes());
            told += usize::from(IndexPart::from_bytes(&forged).and_then(|part| part.verify()).is_err());
            assert!(harmless_or_told(&forged, &runs), "a directory forged at {at} tells something wrong");
        }
    }
    assert!(told > 0);
}

#[test]
fn a_newer_version_is_named() {
    use crate::base::checksum::crc32;
    let mut image = IndexPart::build(&[]).unwrap().to_bytes().unwrap();
    image[8] = 3;
    let crc = crc32(0, &image[..52]);
    image[52..56].copy_from_slice(&crc.to_le_bytes());
    assert!(matches!(
        IndexPart::from_bytes(&image),
        Err(crate::error::Error::NewerFormat { found: 3, supported: 2, .. })
    ));
}

#[test]
fn forged_sections_with_right_checksums_do_not_panic() {
    use crate::index::image::{Image, Source};
    use crate::index::layout::{Directory, HEADER_LEN};
    use crate::index::section::pack;
    use crate::search::execute::{Query, View, execute};

    let mut numbers = Numbers(12);
    let queries = [
        Query { view: View::All, ..Query::parse("", &["metrics.loss DESC", "tags.rare"]).unwrap() },
        Query::parse(
            "metrics.loss.mean > 0 or params.`a b` like '%x%' or not tags.rare = 'x' or end_time > 3 or \
             metrics.rare.min != 1",
            &["params.rare", "run_name"],
        )
        .unwrap(),
        Query::parse(
            "run_id =~ 'a' or user_id = 'ann' or status != 'x' or metrics.loss.step > \
                      0",
            &["run_id"],
        )
        .unwrap(),
    ];
    // The 1,100 runs have dense blocks, where one change can hit many places.
    for (seed, count, rounds) in [(13, 7, 8), (14, 1100, 1)] {
        let runs = random_runs(seed, count);
        let image = IndexPart::build(&runs).unwrap().to_bytes().unwrap();
        let image = Image::open(Source::Memory(image), std::path::Path::new("image"), None).unwrap();
        let raws: Vec<Vec<u8>> =
            (0..image.directory.sections.len()).map(|section| image.raw(section).unwrap()).collect();
        let (mut refused, mut taken) = (0, 0);
        // Of the large image, every third section: dense blocks repeat their kinds.
        for section in (0..raws.len()).step_by(if count > 100 { 3 } else { 1 }) {
            for _ in 0..rounds {
                let mut forged = raws.clone();
                let raw = &mut forged[section];
                let at = numbers.below(raw.len().max(1) as u64) as usize;
                match numbers.below(5) {
                    0 => raw.truncate(at),
                    1 => raw.insert(at, numbers.next() as u8),
                    _ if raw.is_empty() => continue,
                    // The first bytes say how the rest is read.
                    2 => raw[at.min(9)] = numbers.next() as u8,
                    _ => raw[at] = numbers.next() as u8,
                }
                let mut bytes = vec![0; HEADER_LEN];
                let mut directory = Directory {
                    pack: 0,
                    rows: count,
                    blocks: image.directory.blocks.clone(),
                    keys: image.directory.keys,
                    sections: Vec::new(),
                };
                for (number, raw) in forged.iter().enumerate() {
                    directory.sections.push(pack(&mut bytes, number, raw));
                }
                directory.finish(&mut bytes);
                let Ok(part) = IndexPart::from_bytes(&bytes) else {
                    refused += 1;
                    continue;
                };
                for query in &queries {
                    match execute(&[(&part).into()], query, &BTreeMap::new()) {
                        Ok(page) => assert!(page.hits.len() <= count),
                        Err(_) => refused += 1,
                    }
                }
                for (ordinal, run) in runs.iter().enumerate().take(20) {
                    taken += usize::from(part.summary(ordinal as u32).is_ok());
                    refused += usize::from(part.find(&run.run_id).is_err());
                }
                refused += usize::from(part.verify().is_err());
            }
        }
        assert!(refused > 0 && taken > 0);
    }
}
