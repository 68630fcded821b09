//! The logs that are not in packs yet, as lists see them: a summary of each, kept by the handle and followed.
//!
//! Each question lists the folders anew and follows the summaries of the logs that it finds, so an answer has
//! everything that was acknowledged before the question, whoever wrote it. A log of which there is no summary, because
//! it is damaged, torn or not yet whole, is named, and whoever asks reads it as a whole each time.
//!
//! Summaries take memory by words and series, not by points; beyond a bound further ones are made anew for each
//! question. What is kept of a log goes when the log is gone.

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
use crate::workspace::evidence::{Reach, Reaches};
use crate::workspace::open::Workspace;
use crate::workspace::packs::PackSet;
use crate::workspace::runs::{named, surviving};

/// Most bytes of all summaries of a handle, about: those of some 20,000 logs of a few keys, or of one log of 400,000.
/// Logs of edits are kept beyond it too: each has a bounded length, and every question asks them all.
const WEIGHT_MAX: usize = 128 << 20;

/// Summaries as last followed.
#[derive(Default)]
pub struct LiveLogs {
    known: FxHashMap<LogName, Kept>,
    weight: usize,
    /// Counts the questions about all logs.
    round: u64,
}

struct Kept {
    /// Empty while the log is read for the first time, and after it could not be followed.
    summary: Arc<Mutex<Option<Arc<LogSummary>>>>,
    weight: usize,
    /// The last question about all logs before or in which the log was there.
    round: u64,
}

impl LiveLogs {
    fn slot(&mut self, name: &LogName) -> Arc<Mutex<Option<Arc<LogSummary>>>> {
        let round = self.round;
        if let Some(kept) = self.known.get_mut(name) {
            kept.round = round;
            return Arc::clone(&kept.summary);
        }
        let summary = Arc::default();
        self.known.insert(name.clone(), Kept { summary: Arc::clone(&summary), weight: 0, round });
        summary
    }

    /// Notes what a summary takes. `false` when there is no room for it.
    fn weigh(&mut self, name: &LogName, weight: usize) -> bool {
        let Some(kept) = self.known.get_mut(name) else { return false };
        let total = self.weight - kept.weight + weight;
        let fits = total <= WEIGHT_MAX || name.run().is_none();
        let weight = if fits { weight } else { 0 };
        self.weight = self.weight - kept.weight + weight;
        kept.weight = weight;
        fits
    }

    fn forget(&mut self, name: &LogName) {
        if let Some(kept) = self.known.remove(name) {
            self.weight -= kept.weight;
        }
    }

    /// Forgets logs that were not there since a question began.
    fn forget_before(&mut self, round: u64) {
        let mut freed = 0;
        self.known.retain(|_, kept| {
            let stays = kept.round >= round;
            freed += if stays { 0 } else { kept.weight };
            stays
        });
        self.weight -= freed;
    }
}

/// What is found of a log.
pub(super) enum Followed {
    /// All of it.
    Whole(Arc<LogSummary>),
    /// Nothing: compaction has taken it away, or its first frame is yet to come.
    Gone,
    /// It must be read as a whole to know.
    Unclear,
}

/// Where logs speak of a run: in which, and under which number, and the stamp of what they say.
pub(super) type Spoken = Vec<(Arc<LogSummary>, u32, u64)>;

/// All logs at one moment.
#[derive(Default)]
pub(super) struct Live {
    /// What speaks of each run.
    pub(super) runs: BTreeMap<RunKey, Spoken>,
    /// Runs with a log that must be read as a whole.
    pub(super) unclear: BTreeSet<RunKey>,
    /// Whether a log of edits must be, which may speak of any run.
    pub(super) unclear_edits: bool,
    /// Why folders of logs could not be listed.
    pub(super) unlisted: Vec<Error>,
    /// How far the logs go that need not be read as a whole.
    pub(super) reaches: Reaches,
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
    /// What all logs say by now.
    pub(super) fn live(&self) -> Result<Live> {
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

    /// What is known of a log, after what was appended to it was read.
    pub(super) fn follow_log(&self, name: &LogName) -> Result<Followed> {
        let slot = self.inner.live.lock().slot(name);
        let mut kept = slot.lock();
        if let Some(mut summary) = kept.take() {
            let before = summary.weight();
            match LogSummary::follow(&mut summary, &*self.inner.storage, &name.log(), &name.tail()) {
                Ok(true) => {
                    if summary.weight() == before || self.inner.live.lock().weigh(name, summary.weight()) {
                        *kept = Some(Arc::clone(&summary));
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
                    *kept = Some(Arc::clone(&summary));
                }
                Ok(Followed::Whole(summary))
            }
            Ok(None) => Ok(Followed::Unclear),
            Err(error) => of_one_file(error).map(|_| Followed::Unclear),
        }
    }

    /// Forgets what is kept of a log that is gone.
    pub(super) fn forget_log(&self, name: &LogName) {
        self.inner.live.lock().forget(name);
    }

    /// A run as lists show it, if there is one: its words as they are now, and statistics of its metrics. Unlike
    /// [`Self::find_run`] it costs nothing for points that were there when the run was last asked for. The mark of
    /// deletion is the run's own; [`Self::counts_as_deleted`] knows what it means. What of the run does not verify is
    /// missing; [`Self::find_summary_and_damage`] tells it.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`] where nothing is found of the run and something that may have it cannot be
    /// read.
    pub fn find_summary(&self, id: &RunId) -> Result<Option<RunSummary>> {
        Ok(self.find_summary_and_damage(id)?.map(|(row, _)| row))
    }

    /// The same, with what of the run does not verify, in words.
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
        let spoken = live.runs.remove(&id.key()).unwrap_or_default();
        match self.summary_of(Some(id), id.key(), &spoken, &packs) {
            Err(error) => of_one_file(error).and_then(|_| self.summary_around(id)),
            found => Ok(found?.map(|row| (row, self.lost_of_runs()))),
        }
    }

    /// The same from what verifies of the run.
    fn summary_around(&self, id: &RunId) -> Result<Option<(RunSummary, Vec<String>)>> {
        let Some(run) = self.find_run(id)? else { return Ok(None) };
        let mut reader = run.salvage();
        let row = reader.summary()?;
        Ok(Some((row, [run.damage(), &reader.told()].concat())))
    }

    /// A run's row from all that speaks of it, logs and packs; of the run of the key where no id is given.
    pub(super) fn summary_of(
        &self,
        id: Option<&RunId>,
        key: RunKey,
        spoken: &Spoken,
        packs: &PackSet,
    ) -> Result<Option<RunSummary>> {
        let mut parts: Vec<RunPart<StatsPart>> =
            spoken.iter().filter_map(|(summary, number, _)| summary.part(*number)).collect();
        for (pack, place) in packs.find(key) {
            parts.extend(pack.group(place.group)?.part(place.run).map(RunPart::from));
        }
        named(&mut parts, id, key);
        let parts = surviving(parts, self.inner.manifest.lock().state());
        summarise(parts)
    }
}
