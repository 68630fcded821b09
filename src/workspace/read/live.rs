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

use crate::base::ids::{RunId, RunKey};
use crate::base::summary::RunSummary;
use crate::error::of_one_file;
use crate::error::{Error, Result};
use crate::folder::paths::LogName;
use crate::log::follower::Next;
use crate::run::log_metadata::LogMetadata;
use crate::run::log_summary::LogSummary;
use crate::run::snapshot::{RunPart, StatsPart, summarise};
use crate::workspace::read::logs::or_report;
use crate::workspace::read::parts::{named, surviving};
use crate::workspace::state::ledgers::{Reach, Reaches};
use crate::workspace::state::packs::PackSet;
use crate::workspace::state::shared::Shared;

/// The result of following a log.
pub(crate) enum Followed {
    /// Its summary.
    Whole(Arc<LogSummary>),
    /// Nothing: compaction removed it, or it has no frame yet.
    Gone,
    /// It is damaged or torn, so its points must be read in full: its metadata, or why it cannot be read.
    Unclear(Result<Box<LogMetadata>>),
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
    /// Edit logs that are damaged or torn.
    pub(crate) unclear_edits: Vec<LogMetadata>,
    /// Why edit logs cannot be read; they may mention any run.
    pub(crate) unread_edits: Vec<Error>,
    /// Why folders of logs could not be listed.
    pub(crate) unlisted: Vec<Error>,
    /// The lengths of logs with a summary.
    pub(crate) reaches: Reaches,
}

impl Live {
    fn add(&mut self, name: &LogName, followed: Followed) {
        match followed {
            Followed::Whole(summary) => {
                self.reaches.insert(name.writer, Reach::of(summary.metadata()));
                for (run, number, stamp) in summary.runs() {
                    self.runs.entry(run).or_default().push((Arc::clone(&summary), number, stamp));
                }
            }
            Followed::Gone => {}
            Followed::Unclear(metadata) => match (name.run(), metadata) {
                (Some(run), _) => _ = self.unclear.insert(run),
                (None, Ok(metadata)) => self.unclear_edits.push(*metadata),
                (None, Err(error)) => self.unread_edits.push(error),
            },
        }
    }

    /// Whether an edit log is damaged or torn, or cannot be read.
    pub(crate) fn has_unclear_edits(&self) -> bool {
        !self.unclear_edits.is_empty() || !self.unread_edits.is_empty()
    }
}

impl Shared {
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
            let before = summary.metadata().weight();
            match LogSummary::follow(&mut summary, &*self.inner.storage, &name.log(), &name.tail()) {
                Ok(Next::Later | Next::Ended) => {
                    if summary.metadata().weight() == before
                        || self.inner.live.lock().weigh(name, summary.metadata().weight())
                    {
                        *cached = Some(Arc::clone(&summary));
                    }
                    return Ok(Followed::Whole(summary));
                }
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                    self.inner.live.lock().forget(name);
                    return Ok(Followed::Gone);
                }
                // What was followed still counts; the rest is perhaps being written.
                Ok(Next::Torn) => *cached = Some(summary),
                Ok(Next::Damaged | Next::Anew) => _ = self.inner.live.lock().weigh(name, 0),
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
            Err(error) => return of_one_file(error).map(|error| Followed::Unclear(Err(error))),
        };
        match LogSummary::of(&view).map(|summary| summary.map(Arc::new)) {
            Ok(Some(summary)) => {
                if self.inner.live.lock().weigh(name, summary.metadata().weight()) {
                    *cached = Some(Arc::clone(&summary));
                }
                Ok(Followed::Whole(summary))
            }
            Ok(None) => Ok(Followed::Unclear(Ok(Box::new(view.metadata().clone())))),
            Err(error) => of_one_file(error).map(|_| Followed::Unclear(Ok(Box::new(view.metadata().clone())))),
        }
    }

    /// The metadata of an edit log as it is now; `None` if compaction removed it. Reads what was appended since the
    /// last call, and nothing once it has ended.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::NewerFormat`], [`Error::Io`].
    pub(crate) fn edit_log_metadata(&self, name: &LogName) -> Result<Option<LogMetadata>> {
        match self.follow_log(name)? {
            Followed::Whole(summary) => Ok(Some(summary.metadata().clone())),
            Followed::Gone => Ok(None),
            Followed::Unclear(metadata) => metadata.map(|metadata| Some(*metadata)),
        }
    }

    /// All readable edit logs, and the errors of the others, which may mention any run.
    pub(crate) fn edit_logs(&self) -> Result<(Vec<LogMetadata>, Vec<Error>)> {
        let (mut logs, mut unread) = (Vec::new(), Vec::new());
        for name in or_report(self.edit_log_names(), &mut unread)? {
            logs.extend(or_report(self.edit_log_metadata(&name), &mut unread)?);
        }
        Ok((logs, unread))
    }

    /// Drops the summary of a removed log.
    pub(crate) fn forget_log(&self, name: &LogName) {
        self.inner.live.lock().forget(name);
    }

    /// See [`Workspace::find_summary`](crate::Workspace::find_summary).
    pub(crate) fn find_summary(&self, id: &RunId) -> Result<Option<RunSummary>> {
        Ok(self.find_summary_and_damage(id)?.map(|(row, _)| row))
    }

    /// See [`Workspace::find_summary_and_damage`](crate::Workspace::find_summary_and_damage).
    pub(crate) fn find_summary_and_damage(&self, id: &RunId) -> Result<Option<(RunSummary, Vec<String>)>> {
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
        if lacking || live.has_unclear_edits() || !live.unclear.is_empty() || !packs.broken().is_empty() {
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
