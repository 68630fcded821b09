//! Searches while runs are being logged to: 1,000 open runs with 1,000 points each that nobody sealed, two with
//! 100,000, and one with 300,000 metrics, which is then packed. Each answer is verified.
//!
//! `cargo bench --bench live [-- RUNS]` prints one table of wall times: the least and the median of some rounds.

mod support;

use std::time::Instant;

use stepwell::query::Query;
use stepwell::{ExperimentId, Follow, Follower, NewRun, Point, RunWriter, Workspace};
use support::workspace;

const KEYS: u32 = 10;
const STEPS: i64 = 100;

/// An open run and the step that comes next.
struct Open {
    writer: RunWriter,
    next: i64,
}

impl Open {
    fn new(store: &Workspace, number: usize, steps: i64) -> Self {
        let mut writer = store.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        (0..5).for_each(|key| writer.log_param(&format!("p{key}"), &(number % 10).to_string()).unwrap());
        let mut open = Self { writer, next: 0 };
        (0..steps).for_each(|_| open.step());
        open
    }

    /// One point of each key, in one batch. The value of `m0` is the step.
    fn step(&mut self) {
        let mut points = Vec::new();
        for key in 0..KEYS {
            let metric = self.writer.metric(&format!("m{key}")).unwrap();
            let value = self.next as f64 + f64::from(key);
            points.push((metric, Point { step: self.next, timestamp_ms: Some(self.next * 1000), value }));
        }
        self.writer.log_points(&points).unwrap();
        self.next += 1;
    }
}

/// Searches for runs by the latest value of a metric, and verifies what is found.
fn search(store: &Workspace, runs: &[Open]) {
    let least = runs.iter().map(|run| run.next - 1).max().unwrap_or(0) as f64;
    let filter = format!("metrics.m0 >= {least} and params.p1 = '3'");
    let query = Query { max_results: 100, ..Query::parse(&filter, &["metrics.m1 DESC"]).unwrap() };
    let page = store.search(&query).unwrap();
    let expected = (0..).zip(runs).filter(|(number, run)| number % 10 == 3 && (run.next - 1) as f64 >= least);
    assert_eq!(page.total, expected.count());
    assert!(
        page.summaries()
            .unwrap()
            .iter()
            .all(|run| run.metrics["m0"].latest.value >= least && run.metrics.len() == KEYS as usize)
    );
}

/// Least and median of some rounds; `before` each something happens that is not measured.
fn row<S>(what: &str, state: &mut S, rounds: usize, before: impl Fn(&mut S), work: impl Fn(&mut S)) {
    let mut took: Vec<f64> = (0..rounds)
        .map(|_| {
            before(state);
            let start = Instant::now();
            work(state);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    println!("{what:<64} {:>9.3} ms least {:>9.3} ms median", took[0], took[rounds / 2]);
}

fn main() {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1000_usize);
    let (_dir, store) = workspace();
    let runs: Vec<Open> = (0..count).map(|number| Open::new(&store, number, STEPS)).collect();
    println!("{count} open runs, 5 params, {KEYS} metrics of {STEPS} points each");
    let fresh = || Workspace::open(store.root()).unwrap();
    row("a handle opened now", &mut fresh(), 5, |handle| *handle = fresh(), |handle| search(handle, &runs));
    row("nothing changed", &mut fresh(), 50, |_| {}, |handle| search(handle, &runs));
    let mut state = (runs, fresh());
    for changed in [1, count / 10, count] {
        row(
            &format!("{changed} runs logged 10 points each"),
            &mut state,
            20,
            |(runs, _)| runs.iter_mut().rev().take(changed).for_each(Open::step),
            |(runs, handle)| search(handle, runs),
        );
    }
    let one = |(runs, handle): &mut (Vec<Open>, Workspace)| {
        let run = handle.find_summary(runs[0].writer.run_id()).unwrap().unwrap();
        assert_eq!(run.metrics["m0"].latest.step, runs[0].next - 1);
    };
    row("one run by itself, after 10 points", &mut state, 200, |(runs, _)| runs[0].step(), one);
    drop(state);

    let (_dir, store) = workspace();
    let runs: Vec<Open> = (0..2).map(|_| Open::new(&store, 3, 10_000)).collect();
    println!("\n2 open runs, {KEYS} metrics of 10,000 points each");
    row(
        "a handle opened now",
        &mut fresh_of(&store),
        5,
        |handle| *handle = fresh_of(&store),
        |handle| {
            assert_eq!(handle.search(&Query::default()).unwrap().total, runs.len());
        },
    );
    let mut state = (runs, fresh_of(&store));
    row("nothing changed", &mut state, 50, |_| {}, |(runs, handle)| listed(handle, runs));
    let hundred = |(runs, _): &mut (Vec<Open>, Workspace)| (0..100).for_each(|_| runs[0].step());
    row("one of them logged 1,000 points", &mut state, 20, hundred, |(runs, handle)| listed(handle, runs));
    row("one run by itself, after 1,000 points", &mut state, 20, hundred, one);
    drop(state);
    followed(100_000, true);
    followed(10_000, false);
    wide(300_000);
}

/// Follows a workspace of so many runs that ended, in packs or in their logs, while ten are open.
fn followed(ended: usize, packed: bool) {
    let (_dir, store) = workspace();
    for number in 0..ended {
        let mut writer = store.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        writer.log_metric("m0", 1, number as f64).unwrap();
    }
    if packed {
        assert_eq!(
            store.maintenance().compact(stepwell::maintenance::CompactOptions::default()).unwrap().runs,
            ended as u64
        );
    }
    let open: Vec<Open> = (0..10).map(|number| Open::new(&store, number, STEPS)).collect();
    let place = if packed { "in packs" } else { "in their logs" };
    println!("\n{ended} runs that ended, {place}, and 10 open ones, all followed");
    let begin = |store: &mut Workspace| drop(store.follow(&Follow::default()).unwrap());
    row("a follower begun now", &mut fresh_of(&store), 3, |fresh| *fresh = fresh_of(&store), begin);
    let next = |follower: &mut Follower| follower.next(std::time::Duration::ZERO).unwrap();
    let mut one = fresh_of(&store).follow(&Follow::run(open[0].writer.run_id().clone())).unwrap();
    row("nothing changed, one run followed", &mut one, 50, |_| {}, |follower| assert!(next(follower).is_none()));
    let mut state = (open, fresh_of(&store).follow(&Follow::default()).unwrap());
    row("nothing changed", &mut state, 20, |_| {}, |(_, follower)| assert!(next(follower).is_none()));
    for changed in [1, 10] {
        row(
            &format!("{changed} of them logged 10 points"),
            &mut state,
            20,
            |(open, _)| open.iter_mut().take(changed).for_each(Open::step),
            |(_, follower)| assert_eq!(next(follower).unwrap().points(), changed * KEYS as usize),
        );
    }
}

/// Searches a run of so many metrics, open and packed.
fn wide(metrics: usize) {
    let (_dir, store) = workspace();
    let mut writer = store.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    for number in 0..metrics {
        writer.log_metric(&format!("layer{}/unit{number}", number % 100), 1, number as f64).unwrap();
    }
    let search = |store: &mut Workspace| {
        let (key, value) = (format!("layer{}/unit{}", (metrics - 1) % 100, metrics - 1), metrics - 1);
        let query = Query::filter(&format!("metrics.\"{key}\" = {value}")).unwrap();
        let page = store.search(&query).unwrap();
        assert_eq!((page.total, page.summaries().unwrap()[0].metrics.len()), (1, metrics));
    };
    println!("\n1 run of {metrics} metrics");
    row("open, a handle opened now", &mut fresh_of(&store), 3, |handle| *handle = fresh_of(&store), search);
    row("open, nothing changed", &mut fresh_of(&store), 5, |_| {}, search);
    let mut state = (fresh_of(&store), writer);
    let log = |(_, writer): &mut (Workspace, RunWriter)| writer.log_metric("layer0/unit0", 2, 0.0).unwrap();
    row("open, a point was logged", &mut state, 5, log, |(handle, _)| search(handle));
    state.1.finish(stepwell::RunStatus::Finished).unwrap();
    assert_eq!(store.maintenance().compact(stepwell::maintenance::CompactOptions::default()).unwrap().runs, 1);
    row("packed, a handle opened now", &mut fresh_of(&store), 3, |handle| *handle = fresh_of(&store), search);
    row("packed, nothing changed", &mut fresh_of(&store), 5, |_| {}, search);
}

fn fresh_of(store: &Workspace) -> Workspace {
    Workspace::open(store.root()).unwrap()
}

/// Lists all runs, and verifies their latest points.
fn listed(store: &Workspace, runs: &[Open]) {
    let listed = store.search(&Query::default()).unwrap().summaries().unwrap();
    for run in runs {
        let row = listed.iter().find(|row| row.run_id == *run.writer.run_id()).unwrap();
        assert_eq!((row.metrics["m0"].latest.step, row.metrics["m0"].count), (run.next - 1, run.next as u64));
    }
}
