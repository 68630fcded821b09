//! Deletions between workspaces: whatever was done on either side and in whatever order they took from each other, both
//! come to the same, nothing that was deleted comes back, and nothing is lost that nobody deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use stepwell::import::Pulled;
use stepwell::maintenance::CompactOptions;
use stepwell::testing::SimDisk;
use stepwell::{Error, ExperimentId, NewRun, Options, RunEdit, RunId, RunStatus, Workspace};

fn workspace(disk: &Arc<SimDisk>, name: &str) -> Workspace {
    let storage = Arc::clone(disk);
    Workspace::open_or_create_on(storage, &Path::new("/").join(name), Options::default()).unwrap().acting_as(name)
}

fn two() -> [Workspace; 2] {
    let disk = Arc::new(SimDisk::new());
    ["a", "b"].map(|name| workspace(&disk, name))
}

fn pull(target: &Workspace, source: &Workspace) -> Pulled {
    let pulled = target.pull(source, &mut |_, _| {}).unwrap();
    assert_eq!(pulled.left_out, Vec::<String>::new());
    pulled
}

fn both(sides: &[Workspace; 2]) {
    pull(&sides[0], &sides[1]);
    pull(&sides[1], &sides[0]);
}

/// Creates a run with these values of two metrics, and ends it.
fn create(workspace: &Workspace, experiment: ExperimentId, id: &RunId, value: f64) -> bool {
    let new = NewRun { id: Some(id.clone()), ..NewRun::default() };
    match workspace.create_run(experiment, new) {
        Ok(mut run) => {
            run.log_metrics(0, None, &[("m", value), ("n", value)]).unwrap();
            run.finish(RunStatus::Finished).unwrap();
            true
        }
        Err(Error::AlreadyExists { .. } | Error::Deleted { .. } | Error::NotFound { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

fn append(workspace: &Workspace, id: &RunId, value: f64) -> bool {
    match workspace.writer(id) {
        Ok(mut run) => {
            run.log_metrics(1, None, &[("m", value), ("n", value)]).unwrap();
            run.finish(RunStatus::Finished).unwrap();
            true
        }
        Err(Error::Deleted { .. } | Error::NotFound { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// The values of a metric of a run; none where there is no such.
fn values(workspace: &Workspace, id: &RunId, key: &str) -> BTreeSet<u64> {
    let run = workspace.find_run(id).unwrap();
    let history = run.and_then(|run| run.series().contains_key(key).then(|| run.history(key).unwrap()));
    history.iter().flat_map(|history| history.iter()).map(|point| point.value as u64).collect()
}

fn is_deleted(workspace: &Workspace, id: &RunId) -> Option<bool> {
    let run = workspace.find_run(id).unwrap()?;
    Some(workspace.counts_as_deleted(run.state()).unwrap())
}

/// All that one may see of a workspace.
fn seen(workspace: &Workspace) -> (Vec<String>, Vec<String>) {
    let runs = workspace.run_ids().unwrap().into_iter().map(|id| {
        let run = workspace.run(&id).unwrap();
        let state = run.state();
        let tags: Vec<_> = state.tags().collect();
        let values: Vec<_> = run.keys().map(|key| (key, values(workspace, &id, key))).collect();
        let deleted = workspace.counts_as_deleted(state).unwrap();
        format!("{id} of {}: deleted {deleted}, {tags:?}, {values:?}", state.experiment)
    });
    let experiments = workspace.experiments().list().unwrap().into_iter();
    let experiments = experiments
        .map(|known| format!("{} {}: {:?} by {}", known.id, known.name, known.deletion(), known.deletion_by));
    let mut seen: (Vec<String>, Vec<String>) = (runs.collect(), experiments.collect());
    seen.0.sort();
    seen.1.sort();
    seen
}

#[derive(Clone, Debug)]
enum Act {
    Create(usize),
    Append(usize),
    Tag(usize),
    Delete(usize),
    Restore(usize),
    Purge(usize),
    DeleteMetric(usize),
    DeleteExperiment(usize),
    RestoreExperiment(usize),
    PurgeExperiment(usize),
    Pull,
    Compact,
}

fn act() -> impl Strategy<Value = (usize, Act)> {
    let (run, experiment) = (0..4_usize, 0..3_usize);
    let act = prop_oneof![
        4 => run.clone().prop_map(Act::Create),
        2 => run.clone().prop_map(Act::Append),
        1 => run.clone().prop_map(Act::Tag),
        3 => run.clone().prop_map(Act::Delete),
        2 => run.clone().prop_map(Act::Restore),
        2 => run.clone().prop_map(Act::Purge),
        1 => run.prop_map(Act::DeleteMetric),
        2 => experiment.clone().prop_map(Act::DeleteExperiment),
        2 => experiment.clone().prop_map(Act::RestoreExperiment),
        1 => experiment.prop_map(Act::PurgeExperiment),
        4 => Just(Act::Pull),
        1 => Just(Act::Compact),
    ];
    (0..2_usize, act)
}

/// What was logged, and what was permanently deleted, by run and metric.
#[derive(Default)]
struct Oracle {
    logged: BTreeMap<(RunId, &'static str), BTreeSet<u64>>,
    gone: BTreeMap<(RunId, &'static str), BTreeSet<u64>>,
    next: u64,
}

impl Oracle {
    fn value(&mut self) -> f64 {
        self.next += 1;
        self.next as f64
    }

    fn log(&mut self, id: &RunId) {
        for key in ["m", "n"] {
            self.logged.entry((id.clone(), key)).or_default().insert(self.next);
        }
    }

    /// Notes that what a workspace has of a metric goes for good.
    fn purge(&mut self, workspace: &Workspace, id: &RunId, key: &'static str) {
        self.gone.entry((id.clone(), key)).or_default().extend(values(workspace, id, key));
    }
}

/// Takes what the other side has, and holds that runs on which both agreed, or which one side alone has, stay what they
/// are.
fn pull_and_check(sides: &[Workspace; 2], at: usize, ids: &[RunId]) {
    let before: Vec<_> = ids.iter().map(|id| [is_deleted(&sides[at], id), is_deleted(&sides[1 - at], id)]).collect();
    pull(&sides[at], &sides[1 - at]);
    for (id, before) in ids.iter().zip(before) {
        let after = is_deleted(&sides[at], id);
        match before {
            // One that was permanently deleted on the other side may be gone.
            [own, theirs] if own == theirs || theirs.is_none() || own.is_none() => {
                let expected = own.or(theirs);
                assert!(after == expected || after.is_none(), "{id}: {before:?} became {after:?}");
            }
            _ => assert!(after.is_some() || before.contains(&None), "{id} is gone"),
        }
    }
}

/// Both sides have writers of their own of one run, and only one side's mark says that it is deleted: when that side
/// deletes its own for good, the mark stays on the other.
#[test]
fn a_mark_stays_when_the_writer_that_gave_it_is_deleted_for_good() {
    let sides = two();
    let id = RunId::new("r").unwrap();
    for (side, value) in sides.iter().zip([1.0, 2.0]) {
        assert!(create(side, ExperimentId::DEFAULT, &id, value));
    }
    sides[1].delete_run(&id).unwrap();
    pull(&sides[0], &sides[1]);
    assert_eq!(is_deleted(&sides[0], &id), Some(true));
    sides[1].maintenance().purge_run(&id).unwrap();
    pull(&sides[0], &sides[1]);
    assert_ne!(is_deleted(&sides[0], &id), Some(false));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn two_workspaces_come_to_the_same(acts in prop::collection::vec(act(), 0..40)) {
        let sides = two();
        let ids: Vec<RunId> = (0..4).map(|run| RunId::new(format!("r{run}")).unwrap()).collect();
        let mut experiments = vec![ExperimentId::DEFAULT];
        for name in ["x", "y"] {
            experiments.push(sides[0].experiments().create(name).unwrap());
        }
        both(&sides);
        let mut oracle = Oracle::default();
        for (at, act) in acts {
            let side = &sides[at];
            match act {
                Act::Create(run) => {
                    let value = oracle.value();
                    if create(side, experiments[run % 3], &ids[run], value) {
                        oracle.log(&ids[run]);
                    }
                }
                Act::Append(run) => {
                    let value = oracle.value();
                    if append(side, &ids[run], value) {
                        oracle.log(&ids[run]);
                    }
                }
                Act::Tag(run) => {
                    let value = oracle.value().to_string();
                    let _ = side.edit_run(&ids[run], &[RunEdit::Tag("t".into(), value)]);
                }
                Act::Delete(run) => _ = side.delete_run(&ids[run]),
                Act::Restore(run) => _ = side.restore_run(&ids[run]),
                Act::Purge(run) => {
                    if is_deleted(side, &ids[run]) == Some(true) {
                        ["m", "n"].iter().for_each(|key| oracle.purge(side, &ids[run], key));
                        side.maintenance().purge_run(&ids[run]).unwrap();
                    }
                }
                Act::DeleteMetric(run) => {
                    if !values(side, &ids[run], "n").is_empty() {
                        oracle.purge(side, &ids[run], "n");
                        side.maintenance().delete_metric(&ids[run], "n").unwrap();
                    }
                }
                Act::DeleteExperiment(experiment) => _ = side.experiments().delete(experiments[experiment]),
                Act::RestoreExperiment(experiment) => _ = side.experiments().restore(experiments[experiment]),
                Act::PurgeExperiment(experiment) => {
                    let id = experiments[experiment];
                    let doomed = side.experiments().get(id).is_ok_and(|known| known.deleted && id != ExperimentId::DEFAULT);
                    let of_it = |run: &&RunId| {
                        side.find_run(run).unwrap().is_some_and(|found| found.state().experiment == id)
                    };
                    let runs: Vec<&RunId> = ids.iter().filter(of_it).collect();
                    if doomed && runs.iter().any(|run| is_deleted(side, run) != Some(true)) {
                        // One that was restored by itself keeps it.
                        let refused = side.maintenance().purge_experiment(id);
                        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
                    } else if doomed {
                        for run in runs {
                            ["m", "n"].iter().for_each(|key| oracle.purge(side, run, key));
                        }
                        side.maintenance().purge_experiment(id).unwrap();
                    }
                }
                Act::Pull => pull_and_check(&sides, at, &ids),
                Act::Compact => _ = side.maintenance().compact(CompactOptions::default()).unwrap(),
            }
        }
        // Whoever begins, both come to the same.
        both(&sides);
        both(&sides);
        let [a, b] = [0, 1].map(|at| seen(&sides[at]));
        prop_assert_eq!(a, b);
        for ((id, key), logged) in &oracle.logged {
            let gone = oracle.gone.get(&(id.clone(), *key)).cloned().unwrap_or_default();
            let left: BTreeSet<u64> = logged.difference(&gone).copied().collect();
            prop_assert_eq!(values(&sides[0], id, key), left, "{} of {}", key, id);
        }
        let again = pull(&sides[0], &sides[1]);
        prop_assert_eq!((again.added, again.updated, again.points), (0, 0, 0));
    }
}

#[test]
fn a_deleted_run_does_not_come_back() {
    let sides = two();
    let id = RunId::new("r").unwrap();
    create(&sides[0], ExperimentId::DEFAULT, &id, 1.0);
    both(&sides);
    sides[1].delete_run(&id).unwrap();
    both(&sides);
    assert_eq!([0, 1].map(|at| is_deleted(&sides[at], &id)), [Some(true); 2]);
    assert_eq!(sides[0].run(&id).unwrap().state().deletion_by(), "b");
    sides[0].maintenance().purge_run(&id).unwrap();
    sides[1].edit_run_even_deleted(&id, &[RunEdit::Tag("later".into(), "word".into())]).unwrap();
    let pulled = pull(&sides[1], &sides[0]);
    assert_eq!(pulled.removed, std::slice::from_ref(&id));
    both(&sides);
    assert_eq!([0, 1].map(|at| is_deleted(&sides[at], &id)), [None; 2]);
    // The id is free, and what takes it is not a part of what was deleted.
    assert!(create(&sides[1], ExperimentId::DEFAULT, &id, 2.0));
    both(&sides);
    assert_eq!(values(&sides[0], &id, "m"), [2].into());
}

#[test]
fn a_mark_outlives_a_restoration_that_did_not_know_of_it() {
    let sides = two();
    let experiment = sides[0].experiments().create("x").unwrap();
    let (old, new) = (RunId::new("old").unwrap(), RunId::new("new").unwrap());
    create(&sides[0], experiment, &old, 1.0);
    both(&sides);
    sides[0].experiments().delete(experiment).unwrap();
    sides[0].experiments().restore(experiment).unwrap();
    sides[1].delete_run(&old).unwrap();
    create(&sides[1], experiment, &new, 2.0);
    sides[1].delete_run(&new).unwrap();
    both(&sides);
    for side in &sides {
        assert_eq!([&old, &new].map(|id| is_deleted(side, id)), [Some(true); 2]);
        assert!(!side.experiments().get(experiment).unwrap().deleted);
    }
    // One that knows of it restores them.
    sides[0].experiments().delete(experiment).unwrap();
    sides[0].experiments().restore(experiment).unwrap();
    both(&sides);
    for side in &sides {
        assert_eq!([&old, &new].map(|id| is_deleted(side, id)), [Some(false); 2]);
    }
}

#[test]
fn an_experiment_goes_with_its_runs_and_comes_back_with_one_that_lives() {
    let sides = two();
    let experiment = sides[0].experiments().create("x").unwrap();
    let (old, new) = (RunId::new("old").unwrap(), RunId::new("new").unwrap());
    create(&sides[0], experiment, &old, 1.0);
    both(&sides);
    sides[0].experiments().delete(experiment).unwrap();
    sides[0].maintenance().purge_experiment(experiment).unwrap();
    assert_eq!(pull(&sides[1], &sides[0]).experiments_removed, [experiment]);
    both(&sides);
    assert!(
        sides.iter().all(|side| side.experiments().get(experiment).is_err() && side.find_run(&old).unwrap().is_none())
    );

    let again = sides[0].experiments().create("y").unwrap();
    create(&sides[0], again, &old, 3.0);
    both(&sides);
    sides[0].experiments().delete(again).unwrap();
    sides[0].maintenance().purge_experiment(again).unwrap();
    // Nobody there knew of this one.
    create(&sides[1], again, &new, 2.0);
    both(&sides);
    for side in &sides {
        assert_eq!((is_deleted(side, &old), is_deleted(side, &new)), (None, Some(false)));
        assert_eq!(side.experiments().get(again).unwrap().name, "y");
    }
}
