//! Operations on a world besides its writers: imports and permanent deletion.

use std::collections::BTreeMap;

use stepwell::import::RunImport;
use stepwell::maintenance::CollectOptions;
use stepwell::{Columns, Error, ExperimentId, Point, Result, RunStatus};

use super::check::first_point;
use super::ledger::{RunLedger, WriterLedger, point};
use super::world::{KEYS, World, run_id};

impl World {
    pub(super) fn collect_garbage(&mut self) -> Result<()> {
        let workspace = self.workspace()?;
        for run in self.ledger.runs.values_mut() {
            run.may_be_gone |= run.allowed("deleted", false).contains(&Some("yes"));
        }
        for (_, id) in workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX))?.runs {
            let run = self.run(id.as_str());
            assert!(run.may_be_gone, "{id} was never deleted");
            *run = RunLedger { gone: true, ..RunLedger::default() };
        }
        self.ledger.runs.values_mut().for_each(|run| run.may_be_gone = false);
        Ok(())
    }

    /// Deletes a metric for good; a run that is being written is left as it is.
    pub(super) fn delete_metric(&mut self, run: u8, key: &str) -> Result<()> {
        let id = run_id(run);
        let workspace = self.workspace()?;
        let Some(own) = self.ledger.runs.get_mut(id.as_str()).filter(|run| run.created) else {
            return Ok(());
        };
        if own.imported.is_some_and(|place| !own.writers[place].in_flight.is_empty()) {
            // Nobody knows whether the metric was imported.
            return Ok(());
        }
        let written = own.writers.iter().any(|writer| writer.open);
        own.begin_deletion(key);
        match workspace.maintenance().delete_metric(&id, key) {
            Ok(()) => {
                assert!(!written && own.has_metric(key), "{key:?} of {id} cannot have been deleted");
                own.end_deletion();
            }
            Err(Error::NotFound { .. }) => assert!(!own.has_metric(key), "{key:?} of {id} is not found"),
            Err(Error::Invalid { .. }) if written => {}
            // It may have come to pass all the same.
            Err(error) => return Err(error),
        }
        own.deleting = None;
        Ok(())
    }

    /// Imports what was imported before, and `more` points.
    pub(super) fn import(&mut self, run: u8, more: usize) -> Result<()> {
        let id = run_id(run);
        let workspace = self.workspace()?;
        if !workspace.damage()?.is_empty() {
            // Answers are told to be incomplete: they do not say what became of a call that failed.
            return Ok(());
        }
        if let Some(own) = self.ledger.runs.get_mut(id.as_str()).filter(|own| own.deleting.is_some()) {
            let found = workspace.find_run(&id)?;
            own.resolve_deletion(|key| found.as_ref().and_then(|run| first_point(run, key)));
        }
        if let Some(own) = self.ledger.runs.get_mut(id.as_str())
            && let Some(place) = own.imported
            && !own.writers[place].in_flight.is_empty()
        {
            // An import failed before: nobody said whether it is there.
            let (without, with) = (own.total(false), own.total(true));
            let found = workspace.find_run(&id)?.map_or(0, |run| run.points());
            assert!(found == without || found == with);
            let mut points = std::mem::take(&mut own.writers[place].in_flight);
            if found == with {
                own.writers[place].points.append(&mut points);
                own.import_stored = true;
            }
        }
        let mut ledger = std::mem::take(&mut self.ledger);
        let own = ledger.runs.entry(id.to_string()).or_default();
        let place = *own.imported.get_or_insert_with(|| {
            own.writers.push(WriterLedger::default());
            own.writers.len() - 1
        });
        let gained: Vec<(String, Point)> = (0..more)
            .map(|at| {
                ledger.counter += 1;
                let mut point = point(ledger.counter, at as u8);
                // An import takes all NaNs of one step and time for one point.
                if point.value.is_nan() {
                    point.value = -0.5 - ledger.counter as f64;
                }
                (KEYS[at % 2].to_owned(), point)
            })
            .collect();
        let mut series: BTreeMap<String, Columns> = BTreeMap::new();
        for (key, point) in own.writers[place].points.iter().chain(&gained) {
            series.entry(key.clone()).or_default().push(*point);
        }
        let import = RunImport {
            status: RunStatus::Killed,
            series: series.into_iter().collect(),
            ..RunImport::new(id, ExperimentId::DEFAULT)
        };
        let refused = own.not_imported.clone();
        own.writers[place].in_flight = gained.into_iter().filter(|(key, _)| !refused.contains(key)).collect();
        let more = own.writers[place].in_flight.len();
        own.say("status".into(), Some("KILLED".into()), Some(place));
        let mut importer = workspace.importer();
        let done = importer.add(import).and_then(|added| {
            assert_eq!(added.points, more as u64);
            importer.finish().map(drop)
        });
        if done.is_ok() {
            (own.created, own.import_stored) = (true, true);
            let mut gained = std::mem::take(&mut own.writers[place].in_flight);
            own.writers[place].points.append(&mut gained);
            own.heard("status");
            own.synced(place);
        }
        self.ledger = ledger;
        done
    }
}
