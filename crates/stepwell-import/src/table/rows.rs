//! Turns a table's rows into runs: one run, or one for each value of the run column. Each is given to the sink at its
//! last row.

use std::collections::HashMap;
use std::path::PathBuf;

use stepwell::{RunId, RunStatus};

use crate::attached::Attached;
use crate::context::Context;
use crate::report::Kind;
use crate::run::{ImportError, ImportedRun, ImportedSeries};
use crate::series::SeriesBuilder;
use crate::walk::SourceFile;
use crate::{origin, placed_id};

/// The last row of each run in a table with a run column.
#[derive(Default)]
pub(crate) struct LastRows {
    runs: HashMap<String, u64>,
    /// Runs by first appearance.
    latest: String,
    latest_row: u64,
}

impl LastRows {
    /// Notes that a row belongs to a run.
    pub(crate) fn note(&mut self, run: &str, row: u64) {
        if run != self.latest {
            self.flush();
            run.clone_into(&mut self.latest);
        }
        self.latest_row = row + 1;
    }

    fn flush(&mut self) {
        if self.latest_row > 0 {
            self.runs.insert(std::mem::take(&mut self.latest), self.latest_row - 1);
            self.latest_row = 0;
        }
    }

    /// The last row of each run.
    pub(crate) fn finish(mut self) -> HashMap<String, u64> {
        self.flush();
        self.runs
    }
}

/// The runs of one table.
pub(crate) struct Rows<'f> {
    kind: &'static str,
    file: &'f SourceFile,
    last_rows: HashMap<String, u64>,
    /// Runs whose last row is still to come.
    open: HashMap<String, SeriesBuilder>,
    /// The run of a table without run column.
    only: Option<SeriesBuilder>,
    /// Params of the only run.
    pub(crate) params: Vec<(String, String)>,
    /// Tags of the only run.
    pub(crate) tags: Vec<(String, String)>,
    /// Whether the run column has ids, which are the runs' own.
    own_ids: bool,
    /// The only run's place, where it is not its file's: below the named path, and by itself.
    place: Option<(String, PathBuf)>,
    /// Whether the only run is known by its place alone.
    by_place: bool,
    /// Start of the only run, where the table tells it apart from its points.
    pub(crate) start_time_ms: Option<i64>,
}

impl<'f> Rows<'f> {
    /// For a table without run column.
    pub(crate) fn one(kind: &'static str, file: &'f SourceFile) -> Self {
        Self {
            kind,
            file,
            last_rows: HashMap::new(),
            open: HashMap::new(),
            only: Some(SeriesBuilder::default()),
            params: Vec::new(),
            tags: Vec::new(),
            own_ids: false,
            place: None,
            by_place: false,
            start_time_ms: None,
        }
    }

    /// For a table with a run column; `own_ids` says that it has ids, not names.
    pub(crate) fn many(kind: &'static str, file: &'f SourceFile, last_rows: LastRows, own_ids: bool) -> Self {
        Self { last_rows: last_rows.finish(), only: None, own_ids, ..Self::one(kind, file) }
    }

    /// Names the only run otherwise than by its file's place; it is known by that name too.
    pub(crate) fn name_as(&mut self, relative: &str, path: PathBuf) {
        self.place = Some((relative.to_owned(), path));
    }

    /// Makes the only run known by its place, whatever it begins with.
    pub(crate) fn known_by_place(&mut self) {
        self.by_place = true;
    }

    /// Whether the table has no run column.
    pub(crate) fn is_one(&self) -> bool {
        self.only.is_some()
    }

    /// The series of a row's run; `run` is not looked at in a table without run column.
    pub(crate) fn builder(&mut self, run: &str) -> &mut SeriesBuilder {
        match &mut self.only {
            Some(only) => only,
            None => {
                if !self.open.contains_key(run) {
                    self.open.insert(run.to_owned(), SeriesBuilder::default());
                }
                self.open.get_mut(run).expect("it was made just now")
            }
        }
    }

    /// Gives the run away if this was its last row.
    pub(crate) fn row_done(&mut self, run: &str, row: u64, context: &mut Context<'_>) -> Result<(), ImportError> {
        if let Some(builder) = self.only.as_mut().or_else(|| self.open.get_mut(run)) {
            builder.end_row();
        }
        if self.only.is_none() && self.last_rows.get(run) == Some(&row) {
            let builder = self.open.remove(run).unwrap_or_default();
            return self.emit(Some(run), builder, context);
        }
        Ok(())
    }

    /// Gives away what is left. A table that became shorter while it was read leaves runs behind.
    pub(crate) fn finish(mut self, context: &mut Context<'_>) -> Result<(), ImportError> {
        if let Some(only) = self.only.take() {
            return self.emit(None, only, context);
        }
        let mut open: Vec<_> = std::mem::take(&mut self.open).into_iter().collect();
        open.sort_by(|a, b| a.0.cmp(&b.0));
        open.into_iter().try_for_each(|(run, builder)| self.emit(Some(&run), builder, context))
    }

    fn emit(
        &mut self,
        run: Option<&str>,
        builder: SeriesBuilder,
        context: &mut Context<'_>,
    ) -> Result<(), ImportError> {
        // A run that has a start of its own is known by it: a table may have no row yet.
        let beginning = match self.start_time_ms {
            _ if self.by_place => String::new(),
            Some(start) => start.to_string(),
            None => builder.beginning().to_owned(),
        };
        let series = builder.finish();
        // A table of which nothing is known yet is not a run; once it has grown, it is imported under the same id.
        if series.is_empty() && self.start_time_ms.is_none() {
            let what = run.map_or("no point in it".into(), |run| format!("run {run:?} has no point"));
            context.leave_out(&self.file.path, Kind::Run, 1, format!("{what}; not imported"));
            return Ok(());
        }
        let (first_ms, last_ms) = time_span(&series);
        let (relative, path) = match &self.place {
            Some((relative, path)) => (relative.clone(), path),
            None => (self.file.relative.clone(), &self.file.path),
        };
        let own = run.filter(|_| self.own_ids).and_then(|run| RunId::new(run).ok());
        // A run's name that cannot be an id is one only together with the table's place.
        let place = run.map_or_else(|| relative.clone(), |run| format!("{relative}\0{run}"));
        let imported = ImportedRun {
            own_id: own.is_some(),
            id: own.unwrap_or_else(|| placed_id(self.kind, &place, &beginning)),
            source: format!("{}:{relative}", self.kind),
            experiment: None,
            name: run.unwrap_or(&relative).to_owned(),
            user: String::new(),
            status: RunStatus::Finished,
            start_time_ms: self.start_time_ms.or(first_ms),
            end_time_ms: last_ms,
            deleted: false,
            params: std::mem::take(&mut self.params),
            tags: std::mem::take(&mut self.tags),
            series,
            attached: Attached {
                origin: origin(self.kind, path, run.unwrap_or_default(), context.options),
                ..Attached::default()
            },
        };
        context.emit(imported, &self.file.path)
    }
}

/// The least and the greatest timestamp of a run's points.
fn time_span(series: &[ImportedSeries]) -> (Option<i64>, Option<i64>) {
    let all = || series.iter().filter_map(|series| series.timestamps_ms.as_ref()).flatten().flatten().copied();
    (all().min(), all().max())
}
