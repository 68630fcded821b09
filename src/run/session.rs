//! A writer: its log, its tail, and its head, which is every point that is not in a row group yet.
//!
//! A point is in a slot of the tail, in a row of the log, or in a row group. `sealed <= base <= sequence` divide the
//! sequence numbers:
//!
//! ```text
//! 0 ........ sealed ........ base ........ sequence
//!   row groups     rows          slots
//! ```
//!
//! *Flushing rows* appends the slots' points to the log as rows. *Sealing* appends the points of rows and slots as a
//! row group. Both empty the tail. A full buffer of the tail is sealed page by page while the other buffer fills, so
//! that no call waits for all of it. Anything else that appends points finishes that sealing first.
//!
//! A sync on another thread requests a flush ([`Watermark::request_flush`]). The next call sees the request. If there
//! are few points, it seals them at once. Otherwise it swaps the buffers early and seals the old one with shorter
//! pauses. The moving of points is in `head`.

mod head;

use std::collections::hash_map::Entry;
#[cfg(any(test, feature = "internals"))]
use std::path::Path;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::base::control::CONTROL_BYTES_MAX;
use crate::base::ids::{ExperimentId, RunId, WriterId};
use crate::base::limits::SERIES_PER_LOG_MAX;
use crate::base::names::Names;
use crate::base::point::Point;
use crate::error::{Error, Result};
use crate::log::frame::Kind;
use crate::log::record::{Batch, Record};
use crate::log::slot::Slot;
use crate::log::writer::LogWriter;
use crate::run::place::Place;
use crate::run::seal::{Hints, Sealing, SeriesColumns};
use crate::run::session::head::rows;
use crate::run::tail::Tail;
use crate::run::watermark::Watermark;
use crate::storage::fork;

/// A sync seals at least this many slots as columns. Fewer become rows, which are smaller than tiny pages.
const SEAL_AT_SYNC: usize = 16 << 10;
/// Columns of at most this many points are logged through slots.
const COLUMNS_BY_SLOTS: usize = 512;
/// Most definitions of runs and series per frame, and so in memory: half a MiB.
const DEFINED_AT_ONCE: usize = 4 << 10;
/// Most points that one call can log atomically.
const POINTS_AT_ONCE: usize = 4 << 20;

/// A run as its log defines it.
#[derive(Clone, Debug)]
struct RunEntry {
    id: RunId,
    experiment: ExperimentId,
    experiment_name: String,
}

/// A writer of one log.
pub struct Session {
    place: Place,
    log: LogWriter,
    tail: Option<Tail>,
    /// The row group being built from the full buffer.
    sealing: Option<Sealing>,
    hints: Hints,
    /// Points in rows that are not sealed yet. None are added while a buffer is being sealed.
    unsealed_rows: Vec<Slot>,
    sealed: u64,
    base: u64,
    sequence: u64,
    /// A sync requested that points before this one are framed without delay.
    requested: u64,
    watermark: Arc<Watermark>,
    runs: Vec<RunEntry>,
    run_numbers: FxHashMap<RunId, u32>,
    /// The log's series: each a key of a run.
    series: Names<u32>,
    /// Records that must be in the log before the next point is published.
    pending: Vec<Record>,
    ended: bool,
    /// Whether an append failed, so that a retraction may be missing from the log.
    failed: bool,
    /// Whether the ledger knows that the tail has points.
    tail_noted: bool,
    generation: u32,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { log, sealed, base, sequence, watermark, .. } = self;
        write!(f, "Session({log:?}, sealed {sealed}, rows {base}, points {sequence}, {watermark:?})")
    }
}

impl Session {
    /// Creates a log and takes its lock.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(place: Place) -> Result<Self> {
        let (log, watermark) = place.create_log()?;
        Ok(Self {
            place,
            log,
            tail: None,
            sealing: None,
            hints: Hints::default(),
            unsealed_rows: Vec::new(),
            sealed: 0,
            base: 0,
            sequence: 0,
            requested: 0,
            watermark,
            runs: Vec::new(),
            run_numbers: FxHashMap::default(),
            series: Names::default(),
            pending: Vec::new(),
            ended: false,
            failed: false,
            tail_noted: false,
            generation: fork::generation(),
        })
    }

    /// This writer's identity.
    #[must_use]
    pub fn writer(&self) -> WriterId {
        self.log.writer()
    }

    /// The length of this writer's log, in bytes.
    #[must_use]
    pub fn log_len(&self) -> u64 {
        self.log.len()
    }

    #[cfg(any(test, feature = "internals"))]
    /// The path of this writer's log.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.log.path()
    }

    /// The number of logged points.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The number of points known to survive a power loss.
    #[must_use]
    pub fn durable_through(&self) -> u64 {
        self.watermark.durable()
    }

    /// For syncing this writer's files from other threads.
    #[must_use]
    pub fn watermark(&self) -> &Arc<Watermark> {
        &self.watermark
    }

    /// Queues records to be written before anything else: those whose own frame failed or came too late.
    pub fn prepend_records(&mut self, records: Vec<Record>) {
        self.pending.extend(records);
    }

    /// See [`LogWriter::check_linked`].
    ///
    /// # Errors
    /// As there.
    pub fn check_linked(&self) -> Result<()> {
        self.log.check_linked()
    }

    /// Returns the number of a run in this log, assigning one if needed.
    pub fn run(&mut self, id: &RunId, experiment: ExperimentId, experiment_name: &str) -> u32 {
        let number = self.runs.len() as u32;
        match self.run_numbers.entry(id.clone()) {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(free) => _ = free.insert(number),
        }
        let entry = RunEntry { id: id.clone(), experiment, experiment_name: experiment_name.to_owned() };
        self.pending.push(run_record(self.runs.len(), &entry));
        self.runs.push(entry);
        number
    }

    /// Returns the number of a series in this log, assigning one if needed. The caller has checked the key. Writes a
    /// frame when thousands of definitions are pending.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the log has 2^30 series or 4 GiB of keys. [`Error::Io`]; the series has no number then.
    pub fn series(&mut self, run: u32, key: &str) -> Result<u32> {
        if let Some(known) = self.series.find(run, key) {
            return Ok(known);
        }
        if self.pending.len() >= DEFINED_AT_ONCE {
            self.commit(Vec::new(), &[])?;
        }
        let number = if self.series_count() < SERIES_PER_LOG_MAX { self.series.number(run, key) } else { None };
        let Some(series) = number else {
            let why = format!("one writer has at most {SERIES_PER_LOG_MAX} series and 4 GiB of keys");
            return Err(Error::invalid("metric", why));
        };
        self.pending.push(series_record(series, run, key));
        Ok(series)
    }

    /// The number of a series, if it has one.
    #[must_use]
    pub fn find_series(&self, run: u32, key: &str) -> Option<u32> {
        self.series.find(run, key)
    }

    /// The key of a series.
    ///
    /// # Panics
    /// When there is no such series.
    #[inline]
    #[must_use]
    pub fn key(&self, series: u32) -> &str {
        self.series.get(series).1
    }

    /// The number of series in this log.
    #[must_use]
    pub fn series_count(&self) -> u32 {
        self.series.len() as u32
    }

    /// Logs one point. Once this returns, the point survives the process.
    ///
    /// # Errors
    /// [`Error::Io`]; then the point was not logged and never appears.
    #[inline]
    pub fn push(&mut self, series: u32, step: i64, timestamp_ms: Option<i64>, value: f64) -> Result<()> {
        let ready =
            self.pending.is_empty() & (self.generation == fork::generation()) & !self.watermark.is_flush_requested();
        match &mut self.tail {
            Some(tail) if ready && tail.free() > 0 => {
                tail.push(Slot::new(series, step, timestamp_ms, value), self.sequence)?;
            }
            _ => self.push_slow(series, step, timestamp_ms, value)?,
        }
        self.advance(1);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn push_slow(&mut self, series: u32, step: i64, timestamp_ms: Option<i64>, value: f64) -> Result<()> {
        self.make_ready(1)?;
        let sequence = self.sequence;
        self.tail()?.push(Slot::new(series, step, timestamp_ms, value), sequence)?;
        self.note_tail();
        Ok(())
    }

    /// Records once in the ledger that the tail has points.
    fn note_tail(&mut self) {
        if !self.tail_noted {
            self.watermark.tail_used();
            self.tail_noted = true;
        }
    }

    /// Logs points atomically.
    ///
    /// # Errors
    /// [`Error::Io`]; then none of the points was logged.
    pub fn push_batch(&mut self, points: &[(u32, Point)]) -> Result<()> {
        if points.is_empty() {
            return Ok(());
        }
        if points.len() > self.place.buffer_slots as usize {
            return self.commit(Vec::new(), points);
        }
        self.make_ready(points.len())?;
        let sequence = self.sequence;
        let slots =
            points.iter().map(|(series, point)| Slot::new(*series, point.step, point.timestamp_ms, point.value));
        self.tail()?.push_batch(slots, sequence)?;
        self.note_tail();
        self.advance(points.len() as u64);
        Ok(())
    }

    /// Counts points that were published.
    #[inline]
    fn advance(&mut self, points: u64) {
        self.sequence += points;
        self.watermark.publish(self.sequence);
    }

    /// Appends a frame with the current durable offset.
    fn append(&mut self, kind: Kind, sequence: u64, count: usize, payload: &[u8]) -> Result<()> {
        self.log.set_durable(self.watermark.durable_offset());
        self.log.append(kind, sequence, count, payload)?;
        self.watermark.append(self.log.len());
        Ok(())
    }

    /// Logs whole columns of one series: atomically up to 4 Mi points, else in order.
    ///
    /// # Errors
    /// [`Error::Io`]; the part that failed was not logged.
    pub fn push_columns(&mut self, given: SeriesColumns<'_>) -> Result<()> {
        let SeriesColumns { series, steps, timestamps, values } = given;
        if values.len() <= COLUMNS_BY_SLOTS {
            let point =
                |index: usize| Point { step: steps[index], timestamp_ms: timestamps.get(index), value: values[index] };
            let points: Vec<(u32, Point)> = (0..values.len()).map(|index| (series, point(index))).collect();
            return self.push_batch(&points);
        }
        self.make_ready(0)?;
        for start in (0..values.len()).step_by(POINTS_AT_ONCE) {
            let range = start..values.len().min(start + POINTS_AT_ONCE);
            let (steps, timestamps) = (&steps[range.clone()], timestamps.slice(range.clone()));
            self.seal_with(Some(SeriesColumns { series, steps, timestamps, values: &values[range] }))?;
        }
        Ok(())
    }

    /// Appends records and points as one frame, atomically.
    ///
    /// # Errors
    /// [`Error::Io`]; then nothing was logged and never appears.
    pub fn commit(&mut self, records: Vec<Record>, points: &[(u32, Point)]) -> Result<()> {
        self.adopt_after_fork()?;
        if points.len() > POINTS_AT_ONCE {
            let why = format!("{} points exceed the limit of {POINTS_AT_ONCE} for one step; log columns", points.len());
            return Err(Error::invalid("batch", why));
        }
        if !points.is_empty() {
            self.seal_full_buffer()?;
        }
        self.define_some()?;
        let mut batch = Batch { records: std::mem::take(&mut self.pending), rows: Vec::new() };
        let definitions = batch.records.len();
        batch.records.extend(records);
        let mut slots = Vec::new();
        if !points.is_empty() {
            // Rows include the newest point, so the slots' points come first.
            slots.extend(self.tail.iter().flat_map(|tail| tail.slots()));
            slots.extend(
                points.iter().map(|(series, point)| Slot::new(*series, point.step, point.timestamp_ms, point.value)),
            );
            batch.rows = rows(&slots);
        }
        let mut payload = Vec::new();
        batch.encode(&mut payload);
        let sequence = if points.is_empty() { self.sequence } else { self.base };
        let appended = if payload.len() > CONTROL_BYTES_MAX {
            let why = format!("{} bytes exceed the limit of {CONTROL_BYTES_MAX} for one step", payload.len());
            Err(Error::invalid("batch", why))
        } else {
            self.append(Kind::Records, sequence, batch.rows.len(), &payload).inspect_err(|_| self.failed = true)
        };
        if let Err(error) = appended {
            batch.records.truncate(definitions);
            self.pending = batch.records;
            return Err(error);
        }
        if !points.is_empty() {
            self.advance(points.len() as u64);
            self.unsealed_rows.append(&mut slots);
            self.restart_tail();
            self.bound_rows();
        }
        Ok(())
    }

    /// Writes all definitions but the last frame of them.
    fn define_some(&mut self) -> Result<()> {
        while self.pending.len() > DEFINED_AT_ONCE {
            let later = self.pending.split_off(DEFINED_AT_ONCE);
            let batch = Batch { records: std::mem::replace(&mut self.pending, later), rows: Vec::new() };
            let mut payload = Vec::new();
            batch.encode(&mut payload);
            if let Err(error) = self.append(Kind::Records, self.sequence, 0, &payload) {
                self.pending = [batch.records, std::mem::take(&mut self.pending)].concat();
                self.failed = true;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes every point so far and the log's name durable.
    ///
    /// # Errors
    /// [`Error::DurabilityLost`] if any sync failed, now or earlier: a failed sync cannot be repaired.
    /// [`Error::LogRemoved`] if the log's file was unlinked. [`Error::Io`].
    pub fn sync(&mut self) -> Result<()> {
        self.make_ready(0)?;
        self.log.check_linked()?;
        self.seal_full_buffer()?;
        match self.tail.as_ref().map_or(0, Tail::len) {
            0 => {}
            len if len < SEAL_AT_SYNC => self.flush_rows()?,
            _ => self.seal()?,
        }
        self.watermark.sync()?;
        if self.watermark.durable_offset() > self.log.durable() && !self.ended {
            // Readers distinguish damage from a torn end by the durable offset in a later frame, so one is written at
            // once. It may fail: the sync itself succeeded.
            let _ = self.commit(Vec::new(), &[]);
        }
        Ok(())
    }

    /// Seals all points so far.
    ///
    /// # Errors
    /// [`Error::Io`]; then the points stay where they were.
    pub fn seal(&mut self) -> Result<()> {
        self.make_ready(0)?;
        if self.sequence == self.sealed { Ok(()) } else { self.seal_with(None) }
    }

    /// Ends the log and removes the tail's file.
    ///
    /// # Errors
    /// [`Error::Io`]; then the points stay readable where they were.
    pub fn end(&mut self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        self.leave_tail()?;
        self.watermark.ending(true);
        self.append(Kind::End, self.sequence, 0, &[]).inspect_err(|_| self.watermark.ending(false))?;
        self.ended = true;
        self.watermark.ended();
        if let Some(tail) = self.tail.take() {
            // Points promised durable in the tail must be durable in the log before the tail is removed.
            self.watermark.make_log_durable(tail.remove_after());
            // All points are in the log; a leftover tail is ignored.
            let _ = self.place.storage.remove_file(tail.path());
        }
        Ok(())
    }

    /// Ends the log and makes all of it durable. Syncs before the end frame, so that it carries the durable offset of
    /// everything before it, and then again.
    ///
    /// # Errors
    /// As [`Self::sync`] and [`Self::end`].
    pub fn end_durably(&mut self) -> Result<()> {
        self.leave_tail()?;
        self.log.check_linked()?;
        self.watermark.sync()?;
        self.end()?;
        self.watermark.sync().map(|_| ())
    }

    /// Writes pending definitions and makes room for `count` points.
    fn make_ready(&mut self, count: usize) -> Result<()> {
        self.adopt_after_fork()?;
        if !self.pending.is_empty() {
            self.commit(Vec::new(), &[])?;
        }
        if count > 0 {
            self.tail()?;
        }
        if self.watermark.is_flush_requested() {
            self.see_flush_request();
        }
        match &self.tail {
            Some(tail) if tail.free() < count => self.make_room(count),
            _ => Ok(()),
        }
    }

    /// In a forked child, continues with a new log: the old log, its lock and its tail are the parent's.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn adopt_after_fork(&mut self) -> Result<()> {
        if self.generation == fork::generation() {
            return Ok(());
        }
        if self.place.author.is_some() {
            return Err(Error::invalid("fork", "a relayed log is written by the process that began it"));
        }
        (self.log, self.watermark) = self.place.create_log()?;
        self.generation = fork::generation();
        (self.tail, self.sealing, self.tail_noted) = (None, None, false);
        self.unsealed_rows = Vec::new();
        (self.sealed, self.base, self.sequence, self.requested) = (0, 0, 0, 0);
        self.ended = false;
        let runs = self.runs.iter().enumerate().map(|(index, run)| run_record(index, run));
        let series = (0..self.series_count()).map(|series| {
            let (run, key) = self.series.get(series);
            series_record(series, run, key)
        });
        self.pending = runs.chain(series).collect();
        Ok(())
    }
}

/// A dropped writer keeps everything that was logged. In a forked child it leaves the parent's log alone.
impl Drop for Session {
    fn drop(&mut self) {
        if self.generation == fork::generation() {
            // On failure log and tail stay as they are: readable and complete.
            let _ = self.end();
            self.watermark.close(self.ended);
        }
    }
}

fn run_record(index: usize, entry: &RunEntry) -> Record {
    let RunEntry { id, experiment, experiment_name } = entry.clone();
    Record::Run { run: index as u32, id, experiment, experiment_name }
}

fn series_record(series: u32, run: u32, key: &str) -> Record {
    Record::Series { series, run, key: key.to_owned() }
}
