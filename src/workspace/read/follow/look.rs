//! Finds what is new in one run: compares its snapshot with what was delivered.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::control;
use crate::base::ids::{ExperimentId, RunId, RunKey, WriterId};
use crate::base::point::Columns;
use crate::error::{Result, of_one_file};
use crate::run::snapshot::{RunSnapshot, part_len};
use crate::run::state::RunState;
use crate::workspace::read::follow::{Follower, NewPoints, POINTS_MAX, RunChange, RunEvent};
use crate::workspace::read::parts::{merge, named};
use crate::workspace::state::shared::Shared;

/// What was delivered of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) id: RunId,
    /// A hash of its metadata; `None` if unknown.
    metadata: Option<u64>,
    /// Whether it was reported as deleted.
    deleted: bool,
    /// Its deletion attribute.
    deletion: Deletion,
    writers: BTreeMap<WriterId, Given>,
}

/// A run's deletion attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Deletion {
    experiment: ExperimentId,
    deleted: bool,
    generation: u64,
}

impl Deletion {
    fn of(state: &RunState) -> Self {
        Self { experiment: state.experiment, deleted: state.deleted(), generation: state.deleted_generation() }
    }

    fn counts(self, workspace: &Shared) -> Result<bool> {
        workspace.is_deleted(self.experiment, self.deleted, self.generation)
    }
}

/// What was delivered of a writer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Given {
    /// One past its last known sequence number.
    through: u64,
    /// Delivered points per metric.
    counts: BTreeMap<String, u64>,
}

impl Known {
    /// Everything of a run counts as delivered.
    pub(super) fn of(workspace: &Shared, run: &RunSnapshot, keys: &BTreeSet<String>) -> Result<Self> {
        let (state, deletion) = (run.state(), Deletion::of(run.state()));
        let metadata = Some(metadata_hash(state));
        let mut known = Self {
            id: state.id.clone(),
            metadata,
            deleted: deletion.counts(workspace)?,
            deletion,
            writers: BTreeMap::new(),
        };
        known.reach(state);
        for (key, series) in run.series().iter().filter(|(key, _)| is_wanted(keys, key)) {
            for (part, &writer) in series.parts.iter().zip(&series.writers) {
                *known.count(writer, key) += part_len(part) as u64;
            }
        }
        Ok(known)
    }

    /// Nothing of a run counts as delivered.
    fn none(run: &RunSnapshot) -> Self {
        let (id, deletion) = (run.id().clone(), Deletion::of(run.state()));
        Self { id, metadata: None, deleted: false, deletion, writers: BTreeMap::new() }
    }

    /// So many points of a run count as delivered, and no metadata.
    pub(super) fn at(run: &RunId, counts: BTreeMap<WriterId, BTreeMap<String, u64>>) -> Self {
        let deletion = Deletion { experiment: ExperimentId::DEFAULT, deleted: false, generation: 0 };
        let writers = counts.into_iter().map(|(writer, counts)| (writer, Given { through: 0, counts })).collect();
        Self { id: run.clone(), metadata: None, deleted: false, deletion, writers }
    }

    fn count(&mut self, writer: WriterId, key: &str) -> &mut u64 {
        let counts = &mut self.writers.entry(writer).or_default().counts;
        if !counts.contains_key(key) {
            counts.insert(key.to_owned(), 0);
        }
        counts.entry(key.to_owned()).or_default()
    }

    /// Records the writers' last sequence numbers.
    fn reach(&mut self, state: &RunState) {
        for own in &state.coverage {
            let given = self.writers.entry(own.writer).or_default();
            given.through = own.through.max(given.through);
        }
    }

    /// Whether packs with this state have all of it.
    pub(super) fn is_within(&self, packed: &RunState) -> bool {
        let has = |writer: &WriterId, through: u64| {
            packed.coverage.iter().any(|own| own.writer == *writer && own.through >= through)
        };
        !self.writers.is_empty()
            && self.metadata == Some(metadata_hash(packed))
            && self.writers.iter().all(|(writer, given)| has(writer, given.through))
    }
}

/// Whether a metric is followed; all are if none is named.
fn is_wanted(keys: &BTreeSet<String>, key: &str) -> bool {
    keys.is_empty() || keys.contains(key)
}

/// A hash of a run's metadata.
pub(super) fn metadata_hash(state: &RunState) -> u64 {
    let mut bytes = Vec::new();
    let RunState { id, experiment, experiment_name, attributes, params, tags, items, coverage: _ } = state;
    control::encode(&(id, experiment, experiment_name, attributes, params, tags, items), &mut bytes);
    xxhash_rust::xxh3::xxh3_64(&bytes)
}

impl Follower {
    /// Adds what is new in a run to the result. `false` if more is left.
    pub(super) fn look(&mut self, key: RunKey) -> Result<bool> {
        let id = self.runs.get(&key).map(|known| &known.id).or_else(|| self.chosen.get(&key)).cloned();
        let (run, unread) = self.workspace.read_run(key, id.as_ref())?;
        unread.iter().for_each(|error| self.report(error.to_string()));
        let damaged = !unread.is_empty();
        let Some(run) = run else {
            if !damaged {
                self.note_gone(key)?;
            }
            return Ok(true);
        };
        if !self.is_of_kind(run.state().kind()) {
            return Ok(true);
        }
        let known = match self.runs.remove(&key) {
            Some(known) => Some(known),
            None => self.known_of_idle(key, &run)?,
        };
        let appeared = known.is_none();
        let mut known = known.unwrap_or_else(|| Known::none(&run));
        let mut change = RunChange {
            id: run.id().clone(),
            event: None,
            deleted: known.deleted,
            state: None,
            points: Vec::new(),
            removed: Vec::new(),
        };
        let looked = self
            .new_metadata(&mut known, &run, appeared, &mut change)
            .and_then(|()| self.new_points(&mut known, &run, appeared, damaged, &mut change));
        self.runs.insert(key, known);
        let RunChange { event, state, points, removed, .. } = &change;
        if event.is_some() || state.is_some() || !points.is_empty() || !removed.is_empty() {
            self.result.runs.push(change);
        }
        looked
    }

    /// What counts as delivered of a run that is not tracked; `None` if nothing does.
    fn known_of_idle(&mut self, key: RunKey, run: &RunSnapshot) -> Result<Option<Known>> {
        if !self.chosen.is_empty() {
            return Ok(None);
        }
        let before = self.packed_before(key, Some(run.id()))?;
        let mut given = match &before {
            Some(before) => Known::of(&self.workspace, before, &self.keys)?.writers,
            None => BTreeMap::new(),
        };
        let coverage = &run.state().coverage;
        for own in coverage.iter().filter(|own| self.whole.contains(&own.writer)) {
            given.insert(own.writer, Given { through: own.through, ..Given::default() });
        }
        if given.is_empty() {
            return Ok(None);
        }
        for (key, series) in run.series().iter().filter(|(key, _)| is_wanted(&self.keys, key)) {
            for (part, writer) in series.parts.iter().zip(&series.writers) {
                if self.whole.contains(writer) {
                    *given.entry(*writer).or_default().counts.entry(key.clone()).or_default() += part_len(part) as u64;
                }
            }
        }
        // Metadata that was replaced since is missing here; then the run's hash differs in any case.
        let of_logs = run.clone().without_writers(|writer| !self.whole.contains(&writer));
        let mut state = of_logs.state().clone();
        if let Some(before) = &before {
            state.merge(before.state());
        }
        let (metadata, deletion) = (Some(metadata_hash(&state)), Deletion::of(&state));
        let deleted = deletion.counts(&self.workspace)?;
        Ok(Some(Known { id: run.id().clone(), metadata, deleted, deletion, writers: given }))
    }

    /// The run as the adopted packs have it.
    fn packed_before(&mut self, key: RunKey, id: Option<&RunId>) -> Result<Option<RunSnapshot>> {
        let (mut parts, mut unread) = (Vec::new(), Vec::new());
        for (pack, place) in self.packs.find(key) {
            match pack.group(place.group) {
                Ok(group) => parts.extend(group.part(place.run)),
                Err(error) => unread.push(of_one_file(error)?),
            }
        }
        unread.iter().for_each(|error| self.report(error.to_string()));
        named(&mut parts, id, key);
        Ok(merge(parts, &self.manifest))
    }

    /// Handles a run of which nothing is found.
    fn note_gone(&mut self, key: RunKey) -> Result<()> {
        let id = match self.runs.get(&key) {
            Some(known) => Some(known.id.clone()),
            None if !self.chosen.is_empty() => None,
            None => {
                let packed = self.packed_before(key, None)?;
                let packed = packed.filter(|run| self.is_of_kind(run.state().kind())).map(|run| run.id().clone());
                let tombstone = self.next.as_ref().and_then(|(_, manifest)| manifest.tombstones.get(&key));
                let had_log = tombstone.is_some_and(|of| of.keys().any(|writer| self.whole.contains(writer)));
                packed.or_else(|| had_log.then(|| RunId::of_key(key)))
            }
        };
        self.runs.remove(&key);
        if let Some(id) = id {
            let event = Some(RunEvent::Gone);
            let (state, points, removed) = (None, Vec::new(), Vec::new());
            self.result.runs.push(RunChange { id, event, deleted: true, state, points, removed });
        }
        Ok(())
    }

    fn new_metadata(&self, known: &mut Known, run: &RunSnapshot, appeared: bool, change: &mut RunChange) -> Result<()> {
        let state = run.state();
        let (metadata, deletion) = (metadata_hash(state), Deletion::of(state));
        let deleted = deletion.counts(&self.workspace)?;
        // For named runs all changes are reported; for others not those that come with a change of the experiment.
        let before = if self.chosen.is_empty() { known.deletion.counts(&self.workspace)? } else { known.deleted };
        change.event = match (appeared, before, deleted) {
            (true, ..) => Some(RunEvent::Appeared),
            (_, false, true) => Some(RunEvent::Deleted),
            (_, true, false) => Some(RunEvent::Restored),
            _ => None,
        };
        change.deleted = deleted;
        if known.metadata != Some(metadata) || change.event.is_some() {
            change.state = Some(state.clone());
        }
        (known.metadata, known.deletion, known.deleted) = (Some(metadata), deletion, deleted);
        Ok(())
    }

    /// Adds a run's new points, and the metrics that lost points. `false` if more is left.
    fn new_points(
        &mut self,
        known: &mut Known,
        run: &RunSnapshot,
        appeared: bool,
        damaged: bool,
        change: &mut RunChange,
    ) -> Result<bool> {
        let reaches = run.state().reaches();
        // Points of unreadable files may come back; a log of the same length has lost them.
        let is_away = |known: &Known, writer: WriterId| {
            let given = known.writers.get(&writer).map_or(0, |given| given.through);
            damaged && reaches.get(&writer).is_none_or(|&through| through < given)
        };
        let mut removed: BTreeSet<String> = BTreeSet::new();
        let mut met: BTreeMap<WriterId, usize> = BTreeMap::new();
        for (key, series) in run.series().iter().filter(|(key, _)| is_wanted(&self.keys, key)) {
            let mut totals: BTreeMap<WriterId, u64> = BTreeMap::new();
            for (part, &writer) in series.parts.iter().zip(&series.writers) {
                *totals.entry(writer).or_default() += part_len(part) as u64;
            }
            for (writer, total) in totals {
                *met.entry(writer).or_default() += 1;
                let away = is_away(known, writer);
                let given = known.count(writer, key);
                if let Some(last) = self.first.filter(|_| appeared) {
                    *given = total.saturating_sub(last as u64);
                }
                if total < *given && !away {
                    *given = total;
                    if !damaged {
                        removed.insert(key.clone());
                    }
                }
            }
        }
        let done = self.give_points(known, run, change)?;
        known.forget_unmet(run, &met, is_away, &mut removed, damaged);
        if !damaged {
            known.writers.retain(|writer, _| reaches.contains_key(writer));
            known.writers.iter_mut().for_each(|(_, given)| given.through = 0);
        }
        known.reach(run.state());
        removed.extend(self.deleted_since(run).into_iter().filter(|_| !appeared));
        change.removed = removed.into_iter().collect();
        Ok(done)
    }

    /// Adds a run's undelivered points, up to the bound of a result. `false` if more is left.
    fn give_points(&mut self, known: &mut Known, run: &RunSnapshot, change: &mut RunChange) -> Result<bool> {
        let mut reader = run.salvage();
        let (mut done, mut failed) = (true, Ok(()));
        'series: for (key, series) in run.series().iter().filter(|(key, _)| is_wanted(&self.keys, key)) {
            let mut offsets: BTreeMap<WriterId, u64> = BTreeMap::new();
            for (at, (part, &writer)) in series.parts.iter().zip(&series.writers).enumerate() {
                let (offset, len) = (offsets.entry(writer).or_default(), part_len(part) as u64);
                let from = known.count(writer, key).saturating_sub(*offset).min(len);
                let room = POINTS_MAX.saturating_sub(self.result.points) as u64;
                let to = len.min(from + room);
                *offset += len;
                if from == len {
                    continue;
                }
                let own = change.points.iter().rposition(|new| new.key == *key && new.writer == writer);
                let own = own.unwrap_or_else(|| {
                    change.points.push(NewPoints { key: key.clone(), writer, columns: Columns::default() });
                    change.points.len() - 1
                });
                let columns = &mut change.points[own].columns;
                let before = columns.len();
                if let Err(error) = reader.part(key, at, from as usize..to as usize, columns) {
                    columns.truncate(before);
                    failed = Err(error);
                    break 'series;
                }
                // Damaged points are reported and not tried again.
                *known.count(writer, key) += to - from;
                self.result.points += (to - from) as usize;
                if to < len {
                    done = false;
                    break 'series;
                }
            }
        }
        change.points.retain(|new| !new.columns.is_empty());
        reader.messages().into_iter().for_each(|message| self.report(message));
        failed.map(|()| done)
    }

    /// Metrics of a run that were permanently deleted since packs were last adopted.
    fn deleted_since(&self, run: &RunSnapshot) -> Vec<String> {
        let Some((_, manifest)) = &self.next else { return Vec::new() };
        let key = run.id().key();
        let (now, before) = (manifest.metrics.get(&key), self.manifest.metrics.get(&key));
        let metrics = now.into_iter().flatten().filter(|(key, tombstone)| {
            before.and_then(|before| before.get(*key)) != Some(*tombstone) && !run.series().contains_key(*key)
        });
        metrics.map(|(key, _)| key.clone()).filter(|key| is_wanted(&self.keys, key)).collect()
    }
}

impl Known {
    /// Forgets metrics of writers without remaining points.
    fn forget_unmet(
        &mut self,
        run: &RunSnapshot,
        met: &BTreeMap<WriterId, usize>,
        is_away: impl Fn(&Self, WriterId) -> bool,
        removed: &mut BTreeSet<String>,
        damaged: bool,
    ) {
        let differs = |(writer, given): (&WriterId, &Given)| {
            (given.counts.len() != met.get(writer).copied().unwrap_or(0)).then_some(*writer)
        };
        let writers: Vec<WriterId> = self.writers.iter().filter_map(differs).collect();
        for writer in writers.into_iter().filter(|&writer| !is_away(self, writer)).collect::<Vec<_>>() {
            let Some(given) = self.writers.get_mut(&writer) else { continue };
            given.counts.retain(|key, count| {
                let there = run.series().get(key).is_some_and(|series| series.writers.contains(&writer));
                if !there && *count > 0 && !damaged {
                    removed.insert(key.clone());
                }
                there
            });
        }
    }
}
