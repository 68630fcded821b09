//! The other axis of the crash suite for single runs: who ends a run, sets a param beside a pack that cannot be read,
//! or pulls a run, stops at any step, and others do all they do meanwhile.

use std::sync::Arc;

use stepwell::testing::{PowerLoss, SimDisk, Storage};
use stepwell::{Error, ExperimentId, NewRun, Result, RunEdit, RunStatus, Workspace};

use crate::support::protocol::*;
use crate::support::stop::at_every_operation;

/// A run `a` with what two processes gave it and nobody synced: points and a param in a log, a tag in an edit log.
fn given() -> SimDisk {
    let disk = SimDisk::new();
    let mut run =
        on(&disk).create_run(ExperimentId::DEFAULT, NewRun { id: Some(id("a")), ..NewRun::default() }).unwrap();
    run.log_param("name", "a").unwrap();
    (0..3).for_each(|step| run.log_metric("loss", step, 0.5 + step as f64).unwrap());
    drop(run);
    on(&disk).edit_run(&id("a"), &[RunEdit::Tag("edited".into(), "yes".into())]).unwrap();
    disk
}

fn has_all(workspace: &Workspace, ended: bool) {
    let run = workspace.run(&id("a")).unwrap();
    assert_eq!(run.history("loss").unwrap().values, [0.5, 1.5, 2.5]);
    assert_eq!((run.state().param("name"), run.state().tags().next()), (Some("a"), Some(("edited", "yes"))));
    assert!(!ended || run.state().status() == RunStatus::Finished);
}

/// Item 5 of issue 11: once the end of a run, or a sync of it, was answered, a power loss takes nothing of what the run
/// was given before, whatever others did in between.
#[test]
fn the_end_of_a_run_stops_anywhere_while_others_compact() {
    let disk = given();
    let finish = |disk: Arc<dyn Storage>| open(disk)?.writer(&id("a"))?.finish(RunStatus::Finished);
    let sync = |disk: Arc<dyn Storage>| open(disk)?.sync_run(&id("a"));
    type End = fn(Arc<dyn Storage>) -> Result<()>;
    let ends: [(End, bool); 2] = [(finish, true), (sync, false)];
    for (end, finishes) in ends {
        at_every_operation(
            || (disk.process_crash(), ()),
            end,
            |disk, ()| {
                let other = on(disk);
                compact(&other).unwrap();
                log(&other, "b");
                collect(&other);
                compact(&other).unwrap();
                has_all(&other, false);
            },
            |disk, (), done| {
                has_all(&on(disk), false);
                is_sound(&on(disk));
                let Some(done) = done else { return };
                done.unwrap();
                for loss in [PowerLoss::DropAll, PowerLoss::KeepAll, PowerLoss::Seeded(1), PowerLoss::Seeded(2)] {
                    let after = disk.power_loss(loss);
                    has_all(&on(&after), finishes);
                    is_sound(&on(&after));
                }
            },
        );
    }
}

/// Item 4 of issue 11: a param stands in a pack that cannot be read. Who sets another value stops anywhere, while the
/// pack comes back, or goes away: nothing is acknowledged, and the pack's value stays.
#[test]
fn a_param_is_set_beside_a_pack_that_comes_and_goes() {
    let disk = SimDisk::new();
    log(&on(&disk), "a");
    compact(&on(&disk)).unwrap();
    // Another writer's log says that there is the run.
    drop(on(&disk).writer(&id("a")).unwrap());
    let pack = packs(&disk).pop().unwrap();
    let whole = disk.content(&pack).unwrap();
    for comes_back in [true, false] {
        let break_it = |disk: &SimDisk| disk.damage(&pack, |bytes| bytes.truncate(40)).unwrap();
        let mend_it = |disk: &SimDisk| disk.damage(&pack, |bytes| bytes.clone_from(&whole)).unwrap();
        let set = |disk: Arc<dyn Storage>| open(disk)?.writer(&id("a"))?.log_param("name", "another");
        at_every_operation(
            || {
                let disk = disk.process_crash();
                if comes_back {
                    break_it(&disk);
                }
                (disk, ())
            },
            set,
            |disk, ()| {
                if comes_back {
                    mend_it(disk)
                } else {
                    break_it(disk)
                }
                compact(&on(disk)).unwrap();
            },
            |disk, (), done| {
                mend_it(disk);
                let found = on(disk).run(&id("a")).unwrap();
                assert_eq!(found.state().param("name"), Some("a"));
                let refused = |error: &Error| matches!(error, Error::ParamConflict { .. } | Error::Corrupt { .. });
                assert!(done.is_none_or(|done| done.is_err_and(|error| refused(&error))));
                is_whole(&on(disk), "a");
            },
        );
    }
}

/// Item 1 of issue 11, for what comes from another workspace.
#[test]
fn a_pull_stops_anywhere_while_others_collect_garbage() {
    let source = SimDisk::new();
    ["a", "b"].iter().for_each(|name| log(&on(&source), name));
    compact(&on(&source)).unwrap();
    let target = SimDisk::new();
    log(&on(&target), "own");
    let from = source.clone();
    let pull = move |disk: Arc<dyn Storage>| open(disk)?.pull(&on(&from), &mut |_, _| {}).map(|pulled| pulled.added);
    at_every_operation(
        || (target.process_crash(), ()),
        pull,
        |disk, ()| {
            let other = on(disk);
            collect(&other);
            compact(&other).unwrap();
            is_whole(&other, "own");
        },
        |disk, (), done| {
            if let Some(done) = done {
                assert_eq!(done.unwrap(), 2);
                ["a", "b"].iter().for_each(|name| is_whole(&on(disk), name));
            }
            is_whole(&on(disk), "own");
            // What was interrupted is taken by the next.
            on(disk).pull(&on(&source), &mut |_, _| {}).unwrap();
            ["a", "b"].iter().for_each(|name| is_whole(&on(disk), name));
            is_sound(&on(disk));
        },
    );
}
