//! The part of a log that lists need, kept current as the log grows: the metadata of its runs and statistics of their
//! series.
//!
//! A summary starts from a full read of the log and then follows it by reading only what was appended. An unchanged log
//! costs a read of its length and two slots; an ended log costs nothing. Invariants:
//!
//! 1. It contains the frames and slots that its [`LogFollower`](crate::log::follower) counted, each once and in order,
//!    and nothing else. So it equals a [`LogView`] read at that moment.
//! 2. It holds no open file and no points. Its memory depends on series and metadata, not on the number of points.
//! 3. Each run has a stamp that is unique within the process. Anything derived from a run stays valid while its stamps
//!    do.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::ids::RunKey;
use crate::base::point::Point;
use crate::base::stats::SeriesStats;
use crate::error::{Error, Result};
use crate::log::follower::{Next, Step};
use crate::log::record::{Batch, Record};
use crate::log::walk::{Frame, Payload};
use crate::run::log_metadata::LogMetadata;
use crate::run::log_view::{LogView, open_group};
use crate::run::snapshot::{RunPart, StatsPart};
use crate::segment::reader::{RowGroup, Source};
use crate::segment::stats::stats_of;
use crate::storage::Storage;

/// See the module.
#[derive(Clone, Debug)]
pub struct LogSummary {
    metadata: LogMetadata,
    /// One past the last point in a row group.
    sealed: u64,
    /// One past the last point included.
    through: u64,
    /// By the run's number in the log.
    points: BTreeMap<u32, Arc<RunPoints>>,
}

/// Statistics of a run's points in this log.
#[derive(Clone, Debug, Default)]
struct RunPoints {
    /// Of sealed points, by key.
    sealed: BTreeMap<Arc<str>, SeriesStats>,
    /// Of unsealed points, by series number.
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
        let (log, metadata) = (view.log(), view.metadata().clone());
        if !metadata.is_whole() || log.read.torn.is_some() || metadata.lost > 0 || !metadata.is_consistent() {
            return Ok(None);
        }
        let points = metadata.keys().map(|(_, run)| (run, Arc::default())).collect();
        let mut summary = Self { metadata, sealed: log.sealed_through(), through: log.sequence_end(), points };
        for group in view.groups() {
            if !summary.take_group(group)? {
                return Ok(None);
            }
        }
        for (number, columns) in view.rows() {
            if let (Some(run), Some(stats)) = (summary.points_of(number), stats_of(columns)) {
                run.head.insert(number, stats);
            }
        }
        summary.stamp();
        Ok(Some(summary))
    }

    /// The log's metadata, and how far it was followed.
    #[must_use]
    pub fn metadata(&self) -> &LogMetadata {
        &self.metadata
    }

    /// Reads what was appended since. After [`Next::Damaged`] and [`Next::Anew`] this summary is of no use, and the log
    /// must be read in full. Free once the log has ended.
    ///
    /// # Errors
    /// [`Error::Io`], with kind `NotFound` if the log was not ended and is gone.
    pub fn follow(summary: &mut Arc<Self>, storage: &dyn Storage, log: &Path, tail: &Path) -> Result<Next> {
        let mut at = summary.metadata.at.clone();
        if at.has_ended() {
            return Ok(Next::Ended);
        }
        let (step, file) = at.follow(storage, log, tail)?;
        let next = step.next;
        if matches!(next, Next::Damaged | Next::Anew) || (step.frames.is_empty() && step.slots.is_empty()) {
            return Ok(next);
        }
        let summary = Arc::make_mut(summary);
        let fits = summary.take(step, &Source::new(file, log.to_owned()))? && summary.through == at.points();
        summary.metadata.at = at;
        Ok(if fits { next } else { Next::Anew })
    }

    /// Adds what a follower found. `false` if points are missing, or it contradicts what is known.
    fn take(&mut self, step: Step, source: &Source) -> Result<bool> {
        for frame in step.frames {
            if !self.take_frame(frame, source)? {
                return Ok(false);
            }
        }
        if !step.slots.is_empty() {
            if step.slots_from != self.through {
                return Ok(false);
            }
            step.slots.iter().for_each(|slot| self.take_point(slot.series(), slot.point()));
            self.through += step.slots.len() as u64;
            self.stamp();
        }
        Ok(self.metadata.is_consistent())
    }

    fn take_frame(&mut self, frame: Frame, source: &Source) -> Result<bool> {
        let (from, through) = (frame.header.sequence, frame.through());
        let has_points = frame.has_points();
        if has_points && from > self.through {
            return Ok(false);
        }
        match frame.payload {
            Payload::Records(batch) => {
                let Batch { records, rows } = &*batch;
                records.iter().for_each(|record| self.take_record(record));
                // Rows include the newest point.
                if has_points && through < self.through {
                    return Ok(false);
                }
                for row in rows.iter().skip((self.through - from.min(self.through)) as usize) {
                    self.take_point(row.series, row.point());
                }
            }
            Payload::RowGroup => {
                let group = open_group(source, &frame)?.ok().filter(|_| from == self.sealed);
                let Some(group) = group else { return Ok(false) };
                // Points after the row group, in the other buffer, are counted again.
                self.points.values_mut().for_each(|run| Arc::make_mut(run).head.clear());
                self.sealed = through;
                if !self.take_group(&group)? {
                    return Ok(false);
                }
            }
            Payload::End => {}
            Payload::Start(_) | Payload::Lost => return Ok(false),
        }
        if has_points {
            self.through = through;
            self.stamp();
        }
        Ok(true)
    }

    fn take_record(&mut self, record: &Record) {
        self.metadata.take(record);
        let changes = !matches!(record, Record::Series { .. });
        if let Some(run) = record.run().filter(|_| changes) {
            Arc::make_mut(self.points.entry(run).or_default()).stamp = next_stamp();
        }
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
            let Some(run) = self.points.get_mut(&series.run).map(Arc::make_mut) else { continue };
            match run.sealed.get_mut(&keys[series.key as usize]) {
                Some(known) => known.merge(&stats),
                None => _ = run.sealed.insert(Arc::clone(&keys[series.key as usize]), stats),
            }
        }
        Ok(true)
    }

    /// Marks all runs as changed: new points of one run change the coverage of all.
    fn stamp(&mut self) {
        self.points.values_mut().for_each(|run| Arc::make_mut(run).stamp = next_stamp());
    }

    /// The points of a series' run.
    fn points_of(&mut self, series: u32) -> Option<&mut RunPoints> {
        let (run, _) = self.metadata.series(series)?;
        self.points.get_mut(&run).map(Arc::make_mut)
    }

    /// Adds the next point. A point of an unnamed series counts but belongs to no run.
    fn take_point(&mut self, series: u32, point: Point) {
        let Some(run) = self.points_of(series) else { return };
        match run.head.get_mut(&series) {
            Some(stats) => stats.add(point),
            None => _ = run.head.insert(series, SeriesStats::of(point)),
        }
    }

    /// The log's runs: key, number in the log, and stamp.
    pub fn runs(&self) -> impl Iterator<Item = (RunKey, u32, u64)> {
        self.metadata.keys().map(|(key, number)| (key, number, self.points[&number].stamp))
    }

    /// Whether the log's points count as another writer's.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        self.metadata.at.start().author.is_some()
    }

    /// The log's part of a run, by the run's number.
    #[must_use]
    pub fn part(&self, number: u32) -> Option<RunPart<StatsPart>> {
        let state = self.metadata.state(number)?;
        let RunPoints { sealed, head, .. } = &**self.points.get(&number)?;
        let sealed = sealed.iter().map(|(key, stats)| (key.to_string(), *stats));
        let head =
            head.iter().filter_map(|(&series, stats)| Some((self.metadata.series(series)?.1.to_string(), *stats)));
        Some(RunPart::new(state, sealed.chain(head).map(|(key, stats)| (key, StatsPart::Known(stats))).collect()))
    }
}
