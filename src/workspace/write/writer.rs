//! The writer of one run, as a training script uses it.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::base::ids::RunId;
use crate::base::limits::check_key;
use crate::base::point::{Point, Timestamps, TimestampsRef};
use crate::base::stats::RunStatus;
use crate::error::{Error, Result};
use crate::folder::clock::{coarse_now_ms, now_ms};
use crate::folder::paths;
use crate::run::seal::SeriesColumns;
use crate::run::session::Session;
use crate::run::state::RunState;
use crate::workspace::state::shared::Shared;
use crate::workspace::write::edits::{Editor, RunEdit, Since};
use crate::workspace::write::params::Unrelated;

/// A resolved metric of one [`RunWriter`], for logging without a lookup. Other writers reject it, even of the same run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricHandle {
    series: u32,
    /// [`RunWriter::number`].
    writer: u32,
}

/// The number of the next writer of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A writer of one run. It owns its log exclusively: each thread or process opens its own writer.
///
/// Once a logging call returns, the data survives the death of the process, and every reader on the machine sees it.
/// After [`Self::sync`] it also survives a power loss. Dropping a writer keeps everything; [`Self::finish`] also
/// records how the run ended.
#[derive(Debug)]
pub struct RunWriter {
    workspace: Shared,
    session: Session,
    state: RunState,
    run: u32,
    /// Identifies this writer's metric handles within the process.
    number: u32,
    order: Order,
    /// The manifest number up to which `state` includes all packs, if it does.
    seen: Option<u64>,
    /// What was unreadable when the run began, and so does not mention it.
    unrelated: Unrelated,
}

/// Predicts the next key: training loops log their keys in a fixed order, so that one comparison mostly replaces a
/// hash.
#[derive(Debug, Default)]
struct Order {
    /// For each metric, the one that last followed it.
    next: Vec<u32>,
    last: u32,
}

impl Order {
    #[inline]
    fn guess(&self) -> Option<u32> {
        self.next.get(self.last as usize).copied()
    }

    /// Records that this metric came instead; series are numbered in order of appearance.
    fn learn(&mut self, metric: u32) {
        if metric as usize >= self.next.len() {
            self.next.resize(metric as usize + 1, 0);
        }
        self.next[self.last as usize] = metric;
        self.last = metric;
    }
}

impl RunWriter {
    /// Opens a writer of a run; `state` includes all packs up to the manifest number `seen`, if given.
    pub(crate) fn open(workspace: &Shared, state: RunState, seen: Option<u64>) -> Result<Self> {
        let mut writer = Self::new(workspace, state, seen, Unrelated::default())?;
        // Write the run's definition at once.
        writer.session.commit(Vec::new(), &[])?;
        Ok(writer)
    }

    /// Opens a writer of a new run with a random id and these edits, atomically: if it fails, the run does not exist.
    pub(crate) fn begin(workspace: &Shared, state: RunState, seen: u64, edits: &[RunEdit]) -> Result<Self> {
        let mut writer = Self::new(workspace, state, Some(seen), workspace.unrelated_to_new_runs()?)?;
        writer.editor(Since::Begin).commit(edits, &[])?;
        Ok(writer)
    }

    fn new(workspace: &Shared, state: RunState, seen: Option<u64>, unrelated: Unrelated) -> Result<Self> {
        let key = state.id.key();
        let dir = paths::log_dir(&workspace.inner.root, key);
        let place = workspace.place_of_log(dir, key.to_string(), state.greatest_order() + 1);
        let mut session = workspace.session(place)?;
        let run = session.run(&state.id, state.experiment, &state.experiment_name);
        let (workspace, number) = (workspace.clone(), NEXT.fetch_add(1, Ordering::Relaxed));
        Ok(Self { workspace, session, state, run, number, order: Order::default(), seen, unrelated })
    }

    /// The run's id.
    #[must_use]
    pub fn run_id(&self) -> &RunId {
        &self.state.id
    }

    /// Resolves a metric key, so that logging by the handle needs no lookup.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key that is empty or longer than 250 characters. [`Error::Io`] when thousands of new
    /// keys had to be written.
    #[inline]
    pub fn metric(&mut self, key: &str) -> Result<MetricHandle> {
        if let Some(guess) = self.order.guess()
            && self.session.key(guess) == key
        {
            self.order.last = guess;
            return Ok(self.handle(guess));
        }
        self.find_metric(key)
    }

    #[inline]
    fn handle(&self, series: u32) -> MetricHandle {
        MetricHandle { series, writer: self.number }
    }

    /// The metric of a key that was not predicted.
    fn find_metric(&mut self, key: &str) -> Result<MetricHandle> {
        let known = self.session.find_series(self.run, key);
        let series = match known {
            Some(known) => known,
            None => {
                check_key("metric key", key)?;
                self.session.series(self.run, key)?
            }
        };
        self.order.learn(series);
        Ok(self.handle(series))
    }

    /// Logs one value, stamped by the coarse clock (a few milliseconds). Costs about 9 ns.
    ///
    /// # Errors
    /// [`Error::Io`]; then the value was not logged. [`Error::Invalid`] for another writer's handle.
    #[inline]
    pub fn log(&mut self, metric: MetricHandle, step: i64, value: f64) -> Result<()> {
        self.check(metric)?;
        self.session.push(metric.series, step, Some(coarse_now_ms()), value)
    }

    /// Logs one point with the caller's timestamp, or none: the fastest form, about 5 ns.
    ///
    /// # Errors
    /// As [`Self::log`].
    #[inline]
    pub fn log_point(&mut self, metric: MetricHandle, point: Point) -> Result<()> {
        self.check(metric)?;
        self.session.push(metric.series, point.step, point.timestamp_ms, point.value)
    }

    /// Logs one value by key, stamped by the coarse clock (a few milliseconds).
    ///
    /// # Errors
    /// As [`Self::log`] and [`Self::metric`].
    #[inline]
    pub fn log_metric(&mut self, key: &str, step: i64, value: f64) -> Result<()> {
        let metric = self.metric(key)?;
        self.session.push(metric.series, step, Some(coarse_now_ms()), value)
    }

    /// Logs values of many keys at one step, atomically. `None` uses the current time.
    ///
    /// # Errors
    /// As [`Self::log`] and [`Self::metric`].
    pub fn log_metrics(&mut self, step: i64, timestamp_ms: Option<i64>, values: &[(&str, f64)]) -> Result<()> {
        let timestamp_ms = Some(timestamp_ms.unwrap_or_else(coarse_now_ms));
        let mut points = Vec::with_capacity(values.len());
        for &(key, value) in values {
            points.push((self.metric(key)?.series, Point { step, timestamp_ms, value }));
        }
        self.session.push_batch(&points)
    }

    /// Logs points of any metrics, atomically.
    ///
    /// # Errors
    /// As [`Self::log`].
    pub fn log_points(&mut self, points: &[(MetricHandle, Point)]) -> Result<()> {
        points.iter().try_for_each(|(metric, _)| self.check(*metric))?;
        let points: Vec<(u32, Point)> = points.iter().map(|(metric, point)| (metric.series, *point)).collect();
        self.session.push_batch(&points)
    }

    /// Logs whole columns of one metric, of equal length; `None` for points without timestamps. Atomic up to 4 Mi
    /// points.
    ///
    /// # Errors
    /// As [`Self::log`]; [`Error::Invalid`] for columns of different lengths.
    pub fn log_columns(
        &mut self,
        metric: MetricHandle,
        steps: &[i64],
        timestamps_ms: Option<&[i64]>,
        values: &[f64],
    ) -> Result<()> {
        self.check(metric)?;
        let len = values.len();
        if steps.len() != len || timestamps_ms.is_some_and(|timestamps| timestamps.len() != len) {
            let timestamps = timestamps_ms.map_or(len, <[i64]>::len);
            let why = format!("{} steps, {timestamps} timestamps and {len} values must be as many", steps.len());
            return Err(Error::invalid("columns", why));
        }
        let none: Timestamps;
        let timestamps = match timestamps_ms {
            Some(ms) => TimestampsRef { ms, absent: &[] },
            None => {
                none = Timestamps { ms: vec![0; len], absent: vec![true; len] };
                none.view()
            }
        };
        self.session.push_columns(SeriesColumns { series: metric.series, steps, timestamps, values })
    }

    /// Logs points and edits of the run. Params are set first: if one conflicts, nothing else happens. The rest is
    /// atomic.
    ///
    /// # Errors
    /// As [`Self::log`] and [`Self::edit`].
    pub fn log_batch(&mut self, points: &[(MetricHandle, Point)], edits: &[RunEdit]) -> Result<()> {
        points.iter().try_for_each(|(metric, _)| self.check(*metric))?;
        let points: Vec<(u32, Point)> = points.iter().map(|(metric, point)| (metric.series, *point)).collect();
        self.commit(edits, &points)
    }

    /// Changes the run's metadata.
    ///
    /// # Errors
    /// [`Error::ParamConflict`], [`Error::Invalid`], [`Error::Io`]; then nothing was changed.
    pub fn edit(&mut self, edits: &[RunEdit]) -> Result<()> {
        self.commit(edits, &[])
    }

    fn commit(&mut self, edits: &[RunEdit], points: &[(u32, Point)]) -> Result<()> {
        self.editor(Since::Earlier).commit(edits, points)
    }

    fn editor(&mut self, since: Since) -> Editor<'_> {
        let Self { workspace, session, state, run, seen, unrelated, .. } = self;
        Editor { workspace, session, run: *run, state, seen, since, partly: false, unrelated }
    }

    /// Sets a param, once for all writers of the run.
    ///
    /// # Errors
    /// As [`Self::edit`].
    pub fn log_param(&mut self, key: &str, value: &str) -> Result<()> {
        self.edit(&[RunEdit::Param(key.to_owned(), value.to_owned())])
    }

    /// Sets a tag; the last value wins.
    ///
    /// # Errors
    /// As [`Self::edit`].
    pub fn set_tag(&mut self, key: &str, value: &str) -> Result<()> {
        self.edit(&[RunEdit::Tag(key.to_owned(), value.to_owned())])
    }

    /// Makes everything logged to the run so far durable, by this writer and all others on this machine. Costs one or
    /// two file syncs, and some per other writer with something new. For a live writer in another process, the newest
    /// points are durable only until it seals them; [`Self::finish`] makes them permanently durable.
    ///
    /// # Errors
    /// [`Error::DurabilityLost`] if a sync failed, now or earlier; [`Error::LogRemoved`]; [`Error::Io`]. A failing log
    /// does not prevent syncing the others.
    pub fn sync(&mut self) -> Result<()> {
        let others = self.sync_others(false);
        self.session.sync()?;
        others
    }

    /// Makes the data of other writers durable; with `for_good` permanently, whatever they do later. Cheap if there are
    /// no others.
    fn sync_others(&mut self, for_good: bool) -> Result<()> {
        self.session.adopt_after_fork()?;
        let (id, writer) = (&self.state.id, self.session.writer());
        let alone = match self.seen {
            Some(manifest) => self.workspace.alone(id, writer, manifest)?,
            None => false,
        };
        self.workspace.sync_others(id, Some(writer), alone, for_good)
    }

    /// The number of points this writer logged.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.session.sequence()
    }

    /// The number of its points known to be durable.
    #[must_use]
    pub fn durable_through(&self) -> u64 {
        self.session.durable_through()
    }

    /// Seals all points so far, as happens automatically when the tail is full.
    ///
    /// # Errors
    /// [`Error::Io`]; then the points stay where they were.
    pub fn seal(&mut self) -> Result<()> {
        self.session.seal()
    }

    /// Ends the run now, and makes everything logged to it durable, by any writer on this machine.
    ///
    /// # Errors
    /// As [`Self::sync`]; logged data stays.
    pub fn finish(mut self, status: RunStatus) -> Result<()> {
        // Before the run is marked as ended.
        let others = self.sync_others(true);
        self.edit(&[RunEdit::Status(status), RunEdit::EndTime(Some(now_ms()))])?;
        self.session.end_durably()?;
        others
    }

    /// Closes the writer, and makes everything it logged durable; the run's metadata stays as it is.
    ///
    /// # Errors
    /// As [`Self::sync`]; logged data stays.
    pub fn close(mut self) -> Result<()> {
        self.session.end_durably()
    }

    #[inline]
    fn check(&self, metric: MetricHandle) -> Result<()> {
        if metric.writer == self.number {
            return Ok(());
        }
        Err(Error::invalid("metric handle", "another writer gave it; resolve the key by this one's `metric`"))
    }
}
