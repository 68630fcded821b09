//! Edit logs that were synced are missed when they are gone, and not missed once compaction took them, whoever synced
//! them and wherever the machine or a process stopped.

use std::path::PathBuf;
use std::sync::Arc;

use stepwell::testing::{PowerLoss, SimDisk, Storage};
use stepwell::{RunEdit, Workspace};

use crate::support::protocol::{collect, compact, entries, id, is_sound, log, on, open};
use crate::support::stop::at_every_operation;

/// A run that another process edited and did not sync.
fn edited() -> SimDisk {
    let disk = SimDisk::new();
    log(&on(&disk), "a");
    log(&on(&disk), "b");
    let editor = on(&disk);
    editor.edit_run(&id("a"), &[RunEdit::Tag("key".into(), "value".into())]).unwrap();
    drop(editor);
    disk
}

fn edit_logs(disk: &SimDisk) -> Vec<PathBuf> {
    entries(disk, "edits")
}

/// Removes the run, and everything about it, so that no pack names its edit logs.
fn purge(workspace: &Workspace) {
    workspace.delete_run(&id("a")).unwrap();
    collect(workspace);
    compact(workspace).unwrap();
}

#[test]
fn one_that_another_process_synced_is_missed_after_the_machine_stopped() {
    let disk = edited();
    let log = edit_logs(&disk)[0].clone();
    on(&disk).sync_run(&id("a")).unwrap();
    let after = disk.power_loss(PowerLoss::KeepAll);
    is_sound(&on(&after));
    after.remove_file(&log).unwrap();
    let report = on(&after).maintenance().verify().unwrap();
    assert!(report.damage.iter().any(|damage| damage.file == log), "{report:?}");
}

/// A power loss took what was never synced of an ended log, and left its line: who syncs the run vouches for what is
/// there, not for what the line says.
#[test]
fn a_line_from_before_a_power_loss_is_not_taken_for_what_is_there() {
    let disk = edited();
    let synced = entries(&disk, "logs");
    let mut run = on(&disk).writer(&id("a")).unwrap();
    run.log_metric("late", 0, 1.0).unwrap();
    drop(run);
    let after = disk.power_loss(PowerLoss::KeepAll);
    let of_run = entries(&after, "logs").into_iter().filter(|path| !synced.contains(path));
    let lost: Vec<PathBuf> = of_run.chain(edit_logs(&after)).collect();
    assert_eq!(lost.len(), 2, "{lost:?}");
    lost.iter().for_each(|log| after.open_write(log).unwrap().set_len(0).unwrap());
    is_sound(&on(&after));
    on(&after).sync_run(&id("a")).unwrap();
    is_sound(&on(&after));
}

#[test]
fn one_that_compaction_took_is_not_missed_after_a_power_loss() {
    let disk = edited();
    let other = on(&disk);
    other.sync_run(&id("a")).unwrap();
    purge(&other);
    assert_eq!(edit_logs(&disk).len(), 0);
    let losses = (0..200).map(PowerLoss::Seeded).chain([PowerLoss::DropAll, PowerLoss::KeepAll]);
    for loss in losses {
        let report = on(&disk.power_loss(loss)).maintenance().verify().unwrap();
        assert!(report.is_ok(), "{loss:?}: {:?}", report.damage);
    }
}

/// One process notes that the log is synced while another takes it: neither undoes what the other noted.
#[test]
fn one_that_is_synced_while_compaction_takes_it_is_not_missed() {
    let disk = edited();
    let sync = |disk: Arc<dyn Storage>| open(disk).and_then(|workspace| workspace.sync_run(&id("a")));
    let sound = |disk: &SimDisk| {
        is_sound(&on(disk));
        is_sound(&on(&disk.power_loss(PowerLoss::KeepAll)));
    };
    at_every_operation(|| (disk.process_crash(), ()), sync, |disk, ()| purge(&on(disk)), |disk, (), _| sound(disk));
    let take = |disk: Arc<dyn Storage>| open(disk).map(|workspace| purge(&workspace));
    let others = |disk: &SimDisk, (): &mut ()| match on(disk).sync_run(&id("a")) {
        Ok(()) => {}
        Err(error) => assert!(error.to_string().contains("not found"), "{error}"),
    };
    at_every_operation(|| (disk.process_crash(), ()), take, others, |disk, (), _| sound(disk));
}
