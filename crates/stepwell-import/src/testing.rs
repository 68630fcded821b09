//! Helpers of this crate's tests: a sink that keeps all, and imports of files made on the spot.

use std::path::Path;

use crate::{BoxError, ImportedRun, ImportedSeries, Report, Sink, Taken, import};

/// Keeps every run.
#[derive(Default)]
pub(crate) struct Collect {
    pub(crate) runs: Vec<ImportedRun>,
}

impl Sink for Collect {
    fn run(&mut self, run: ImportedRun) -> Result<Taken, BoxError> {
        let taken = Taken::new(run.counts());
        self.runs.push(run);
        Ok(taken)
    }
}

/// Writes files below a fresh folder and imports it.
pub(crate) fn import_files(files: &[(&str, &[u8])]) -> (Vec<ImportedRun>, Report) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    import_path(folder.path())
}

/// Imports a path.
pub(crate) fn import_path(path: &Path) -> (Vec<ImportedRun>, Report) {
    let mut sink = Collect::default();
    let report = import(&[path.to_path_buf()], &mut sink).unwrap();
    (sink.runs, report)
}

/// The points of a run's series as (step, time, bits); none when there is no such series.
pub(crate) fn points(run: &ImportedRun, key: &str) -> Vec<(i64, Option<i64>, u64)> {
    run.series.iter().find(|series| series.key == key).map(all_points).unwrap_or_default()
}

fn all_points(series: &ImportedSeries) -> Vec<(i64, Option<i64>, u64)> {
    let time = |at: usize| series.timestamps_ms.as_ref().and_then(|timestamps| timestamps[at]);
    (0..series.steps.len()).map(|at| (series.steps[at], time(at), series.values[at].to_bits())).collect()
}
