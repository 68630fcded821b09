//! What the line that a writer leaves in a ledger costs a run: of its start, its first point and its end. Each answer
//! is verified.
//!
//! `cargo bench --bench evidence [-- RUNS]` prints one table: microseconds of CPU a run, in the kernel too, least of 15
//! rounds of RUNS (300 where nothing is given), and the part of them that is the line's.

mod support;

use std::sync::Arc;

use stepwell::internals::base::ids::RunKey;
use stepwell::internals::log::ledger::{Entry, LINE_LEN, Ledger};
use stepwell::testing::{Disk, Storage};
use stepwell::{ExperimentId, NewRun, Point, WriterId};
use support::{cpu_ns, workspace};

const ROUNDS: u64 = 15;

fn main() {
    let runs = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(300_u64);
    let (dir, store) = workspace();
    let path = dir.path().join("lines");
    let ledger = Arc::new(Ledger::new(Disk.create_new(&path).unwrap()).unwrap());
    let [mut of_runs, mut of_lines] = [[f64::MAX; 3]; 2];
    for round in 0..ROUNDS {
        let mut started = Vec::new();
        let start = timed(runs, |_| {
            let mut run = store.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
            let loss = run.metric("loss").unwrap();
            started.push((run, loss));
        });
        let mut of_each = started.iter_mut();
        let point = timed(runs, |number| {
            let (run, loss) = of_each.next().unwrap();
            run.log_point(*loss, Point { step: 0, timestamp_ms: Some(0), value: number as f64 }).unwrap();
        });
        let ids: Vec<_> = started.iter().map(|(run, _)| run.run_id().clone()).collect();
        let mut started = started.into_iter();
        let end = timed(runs, |_| drop(started.next()));
        for (number, id) in ids.iter().enumerate() {
            assert_eq!(store.run(id).unwrap().history("loss").unwrap().values, [number as f64]);
        }
        least(&mut of_runs, [start, point, end]);

        let mut lines = Vec::new();
        let start = timed(runs, |number| {
            let key = RunKey(u128::from(number));
            lines.push(ledger.begin(Some(key), WriterId(u128::from(round)), false, 100).unwrap());
        });
        let mut of_each = lines.iter();
        let point = timed(runs, |_| of_each.next().unwrap().change(|entry| entry.tail = true));
        let mut of_each = lines.iter();
        let end = timed(runs, |_| {
            of_each.next().unwrap().change(|entry| (entry.points, entry.ended) = (1, true));
        });
        least(&mut of_lines, [start, point, end]);
    }
    let written = std::fs::read(&path).unwrap();
    assert_eq!(written.len() as u64, ROUNDS * runs * LINE_LEN as u64);
    for (number, line) in written.chunks_exact(LINE_LEN).enumerate() {
        let entry = Entry::decode(line.try_into().unwrap(), (number * LINE_LEN) as u64).unwrap();
        assert!(entry.tail && entry.ended && entry.points == 1);
    }
    println!("{:<34}{:>10}{:>10}{:>8}", "us of CPU a run", "all", "line", "part");
    for (number, what) in ["start", "first point", "end, without a sync"].into_iter().enumerate() {
        let (all, line) = (of_runs[number], of_lines[number]);
        println!("{what:<34}{all:>10.2}{line:>10.2}{:>7.0}%", line / all * 100.0);
    }
}

/// Microseconds of CPU a call.
fn timed(calls: u64, mut call: impl FnMut(u64)) -> f64 {
    let before = cpu_ns();
    (0..calls).for_each(&mut call);
    (cpu_ns() - before) as f64 / calls as f64 / 1e3
}

fn least(of: &mut [f64; 3], new: [f64; 3]) {
    for (least, new) in of.iter_mut().zip(new) {
        *least = least.min(new);
    }
}
