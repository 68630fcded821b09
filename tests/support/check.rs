//! Compares what readers find with the ledger: exactly, or as far as a power loss may take things away.

use std::collections::{BTreeMap, BTreeSet};

use stepwell::query::{Query, View};
use stepwell::{Columns, Point, RunId, RunSnapshot, RunSummary, Workspace};

use super::ledger::{Ledger, RunLedger, word};
use super::plot;

/// How thoroughly to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Points and metadata.
    Contents,
    /// Also histories, statistics, ranges and plots.
    Everything,
}

fn columns(points: &[Point]) -> Columns {
    points.iter().copied().collect()
}

/// The first point of a metric that a reader finds.
pub(crate) fn first_point(run: &RunSnapshot, key: &str) -> Option<Point> {
    run.arrivals(key).ok().and_then(|points| points.get(0))
}

fn found(run: &RunSnapshot) -> BTreeMap<String, Vec<Point>> {
    run.keys()
        .map(|key| {
            let arrivals = run.arrivals(key).unwrap_or_else(|error| panic!("{key}: {error}"));
            (key.to_owned(), arrivals.iter().collect())
        })
        .collect()
}

/// Everything acknowledged is there, once and in order; of what is in flight all or nothing; nothing else.
pub(crate) fn exact(ledger: &Ledger, workspace: &Workspace, depth: Depth) {
    for (id, expected) in &ledger.runs {
        let run = match workspace.find_run(&RunId::new(id.clone()).unwrap()) {
            Ok(Some(run)) => run,
            Ok(None) => {
                assert!(!expected.created || expected.may_be_gone, "{id} is gone");
                continue;
            }
            Err(error) => panic!("{id}: {error}"),
        };
        assert!(!expected.gone, "{id} is back");
        let found = found(&run);
        let mut expected = expected.clone();
        expected.resolve_deletion(|key| found.get(key).and_then(|points| points.first().copied()));
        let fits = |with_in_flight: bool| {
            let arrivals = expected.arrivals(with_in_flight);
            arrivals.len() == found.len() && arrivals.iter().all(|(key, points)| found.get(*key) == Some(points))
        };
        if !fits(false) && !fits(true) {
            panic!("{id}: {}", difference(&expected, &found));
        }
        check_metadata(id, &expected, &run, false);
        if depth == Depth::Everything {
            for (key, points) in &found {
                everything(id, key, &run, points);
            }
        }
    }
    for (name, acknowledged) in &ledger.experiments {
        let known = workspace.experiments().by_name(name).unwrap().is_some();
        assert!(known || !acknowledged, "{name} is gone");
    }
}

/// Lists of a handle that has been there for long say, run by run and bit by bit, what those of one opened now do, and
/// what the ledger says.
pub(crate) fn lists(ledger: &Ledger, workspace: &Workspace, fresh: &Workspace) {
    let query = Query { view: View::All, max_results: usize::MAX, ..Query::default() };
    let (old, new) = (workspace.search(&query).unwrap(), fresh.search(&query).unwrap());
    assert_eq!(old.unreadable, new.unreadable);
    let (old, new) = (old.summaries().unwrap(), new.summaries().unwrap());
    // NaN equals nothing, itself included.
    for (old, new) in old.iter().zip(&new) {
        assert_eq!(format!("{old:?}"), format!("{new:?}"));
    }
    assert_eq!(old.len(), new.len());
    let known: BTreeMap<&str, &RunSummary> = old.iter().map(|run| (run.run_id.as_str(), run)).collect();
    assert_eq!(known.len(), old.len(), "each run is listed once");
    for (id, expected) in &ledger.runs {
        let own = fresh.find_run(&RunId::new(id.clone()).unwrap()).unwrap();
        let Some(listed) = known.get(id.as_str()) else {
            assert!(own.is_none(), "{id} is not listed");
            continue;
        };
        assert!(!expected.gone, "{id} is back");
        let own = own.unwrap_or_else(|| panic!("{id} is listed and not found"));
        assert!(own.keys().eq(listed.metrics.keys()), "metrics of {id}");
        for (key, stats) in &listed.metrics {
            let points: Vec<Point> = own.arrivals(key).unwrap().iter().collect();
            plot::check_stats(stats, &points);
        }
        let state = own.state();
        assert!(state.params().eq(listed.params.iter().map(|(key, value)| (key.as_str(), value.as_str()))));
        assert!(state.tags().eq(listed.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))));
        let words = (state.name(), state.status(), state.deleted(), state.end_time_ms());
        assert_eq!(words, (listed.name.as_str(), listed.status, listed.deleted, listed.end_time_ms), "{id}");
        let alone = workspace.find_summary(&listed.run_id).unwrap();
        assert_eq!(format!("{alone:?}"), format!("{:?}", Some(listed)), "{id} by itself");
    }
}

/// What differs, in short.
fn difference(expected: &RunLedger, found: &BTreeMap<String, Vec<Point>>) -> String {
    let arrivals = expected.arrivals(true);
    let keys: BTreeSet<&str> = arrivals.keys().copied().chain(found.keys().map(String::as_str)).collect();
    let mut text = String::new();
    for key in keys {
        let (want, got) =
            (arrivals.get(key).map_or(&[][..], Vec::as_slice), found.get(key).map_or(&[][..], Vec::as_slice));
        let at = want.iter().zip(got).position(|(want, got)| want != got);
        let at = at.unwrap_or(want.len().min(got.len()));
        text += &format!(
            "\n{key:?}: {} points expected (in flight included), {} found, the first difference at {at}: {:?} / {:?}",
            want.len(),
            got.len(),
            want.get(at),
            got.get(at)
        );
    }
    for (place, writer) in expected.writers.iter().enumerate() {
        text += &format!("\nwriter {place}: {} points, {} in flight", writer.points.len(), writer.in_flight.len());
    }
    text
}

fn check_metadata(id: &str, expected: &RunLedger, run: &RunSnapshot, lossy: bool) {
    for name in expected.words.keys() {
        let value = word(run, name);
        let allowed = expected.allowed(name, lossy);
        assert!(
            allowed.contains(&value.as_deref()),
            "{name} of {id} is {value:?}, and may be {allowed:?}; its history: {:?}",
            expected.words[name]
        );
    }
    let params: Vec<String> = run.state().params().map(|(key, _)| format!("p:{key}")).collect();
    let tags: Vec<String> = run.state().tags().map(|(key, _)| format!("t:{key}")).collect();
    for name in params.iter().chain(&tags) {
        assert!(expected.words.contains_key(name), "{name} of {id} comes from nowhere");
    }
}

/// History, statistics, ranges and plots of one series against plain computations on its points.
fn everything(id: &str, key: &str, run: &RunSnapshot, points: &[Point]) {
    let mut sorted = columns(points);
    sorted.sort();
    assert!(run.history(key).unwrap() == sorted, "history of {key:?} of {id}");
    plot::check_stats(&run.stats(key).unwrap(), points);
    let steps: Vec<i64> = sorted.steps.clone();
    let middle = steps[steps.len() / 3]..=steps[steps.len() * 2 / 3];
    let edges = [i64::MIN..=i64::MAX, middle.clone(), *steps.last().unwrap()..=*steps.last().unwrap()];
    for range in edges {
        let expected: Columns = sorted.iter().filter(|point| range.contains(&point.step)).collect();
        assert!(run.range(key, range.clone()).unwrap() == expected, "{range:?} of {key:?} of {id}");
    }
    for buckets in [1, 3, 100, points.len().max(1), usize::MAX] {
        for range in [None, Some(middle.clone())] {
            let plot = run.downsample(key, range.clone(), buckets).unwrap();
            plot::check_plot(&plot, points, range, buckets);
        }
    }
}

/// What a power loss left: of each writer a beginning of its points, at least all durable ones, each once and
/// right; and words that were said, none older than the last durable one. Turns the ledger into what was found.
pub(crate) fn lossy(ledger: &mut Ledger, workspace: &Workspace) {
    for (id, expected) in &mut ledger.runs {
        let must = expected.writers.iter().any(|writer| writer.durable > 0)
            || expected.words.values().flatten().any(|word| word.durable);
        let run = match workspace.find_run(&RunId::new(id.clone()).unwrap()) {
            Ok(Some(run)) => run,
            Ok(None) => {
                assert!(!must || expected.may_be_gone, "{id} is gone");
                *expected = RunLedger::default();
                continue;
            }
            Err(error) => panic!("{id}: {error}"),
        };
        assert!(!expected.gone, "{id} is back");
        check_metadata(id, expected, &run, true);
        expected.resolve_deletion(|key| first_point(&run, key));
        check_prefixes(id, expected, &found(&run));
        take_metadata(expected, &run);
        expected.created = true;
    }
    for (name, acknowledged) in &mut ledger.experiments {
        let known = workspace.experiments().by_name(name).unwrap().is_some();
        assert!(known || !*acknowledged, "{name} is gone");
        *acknowledged = known;
    }
}

fn check_prefixes(id: &str, expected: &mut RunLedger, found: &BTreeMap<String, Vec<Point>>) {
    let mut left: BTreeMap<String, &[Point]> =
        found.iter().map(|(key, points)| (key.clone(), points.as_slice())).collect();
    for (place, writer) in expected.writers.iter_mut().enumerate() {
        let whole = writer.points.len();
        let all: Vec<(String, Point)> = writer.points.drain(..).chain(writer.in_flight.drain(..)).collect();
        let mut kept = 0;
        let mut missing = None;
        for (at, (key, point)) in all.iter().enumerate() {
            let of_key = left.entry(key.clone()).or_default();
            match of_key.split_first() {
                Some((first, rest)) if first == point => {
                    if let Some(missing) = missing {
                        panic!("{id}, writer {place}: point {at} is there, and point {missing} before it is not");
                    }
                    *of_key = rest;
                    kept = at + 1;
                }
                _ => {
                    missing.get_or_insert(at);
                }
            }
        }
        assert!(
            kept >= writer.durable,
            "{id}, writer {place}: {} points were durable, {kept} are left",
            writer.durable
        );
        assert!(kept <= whole || kept == all.len(), "{id}, writer {place}: a part of what was in flight");
        writer.points = all[..kept].to_vec();
        writer.durable = kept;
    }
    for (key, rest) in left {
        assert!(
            rest.is_empty(),
            "{id}: {} points of {key:?} are foreign, doubled or out of order: {:?}",
            rest.len(),
            rest[0]
        );
    }
}

/// What exists now is what was logged.
fn take_metadata(expected: &mut RunLedger, run: &RunSnapshot) {
    for (name, words) in &mut expected.words {
        let value = word(run, name);
        words.retain(|word| word.value == value);
        words.truncate(1);
        for word in words {
            (word.acknowledged, word.durable) = (true, true);
        }
    }
}

/// Turns the ledger into what was found after a kill, so that the history goes on from there.
pub(crate) fn resolve_in_flight(ledger: &mut Ledger, workspace: &Workspace) {
    for (id, expected) in &mut ledger.runs {
        let Some(run) = workspace.find_run(&RunId::new(id.clone()).unwrap()).unwrap() else {
            // A deletion for good that was not acknowledged may be undone when the power fails.
            if !expected.may_be_gone {
                *expected = RunLedger::default();
            }
            continue;
        };
        // The deletion of a metric that did not return stays in doubt too.
        let mut settled = expected.clone();
        settled.resolve_deletion(|key| first_point(&run, key));
        let in_flight = settled.total(true) == run.points();
        for writer in &mut expected.writers {
            let mut points = std::mem::take(&mut writer.in_flight);
            if in_flight {
                writer.points.append(&mut points);
            }
        }
        for (name, words) in &mut expected.words {
            let value = word(&run, name);
            let at = words.iter().rposition(|word| word.value == value);
            words.truncate(at.map_or(0, |at| at + 1));
            if let Some(last) = words.last_mut() {
                last.acknowledged = true;
            }
        }
        expected.created = true;
    }
    // Experiments stay as they are: one that was not acknowledged may be there, and go when the power fails.
}
