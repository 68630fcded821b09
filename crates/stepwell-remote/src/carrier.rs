//! Sends a spool to its server: parcels, then files; then removes what has arrived from the spool.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stepwell::items::{LOGGED_MODEL, MODEL_FIELD};
use stepwell::maintenance::CompactOptions;
use stepwell::replication::{BundleBuilder, Parcel, Shipment};
use stepwell::{RunId, Workspace, WriterId};

use crate::error::{Error, Result};
use crate::files::Files;
use crate::server::Server;

/// Parcels are found until so many points are at hand.
const POINTS_AT_HAND: u64 = 256 << 10;
/// How often one round starts again because the server has another position, as when another process sends the same
/// run.
const ANEW_MAX: u32 = 8;

/// What was carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Points that the server took.
    pub points: u64,
    /// Runs of which it took something.
    pub runs: BTreeSet<RunId>,
    /// Files that it took.
    pub files: u64,
    /// Runs that have ended and arrived, and left the spool.
    pub released: BTreeSet<RunId>,
    /// What the server refused or changed, and what could not be read: each once, with the reason.
    pub notes: BTreeSet<String>,
}

/// Sends these runs of a workspace to a server, or all runs if none is named, on this thread. With `release`, runs that
/// have ended and arrived are removed from the workspace, as from a spool. `progress` is called after each request.
///
/// # Errors
/// The first error that prevents it from continuing; `done` has what was sent until then.
pub fn carry(
    server: &Arc<Server>,
    workspace: &Workspace,
    runs: Vec<RunId>,
    release: bool,
    progress: &mut dyn FnMut(&Carried),
    done: &mut Carried,
) -> Result<()> {
    let mut carrier = Carrier::new(Arc::clone(server), workspace.clone(), runs, There::default());
    carrier.releases = release;
    let carried = carrier.rounds(progress);
    *done = carrier.carried;
    carried
}

/// The server's points of each run and writer, as far as it has reported them.
pub(crate) type There = Arc<Mutex<BTreeMap<RunId, BTreeMap<WriterId, u64>>>>;

/// What is known of a logged model.
struct Model<'a> {
    /// The run that made it.
    source: Option<&'a str>,
    /// Whether its files are still being written.
    is_pending: bool,
}

/// See the module.
pub(crate) struct Carrier {
    server: Arc<Server>,
    workspace: Workspace,
    /// The runs to carry; empty for all.
    named: Vec<RunId>,
    /// Whether runs that have ended and arrived are removed.
    releases: bool,
    shipment: Option<Shipment>,
    pending: VecDeque<Parcel>,
    /// Runs that the server refused; they stay in the spool.
    pub(crate) refused: BTreeSet<RunId>,
    files: Files,
    /// Whether edit logs may still mention runs that have left.
    has_leftovers: bool,
    there: There,
    pub(crate) carried: Carried,
}

impl Carrier {
    /// A carrier of these runs, or of all if none is named; only then are runs removed that have arrived.
    pub(crate) fn new(server: Arc<Server>, workspace: Workspace, named: Vec<RunId>, there: There) -> Self {
        Self {
            releases: named.is_empty(),
            files: Files::new(&workspace),
            has_leftovers: false,
            server,
            workspace,
            named,
            shipment: None,
            pending: VecDeque::new(),
            refused: BTreeSet::new(),
            there,
            carried: Carried::default(),
        }
    }

    /// Carries until nothing more is left, or leaves.
    pub(crate) fn rounds(&mut self, tell: &mut dyn FnMut(&Carried)) -> Result<()> {
        self.round(true, tell)?;
        // A round finds that nothing came since the last one, and removes what has ended: runs, then their models.
        loop {
            let before = self.carried.released.len();
            self.round(true, tell)?;
            if self.carried.released.len() == before {
                return Ok(());
            }
        }
    }

    /// Sends everything that is there. When it returns, all of it is durable on the server, except for what
    /// [`Carried::notes`] names. Unless somebody waits, a running run with many files is looked at less often.
    ///
    /// # Errors
    /// The first error that prevents it from continuing; a later round continues there.
    pub(crate) fn round(&mut self, is_awaited: bool, tell: &mut dyn FnMut(&Carried)) -> Result<()> {
        let ended = self.ended()?;
        self.parcels(tell)?;
        let runs: Vec<RunId> = self.shipment.iter().flat_map(|shipment| shipment.runs().cloned()).collect();
        for run in runs.iter().filter(|run| !self.refused.contains(run)) {
            let model = self.model(run);
            let over = ended.contains(run) || model.as_ref().is_some_and(|model| !model.is_pending);
            if model.is_some() && !over {
                // Its files are being written.
                continue;
            }
            if !over && !is_awaited && self.files.is_resting(run) {
                continue;
            }
            let (done, notes) = self.files.upload(&self.server, run, over)?;
            self.carried.files += done;
            self.carried.notes.extend(notes);
            if done > 0 {
                tell(&self.carried);
            }
        }
        if self.releases { self.release(&ended) } else { Ok(()) }
    }

    /// Files that have not arrived, as far as is known.
    pub(crate) fn files_left(&self) -> u64 {
        self.files.left()
    }

    /// Runs without a writer, to which nothing is added, and logged models whose run has left the spool.
    fn ended(&self) -> Result<Vec<RunId>> {
        let mut ended = Vec::new();
        for run in self.shipment.iter().flat_map(Shipment::runs).filter(|run| !self.refused.contains(*run)) {
            let is_over = match self.model(run) {
                Some(Model { source: Some(source), .. }) => {
                    let mut there = self.shipment.iter().flat_map(Shipment::runs);
                    !there.any(|run| run.as_str() == source && !self.carried.released.contains(run))
                }
                Some(model) => !model.is_pending,
                // The look at the locks is cheap, and mostly enough.
                None => !(self.workspace.is_held(run)? || self.workspace.has_live_writer(run)?),
            };
            if is_over {
                ended.push(run.clone());
            }
        }
        Ok(ended)
    }

    /// The logged model that a run stands for, if it does.
    fn model(&self, run: &RunId) -> Option<Model<'_>> {
        let state = self.shipment.as_ref()?.given(run).filter(|state| state.kind() == LOGGED_MODEL)?;
        let field = |name: &str| state.item(MODEL_FIELD, name).filter(|value| !value.is_empty());
        Some(Model { source: field("run"), is_pending: field("status") == Some("PENDING") })
    }

    /// Sends parcels until there are none.
    fn parcels(&mut self, tell: &mut dyn FnMut(&Carried)) -> Result<()> {
        let mut anew = 0;
        loop {
            self.fill()?;
            if self.pending.is_empty() {
                return Ok(());
            }
            let elsewhere = self.send()?;
            tell(&self.carried);
            if elsewhere {
                anew += 1;
                if anew > ANEW_MAX {
                    let message = "another process seems to carry the same runs; trying again later".to_owned();
                    let (url, code) = (self.server.url().to_owned(), String::new());
                    return Err(Error::Refused { url, status: 503, code, message });
                }
                self.restart()?;
            }
        }
    }

    /// Compares everything with the server again.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.pending.clear();
        if let Some(shipment) = &mut self.shipment {
            shipment.restart()?;
        }
        Ok(())
    }

    /// Finds parcels, and asks for the positions of writers that the server was not asked about before.
    fn fill(&mut self) -> Result<()> {
        if self.shipment.is_none() && self.releases {
            self.remove_deleted()?;
        }
        let shipment = match &mut self.shipment {
            Some(shipment) => shipment,
            None => self.shipment.insert(self.workspace.ship(self.named.clone())?),
        };
        let mut points: u64 = self.pending.iter().map(Parcel::points).sum();
        while points < POINTS_AT_HAND && shipment.wait(Duration::ZERO)? {
            self.carried.notes.extend(shipment.take_messages());
            if shipment.run().is_some_and(|run| self.refused.contains(run)) {
                shipment.skip();
                continue;
            }
            if let Some((run, writers)) = shipment.unknown_positions() {
                match self.server.positions(&run, shipment.experiment(&run), &writers) {
                    Ok(positions) => {
                        for (writer, position) in positions {
                            let mut there = self.there.lock();
                            there.entry(run.clone()).or_default().insert(writer, position.points);
                            drop(there);
                            shipment.set_position(&run, writer, position);
                        }
                    }
                    Err(Error::Refused { status: 400 | 403, message, .. }) => {
                        self.carried.notes.insert(format!("run {run}: {message}"));
                        self.refused.insert(run);
                    }
                    Err(error) => return Err(error),
                }
                continue;
            }
            let parcels = shipment.parcels();
            points += parcels.iter().map(Parcel::points).sum::<u64>();
            self.pending.extend(parcels);
        }
        Ok(())
    }

    /// Sends what fits into a bundle. Returns whether the server has another position than these parcels assume.
    fn send(&mut self) -> Result<bool> {
        let mut builder = BundleBuilder::default();
        let mut count = 0;
        while let Some(parcel) = self.pending.get(count) {
            match builder.add(parcel) {
                Ok(true) => count += 1,
                Ok(false) => break,
                Err(error) => {
                    // It fits into no bundle: its run stays here.
                    self.carried.notes.insert(format!("run {}: {error}", parcel.run));
                    let run = parcel.run.clone();
                    self.refuse(&run);
                    return Ok(false);
                }
            }
        }
        let answers = self.server.parcels(&builder.close()?)?;
        let mut elsewhere = false;
        let sent: Vec<Parcel> = self.pending.drain(..count).collect();
        for (parcel, kept) in sent.into_iter().zip(answers) {
            if let Some(points) = kept.points {
                self.there.lock().entry(parcel.run.clone()).or_default().insert(parcel.author.writer, points);
            }
            match kept.outcome.as_str() {
                "taken" => {
                    self.carried.points += parcel.points();
                    self.carried.notes.extend(kept.params_kept);
                    self.carried.runs.insert(parcel.run);
                }
                "elsewhere" => elsewhere = true,
                _ => {
                    self.carried.notes.insert(format!("run {}: {}", parcel.run, kept.message));
                    self.refuse(&parcel.run);
                }
            }
        }
        Ok(elsewhere)
    }

    /// Leaves a run in the spool.
    fn refuse(&mut self, run: &RunId) {
        self.pending.retain(|parcel| parcel.run != *run);
        self.refused.insert(run.clone());
    }

    /// Removes runs that have ended and arrived from the spool. The runs in `ended` had ended before the last parcel
    /// was found.
    fn release(&mut self, ended: &[RunId]) -> Result<()> {
        for id in ended {
            if self.refused.contains(id) || !self.has_arrived(id)? || self.files.has_more(id)? {
                continue;
            }
            let folder = self.files.own_folder(id);
            self.workspace.delete_run(id)?;
            // From now on nobody changes it; what came until now stays here.
            if !self.has_arrived(id)? {
                self.workspace.restore_run(id)?;
                continue;
            }
            let purged = self.workspace.maintenance().purge_run(id);
            self.shipment.iter_mut().for_each(|shipment| shipment.forget(id));
            match purged {
                // It was removed meanwhile, and begun anew.
                Err(stepwell::Error::NotFound { .. } | stepwell::Error::Invalid { .. }) => continue,
                purged => purged?,
            }
            self.files.remove(id, folder)?;
            self.there.lock().remove(id);
            self.carried.released.insert(id.clone());
            self.has_leftovers = true;
        }
        let is_empty = self.shipment.as_ref().is_some_and(|shipment| shipment.runs().next().is_none());
        if is_empty && std::mem::take(&mut self.has_leftovers) {
            self.workspace.maintenance().compact(CompactOptions::default())?;
        }
        Ok(())
    }

    /// Whether all that a run has was given.
    fn has_arrived(&self, id: &RunId) -> Result<bool> {
        let Some(shipment) = &self.shipment else { return Ok(false) };
        let run = self.workspace.find_run(id)?;
        Ok(run.is_some_and(|run| run.damage().is_empty() && shipment.has_sent(&run)))
    }

    /// Removes what a process that died was about to remove: nothing else is deleted in a spool.
    fn remove_deleted(&mut self) -> Result<()> {
        for id in self.files.deleted()? {
            let folder = self.files.own_folder(&id);
            match self.workspace.maintenance().purge_run(&id) {
                // Another process removes it, or begins it anew.
                Err(stepwell::Error::NotFound { .. } | stepwell::Error::Invalid { .. }) => continue,
                purged => purged?,
            }
            self.files.remove(&id, folder)?;
            self.has_leftovers = true;
        }
        Ok(())
    }
}
