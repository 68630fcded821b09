//! Followers: what they gave in all is what a reader finds, whatever was written, moved, deleted or damaged meanwhile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use stepwell::maintenance::{CollectOptions, CompactOptions};
use stepwell::testing::{SimDisk, Storage};
use stepwell::{
    Begin, Changes, Columns, Error, ExperimentId, Follow, Follower, NewRun, Options, Point, RunEdit, RunEvent, RunId,
    RunState, RunStatus, TailMode, Workspace, WriterId, part_len,
};

use crate::oracle::{cases, step, tail, tail_points};
use crate::support::world::{Op, World};

/// What a follower gave of a run, or what a reader finds of it.
#[derive(Debug, PartialEq)]
struct Seen {
    state: RunState,
    deleted: bool,
    points: BTreeMap<(String, WriterId), Vec<Point>>,
}

/// Runs by their keys.
type Model = BTreeMap<String, Seen>;

fn key(id: &RunId) -> String {
    id.key().to_string()
}

fn metadata(state: &RunState) -> RunState {
    RunState { coverage: Vec::new(), ..state.clone() }
}

/// What a reader finds of a run.
fn found(workspace: &Workspace, id: &RunId) -> Option<Seen> {
    let run = workspace.find_run(id).unwrap()?;
    assert!(run.damage().is_empty(), "{:?}", run.damage());
    let mut points: BTreeMap<(String, WriterId), Vec<Point>> = BTreeMap::new();
    for (key, series) in run.series() {
        for (at, (part, &writer)) in series.parts.iter().zip(&series.writers).enumerate() {
            let mut columns = Columns::default();
            run.salvage().part(key, at, 0..part_len(part), &mut columns).unwrap();
            points.entry((key.clone(), writer)).or_default().extend(columns.iter());
        }
    }
    let deleted = workspace.counts_as_deleted(run.state()).unwrap();
    Some(Seen { state: metadata(run.state()), deleted, points })
}

fn all(workspace: &Workspace) -> Model {
    let ids = workspace.run_ids().unwrap();
    ids.iter().filter_map(|id| Some((key(id), found(workspace, id)?))).collect()
}

/// Adds an answer to what was given before.
fn take(model: &mut Model, changes: Changes) {
    assert_eq!(changes.damage, Vec::<String>::new());
    let points = changes.runs.iter().flat_map(|run| &run.points).map(|new| new.columns.len()).sum::<usize>();
    assert_eq!(changes.points(), points);
    for run in changes.runs {
        let own = key(&run.id);
        match run.event {
            Some(RunEvent::Gone) => {
                assert!(model.remove(&own).is_some(), "{own} goes and was not there");
                continue;
            }
            Some(RunEvent::Appeared) => {
                let seen = Seen { state: run.state.clone().unwrap(), deleted: run.deleted, points: BTreeMap::new() };
                assert!(model.insert(own.clone(), seen).is_none(), "{own} appeared twice");
            }
            _ => {}
        }
        let seen = model.get_mut(&own).unwrap_or_else(|| panic!("{own} changes and did not appear"));
        match run.event {
            Some(RunEvent::Deleted) => assert!(!seen.deleted && run.deleted),
            Some(RunEvent::Restored) => assert!(seen.deleted && !run.deleted),
            _ => assert_eq!(seen.deleted, run.deleted),
        }
        seen.deleted = run.deleted;
        if let Some(state) = run.state {
            seen.state = metadata(&state);
        }
        seen.points.retain(|(key, _), _| !run.removed.contains(key));
        for new in run.points {
            assert!(!new.columns.is_empty());
            seen.points.entry((new.key, new.writer)).or_default().extend(new.columns.iter());
        }
    }
}

/// A follower, what it gave, and the runs that it follows; all when none is named.
struct Following {
    follower: Follower,
    model: Model,
    runs: Vec<RunId>,
}

impl Following {
    /// With all that is there.
    fn from_start(workspace: &Workspace, runs: &[RunId]) -> Self {
        let follow = Follow { runs: runs.to_vec(), begin: Begin::Last(usize::MAX), ..Follow::default() };
        Self { follower: workspace.follow(&follow).unwrap(), model: Model::new(), runs: runs.to_vec() }
    }

    /// From now on, beside what is there.
    fn now(workspace: &Workspace) -> Self {
        let follower = workspace.follow(&Follow::default()).unwrap();
        Self { follower, model: all(workspace), runs: Vec::new() }
    }

    /// Asks until there is no more, then compares with what a handle opened now finds.
    fn check(&mut self, fresh: &Workspace) {
        while let Some(changes) = self.follower.next(Duration::ZERO).unwrap() {
            take(&mut self.model, changes);
        }
        let mut expected = all(fresh);
        let chosen: Vec<String> = self.runs.iter().map(key).collect();
        expected.retain(|key, _| chosen.is_empty() || chosen.contains(key));
        for (key, seen) in &expected {
            let own = self.model.get(key).unwrap_or_else(|| panic!("{key} was not given"));
            assert_eq!(own.state, seen.state, "words of {key}");
            assert_eq!(own, seen, "{key}");
        }
        assert!(self.model.keys().eq(expected.keys()), "{:?} {:?}", self.model.keys(), expected.keys());
    }

    /// Goes on by a cursor with another handle; with a new follower where the cursor has expired.
    fn resume(&mut self, workspace: &Workspace) {
        match workspace.follow_from(&self.follower.cursor()) {
            Ok(follower) => self.follower = follower,
            Err(Error::Invalid { what: "cursor", .. }) if self.runs.is_empty() => {
                *self = Self::from_start(workspace, &[])
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// What happens next.
#[derive(Clone, Debug)]
enum Next {
    Step(Op),
    Look(usize),
    Resume(usize),
    /// Another follower takes the place of this one.
    Anew(usize),
    Kill,
}

fn history() -> impl Strategy<Value = Vec<Next>> {
    let steps = prop_oneof![8 => step(), 2 => Just(Op::Compact), 1 => Just(Op::Gc)];
    let next = prop_oneof![
        16 => steps.prop_map(Next::Step),
        6 => (0..3_usize).prop_map(Next::Look),
        2 => (0..3_usize).prop_map(Next::Resume),
        1 => (0..3_usize).prop_map(Next::Anew),
        1 => Just(Next::Kill),
    ];
    let begin = [Op::Create { slot: 0, run: 0 }, Op::Create { slot: 1, run: 1 }, Op::Open { slot: 2, run: 0 }];
    prop::collection::vec(next, 5..60).prop_map(move |rest| begin.iter().cloned().map(Next::Step).chain(rest).collect())
}

fn open(world: &World) -> Workspace {
    Workspace::open_on(Arc::clone(&world.storage), &world.root, world.options).unwrap()
}

/// Followers of three kinds: of all from the start, of all from now on, of one run.
fn begun(world: &World, kind: usize) -> Following {
    let chosen = RunId::new("run1").unwrap();
    match kind {
        0 => Following::from_start(&open(world), &[]),
        1 => Following::now(&open(world)),
        _ if open(world).find_run(&chosen).unwrap().is_some() => Following::from_start(&open(world), &[chosen]),
        _ => Following::from_start(&open(world), &[]),
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn what_a_follower_gave_in_all_is_what_is_there(history in history(), tail in tail(), tail_points in tail_points(), grace in any::<bool>()) {
        let mut sim = SimDisk::new();
        let options = Options { tail, tail_points, grace_ms: if grace { 600_000 } else { 0 }, ..Options::default() };
        let mut world = World::new(Arc::new(sim.clone()), PathBuf::from("/w"), options);
        world.apply(&Op::Reopen).unwrap();
        let mut followings: Vec<Following> = (0..2).map(|kind| begun(&world, kind)).collect();
        for (at, next) in history.iter().enumerate() {
            if at == 3 {
                followings.push(begun(&world, 2));
            }
            match next {
                Next::Step(op) => match (op, world.apply(op)) {
                    // What was permanently deleted does not come back by that.
                    (Op::Import { .. }, Err(Error::Invalid { what: "run", .. })) | (_, Ok(())) => {}
                    (op, Err(error)) => panic!("{op:?}: {error}"),
                },
                Next::Look(which) => followings[*which].check(&open(&world)),
                Next::Resume(which) => followings[*which].resume(&open(&world)),
                Next::Anew(which) => followings[*which] = begun(&world, *which),
                Next::Kill => {
                    sim = sim.process_crash();
                    world.move_to(Arc::new(sim.clone()));
                    followings.iter_mut().for_each(|following| following.resume(&open(&world)));
                }
            }
        }
        followings.iter_mut().for_each(|following| following.check(&open(&world)));
    }
}

fn place() -> (tempfile::TempDir, Workspace) {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    (dir, workspace)
}

fn other(workspace: &Workspace) -> Workspace {
    Workspace::open(workspace.root()).unwrap()
}

/// The one answer that is there now.
fn answer(follower: &mut Follower) -> Changes {
    let changes = follower.next(Duration::ZERO).unwrap().expect("something changed");
    assert!(follower.next(Duration::ZERO).unwrap().is_none(), "there is more");
    changes
}

#[test]
fn an_answer_is_bounded_and_the_rest_follows() {
    let (_dir, workspace) = place();
    let mut run = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let mut small = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let steps: Vec<i64> = (0..1 << 19).collect();
    let values: Vec<f64> = steps.iter().map(|&step| step as f64).collect();
    for key in ["a", "b", "c"] {
        let metric = run.metric(key).unwrap();
        run.log_columns(metric, &steps, None, &values).unwrap();
    }
    small.log_metric("a", 1, 1.0).unwrap();
    let all = Follow { begin: Begin::Last(usize::MAX), ..Follow::default() };
    let mut follower = other(&workspace).follow(&all).unwrap();
    let mut model = Model::new();
    let first = follower.next(Duration::ZERO).unwrap().unwrap();
    assert!(first.more && first.points() <= 1 << 20, "{} points", first.points());
    take(&mut model, first);
    // A cursor taken between goes on in the middle.
    let mut follower = other(&workspace).follow_from(&follower.cursor()).unwrap();
    while let Some(changes) = follower.next(Duration::ZERO).unwrap() {
        take(&mut model, changes);
    }
    assert!(model == self::all(&workspace));
    // The newest of each metric, of a run that is named, and of metrics that are named.
    let last = Follow { runs: vec![run.run_id().clone()], keys: vec!["b".into()], begin: Begin::Last(2) };
    let changes = answer(&mut workspace.follow(&last).unwrap());
    let [run] = &changes.runs[..] else { panic!("{changes:?}") };
    assert_eq!((run.event, run.points.len()), (Some(RunEvent::Appeared), 1));
    assert_eq!(run.points[0].columns.steps, steps[steps.len() - 2..]);
}

#[test]
fn it_waits_until_something_changes_in_another_handle() {
    let (_dir, workspace) = place();
    let mut run = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let mut follower = other(&workspace).follow(&Follow::run(run.run_id().clone())).unwrap();
    let begun = Instant::now();
    assert!(follower.next(Duration::from_millis(50)).unwrap().is_none());
    assert!(begun.elapsed() >= Duration::from_millis(50));
    let changes = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| follower.next(Duration::from_secs(60)).unwrap());
        run.log_metric("loss", 3, 0.5).unwrap();
        waiting.join().unwrap().unwrap()
    });
    assert_eq!(changes.runs[0].points[0].columns.get(0).unwrap().step, 3);
    assert!(changes.runs[0].state.is_none(), "no word changed");
    run.log_param("lr", "0.1").unwrap();
    let changes = answer(&mut follower);
    assert_eq!(changes.runs[0].state.as_ref().unwrap().param("lr"), Some("0.1"));
    // Nothing is new of a run that moves into a pack.
    run.finish(RunStatus::Finished).unwrap();
    assert_eq!(answer(&mut follower).runs[0].state.as_ref().unwrap().status(), RunStatus::Finished);
    assert_eq!(workspace.maintenance().compact(CompactOptions::default()).unwrap().runs, 1);
    assert!(follower.next(Duration::ZERO).unwrap().is_none());
    let missing = workspace.follow(&Follow::run(RunId::new("nobody").unwrap()));
    assert!(matches!(missing, Err(Error::NotFound { .. })));
}

/// Writers, compactions and followers at once, each with a handle of its own as in other processes.
#[test]
fn nothing_is_lost_or_given_twice_while_all_are_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("w");
    let options = Options { tail_points: 64, grace_ms: 0, ..Options::default() };
    let workspace = Workspace::open_or_create_with(&root, options).unwrap();
    let shared = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap().run_id().clone();
    let mut all_runs = Following::from_start(&other(&workspace), &[]);
    let mut one = Following::from_start(&other(&workspace), std::slice::from_ref(&shared));
    let write = &|number: usize| {
        let workspace = Workspace::open_or_create_with(&root, options).unwrap();
        for round in 0..12 {
            let mut run = match (round + number) % 3 {
                0 => workspace.writer(&shared).unwrap(),
                _ => workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap(),
            };
            for step in 0..60 {
                let keys = ["a", "b", "c"];
                run.log_metrics(step, None, &[(keys[step as usize % 3], step as f64), ("all", number as f64)]).unwrap();
                if step % 20 == 0 {
                    run.set_tag("step", &step.to_string()).unwrap();
                }
            }
            drop(run);
        }
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3).map(|number| scope.spawn(move || write(number))).collect();
        scope.spawn(|| {
            let workspace = Workspace::open_or_create_with(&root, options).unwrap();
            while !done.load(Ordering::Relaxed) {
                workspace.maintenance().compact(CompactOptions::default()).unwrap();
                workspace.maintenance().collect_garbage(CollectOptions::before(i64::MIN)).unwrap();
            }
        });
        while !writers.iter().all(|writer| writer.is_finished()) {
            for following in [&mut all_runs, &mut one] {
                if let Some(changes) = following.follower.next(Duration::ZERO).unwrap() {
                    take(&mut following.model, changes);
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    all_runs.check(&other(&workspace));
    one.check(&other(&workspace));
    assert_eq!(all_runs.model.values().flat_map(|run| run.points.values().map(Vec::len)).sum::<usize>(), 3 * 12 * 120);
}

#[test]
fn runs_come_and_go() {
    let (_dir, workspace) = place();
    // One in a pack and one that ended in its log, before anybody follows.
    let ended = |name: &str| {
        let mut run =
            workspace.create_run(ExperimentId::DEFAULT, NewRun { name: name.into(), ..NewRun::default() }).unwrap();
        run.log_metric("loss", 1, 1.0).unwrap();
        let id = run.run_id().clone();
        run.finish(RunStatus::Finished).unwrap();
        id
    };
    let packed = ended("packed");
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    let logged = ended("logged");
    let mut follower = other(&workspace).follow(&Follow::default()).unwrap();
    assert!(follower.next(Duration::ZERO).unwrap().is_none());
    for id in [&packed, &logged] {
        workspace.delete_run(id).unwrap();
        let changes = answer(&mut follower);
        assert_eq!((&changes.runs[0].id, changes.runs[0].event), (id, Some(RunEvent::Deleted)));
        assert!(changes.runs.len() == 1 && changes.runs[0].points.is_empty(), "{changes:?}");
    }
    workspace.restore_run(&packed).unwrap();
    assert_eq!(answer(&mut follower).runs[0].event, Some(RunEvent::Restored));
    workspace.maintenance().purge_run(&logged).unwrap();
    let changes = answer(&mut follower);
    assert_eq!((&changes.runs[0].id, changes.runs[0].event), (&logged, Some(RunEvent::Gone)));
    workspace.maintenance().delete_metric(&packed, "loss").unwrap();
    let changes = answer(&mut follower);
    assert_eq!((changes.runs.len(), &changes.runs[0].removed[..]), (1, &["loss".to_owned()][..]));
    let again = ended("again");
    let changes = answer(&mut follower);
    assert_eq!((&changes.runs[0].id, changes.runs[0].event), (&again, Some(RunEvent::Appeared)));
    assert_eq!(changes.points(), 1);
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    assert!(follower.next(Duration::ZERO).unwrap().is_none());
    let experiment = workspace.experiments().create("vision").unwrap();
    assert_eq!(answer(&mut follower).experiments, [experiment]);
    // Edits of a run that is wholly in packs.
    workspace.edit_run(&packed, &[RunEdit::Tag("a".into(), "b".into())]).unwrap();
    let changes = answer(&mut follower);
    assert_eq!((changes.runs.len(), changes.runs[0].event, changes.points()), (1, None, 0));
}

#[test]
fn a_damaged_log_is_reported_and_the_rest_goes_on() {
    let (_dir, workspace) = place();
    let mut one = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let mut two = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    for step in 0..10 {
        one.log_metric("loss", step, 0.0).unwrap();
        two.log_metric("loss", step, 0.0).unwrap();
    }
    one.sync().unwrap();
    let mut follower = other(&workspace).follow(&Follow::default()).unwrap();
    assert!(follower.next(Duration::ZERO).unwrap().is_none());
    let key = one.run_id().key().to_string();
    let dir = workspace.root().join("logs").join(&key[..2]);
    let log = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let log = log.into_iter().find(|path| path.to_str().unwrap().contains(&key) && path.extension().unwrap() == "log");
    let log = log.unwrap();
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, b"nothing of it").unwrap();
    two.log_metric("loss", 10, 0.0).unwrap();
    let changes = answer(&mut follower);
    assert!(changes.damage.iter().any(|what| what.contains(&key)), "{changes:?}");
    assert_eq!(changes.points(), 1);
    two.log_metric("loss", 11, 0.0).unwrap();
    let changes = answer(&mut follower);
    assert_eq!((changes.damage, changes.runs.len(), changes.runs[0].points.len()), (vec![], 1, 1));
    // What can be read again is not given again.
    std::fs::write(&log, &whole).unwrap();
    let changes = follower.next(Duration::ZERO).unwrap().unwrap_or_default();
    assert_eq!(changes.points(), 0, "{changes:?}");
    one.log_metric("loss", 10, 0.0).unwrap();
    assert_eq!(answer(&mut follower).points(), 1);
}

#[test]
fn a_cursor_is_refused_where_it_does_not_fit() {
    let (_dir, workspace) = place();
    let mut run = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    run.log_metric("loss", 1, 1.0).unwrap();
    let cursor = workspace.follow(&Follow::default()).unwrap().cursor();
    assert!(workspace.follow_from(&cursor).is_ok());
    let (_other, stranger) = place();
    let refused = |bytes: &[u8]| matches!(stranger.follow_from(bytes), Err(Error::Invalid { .. }));
    assert!(refused(&cursor) && refused(b""), "of another workspace, and nothing");
    for end in 0..cursor.len() {
        assert!(workspace.follow_from(&cursor[..end]).is_err());
    }
    for bit in 0..cursor.len() * 8 {
        let mut bytes = cursor.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(workspace.follow_from(&bytes), Err(Error::Invalid { .. })), "bit {bit}");
    }
}

#[test]
fn following_writes_nothing() {
    let disk = SimDisk::new();
    let options = Options { tail: TailMode::Written, ..Options::default() };
    let workspace = Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new("/w"), options).unwrap();
    let mut run = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    run.log_metric("loss", 1, 1.0).unwrap();
    let files = |disk: &SimDisk| {
        let mut names = Vec::new();
        let mut folders = vec![PathBuf::from("/w")];
        while let Some(folder) = folders.pop() {
            for entry in disk.read_dir(&folder).unwrap() {
                let path = folder.join(&entry.name);
                if entry.is_dir {
                    folders.push(path);
                } else {
                    let file = disk.open_read(&path).unwrap();
                    let mut bytes = vec![0; file.len().unwrap() as usize];
                    file.read_at(&mut bytes, 0).unwrap();
                    names.push((path, bytes));
                }
            }
        }
        names.sort();
        names
    };
    let before = files(&disk);
    let other = Workspace::open_on(Arc::new(disk.clone()), Path::new("/w"), options).unwrap();
    let mut following = Following::from_start(&other, &[]);
    following.check(&other);
    assert!(before == files(&disk));
}
