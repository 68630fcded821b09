//! The floors that the store is held to, measured side by side in one process run, with processor time and ratios.
//!
//! `cargo bench --bench floors [-- POINTS]` prints one table. Every answer is verified before it counts.

mod support;

use std::hint::black_box;
use std::time::Instant;
use stepwell::Point;

use stepwell::maintenance::CompactOptions;
use stepwell::{Columns, RunStatus, Workspace};
use support::{KEYS, Mix, check_mix, cpu_ns, log_by_handle, new_run, workspace};

fn main() {
    let points = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10_000_000_usize);
    let mix = Mix::new(points / KEYS.len());
    let points = mix.points() as f64;
    println!("{} points, 10 keys, one run\n", mix.points());
    let row = |what: &str, value: String| println!("{what:<64} {value}");

    let slots = bare_slots(&mix);
    row("bare store of 32-byte slots, CPU ns a point", format!("{slots:.2}"));

    // Logging by handle, to sealed bytes.
    let (_dir, store) = workspace();
    let (mut writer, id, metrics) = new_run(&store);
    let before = cpu_ns();
    log_by_handle(&mut writer, &metrics, &mix);
    writer.seal().unwrap();
    let sealed = (cpu_ns() - before) as f64 / points;
    check_mix(&store, &id, &mix);
    row(
        "logged by handle to sealed bytes, CPU ns a point",
        format!("{sealed:.1}  ({:.1} x bare slots)", sealed / slots),
    );
    let hot = history(&store, &id, &mix);
    row("history of one key, hot pages, CPU ns a point", format!("{hot:.2}"));
    writer.finish(RunStatus::Finished).unwrap();

    let before = cpu_ns();
    store.maintenance().compact(CompactOptions::default()).unwrap();
    let gathered = (cpu_ns() - before) as f64 / points;
    check_mix(&store, &id, &mix);
    row("gathered into a pack, CPU ns a point", format!("{gathered:.1}"));
    let usage = store.maintenance().usage().unwrap();
    let bytes = usage.bytes_on_disk as f64 / points;
    row("bytes a point, packed, every file counted", format!("{bytes:.3}"));
    let tight = history(&store, &id, &mix);
    row("history of one key, tight pages, CPU ns a point", format!("{tight:.2}"));
    let run = store.run(&id).unwrap();
    let before = cpu_ns();
    let picture = run.downsample("loss", None, 2000).unwrap();
    let plot = (cpu_ns() - before) as f64;
    let count: u64 = picture.buckets.iter().map(|bucket| bucket.count).sum();
    assert_eq!(count, mix.steps.len() as u64);
    row("plot of one key to 2,000 buckets, CPU ms", format!("{:.2}", plot / 1e6));
    let started = Instant::now();
    assert_eq!(run.stats("loss").unwrap().count, mix.steps.len() as u64);
    row("statistics of one key, µs", format!("{:.1}", started.elapsed().as_secs_f64() * 1e6));

    // The other forms.
    let (_dir, store) = workspace();
    let (mut writer, id, _) = new_run(&store);
    let before = cpu_ns();
    for index in 0..mix.steps.len() {
        for (key, values) in KEYS.iter().zip(&mix.values) {
            let metric = writer.metric(key).unwrap();
            writer
                .log_point(
                    metric,
                    Point { step: mix.steps[index], timestamp_ms: Some(mix.timestamps[index]), value: values[index] },
                )
                .unwrap();
        }
    }
    writer.seal().unwrap();
    let by_key = (cpu_ns() - before) as f64 / points;
    check_mix(&store, &id, &mix);
    row("logged by string key to sealed bytes, CPU ns a point", format!("{by_key:.1}"));

    let (_dir, store) = workspace();
    let (mut writer, id, metrics) = new_run(&store);
    let before = cpu_ns();
    for (metric, values) in metrics.iter().zip(&mix.values) {
        writer.log_columns(*metric, &mix.steps, Some(&mix.timestamps), values).unwrap();
    }
    let columns = (cpu_ns() - before) as f64 / points;
    check_mix(&store, &id, &mix);
    row("logged as whole columns to sealed bytes, CPU ns a point", format!("{columns:.1}"));
}

/// The store that any logger must do at least: 32 bytes a point into memory that is there.
fn bare_slots(mix: &Mix) -> f64 {
    let mut region = vec![[0_u64; 4]; 128 << 10];
    let (mut at, mut best) = (0, f64::MAX);
    for _ in 0..3 {
        let before = cpu_ns();
        for index in 0..mix.steps.len() {
            for (key, values) in mix.values.iter().enumerate() {
                region[at] =
                    [mix.steps[index] as u64, mix.timestamps[index] as u64, values[index].to_bits(), key as u64];
                at = (at + 1) % region.len();
                black_box(&mut region);
            }
        }
        best = f64::min(best, (cpu_ns() - before) as f64 / mix.points() as f64);
    }
    best
}

/// Processor time of reading all of one key's history, in nanoseconds a point: the best of five.
fn history(store: &Workspace, id: &stepwell::RunId, mix: &Mix) -> f64 {
    let run = store.run(id).unwrap();
    let mut best = f64::MAX;
    for _ in 0..5 {
        let before = cpu_ns();
        let columns: Columns = run.history("grad_norm").unwrap();
        best = best.min((cpu_ns() - before) as f64 / columns.len() as f64);
        assert_eq!(columns.len(), mix.steps.len());
    }
    best
}
