//! What a new run costs while others wait to be compacted: it must not depend on how many wait. Each answer is
//! verified.
//!
//! `cargo bench --bench waiting [-- RUNS]` prints one table: the median wall time of 100 calls, behind 100, RUNS / 3
//! and RUNS waiting runs (3,000 where nothing is given).

mod support;

use std::time::Instant;

use stepwell::query::Query;
use stepwell::tracking::{CreateRun, Tracking, TrackingOptions};
use stepwell::{ExperimentId, NewRun, RunEdit, RunId, RunStatus, Workspace};
use support::workspace;

const CALLS: usize = 100;

/// A kind of call, by its name; the run it concerned.
type Call = (&'static str, fn(&Workspace, &Tracking) -> RunId);

fn created(store: &Workspace) -> RunId {
    let mut run = store.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    run.log_param("lr", "0.1").unwrap();
    run.run_id().clone()
}

const CALLS_OF: [Call; 6] = [
    ("a run with a param, by one handle", |store, _| created(store)),
    ("the same, finished", |store, _| {
        let mut run = store.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        run.log_param("lr", "0.1").unwrap();
        let id = run.run_id().clone();
        run.finish(RunStatus::Finished).unwrap();
        id
    }),
    ("the same, by a handle opened for it", |store, _| created(&Workspace::open(store.root()).unwrap())),
    ("a run created and given a param by the facade", |_, tracking| {
        let new = CreateRun { experiment_id: "0".into(), ..Default::default() };
        let id = tracking.create_run(&new).unwrap().info.run_id;
        tracking.log_param(&id, "lr", "0.1").unwrap();
        RunId::new(&id).unwrap()
    }),
    ("a run that is only words, and a param by an edit", |store, _| {
        let id = store.create_run_without_log(ExperimentId::DEFAULT, NewRun::default(), &[]).unwrap();
        store.edit_run(&id, &[RunEdit::Param("lr".into(), "0.1".into())]).unwrap();
        id
    }),
    ("the same by a handle opened for it", |store, _| {
        let store = Workspace::open(store.root()).unwrap();
        let id = store.create_run_without_log(ExperimentId::DEFAULT, NewRun::default(), &[]).unwrap();
        store.edit_run(&id, &[RunEdit::Param("lr".into(), "0.1".into())]).unwrap();
        id
    }),
];

fn main() {
    let most = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(3000_usize);
    println!("{:<52}{:>12}{:>12}{:>12}", "median us, behind waiting runs:", 100, most / 3, most);
    for (what, call) in CALLS_OF {
        let (_dir, store) = workspace();
        let tracking = Tracking::new(store.clone(), TrackingOptions::default());
        let mut waiting = 0;
        print!("{what:<52}");
        for count in [100, most / 3, most] {
            (waiting..count).for_each(|_| _ = call(&store, &tracking));
            let mut took = Vec::with_capacity(CALLS);
            for _ in 0..CALLS {
                let start = Instant::now();
                let id = call(&store, &tracking);
                took.push(start.elapsed().as_secs_f64() * 1e6);
                assert_eq!(store.run(&id).unwrap().state().param("lr"), Some("0.1"));
            }
            took.sort_by(f64::total_cmp);
            print!("{:>12.0}", took[CALLS / 2]);
            waiting = count + CALLS;
        }
        println!();
        assert_eq!(store.search(&Query::default()).unwrap().total, waiting);
    }
}
