//! What one log says of its runs besides points: their metadata, the names of their series, and claims of params.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::base::ids::{ExperimentId, RunId, RunKey, WriterId};
use crate::error::Error;
use crate::log::follower::LogFollower;
use crate::log::record::{Record, Start};
use crate::log::walk::BadSpan;
use crate::run::state::{Coverage, RunState};

/// Approximate memory of a series or a metadata value besides its text, in bytes.
const WEIGHT: usize = 256;

/// A log's metadata, and how far the log was followed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogMetadata {
    pub(super) at: LogFollower,
    runs: Arc<Runs>,
    /// Damaged ranges of the log; what they had is missing.
    pub(super) damage: Vec<BadSpan>,
    /// Points lost to damage.
    pub(super) lost: u64,
    /// See [`Step::torn_by_stop`](crate::log::follower::Step::torn_by_stop).
    pub(super) torn_by_stop: bool,
}

#[derive(Clone, Debug)]
struct Runs {
    /// Whose metadata it is.
    author: WriterId,
    /// By number, without coverage.
    runs: BTreeMap<u32, Arc<RunState>>,
    /// The numbers of runs by their keys.
    numbers: BTreeSet<(RunKey, u32)>,
    /// The run and key of each series, by its number.
    series: BTreeMap<u32, (u32, Arc<str>)>,
    /// Values of params that the log claims and has neither set nor retracted, by run and key.
    claims: BTreeMap<(RunId, String), String>,
    /// Whether each name was defined once, before it was used.
    consistent: bool,
    weight: usize,
}

impl LogMetadata {
    /// Nothing yet of the log at which a follower is.
    #[must_use]
    pub(super) fn new(at: LogFollower) -> Self {
        let runs = Runs {
            author: at.start().said_by(),
            runs: BTreeMap::new(),
            numbers: BTreeSet::new(),
            series: BTreeMap::new(),
            claims: BTreeMap::new(),
            consistent: true,
            weight: WEIGHT,
        };
        Self { at, runs: Arc::new(runs), damage: Vec::new(), lost: 0, torn_by_stop: false }
    }

    /// Adds a record.
    pub(super) fn take(&mut self, record: &Record) {
        let runs = Arc::make_mut(&mut self.runs);
        let fits = runs.take(record);
        runs.consistent &= fits;
    }

    /// Names a run without a record, if damage took the names of all runs.
    pub(super) fn name_run(&mut self, key: RunKey) {
        if self.runs.runs.is_empty() {
            let (id, experiment_name) = (RunId::of_key(key), "Default".into());
            self.take(&Record::Run { run: 0, id, experiment: ExperimentId::DEFAULT, experiment_name });
        }
    }

    /// Whether each run and series was defined once, before it was used.
    pub(super) fn is_consistent(&self) -> bool {
        self.runs.consistent
    }

    /// How far the log was followed.
    #[must_use]
    pub fn at(&self) -> &LogFollower {
        &self.at
    }

    /// The log's damage, as errors of its file.
    pub fn damage(&self, log: &Path) -> impl Iterator<Item = Error> {
        self.damage.iter().map(move |bad| Error::corrupt(log, bad.offset, bad.what))
    }

    /// Whether nothing in the log is damaged.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty()
    }

    /// Whether only a power loss can have left its torn end.
    #[must_use]
    pub fn is_torn_by_stop(&self) -> bool {
        self.torn_by_stop
    }

    /// The log's runs, by number.
    pub fn ids(&self) -> impl Iterator<Item = &RunId> {
        self.runs.runs.values().map(|state| &state.id)
    }

    /// The keys of the log's runs, with their numbers.
    pub fn keys(&self) -> impl Iterator<Item = (RunKey, u32)> {
        self.runs.numbers.iter().copied()
    }

    /// The number of a run in this log.
    #[must_use]
    pub fn number(&self, id: &RunId) -> Option<u32> {
        self.numbers_of(id.key()).find(|number| self.runs.runs[number].id == *id)
    }

    fn numbers_of(&self, key: RunKey) -> impl Iterator<Item = u32> {
        self.runs.numbers.range((key, 0)..=(key, u32::MAX)).map(|(_, number)| *number)
    }

    /// The metadata of a run, by its number, and which points the log has.
    #[must_use]
    pub fn state(&self, number: u32) -> Option<RunState> {
        let mut state = RunState::clone(self.runs.runs.get(&number)?);
        let &Start { writer, order, author, .. } = self.at.start();
        state.coverage = Coverage::of_log(writer, order, author, self.at.points(), self.lost);
        Some(state)
    }

    /// The metadata of a run.
    #[must_use]
    pub fn state_of(&self, id: &RunId) -> Option<RunState> {
        self.state(self.number(id)?)
    }

    /// The metadata of the runs with a key.
    pub fn states_of_key(&self, key: RunKey) -> impl Iterator<Item = RunState> {
        self.numbers_of(key).filter_map(|number| self.state(number))
    }

    /// The run and key of a series.
    #[must_use]
    pub fn series(&self, number: u32) -> Option<(u32, &Arc<str>)> {
        self.runs.series.get(&number).map(|(run, key)| (*run, key))
    }

    /// Keys of all runs that the log mentions: its own, and those with an open claim.
    pub fn mentioned(&self) -> impl Iterator<Item = RunKey> {
        self.keys().map(|(key, _)| key).chain(self.runs.claims.keys().map(|(id, _)| id.key()))
    }

    /// Whether the log has anything of a run, or claims a param of it. (A log that ever set or retracted what it claims
    /// has something of the run.)
    #[must_use]
    pub fn mentions(&self, id: &RunId) -> bool {
        let claims = self.runs.claims.range((id.clone(), String::new())..).next();
        self.number(id).is_some() || claims.is_some_and(|((of, _), _)| of == id)
    }

    /// The value of a param that the log claims and has neither set nor retracted.
    #[must_use]
    pub fn open_claim(&self, id: &RunId, param: &str) -> Option<&str> {
        if self.runs.claims.is_empty() {
            return None;
        }
        self.runs.claims.get(&(id.clone(), param.to_owned())).map(String::as_str)
    }

    /// Approximate memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.runs.weight
    }
}

impl Runs {
    /// Adds a record. `false` if it redefines a name or refers to an undefined one.
    fn take(&mut self, record: &Record) -> bool {
        let text = match record {
            Record::Run { run, id, experiment, experiment_name } => {
                let state = RunState::new(id.clone(), *experiment, experiment_name.clone());
                self.weight += WEIGHT + id.as_str().len() + experiment_name.len();
                let key = id.key();
                let is_new = self.numbers.range((key, 0)..=(key, u32::MAX)).next().is_none();
                let before = self.runs.insert(*run, Arc::new(state));
                before.iter().for_each(|before| _ = self.numbers.remove(&(before.id.key(), *run)));
                self.numbers.insert((key, *run));
                return is_new && before.is_none();
            }
            Record::Series { series, run, key } => {
                self.weight += WEIGHT + key.len();
                return self.series.insert(*series, (*run, key.as_str().into())).is_none();
            }
            Record::ParamClaimed { id, key, value } => {
                self.claims.insert((id.clone(), key.clone()), value.clone());
                return true;
            }
            Record::Param { key, value, .. } => key.len() + value.len(),
            Record::ParamRetracted { key, .. } => key.len(),
            Record::Tag { key, value, .. } | Record::Item { key, value, .. } => {
                key.len() + value.as_ref().map_or(0, String::len)
            }
            Record::Attribute { .. } => 0,
        };
        self.weight += WEIGHT + text;
        let Some(state) = record.run().and_then(|run| self.runs.get_mut(&run)) else { return false };
        let state = Arc::make_mut(state);
        if let (false, Record::Param { key, .. } | Record::ParamRetracted { key, .. }) =
            (self.claims.is_empty(), record)
        {
            self.claims.remove(&(state.id.clone(), key.clone()));
        }
        state.apply(self.author, record);
        true
    }
}
