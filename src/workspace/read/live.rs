//! Summaries of all logs that are not packed yet, for lists: kept by the handle and followed as the logs grow.
//!
//! Each query lists the folders and follows the summaries of the logs found, so it sees everything acknowledged before
//! it, by any writer. A log without a summary, because it is damaged, torn or has no frame yet, is reported, and the
//! caller reads it in full each time.
//!
//! A summary's memory depends on metadata and series, not on points; beyond a bound, further summaries are made per
//! query and dropped. The summary of a removed log is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::base::ids::{RunId, RunKey};
use crate::base::summary::RunSummary;
use crate::error::of_one_file;
use crate::error::{Error, Result};
use crate::folder::paths::LogName;
use crate::run::log_summary::LogSummary;
use crate::run::snapshot::{RunPart, StatsPart, summarise};
use crate::workspace::open::Workspace;
use crate::workspace::read::evidence::{Reach, Reaches};
use crate::workspace::state::packs::PackSet;
use crate::workspace::write::runs::{named, surviving};

/// Approximate limit of a handle's summaries, in bytes: some 20,000 logs of a few keys, or one log of 400,000. Edit
/// logs are kept beyond it: their length is bounded, and every query needs them.
const WEIGHT_MAX: usize = 128 << 20;

/// The summaries as last followed.
#[derive(Default)]
pub struct LiveLogs {
    known: FxHashMap<LogName, Cached>,
    weight: usize,
    /// Counts queries over all logs.
    round: u64,
}

struct Cached {
    /// `None` while the log is first read, and after it could not be followed.
    summary: Arc<Mutex<Option<Arc<LogSummary>>>>,
    weight: usize,
    /// The last query over all logs in which the log existed.
    round: u64,
}

impl LiveLogs {
    fn slot(&mut self, name: &LogName) -> Arc<Mutex<Option<Arc<LogSummary>>>> {
        let round = self.round;
        if let Some(cached) = self.known.get_mut(name) {
            cached.round = round;
            return Arc::clone(&cached.summary);
        }
        let summary = Arc::default();
        self.known.insert(name.clone(), Cached { summary: Arc::clone(&summary), weight: 0, round });
        summary
    }

    /// Records the memory of a summary. `false` if it exceeds the limit.
    fn weigh(&mut self, name: &LogName, weight: usize) -> bool {
        let Some(cached) = self.known.get_mut(name) else { return false };
        let total = self.weight - cached.weight + weight;
        let fits = total <= WEIGHT_MAX || name.run().is_none();
        let weight = if fits { weight } else { 0 };
        self.weight = self.weight - cached.weight + weight;
        cached.weight = weight;
        fits
    }

    fn forget(&mut self, name: &LogName) {
        if let Some(cached) = self.known.remove(name) {
            self.weight -= cached.weight;
        }
    }

    /// Forgets logs not seen since a query began.
    fn forget_before(&mut self, round: u64) {
        let mut freed = 0;
        self.known.retain(|_, cached| {
            let stays = cached.round >= round;
            freed += if stays { 0 } else { cached.weight };
            stays
        });
        self.weight -= freed;
    }
}

/// The result of following a log.
pub(crate) enum Followed {
    /// Its summary.
    Whole(Arc<LogSummary>),
    /// Nothing: compaction removed it, or it has no frame yet.
    Gone,
    /// It must be read in full.
    Unclear,
}

/// Where a run is in logs: the log, its number there, and its stamp.
pub(crate) type LogMentions = Vec<(Arc<LogSummary>, u32, u64)>;

/// All logs at one moment.
#[derive(Default)]
pub(crate) struct Live {
    /// The logs of each run.
    pub(crate) runs: BTreeMap<RunKey, LogMentions>,
    /// Runs with a log that must be read in full.
    pub(crate) unclear: BTreeSet<RunKey>,
    /// Whether an edit log must be read in full; it may mention any run.
    pub(crate) unclear_edits: bool,
    /// Why folders of logs could not be listed.
    pub(crate) unlisted: Vec<Error>,
    /// The lengths of logs with a summary.
    pub(crate) reaches: Reaches,
}

impl Live {
    fn add(&mut self, name: &LogName, followed: Followed) {
        match followed {
            Followed::Whole(summary) => {
                self.reaches.insert(name.writer, Reach::of_summary(&summary));
                for (run, number, stamp) in summary.runs() {
                    self.runs.entry(run).or_default().push((Arc::clone(&summary), number, stamp));
                }
            }
            Followed::Gone => {}
            Followed::Unclear => match name.run() {
                Some(run) => _ = self.unclear.insert(run),
                None => self.unclear_edits = true,
            },
        }
    }
}

impl Workspace {
    /// The current state of all logs.
    pub(crate) fn live(&self) -> Result<Live> {
        let round = {
            let mut logs = self.inner.live.lock();
            logs.round += 1;
            logs.round
        };
        let mut live = Live::default();
        let (names, unlisted) = self.all_log_names()?;
        live.unlisted = unlisted;
        for name in names {
            let followed = self.follow_log(&name)?;
            live.add(&name, followed);
        }
        self.inner.live.lock().forget_before(round);
        Ok(live)
    }

    /// Follows a log to its current end.
    pub(crate) fn follow_log(&self, name: &LogName) -> Result<Followed> {
        let slot = self.inner.live.lock().slot(name);
        let mut cached = slot.lock();
        if let Some(mut summary) = cached.take() {
            let before = summary.weight();
            match LogSummary::follow(&mut summary, &*self.inner.storage, &name.log(), &name.tail()) {
                Ok(true) => {
                    if summary.weight() == before || self.inner.live.lock().weigh(name, summary.weight()) {
                        *cached = Some(Arc::clone(&summary));
                    }
                    return Ok(Followed::Whole(summary));
                }
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                    self.inner.live.lock().forget(name);
                    return Ok(Followed::Gone);
                }
                Ok(false) => _ = self.inner.live.lock().weigh(name, 0),
                Err(error) => {
                    of_one_file(error)?;
                    self.inner.live.lock().weigh(name, 0);
                }
            }
        }
        let view = match self.read_log(name) {
            Ok(Some(view)) => view,
            Ok(None) => {
                self.inner.live.lock().forget(name);
                return Ok(Followed::Gone);
            }
            Err(error) => return of_one_file(error).map(|_| Followed::Unclear),
        };
        match LogSummary::of(&view).map(|summary| summary.map(Arc::new)) {
            Ok(Some(summary)) => {
                if self.inner.live.lock().weigh(name, summary.weight()) {
                    *cached = Some(Arc::clone(&summary));
                }
                Ok(Followed::Whole(summary))
            }
            Ok(None) => Ok(Followed::Unclear),
            Err(error) => of_one_file(error).map(|_| Followed::Unclear),
        }
    }

    /// Drops the summary of a removed log.
    pub(crate) fn forget_log(&self, name: &LogName) {
        self.inner.live.lock().forget(name);
    }

    /// A run's row for lists, if the run exists: current metadata and statistics of its metrics. Unlike
    /// [`Self::find_run`], it costs nothing for points seen by an earlier call. `deleted` is the run's own attribute;
    /// [`Self::counts_as_deleted`] decides. Damaged data is missing; [`Self::find_summary_and_damage`] reports it.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`] if the run is not found and an unreadable file may have it.
    pub fn find_summary(&self, id: &RunId) -> Result<Option<RunSummary>> {
        Ok(self.find_summary_and_damage(id)?.map(|(row, _)| row))
    }

    /// The same, with messages about the run's damage.
    ///
    /// # Errors
    /// As [`Self::find_summary`].
    pub fn find_summary_and_damage(&self, id: &RunId) -> Result<Option<(RunSummary, Vec<String>)>> {
        let mut live = Live::default();
        let claims = self.claims_of(id.key())?;
        let listed = self.run_log_names(id.key()).and_then(|mut names| {
            names.extend(self.edit_log_names()?);
            Ok(names)
        });
        let Ok(names) = listed else { return self.summary_around(id) };
        for name in names {
            let followed = self.follow_log(&name)?;
            live.add(&name, followed);
        }
        let packs = self.refresh()?;
        packs.check()?;
        let lacking = !self.lacking(&claims, &live.reaches, |_| false, &packs).is_empty();
        if lacking || live.unclear_edits || !live.unclear.is_empty() || !packs.broken().is_empty() {
            return self.summary_around(id);
        }
        let mentions = live.runs.remove(&id.key()).unwrap_or_default();
        match self.summary_of(Some(id), id.key(), &mentions, &packs) {
            Err(error) => of_one_file(error).and_then(|_| self.summary_around(id)),
            found => Ok(found?.map(|row| (row, self.lost_of_runs()))),
        }
    }

    /// The same from the verifiable data of the run.
    fn summary_around(&self, id: &RunId) -> Result<Option<(RunSummary, Vec<String>)>> {
        let Some(run) = self.find_run(id)? else { return Ok(None) };
        let mut reader = run.salvage();
        let row = reader.summary()?;
        Ok(Some((row, [run.damage(), &reader.messages()].concat())))
    }

    /// A run's row from logs and packs; if no id is given, of the run with this key.
    pub(crate) fn summary_of(
        &self,
        id: Option<&RunId>,
        key: RunKey,
        mentions: &LogMentions,
        packs: &PackSet,
    ) -> Result<Option<RunSummary>> {
        let mut parts: Vec<RunPart<StatsPart>> =
            mentions.iter().filter_map(|(summary, number, _)| summary.part(*number)).collect();
        for (pack, place) in packs.find(key) {
            parts.extend(pack.group(place.group)?.part(place.run).map(RunPart::from));
        }
        named(&mut parts, id, key);
        let parts = surviving(parts, self.inner.manifest.lock().state());
        summarise(parts)
    }
}
