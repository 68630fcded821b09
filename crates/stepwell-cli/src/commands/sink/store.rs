//! Stores a run of a source: under its own id, or under that of another run where the source is not the one that was
//! imported under it.
//!
//! 1. The run is offered under the ids of what its source gave before, then under its own id, then under new ones. See
//!    [`Source::ids`].
//! 2. The workspace takes it under the first id whose run it continues.
//! 3. If it takes it under none, the run is refused, or replaces the run that it should have continued.

use std::collections::BTreeSet;

use stepwell::import::{AddOutcome, RefusalReason, RunAdded, RunImport};
use stepwell::items::{IMPORTED_FROM, IMPORTED_PART};
use stepwell::{Error, Experiment, RunId, Workspace};
use stepwell_import::{Counts, ImportedRun, Kind, Taken};

use crate::commands::origins::Origins;
use crate::commands::sink::form::store_form;
use crate::commands::sink::said::{taken, why};
use crate::commands::sink::{Changed, Importing};
use crate::failure::Failure;
use crate::output::plural;

/// A run on offer: what it holds, and by what it is recognised.
struct Source {
    /// The run's id in its source, or the one derived from its place and beginning.
    first: RunId,
    /// Whether the source itself names the run.
    own_id: bool,
    /// What the run counts as.
    what: Kind,
    counts: Counts,
    /// The name of the place that gave it, for a run that its source does not name.
    origin: Option<String>,
    /// Which part of the run it is.
    part: Option<String>,
    /// The name of the place where this part lies.
    log_place: Option<String>,
    /// The runs that the source gave before, the last one first.
    given_before: Vec<RunId>,
    /// The part that lay at the place before, if it is another one.
    overwritten: Option<String>,
}

impl Source {
    /// The ids under which the run is offered, each with whether the source gave that run before: first what it gave
    /// before, then its own id, then those of what it gives after it has changed.
    fn ids(&self) -> impl Iterator<Item = (RunId, bool)> {
        let again = (1..).map(|number| RunId::derived("again", &format!("{}\0{number}", self.first)));
        let own = std::iter::once(self.first.clone()).chain(again).filter(|id| !self.given_before.contains(id));
        self.given_before.iter().cloned().map(|id| (id, true)).chain(own.map(|id| (id, false)))
    }

    fn refused(&self, why: &str) -> Taken {
        refused(self.what, &self.first, why)
    }
}

fn refused(what: Kind, id: &RunId, why: &str) -> Taken {
    Taken::refused(what, format!("{} {id} was not imported: {why}", what.name()))
}

/// The runs that a source is not.
#[derive(Default)]
struct Refusals {
    /// The first one.
    any: Option<(RunId, RefusalReason)>,
    /// The first one that is the source's own.
    own: Option<(RunId, RefusalReason)>,
    /// Whether one of them was deleted for good.
    is_gone: bool,
}

impl Refusals {
    fn add(&mut self, id: RunId, refusal: RefusalReason, is_own: bool) {
        self.is_gone |= refusal == RefusalReason::Deleted;
        if is_own {
            self.own.get_or_insert_with(|| (id.clone(), refusal.clone()));
        }
        self.any.get_or_insert((id, refusal));
    }

    /// Whether the source may become a new run.
    fn allow_new(&self, changed: &Changed, own_id: bool) -> bool {
        match changed {
            _ if self.any.is_none() => true,
            Changed::AsNew => true,
            // What another place gave is nothing that this one may replace.
            Changed::Replace => self.own.is_none(),
            Changed::AsItIs => !own_id && !self.is_gone,
        }
    }
}

/// The result of offering a run under all its ids.
enum Offer {
    /// The run is stored under this id.
    Taken(RunId, RunAdded),
    /// It cannot be stored, for a reason of its own.
    Failed(String),
    /// It continues no run, and comes back.
    Refused(RunImport),
}

/// Separates errors of one run from those of the disk, which fails for every run alike.
fn of_one_run<T>(result: Result<T, Error>) -> Result<Result<T, String>, Error> {
    match result {
        Err(error @ Error::Io { .. }) => Err(error),
        other => Ok(other.map_err(|error| error.to_string())),
    }
}

impl Importing<'_> {
    /// Gives a run to the workspace.
    pub(super) fn store(&mut self, run: ImportedRun, counts: Counts) -> Result<Taken, Error> {
        let workspace = self.target()?.0.clone();
        let experiment = match self.experiment_of(&workspace, &run) {
            Ok(experiment) => experiment,
            Err(why) => return Ok(refused(run.what(), &run.id, &why)),
        };
        let mut of_files = Taken::default();
        let place = self.copy_files(&workspace, &experiment, &run, &mut of_files);
        let source = self.source_of(&workspace, &run, counts)?;
        let run = self.form_of(&workspace, run, &experiment, place, &source)?;
        let mut refusals = Refusals::default();
        match self.offer(&workspace, &source, run, &mut refusals)? {
            Offer::Taken(id, added) => {
                let (counts, own) = (&source.counts, refusals.own.as_ref());
                let mut done = taken(of_files, source.what, counts, &added, &id, own, self.dry_run);
                if let Some((other, _)) = refusals.any.as_ref().filter(|_| own.is_none() && added.is_new) {
                    let alike = "which has an equal path below what was named, and begins alike";
                    done.notes.push(format!("run {id} is not run {other} of another source, {alike}"));
                }
                Ok(done)
            }
            Offer::Failed(why) => Ok(source.refused(&why)),
            Offer::Refused(run) => self.replace(&workspace, &source, run, refusals, of_files),
        }
    }

    /// The experiment that a run goes to: the one that its tracking store gave, or the one of its name.
    fn experiment_of(&mut self, workspace: &Workspace, run: &ImportedRun) -> Result<Experiment, String> {
        let key = run.attached.experiment_key.as_ref();
        if let Some(adopted) = key.and_then(|key| self.adopted.get(key)) {
            return adopted.clone();
        }
        let id = self.experiment(workspace, run.experiment.as_deref())?;
        workspace.experiments().get(id).map_err(|error| error.to_string())
    }

    /// Copies the files of a run if that is wanted. Returns where they are now; `of_files` tells what was copied.
    fn copy_files(
        &mut self,
        workspace: &Workspace,
        experiment: &Experiment,
        run: &ImportedRun,
        of_files: &mut Taken,
    ) -> Option<String> {
        if !self.artifacts || self.dry_run {
            return None;
        }
        let number = experiment.id.to_string();
        match self.files.copy(workspace.root(), &number, run, of_files, &self.progress) {
            Ok(place) => place,
            Err(Failure::Usage(why) | Failure::Failed(why, _) | Failure::Unstarted(_, why)) => {
                let why = format!("files of run {} were not copied: {why}", run.id);
                of_files.left_out.push((Kind::Artifact, 1, why));
                None
            }
            Err(Failure::PipeClosed) => None,
        }
    }

    fn source_of(&mut self, workspace: &Workspace, run: &ImportedRun, counts: Counts) -> Result<Source, Error> {
        let (own_id, part) = (run.own_id, run.attached.part.as_ref());
        let origin = run.attached.origin.as_deref().filter(|_| !own_id).map(Origins::name);
        let log_place = part.and_then(|part| part.place.as_deref()).map(Origins::name);
        let part = part.map(|part| part.id.clone()).filter(|part| !part.is_empty());
        let given_before = match &origin {
            Some(origin) => self.origins.runs_of(workspace, origin)?,
            None => Vec::new(),
        };
        let overwritten = match &log_place {
            Some(place) => self.other_part(workspace, &run.id, part.as_deref().unwrap_or_default(), place)?,
            None => None,
        };
        let (first, what) = (run.id.clone(), run.what());
        Ok(Source { first, own_id, what, counts, origin, part, log_place, given_before, overwritten })
    }

    /// The run as the workspace takes it. `place` is where its files are.
    fn form_of(
        &mut self,
        workspace: &Workspace,
        run: ImportedRun,
        experiment: &Experiment,
        place: Option<String>,
        source: &Source,
    ) -> Result<RunImport, Error> {
        let mut none = BTreeSet::new();
        let starts = match run.attached.part {
            Some(_) => self.starts.entry(source.first.clone()).or_default(),
            None => &mut none,
        };
        let mut run = store_form(workspace, run, experiment, place, starts)?;
        let item = |name: &String| (IMPORTED_FROM, name.clone(), format!("{name} {}", run.part));
        let item = source.log_place.as_ref().map(item);
        run.items.extend(item);
        Ok(run)
    }

    /// Offers a run under its ids, one after the other, until the workspace takes it or no id is left.
    fn offer(
        &mut self,
        workspace: &Workspace,
        source: &Source,
        mut run: RunImport,
        refusals: &mut Refusals,
    ) -> Result<Offer, Error> {
        let items = run.items.len();
        for (id, was_given) in source.ids() {
            if id == source.first && source.overwritten.is_some() {
                let why = "another log was at this place, which begins otherwise".to_owned();
                refusals.add(id, RefusalReason::Changed(why), true);
                continue;
            }
            if was_given || !refusals.allow_new(&self.changed, source.own_id) {
                match workspace.find_run(&id)? {
                    None if was_given => continue,
                    None => break,
                    // Of a run without a point nobody can tell whether the source is still that run.
                    Some(known) if was_given && id != source.first && known.points() == 0 => continue,
                    Some(_) => {}
                }
            }
            let item = source.origin.as_deref().and_then(|origin| self.origins.item(origin, &id));
            run.items.extend(item.clone());
            run.own_id = source.own_id && id == source.first;
            run.id = id.clone();
            let refusal = match of_one_run(self.target()?.1.try_add(run))? {
                Ok(AddOutcome::Added(added)) => {
                    self.origins.stored(&id, item, false);
                    self.parts.entry(id.clone()).or_default().extend(source.part.clone());
                    return Ok(Offer::Taken(id, added));
                }
                Ok(AddOutcome::Refused(back, refusal)) => {
                    run = *back;
                    run.items.truncate(items);
                    refusal
                }
                Err(why) => return Ok(Offer::Failed(why)),
            };
            let is_own = source.own_id
                || was_given
                || refusal == RefusalReason::Deleted
                || source.origin.is_none() && !self.origins.has_source(workspace, &id)?;
            refusals.add(id, refusal, is_own);
        }
        Ok(Offer::Refused(run))
    }

    /// Puts a run in the place of the one that it should have continued, if the caller wants that.
    fn replace(
        &mut self,
        workspace: &Workspace,
        source: &Source,
        mut run: RunImport,
        refusals: Refusals,
        of_files: Taken,
    ) -> Result<Taken, Error> {
        let is_gone = refusals.is_gone;
        let Some((id, refusal)) = refusals.own.or(refusals.any) else {
            return Ok(source.refused("it has no id that is free"));
        };
        if self.changed != Changed::Replace {
            let why = if is_gone { why(&RefusalReason::Deleted) } else { why(&refusal) };
            let ways = "--replace puts it in the place of that run, --as-new imports it as another one";
            return Ok(source.refused(&format!("{why}; {ways}")));
        }
        let others = self.parts_lost(workspace, source, &id)?;
        if others > 0 {
            let (why, logs) = (why(&refusal), plural(others, "other log", "other logs"));
            let way = "--as-new imports this one as another run";
            return Ok(source.refused(&format!("{why}; it is not replaced, as {logs} of it would be lost; {way}")));
        }
        let item = source.origin.as_deref().map(|origin| self.origins.item_anew(origin));
        run.items.extend(item.clone());
        run.own_id = source.own_id && id == source.first;
        run.id = id.clone();
        let added = match of_one_run(self.target()?.1.replace(run))? {
            Ok(added) => added,
            Err(why) => return Ok(source.refused(&why)),
        };
        self.origins.stored(&id, item, true);
        self.parts.insert(id.clone(), source.part.iter().cloned().collect());
        let mut done = taken(of_files, source.what, &source.counts, &added, &id, None, self.dry_run);
        let would = if self.dry_run { "would be" } else { "was" };
        done.notes.insert(0, format!("run {id} {would} replaced: {}", why(&refusal)));
        done.changed.replaced += 1;
        Ok(done)
    }

    /// How many parts of a run are lost if this one replaces it.
    fn parts_lost(&self, workspace: &Workspace, source: &Source, id: &RunId) -> Result<u64, Error> {
        let Some(part) = &source.part else { return Ok(0) };
        let mut others = self.parts_of(workspace, id)?;
        others.retain(|known| known != part && Some(known) != source.overwritten.as_ref());
        Ok(others.len() as u64)
    }

    /// The parts that a run has.
    fn parts_of(&self, workspace: &Workspace, id: &RunId) -> Result<BTreeSet<String>, Error> {
        let known = workspace.find_run(id)?;
        let stored = known.iter().flat_map(|known| known.state().items(IMPORTED_PART)).map(|(part, _)| part.to_owned());
        Ok(stored.chain(self.parts.get(id).into_iter().flatten().cloned()).collect())
    }

    /// The part that a log's place gave before, where the run does not know the one that is there now.
    fn other_part(&self, workspace: &Workspace, run: &RunId, part: &str, place: &str) -> Result<Option<String>, Error> {
        let Some(known) = workspace.find_run(run)? else { return Ok(None) };
        if self.parts_of(workspace, run)?.contains(part) {
            return Ok(None);
        }
        let given = known.state().item(IMPORTED_FROM, place).and_then(|value| value.split_once(' '));
        Ok(given.map(|(_, part)| part.to_owned()))
    }
}
