//! Writing one run: what a training script holds.

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
use crate::workspace::edits::{Editor, RunEdit, Since};
use crate::workspace::open::Workspace;
use crate::workspace::params::Apart;

/// A resolved metric of one [`RunWriter`]: logging by it needs no lookup. Any other writer refuses it, also one of the
/// same run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    series: u32,
    /// [`RunWriter::number`].
    writer: u32,
}

/// The number of the next writer of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A writer of one run. It owns its log alone: threads and processes that write to the same run open one each.
///
/// When a logging call returned, what it logged survives the death of the process by any cause, and every reader on the
/// machine sees it. After [`Self::sync`] it also survives a power loss. A dropped writer leaves everything it
/// was given; [`Self::finish`] also says how the run ended.
#[derive(Debug)]
pub struct RunWriter {
    workspace: Workspace,
    session: Session,
    state: RunState,
    run: u32,
    /// Tells this writer's handles from those of others in the process.
    number: u32,
    order: Order,
    /// The manifest's number up to which `state` has all that packs say of the run, if it has.
    seen: Option<u64>,
    /// What could not be read when the run began, and so does not speak of it.
    apart: Apart,
}

/// Predicts the next key: training loops log their keys in a fixed order, so that one comparison mostly replaces a
/// hash.
#[derive(Debug, Default)]
struct Order {
    /// For each metric the one that followed it last.
    next: Vec<u32>,
    last: u32,
}

impl Order {
    #[inline]
    fn guess(&self) -> Option<u32> {
        self.next.get(self.last as usize).copied()
    }

    /// This metric came instead; series of a run's log are numbered as they come.
    fn learn(&mut self, metric: u32) {
        if metric as usize >= self.next.len() {
            self.next.resize(metric as usize + 1, 0);
        }
        self.next[self.last as usize] = metric;
        self.last = metric;
    }
}

impl RunWriter {
    /// Opens a writer of the run of this state, which has all that packs say of it up to the manifest's number `seen`,
    /// if it has.
    pub(super) fn open(workspace: &Workspace, state: RunState, seen: Option<u64>) -> Result<Self> {
        let mut writer = Self::new(workspace, state, seen, Apart::default())?;
        // The log says at once whose it is.
        writer.session.commit(Vec::new(), &[])?;
        Ok(writer)
    }

    /// Opens a writer of a run that begins with it, under a random id and with these edits, all in one step: where that
    /// fails there is no such run.
    pub(super) fn begin(workspace: &Workspace, state: RunState, seen: u64, edits: &[RunEdit]) -> Result<Self> {
        let mut writer = Self::new(workspace, state, Some(seen), workspace.apart_from_new_runs()?)?;
        writer.editor(Since::Begin).commit(edits, &[])?;
        Ok(writer)
    }

    fn new(workspace: &Workspace, state: RunState, seen: Option<u64>, apart: Apart) -> Result<Self> {
        let key = state.id.key();
        let dir = paths::log_dir(&workspace.inner.root, key);
        let place = workspace.place(dir, key.to_string(), state.greatest_order() + 1);
        let mut session = workspace.session(place)?;
        let run = session.run(&state.id, state.experiment, &state.experiment_name);
        let (workspace, number) = (workspace.clone(), NEXT.fetch_add(1, Ordering::Relaxed));
        Ok(Self { workspace, session, state, run, number, order: Order::default(), seen, apart })
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
    /// keys were to be written.
    #[inline]
    pub fn metric(&mut self, key: &str) -> Result<Metric> {
        if let Some(guess) = self.order.guess()
            && self.session.key(guess) == key
        {
            self.order.last = guess;
            return Ok(self.handle(guess));
        }
        self.find_metric(key)
    }

    #[inline]
    fn handle(&self, series: u32) -> Metric {
        Metric { series, writer: self.number }
    }

    /// The metric of a key that was not guessed.
    fn find_metric(&mut self, key: &str) -> Result<Metric> {
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
    /// [`Error::Io`]; the value is not there then. [`Error::Invalid`] for another writer's handle.
    #[inline]
    pub fn log(&mut self, metric: Metric, step: i64, value: f64) -> Result<()> {
        self.check(metric)?;
        self.session.push(metric.series, step, Some(coarse_now_ms()), value)
    }

    /// Logs one point with a timestamp of the caller's, or none: the fastest form, about 5 ns.
    ///
    /// # Errors
    /// As [`Self::log`].
    #[inline]
    pub fn log_point(&mut self, metric: Metric, point: Point) -> Result<()> {
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

    /// Logs values of many keys at one step: all of them are there, or none. Without a timestamp, the present time.
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

    /// Logs points of any metrics: all of them are there, or none.
    ///
    /// # Errors
    /// As [`Self::log`].
    pub fn log_points(&mut self, points: &[(Metric, Point)]) -> Result<()> {
        points.iter().try_for_each(|(metric, _)| self.check(*metric))?;
        let points: Vec<(u32, Point)> = points.iter().map(|(metric, point)| (metric.series, *point)).collect();
        self.session.push_batch(&points)
    }

    /// Logs whole columns of one metric, of equal length; `None` for points without timestamps. Up to 4 Mi points are
    /// there together or not at all.
    ///
    /// # Errors
    /// As [`Self::log`]; [`Error::Invalid`] for columns of different lengths.
    pub fn log_columns(
        &mut self,
        metric: Metric,
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

    /// Logs points together with edits of the run. Params come first: when one of them conflicts, nothing else happens.
    /// All the rest is there, or none of it.
    ///
    /// # Errors
    /// As [`Self::log`] and [`Self::edit`].
    pub fn log_batch(&mut self, points: &[(Metric, Point)], edits: &[RunEdit]) -> Result<()> {
        points.iter().try_for_each(|(metric, _)| self.check(*metric))?;
        let points: Vec<(u32, Point)> = points.iter().map(|(metric, point)| (metric.series, *point)).collect();
        self.commit(edits, &points)
    }

    /// Changes the run beside its points.
    ///
    /// # Errors
    /// [`Error::ParamConflict`], [`Error::Invalid`], [`Error::Io`]; nothing was changed then.
    pub fn edit(&mut self, edits: &[RunEdit]) -> Result<()> {
        self.commit(edits, &[])
    }

    fn commit(&mut self, edits: &[RunEdit], points: &[(u32, Point)]) -> Result<()> {
        self.editor(Since::Earlier).commit(edits, points)
    }

    fn editor(&mut self, since: Since) -> Editor<'_> {
        let Self { workspace, session, state, run, seen, apart, .. } = self;
        Editor { workspace, session, run: *run, state, seen, since, partly: false, apart }
    }

    /// Sets a param: once, and for all writers of the run.
    ///
    /// # Errors
    /// As [`Self::edit`].
    pub fn log_param(&mut self, key: &str, value: &str) -> Result<()> {
        self.edit(&[RunEdit::Param(key.to_owned(), value.to_owned())])
    }

    /// Sets a tag; the last one wins.
    ///
    /// # Errors
    /// As [`Self::edit`].
    pub fn set_tag(&mut self, key: &str, value: &str) -> Result<()> {
        self.edit(&[RunEdit::Tag(key.to_owned(), value.to_owned())])
    }

    /// Makes everything that the run was given so far, by this writer and by all others on this machine, survive a stop
    /// of the machine. Costs one or two syncs of files, and some for each other writer that has something new. Of a
    /// writer in another process that goes on logging, the newest points survive until it seals them; [`Self::finish`]
    /// keeps them for good.
    ///
    /// # Errors
    /// [`Error::DurabilityLost`] when a sync failed, now or before; [`Error::LogRemoved`]; [`Error::Io`]. What one log
    /// refuses keeps no other from being synced.
    pub fn sync(&mut self) -> Result<()> {
        let others = self.sync_others(false);
        self.session.sync()?;
        others
    }

    /// Makes what others gave the run survive a power loss, whatever they do after that if it is `for_good`.
    /// Costs a look where there is no other.
    fn sync_others(&mut self, for_good: bool) -> Result<()> {
        self.session.adopt_after_fork()?;
        let (id, writer) = (&self.state.id, self.session.writer());
        let alone = match self.seen {
            Some(manifest) => self.workspace.alone(id, writer, manifest)?,
            None => false,
        };
        self.workspace.sync_others(id, Some(writer), alone, for_good)
    }

    /// How many points this writer was given.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.session.sequence()
    }

    /// How many of them are known to survive a power loss: all before this one.
    #[must_use]
    pub fn durable_through(&self) -> u64 {
        self.session.durable_through()
    }

    /// Makes columns of all points so far, as happens by itself when the log's tail is full.
    ///
    /// # Errors
    /// [`Error::Io`]; the points stay where they were.
    pub fn seal(&mut self) -> Result<()> {
        self.session.seal()
    }

    /// Ends the run, with the present time as its end, and makes everything that it was given, by whichever writer on
    /// this machine, survive a power loss.
    ///
    /// # Errors
    /// As [`Self::sync`]; what was logged stays.
    pub fn finish(mut self, status: RunStatus) -> Result<()> {
        // Before the run says that it has ended.
        let others = self.sync_others(true);
        self.edit(&[RunEdit::Status(status), RunEdit::EndTime(Some(now_ms()))])?;
        self.session.end_durably()?;
        others
    }

    /// Closes the writer, and makes all that it logged survive a power loss; the run's words stay as they are.
    ///
    /// # Errors
    /// As [`Self::sync`]; what was logged stays.
    pub fn close(mut self) -> Result<()> {
        self.session.end_durably()
    }

    #[inline]
    fn check(&self, metric: Metric) -> Result<()> {
        if metric.writer == self.number {
            return Ok(());
        }
        Err(Error::invalid("metric handle", "another writer gave it; resolve the key by this one's `metric`"))
    }
}
