//! Makes parcels of what runs have that another workspace lacks.
//!
//! A [`Shipment`] follows runs. For each author in them it must learn the other side's position once; from there on it
//! counts what it gave. If the other side says that it is elsewhere, the shipment begins anew: it asks again, and skips
//! what is there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::base::ids::{RunId, WriterId};
use crate::base::items::is_logged;
use crate::base::point::Columns;
use crate::error::Result;
use crate::log::record::{Attribute, Author, Record};
use crate::run::parcel::Parcel;
use crate::run::snapshot::RunSnapshot;
use crate::run::state::{RunState, Stamp};
use crate::workspace::read::follow::{Begin, Follow, Follower, NewPoints, RunChange, RunEvent};
use crate::workspace::read::parts::surviving;
use crate::workspace::state::shared::Shared;
use crate::workspace::transfer::position::Position;

/// Most points per parcel.
const POINTS_AT_ONCE: usize = 128 << 10;
/// Approximate bytes of metadata per parcel.
const METADATA_AT_ONCE: usize = 1 << 20;

/// Parcels on their way to another workspace; see the module.
#[derive(Debug)]
pub struct Shipment {
    workspace: Shared,
    follow: Follow,
    follower: Follower,
    changes: VecDeque<RunChange>,
    runs: BTreeMap<RunId, Sent>,
    notes: Vec<String>,
    /// Whether points are left out.
    metadata_only: bool,
}

/// What is known of the other side of a run.
#[derive(Debug, Default)]
struct Sent {
    experiment: String,
    orders: BTreeMap<WriterId, u64>,
    /// The metadata that was given.
    metadata: Option<RunState>,
    authors: BTreeMap<WriterId, Given>,
    /// Whether the run is left out, because it is deleted.
    left_out: bool,
}

/// What is known of an author.
#[derive(Debug, Default)]
struct Given {
    /// The other side's points, with those that were given.
    there: u64,
    /// The other side's points by metric when this began.
    before: BTreeMap<String, u64>,
    /// Points by metric that the follower delivered.
    seen: BTreeMap<String, u64>,
}

impl Shared {
    /// See [`Workspace::ship`](crate::Workspace::ship).
    pub(crate) fn ship(&self, runs: Vec<RunId>) -> Result<Shipment> {
        let follow = Follow { runs, begin: Begin::Last(usize::MAX), ..Follow::default() };
        let follower = self.follow_all_kinds(&follow)?;
        let (changes, runs, notes) = Default::default();
        Ok(Shipment { workspace: self.clone(), follow, follower, changes, runs, notes, metadata_only: false })
    }

    /// See [`Workspace::logged_points`](crate::Workspace::logged_points).
    pub(crate) fn logged_points(&self) -> Result<BTreeMap<RunId, BTreeMap<WriterId, u64>>> {
        let mut logged: BTreeMap<RunId, BTreeMap<WriterId, u64>> = BTreeMap::new();
        let live = self.live()?;
        let manifest = self.manifest()?;
        for mentions in live.runs.values() {
            // Logs still mention what was permanently deleted.
            let parts = mentions.iter().filter_map(|(summary, number, _)| summary.part(*number)).collect();
            for state in surviving(parts, &manifest).into_iter().map(|part| part.state) {
                let points = logged.entry(state.id).or_default();
                for own in state.coverage.iter().filter(|own| own.through > own.from) {
                    let through = points.entry(own.writer).or_default();
                    *through = own.through.max(*through);
                }
            }
        }
        Ok(logged)
    }
}

impl Shipment {
    /// Begins anew: everything is compared with the other side again.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn restart(&mut self) -> Result<()> {
        self.follower = self.workspace.follow_all_kinds(&self.follow)?;
        self.changes.clear();
        self.runs.clear();
        Ok(())
    }

    /// Finds what is new, unless something is left of before. `false` if nothing came within the timeout.
    ///
    /// # Errors
    /// [`crate::Error::Io`] that concerns more than one file. A later call goes on.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool> {
        if self.changes.is_empty()
            && let Some(changes) = self.follower.next(timeout)?
        {
            self.notes.extend(changes.damage);
            self.changes.extend(changes.runs);
        }
        while let Some(change) = self.changes.pop_front() {
            let known = self.know(&change);
            if !matches!(known, Ok(false)) {
                self.changes.push_front(change);
                return known;
            }
        }
        Ok(false)
    }

    /// Leaves points out: parcels have metadata only.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn metadata_only(&mut self) -> Result<()> {
        self.metadata_only = true;
        self.follow.begin = Begin::Last(0);
        self.restart()
    }

    /// Says where the other side is in a run before anything of it was found, so that what is there is not read.
    pub fn begin_at(&mut self, run: &RunId, positions: BTreeMap<WriterId, Position>) {
        let counts = positions.iter().map(|(&writer, position)| (writer, position.counts.clone()));
        self.follower.skip(run, counts.collect());
        let authors = &mut self.runs.entry(run.clone()).or_default().authors;
        for (writer, Position { points: there, counts: before }) in positions {
            let seen = before.clone();
            authors.insert(writer, Given { there, before, seen });
        }
    }

    /// Forgets what was given of a run, which is removed here. What comes under its id later is another one's.
    pub fn forget(&mut self, run: &RunId) {
        self.runs.remove(run);
    }

    /// The runs that were met.
    pub fn runs(&self) -> impl Iterator<Item = &RunId> {
        self.runs.iter().filter(|(_, sent)| !sent.left_out).map(|(id, _)| id)
    }

    /// A run's metadata, as far as it was given.
    #[must_use]
    pub fn given(&self, run: &RunId) -> Option<&RunState> {
        self.runs.get(run)?.metadata.as_ref()
    }

    /// The name of a run's experiment.
    #[must_use]
    pub fn experiment(&self, run: &RunId) -> &str {
        self.runs.get(run).map_or("", |sent| &sent.experiment)
    }

    /// The first run with news.
    #[must_use]
    pub fn run(&self) -> Option<&RunId> {
        self.changes.front().map(|change| &change.id)
    }

    /// Leaves out the news of the first run.
    pub fn skip(&mut self) {
        self.changes.pop_front();
    }

    /// Whether all of a run was given.
    #[must_use]
    pub fn has_sent(&self, run: &RunSnapshot) -> bool {
        let Some(sent) = self.runs.get(run.id()) else { return false };
        let points: u64 = sent.authors.values().flat_map(|given| given.seen.values()).sum();
        points == run.points() && sent.new_metadata(run.state()).is_empty()
    }

    /// Takes messages about what could not be read, and was left out.
    pub fn take_messages(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Learns what a change says of its run. `false` if nothing of it is given.
    fn know(&mut self, change: &RunChange) -> Result<bool> {
        if change.event == Some(RunEvent::Gone) {
            self.runs.remove(&change.id);
            return Ok(false);
        }
        let known = self.runs.entry(change.id.clone()).or_default();
        if change.deleted && !known.left_out && known.metadata.is_none() {
            known.left_out = true;
            self.notes.push(format!("run {} is deleted, and was left out", change.id));
        }
        if known.left_out && !change.deleted {
            // Restored: all of it is news.
            self.restart()?;
            return Ok(false);
        }
        if known.left_out || change.deleted {
            return Ok(false);
        }
        let lacks_order = change.points.iter().any(|new| !known.orders.contains_key(&new.writer));
        let read = if change.state.is_none() && lacks_order {
            self.workspace.find_run(&change.id)?.map(|run| run.state().clone())
        } else {
            None
        };
        if let Some(state) = change.state.as_ref().or(read.as_ref()) {
            known.orders.extend(state.coverage.iter().map(|own| (own.writer, own.order)));
            let experiment = self.workspace.experiments().get(state.experiment);
            known.experiment = experiment.map_or_else(|_| state.experiment_name.clone(), |own| own.name);
        }
        Ok(true)
    }

    /// The first run with news, and the authors of that news whose position on the other side is not known.
    #[must_use]
    pub fn unknown_positions(&self) -> Option<(RunId, Vec<WriterId>)> {
        let change = self.changes.front()?;
        let known = self.runs.get(&change.id)?;
        let authors: BTreeSet<WriterId> = authors(change).collect();
        let unknown: Vec<WriterId> = authors.into_iter().filter(|author| !known.authors.contains_key(author)).collect();
        (!unknown.is_empty()).then(|| (change.id.clone(), unknown))
    }

    /// Says where the other side is.
    pub fn set_position(&mut self, run: &RunId, author: WriterId, position: Position) {
        if let Some(known) = self.runs.get_mut(run) {
            let Position { points: there, counts: before } = position;
            known.authors.insert(author, Given { there, before, seen: BTreeMap::new() });
        }
    }

    /// The parcels of the first run with news, whose authors are all known. They count as given.
    #[must_use]
    pub fn parcels(&mut self) -> Vec<Parcel> {
        let Some(mut change) = self.changes.pop_front() else { return Vec::new() };
        let Some(known) = self.runs.get_mut(&change.id) else { return Vec::new() };
        let mut records = change.state.as_ref().map_or_else(BTreeMap::new, |state| known.new_metadata(state));
        if let Some(state) = change.state.take() {
            known.metadata = Some(state);
        }
        let mut parcels = Vec::new();
        let mut points: BTreeMap<WriterId, Vec<(String, Columns)>> = BTreeMap::new();
        if self.metadata_only {
            change.points.clear();
        }
        for NewPoints { key, writer, columns } in std::mem::take(&mut change.points) {
            points.entry(writer).or_default().push((key, columns));
        }
        let authors: BTreeSet<WriterId> = records.keys().chain(points.keys()).copied().collect();
        for author in authors {
            let (records, series) = (records.remove(&author).unwrap_or_default(), points.remove(&author));
            known.pack(&change.id, author, records, series.unwrap_or_default(), &mut parcels);
        }
        parcels
    }
}

/// The authors of a change.
fn authors(change: &RunChange) -> impl Iterator<Item = WriterId> {
    let of_points = change.points.iter().map(|new| new.writer);
    of_points.chain(change.state.iter().flat_map(|state| records(state).map(|(author, _)| author)))
}

/// A run's metadata as records with their authors, without what is not an author's to say elsewhere.
fn records(state: &RunState) -> impl Iterator<Item = (WriterId, Record)> {
    let run = 0;
    let said = move |stamp: Stamp, record: Record| (stamp.writer, record);
    let attributes =
        state.attributes.iter().flatten().filter(|known| !matches!(known.value, Attribute::Deleted { .. }));
    let attributes = attributes.map(move |known| {
        said(known.stamp, Record::Attribute { run, attribute: known.value.clone(), order: known.stamp.order })
    });
    let params = state.params.iter().filter_map(|(key, values)| Some((key, values.first()?)));
    let params = params.map(move |(key, known)| {
        let (key, value, order) = (key.clone(), known.value.clone(), known.stamp.order);
        said(known.stamp, Record::Param { run, key, value, order })
    });
    let tags = state.tags.iter().map(move |(key, known)| {
        let (key, value, order) = (key.clone(), known.value.clone(), known.stamp.order);
        said(known.stamp, Record::Tag { run, key, value, order })
    });
    let items = state.items.iter().filter(|((kind, _), _)| is_logged(*kind));
    let items = items.map(move |((kind, key), known)| {
        let (kind, key, value, order) = (*kind, key.clone(), known.value.clone(), known.stamp.order);
        said(known.stamp, Record::Item { run, kind, key, value, order })
    });
    attributes.chain(params).chain(tags).chain(items)
}

/// Approximate length of a record's texts, in bytes.
fn weight(record: &Record) -> usize {
    let texts = match record {
        Record::Param { key, value, .. } => key.len() + value.len(),
        Record::Tag { key, value, .. } | Record::Item { key, value, .. } => {
            key.len() + value.as_ref().map_or(0, String::len)
        }
        Record::Attribute { attribute: Attribute::Name(text) | Attribute::User(text), .. } => text.len(),
        _ => 0,
    };
    texts + 32
}

impl Sent {
    /// The metadata that was not given, by author.
    fn new_metadata(&self, state: &RunState) -> BTreeMap<WriterId, Vec<Record>> {
        let known: BTreeSet<Vec<u8>> = self.metadata.iter().flat_map(records).map(|said| bytes(&said)).collect();
        let mut news: BTreeMap<WriterId, Vec<Record>> = BTreeMap::new();
        for (author, record) in records(state).filter(|said| !known.contains(&bytes(said))) {
            news.entry(author).or_default().push(record);
        }
        news
    }

    /// Packs an author's news into parcels.
    fn pack(
        &mut self,
        run: &RunId,
        writer: WriterId,
        records: Vec<Record>,
        series: Vec<(String, Columns)>,
        out: &mut Vec<Parcel>,
    ) {
        let order = self.orders.get(&writer).copied().unwrap_or(1);
        let given = self.authors.entry(writer).or_default();
        let mut open = Parcel {
            run: run.clone(),
            experiment: self.experiment.clone(),
            author: Author { writer, order, from: given.there },
            records: Vec::new(),
            series: Vec::new(),
        };
        let mut close = |open: &mut Parcel, there: u64| {
            let next = Parcel { author: Author { from: there, ..open.author }, ..open.clone_names() };
            let full = std::mem::replace(open, next);
            if !(full.records.is_empty() && full.series.is_empty()) {
                out.push(full);
            }
        };
        let mut heavy = 0;
        for record in records {
            heavy += weight(&record);
            open.records.push(record);
            if heavy > METADATA_AT_ONCE {
                close(&mut open, given.there);
                heavy = 0;
            }
        }
        let mut room = POINTS_AT_ONCE;
        for (key, mut columns) in series {
            let len = columns.len();
            let seen = given.seen.entry(key.clone()).or_default();
            let there = given.before.get(&key).copied().unwrap_or(0);
            let mut at = (there.saturating_sub(*seen) as usize).min(len);
            *seen += len as u64;
            while at < len {
                let end = len.min(at + room);
                let is_all = (at, end) == (0, len);
                let part = if is_all { std::mem::take(&mut columns) } else { slice(&columns, at, end) };
                open.series.push((key.clone(), part));
                given.there += (end - at) as u64;
                room -= end - at;
                at = end;
                if room == 0 {
                    close(&mut open, given.there);
                    room = POINTS_AT_ONCE;
                }
            }
        }
        close(&mut open, given.there);
    }
}

impl Parcel {
    /// An empty parcel of the same author.
    fn clone_names(&self) -> Self {
        let (run, experiment, author) = (self.run.clone(), self.experiment.clone(), self.author);
        Self { run, experiment, author, records: Vec::new(), series: Vec::new() }
    }
}

fn slice(columns: &Columns, from: usize, end: usize) -> Columns {
    let mut part = Columns::default();
    part.steps.extend_from_slice(&columns.steps[from..end]);
    part.timestamps.extend(columns.timestamps.view().slice(from..end));
    part.values.extend_from_slice(&columns.values[from..end]);
    part
}

fn bytes(said: &(WriterId, Record)) -> Vec<u8> {
    let mut bytes = Vec::new();
    crate::base::control::encode(said, &mut bytes);
    bytes
}
