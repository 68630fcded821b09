//! Random histories of a workspace against its ledger: whatever was written, sealed, moved, killed, imported or copied,
//! every reader finds exactly what was acknowledged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stepwell::maintenance::CompactOptions;
use stepwell::testing::{Disk, SimDisk, Storage};
use stepwell::{Options, TailMode, Workspace};

use crate::support::check::{self, Depth};
use crate::support::world::{Op, World};

/// What happens next.
#[derive(Clone, Debug)]
enum Next {
    Step(Op),
    /// The process is killed and another one goes on.
    Kill,
    /// Another handle, opened now, finds the same.
    Look,
    /// Handles that were there before list what one opened now lists.
    List,
}

pub(crate) fn step() -> impl Strategy<Value = Op> {
    let (slot, run, key) = (0..4_usize, 0..3_u8, 0..3_usize);
    let word = 0..2_u8;
    let len = prop_oneof![4 => 0..20_usize, 2 => 20..600_usize, 1 => 600..4000_usize];
    prop_oneof![
        3 => (slot.clone(), run.clone()).prop_map(|(slot, run)| Op::Create { slot, run }),
        3 => (slot.clone(), run.clone()).prop_map(|(slot, run)| Op::Open { slot, run }),
        8 => (slot.clone(), key.clone(), any::<u8>()).prop_map(|(slot, key, shape)| Op::Point { slot, key, shape }),
        2 => slot.clone().prop_map(|slot| Op::Repeat { slot }),
        2 => (slot.clone(), any::<u8>()).prop_map(|(slot, shape)| Op::Many { slot, shape }),
        6 => (slot.clone(), len.clone(), any::<u8>(), any::<bool>())
            .prop_map(|(slot, len, shape, tag)| Op::Batch { slot, len, shape, tag }),
        3 => (slot.clone(), key, len, any::<u8>())
            .prop_map(|(slot, key, len, shape)| Op::Columns { slot, key, len, shape }),
        3 => (slot.clone(), word.clone(), 0..3_u8).prop_map(|(slot, key, value)| Op::Param { slot, key, value }),
        3 => (slot.clone(), word.clone()).prop_map(|(slot, key)| Op::Tag { slot, key }),
        2 => (run.clone(), word.clone()).prop_map(|(run, key)| Op::EditTag { run, key }),
        1 => (run.clone(), word.clone()).prop_map(|(run, key)| Op::RemoveTag { run, key }),
        1 => (run.clone(), word, 0..3_u8).prop_map(|(run, key, value)| Op::EditParam { run, key, value }),
        1 => run.clone().prop_map(|run| Op::Name { run }),
        1 => run.clone().prop_map(|run| Op::Delete { run }),
        2 => run.clone().prop_map(|run| Op::Restore { run }),
        3 => slot.clone().prop_map(|slot| Op::Sync { slot }),
        3 => slot.clone().prop_map(|slot| Op::Seal { slot }),
        2 => (slot.clone(), any::<bool>()).prop_map(|(slot, failed)| Op::Finish { slot, failed }),
        2 => slot.prop_map(|slot| Op::Drop { slot }),
        2 => Just(Op::SyncHandle),
        2 => Just(Op::RequestFlushes),
        2 => Just(Op::SyncFlushed),
        3 => Just(Op::Compact),
        1 => Just(Op::Reopen),
        2 => (run, 0..300_usize).prop_map(|(run, more)| Op::Import { run, more }),
        1 => (0..3_u8).prop_map(Op::Experiment),
        2 => (0..3_u8, 0..3_usize).prop_map(|(run, key)| Op::DeleteMetric { run, key }),
    ]
}

fn history() -> impl Strategy<Value = Vec<Next>> {
    let next = prop_oneof![20 => step().prop_map(Next::Step), 1 => Just(Next::Kill), 2 => Just(Next::Look), 6 => Just(Next::List)];
    // So that most steps find a writer.
    let begin = [Op::Create { slot: 0, run: 0 }, Op::Create { slot: 1, run: 1 }, Op::Open { slot: 2, run: 0 }];
    prop::collection::vec(next, 5..60).prop_map(move |rest| begin.iter().cloned().map(Next::Step).chain(rest).collect())
}

/// How many histories: the same ones in each run, or with `STEPWELL_CASES` so many times as many, each time others.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("STEPWELL_CASES").ok().and_then(|text| text.parse::<u32>().ok());
    let rng_seed = if asked.is_some() { RngSeed::Random } else { RngSeed::Fixed(7) };
    let factor = asked.unwrap_or(1);
    ProptestConfig {
        rng_seed,
        cases: usual * factor,
        failure_persistence: None,
        max_shrink_iters: 64,
        ..ProptestConfig::default()
    }
}

/// From halves that each point fills to such as no history fills.
pub(crate) fn tail_points() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![2, 3, 7, 40, 64 << 10])
}

pub(crate) fn tail() -> impl Strategy<Value = TailMode> {
    prop::sample::select(vec![TailMode::Mapped, TailMode::Written])
}

/// Another process that opens the workspace finds what the ledger says.
fn look(world: &World) {
    if world.workspace.is_some() {
        let other = Workspace::open_on(Arc::clone(&world.storage), &world.root, Options::default()).unwrap();
        check::exact(&world.ledger, &other, Depth::Everything);
    }
}

fn open(world: &World) -> Workspace {
    Workspace::open_on(Arc::clone(&world.storage), &world.root, world.options).unwrap()
}

fn run(world: &mut World, sim: Option<SimDisk>, history: &[Next]) {
    let mut sim = sim;
    // A handle that only reads, and stays, as another process's would.
    let mut watcher: Option<Workspace> = None;
    for next in history {
        match next {
            Next::Step(op) => world.apply(op).unwrap_or_else(|error| panic!("{op:?}: {error}")),
            Next::Kill => {
                if let Some(dead) = sim.take() {
                    watcher = None;
                    let view = dead.process_crash();
                    world.move_to(Arc::new(view.clone()));
                    sim = Some(view);
                }
            }
            Next::Look => look(world),
            Next::List => {
                if let Some(own) = &world.workspace {
                    let (fresh, watcher) = (open(world), watcher.get_or_insert_with(|| open(world)));
                    check::lists(&world.ledger, watcher, &fresh);
                    check::lists(&world.ledger, own, &fresh);
                }
            }
        }
        if let Some(workspace) = &world.workspace {
            check::exact(&world.ledger, workspace, Depth::Contents);
        }
    }
    look(world);
}

/// Copies a file or a folder with all in it between two disks.
fn copy(from: &dyn Storage, to: &dyn Storage, path: &Path) {
    for entry in from.read_dir(path).unwrap() {
        let path = path.join(&entry.name);
        if entry.is_dir {
            let _ = to.create_dir(&path);
            copy(from, to, &path);
            continue;
        }
        let file = from.open_read(&path).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
        let _ = to.remove_file(&path);
        to.create_new(&path).unwrap().write_at(&bytes, 0).unwrap();
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn readers_find_what_was_acknowledged(history in history(), tail in tail(), tail_points in tail_points(), grace in any::<bool>()) {
        let disk = SimDisk::new();
        let options = Options { tail, tail_points, grace_ms: if grace { 600_000 } else { 0 }, ..Options::default() };
        let mut world = World::new(Arc::new(disk.clone()), PathBuf::from("/w"), options);
        run(&mut world, Some(disk), &history);
    }

    /// A copy of a workspace, made at any moment, is packed by itself; then the first one's logs are copied into it
    /// again.
    #[test]
    fn copies_merge_and_count_once(before in history(), after in history(), tail in tail(), tail_points in tail_points(), packed in any::<bool>()) {
        let simple = |next: &Next| !matches!(
            next,
            Next::Kill | Next::Step(Op::Compact | Op::Import { .. } | Op::Experiment(_) | Op::DeleteMetric { .. })
        );
        let disk = SimDisk::new();
        let options = Options { tail, tail_points, ..Options::default() };
        let mut world = World::new(Arc::new(disk.clone()), PathBuf::from("/w"), options);
        world.apply(&Op::Reopen).unwrap();
        let before: Vec<Next> = before.into_iter().filter(|next| !matches!(next, Next::Kill)).collect();
        run(&mut world, None, &before);
        let other = SimDisk::new();
        other.create_dir(Path::new("/w")).unwrap();
        copy(&disk, &other, Path::new("/w"));
        let mut copied = World::new(Arc::new(other.clone()), PathBuf::from("/w"), options);
        copied.ledger = world.ledger.clone();
        copied.ledger.all_closed();
        copied.check(Depth::Contents);
        if packed {
            copied.apply(&Op::Compact).unwrap();
            copied.check(Depth::Contents);
        }
        let after: Vec<Next> = after.into_iter().filter(simple).collect();
        run(&mut world, None, &after);
        for folder in ["/w/logs", "/w/edits"] {
            copy(&disk, &other, Path::new(folder));
        }
        for _ in 0..2 {
            let merged = Workspace::open_on(Arc::new(other.clone()), Path::new("/w"), options).unwrap();
            check::exact(&world.ledger, &merged, Depth::Contents);
            copied.apply(&Op::Compact).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(cases(20))]

    /// Another workspace that takes in what is new, twice, says what the first one says; a third time nothing is new.
    #[test]
    fn what_was_pulled_reads_the_same(before in history(), after in history(), tail in tail(), tail_points in tail_points()) {
        let deletes = |next: &Next| matches!(next, Next::Step(Op::DeleteMetric { .. }));
        let options = Options { tail, tail_points, ..Options::default() };
        let disk = SimDisk::new();
        let mut world = World::new(Arc::new(disk.clone()), PathBuf::from("/w"), options);
        let other = Workspace::open_or_create_on(Arc::new(SimDisk::new()), Path::new("/other"), options).unwrap();
        for history in [before, after.into_iter().filter(|next| !deletes(next)).collect()] {
            let history: Vec<Next> = history.into_iter().filter(|next| !matches!(next, Next::Kill)).collect();
            world.apply(&Op::Reopen).unwrap();
            run(&mut world, None, &history);
            let source = open(&world);
            let points = |workspace: &Workspace| -> u64 {
                let ids = workspace.run_ids().unwrap();
                ids.iter().map(|id| workspace.run(id).unwrap().points()).sum()
            };
            let known = points(&other);
            let pulled = other.pull(&source, &mut |_, _| {}).unwrap();
            assert_eq!((pulled.left_out, pulled.points), (vec![], points(&source) - known));
            check::exact(&world.ledger, &other, Depth::Everything);
            let again = other.pull(&source, &mut |_, _| {}).unwrap();
            assert_eq!((again.added, again.updated, again.points), (0, 0, 0));
            other.maintenance().compact(CompactOptions::default()).unwrap();
            check::exact(&world.ledger, &other, Depth::Contents);
            assert_eq!(source.pull(&other, &mut |_, _| {}).unwrap().points, 0);
            check::exact(&world.ledger, &source, Depth::Contents);
        }
        let report = other.maintenance().verify().unwrap();
        assert!(report.is_ok(), "{report:?}");
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn readers_find_what_was_acknowledged_on_a_real_disk(history in history(), tail in tail(), tail_points in tail_points()) {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { tail, tail_points, grace_ms: 0, ..Options::default() };
        let mut world = World::new(Arc::new(Disk), dir.path().join("w"), options);
        run(&mut world, None, &history);
    }
}
