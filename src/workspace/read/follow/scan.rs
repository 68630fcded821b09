//! Finds runs that may have changed, from the lengths of open logs, new packs and permanent deletions. Reads no run.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::base::control;
use crate::base::ids::{ExperimentId, RunKey, WriterId};
use crate::error::{Entity, Error, Result};
use crate::folder::paths::{self, LogName};
use crate::journal::manifest::Manifest;
use crate::log::follower::LogFollower;
use crate::run::state::{Coverage, RunState};
use crate::workspace::read::follow::look::{Known, metadata_hash};
use crate::workspace::read::follow::{Changes, Follower};
use crate::workspace::read::live::Followed;
use crate::workspace::state::ledgers::Claim;
use crate::workspace::state::packs::PackSet;

/// A log: its run (`None` for an edit log) and its writer.
pub(super) type LogKey = (Option<RunKey>, WriterId);

/// A log as last seen.
pub(super) enum Watched {
    /// It has ended.
    Ended,
    /// It may grow.
    Live {
        /// The end of its last frame, its points, and whether it ended.
        reach: (u64, u64, bool),
        /// Whether its points count as another writer's.
        relayed: bool,
        /// For an edit log, the stamps of followed runs in it.
        stamps: FxHashMap<RunKey, u64>,
    },
    /// It must be read in full, so its runs are compared each time; for an edit log these.
    Unclear(FxHashSet<RunKey>),
}

impl Follower {
    /// Counts everything that exists now as delivered.
    pub(super) fn begin_now(&mut self) -> Result<()> {
        self.experiments = self.experiments_now()?;
        // Logs before packs: what leaves a log meanwhile is in a pack that is read later. Ledgers before logs: what
        // they say of a log still holds later.
        let claims = if self.chosen.is_empty() { self.workspace.claims(false)? } else { Vec::new() };
        let ended: FxHashSet<WriterId> =
            claims.iter().filter(|claim| claim.end().is_some() && !claim.is_relayed()).map(Claim::writer).collect();
        for name in self.names()?.0 {
            if self.chosen.is_empty() && ended.contains(&name.writer) {
                self.whole.insert(name.writer);
                self.logs.insert((name.run(), name.writer), Watched::Ended);
                continue;
            }
            let watched = self.watch(&name)?;
            // What a relayed log has counts as another writer's, of whom another log may have more.
            let is_whole = matches!(&watched, Some(Watched::Live { reach: (.., true), relayed: false, .. }))
                && self.chosen.is_empty();
            if let Some(watched) = watched {
                if is_whole {
                    self.whole.insert(name.writer);
                } else {
                    self.note(&name, &watched);
                }
                self.logs.insert((name.run(), name.writer), if is_whole { Watched::Ended } else { watched });
            }
        }
        self.packs = self.workspace.refresh()?;
        self.packs.check()?;
        self.manifest = self.workspace.manifest()?;
        let named: Vec<RunKey> = self.chosen.keys().copied().collect();
        for key in std::mem::take(&mut self.ahead).into_iter().chain(named) {
            if self.runs.contains_key(&key) {
                continue;
            }
            let id = self.chosen.get(&key).cloned();
            let (run, unread) = self.workspace.read_run(key, id.as_ref())?;
            unread.iter().for_each(|error| self.report(error.to_string()));
            match (run, id) {
                (Some(run), _) if self.is_of_kind(run.state().kind()) => {
                    let known = Known::of(&self.workspace, &run, &self.keys)?;
                    self.runs.insert(key, known);
                }
                (None, Some(id)) if unread.is_empty() => return Err(Error::not_found(Entity::Run, id)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The logs that may have followed runs, and what cannot be listed.
    fn names(&self) -> Result<(Vec<LogName>, Vec<Error>)> {
        if self.chosen.is_empty() {
            return self.workspace.all_log_names();
        }
        let (mut names, mut unlisted) = (Vec::new(), Vec::new());
        let listed = self.chosen.keys().map(|&key| self.workspace.run_log_names(key));
        for listed in listed.chain([self.workspace.edit_log_names()]) {
            match listed {
                Ok(listed) => names.extend(listed),
                Err(error) => unlisted.push(crate::error::of_one_file(error)?),
            }
        }
        Ok((names, unlisted))
    }

    /// The current state of a log; `None` if it is gone or has no frame yet.
    fn watch(&self, name: &LogName) -> Result<Option<Watched>> {
        Ok(match self.workspace.follow_log(name)? {
            Followed::Whole(summary) => {
                let of_edits = name.run().is_none();
                let runs = summary.runs().filter(|(key, ..)| of_edits && self.is_chosen(*key));
                let stamps = runs.map(|(key, _, stamp)| (key, stamp)).collect();
                Some(Watched::Live { reach: reach_of(summary.metadata().at()), relayed: summary.is_relayed(), stamps })
            }
            Followed::Gone => None,
            Followed::Unclear(metadata) => {
                let of_edits = metadata.ok().filter(|_| name.run().is_none());
                let runs = of_edits.iter().flat_map(|log| log.keys()).map(|(key, _)| key);
                Some(Watched::Unclear(runs.filter(|&key| self.is_chosen(key)).collect()))
            }
        })
    }

    /// Marks the runs of a log for comparison.
    fn note(&mut self, name: &LogName, watched: &Watched) {
        let mut add = |key: RunKey| _ = self.ahead.insert(key);
        match (name.run(), watched) {
            (Some(run), _) => add(run),
            (None, Watched::Live { stamps, .. }) => stamps.keys().copied().for_each(add),
            (None, Watched::Unclear(runs)) => runs.iter().copied().for_each(add),
            (None, Watched::Ended) => {}
        }
    }

    /// Marks every run that may have changed since the last scan.
    pub(super) fn scan(&mut self) -> Result<()> {
        self.scan_logs()?;
        self.scan_packs()?;
        self.scan_experiments()?;
        if self.first.is_some() {
            let packed = self.next.iter().flat_map(|(packs, _)| packs.packs().values());
            let packed = packed.flat_map(|pack| pack.pack().keys().iter().copied());
            let wanted: Vec<RunKey> = match self.chosen.is_empty() {
                true => packed.chain(self.logs.keys().filter_map(|(run, _)| *run)).collect(),
                false => self.chosen.keys().copied().collect(),
            };
            wanted.into_iter().for_each(|key| _ = self.ahead.insert(key));
        }
        self.workspace.lost_of_runs().into_iter().for_each(|lost| self.report(lost));
        Ok(())
    }

    fn scan_logs(&mut self) -> Result<()> {
        let (names, unlisted) = self.names()?;
        unlisted.iter().for_each(|error| self.report(error.to_string()));
        let mut there: FxHashSet<LogKey> = FxHashSet::default();
        there.reserve(names.len());
        for name in &names {
            let key = (name.run(), name.writer);
            match self.logs.get(&key) {
                Some(Watched::Ended) => _ = there.insert(key),
                None if self.whole.contains(&name.writer) => {
                    there.insert(key);
                    self.logs.insert(key, Watched::Ended);
                }
                _ => {
                    // If it is gone by now it is treated as missing.
                    let Some(now) = self.watch(name)? else { continue };
                    there.insert(key);
                    self.compare(name, now);
                }
            }
        }
        if !unlisted.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.resumed) {
            let writers: FxHashSet<WriterId> = there.iter().map(|(_, writer)| *writer).collect();
            self.leaving.extend(self.whole.iter().filter(|writer| !writers.contains(*writer)));
            self.ahead.extend(self.runs.keys().chain(self.chosen.keys()));
        }
        let gone: Vec<LogKey> = self.logs.keys().filter(|key| !there.contains(*key)).copied().collect();
        for key in gone {
            let Some(watched) = self.logs.remove(&key) else { continue };
            let (run, writer) = key;
            let was_whole = self.whole.contains(&writer);
            if was_whole {
                self.leaving.push(writer);
            }
            match (run, watched) {
                (Some(run), _) => _ = if was_whole { &mut self.went } else { &mut self.ahead }.insert(run),
                (None, Watched::Live { stamps, .. }) => {
                    stamps.into_keys().for_each(|key| _ = self.ahead.insert(key));
                }
                (None, Watched::Unclear(runs)) => {
                    runs.into_iter().for_each(|key| _ = self.ahead.insert(key));
                }
                (None, Watched::Ended) => {}
            }
            self.workspace.forget_log(&paths::log_name(&self.workspace.inner.root, run, writer));
        }
        Ok(())
    }

    /// Compares a log with its last state.
    fn compare(&mut self, name: &LogName, now: Watched) {
        let key = (name.run(), name.writer);
        match (self.logs.get(&key), &now) {
            (Some(Watched::Live { reach: before, .. }), Watched::Live { reach, .. }) if before == reach => return,
            (Some(Watched::Live { stamps: before, .. }), Watched::Live { stamps, .. }) if name.run().is_none() => {
                let changed = stamps.iter().filter(|(key, stamp)| before.get(*key) != Some(*stamp));
                changed.for_each(|(&key, _)| _ = self.ahead.insert(key));
            }
            _ => self.note(name, &now),
        }
        // The runs of an ended edit log are still needed when it is removed.
        let ended = matches!(now, Watched::Live { reach: (.., true), .. }) && name.run().is_some();
        self.logs.insert(key, if ended { Watched::Ended } else { now });
    }

    fn scan_packs(&mut self) -> Result<()> {
        let packs = self.workspace.refresh()?;
        packs.check()?;
        packs.broken().values().for_each(|error| self.report(error.to_string()));
        let same = packs.packs().keys().eq(self.packs.packs().keys());
        if packs.reading() == self.packs.reading() && same {
            self.ahead.extend(&self.went);
            return Ok(());
        }
        let manifest = self.workspace.manifest()?;
        let changed = self.changed_tombstones(&manifest);
        let with_logs: FxHashSet<RunKey> = self.logs.keys().filter_map(|(run, _)| *run).collect();
        let added = packs.packs().iter().filter(|(id, _)| !self.packs.packs().contains_key(*id));
        let mut found: Vec<RunKey> = changed;
        for (_, pack) in added {
            let keys = pack.pack().keys().iter().copied().filter(|&key| self.is_chosen(key));
            for key in keys {
                let met = self.runs.contains_key(&key) || with_logs.contains(&key) || self.first.is_some();
                if met || !self.is_given(key, &packs) {
                    found.push(key);
                }
            }
        }
        for (_, pack) in self.packs.packs().iter().filter(|(id, _)| !packs.packs().contains_key(*id)) {
            let keys = pack.pack().keys().iter().copied().filter(|&key| self.is_chosen(key));
            found.extend(keys.filter(|&key| packs.find(key).next().is_none()));
        }
        self.ahead.extend(found);
        // A run whose log was packed unchanged needs no comparison.
        let is_met = |key: &RunKey| self.runs.contains_key(key) || with_logs.contains(key);
        let news = self.went.iter().copied().filter(|key| is_met(key) || !self.is_given(*key, &packs));
        let news: Vec<RunKey> = news.collect();
        self.ahead.extend(news);
        self.next = Some((packs, manifest));
        Ok(())
    }

    /// Runs with permanent deletions since packs were last adopted.
    fn changed_tombstones(&self, manifest: &Manifest) -> Vec<RunKey> {
        let differs = |key: &RunKey| {
            manifest.tombstones.get(key) != self.manifest.tombstones.get(key)
                || manifest.metrics.get(key) != self.manifest.metrics.get(key)
        };
        manifest.touched().filter(|&key| self.is_chosen(key)).filter(differs).collect()
    }

    /// Whether everything packs have of a run counts as delivered: it is in adopted packs, or of writers whose logs had
    /// ended. `false` also if the run must be read to know.
    fn is_given(&self, key: RunKey, packs: &PackSet) -> bool {
        let Some(now) = state_in(packs, key) else { return false };
        match state_in(&self.packs, key) {
            None => now.coverage.iter().all(|own| self.whole.contains(&own.writer)),
            Some(before) => {
                let has = |own: &Coverage| {
                    before.coverage.iter().any(|of| of.writer == own.writer && of.through >= own.through)
                };
                now.coverage.iter().all(has) && metadata_hash(&now) == metadata_hash(&before)
            }
        }
    }

    fn scan_experiments(&mut self) -> Result<()> {
        let now = self.experiments_now()?;
        if now == self.experiments {
            return Ok(());
        }
        if self.chosen.is_empty() {
            let all = now.keys().chain(self.experiments.keys());
            let changed = all.filter(|id| now.get(*id) != self.experiments.get(*id)).copied();
            let Changes { experiments, .. } = &mut self.result;
            experiments.extend(changed);
            experiments.sort_unstable();
            experiments.dedup();
        } else {
            self.chosen.keys().for_each(|&key| _ = self.ahead.insert(key));
        }
        self.experiments = now;
        Ok(())
    }

    /// Hashes of the current experiments.
    pub(super) fn experiments_now(&self) -> Result<BTreeMap<ExperimentId, u64>> {
        let catalog = self.workspace.catalog()?;
        let hash = |experiment| {
            let mut bytes = Vec::new();
            control::encode(experiment, &mut bytes);
            xxhash_rust::xxh3::xxh3_64(&bytes)
        };
        Ok(catalog.experiments.iter().map(|(&id, experiment)| (id, hash(experiment))).collect())
    }

    /// Adopts the packs of the last scan, after every run was compared.
    pub(super) fn take_in(&mut self) {
        self.went.clear();
        for writer in self.leaving.drain(..) {
            self.whole.remove(&writer);
        }
        let Some((packs, manifest)) = self.next.take() else { return };
        (self.packs, self.manifest) = (packs, manifest);
        if !self.chosen.is_empty() {
            return;
        }
        // Runs that are completely in packs need not be tracked.
        let mut mentioned: FxHashSet<RunKey> = self.logs.keys().filter_map(|(run, _)| *run).collect();
        for watched in self.logs.values() {
            match watched {
                Watched::Live { stamps, .. } => mentioned.extend(stamps.keys().copied()),
                Watched::Unclear(runs) => mentioned.extend(runs.iter().copied()),
                Watched::Ended => {}
            }
        }
        let packs = &self.packs;
        self.runs.retain(|key, known| {
            mentioned.contains(key) || !state_in(packs, *key).is_some_and(|state| known.is_within(&state))
        });
    }
}

/// What [`Watched::Live`] tells of a log.
fn reach_of(at: &LogFollower) -> (u64, u64, bool) {
    (at.end(), at.points(), at.has_ended())
}

/// A run's state in packs, with the coverage of every copy; `None` if it is in none, or cannot be read.
fn state_in(packs: &PackSet, key: RunKey) -> Option<RunState> {
    let mut merged: Option<RunState> = None;
    for (pack, place) in packs.find(key) {
        let group = pack.group(place.group).ok()?;
        let state = group.states().get(place.run as usize)?;
        match &mut merged {
            Some(merged) => {
                merged.merge(state);
                merged.coverage.extend_from_slice(&state.coverage);
            }
            None => merged = Some(state.clone()),
        }
    }
    merged
}
