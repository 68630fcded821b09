//! The handle of a spool: a workspace to log into, and a thread that carries it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use stepwell::items::{LOGGED_MODEL, MODEL_FIELD};
use stepwell::maintenance::{Background, Schedule};
use stepwell::{ExperimentId, NewRun, RunId, RunSnapshot, RunWriter, Workspace};

use crate::address::ServerOptions;
use crate::carrier::{Carrier, There};
use crate::error::{Error, Result};
use crate::place::{self, LOCK, WORKSPACE};
use crate::server::Server;
use crate::status::{Delivery, Lag};
use crate::usage::Usage;

/// The time between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// The longest time between two rounds after failures.
const REST_MAX: Duration = Duration::from_secs(30);
/// The limit of a spool's bytes, unless another one is chosen.
const LIMIT_BYTES: u64 = 16 << 30;

/// What a spool is opened with.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// The server.
    pub server: ServerOptions,
    /// The folder of all spools; [`crate::root`] if `None`.
    pub root: Option<PathBuf>,
    /// At how many bytes the spool is full: see [`Spool::is_full`].
    pub limit_bytes: u64,
}

impl SpoolOptions {
    /// The spool of a server, where spools are, with the limit of `$STEPWELL_SPOOL_LIMIT` bytes, or 16 GiB.
    #[must_use]
    pub fn new(server: ServerOptions) -> Self {
        let limit = std::env::var("STEPWELL_SPOOL_LIMIT").ok().and_then(|text| text.trim().parse().ok());
        Self { server, root: None, limit_bytes: limit.unwrap_or(LIMIT_BYTES) }
    }
}

/// The spool of one server; see the crate. Threads may share it. A forked child must open its own.
pub struct Spool {
    folder: PathBuf,
    workspace: Workspace,
    server: Arc<Server>,
    shared: Arc<Shared>,
    limit_bytes: u64,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    syncs: Mutex<Option<Background>>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Spool({} of {})", self.folder.display(), self.server.url())
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    there: There,
    usage: Mutex<Usage>,
    full: AtomicBool,
}

#[derive(Default)]
struct State {
    stop: bool,
    wake: bool,
    /// Counts calls that wait until everything before them has arrived.
    asked: u64,
    /// The number of the last of these calls for which everything has arrived.
    arrived: u64,
    /// Runs of this process that may be in the spool.
    own: BTreeSet<RunId>,
    last_steps: BTreeMap<RunId, i64>,
    notes: BTreeSet<String>,
    /// Runs that the server refused.
    refused: BTreeSet<RunId>,
    files_left: u64,
    last_error: Option<String>,
    /// Since when something has not arrived.
    behind: Option<Instant>,
}

impl Spool {
    /// Opens the spool of a server, and creates it if there is none. Does not use the network.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::File`], [`Error::Store`].
    pub fn open(options: SpoolOptions) -> Result<Self> {
        let root = options.root.map_or_else(place::root, Ok)?;
        let folder = place::folder(&root, &options.server.url);
        place::make(&folder, &options.server.url)?;
        Self::open_in(&folder, options.server, options.limit_bytes)
    }

    /// Opens the spool in a folder that [`crate::left_in`] found, or any workspace, for another server too.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_in(folder: &Path, server: ServerOptions, limit_bytes: u64) -> Result<Self> {
        let server = Arc::new(Server::new(server)?);
        place::sweep(folder);
        let workspace = Workspace::open_or_create(folder.join(WORKSPACE))?;
        let (state, changed, there, full, thread, syncs) = Default::default();
        let usage = Mutex::new(Usage::of(folder));
        let shared = Arc::new(Shared { state, changed, there, usage, full });
        Ok(Self { folder: folder.to_owned(), workspace, server, shared, limit_bytes, thread, syncs })
    }

    /// The workspace of the spool in a folder.
    #[must_use]
    pub fn workspace_in(folder: &Path) -> PathBuf {
        folder.join(WORKSPACE)
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The workspace to log into.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The server, for what only it can answer.
    #[must_use]
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The server's address, without the token.
    #[must_use]
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// The experiment with this name. It is created in the spool if there is none; on the server, its runs go to the
    /// experiment of the same name.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn experiment(&self, name: &str) -> Result<ExperimentId> {
        Ok(self.workspace.experiments().get_or_create(name)?)
    }

    /// Creates a run.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn create_run(&self, experiment: &str, new: NewRun) -> Result<RunWriter> {
        let writer = self.workspace.create_run(self.experiment(experiment)?, new)?;
        self.shared.state.lock().own.insert(writer.run_id().clone());
        Ok(writer)
    }

    /// Resumes a run of the spool, else one of the server. If the server cannot be reached, the run is started under
    /// this id in `experiment` (`Default` if `None`), and what is logged is added to the server's run.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Refused`] if the server has no such run.
    pub fn resume_run(&self, id: &RunId, experiment: Option<&str>) -> Result<RunWriter> {
        self.adopt(id, experiment)?;
        Ok(self.workspace.writer(id)?)
    }

    /// Begins a run, or a logged model, in the spool that only the server has, as [`Self::resume_run`] does.
    ///
    /// # Errors
    /// As [`Self::resume_run`].
    pub fn adopt(&self, id: &RunId, experiment: Option<&str>) -> Result<()> {
        self.shared.state.lock().own.insert(id.clone());
        if self.holds(id)? {
            return Ok(());
        }
        if self.workspace.find_run(id)?.is_some() {
            // It has arrived, and is just leaving.
            match self.workspace.maintenance().purge_run(id) {
                Ok(()) | Err(stepwell::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(step) = crate::resume::begin(&self.workspace, &self.server, id, experiment)? {
            self.shared.state.lock().last_steps.insert(id.clone(), step);
        }
        Ok(())
    }

    /// Whether a run is in the spool, and stays for now.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn holds(&self, id: &RunId) -> Result<bool> {
        Ok(self.workspace.find_run(id)?.is_some_and(|run| !run.state().deleted()))
    }

    /// The greatest of the latest steps that the server's metrics had when this process went on with a run of it.
    #[must_use]
    pub fn last_step(&self, id: &RunId) -> Option<i64> {
        self.shared.state.lock().last_steps.get(id).copied()
    }

    /// A run as it is now: what the spool has of it, else what the server has.
    ///
    /// # Errors
    /// [`Error::Network`]; [`Error::Refused`] with 404 if the server has no such run; [`Error::Store`].
    pub fn read_run(&self, id: &RunId) -> Result<RunSnapshot> {
        match self.workspace.find_run(id)? {
            Some(run) if !run.state().deleted() => Ok(run),
            _ => crate::fetch::read(&self.server, &self.folder, id),
        }
    }

    /// Starts the thread that carries, and one that makes the spool durable each second.
    ///
    /// # Errors
    /// [`Error::File`] if the thread cannot be started, [`Error::Store`].
    pub fn start(&self) -> Result<()> {
        let mut thread = self.thread.lock();
        if thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return Ok(());
        }
        self.shared.state.lock().stop = false;
        let schedule = Schedule { compact_every: None, ..Schedule::default() };
        *self.syncs.lock() = Some(self.workspace.maintenance().start(schedule)?);
        let run = Thread {
            folder: self.folder.clone(),
            workspace: self.workspace.clone(),
            server: Arc::clone(&self.server),
            shared: Arc::clone(&self.shared),
            limit_bytes: self.limit_bytes,
            lock: None,
            all: None,
        };
        let started = std::thread::Builder::new().name("stepwell-carrier".into()).spawn(move || run.run());
        *thread = Some(started.map_err(Error::file("start a thread for", &self.folder))?);
        Ok(())
    }

    /// Stops the thread after its current request. What has not arrived stays in the spool; the next process or
    /// `stepwell spool push` sends it.
    pub fn stop(&self) {
        self.shared.state.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
        *self.syncs.lock() = None;
    }

    /// Starts the next round now.
    pub fn wake(&self) {
        self.shared.state.lock().wake = true;
        self.shared.changed.notify_all();
    }

    /// Waits until all of a run has arrived, and says what has and what has not.
    #[must_use]
    pub fn finish(&self, run: &RunId, wait: Duration) -> Delivery {
        self.shared.state.lock().own.insert(run.clone());
        self.wait(Some(run), wait)
    }

    /// As [`Self::finish`], for everything in the spool, or for the runs of this process while another process sends.
    #[must_use]
    pub fn flush(&self, wait: Duration) -> Delivery {
        self.wait(None, wait)
    }

    fn wait(&self, run: Option<&RunId>, wait: Duration) -> Delivery {
        let until = Instant::now() + wait;
        let mut state = self.shared.state.lock();
        state.asked += 1;
        state.wake = true;
        let asked = state.asked;
        self.shared.changed.notify_all();
        while state.arrived < asked && !state.stop {
            if self.shared.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        let of_run = |note: &&String| run.is_none_or(|run| note.contains(run.as_str()));
        let refused: Vec<String> = state.notes.iter().filter(of_run).cloned().collect();
        let (files_left, error) = (state.files_left, state.last_error.clone());
        let arrived =
            state.arrived >= asked && run.map_or_else(|| state.refused.is_empty(), |run| !state.refused.contains(run));
        drop(state);
        let points_left = if arrived { 0 } else { self.left(run).0 };
        Delivery { arrived, points_left, files_left, refused, error }
    }

    /// How far the server is behind.
    #[must_use]
    pub fn lag(&self) -> Lag {
        let state = self.shared.state.lock();
        let (oldest, last_error) = (state.behind.map(|since| since.elapsed()), state.last_error.clone());
        let refused = state.notes.iter().cloned().collect();
        drop(state);
        let (points, runs) = self.left(None);
        Lag {
            points,
            bytes: self.shared.usage.lock().look(),
            runs,
            oldest,
            last_error,
            refused,
            full: self.is_full(),
            limit_bytes: self.limit_bytes,
        }
    }

    /// Whether the spool has reached its limit. The carrier checks once a round; this call only loads a flag.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.shared.full.load(Ordering::Relaxed)
    }

    /// Points that have not arrived, as far as is known, and runs in the spool: of one run, or of all.
    fn left(&self, run: Option<&RunId>) -> (u64, u64) {
        let logged = self.workspace.logged_points().unwrap_or_default();
        let there = self.shared.there.lock();
        let (mut points, mut runs) = (0, 0);
        for (id, writers) in logged.iter().filter(|(id, _)| run.is_none_or(|run| run == *id)) {
            let of_run = there.get(id);
            let arrived = |writer| of_run.and_then(|of_run| of_run.get(writer)).copied().unwrap_or(0);
            points += writers.iter().map(|(writer, points)| points.saturating_sub(arrived(writer))).sum::<u64>();
            runs += 1;
        }
        (points, runs)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The carrier's thread.
struct Thread {
    folder: PathBuf,
    workspace: Workspace,
    server: Arc<Server>,
    shared: Arc<Shared>,
    limit_bytes: u64,
    /// The lock of the process that sends for all.
    lock: Option<File>,
    all: Option<Carrier>,
}

impl Thread {
    fn run(mut self) {
        let (mut rest, mut due) = (ROUND, Instant::now());
        loop {
            let (asked, woken) = {
                let mut state = self.shared.state.lock();
                if !state.wake && !state.stop {
                    let _ = self.shared.changed.wait_for(&mut state, ROUND);
                }
                if state.stop {
                    return;
                }
                (state.asked, std::mem::take(&mut state.wake))
            };
            // Also while the server is not reached, which is when a spool grows.
            let full = self.shared.usage.lock().look() >= self.limit_bytes;
            self.shared.full.store(full, Ordering::Relaxed);
            if !woken && Instant::now() < due {
                continue;
            }
            let round = self.round(asked);
            let mut state = self.shared.state.lock();
            match round {
                Ok(true) => {
                    (state.last_error, state.behind) = (None, None);
                    state.arrived = asked;
                    rest = ROUND;
                }
                Ok(false) => rest = ROUND,
                Err(error) => {
                    state.last_error = Some(error.to_string());
                    state.behind.get_or_insert_with(Instant::now);
                    rest = (rest * 2).min(REST_MAX);
                }
            }
            due = Instant::now() + rest - ROUND / 2;
            self.shared.changed.notify_all();
        }
    }

    /// Sends everything if this process is the one that does, else its own runs if somebody waits for them. Returns
    /// whether it sent.
    fn round(&mut self, asked: u64) -> Result<bool> {
        let is_awaited = self.shared.state.lock().arrived < asked;
        if self.lock.is_none() {
            self.lock = take_lock(&self.folder.join(LOCK))?;
        }
        if self.lock.is_some() {
            let carrier = self.all.get_or_insert_with(|| {
                let (server, there) = (Arc::clone(&self.server), Arc::clone(&self.shared.there));
                Carrier::new(server, self.workspace.clone(), Vec::new(), there)
            });
            // Whoever waits finds that what has ended and arrived has left, too.
            let done = if is_awaited { carrier.rounds(&mut |_| {}) } else { carrier.round(false, &mut |_| {}) };
            tell(&self.shared, carrier);
            return done.map(|()| true);
        }
        if !is_awaited {
            return Ok(false);
        }
        // What others carried has left the spool.
        let logged = self.workspace.logged_points()?;
        self.shared.there.lock().retain(|run, _| logged.contains_key(run));
        let mut state = self.shared.state.lock();
        state.own.retain(|run| logged.contains_key(run));
        let mut own: Vec<RunId> = state.own.iter().cloned().collect();
        drop(state);
        if own.is_empty() {
            return Ok(true);
        }
        let models = self.models_of(&own, logged.keys())?;
        own.extend(models);
        let there = Arc::clone(&self.shared.there);
        let mut carrier = Carrier::new(Arc::clone(&self.server), self.workspace.clone(), own, there);
        let done = carrier.round(is_awaited, &mut |_| {});
        tell(&self.shared, &mut carrier);
        done.map(|()| true)
    }
}

impl Thread {
    /// The logged models that these runs made, of all that are in the spool.
    fn models_of<'a>(&self, own: &[RunId], all: impl Iterator<Item = &'a RunId>) -> Result<Vec<RunId>> {
        let mut models = Vec::new();
        for id in all.filter(|id| !own.contains(id)) {
            let Some(run) = self.workspace.find_run(id)?.filter(|run| run.state().kind() == LOGGED_MODEL) else {
                continue;
            };
            let source = run.state().item(MODEL_FIELD, "run");
            if source.is_some_and(|source| own.iter().any(|run| run.as_str() == source)) {
                models.push(id.clone());
            }
        }
        Ok(models)
    }
}

/// Notes what a round found.
fn tell(shared: &Shared, carrier: &mut Carrier) {
    let mut state = shared.state.lock();
    state.files_left = carrier.files_left();
    let carried = std::mem::take(&mut carrier.carried);
    state.notes.extend(carried.notes);
    carried.released.iter().for_each(|run| _ = state.own.remove(run));
    state.refused.extend(carrier.refused.iter().cloned());
}

/// The lock, if nobody has it.
fn take_lock(path: &Path) -> Result<Option<File>> {
    let file =
        File::options().create(true).truncate(false).write(true).open(path).map_err(Error::file("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        // Where locks do not work everybody carries, and the server sorts it out.
        Err(std::fs::TryLockError::Error(_)) => Ok(Some(file)),
    }
}
