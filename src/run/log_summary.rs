//! What lists need of a log, kept up as the log grows: the words of its runs, and statistics of their series.
//!
//! A summary is made of a log that was read as a whole, and then follows it: only what was appended since is read, of a
//! log that did not grow its length and two slots, and of one that is ended nothing. What it holds:
//!
//! 1. It has taken in the log's frames before `end` and the tail's slots behind them up to its cursor, each once, in
//!    their order, and nothing else. So it says what a view read at that moment says ([`LogView`]).
//! 2. It follows a log only as long as frames and slots continue those that it has, bit by bit as their checks say.
//!    Whatever else is found (damage, a torn end, a log that became shorter, a tail of another generation) ends it, and
//!    the log is read anew by [`LogView`], which alone knows what counts then.
//! 3. It holds no file and no point, so a log costs memory by its series and words, however much was logged.
//! 4. Each run carries a stamp that no other content of any run has in this process: whoever keeps what was made of a
//!    run may keep it as long as its stamps stay.

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
use crate::log::record::Record;
use crate::log::slot::Slot;
use crate::run::log_view::{LogView, record_run};
use crate::run::snapshot::{RunPart, StatsPart};
use crate::run::state::{Coverage, RunState};
use crate::segment::reader::{RowGroup, Source};
use crate::segment::stats::stats_of;
use crate::storage::{File, Storage};

/// How often a log may begin a new generation while it is followed; a writer that is faster is read anew.
const GENERATIONS_MAX: usize = 8;
/// What a word or a series takes in memory beside its texts, in bytes, about.
const WEIGHT: usize = 256;

/// See the module.
#[derive(Clone, Debug)]
pub struct LogSummary {
    writer: WriterId,
    order: u64,
    /// End of the last frame taken in.
    end: u64,
    /// One past the last point that is in a row group.
    sealed: u64,
    /// Behind the last point taken in.
    tail: TailCursor,
    /// Whether the writer said that nothing more will come.
    ended: bool,
    /// By the run's number in the log.
    runs: BTreeMap<u32, Arc<LoggedRun>>,
    /// The numbers of runs by their keys.
    numbers: BTreeMap<RunKey, u32>,
    /// The run and key of each series, by its number.
    series: BTreeMap<u32, (u32, Arc<str>)>,
    /// Values of params that the log claims, and has neither set nor retracted, by run and key.
    claims: BTreeMap<(RunId, String), String>,
    weight: usize,
}

/// What the log has of one run.
#[derive(Clone, Debug)]
struct LoggedRun {
    /// Its words; the coverage is left empty.
    state: RunState,
    /// Statistics of what is in row groups, by key.
    sealed: BTreeMap<Arc<str>, SeriesStats>,
    /// Statistics of what is not, by the number of the series.
    head: BTreeMap<u32, SeriesStats>,
    stamp: u64,
}

/// A stamp that nothing has yet.
fn next_stamp() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl LogSummary {
    /// The summary of a log that was read; `None` for one that is not whole.
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

    /// How far the log goes: the end of its last frame, how many points it has, and whether it was ended.
    #[must_use]
    pub fn reach(&self) -> (u64, u64, bool) {
        (self.end, self.tail.through(), self.ended)
    }

    /// Takes in what was appended since. `false` when what is found does not simply continue what is known: the summary
    /// is of no use then, and the log must be read as a whole. Costs nothing once the log is ended.
    ///
    /// # Errors
    /// [`Error::Io`], of kind `NotFound` when a log that was not ended is gone.
    pub fn follow(summary: &mut Arc<Self>, storage: &dyn Storage, log_path: &Path, tail_path: &Path) -> Result<bool> {
        if summary.ended {
            return Ok(true);
        }
        for _ in 0..GENERATIONS_MAX {
            // The tail before the log: what these slots miss because their generation had ended is in a frame by then.
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
                // A new generation has begun, or a full buffer was framed: the slots are looked for again.
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
                    // Words that were said after points which are not known yet come with those.
                    let through = tail.through();
                    let durable = frames.iter().map(|frame| frame.header.durable).max().unwrap_or(0);
                    let beyond = |frame: &Frame| frame.header.sequence > through && frame.offset >= durable;
                    frames.truncate(frames.iter().position(beyond).unwrap_or(frames.len()));
                    // The frames first, since they name the series of the slots.
                    let summary = Arc::make_mut(summary);
                    // A slot of a series without name is behind the end of what survived a power loss.
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

    /// The slots behind those known, and the place behind them. `None` when the last slot known is not there.
    fn later_slots(&self, storage: &dyn Storage, path: &Path) -> Result<Option<(Vec<Slot>, TailCursor)>> {
        match storage.open_read(path) {
            Ok(file) => self.tail.later(&*file, path),
            // A tail comes with the first point and goes with the last frame.
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

    /// Takes in frames that follow one another.
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
                    // Rows go up to the newest point.
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
                    // Points behind the row group, in the other buffer of the tail, are taken in again.
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

    /// Takes in a record. `false` for one that redefines a name or speaks of what has none.
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
            // It says nothing to readers.
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
        run.state.apply(self.writer, record);
        run.stamp = next_stamp();
        true
    }

    /// Takes in the statistics of a row group, whose points are counted already. `false` where they cannot be read.
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

    /// Marks all runs as changed: points of one count in what is said of the others too.
    fn stamp(&mut self) {
        self.runs.values_mut().for_each(|run| Arc::make_mut(run).stamp = next_stamp());
    }

    /// The run of a series.
    fn run_of(&mut self, series: u32) -> Option<&mut LoggedRun> {
        let (run, _) = self.series.get(&series)?;
        self.runs.get_mut(run).map(Arc::make_mut)
    }

    /// Takes in the next point. One of a series that has no name counts, and is nobody's.
    fn take_point(&mut self, series: u32, point: Point) {
        let Some(run) = self.run_of(series) else { return };
        match run.head.get_mut(&series) {
            Some(stats) => stats.add(point),
            None => _ = run.head.insert(series, SeriesStats::of(point)),
        }
    }

    /// The runs that the log speaks of: each one's key, number in the log, and stamp.
    pub fn runs(&self) -> impl Iterator<Item = (RunKey, u32, u64)> {
        self.numbers.iter().map(|(&key, number)| (key, *number, self.runs[number].stamp))
    }

    /// The number of a run in this log.
    #[must_use]
    pub fn number(&self, id: &RunId) -> Option<u32> {
        self.numbers.get(&id.key()).copied().filter(|number| self.runs[number].state.id == *id)
    }

    /// What the log says of a run.
    #[must_use]
    pub fn state(&self, id: &RunId) -> Option<RunState> {
        self.number(id).map(|number| self.state_of(&self.runs[&number]))
    }

    /// What the log says of the run of a key.
    #[must_use]
    pub fn state_of_key(&self, key: RunKey) -> Option<RunState> {
        self.numbers.get(&key).map(|number| self.state_of(&self.runs[number]))
    }

    fn state_of(&self, run: &LoggedRun) -> RunState {
        let mut state = run.state.clone();
        let through = self.tail.through();
        state.coverage.push(Coverage { order: self.order, writer: self.writer, from: 0, through, lost: 0 });
        state
    }

    /// The value of a param of a run that the log claims, and has neither set nor retracted.
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

    /// Whether the writer said that nothing more will come.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// What the log has of a run, by its number there.
    #[must_use]
    pub fn part(&self, number: u32) -> Option<RunPart<StatsPart>> {
        let run = self.runs.get(&number)?;
        let state = self.state_of(run);
        let coverage = *state.coverage.last()?;
        let sealed = run.sealed.iter().map(|(key, stats)| (key.to_string(), *stats));
        let head = run.head.iter().filter_map(|(series, stats)| Some((self.series.get(series)?.1.to_string(), *stats)));
        let parts = sealed.chain(head).map(|(key, stats)| (key, StatsPart::Known(stats))).collect();
        Some(RunPart { state, series: vec![(coverage, parts)] })
    }

    /// About how much memory this takes, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }
}
