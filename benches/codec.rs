//! Encoding and decoding of pages of 1,024 values, by column and effort; each answer is compared by bits.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stepwell::internals::codec::{Effort, Scratch, decode_floats, decode_ints, encode_floats, encode_ints};

const PAGE: usize = 1024;

/// A small generator, so that each run measures the same columns.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ mixed >> 29
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn float_columns() -> Vec<(&'static str, Vec<f64>)> {
    let mut noise = Noise(1);
    let mut column = |one: &mut dyn FnMut(usize, &mut Noise) -> f64| -> Vec<f64> {
        (0..PAGE).map(|at| one(at, &mut noise)).collect()
    };
    vec![
        (
            "loss_f32",
            column(&mut |at, noise| {
                f64::from((2.0 * (-(at as f64) / 400.0).exp() * (0.9 + 0.2 * noise.unit())) as f32)
            }),
        ),
        (
            "accuracy_4_digits",
            column(&mut |at, noise| ((0.5 + at as f64 / 4096.0 + 0.1 * noise.unit()) * 1e4).round() / 1e4),
        ),
        ("constant", column(&mut |_, _| 3e-4)),
        ("counter", column(&mut |at, _| (at * 512) as f64)),
        ("utilisation_int", column(&mut |_, noise| (80.0 + 20.0 * noise.unit()).floor())),
        ("noise_f64", column(&mut |_, noise| noise.unit())),
    ]
}

fn int_columns() -> Vec<(&'static str, Vec<i64>)> {
    let mut noise = Noise(2);
    let mut now = 1_760_000_000_000;
    let timestamps = (0..PAGE).map(|_| {
        now += 118 + (noise.next() % 5) as i64;
        now
    });
    vec![
        ("timestamps_jitter", timestamps.collect()),
        ("steps", (0..PAGE as i64).collect()),
        ("steps_restart", (0..PAGE as i64).map(|at| if at < 700 { at } else { at - 50 }).collect()),
    ]
}

fn codecs(criterion: &mut Criterion) {
    for effort in [Effort::Fast, Effort::Tight] {
        let mut group = criterion.benchmark_group(format!("{effort:?}").to_lowercase());
        group.throughput(Throughput::Elements(PAGE as u64));
        let mut scratch = Scratch::default();
        let mut out = Vec::new();
        for (name, values) in float_columns() {
            let codec = encode_floats(&values, effort, &mut scratch, &mut out);
            println!("{effort:?} {name}: {codec:?}, {:.3} bytes a value", out.len() as f64 / PAGE as f64);
            group.bench_function(BenchmarkId::new("encode", name), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    encode_floats(black_box(&values), effort, &mut scratch, &mut out)
                });
            });
            let mut back = vec![0.0; PAGE];
            group.bench_function(BenchmarkId::new("decode", name), |bencher| {
                bencher.iter(|| decode_floats(codec, black_box(&out), &mut back));
            });
            decode_floats(codec, &out, &mut back).expect("what was encoded decodes");
            assert!(back.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()), "{name} by {codec:?}");
            out.clear();
        }
        for (name, values) in int_columns() {
            let codec = encode_ints(&values, effort, &mut scratch, &mut out);
            println!("{effort:?} {name}: {codec:?}, {:.3} bytes a value", out.len() as f64 / PAGE as f64);
            group.bench_function(BenchmarkId::new("encode", name), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    encode_ints(black_box(&values), effort, &mut scratch, &mut out)
                });
            });
            let mut back = vec![0; PAGE];
            group.bench_function(BenchmarkId::new("decode", name), |bencher| {
                bencher.iter(|| decode_ints(codec, black_box(&out), &mut back));
            });
            decode_ints(codec, &out, &mut back).expect("what was encoded decodes");
            assert_eq!(back, values, "{name} by {codec:?}");
            out.clear();
        }
        group.finish();
    }
}

criterion_group!(benches, codecs);
criterion_main!(benches);
