//! Search over 10^5 runs (5 params, 5 metrics, 3 tags each): build, open, filter and order; each answer is verified.
//!
//! `STEPWELL_BENCH_RUNS` sets another number of runs, such as 1000000.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use stepwell::internals::index::part::IndexPart;
use stepwell::internals::index::rows::Row;
use stepwell::internals::search::execute::execute;
use stepwell::query::Query;
use stepwell::{ExperimentId, Extreme, RunId, RunStatus, RunSummary, SeriesStats, StatPoint};

/// A repeatable spread of bits (the finalizer of MurmurHash3).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    z ^ (z >> 33)
}

fn run(at: u64) -> RunSummary {
    let start = 1_700_000_000_000 + (mix(at) % 10_000_000_000) as i64;
    let metric = |number: u64| {
        let value = |which: u64| (mix(at * 64 + number * 8 + which) >> 11) as f64 / (1_u64 << 53) as f64;
        let point =
            |which: u64, step: i64| StatPoint { step, timestamp_ms: Some(start + step * 120), value: value(which) };
        let steps = 1_000 + (mix(at) % 500) as i64;
        let extreme = |which: u64| Some(Extreme { value: value(which), step: (mix(at + which) % 1_000) as i64 });
        let stats = SeriesStats {
            count: steps as u64,
            nan_count: 0,
            inf_count: 0,
            first: point(0, 0),
            latest: point(1, steps),
            min: extreme(2),
            max: extreme(3),
            sum: value(4) * steps as f64,
        };
        (format!("m{number}"), stats)
    };
    RunSummary {
        run_id: RunId::new(format!("{:016x}{:016x}", mix(at), mix(at + 7))).expect("hex is a run id"),
        experiment_id: ExperimentId(at % 10),
        name: format!("clever-name-{}", at % 5000),
        user: format!("user{}", at % 7),
        status: RunStatus::Finished,
        start_time_ms: Some(start),
        end_time_ms: Some(start + 120_000),
        kind: 0,
        deleted: at % 100 == 99,
        deleted_generation: 0,
        items: BTreeMap::new(),
        params: (0..5).map(|number| (format!("p{number}"), (mix(at * 8 + number) % 10).to_string())).collect(),
        tags: BTreeMap::from([
            ("mlflow.runName".to_owned(), format!("clever-name-{}", at % 5000)),
            ("mlflow.user".to_owned(), format!("user{}", at % 7)),
            ("mlflow.source.name".to_owned(), format!("train_{}.py", at % 3)),
        ]),
        metrics: (0..5).map(metric).collect(),
    }
}

const FILTER: &str = "metrics.m1 < 0.1 and params.p1 = '3'";
const ORDER: [&str; 1] = ["metrics.m2 DESC"];

/// The answer by a plain loop.
fn expected(runs: &[RunSummary]) -> Vec<&RunSummary> {
    let mut found: Vec<_> = runs
        .iter()
        .filter(|run| !run.deleted && run.metrics["m1"].latest.value < 0.1 && run.params["p1"] == "3")
        .collect();
    found.sort_by(|a, b| b.metrics["m2"].latest.value.total_cmp(&a.metrics["m2"].latest.value));
    found
}

fn main() {
    let count = std::env::var("STEPWELL_BENCH_RUNS").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000_u64);
    let runs: Vec<RunSummary> = (0..count).map(run).collect();
    let image = IndexPart::build(&runs).and_then(|part| part.to_bytes()).expect("the index is built");
    let part = IndexPart::from_bytes(&image).expect("the index opens");
    let opened_bytes = part.heap_bytes() - image.len();
    let query = Query { max_results: 100, ..Query::parse(FILTER, &ORDER).expect("the query parses") };

    let page = execute(&[(&part).into()], &query, &BTreeMap::new()).expect("the query is answered");
    let wanted = expected(&runs);
    assert_eq!(page.total, wanted.len());
    let found: Vec<_> = page.hits.iter().map(|(_, ordinal)| part.run_id(*ordinal).expect("ids are read")).collect();
    assert_eq!(found, wanted.iter().take(100).map(|run| run.run_id.clone()).collect::<Vec<_>>());
    let searched_bytes = part.heap_bytes() - image.len();
    let ordinals: Vec<u32> = page.hits.iter().map(|(_, ordinal)| *ordinal).collect();
    for (row, run) in part.rows(&ordinals).expect("rows are read").iter().zip(&wanted) {
        assert_eq!(*row, Row::of(run));
    }
    let listed_bytes = part.heap_bytes() - image.len();
    for ((_, ordinal), run) in page.hits.iter().zip(&wanted) {
        assert_eq!(part.summary(*ordinal).expect("rows are read"), **run);
    }
    let full_bytes = part.heap_bytes() - image.len();
    let each = |bytes: usize| bytes as f64 / count as f64;
    println!(
        "{count} runs, {} found; bytes a run: image {:.0}; heap without image: opened {:.1}, searched {:.0}, listed \
         {:.0}, all statistics {:.0}",
        page.total,
        each(image.len()),
        each(opened_bytes),
        each(searched_bytes),
        each(listed_bytes),
        each(full_bytes)
    );

    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    criterion.bench_function("index/build", |b| b.iter(|| IndexPart::build(black_box(&runs))));
    criterion.bench_function("index/open", |b| {
        b.iter_batched(|| (), |()| IndexPart::from_bytes(black_box(&image)), BatchSize::PerIteration)
    });
    criterion.bench_function("search/cold", |b| {
        b.iter_batched_ref(
            || IndexPart::from_bytes(&image).expect("the index opens"),
            |part| execute(&[(&*part).into()], &query, &BTreeMap::new()).expect("the query is answered").total,
            BatchSize::PerIteration,
        );
    });
    let mut warm = |name: &str, filter: &str, order: &[&str]| {
        let query = Query { max_results: 100, ..Query::parse(filter, order).expect("the query parses") };
        let total = execute(&[(&part).into()], &query, &BTreeMap::new()).expect("the query is answered").total;
        assert!(total > 0, "{name} finds something");
        criterion.bench_function(name, |b| {
            b.iter(|| {
                assert_eq!(
                    execute(&[(&part).into()], black_box(&query), &BTreeMap::new())
                        .expect("the query is answered")
                        .total,
                    total
                )
            });
        });
    };
    warm("search/filter and order", FILTER, &ORDER);
    warm("search/all by start", "", &[]);
    warm("search/all by metric", "", &["metrics.m2"]);
    warm("search/all by name", "", &["run_name DESC"]);
    warm(
        "search/or, like, regex",
        "metrics.m1.min < 0.01 or (run_name LIKE '%name-12%' and not params.p2 =~ '^[0-4]$')",
        &["metrics.m3.max DESC"],
    );
    criterion.bench_function("rows/latest of 100", |b| {
        b.iter(|| part.rows(&ordinals).expect("rows are read").iter().map(|row| row.metrics.len()).sum::<usize>());
    });
    criterion.final_summary();
}
