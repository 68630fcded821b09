//! Single rules of execution: ambiguous names, NaN, missing keys, exact integers, orders and pages.

use std::collections::BTreeMap;

use crate::base::ids::{ExperimentId, RunId};
use crate::base::stats::{Extreme, RunStatus, SeriesStats, StatPoint};
use crate::base::summary::RunSummary;
use crate::index::part::IndexPart;
use crate::search::execute::{MaskedPart, Query, View, execute};

fn series(values: &[f64]) -> SeriesStats {
    let point = |at: usize| StatPoint { step: at as i64, timestamp_ms: None, value: values[at] };
    let extreme = |better: fn(&f64, &f64) -> bool| {
        let numbers = values.iter().enumerate().filter(|(_, value)| !value.is_nan());
        numbers.fold(None, |best: Option<Extreme>, (at, value)| match best {
            Some(best) if !better(value, &best.value) => Some(best),
            _ => Some(Extreme { value: *value, step: at as i64 }),
        })
    };
    SeriesStats {
        count: values.len() as u64,
        nan_count: values.iter().filter(|value| value.is_nan()).count() as u64,
        inf_count: values.iter().filter(|value| value.is_infinite()).count() as u64,
        first: point(0),
        latest: point(values.len() - 1),
        min: extreme(|a, b| a < b),
        max: extreme(|a, b| a > b),
        sum: values.iter().filter(|value| value.is_finite()).sum(),
    }
}

fn run(id: &str) -> RunSummary {
    RunSummary {
        run_id: RunId::new(id).unwrap(),
        experiment_id: ExperimentId::DEFAULT,
        name: String::new(),
        user: String::new(),
        status: RunStatus::Running,
        start_time_ms: Some(0),
        end_time_ms: None,
        kind: 0,
        deleted: false,
        deleted_generation: 0,
        items: BTreeMap::new(),
        params: BTreeMap::new(),
        tags: BTreeMap::new(),
        metrics: BTreeMap::new(),
    }
}

fn with_metric(id: &str, key: &str, values: &[f64]) -> RunSummary {
    RunSummary { metrics: BTreeMap::from([(key.to_owned(), series(values))]), ..run(id) }
}

/// The ids that a query finds, in order.
fn ids(runs: &[RunSummary], filter: &str, order: &[&str]) -> Vec<String> {
    let part = IndexPart::build(runs).unwrap();
    let page = execute(&[MaskedPart::from(&part)], &Query::parse(filter, order).unwrap(), &BTreeMap::new()).unwrap();
    page.hits.iter().map(|(_, ordinal)| part.run_id(*ordinal).unwrap().to_string()).collect()
}

#[test]
fn an_ambiguous_name_is_a_key_where_one_exists() {
    let plain = [with_metric("a", "loss", &[1.0, 5.0]), with_metric("b", "loss", &[4.0, 6.0])];
    assert_eq!(ids(&plain, "metrics.loss.min < 2", &[]), ["a"]);
    assert_eq!(ids(&plain, "metrics.`loss.min` < 2", &[]), [""; 0], "quoted is the key alone");
    assert_eq!(ids(&plain, "metrics.loss.last = 6", &[]), ["b"]);
    let mut both = plain.to_vec();
    both.push(with_metric("c", "loss.min", &[0.5]));
    assert_eq!(ids(&both, "metrics.loss.min < 2", &[]), ["c"], "the key exists now");
    assert_eq!(ids(&both, "metrics.`loss`.min < 2", &[]), ["a"], "a word after the quotes is the statistic");
    assert_eq!(ids(&both, "", &["metrics.loss.min"]), ["c", "a", "b"]);
}

#[test]
fn nan_satisfies_only_unequal_and_missing_satisfies_nothing() {
    let runs = [with_metric("nan", "m", &[f64::NAN]), with_metric("one", "m", &[1.0]), run("without")];
    for comparison in ["=", "<", "<=", ">", ">="] {
        for bound in ["1", "0", "inf", "-inf"] {
            let found = ids(&runs, &format!("metrics.m {comparison} {bound}"), &[]);
            assert!(!found.iter().any(|id| id == "nan" || id == "without"), "{comparison} {bound}");
        }
    }
    assert_eq!(ids(&runs, "metrics.m != 1", &[]), ["nan"]);
    assert_eq!(ids(&runs, "NOT metrics.m = 1", &[]), ["nan", "without"]);
    assert_eq!(ids(&runs, "metrics.m.min IS NULL", &[]), ["nan", "without"]);
    for order in ["metrics.m", "metrics.m DESC"] {
        assert_eq!(ids(&runs, "", &[order]), ["one", "nan", "without"]);
    }
}

#[test]
fn integers_compare_without_rounding() {
    let exact = (1_i64 << 53) + 1;
    let runs = [
        RunSummary { start_time_ms: Some(exact), ..run("a") },
        RunSummary { start_time_ms: Some(exact - 1), ..run("b") },
    ];
    assert_eq!(ids(&runs, &format!("start_time = {exact}"), &[]), ["a"]);
    assert_eq!(ids(&runs, &format!("start_time < {exact}"), &[]), ["b"]);
    assert_eq!(
        ids(&runs, "start_time >= 9007199254740992.5", &[]).len(),
        ids(&runs, "start_time >= 9007199254740992", &[]).len()
    );
    assert_eq!(ids(&runs, "start_time < 1e300", &[]), ["a", "b"]);
    let ends = [i64::MAX, i64::MAX - 1, i64::MIN, i64::MIN + 1];
    let runs: Vec<_> = ends
        .iter()
        .enumerate()
        .map(|(at, time)| RunSummary { end_time_ms: Some(*time), ..run(&format!("r{at}")) })
        .collect();
    assert_eq!(ids(&runs, "", &["end_time"]), ["r2", "r3", "r1", "r0"]);
    assert_eq!(ids(&runs, "", &["end_time DESC"]), ["r0", "r1", "r3", "r2"]);
}

#[test]
fn the_default_order_is_latest_start_then_id() {
    let at = |id: &str, time| RunSummary { start_time_ms: time, ..run(id) };
    let runs = [at("b", Some(1)), at("d", None), at("a", Some(1)), at("c", Some(2))];
    assert_eq!(ids(&runs, "", &[]), ["c", "a", "b", "d"]);
    assert_eq!(ids(&runs, "", &["start_time ASC"]), ["a", "b", "c", "d"]);
    assert_eq!(ids(&runs, "", &["run_id DESC", "run_id ASC"]), ["d", "c", "b", "a"]);
}

#[test]
fn many_equal_runs_are_ordered_by_id_through_pages() {
    // More runs than are collected at once, all equal but for their ids.
    let runs: Vec<_> =
        (0..5000_u32).map(|at| run(&format!("{:08x}{:024x}", at.wrapping_mul(2_654_435_761) >> 20, at))).collect();
    let mut expected: Vec<String> = runs.iter().map(|run| run.run_id.to_string()).collect();
    expected.sort();
    let part = IndexPart::build(&runs).unwrap();
    let (mut query, mut found) = (Query { max_results: 700, ..Query::default() }, Vec::new());
    loop {
        let page = execute(&[(&part).into()], &query, &BTreeMap::new()).unwrap();
        assert_eq!(page.total, 5000);
        found.extend(page.hits.iter().map(|(_, ordinal)| part.run_id(*ordinal).unwrap().to_string()));
        query.offset += page.hits.len();
        if query.offset == page.total {
            break;
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn texts_too_many_to_rank_are_ordered_all_the_same() {
    // More distinct names over two parts than are ranked together, alike in their first bytes.
    let name = |at: u32| format!("experiment {:08x}", at.wrapping_mul(2_654_435_761));
    let runs: Vec<_> = (0..70_000)
        .map(|at| RunSummary { name: name(at), start_time_ms: Some(i64::from(at % 7)), ..run(&format!("r{at}")) })
        .collect();
    let parts = [IndexPart::build(&runs[..30_000]).unwrap(), IndexPart::build(&runs[30_000..]).unwrap()];
    let query = Query { max_results: 40, ..Query::parse("", &["run_name DESC"]).unwrap() };
    let page = execute(&[(&parts[0]).into(), (&parts[1]).into()], &query, &BTreeMap::new()).unwrap();
    let mut expected: Vec<_> = (0..70_000_u32).map(|at| (name(at), at)).collect();
    expected.sort_by(|a, b| b.cmp(a));
    let expected: Vec<_> =
        expected.iter().take(40).map(|(_, at)| if *at < 30_000 { (0, *at) } else { (1, *at - 30_000) }).collect();
    assert_eq!(page.hits, expected);
}

#[test]
fn views_experiments_and_masks_narrow() {
    let runs =
        [run("a"), RunSummary { deleted: true, ..run("b") }, RunSummary { experiment_id: ExperimentId(7), ..run("c") }];
    let part = IndexPart::build(&runs).unwrap();
    let total = |query: Query| execute(&[(&part).into()], &query, &BTreeMap::new()).unwrap().total;
    assert_eq!(total(Query::default()), 2);
    assert_eq!(total(Query { view: View::DeletedOnly, ..Query::default() }), 1);
    assert_eq!(total(Query { view: View::All, ..Query::default() }), 3);
    assert_eq!(total(Query { experiments: vec![ExperimentId(7)], ..Query::default() }), 1);
    assert_eq!(total(Query { experiments: vec![ExperimentId(8)], ..Query::default() }), 0);
    assert_eq!(total(Query { offset: 5, ..Query::default() }), 2);
    assert!(execute(&[(&part).into()], &Query { max_results: 0, ..Query::default() }, &BTreeMap::new()).is_err());
    let mask = crate::index::bitmap::Bitmap::all(2);
    assert!(
        execute(&[MaskedPart { part: &part, excluded: Some(&mask) }], &Query::default(), &BTreeMap::new()).is_err(),
        "a mask of another length"
    );
}

#[test]
fn damage_in_a_named_column_is_an_error_and_no_answer() {
    let runs: Vec<_> = (0..50).map(|at| with_metric(&format!("r{at}"), "m", &[f64::from(at)])).collect();
    let image = IndexPart::build(&runs).unwrap().to_bytes().unwrap();
    let whole = IndexPart::from_bytes(&image).unwrap();
    let query = Query::parse("metrics.m < 10", &["metrics.m DESC"]).unwrap();
    let expected = execute(&[(&whole).into()], &query, &BTreeMap::new()).unwrap();
    let mut told = 0;
    for at in 0..image.len() {
        let mut bytes = image.clone();
        bytes[at] ^= 0x10;
        let Ok(part) = IndexPart::from_bytes(&bytes) else {
            continue;
        };
        match execute(&[(&part).into()], &query, &BTreeMap::new()) {
            Ok(page) => assert_eq!(page, expected, "byte {at}"),
            Err(_) => told += 1,
        }
    }
    assert!(told > 0);
}
