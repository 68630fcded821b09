//! A writer that begins, while others look at what it just made, and stop there for ever: it goes on, and what it logs
//! is never taken for what a dead process left.

use std::path::Path;
use std::sync::Arc;

use stepwell::internals::log::ledger::{Entry, LINE_LEN};
use stepwell::maintenance::CompactOptions;
use stepwell::testing::{PowerLoss, SimDisk, Storage};
use stepwell::{ExperimentId, NewRun, Options, Point, RunEdit, RunId, RunStatus, TailMode, Workspace};

use crate::support::stop::{Actor, Stop, at_every_operation};

fn on(storage: Arc<dyn Storage>) -> Workspace {
    let options = Options { tail: TailMode::Mapped, ..Options::default() };
    Workspace::open_or_create_on(storage, Path::new("/w"), options).unwrap()
}

fn new(name: &str) -> NewRun {
    NewRun { id: Some(RunId::new(name).unwrap()), ..NewRun::default() }
}

/// A run that was there before, given a tag, and a new one with a point.
fn begin(storage: Arc<dyn Storage>) -> stepwell::Result<()> {
    let workspace = on(storage);
    workspace.edit_run(&RunId::new("old").unwrap(), &[RunEdit::Tag("edited".into(), "yes".into())])?;
    let mut writer = workspace.create_run(ExperimentId::DEFAULT, new("begun"))?;
    let loss = writer.metric("loss")?;
    writer.log_point(loss, Point { step: 0, timestamp_ms: None, value: 1.0 })?;
    writer.finish(RunStatus::Finished)
}

/// What others do who look at logs and ask whether somebody writes them.
fn look(workspace: &Workspace, what: usize) {
    let old = RunId::new("old").unwrap();
    match what {
        0 => workspace.sync_run(&old).unwrap(),
        1 => _ = workspace.maintenance().compact(CompactOptions::default()).unwrap(),
        _ => _ = workspace.maintenance().verify().unwrap(),
    }
}

/// The beginner has created a file; then somebody who looks stops at any operation, and stays there.
#[test]
fn who_looks_keeps_nobody_from_beginning() {
    let mut pairs = 0;
    for what in 0..3 {
        for number in 0.. {
            let (mut has_ended, mut begun) = (false, 0);
            for other in 0.. {
                let disk = SimDisk::new();
                let workspace = on(Arc::new(disk.clone()));
                drop(workspace.create_run(ExperimentId::DEFAULT, new("old")).unwrap());
                drop(workspace);
                let beginner = Actor::start(Arc::new(disk.clone()), Stop::After(number), begin);
                let place = beginner.stands_at();
                has_ended = place.is_none();
                if !place.is_some_and(|place| place.contains(" create ")) {
                    break;
                }
                let act = move |storage: Arc<dyn Storage>| {
                    if let Ok(workspace) = Workspace::open_on(storage, Path::new("/w"), Options::default()) {
                        look(&workspace, what);
                    }
                };
                let looker = Actor::start(Arc::new(disk.clone()), Stop::After(other), act);
                let stands = looker.stands_at();
                let at = format!("{:?}, and {stands:?} by {what}", beginner.stands_at());
                let done = beginner.resume();
                assert!(done.is_ok(), "{at}: {done:?}");
                begun += 1;
                if stands.is_none() {
                    break;
                }
            }
            if has_ended {
                break;
            }
            pairs += begun;
        }
    }
    assert!(pairs > 500, "{pairs}");
}

/// Whoever asked about a log that was not begun yet does not believe later that nothing comes to it any more.
#[test]
fn a_log_that_was_looked_at_too_early_is_synced_later() {
    let prepare = || {
        let disk = SimDisk::new();
        let workspace = on(Arc::new(disk.clone()));
        drop(workspace.create_run(ExperimentId::DEFAULT, new("old")).unwrap());
        (disk, workspace)
    };
    let tag = |storage: Arc<dyn Storage>| {
        let workspace = on(storage);
        workspace.edit_run(&RunId::new("old").unwrap(), &[RunEdit::Tag("edited".into(), "yes".into())]).unwrap();
    };
    at_every_operation(
        prepare,
        tag,
        |_, other| other.sync_run(&RunId::new("old").unwrap()).unwrap(),
        |disk, other, done| {
            if done.is_some() {
                let old = RunId::new("old").unwrap();
                other.sync_run(&old).unwrap();
                let after = on(Arc::new(disk.power_loss(PowerLoss::DropAll)));
                assert_eq!(after.run(&old).unwrap().state().tags().next(), Some(("edited", "yes")));
            }
        },
    );
}

/// A process stops anywhere while it takes a ledger for itself; another begins a run then. The lines of both stand.
#[test]
fn two_processes_never_write_one_ledger() {
    let create = |storage: Arc<dyn Storage>, name: &str| {
        let workspace = on(storage);
        let writer = workspace.create_run(ExperimentId::DEFAULT, new(name)).unwrap();
        (workspace, writer)
    };
    let mut checked = 0;
    at_every_operation(
        || {
            let disk = SimDisk::new();
            on(Arc::new(disk.clone()));
            (disk, None)
        },
        move |storage| Alive(create(storage, "a")),
        |disk, other| *other = Some(create(Arc::new(disk.clone()), "b")),
        |disk, other, done| {
            if let (Some(_alive), Some((workspace, _writer))) = (&done, &other) {
                let third = workspace.create_run(ExperimentId::DEFAULT, new("c")).unwrap();
                let storage: &dyn Storage = disk;
                let mut runs = Vec::new();
                for entry in storage.read_dir(Path::new("/w/ledgers")).unwrap() {
                    let bytes = disk.content(&Path::new("/w/ledgers").join(entry.name)).unwrap();
                    for (number, line) in bytes.chunks_exact(LINE_LEN).enumerate() {
                        let at = (number * LINE_LEN) as u64;
                        runs.push(Entry::decode(line.try_into().unwrap(), at).unwrap().run);
                    }
                }
                runs.sort();
                let mut all = ["a", "b", "c"].map(|name| Some(RunId::new(name).unwrap().key()));
                all.sort();
                assert_eq!(runs, all);
                drop(third);
                checked += 1;
            }
        },
    );
    assert!(checked >= 20, "{checked}");
}

/// A handle and a writer that stay open.
struct Alive((Workspace, stepwell::RunWriter));

impl std::fmt::Debug for Alive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Alive({})", self.0.1.run_id())
    }
}
