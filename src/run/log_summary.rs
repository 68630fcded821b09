//! The part of a log that lists need, kept current as the log grows: the metadata of its runs and statistics of their
//! series.
//!
//! A summary starts from a full read of the log and then follows it by reading only what was appended. An unchanged log
//! costs a read of its length and two slots; an ended log costs nothing. Invariants:
//!
//! 1. It contains the frames before `end` and the tail's slots up to its cursor, each once and in order, and nothing
//!    else. So it equals a [`LogView`] read at that moment.
//! 2. It follows a log only while new frames and slots verify as its continuation. Anything else (damage, a torn end, a
//!    shorter file, another generation in the tail) ends it. Then a [`LogView`] decides what counts.
//! 3. It holds no open file and no points. Its memory depends on series and metadata, not on the number of points.
//! 4. Each run has a stamp that is unique within the process. Anything derived from a run stays valid while its stamps
//!    do.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::ids::{RunId, RunKey, WriterId};
use crate::base::point::Point;
use crate::base::stats::SeriesStats;
use crate::error::{Error, Result};
use crate::log::cursor::TailCursor;
use crate::log::frame::HEADER_LEN;
use crate::log::reader::{Frame, Payload, read_on};
use crate::log::record::{Author, Record};
use crate::log::slot::Slot;
use crate::run::log_view::{LogView, record_run};
use crate::run::snapshot::{RunPart, StatsPart};
use crate::run::state::{Coverage, RunState};
use crate::segment::reader::{RowGroup, Source};
use crate::segment::stats::stats_of;
use crate::storage::{File, Storage};

/// Most generations that one call follows; a faster writer's log is read in full.
const GENERATIONS_MAX: usize = 8;
/// Approximate memory of a series or a metadata value besides its text, in bytes.
const WEIGHT: usize = 256;

/// See the module.
#[derive(Clone, Debug)]
pub struct LogSummary {
    writer: WriterId,
    order: u64,
    author: Option<Author>,
    /// End of the last frame included.
    end: u64,
    /// One past the last point in a row group.
    sealed: u64,
    /// One past the last point included.
    tail: TailCursor,
    /// Whether the writer ended the log.
    ended: bool,
    /// By the run's number in the log.
    runs: BTreeMap<u32, Arc<LoggedRun>>,
    /// The numbers of runs by their keys.
    numbers: BTreeMap<RunKey, u32>,
    /// The run and key of each series, by its number.
    series: BTreeMap<u32, (u32, Arc<str>)>,
    /// Values of params that the log claims and has neither set nor retracted, by run and key.
    claims: BTreeMap<(RunId, String), String>,
    weight: usize,
}

/// One run as this log has it.
#[derive(Clone, Debug)]
struct LoggedRun {
    /// Its metadata; the coverage is empty.
    state: RunState,
    /// Statistics of sealed points, by key.
    sealed: BTreeMap<Arc<str>, SeriesStats>,
    /// Statistics of unsealed points, by series number.
    head: BTreeMap<u32, SeriesStats>,
    stamp: u64,
}

/// Returns a new unique stamp.
fn next_stamp() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl LogSummary {
    /// Summarises a log. `None` if it has damage or a torn end.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn of(view: &LogView) -> Result<Option<Self>> {
        let log = view.log();
        if view.damage().next().is_some() || log.torn.is_some() || view.lost() > 0 {
            return Ok(None);
        }
        let generation = log.last_generation();
        let mut summary = Self {
            writer: log.start.writer,
            order: log.start.order,
            author: log.start.author,
            end: log.end,
            sealed: log.sealed_through(),
            tail: TailCursor::new(
                log.start.writer,
                log.start.buffer_slots,
                generation,
                &log.slots[(generation - log.slots_from) as usize..],
            ),
            ended: log.ended,
            runs: BTreeMap::new(),
            numbers: BTreeMap::new(),
            series: BTreeMap::new(),
            claims: BTreeMap::new(),
            weight: WEIGHT,
        };
        if !log.batches.iter().flat_map(|(_, batch)| &batch.records).all(|record| summary.take_record(record)) {
            return Ok(None);
        }
        for group in view.groups() {
            if !summary.take_group(group)? {
                return Ok(None);
            }
        }
        for (number, columns) in view.rows() {
            if let (Some(run), Some(stats)) = (summary.run_of(number), stats_of(columns)) {
                run.head.insert(number, stats);
            }
        }
        Ok(Some(summary))
    }

    /// The end of the last frame, the number of points, and whether the log ended.
    #[must_use]
    pub fn reach(&self) -> (u64, u64, bool) {
        (self.end, self.tail.through(), self.ended)
    }

    /// Reads what was appended since. `false` if the new bytes do not continue what is known: then this summary is
    /// useless and the log must be read in full. Free once the log has ended.
    ///
    /// # Errors
    /// [`Error::Io`], with kind `NotFound` if the log was not ended and is gone.
    pub fn follow(summary: &mut Arc<Self>, storage: &dyn Storage, log_path: &Path, tail_path: &Path) -> Result<bool> {
        if summary.ended {
            return Ok(true);
        }
        for _ in 0..GENERATIONS_MAX {
            // Read the tail before the log: a point that leaves the tail meanwhile is in a frame by then.
            let slots = summary.later_slots(storage, tail_path)?;
            let file = storage.open_read(log_path).map_err(Error::io("open", log_path))?;
            let len = file.len().map_err(Error::io("read", log_path))?;
            if len < summary.end {
                return Ok(false);
            }
            let mut frames = Vec::new();
            if len > summary.end {
                match read_on(&*file, log_path, summary.writer, summary.end)? {
                    Some(read) => frames = read,
                    None => return Ok(false),
                }
            }
            match frames.iter().rposition(|frame| frame.header.count > 0) {
                // A new generation began, or a full buffer was framed: read the slots again.
                Some(last) => {
                    frames.truncate(last + 1);
                    if !Arc::make_mut(summary).take_frames(frames, file, log_path)? {
                        return Ok(false);
                    }
                }
                None => {
                    let Some((slots, tail)) = slots else { return Ok(false) };
                    if slots.is_empty() && frames.is_empty() {
                        return Ok(true);
                    }
                    // Metadata written after points that are not known yet must wait for those.
                    let through = tail.through();
                    let durable = frames.iter().map(|frame| frame.header.durable).max().unwrap_or(0);
                    let beyond = |frame: &Frame| frame.header.sequence > through && frame.offset >= durable;
                    frames.truncate(frames.iter().position(beyond).unwrap_or(frames.len()));
                    // Frames first: they name the series of the slots.
                    let summary = Arc::make_mut(summary);
                    // A slot of an unnamed series is beyond what survived a power loss.
                    let whole = summary.take_frames(frames, file, log_path)?
                        && slots.iter().all(|slot| summary.series.contains_key(&slot.series()));
                    summary.take_slots(&slots);
                    summary.tail = tail;
                    return Ok(whole);
                }
            }
        }
        Ok(false)
    }

    /// The slots after those known, and the position after them. `None` if the last known slot is gone.
    fn later_slots(&self, storage: &dyn Storage, path: &Path) -> Result<Option<(Vec<Slot>, TailCursor)>> {
        match storage.open_read(path) {
            Ok(file) => self.tail.later(&*file, path),
            // The tail is created with the first point and removed with the last frame.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(self.tail.is_begin().then(|| (Vec::new(), self.tail)))
            }
            Err(error) => Err(Error::io("open", path)(error)),
        }
    }

    fn take_slots(&mut self, slots: &[Slot]) {
        for slot in slots {
            self.take_point(slot.series(), slot.point());
        }
        if !slots.is_empty() {
            self.stamp();
        }
    }

    /// Adds consecutive frames.
    fn take_frames(&mut self, frames: Vec<Frame>, file: Box<dyn File>, path: &Path) -> Result<bool> {
        let source = Source::new(file, path.to_owned());
        for frame in frames {
            let (from, through) = (frame.header.sequence, frame.header.sequence + u64::from(frame.header.count));
            self.end = frame.end();
            let known = self.tail.through();
            if frame.header.count > 0 && from > known {
                return Ok(false);
            }
            match frame.payload {
                Payload::Records(batch) => {
                    if !batch.records.iter().all(|record| self.take_record(record)) {
                        return Ok(false);
                    }
                    // Rows include the newest point.
                    if !batch.rows.is_empty() && through < known {
                        return Ok(false);
                    }
                    for row in batch.rows.iter().skip((known - from.min(known)) as usize) {
                        self.take_point(row.series, row.point());
                    }
                }
                Payload::RowGroup => {
                    let place = frame.offset + HEADER_LEN as u64;
                    let group = match RowGroup::open(source.clone(), place, u64::from(frame.header.len)) {
                        Err(Error::Corrupt { .. }) => return Ok(false),
                        group => group?,
                    };
                    let (first, points) = (group.footer().first_sequence, group.footer().points);
                    if from != self.sealed || (first, points) != (from, u64::from(frame.header.count)) {
                        return Ok(false);
                    }
                    // Points after the row group, in the other buffer, are counted again.
                    self.runs.values_mut().for_each(|run| Arc::make_mut(run).head.clear());
                    self.sealed = through;
                    if !self.take_group(&group)? {
                        return Ok(false);
                    }
                }
                Payload::End => self.ended = true,
                Payload::Start(_) | Payload::Lost => return Ok(false),
            }
            if frame.header.count > 0 {
                self.tail.begin(through);
                self.stamp();
            }
        }
        Ok(true)
    }

    /// Adds a record. `false` if it redefines a name or refers to an undefined one.
    fn take_record(&mut self, record: &Record) -> bool {
        let text = match record {
            Record::Run { run, id, experiment, experiment_name } => {
                let state = RunState::new(id.clone(), *experiment, experiment_name.clone());
                let summary = LoggedRun { state, sealed: BTreeMap::new(), head: BTreeMap::new(), stamp: next_stamp() };
                self.weight += WEIGHT + id.as_str().len() + experiment_name.len();
                let first = self.runs.insert(*run, Arc::new(summary)).is_none();
                return first & self.numbers.insert(id.key(), *run).is_none();
            }
            Record::Series { series, run, key } => {
                self.weight += WEIGHT + key.len();
                return self.series.insert(*series, (*run, key.as_str().into())).is_none();
            }
            Record::Param { key, value, .. } => key.len() + value.len(),
            Record::ParamRetracted { key, .. } => key.len(),
            Record::Tag { key, value, .. } | Record::Item { key, value, .. } => {
                key.len() + value.as_ref().map_or(0, String::len)
            }
            Record::Attribute { .. } => 0,
            // Readers ignore it.
            Record::ParamClaimed { id, key, value } => {
                self.claims.insert((id.clone(), key.clone()), value.clone());
                return true;
            }
        };
        let Some(run) = record_run(record).and_then(|run| self.runs.get_mut(&run)) else { return false };
        self.weight += WEIGHT + text;
        let run = Arc::make_mut(run);
        if let (false, Record::Param { key, .. } | Record::ParamRetracted { key, .. }) =
            (self.claims.is_empty(), record)
        {
            self.claims.remove(&(run.state.id.clone(), key.clone()));
        }
        run.state.apply(self.author.map_or(self.writer, |author| author.writer), record);
        run.stamp = next_stamp();
        true
    }

    /// Adds the statistics of a row group whose points are already counted. `false` if they cannot be read.
    fn take_group(&mut self, group: &RowGroup) -> Result<bool> {
        let footer = group.footer();
        let keys: Vec<Arc<str>> = footer.keys.iter().map(Arc::from).collect();
        for (index, series) in footer.series.iter().enumerate() {
            let stats = match group.stats(index) {
                Err(Error::Corrupt { .. }) => return Ok(false),
                stats => stats?,
            };
            let Some(run) = self.runs.get_mut(&series.run) else { continue };
            let run = Arc::make_mut(run);
            match run.sealed.get_mut(&keys[series.key as usize]) {
                Some(known) => known.merge(&stats),
                None => _ = run.sealed.insert(Arc::clone(&keys[series.key as usize]), stats),
            }
        }
        Ok(true)
    }

    /// Marks all runs as changed: new points of one run change the coverage of all.
    fn stamp(&mut self) {
        self.runs.values_mut().for_each(|run| Arc::make_mut(run).stamp = next_stamp());
    }

    /// The run of a series.
    fn run_of(&mut self, series: u32) -> Option<&mut LoggedRun> {
        let (run, _) = self.series.get(&series)?;
        self.runs.get_mut(run).map(Arc::make_mut)
    }

    /// Adds the next point. A point of an unnamed series counts but belongs to no run.
    fn take_point(&mut self, series: u32, point: Point) {
        let Some(run) = self.run_of(series) else { return };
        match run.head.get_mut(&series) {
            Some(stats) => stats.add(point),
            None => _ = run.head.insert(series, SeriesStats::of(point)),
        }
    }

    /// The log's runs: key, number in the log, and stamp.
    pub fn runs(&self) -> impl Iterator<Item = (RunKey, u32, u64)> {
        self.numbers.iter().map(|(&key, number)| (key, *number, self.runs[number].stamp))
    }

    /// The number of a run in this log.
    #[must_use]
    pub fn number(&self, id: &RunId) -> Option<u32> {
        self.numbers.get(&id.key()).copied().filter(|number| self.runs[number].state.id == *id)
    }

    /// The run's metadata in this log.
    #[must_use]
    pub fn state(&self, id: &RunId) -> Option<RunState> {
        self.number(id).map(|number| self.state_of(&self.runs[&number]))
    }

    /// The metadata of the run with this key.
    #[must_use]
    pub fn state_of_key(&self, key: RunKey) -> Option<RunState> {
        self.numbers.get(&key).map(|number| self.state_of(&self.runs[number]))
    }

    fn state_of(&self, run: &LoggedRun) -> RunState {
        let mut state = run.state.clone();
        state.coverage = Coverage::of_log(self.writer, self.order, self.author, self.tail.through(), 0);
        state
    }

    /// The value of a param that the log claims and has neither set nor retracted.
    #[must_use]
    pub fn open_claim(&self, id: &RunId, param: &str) -> Option<&str> {
        if self.claims.is_empty() {
            return None;
        }
        self.claims.get(&(id.clone(), param.to_owned())).map(String::as_str)
    }

    /// Whether the log claims any param of a run.
    #[must_use]
    pub fn claims(&self, id: &RunId) -> bool {
        self.claims.range((id.clone(), String::new())..).next().is_some_and(|((of, _), _)| of == id)
    }

    /// Whether the log's points count as another writer's.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        self.author.is_some()
    }

    /// Whether the writer ended the log.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The log's part of a run, by the run's number.
    #[must_use]
    pub fn part(&self, number: u32) -> Option<RunPart<StatsPart>> {
        let run = self.runs.get(&number)?;
        let state = self.state_of(run);
        let sealed = run.sealed.iter().map(|(key, stats)| (key.to_string(), *stats));
        let head = run.head.iter().filter_map(|(series, stats)| Some((self.series.get(series)?.1.to_string(), *stats)));
        let mut parts = Some(sealed.chain(head).map(|(key, stats)| (key, StatsPart::Known(stats))).collect());
        // The first coverage is that of the points.
        let series = state.coverage.iter().map(|&own| (own, parts.take().unwrap_or_default())).collect();
        Some(RunPart { state, series })
    }

    /// Approximate memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }
}
