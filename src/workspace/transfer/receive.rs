//! Takes parcels into a workspace.
//!
//! 1. A parcel is checked against the run: it must exist in no experiment but the given one, and not be deleted.
//! 2. Its points must follow those that are there. Otherwise the answer is the position, and nothing is taken.
//! 3. Metadata goes first, then points. What an error leaves half taken is counted, so the next parcel goes on there.
//! 4. Nothing counts as acknowledged before [`Receiver::sync`] has made it durable.
//!
//! A log of one author is open for one parcel after the other. When the process ends, the next receiver makes what the
//! log has durable, and begins another log of that author where it ends.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::base::ids::{ExperimentId, RunId, WriterId};
use crate::base::point::Point;
use crate::error::{Entity, Error, Result};
use crate::folder::paths;
use crate::journal::manifest::covers;
use crate::log::record::{Author, Record};
use crate::log::slot::BUFFER_SLOTS_MAX;
use crate::run::parcel::Parcel;
use crate::run::seal::SeriesColumns;
use crate::run::session::Session;
use crate::run::state::{RunState, Stamp};
use crate::run::watermark::Watermark;
use crate::workspace::state::shared::Shared;
use crate::workspace::transfer::position::Position;
use crate::workspace::write::edits::{Editor, Since, UNREAD_ORDERS};
use crate::workspace::write::params::{RefusedParam, Unrelated};

/// Slots per buffer of a relayed log's tail: many logs are open at once, and each parcel is made durable.
const BUFFER_SLOTS: u32 = 4 << 10;

/// What became of a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It was taken, or was there.
    Taken {
        /// The author's points here.
        points: u64,
        /// Params that have another value here and keep it.
        refused: Vec<RefusedParam>,
    },
    /// Its points do not follow those that are here. Nothing was taken.
    OutOfPlace(Position),
}

/// Takes parcels into a workspace; see the module. Threads may share it.
#[derive(Debug)]
pub struct Receiver {
    workspace: Shared,
    table: Mutex<Table>,
    logs_max: usize,
}

#[derive(Debug, Default)]
struct Table {
    logs: FxHashMap<(RunId, WriterId), Slot>,
    uses: u64,
    /// Counts [`Receiver::close_idle`].
    round: u64,
}

#[derive(Debug)]
struct Slot {
    log: Log,
    used: u64,
    round: u64,
}

type Log = Arc<Mutex<Option<Relayed>>>;

/// An open log of an author.
#[derive(Debug)]
struct Relayed {
    session: Session,
    run: u32,
    state: RunState,
    seen: Option<u64>,
    position: Position,
}

impl Receiver {
    /// See [`Workspace::receiver`](crate::Workspace::receiver).
    pub(crate) fn new(workspace: &Shared, logs_max: usize) -> Self {
        Self { workspace: workspace.clone(), table: Mutex::default(), logs_max: logs_max.max(1) }
    }

    /// What is durable here of a writer's points in a run, if the run exists.
    ///
    /// # Errors
    /// [`Error::Deleted`] if the run is deleted, [`Error::Corrupt`], [`Error::Io`].
    pub fn position(&self, run: &RunId, writer: WriterId) -> Result<Position> {
        let shared = self.slot(run, writer);
        let log = shared.lock();
        if let Some(log) = &*log {
            return Ok(log.position.clone());
        }
        drop(log);
        self.forget(run, writer);
        Ok(self.look(run, writer)?.map_or_else(Position::default, |(_, position)| position))
    }

    /// Takes a parcel of a run in `experiment`, or in its own if the run exists. What was taken survives the process;
    /// [`Self::sync`] makes it durable.
    ///
    /// # Errors
    /// [`Error::Deleted`] if the run was deleted; [`Error::ParamClaimed`], [`Error::Io`]: what was taken stays.
    pub fn take(&self, parcel: &Parcel, experiment: ExperimentId) -> Result<Receipt> {
        let shared = self.slot(&parcel.run, parcel.author.writer);
        let mut slot = shared.lock();
        let taken = self.take_into(&mut slot, parcel, experiment);
        if taken.is_err() {
            // What it has is read anew.
            *slot = None;
        }
        if slot.is_none() {
            drop(slot);
            self.forget(&parcel.run, parcel.author.writer);
        }
        taken
    }

    fn take_into(&self, slot: &mut Option<Relayed>, parcel: &Parcel, experiment: ExperimentId) -> Result<Receipt> {
        let Parcel { run, author, .. } = parcel;
        let there = match slot {
            Some(log) => {
                self.workspace.check_active(run)?;
                log.position.points
            }
            None => {
                let looked = self.look(run, author.writer)?;
                let (state, position) = match looked {
                    Some(found) => found,
                    None => (self.begun(run, experiment)?, Position::default()),
                };
                if parcel.points() > 0 && author.from != position.points {
                    return Ok(Receipt::OutOfPlace(position));
                }
                let (is_new, points) = (state.coverage.is_empty(), position.points);
                if !is_new && parcel.points() == 0 && news_of(&state, parcel).is_empty() {
                    return Ok(Receipt::Taken { points, refused: refused(&state, parcel) });
                }
                *slot = Some(self.begin(state, Author { from: points, ..*author }, position)?);
                points
            }
        };
        let Some(log) = slot else { unreachable!("it was opened above") };
        if parcel.points() > 0 && author.from != there {
            return Ok(Receipt::OutOfPlace(log.position.clone()));
        }
        let refused = log.note(&self.workspace, parcel)?;
        log.push(parcel)?;
        Ok(Receipt::Taken { points: log.position.points, refused })
    }

    /// The metadata of a run that begins with a parcel.
    fn begun(&self, run: &RunId, experiment: ExperimentId) -> Result<RunState> {
        let experiment = self.workspace.experiments().get(experiment)?;
        if experiment.deleted {
            return Err(Error::Deleted { entity: Entity::Experiment, id: experiment.name });
        }
        Ok(RunState::new(run.clone(), experiment.id, experiment.name))
    }

    /// Begins a run of which another workspace has something that cannot be read now: what is set here from now on
    /// counts as later.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Deleted`] for the experiment, [`Error::Io`].
    pub fn begin_with_unknown_past(&self, run: &RunId, experiment: ExperimentId) -> Result<()> {
        let author = Author { writer: WriterId::random(), order: UNREAD_ORDERS, from: 0 };
        let (run, name) = (run.clone(), self.workspace.experiments().get(experiment)?.name);
        let parcel = Parcel { run, experiment: name, author, records: Vec::new(), series: Vec::new() };
        self.take(&parcel, experiment).map(|_| ())
    }

    /// Makes durable what was taken of these authors.
    ///
    /// # Errors
    /// [`Error::DurabilityLost`] of the first whose sync failed; the others are synced.
    pub fn sync<'a>(&self, of: impl IntoIterator<Item = (&'a RunId, WriterId)>) -> Result<()> {
        let mut first = Ok(());
        for (run, writer) in of {
            let shared = self.table.lock().logs.get(&(run.clone(), writer)).map(|slot| Arc::clone(&slot.log));
            let Some(shared) = shared else { continue };
            let mut slot = shared.lock();
            let Some(log) = &mut *slot else { continue };
            let linked = log.session.check_linked();
            let synced = linked.and_then(|()| Watermark::sync(log.session.watermark()).map(|_| ()));
            if synced.is_err() {
                // The next parcel reads anew what is there.
                *slot = None;
                drop(slot);
                self.forget(run, writer);
            }
            first = first.and(synced);
        }
        first
    }

    /// Ends the logs that took nothing since the last call, so that a compaction may pack them.
    pub fn close_idle(&self) {
        let mut table = self.table.lock();
        let before = table.round;
        table.round += 1;
        table.logs.retain(|_, slot| slot.round >= before || Arc::strong_count(&slot.log) > 1);
    }

    /// Ends all logs.
    pub fn close_all(&self) {
        self.table.lock().logs.clear();
    }

    /// A run's metadata and what is here of a writer, made durable; `None` if the run does not exist.
    fn look(&self, id: &RunId, writer: WriterId) -> Result<Option<(RunState, Position)>> {
        let workspace = &self.workspace;
        let gone = {
            let mut manifest = workspace.inner.manifest.lock();
            manifest.refresh()?;
            covers(manifest.state().tombstones.get(&id.key()), writer, 0)
        };
        if gone {
            let id = format!("{id}, permanently");
            return Err(Error::Deleted { entity: Entity::Run, id });
        }
        let Some(run) = workspace.find_run(id)? else { return Ok(None) };
        if workspace.counts_as_deleted(run.state())? {
            return Err(Error::Deleted { entity: Entity::Run, id: id.to_string() });
        }
        if !run.state().coverage.iter().any(|own| own.writer == writer) {
            return Ok(Some((run.state().clone(), Position::default())));
        }
        workspace.sync_run(id)?;
        let run = workspace.run(id)?;
        Ok(Some((run.state().clone(), Position::of(&run, writer))))
    }

    /// Begins a log of an author.
    fn begin(&self, state: RunState, author: Author, position: Position) -> Result<Relayed> {
        let workspace = &self.workspace;
        let key = state.id.key();
        let mut place =
            workspace.place_of_log(paths::log_dir(&workspace.inner.root, key), key.to_string(), author.order);
        place.author = Some(author);
        place.buffer_slots = place.buffer_slots.min(BUFFER_SLOTS.min(BUFFER_SLOTS_MAX));
        let mut session = workspace.session(place)?;
        let run = session.run(&state.id, state.experiment, &state.experiment_name);
        session.commit(Vec::new(), &[])?;
        Ok(Relayed { session, run, state, seen: None, position })
    }

    /// The slot of an author's log. Where the table is full, the one that was used longest ago goes.
    fn slot(&self, run: &RunId, writer: WriterId) -> Log {
        let mut table = self.table.lock();
        table.uses += 1;
        let (used, round) = (table.uses, table.round);
        let key = (run.clone(), writer);
        if let Some(slot) = table.logs.get_mut(&key) {
            (slot.used, slot.round) = (used, round);
            return Arc::clone(&slot.log);
        }
        let mut evicted = None;
        if table.logs.len() >= self.logs_max {
            let free = table.logs.iter().filter(|(_, slot)| Arc::strong_count(&slot.log) == 1);
            let oldest = free.min_by_key(|(_, slot)| slot.used).map(|(key, _)| key.clone());
            evicted = oldest.and_then(|key| table.logs.remove(&key));
        }
        let log = Log::default();
        table.logs.insert(key, Slot { log: Arc::clone(&log), used, round });
        drop(table);
        drop(evicted);
        log
    }

    /// Removes the slot of a log that is not open.
    fn forget(&self, run: &RunId, writer: WriterId) {
        let mut table = self.table.lock();
        let key = (run.clone(), writer);
        if table.logs.get(&key).is_some_and(|slot| Arc::strong_count(&slot.log) == 2 && is_closed(&slot.log)) {
            table.logs.remove(&key);
        }
    }
}

fn is_closed(log: &Log) -> bool {
    log.try_lock().is_some_and(|log| log.is_none())
}

impl Relayed {
    /// Appends metadata; params that have another value keep it.
    fn note(&mut self, workspace: &Shared, parcel: &Parcel) -> Result<Vec<RefusedParam>> {
        let author = parcel.author.writer;
        let mut refused = refused(&self.state, parcel);
        let news = news_of(&self.state, parcel);
        let params = news.iter().filter_map(|record| match record {
            Record::Param { key, value, .. } => Some((key.as_str(), value.as_str())),
            _ => None,
        });
        let mut wanted: Vec<(&str, &str)> = params.collect();
        while !wanted.is_empty() {
            let (state, seen, unrelated) = (&mut self.state, &mut self.seen, &Unrelated::default());
            let (session, run, since) = (&mut self.session, self.run, Since::Earlier);
            let mut editor = Editor { workspace, session, run, state, seen, since, partly: false, unrelated };
            match editor.set_params(&wanted) {
                Ok(()) => break,
                Err(Error::ParamConflict { key, existing, given, .. }) => {
                    refused.push(refusal(&self.state, &key, &existing, &given));
                    wanted.retain(|(wanted, _)| *wanted != key);
                }
                Err(error) => return Err(error),
            }
        }
        let others = news.iter().filter(|record| !matches!(record, Record::Param { .. }));
        let records: Vec<Record> = others.map(|record| of_run(record, self.run)).collect();
        if !records.is_empty() {
            self.session.commit(records.clone(), &[])?;
            records.iter().for_each(|record| self.state.apply(author, record));
        }
        Ok(refused)
    }

    /// Appends points, all at once if they are few, and counts them.
    fn push(&mut self, parcel: &Parcel) -> Result<()> {
        let mut numbers = Vec::with_capacity(parcel.series.len());
        for (key, _) in &parcel.series {
            numbers.push(self.session.series(self.run, key)?);
        }
        if parcel.points() <= u64::from(BUFFER_SLOTS / 2) {
            let series = parcel.series.iter().zip(&numbers);
            let points: Vec<(u32, Point)> =
                series.flat_map(|((_, columns), &number)| columns.iter().map(move |point| (number, point))).collect();
            self.session.push_batch(&points)?;
            parcel.series.iter().for_each(|(key, columns)| self.count(key, columns.len()));
            return Ok(());
        }
        for ((key, columns), &series) in parcel.series.iter().zip(&numbers) {
            let (steps, timestamps) = (&columns.steps[..], columns.timestamps.view());
            self.session.push_columns(SeriesColumns { series, steps, timestamps, values: &columns.values })?;
            self.count(key, columns.len());
        }
        Ok(())
    }

    fn count(&mut self, key: &str, points: usize) {
        let points = points as u64;
        self.position.points += points;
        match self.position.counts.get_mut(key) {
            Some(count) => *count += points,
            None => _ = self.position.counts.insert(key.to_owned(), points),
        }
    }
}

fn refusal(state: &RunState, key: &str, existing: &str, given: &str) -> RefusedParam {
    let (run, key) = (state.id.clone(), key.to_owned());
    RefusedParam { run, key, existing: existing.to_owned(), given: given.to_owned() }
}

/// Params of a parcel that have another value here.
fn refused(state: &RunState, parcel: &Parcel) -> Vec<RefusedParam> {
    let params = parcel.records.iter().filter_map(|record| match record {
        Record::Param { key, value, .. } => Some((key, value)),
        _ => None,
    });
    let others = params.filter_map(|(key, value)| {
        let existing = state.param(key).filter(|existing| existing != value)?;
        Some(refusal(state, key, existing, value))
    });
    others.collect()
}

/// What a parcel says of the run that is not known.
fn news_of<'a>(state: &RunState, parcel: &'a Parcel) -> Vec<&'a Record> {
    parcel.records.iter().filter(|record| is_news(state, parcel.author.writer, record)).collect()
}

/// Whether a record says something that is not known. Params are set once, whoever set them.
fn is_news(state: &RunState, author: WriterId, record: &Record) -> bool {
    let newer = |order: u64, known: Option<Stamp>| known.is_none_or(|known| known < Stamp { order, writer: author });
    match record {
        Record::Param { key, .. } => state.param(key).is_none(),
        Record::Tag { key, order, .. } => newer(*order, state.tags.get(key).map(|tag| tag.stamp)),
        Record::Item { kind, key, order, .. } => {
            newer(*order, state.items.get(&(*kind, key.clone())).map(|item| item.stamp))
        }
        Record::Attribute { attribute, order, .. } => {
            newer(*order, state.attributes[attribute.kind()].as_ref().map(|known| known.stamp))
        }
        Record::Run { .. } | Record::Series { .. } | Record::ParamRetracted { .. } | Record::ParamClaimed { .. } => {
            false
        }
    }
}

/// The record with the run's number in another log.
fn of_run(record: &Record, number: u32) -> Record {
    let mut record = record.clone();
    if let Some(run) = record.run_mut() {
        *run = number;
    }
    record
}
