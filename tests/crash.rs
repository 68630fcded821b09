//! A scripted life that is killed, cut off from power or refused by the disk at every single operation.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepwell::testing::{Op, OpKind, PowerLoss, SimDisk, Storage, Times};
use stepwell::{Error, Options, TailMode, Workspace};

use crate::support::check::{self, Depth};
use crate::support::world::{Op as Step, World};

const ROOT: &str = "/a/w";

/// A present time for the simulated clock, so that nothing is older than the grace period.
fn now() -> i64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64
}

fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.set_clock_ms(now());
    disk
}

fn options(tail: TailMode, grace_ms: i64) -> Options {
    // Halves so small that a few points fill both and begin anew.
    Options { tail, grace_ms, tail_points: 6, ..Options::default() }
}

fn world(disk: &SimDisk, options: Options) -> World {
    World::new(Arc::new(disk.clone()), PathBuf::from(ROOT), options)
}

/// Everything a workspace goes through, in small.
fn life() -> Vec<Step> {
    use Step::*;
    let point = |slot, key, shape| Point { slot, key, shape };
    let mut ops = vec![
        Reopen,
        Experiment(1),
        Create { slot: 0, run: 0 },
        point(0, 0, 0),
        point(0, 0, 2),
        Param { slot: 0, key: 0, value: 1 },
        Batch { slot: 0, len: 5, shape: 12, tag: false },
        Sync { slot: 0 },
        point(0, 1, 3),
        Open { slot: 1, run: 0 },
        point(1, 0, 0),
        SyncHandle,
        Param { slot: 1, key: 0, value: 2 },
        Param { slot: 1, key: 1, value: 3 },
        Tag { slot: 1, key: 1 },
        Batch { slot: 1, len: 4, shape: 1, tag: true },
        SyncHandle,
        Seal { slot: 0 },
        point(0, 2, 0),
        Tag { slot: 0, key: 1 },
        // A flush is requested and completed, also while a buffer is being sealed.
        point(0, 0, 0),
        Batch { slot: 0, len: 3, shape: 1, tag: false },
        RequestFlushes,
        point(0, 0, 1),
        point(0, 1, 1),
        RequestFlushes,
        point(0, 0, 1),
        Batch { slot: 0, len: 3, shape: 1, tag: false },
        SyncFlushed,
        Tag { slot: 0, key: 1 },
        // Asked and idle, then answered too late, twice.
        Batch { slot: 0, len: 4, shape: 1, tag: false },
        RequestFlushes,
        SyncFlushed,
        RequestFlushes,
        Batch { slot: 0, len: 4, shape: 1, tag: false },
        point(0, 1, 1),
        RequestFlushes,
        SyncFlushed,
        Batch { slot: 0, len: 5, shape: 1, tag: false },
        RequestFlushes,
        point(0, 0, 1),
        point(0, 0, 1),
        point(0, 0, 1),
        SyncFlushed,
        Columns { slot: 0, key: 1, len: 600, shape: 0 },
        Many { slot: 0, shape: 0 },
        Drop { slot: 1 },
        SyncHandle,
        Compact,
        point(0, 0, 4),
        EditTag { run: 0, key: 1 },
        EditParam { run: 0, key: 2, value: 9 },
        Sync { slot: 0 },
        Import { run: 3, more: 40 },
        Import { run: 3, more: 7 },
        point(0, 0, 5),
        SyncHandle,
        point(0, 0, 6),
        Finish { slot: 0, failed: false },
    ];
    // So many small packs that they are merged.
    for run in [1, 2, 1, 2, 1] {
        ops.extend([
            Create { slot: 2, run },
            Open { slot: 2, run },
            point(2, 0, 0),
            Batch { slot: 2, len: 3, shape: 6, tag: true },
            Drop { slot: 2 },
            Compact,
        ]);
    }
    ops.extend([
        Delete { run: 2 },
        Reopen,
        Experiment(1),
        Experiment(2),
        Gc,
        Open { slot: 0, run: 1 },
        point(0, 0, 0),
        Delete { run: 1 },
        Restore { run: 1 },
        Sync { slot: 0 },
        Compact,
        point(0, 1, 0),
        Finish { slot: 0, failed: true },
        DeleteMetric { run: 0, key: 1 },
        Import { run: 3, more: 5 },
        DeleteMetric { run: 3, key: 0 },
        Import { run: 3, more: 4 },
        Compact,
    ]);
    ops
}

/// Lives until the crash strikes, or to the end. The ledger says what may be expected then.
fn live(world: &mut World, disk: &SimDisk, crash_at: u64) {
    world.dying = true;
    let own = disk.clone();
    world.is_dead = Some(Box::new(move || own.operations() > crash_at));
    for op in life() {
        let done = world.apply(&op);
        // A call may succeed although the disk died meanwhile, when what failed was of no consequence to it.
        if disk.operations() > crash_at {
            break;
        }
        done.expect("nothing fails before the crash");
    }
    (world.dying, world.is_dead) = (false, None);
}

/// What anyone would do with a workspace found after an accident.
fn go_on(world: &mut World) {
    use Step::*;
    let ops = [
        Reopen,
        Open { slot: 0, run: 0 },
        Point { slot: 0, key: 0, shape: 0 },
        Tag { slot: 0, key: 1 },
        Compact,
        Batch { slot: 0, len: 3, shape: 0, tag: true },
        Experiment(5),
        Create { slot: 1, run: 4 },
        Point { slot: 1, key: 1, shape: 0 },
        Finish { slot: 1, failed: false },
        Sync { slot: 0 },
        Compact,
        Drop { slot: 0 },
        Compact,
    ];
    for op in ops {
        world.apply(&op).unwrap_or_else(|error| panic!("{op:?} after the accident: {error}"));
    }
    world.check(Depth::Contents);
}

fn open(disk: &SimDisk, options: Options) -> Workspace {
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    Workspace::open_or_create_on(storage, Path::new(ROOT), options).expect("opens after an accident")
}

/// Says on a panic where it happened.
struct At(String, SimDisk);

impl Drop for At {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was at {}", self.0);
            let trace = self.1.trace();
            let failed = trace.iter().position(|op| !op.ok && op.number > 30).unwrap_or(0);
            if std::env::var("STEPWELL_TRACE").is_ok() {
                for op in trace
                    .iter()
                    .skip(trace.len().saturating_sub(60))
                    .chain(&trace[failed.saturating_sub(20)..(failed + 10).min(trace.len())])
                {
                    eprintln!("{op:?}");
                }
            }
        }
    }
}

/// Every how many operations an accident is tried, unless the environment asks for all.
fn stride(every: usize) -> usize {
    match std::env::var("STEPWELL_CRASH_ALL") {
        Ok(_) => 1,
        Err(_) => every,
    }
}

/// The numbers of the operations of a life without accidents; of those that change the disk only, or of all.
fn operations(options: Options, all: bool) -> Vec<u64> {
    let disk = disk();
    let mut world = world(&disk, options);
    for op in life() {
        world.apply(&op).expect("a life without accidents");
    }
    world.check(Depth::Everything);
    drop(world);
    let changes =
        |op: &Op| !matches!(op.kind, OpKind::Open | OpKind::ReadDir | OpKind::Stat | OpKind::Read | OpKind::Lock);
    let trace = disk.trace();
    if std::env::var("STEPWELL_TRACE").is_ok() {
        let mut kinds = std::collections::BTreeMap::new();
        trace.iter().for_each(|op| *kinds.entry(op.kind).or_insert(0) += 1);
        println!("{options:?} {kinds:?}");
    }
    trace.iter().filter(|op| all || changes(op)).map(|op| op.number).collect()
}

#[test]
fn a_life_without_accidents() {
    for tail in [TailMode::Mapped, TailMode::Written] {
        let options = options(tail, 600_000);
        let (all, changes) = (operations(options, true).len(), operations(options, false).len());
        println!("{all} operations, {changes} of them changes, {tail:?}");
    }
}

#[test]
fn killed_at_every_operation() {
    for (tail, grace_ms) in [(TailMode::Mapped, 600_000), (TailMode::Written, 0)] {
        let options = options(tail, grace_ms);
        for n in operations(options, false).into_iter().step_by(stride(3)) {
            let first = disk();
            let _at = At(format!("operation {n}, {tail:?}"), first.clone());
            first.crash_at(n);
            let mut dead = world(&first, options);
            live(&mut dead, &first, n);
            let image = first.process_crash();
            for _ in 0..2 {
                check::exact(&dead.ledger, &open(&image, options), Depth::Contents);
            }
            check::resolve_in_flight(&mut dead.ledger, &open(&image, options));
            dead.move_to(Arc::new(image.clone()));
            go_on(&mut dead);
        }
    }
}

#[test]
fn powered_off_at_every_operation() {
    for tail in [TailMode::Mapped, TailMode::Written] {
        let options = options(tail, 600_000);
        for n in operations(options, false).into_iter().step_by(stride(7)) {
            let first = disk();
            let _at = At(format!("operation {n}, {tail:?}"), first.clone());
            first.crash_at(n);
            let mut dead = world(&first, options);
            live(&mut dead, &first, n);
            let ledger = dead.ledger.clone();
            for how in [PowerLoss::DropAll, PowerLoss::KeepAll, PowerLoss::Seeded(n), PowerLoss::Seeded(n + 1_000_000)]
            {
                let image = first.power_loss(how);
                let mut after = world(&image, options);
                after.ledger = ledger.clone();
                after.ledger.all_closed();
                check::lossy(&mut after.ledger, &open(&image, options));
                go_on(&mut after);
            }
        }
    }
}

#[test]
fn refused_at_every_operation() {
    for (errno, times) in [(libc::EIO, Times::Once), (libc::ENOSPC, Times::Once), (libc::EIO, Times::Forever)] {
        let options = options(TailMode::Written, 600_000);
        for n in operations(options, true).into_iter().step_by(stride(53)) {
            let disk = disk();
            let _at = At(format!("operation {n}, {errno}, {times:?}"), disk.clone());
            disk.fail_at(n, errno, times);
            let mut hurt = world(&disk, options);
            hurt.may_leave = true;
            let mut failed = 0;
            for op in life() {
                match hurt.apply(&op) {
                    Ok(()) => {}
                    Err(Error::Io { .. } | Error::DurabilityLost { .. } | Error::NotFound { .. }) => failed += 1,
                    Err(error) => panic!("operation {n}, {op:?}: {error}"),
                }
                if times == Times::Forever && failed == 3 {
                    disk.clear_faults();
                }
            }
            disk.clear_faults();
            hurt.check(Depth::Contents);
            let mut left = hurt.ledger.clone();
            left.all_closed();
            check::lossy(&mut left, &open(&disk.power_loss(PowerLoss::DropAll), options));
            hurt.move_to(Arc::new(disk.clone()));
            go_on(&mut hurt);
            let mut left = hurt.ledger.clone();
            check::lossy(&mut left, &open(&disk.power_loss(PowerLoss::DropAll), options));
        }
    }
}

/// Nothing is named before it is whole and its own name is safe; nothing is removed before what replaces it is.
#[test]
fn names_follow_what_they_name() {
    for tail in [TailMode::Mapped, TailMode::Written] {
        let disk = disk();
        let mut world = world(&disk, options(tail, 0));
        for op in life() {
            world.apply(&op).unwrap();
        }
        let trace: Vec<Op> = disk.trace().into_iter().filter(|op| op.ok).collect();
        let in_folder = |path: &Path, folder: &str| path.parent().is_some_and(|parent| parent.ends_with(folder));
        // Entries lie in a folder of the journal's folder.
        let is_entry = |path: &Path, journal: &str| path.parent().is_some_and(|parent| in_folder(parent, journal));
        // Indexes beside the packs are derived: they may be lost.
        let pack = |path: &Path| in_folder(path, "packs") && path.extension().is_some_and(|end| end == "pack");
        let (mut packs, mut entries, mut anchors, mut logs) = (0, 0, 0, 0);
        for (at, op) in trace.iter().enumerate() {
            let before = &trace[..at];
            let last = |wanted: &dyn Fn(&Op) -> bool| before.iter().rposition(wanted);
            match (op.kind, &op.to) {
                (OpKind::Rename, Some(to)) if pack(to) => {
                    packs += 1;
                    let written = last(&|own| own.kind == OpKind::Write && own.path == op.path);
                    let synced = last(&|own| own.kind == OpKind::Sync && own.path == op.path);
                    assert!(written.is_some() && synced > written, "a pack got its name before it was synced");
                }
                (OpKind::Link, Some(to)) if is_entry(to, "manifest") || is_entry(to, "catalog") => {
                    entries += 1;
                    let synced = last(&|own| own.kind == OpKind::Sync && own.path == op.path);
                    assert!(synced.is_some(), "an entry got its name before it was synced");
                    let named = last(&|own| own.kind == OpKind::Rename && own.to.as_ref().is_some_and(|to| pack(to)));
                    let folder = last(&|own| own.kind == OpKind::SyncDir && own.path.ends_with("packs"));
                    assert!(folder >= named, "an entry was published before the names of packs were synced");
                }
                (OpKind::Link, Some(to)) if in_folder(to, "anchors") => {
                    anchors += 1;
                    // An anchor is called as its entry, behind its journal's name.
                    let name = to.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
                    let is_own = |own: &Path| own.file_name().is_some_and(|own| name.ends_with(own.to_str().unwrap()));
                    let is_own =
                        |own: &Op| own.to.as_ref().is_some_and(|own| is_own(own) && !in_folder(own, "anchors"));
                    let entry = last(&|own| own.kind == OpKind::Link && is_own(own));
                    let folder = last(&|own| own.kind == OpKind::SyncDir);
                    assert!(entry.is_some() && folder > entry, "an anchor was given before its entry was safe");
                }
                (OpKind::RemoveFile, _) if op.path.extension().is_some_and(|end| end == "log" || end == "pack") => {
                    logs += u32::from(!in_folder(&op.path, "tmp"));
                    let published = last(&|own| {
                        own.kind == OpKind::Link && own.to.as_ref().is_some_and(|to| is_entry(to, "manifest"))
                    });
                    let folder = last(&|own| own.kind == OpKind::SyncDir && in_folder(&own.path, "manifest"));
                    assert!(published.is_some() && folder > published, "{:?} went before the entry was safe", op.path);
                }
                _ => {}
            }
        }
        assert!(packs >= 8 && entries >= 8 && logs >= 8, "{packs} packs, {entries} entries, {logs} removals");
        assert!(anchors >= entries, "{anchors} anchors");
    }
}

/// The process that goes on after a crash is killed too, and the next one, and each may also lose its power.
#[test]
fn killed_again_while_going_on() {
    let options = options(TailMode::Mapped, 0);
    let all = operations(options, false);
    for (turn, &n) in all.iter().enumerate().step_by(stride(25)) {
        let first = disk();
        first.crash_at(n);
        let mut dead = world(&first, options);
        live(&mut dead, &first, n);
        let image = first.process_crash();
        check::resolve_in_flight(&mut dead.ledger, &open(&image, options));
        dead.move_to(Arc::new(image.clone()));
        let (mut at, mut disk) = (turn as u64 % 5, image);
        loop {
            let _at = At(format!("operation {n}, then {at}"), disk.clone());
            disk.crash_at(at);
            let mut again = world(&disk, options);
            again.ledger = dead.ledger.clone();
            again.ledger.all_closed();
            again.dying = true;
            let steps = [
                Step::Open { slot: 0, run: 0 },
                Step::Point { slot: 0, key: 0, shape: 0 },
                Step::Drop { slot: 0 },
                Step::Compact,
            ];
            for op in steps {
                let _ = again.apply(&op);
                if disk.operations() > at {
                    break;
                }
            }
            if disk.operations() <= at {
                break;
            }
            let off = disk.power_loss(PowerLoss::Seeded(at));
            let mut lossy = again.ledger.clone();
            lossy.all_closed();
            check::lossy(&mut lossy, &open(&off, options));
            let image = disk.process_crash();
            check::exact(&again.ledger, &open(&image, options), Depth::Contents);
            check::resolve_in_flight(&mut again.ledger, &open(&image, options));
            dead.ledger = again.ledger.clone();
            drop(again);
            // Further each time: who is always killed before it has looked at what the others left never gets ahead.
            (at, disk) = (at + 40 + at / 4 + turn as u64 % 7, image);
        }
    }
}

/// The disk is full at some point, and later has room again.
#[test]
fn a_full_disk_refuses_and_then_goes_on() {
    for tail in [TailMode::Mapped, TailMode::Written] {
        for pages in (4..140_u64).step_by(stride(9)) {
            let disk = disk();
            let _at = At(format!("{pages} pages, {tail:?}"), disk.clone());
            disk.set_capacity(pages * 4096);
            let mut full = world(&disk, options(tail, 600_000));
            for op in life() {
                match full.apply(&op) {
                    Ok(()) | Err(Error::Io { .. } | Error::NotFound { .. } | Error::DurabilityLost { .. }) => {}
                    Err(error) => panic!("{op:?}: {error}"),
                }
            }
            disk.set_capacity(u64::MAX / 2);
            full.check(Depth::Contents);
            let mut left = full.ledger.clone();
            left.all_closed();
            check::lossy(&mut left, &open(&disk.power_loss(PowerLoss::DropAll), full.options));
            full.move_to(Arc::new(disk.clone()));
            go_on(&mut full);
        }
    }
}
