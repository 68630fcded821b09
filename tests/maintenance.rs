//! Maintenance in the background: it compacts what is finished while others write, and ends with its handle.

use std::time::Duration;

use stepwell::base::ids::ExperimentId;
use stepwell::base::stats::RunStatus;
use stepwell::workspace::open::Workspace;
use stepwell::workspace::runs::NewRun;

#[test]
fn it_gathers_finished_runs_while_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    let maintenance = workspace.start_maintenance(Duration::from_millis(2)).unwrap();
    let mut live = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let mut ids = Vec::new();
    let mut written = 0;
    // Until it has seen finished runs, however slow the machine is.
    let gathered = loop {
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        writer.log_metric("loss", 0, written as f64).unwrap();
        live.log_metric("loss", written, 1.0).unwrap();
        written += 1;
        ids.push(writer.run_id().clone());
        writer.finish(RunStatus::Finished).unwrap();
        match maintenance.take_last() {
            (_, Some(last)) if last.as_ref().is_ok_and(|last| last.runs > 0) => break last.unwrap().runs,
            (_, Some(Err(error))) => panic!("{error}"),
            _ => {}
        }
    };
    drop(maintenance);
    assert!(gathered > 0);
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(workspace.run(id).unwrap().history("loss").unwrap().values, [index as f64]);
    }
    assert_eq!(workspace.run(live.run_id()).unwrap().count("loss").unwrap(), written as u64);
}
