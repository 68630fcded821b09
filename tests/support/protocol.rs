//! A workspace on the simulated disk for protocols that stop: what is done to it, and that all of it is there.
//!
//! The clock of the simulated disk stands in 1970, so each file is older than any grace period.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepwell::import::RunImport;
use stepwell::internals::folder::paths;
use stepwell::maintenance::{CollectOptions, CompactOptions, Compacted};
use stepwell::testing::{Effect, Fault, OpKind, SimDisk, Storage, Times};
use stepwell::{Columns, ExperimentId, NewRun, Options, Point, Result, RunId, RunStatus, TailMode, Workspace};

pub(crate) const ROOT: &str = "/w";

pub(crate) fn open(storage: Arc<dyn Storage>) -> Result<Workspace> {
    let options = Options { tail: TailMode::Written, tail_points: 8, grace_ms: 0, ..Options::default() };
    Workspace::open_or_create_on(storage, Path::new(ROOT), options)
}

pub(crate) fn on(disk: &SimDisk) -> Workspace {
    open(Arc::new(disk.clone())).unwrap()
}

pub(crate) fn id(name: &str) -> RunId {
    RunId::new(name).unwrap()
}

/// Logs three points and a param to a run, and finishes it.
pub(crate) fn log(workspace: &Workspace, name: &str) {
    let new = NewRun { id: Some(id(name)), ..NewRun::default() };
    let mut run = workspace.create_run(ExperimentId::DEFAULT, new).unwrap();
    run.log_param("name", name).unwrap();
    (0..3).for_each(|step| run.log_metric("loss", step, 0.5 + step as f64).unwrap());
    run.finish(RunStatus::Finished).unwrap();
}

/// Everything that [`log`] logged to a run exists, once.
pub(crate) fn is_whole(workspace: &Workspace, name: &str) {
    let run = workspace.run(&id(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let points = run.arrivals("loss").unwrap();
    let expected: Columns = (0..3)
        .map(|step| Point { step, timestamp_ms: points.timestamps.view().get(step as usize), value: 0.5 + step as f64 })
        .collect();
    assert_eq!(points.values, expected.values, "{name}");
    assert_eq!((points.steps, run.state().param("name")), (expected.steps, Some(name)));
    assert_eq!(run.state().status(), RunStatus::Finished);
}

pub(crate) fn is_sound(workspace: &Workspace) {
    let report = workspace.maintenance().verify().unwrap();
    assert!(report.is_ok(), "{:?}", report.damage);
}

pub(crate) fn compact(workspace: &Workspace) -> Result<Compacted> {
    workspace.maintenance().compact(CompactOptions::default())
}

pub(crate) fn collect(workspace: &Workspace) {
    workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
}

/// A disk that was prepared once, and copies of it for each try.
pub(crate) fn copies(prepare: impl Fn(&Workspace)) -> impl Fn() -> (SimDisk, ()) {
    let disk = SimDisk::new();
    prepare(&on(&disk));
    move || (disk.process_crash(), ())
}

pub(crate) fn packs(disk: &SimDisk) -> Vec<PathBuf> {
    let dir = Path::new(ROOT).join(paths::PACKS);
    let names = disk.read_dir(&dir).unwrap().into_iter().map(|entry| dir.join(entry.name));
    names.filter(|path| path.extension().is_some_and(|kind| kind == "pack")).collect()
}

/// A disk without links answers EPERM.
pub(crate) fn without_links(disk: &SimDisk) {
    let error = libc::EPERM.into();
    disk.add_fault(Fault { at: 0, only: Some(OpKind::Link), error, times: Times::Forever, effect: Effect::Nothing });
}

/// A disk without locks answers ENOLCK.
pub(crate) fn without_locks(disk: &SimDisk) {
    let error = libc::ENOLCK.into();
    disk.add_fault(Fault { at: 0, only: Some(OpKind::Lock), error, times: Times::Forever, effect: Effect::Nothing });
}

/// Imports a run of three points.
pub(crate) fn import(workspace: &Workspace) -> Result<()> {
    let mut importer = workspace.importer();
    let points = (0..3).map(|step| Point { step, timestamp_ms: None, value: 0.5 + step as f64 }).collect();
    importer.add(RunImport {
        params: vec![("name".into(), "imported".into())],
        series: vec![("loss".into(), points)],
        ..RunImport::new(id("imported"), ExperimentId::DEFAULT)
    })?;
    importer.finish().map(|_| ())
}

/// The anchor of a journal's entry.
pub(crate) fn anchor_of(entry: &Path, journal: &str) -> PathBuf {
    let name = entry.file_name().and_then(|name| name.to_str()).unwrap();
    Path::new(ROOT).join(paths::ANCHORS).join(format!("{journal}.{name}"))
}

/// Every file in a folder of the workspace, and in folders within it.
pub(crate) fn entries(disk: &SimDisk, folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![Path::new(ROOT).join(folder)];
    while let Some(dir) = todo.pop() {
        for entry in disk.read_dir(&dir).unwrap() {
            let path = dir.join(&entry.name);
            if entry.is_dir { todo.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}
