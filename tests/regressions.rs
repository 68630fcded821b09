//! Smallest histories that once went wrong, each with what it cost.

use std::path::Path;
use std::sync::Arc;

use stepwell::base::ids::{ExperimentId, RunId};
use stepwell::base::stats::RunStatus;
use stepwell::options::{Options, TailMode};
use stepwell::storage::memory::SimDisk;
use stepwell::workspace::compaction::CompactOptions;
use stepwell::workspace::open::Workspace;
use stepwell::workspace::runs::{NewRun, RunEdit};
use stepwell::workspace::writer::RunWriter;

fn open(disk: &SimDisk, tail: TailMode) -> Workspace {
    let options = Options { tail, ..Options::default() };
    Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new("/w"), options).unwrap()
}

fn run(workspace: &Workspace) -> (RunId, RunWriter) {
    let writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    (writer.run_id().clone(), writer)
}

/// Words said after points hid these points, first from readers and then from compaction, for good.
#[test]
fn words_do_not_hide_the_points_before_them() {
    let disk = SimDisk::new();
    let workspace = open(&disk, TailMode::Mapped);
    let (id, mut writer) = run(&workspace);
    let loss = writer.metric("loss").unwrap();
    writer.log(loss, 1, 1, 1.0).unwrap();
    writer.log(loss, 2, 2, 2.0).unwrap();
    writer.set_tag("a", "b").unwrap();
    let values = || workspace.run(&id).unwrap().arrivals("loss").unwrap().values;
    assert_eq!(values(), [1.0, 2.0]);
    writer.log(loss, 3, 3, 3.0).unwrap();
    writer.sync().unwrap();
    assert_eq!(values(), [1.0, 2.0, 3.0]);
    drop(writer);
    workspace.compact(CompactOptions::default()).unwrap();
    assert_eq!(values(), [1.0, 2.0, 3.0]);
}

/// A writer that was opened first numbered its words too low, so that a status, set last, gave way to an older edit.
#[test]
fn the_last_word_wins_whoever_says_it() {
    let disk = SimDisk::new();
    let workspace = open(&disk, TailMode::Auto);
    let (id, mut first) = run(&workspace);
    let mut second = workspace.writer(&id).unwrap();
    for value in 0..9 {
        second.set_tag("a", &value.to_string()).unwrap();
        workspace.edit_run(&id, &[RunEdit::Status(RunStatus::Failed)]).unwrap();
    }
    first.set_tag("a", "last").unwrap();
    first.finish(RunStatus::Finished).unwrap();
    let run = workspace.run(&id).unwrap();
    assert_eq!(run.state().tags().collect::<Vec<_>>(), [("a", "last")]);
    assert_eq!(run.state().status(), RunStatus::Finished);
}
