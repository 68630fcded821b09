//! Columns of every kind through every codec, compared by bits; damaged bytes through every decoder.

use proptest::prelude::*;

use super::id::ints::{LEAVES, NESTS};
use super::id::{ints as numbers, views as kinds};
use super::views::{EXPONENT_MAX, Seen, View};
use super::*;

const LENS: [usize; 18] = [0, 1, 2, 3, 4, 5, 7, 31, 33, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025];

/// A small generator whose numbers a failing case can be repeated with.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ mixed >> 29
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const INT_KINDS: usize = 14;

fn int_column(kind: usize, len: usize, seed: u64) -> Vec<i64> {
    let mut noise = Noise(seed);
    let base = noise.next() as i64 >> noise.below(60);
    let width = 1 + noise.below(40);
    let mut walk = base;
    (0..len as i64)
        .map(|at| match kind {
            0 => base,
            1 => base.wrapping_add(at * (seed % 1000) as i64),
            2 => noise.next() as i64,
            3 => base.wrapping_add(noise.below(1 << width) as i64),
            4 => {
                if noise.below(50) == 0 {
                    noise.next() as i64
                } else {
                    base.wrapping_add(noise.below(200) as i64)
                }
            }
            5 => 1_700_000_000_000 + at * 120 + noise.below(5) as i64 - 2,
            6 => [i64::MIN, i64::MAX, 0, -1, 1][noise.below(5) as usize],
            7 => {
                walk = walk.wrapping_add(noise.below(100) as i64 - 50);
                walk
            }
            8 => {
                if noise.below(20) == 0 {
                    walk = noise.next() as i64 >> 40;
                }
                walk
            }
            9 => {
                walk = if noise.below(100) == 0 { 0 } else { walk.wrapping_add(1) };
                walk
            }
            10 => base.wrapping_add(noise.below(7) as i64 * 0x1234_5678_9ABC),
            11 => (noise.below(1000) as i64) * 2048 + 17,
            12 => {
                if noise.below(30) == 0 {
                    walk = noise.below(5000) as i64;
                }
                base.wrapping_add(at.wrapping_mul(walk))
            }
            _ => at * at * at - 5 * at,
        })
        .collect()
}

const FLOAT_KINDS: usize = 17;

fn float_column(kind: usize, len: usize, seed: u64) -> Vec<f64> {
    let mut noise = Noise(seed);
    let digits = 10_f64.powi(1 + noise.below(8) as i32);
    let odd =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 5e-324, f64::MAX, f64::from_bits(0xFFF0_0000_0000_0001)];
    let constant = f64::from_bits(noise.next());
    (0..len)
        .map(|at| match kind {
            0 => constant,
            1 => f64::from_bits(noise.next()),
            2 => f64::from((noise.unit() * 3.0 / (1.0 + at as f64 / 50.0)) as f32),
            3 => (noise.unit() * digits).round() / digits,
            4 => f64::from(((noise.unit() * digits).round() / digits) as f32),
            5 => noise.below(1000) as f64 - 300.0,
            6 => {
                if noise.below(10) == 0 {
                    odd[noise.below(7) as usize]
                } else {
                    (noise.unit() * 1e4).round() / 1e4
                }
            }
            7 => {
                if noise.below(30) == 0 {
                    odd[noise.below(7) as usize]
                } else {
                    f64::from(noise.unit() as f32)
                }
            }
            8 => odd[noise.below(7) as usize],
            9 => f64::from_bits(noise.below(1 << 20)),
            10 => f64::from(f32::from_bits(noise.next() as u32)),
            11 => {
                if noise.below(2) == 0 {
                    0.0
                } else {
                    -0.0
                }
            }
            12 => 0.5 * (1.0 + (at as f64 / len as f64 * std::f64::consts::PI).cos()),
            13 => {
                if noise.below(40) == 0 {
                    noise.unit()
                } else {
                    noise.below(300) as f64
                }
            }
            14 => [0.1, 1.0 / 3.0, 2.5e-8][noise.below(3) as usize],
            15 => noise.next() as i64 as f64,
            _ => f64::from_bits(0x7FF0_0000_0000_0000 | noise.next() >> noise.below(20)),
        })
        .collect()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn check_ints(codec: CodecId, bytes: &[u8], values: &[i64]) {
    let mut back = vec![0x55; values.len()];
    decode_ints(codec, bytes, &mut back).unwrap_or_else(|error| panic!("{error} ({} values)", values.len()));
    assert!(back == values, "{codec:?} of {} values", values.len());
}

fn check_floats(codec: CodecId, bytes: &[u8], values: &[f64]) {
    let mut back = vec![0.5; values.len()];
    decode_floats(codec, bytes, &mut back).unwrap_or_else(|error| panic!("{error} ({} values)", values.len()));
    assert!(bits(&back) == bits(values), "{codec:?} of {} values", values.len());
}

/// Encodes by one integer codec of the list, where it can hold the values.
pub(super) fn force_ints(codec: u8, values: &[i64], effort: Effort) -> Option<Vec<u8>> {
    let mut out = vec![0xAB];
    let mut buffers = ints::Buffers::default();
    let done = if NESTS.contains(&codec) {
        nests::encode(codec, values, effort, &mut buffers, &mut out)
    } else {
        ints::encode(codec, values, &mut buffers, &mut out)
    };
    assert_eq!(out[0], 0xAB);
    match done {
        Some(()) => Some(out.split_off(1)),
        None => {
            assert_eq!(out.len(), 1, "codec {codec} left bytes behind");
            None
        }
    }
}

/// Encodes by one float codec of the list, where it can hold the values.
fn force_floats(codec: CodecId, values: &[f64]) -> Option<Vec<u8>> {
    let with_exponent = matches!(codec.view(), kinds::DECIMAL | kinds::NARROW_DECIMAL);
    let exponent = if with_exponent { 1 + values.len() as u8 % EXPONENT_MAX } else { 0 };
    force_floats_as(codec, View { kind: codec.view(), exponent }, values)
}

/// As [`force_floats`], in this view where the codec has one.
pub(super) fn force_floats_as(codec: CodecId, view: View, values: &[f64]) -> Option<Vec<u8>> {
    float_env::with_default(|| {
        let mut out = Vec::new();
        match codec {
            CodecId::FLOAT_CONSTANT => floats::encode_constant(values, &mut out)?,
            CodecId::FLOAT_PCO => floats::encode_pco(values, &mut out)?,
            _ => {
                let mut seen = Seen::default();
                view.see(values, &mut seen);
                view.put_head(&seen.exceptions, &mut out);
                out.extend(force_ints(codec.ints(), &seen.ints, Effort::Fast)?);
            }
        }
        Some(out)
    })
}

fn is_float(codec: CodecId) -> bool {
    kinds::FLOATS.contains(&codec.view()) || codec.view() == 0xF0
}

#[test]
fn each_codec_keeps_each_column() {
    let mut used = std::collections::BTreeMap::new();
    for (seed, len) in LENS.into_iter().enumerate() {
        for kind in 0..INT_KINDS {
            let values = int_column(kind, len, seed as u64);
            for codec in LEAVES.into_iter().chain(NESTS) {
                if let Some(bytes) = force_ints(codec, &values, Effort::Fast) {
                    let id = CodecId::new(kinds::INTS, codec);
                    check_ints(id, &bytes, &values);
                    *used.entry(id).or_insert(0) += 1;
                }
            }
        }
        for kind in 0..FLOAT_KINDS {
            let values = float_column(kind, len, seed as u64);
            for codec in CodecId::ALL.into_iter().filter(|&codec| is_float(codec)) {
                if let Some(bytes) = force_floats(codec, &values) {
                    check_floats(codec, &bytes, &values);
                    *used.entry(codec).or_insert(0) += 1;
                }
            }
        }
    }
    for codec in CodecId::ALL.into_iter().filter(|codec| codec.view() != 0xE0) {
        assert!(used.get(&codec).is_some_and(|&times| times > 3), "{codec:?} was hardly tried: {used:?}");
    }
}

fn check_choices(ints: &[i64], values: &[f64], scratch: &mut Scratch) {
    for effort in [Effort::Fast, Effort::Tight] {
        let mut out = vec![1, 2, 3];
        let codec = encode_ints(ints, effort, scratch, &mut out);
        assert_eq!(out[..3], [1, 2, 3]);
        assert!(CodecId::ALL.contains(&codec));
        assert!(out.len() - 3 <= ints.len() * 8, "{codec:?}: {} bytes", out.len());
        check_ints(codec, &out[3..], ints);
        out.truncate(3);
        let codec = encode_floats(values, effort, scratch, &mut out);
        assert_eq!(out[..3], [1, 2, 3]);
        assert!(CodecId::ALL.contains(&codec));
        assert!(out.len() - 3 <= values.len() * 8, "{codec:?}: {} bytes", out.len());
        check_floats(codec, &out[3..], values);
    }
}

#[test]
fn the_choosers_keep_each_column() {
    let mut scratch = Scratch::default();
    for (seed, len) in LENS.into_iter().enumerate() {
        for kind in 0..FLOAT_KINDS {
            let seed = (seed * 100 + kind) as u64;
            check_choices(&int_column(kind % INT_KINDS, len, seed), &float_column(kind, len, seed), &mut scratch);
        }
    }
}

#[test]
fn long_columns_come_back() {
    let mut scratch = Scratch::default();
    for (ints, floats, len) in [(3, 2, 20_000), (5, 3, 9_999), (12, 7, 70_001)] {
        check_choices(&int_column(ints, len, 5), &float_column(floats, len, 5), &mut scratch);
    }
}

/// Whole at first sight: what the sample does not show must not cost the rest its view.
#[test]
fn rare_fractions_do_not_cost_a_column_its_view() {
    let mut values: Vec<f64> = (0..1024).map(|at| f64::from(at * 37 % 100)).collect();
    for at in (20..300).step_by(9) {
        values[at] += 0.25;
    }
    for effort in [Effort::Fast, Effort::Tight] {
        let mut out = Vec::new();
        let codec = encode_floats(&values, effort, &mut Scratch::default(), &mut out);
        check_floats(codec, &out, &values);
        assert!(out.len() < 2 * values.len(), "{codec:?}: {} bytes", out.len());
    }
}

#[test]
fn a_flushing_thread_writes_and_reads_the_same() {
    let mut scratch = Scratch::default();
    for kind in 0..FLOAT_KINDS {
        for effort in [Effort::Fast, Effort::Tight] {
            let values = float_column(kind, 300, 11);
            let (mut calm, mut flushed) = (Vec::new(), Vec::new());
            let codec = encode_floats(&values, effort, &mut scratch, &mut calm);
            float_env::with_flush_to_zero(|| {
                assert_eq!(encode_floats(&values, effort, &mut scratch, &mut flushed), codec);
                assert_eq!(flushed, calm, "{codec:?}");
                check_floats(codec, &calm, &values);
            });
        }
    }
}

#[test]
fn short_and_plain_columns_are_tiny() {
    let mut scratch = Scratch::default();
    let mut int_len = |values: &[i64]| {
        let mut out = Vec::new();
        encode_ints(values, Effort::Fast, &mut scratch, &mut out);
        out.len()
    };
    assert_eq!(int_len(&[]), 0);
    assert_eq!(int_len(&[0]), 0);
    assert_eq!(int_len(&[5]), 1);
    assert_eq!(int_len(&[1_700_000_000_000]), 6);
    assert_eq!(int_len(&[i64::MIN; 70_000]), 8);
    assert_eq!(int_len(&(0..1024).collect::<Vec<_>>()), 2);
    let mut float_len = |values: &[f64]| {
        let mut out = Vec::new();
        encode_floats(values, Effort::Fast, &mut scratch, &mut out);
        out.len()
    };
    assert_eq!(float_len(&[]), 0);
    assert_eq!(float_len(&[0.0]), 0);
    assert_eq!(float_len(&[1.0; 1024]), 2);
    assert_eq!(float_len(&[0.93]), 3);
    assert_eq!(float_len(&[f64::from(0.123_456_7_f32)]), 5);
    assert_eq!(float_len(&[std::f64::consts::PI; 3]), 8);
}

#[test]
fn bytes_come_back() {
    let long = "loss/train ".repeat(1000);
    for effort in [Effort::Fast, Effort::Tight] {
        for text in [&b""[..], b"a", b"accuracy", long.as_bytes()] {
            let mut out = Vec::new();
            let codec = encode_bytes(text, effort, &mut out);
            assert!(out.len() <= text.len());
            assert_eq!(decode_bytes(codec, &out, text.len()).unwrap(), text);
            assert!(decode_bytes(codec, &out, text.len() + 1).is_err());
            assert!(decode_bytes(codec, &out, usize::MAX).is_err());
            out.push(0);
            assert!(decode_bytes(codec, &out, text.len()).is_err());
        }
    }
    assert!(decode_bytes(CodecId(0x33), b"", 0).is_err());
}

/// Decodes by every codec, and asks only that it comes back.
fn decode_by_all(bytes: &[u8], len: usize) -> usize {
    let mut ints = vec![0; len];
    let mut values = vec![0.0; len];
    let mut accepted = 0;
    for number in 0..=u8::MAX {
        let codec = CodecId(number);
        accepted += usize::from(decode_ints(codec, bytes, &mut ints).is_ok());
        accepted += usize::from(decode_floats(codec, bytes, &mut values).is_ok());
        accepted += usize::from(decode_bytes(codec, bytes, len).is_ok());
    }
    accepted
}

#[test]
fn truncated_and_extended_pages_are_refused() {
    for kind in 0..INT_KINDS {
        let values = int_column(kind, 150, 3);
        for codec in LEAVES.into_iter().chain(NESTS).filter(|&codec| codec != numbers::CONSTANT) {
            let Some(bytes) = force_ints(codec, &values, Effort::Tight) else { continue };
            let id = CodecId::new(kinds::INTS, codec);
            let mut back = vec![0; values.len()];
            for len in 0..bytes.len() {
                // A last number without its last bytes is another number: the page's length is part of what it says.
                let is_other = decode_ints(id, &bytes[..len], &mut back).is_ok();
                assert!(!is_other || back != values, "{id:?} read {len} of {} bytes", bytes.len());
            }
            let mut longer = bytes.clone();
            longer.push(0);
            assert!(decode_ints(id, &longer, &mut back).is_err(), "{id:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_columns_come_back(kind in 0..FLOAT_KINDS, other in 0..INT_KINDS, len in 0_usize..700, seed: u64) {
        check_choices(&int_column(other, len, seed), &float_column(kind, len, seed), &mut Scratch::default());
    }

    #[test]
    fn arbitrary_ints_come_back(values in prop::collection::vec(any::<i64>(), 0..80), shift in 0_u32..64) {
        let values: Vec<i64> = values.into_iter().map(|value| value >> shift).collect();
        let floats: Vec<f64> = values.iter().map(|&value| f64::from_bits(value as u64)).collect();
        check_choices(&values, &floats, &mut Scratch::default());
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), len in 0_usize..300) {
        decode_by_all(&bytes, len);
    }

    #[test]
    fn mutated_pages_never_panic(kind in 0..FLOAT_KINDS, len in 1_usize..300, seed: u64, at: prop::sample::Index, flip in 1_u8..) {
        let values = float_column(kind, len, seed);
        let ints = int_column(kind % INT_KINDS, len, seed);
        let mut back = vec![0.0; len];
        let mut back_ints = vec![0; len];
        for codec in CodecId::ALL.into_iter().filter(|&codec| is_float(codec)) {
            if let Some(mut bytes) = force_floats(codec, &values).filter(|bytes| !bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
                let _ = decode_floats(codec, &bytes, &mut back);
            }
        }
        for codec in LEAVES.into_iter().chain(NESTS) {
            if let Some(mut bytes) = force_ints(codec, &ints, Effort::Tight).filter(|bytes| !bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
                let _ = decode_ints(CodecId::new(kinds::INTS, codec), &bytes, &mut back_ints);
            }
        }
    }
}
