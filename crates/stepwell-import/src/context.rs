//! What all readers share: the sink, the report, progress, and the ids already taken.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use stepwell::base::ids::RunId;

use crate::run::{ImportError, ImportedRun, Report, Sink, Skipped};

/// Reports kept for one file; the rest is counted.
const SKIPS_PER_PATH_COUNT_MAX: u64 = 1_000;

/// The state of one import.
pub(crate) struct Context<'a> {
    sink: &'a mut dyn Sink,
    report: Report,
    /// Bytes of all sources, for progress.
    pub(crate) bytes_total: u64,
    bytes_done: u64,
    /// Ids given to the sink, with their sources.
    taken: HashMap<RunId, String>,
    /// The file reported last and how often it was.
    skipping: (PathBuf, u64),
}

impl<'a> Context<'a> {
    /// A fresh import into `sink`.
    pub(crate) fn new(sink: &'a mut dyn Sink) -> Self {
        Self {
            sink,
            report: Report::default(),
            bytes_total: 0,
            bytes_done: 0,
            taken: HashMap::new(),
            skipping: (PathBuf::new(), 0),
        }
    }

    /// Gives a run to the sink, unless another source had its id.
    pub(crate) fn emit(&mut self, run: ImportedRun, path: &Path) -> Result<(), ImportError> {
        if let Some(first) = self.taken.get(&run.id) {
            let reason = format!(
                "run {} was already imported from {first}; not imported again (to import both, give the folder above them, or import them into two workspaces)",
                run.id
            );
            self.skip(path, None, reason);
            return Ok(());
        }
        self.taken.insert(run.id.clone(), run.source.clone());
        let (series, points) =
            (run.series.len() as u64, run.series.iter().map(|series| series.values.len() as u64).sum::<u64>());
        let (id, from) = (run.id.clone(), run.source.clone());
        self.sink.run(run).map_err(|error| ImportError::Sink { run: id, from, error })?;
        self.report.runs += 1;
        self.report.series += series;
        self.report.points += points;
        Ok(())
    }

    /// Reports a place that could not be read.
    pub(crate) fn skip(&mut self, path: &Path, offset: Option<u64>, reason: impl Into<String>) {
        if self.skipping.0 != path {
            self.close_skips();
            self.skipping = (path.to_path_buf(), 0);
        }
        self.skipping.1 += 1;
        if self.skipping.1 <= SKIPS_PER_PATH_COUNT_MAX {
            self.report.skipped.push(Skipped { path: path.to_path_buf(), offset, reason: reason.into() });
        }
    }

    /// Counts bytes as read.
    pub(crate) fn advance(&mut self, path: &Path, bytes: u64) {
        self.bytes_done = self.bytes_done.saturating_add(bytes).min(self.bytes_total);
        self.sink.progress(self.bytes_done, self.bytes_total, path);
    }

    /// The report.
    pub(crate) fn finish(mut self) -> Report {
        self.close_skips();
        self.report
    }

    /// Says how many reports of the last file were left out.
    fn close_skips(&mut self) {
        let more = self.skipping.1.saturating_sub(SKIPS_PER_PATH_COUNT_MAX);
        if more > 0 {
            let path = std::mem::take(&mut self.skipping.0);
            self.report.skipped.push(Skipped {
                path,
                offset: None,
                reason: format!("and {more} more places in this file"),
            });
        }
        self.skipping.1 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;
    impl Sink for Nothing {
        fn run(&mut self, _: ImportedRun) -> Result<(), crate::BoxError> {
            Ok(())
        }
    }

    #[test]
    fn reports_of_one_file_are_bounded_and_counted() {
        let mut sink = Nothing;
        let mut context = Context::new(&mut sink);
        for offset in 0..1_500 {
            context.skip(Path::new("a"), Some(offset), "x");
        }
        context.skip(Path::new("b"), None, "y");
        let report = context.finish();
        assert_eq!(report.skipped.len(), 1_002);
        assert_eq!(report.skipped[1_000].reason, "and 500 more places in this file");
        assert_eq!(report.skipped[1_001].path, Path::new("b"));
    }
}
