//! A workspace that is written step by step beside its ledger.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use stepwell::maintenance::CompactOptions;
use stepwell::testing::Storage;
use stepwell::{
    Columns, Error, ExperimentId, MetricHandle, NewRun, Options, Point, Result, RunEdit, RunId, RunStatus, RunWriter,
    Workspace,
};

use super::check::{Depth, exact};
use super::ledger::{Ledger, RunLedger, WriterLedger, point};
pub(crate) use super::step::Op;

/// Keys of metrics.
pub(crate) const KEYS: [&str; 3] = ["loss", "β/b\n", "accuracy"];

struct Writer {
    writer: RunWriter,
    run: String,
    place: usize,
    metrics: BTreeMap<usize, MetricHandle>,
}

/// A workspace, its writers, and the ledger.
pub(crate) struct World {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) root: PathBuf,
    pub(crate) options: Options,
    pub(crate) workspace: Option<Workspace>,
    writers: Vec<Option<Writer>>,
    /// Runs and places of the writers that the present handle opened.
    opened: Vec<(String, usize)>,
    /// Writers that were asked to frame what they had: run, place, points.
    requested: Vec<(String, usize, u64)>,
    pub(crate) ledger: Ledger,
    /// Whether an error leaves what was tried in doubt, because the process is dead; otherwise points of a call that
    /// failed must not be there.
    pub(crate) dying: bool,
    /// Whether the disk may refuse to read a file, so that compaction leaves it as it is.
    pub(crate) may_leave: bool,
    /// Whether the process was killed: a call that still succeeds, because what failed was of no consequence to it,
    /// would not have returned.
    pub(crate) is_dead: Option<Box<dyn Fn() -> bool>>,
}

/// The id of a run by its number.
pub(crate) fn run_id(run: u8) -> RunId {
    RunId::new(format!("run{run}")).unwrap()
}

impl World {
    /// Nothing yet; the workspace is opened by the first step.
    pub(crate) fn new(storage: Arc<dyn Storage>, root: PathBuf, options: Options) -> Self {
        Self {
            storage,
            root,
            options,
            workspace: None,
            writers: (0..4).map(|_| None).collect(),
            opened: Vec::new(),
            requested: Vec::new(),
            ledger: Ledger::default(),
            dying: false,
            may_leave: false,
            is_dead: None,
        }
    }

    /// The workspace's handle, opened if needed.
    pub(crate) fn workspace(&mut self) -> Result<Workspace> {
        if let Some(workspace) = &self.workspace {
            return Ok(workspace.clone());
        }
        let storage = Arc::clone(&self.storage);
        let workspace = Workspace::open_or_create_on(storage, &self.root, self.options)?;
        Ok(self.workspace.insert(workspace).clone())
    }

    /// Goes on with another disk, as after a crash: all handles are gone.
    pub(crate) fn move_to(&mut self, storage: Arc<dyn Storage>) {
        self.writers.iter_mut().for_each(|slot| *slot = None);
        self.opened.clear();
        self.workspace = None;
        self.storage = storage;
        self.ledger.all_closed();
    }

    /// Compares all that readers find with the ledger.
    pub(crate) fn check(&mut self, depth: Depth) {
        let workspace = self.workspace().expect("the workspace opens");
        exact(&self.ledger, &workspace, depth);
    }

    pub(super) fn run(&mut self, run: &str) -> &mut RunLedger {
        self.ledger.runs.get_mut(run).expect("a run of the ledger")
    }

    fn own(&mut self, slot: usize) -> Option<(String, usize)> {
        let writer = self.writers[slot].as_ref()?;
        Some((writer.run.clone(), writer.place))
    }

    /// Carries one step out, in the workspace and in the ledger.
    pub(crate) fn apply(&mut self, op: &Op) -> Result<()> {
        match *op {
            Op::Experiment(number) => self.experiment(number),
            Op::Create { slot, run } => self.create(slot, run),
            Op::Open { slot, run } => self.open(slot, run),
            Op::Point { slot, key, shape } => {
                let point = point(self.ledger.next(), shape);
                self.points(slot, vec![(key, point)], |writer, points| writer.log_point(points[0].0, points[0].1))
            }
            Op::Repeat { slot } => {
                let Some((run, place)) = self.own(slot) else {
                    return Ok(());
                };
                let Some((key, point)) = self.run(&run).writers[place].points.last().cloned() else {
                    return Ok(());
                };
                let key = KEYS.iter().position(|own| *own == key).unwrap_or(0);
                self.points(slot, vec![(key, point)], |writer, points| writer.log_point(points[0].0, points[0].1))
            }
            Op::Many { slot, shape } => {
                let first = Point { timestamp_ms: Some(77), ..point(self.ledger.next(), shape) };
                let other = |number| Point { value: super::ledger::value(number), ..first };
                let points = vec![(0, first), (2, other(self.ledger.next()))];
                self.points(slot, points, |writer, points| {
                    let values = [(KEYS[0], points[0].1.value), (KEYS[2], points[1].1.value)];
                    writer.log_metrics(points[0].1.step, Some(77), &values)
                })
            }
            Op::Batch { slot, len, shape, tag } => self.batch(slot, len, shape, tag),
            Op::Columns { slot, key, len, shape } => self.columns(slot, key, len, shape),
            Op::Param { slot, key, value } => {
                let Some((run, place)) = self.own(slot) else {
                    return Ok(());
                };
                self.param(&run, Some((slot, place)), key, value)
            }
            Op::EditParam { run, key, value } => {
                let run = run_id(run).to_string();
                self.param(&run, None, key, value)
            }
            Op::Tag { slot, key } => {
                let Some((run, place)) = self.own(slot) else {
                    return Ok(());
                };
                let value = format!("tag {}", self.ledger.next());
                let edit = RunEdit::Tag(format!("t{key}"), value.clone());
                self.word(&run, Some((slot, place)), format!("t:t{key}"), Some(value), &[edit])
            }
            Op::EditTag { run, key } => {
                let value = format!("edit {}", self.ledger.next());
                let edit = RunEdit::Tag(format!("t{key}"), value.clone());
                let run = run_id(run).to_string();
                self.word(&run, None, format!("t:t{key}"), Some(value), &[edit])
            }
            Op::RemoveTag { run, key } => {
                let edit = RunEdit::RemoveTag(format!("t{key}"));
                let run = run_id(run).to_string();
                self.word(&run, None, format!("t:t{key}"), None, &[edit])
            }
            Op::Name { run } => {
                let value = format!("name {}", self.ledger.next());
                let edit = RunEdit::Name(value.clone());
                let run = run_id(run).to_string();
                self.word(&run, None, "name".into(), Some(value), &[edit])
            }
            Op::Delete { run } => self.mark(run, true),
            Op::Restore { run } => self.mark(run, false),
            Op::Sync { slot } => self.sync(slot),
            Op::SyncHandle => self.sync_handle(),
            Op::RequestFlushes => self.request_flushes(),
            Op::SyncFlushed => self.sync_flushed(),
            Op::Seal { slot } => match &mut self.writers[slot] {
                Some(writer) => writer.writer.seal(),
                None => Ok(()),
            },
            Op::Finish { slot, failed } => self.finish(slot, failed),
            Op::Drop { slot } => {
                self.close(slot);
                Ok(())
            }
            Op::Compact => {
                let done = self.workspace()?.maintenance().compact(CompactOptions::default())?;
                assert!(!done.busy && (self.may_leave || done.skipped.is_empty()), "{done:?}");
                if done.skipped.is_empty() {
                    self.ledger.packed();
                }
                Ok(())
            }
            Op::Gc => self.collect_garbage(),
            Op::DeleteMetric { run, key } => self.delete_metric(run, KEYS[key]),
            Op::Reopen => {
                self.opened.clear();
                self.workspace = None;
                self.workspace().map(|_| ())
            }
            Op::Import { run, more } => self.import(run, more),
        }
    }

    fn close(&mut self, slot: usize) -> Option<Writer> {
        let (run, place) = self.own(slot)?;
        self.run(&run).writers[place].open = false;
        self.writers[slot].take()
    }

    fn experiment(&mut self, number: u8) -> Result<()> {
        let name = format!("experiment {number}");
        let workspace = self.workspace()?;
        let known = *self.ledger.experiments.entry(name.clone()).or_default();
        match workspace.experiments().create(&name) {
            Err(Error::AlreadyExists { .. }) => {
                self.ledger.experiments.insert(name, true);
                Ok(())
            }
            Ok(_) => {
                assert!(!known, "two experiments have the name {name:?}");
                self.ledger.experiments.insert(name, true);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn create(&mut self, slot: usize, run: u8) -> Result<()> {
        let id = run_id(run);
        let workspace = self.workspace()?;
        self.close(slot);
        let own = self.ledger.runs.entry(id.to_string()).or_default();
        own.writers.push(WriterLedger { open: true, ..WriterLedger::default() });
        let place = own.writers.len() - 1;
        let new = NewRun { id: Some(id.clone()), ..NewRun::default() };
        match workspace.create_run(ExperimentId::DEFAULT, new) {
            Ok(writer) => {
                assert!(!own.created, "two runs have one id");
                (own.created, own.gone) = (true, false);
                own.say("status".into(), None, Some(place));
                own.heard("status");
                self.put(slot, writer, id, place);
                Ok(())
            }
            Err(Error::AlreadyExists { .. }) => {
                own.writers.pop();
                Ok(())
            }
            Err(error) => {
                own.writers[place].open = false;
                Err(error)
            }
        }
    }

    fn put(&mut self, slot: usize, writer: RunWriter, id: RunId, place: usize) {
        self.opened.push((id.to_string(), place));
        self.writers[slot] = Some(Writer { writer, run: id.to_string(), place, metrics: BTreeMap::new() });
    }

    fn open(&mut self, slot: usize, run: u8) -> Result<()> {
        let id = run_id(run);
        let workspace = self.workspace()?;
        self.close(slot);
        let Some(own) = self.ledger.runs.get_mut(id.as_str()).filter(|run| run.created) else {
            return Ok(());
        };
        let open = WriterLedger { open: true, ..WriterLedger::default() };
        own.writers.push(open);
        let place = own.writers.len() - 1;
        match workspace.writer(&id) {
            Ok(writer) => {
                self.put(slot, writer, id, place);
                Ok(())
            }
            Err(Error::Deleted { .. }) if own.allowed("deleted", false).contains(&Some("yes")) => {
                own.writers.pop();
                Ok(())
            }
            Err(error) => {
                own.writers[place].open = false;
                Err(error)
            }
        }
    }

    /// Logs points by `log`: together or not at all.
    fn points(
        &mut self,
        slot: usize,
        points: Vec<(usize, Point)>,
        log: impl FnOnce(&mut RunWriter, &[(MetricHandle, Point)]) -> Result<()>,
    ) -> Result<()> {
        let Some((run, place)) = self.own(slot) else {
            return Ok(());
        };
        let named = points.iter().map(|(key, point)| (KEYS[*key].to_owned(), *point));
        self.run(&run).writers[place].in_flight = named.collect();
        let Some(writer) = &mut self.writers[slot] else {
            return Ok(());
        };
        let mut resolved = Vec::with_capacity(points.len());
        for (key, point) in points {
            let metric = match writer.metrics.get(&key) {
                Some(known) => *known,
                None => writer.writer.metric(KEYS[key])?,
            };
            writer.metrics.insert(key, metric);
            resolved.push((metric, point));
        }
        let done = log(&mut writer.writer, &resolved);
        let (given, dying) = (writer.writer.points(), self.dying);
        let dead = self.is_dead.as_ref().is_some_and(|is_dead| is_dead());
        let own = &mut self.run(&run).writers[place];
        match &done {
            Ok(()) if dead => {}
            Ok(()) => {
                let mut points = std::mem::take(&mut own.in_flight);
                own.points.append(&mut points);
                assert_eq!(given, own.points.len() as u64, "the writer's own count");
            }
            Err(_) if !dying => {
                own.in_flight.clear();
                assert_eq!(given, own.points.len() as u64, "the writer's own count");
            }
            Err(_) => {}
        }
        done
    }

    fn batch(&mut self, slot: usize, len: usize, shape: u8, tag: bool) -> Result<()> {
        let Some((run, place)) = self.own(slot) else {
            return Ok(());
        };
        let points: Vec<(usize, Point)> = (0..len).map(|at| (at % 2, point(self.ledger.next(), shape))).collect();
        if !tag {
            return self.points(slot, points, |writer, points| writer.log_points(points));
        }
        let value = format!("batch {}", self.ledger.next());
        let edit = RunEdit::Tag("t0".into(), value.clone());
        self.run(&run).say("t:t0".into(), Some(value), Some(place));
        self.points(slot, points, |writer, points| writer.log_batch(points, &[edit]))?;
        self.run(&run).heard("t:t0");
        Ok(())
    }

    fn columns(&mut self, slot: usize, key: usize, len: usize, shape: u8) -> Result<()> {
        let with_timestamps = shape.is_multiple_of(2);
        let points = (0..len)
            .map(|_| {
                let point = point(self.ledger.next(), shape % 6);
                let timestamp_ms = with_timestamps.then_some(point.step.wrapping_mul(2));
                (key, Point { timestamp_ms, ..point })
            })
            .collect();
        self.points(slot, points, |writer, points| {
            let Some((metric, _)) = points.first() else {
                return Ok(());
            };
            let columns: Columns = points.iter().map(|(_, point)| *point).collect();
            let timestamps = with_timestamps.then_some(&columns.timestamps.ms[..]);
            writer.log_columns(*metric, &columns.steps, timestamps, &columns.values)
        })
    }

    fn word(
        &mut self,
        run: &str,
        writer: Option<(usize, usize)>,
        name: String,
        value: Option<String>,
        edits: &[RunEdit],
    ) -> Result<()> {
        let workspace = self.workspace()?;
        let Some(own) = self.ledger.runs.get_mut(run).filter(|run| run.created) else {
            return Ok(());
        };
        own.say(name.clone(), value, writer.map(|(_, place)| place));
        let done = match writer {
            Some((slot, _)) => match &mut self.writers[slot] {
                Some(writer) => writer.writer.edit(edits),
                None => Ok(()),
            },
            None => workspace.edit_run(&RunId::new(run)?, edits),
        };
        match done {
            Ok(()) => own.heard(&name),
            Err(Error::Deleted { .. }) if own.allowed("deleted", false).contains(&Some("yes")) => {
                own.refused(&name);
                return Ok(());
            }
            Err(_) => {}
        }
        done
    }

    fn param(&mut self, run: &str, writer: Option<(usize, usize)>, key: u8, value: u8) -> Result<()> {
        let (name, value) = (format!("p:p{key}"), value.to_string());
        let Some(own) = self.ledger.runs.get(run) else {
            return Ok(());
        };
        let standing = own.standing(&name).map(str::to_owned);
        let in_doubt = own.allowed(&name, false).len() > 1;
        let edit = RunEdit::Param(format!("p{key}"), value.clone());
        match self.word(run, writer, name.clone(), Some(value.clone()), &[edit]) {
            Err(Error::ParamConflict { existing, .. }) => {
                let known = standing.is_some_and(|standing| standing != value && standing == existing);
                assert!(known || in_doubt, "{name} conflicts with {existing:?} by itself");
                self.run(run).refused(&name);
                Ok(())
            }
            Ok(()) => {
                let deleted = self.run(run).standing("deleted").is_some() && writer.is_none();
                let fits = standing.is_none_or(|standing| standing == value) || deleted;
                assert!(fits, "{name} was set twice");
                Ok(())
            }
            other => other,
        }
    }

    fn mark(&mut self, run: u8, deleted: bool) -> Result<()> {
        let id = run_id(run);
        let workspace = self.workspace()?;
        let Some(own) = self.ledger.runs.get_mut(id.as_str()).filter(|run| run.created) else {
            return Ok(());
        };
        own.say("deleted".into(), deleted.then(|| "yes".into()), None);
        if deleted {
            workspace.delete_run(&id)?;
        } else {
            workspace.restore_run(&id)?;
        }
        own.heard("deleted");
        Ok(())
    }

    fn sync(&mut self, slot: usize) -> Result<()> {
        let Some((run, place)) = self.own(slot) else {
            return Ok(());
        };
        let Some(writer) = &mut self.writers[slot] else {
            return Ok(());
        };
        writer.writer.sync()?;
        assert_eq!(writer.writer.durable_through(), writer.writer.points());
        self.run(&run).synced(place);
        Ok(())
    }

    fn sync_handle(&mut self) -> Result<()> {
        self.workspace()?.sync()?;
        for (run, place) in self.opened.clone() {
            // Of a run that was permanently deleted nothing is left.
            if let Some(own) = self.ledger.runs.get_mut(&run).filter(|own| place < own.writers.len()) {
                own.synced(place);
            }
        }
        for slot in self.writers.iter().flatten() {
            let here = self.opened.iter().any(|(run, place)| *run == slot.run && *place == slot.place);
            assert!(!here || slot.writer.durable_through() == slot.writer.points());
        }
        Ok(())
    }

    fn request_flushes(&mut self) -> Result<()> {
        let _ = self.workspace()?.request_flushes();
        let points = |slot: &Writer| (slot.run.clone(), slot.place, slot.writer.points());
        self.requested = self.writers.iter().flatten().map(points).collect();
        Ok(())
    }

    fn sync_flushed(&mut self) -> Result<()> {
        self.workspace()?.sync_flushed()?;
        for (run, place) in self.opened.clone() {
            let is_it = |own: &&Writer| own.run == run && own.place == place;
            let open = self.writers.iter().flatten().find(is_it);
            let requested = self
                .requested
                .iter()
                .find(|requested| requested.0 == run && requested.1 == place)
                .map_or(0, |requested| requested.2);
            let durable = open.map(|own| (own.writer.durable_through(), own.writer.points()));
            let Some(own) = self.ledger.runs.get_mut(&run).filter(|own| place < own.writers.len()) else { continue };
            match durable {
                Some((durable, points)) if durable < points => {
                    assert!(
                        durable >= requested,
                        "{durable} points are durable of {requested} that were requested for"
                    );
                    own.writers[place].durable = own.writers[place].durable.max(durable as usize);
                }
                _ => own.synced(place),
            }
        }
        Ok(())
    }

    fn finish(&mut self, slot: usize, failed: bool) -> Result<()> {
        let Some(Writer { writer, run, place, .. }) = self.close(slot) else {
            return Ok(());
        };
        let status = if failed { RunStatus::Failed } else { RunStatus::Finished };
        let own = self.run(&run);
        own.say("status".into(), Some(status.as_str().into()), Some(place));
        writer.finish(status)?;
        own.heard("status");
        own.synced(place);
        Ok(())
    }
}
