//! The store's own work, each benchmark with its answer verified: ingest in each form, seal, compact, open, latest,
//! history, down-sample. Search has a benchmark of its own; `floors` compares all of it in one run.

mod support;

use std::hint::black_box;
use std::time::Duration;
use stepwell::Point;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stepwell::maintenance::CompactOptions;
use stepwell::{ExperimentId, NewRun, RunStatus, Workspace};
use support::{KEYS, Mix, check_mix, log_by_handle, new_run, workspace};

/// Steps of ten keys: 1,000,000 points.
const STEPS: usize = 100_000;

fn ingest(criterion: &mut Criterion) {
    let mix = Mix::new(STEPS);
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(mix.points() as u64)).sample_size(10).warm_up_time(Duration::from_secs(1));
    // Each form logs the whole mix to sealed bytes; the answer is verified once for each form.
    let mut form = |name: &str, log: &dyn Fn(&mut stepwell::RunWriter, &[stepwell::MetricHandle; 10])| {
        let (_dir, store) = workspace();
        let (mut writer, id, metrics) = new_run(&store);
        log(&mut writer, &metrics);
        writer.seal().unwrap();
        check_mix(&store, &id, &mix);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    let (dir, store) = workspace();
                    let (writer, _, metrics) = new_run(&store);
                    (dir, writer, metrics)
                },
                |(dir, mut writer, metrics)| {
                    log(&mut writer, &metrics);
                    writer.seal().unwrap();
                    (dir, writer)
                },
                BatchSize::PerIteration,
            );
        });
    };
    form("by_handle", &|writer, metrics| log_by_handle(writer, metrics, &mix));
    form("by_key", &|writer, _| {
        for index in 0..mix.steps.len() {
            for (key, values) in KEYS.iter().zip(&mix.values) {
                let metric = writer.metric(key).unwrap();
                writer
                    .log_point(
                        metric,
                        Point {
                            step: mix.steps[index],
                            timestamp_ms: Some(mix.timestamps[index]),
                            value: values[index],
                        },
                    )
                    .unwrap();
            }
        }
    });
    form("many_keys_at_one_step", &|writer, _| {
        let mut row: [(&str, f64); 10] = KEYS.map(|key| (key, 0.0));
        for index in 0..mix.steps.len() {
            row.iter_mut().zip(&mix.values).for_each(|(cell, values)| cell.1 = values[index]);
            writer.log_metrics(mix.steps[index], Some(mix.timestamps[index]), &row).unwrap();
        }
    });
    form("columns", &|writer, metrics| {
        for (metric, values) in metrics.iter().zip(&mix.values) {
            writer.log_columns(*metric, &mix.steps, Some(&mix.timestamps), values).unwrap();
        }
    });
    group.finish();
}

fn seal_and_compact(criterion: &mut Criterion) {
    let mix = Mix::new(STEPS / 10);
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(mix.points() as u64)).sample_size(10).warm_up_time(Duration::from_secs(1));
    group.bench_function("seal", |bencher| {
        bencher.iter_batched(
            || {
                let (dir, store) = workspace();
                let (mut writer, _, metrics) = new_run(&store);
                log_by_handle(&mut writer, &metrics, &mix);
                (dir, writer)
            },
            |(dir, mut writer)| {
                writer.seal().unwrap();
                assert!(writer.points() == mix.points() as u64);
                (dir, writer)
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("compact", |bencher| {
        bencher.iter_batched(
            || {
                let (dir, store) = workspace();
                let (mut writer, id, metrics) = new_run(&store);
                log_by_handle(&mut writer, &metrics, &mix);
                writer.finish(RunStatus::Finished).unwrap();
                (dir, store, id)
            },
            |(dir, store, id)| {
                let done = store.maintenance().compact(CompactOptions::default()).unwrap();
                assert_eq!(done.points, mix.points() as u64);
                (dir, store, id)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let mix = Mix::new(STEPS);
    let (_dir, store) = workspace();
    let (mut writer, id, metrics) = new_run(&store);
    log_by_handle(&mut writer, &metrics, &mix);
    writer.finish(RunStatus::Finished).unwrap();
    store.maintenance().compact(CompactOptions::default()).unwrap();
    check_mix(&store, &id, &mix);
    let run = store.run(&id).unwrap();
    let mut group = criterion.benchmark_group("read");
    group.bench_function("history_100k", |bencher| {
        bencher.iter(|| {
            let history = run.history("loss").unwrap();
            assert_eq!(history.len(), STEPS);
            black_box(history)
        });
    });
    group.bench_function("downsample_2000", |bencher| {
        bencher.iter(|| {
            let picture = run.downsample("loss", None, 2000).unwrap();
            assert_eq!(picture.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), STEPS as u64);
            black_box(picture)
        });
    });
    group.bench_function("latest_of_10", |bencher| {
        bencher.iter(|| {
            let run = store.run(&id).unwrap();
            for (key, values) in KEYS.iter().zip(&mix.values) {
                assert_eq!(run.stats(key).unwrap().latest.value.to_bits(), values[STEPS - 1].to_bits());
            }
        });
    });
    group.finish();
}

fn open(criterion: &mut Criterion) {
    let (_dir, store) = workspace();
    for _ in 0..1000 {
        let mut writer = store.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        writer.log_metric("loss", 0, 1.0).unwrap();
    }
    store.maintenance().compact(CompactOptions::default()).unwrap();
    assert_eq!(store.run_ids().unwrap().len(), 1000);
    criterion.bench_function("open_1000_runs", |bencher| bencher.iter(|| Workspace::open(store.root()).unwrap()));
}

criterion_group!(benches, ingest, seal_and_compact, read, open);
criterion_main!(benches);
