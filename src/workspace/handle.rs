//! The handle on a workspace: opening it, and what can be done with it.
//!
//! Opening stands here. Every other method hands on to the layer that does it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::base::ids::{ExperimentId, RunId, WriterId};
use crate::base::summary::RunSummary;
use crate::error::{Error, Result};
use crate::folder::{marker, paths};
use crate::options::Options;
use crate::run::snapshot::RunSnapshot;
use crate::run::state::RunState;
use crate::search::execute::Query;
use crate::search::order::OrderKey;
use crate::search::table::Profiles;
use crate::storage::Storage;
use crate::storage::disk::Disk;
use crate::storage::read_only::ReadOnly;
use crate::workspace::maintenance::Maintenance;
use crate::workspace::read::follow::{Follow, Follower};
use crate::workspace::read::found::SearchResult;
use crate::workspace::read::keys::KeyKind;
use crate::workspace::state::create;
use crate::workspace::state::shared::Shared;
use crate::workspace::transfer::adopt::{AdoptedExperiment, ExperimentImport};
use crate::workspace::transfer::import::Importer;
use crate::workspace::transfer::pull::Pulled;
use crate::workspace::transfer::receive::Receiver;
use crate::workspace::transfer::ship::Shipment;
use crate::workspace::write::edits::RunEdit;
use crate::workspace::write::experiments::Experiments;
use crate::workspace::write::runs::NewRun;
use crate::workspace::write::writer::RunWriter;

/// A handle on a workspace: cheap to clone, shared between threads. Any number of handles, in any processes, may use
/// one folder at once.
#[derive(Clone)]
pub struct Workspace {
    pub(in crate::workspace) shared: Shared,
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shared.fmt(f)
    }
}

/// Opening.
impl Workspace {
    /// Opens a workspace. Opening and reading write nothing, so a workspace on a read-only disk or of another user can
    /// be read; [`Self::check_writable`] tells whether it can be written.
    ///
    /// # Errors
    /// [`Error::NotWorkspace`], [`Error::NewerFormat`], [`Error::Corrupt`], [`Error::Io`].
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        Self::open_on(Arc::new(Disk), root.as_ref(), Options::default())
    }

    /// Opens a workspace for reading: every change through this handle fails with [`Error::Io`] of
    /// `ReadOnlyFilesystem`.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_read_only(root: impl AsRef<Path>) -> Result<Self> {
        Self::open_on(Arc::new(ReadOnly(Arc::new(Disk))), root.as_ref(), Options::default())
    }

    /// Opens a workspace, or creates one if nothing is there.
    ///
    /// # Errors
    /// Those of [`Self::open`]; [`Error::NotWorkspace`] also if the folder contains something else.
    pub fn open_or_create(root: impl AsRef<Path>) -> Result<Self> {
        Self::open_or_create_on(Arc::new(Disk), root.as_ref(), Options::default())
    }

    /// [`Self::open_or_create`] with options.
    ///
    /// # Errors
    /// Those of [`Self::open_or_create`].
    pub fn open_or_create_with(root: impl AsRef<Path>, options: Options) -> Result<Self> {
        Self::open_or_create_on(Arc::new(Disk), root.as_ref(), options)
    }

    /// [`Self::open_or_create`] on another disk, a simulated one for example.
    ///
    /// # Errors
    /// Those of [`Self::open_or_create`].
    pub fn open_or_create_on(storage: Arc<dyn Storage>, root: &Path, options: Options) -> Result<Self> {
        match Self::open_on(Arc::clone(&storage), root, options) {
            Err(Error::NotWorkspace { .. }) => {
                create::create(&storage, root)?;
                Self::open_on(storage, root, options)
            }
            other => other,
        }
    }

    /// [`Self::open`] on another disk.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_on(storage: Arc<dyn Storage>, root: &Path, options: Options) -> Result<Self> {
        let id = marker::read(&*storage, root)?;
        Self::open_shared(storage, root, options, id)
    }

    /// Opens a workspace to verify or repair it, even if its marker file is damaged; then [`Self::id`] is 0. Everything
    /// else works too, but the next process needs the marker file, which
    /// [`Maintenance::repair`](crate::maintenance::Maintenance::repair) restores.
    ///
    /// # Errors
    /// [`Error::NotWorkspace`] if there is no marker file, [`Error::NewerFormat`], [`Error::Io`].
    pub fn open_damaged(root: impl AsRef<Path>) -> Result<Self> {
        Self::open_damaged_on(Arc::new(Disk), root.as_ref(), Options::default())
    }

    /// [`Self::open_damaged`] on another disk.
    ///
    /// # Errors
    /// Those of [`Self::open_damaged`].
    pub fn open_damaged_on(storage: Arc<dyn Storage>, root: &Path, options: Options) -> Result<Self> {
        let id = match marker::read(&*storage, root) {
            Err(error) if error.is_of_one_file() && !matches!(error, Error::NewerFormat { .. }) => 0,
            read => read?,
        };
        Self::open_shared(storage, root, options, id)
    }

    fn open_shared(storage: Arc<dyn Storage>, root: &Path, options: Options, id: u128) -> Result<Self> {
        Ok(Self { shared: Shared::open(storage, root, options, id)? })
    }

    /// The folder, as an absolute path.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.shared.root()
    }

    /// Whether this process may write to the workspace, as far as opening its marker file for writing shows. Writes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Io`] with the reason: a read-only file system, a missing permission.
    pub fn check_writable(&self) -> Result<()> {
        let marker = self.shared.inner.root.join(paths::MARKER);
        self.shared.inner.storage.open_write(&marker).map(drop).map_err(Error::io("write to", &marker))
    }

    /// The random id that the workspace got when it was created.
    #[must_use]
    pub fn id(&self) -> u128 {
        self.shared.inner.id
    }

    /// The same folder and caches for another actor, who is recorded for deletions, restorations and stage changes. By
    /// default that is the user who runs the process.
    #[must_use]
    pub fn acting_as(&self, actor: &str) -> Self {
        Self { shared: self.shared.acting_as(actor) }
    }

    /// The actor of this handle.
    #[must_use]
    pub fn actor(&self) -> &str {
        self.shared.actor()
    }

    /// Maintenance: keeps the workspace small and sound, on demand or in the background.
    #[must_use]
    pub fn maintenance(&self) -> Maintenance<'_> {
        Maintenance::new(&self.shared)
    }

    /// Experiments: finding, creating and changing them.
    #[must_use]
    pub fn experiments(&self) -> Experiments<'_> {
        self.shared.experiments()
    }

    /// Starts an import.
    #[must_use]
    pub fn importer(&self) -> Importer {
        self.shared.importer()
    }
}

/// Writing.
impl Workspace {
    /// Creates a run and opens a writer for it. A run with a random id is created atomically with everything in `new`,
    /// and regardless of unreadable files.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Deleted`] for the experiment, [`Error::AlreadyExists`] for a given id,
    /// [`Error::Invalid`], [`Error::Io`].
    pub fn create_run(&self, experiment: ExperimentId, new: NewRun) -> Result<RunWriter> {
        self.shared.create_run(experiment, new)
    }

    /// Creates a run with metadata only and without a log of its own, as a server does for many light entities. Its id
    /// is random; `edits` are applied atomically with `new`.
    ///
    /// # Errors
    /// As [`Self::create_run`]; [`Error::Invalid`] where `new` gives an id.
    pub fn create_run_without_log(&self, experiment: ExperimentId, new: NewRun, edits: &[RunEdit]) -> Result<RunId> {
        self.shared.create_run_without_log(experiment, new, edits)
    }

    /// Opens a writer for an existing run, which may have others, here or in other processes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Deleted`], [`Error::Corrupt`], [`Error::Io`].
    pub fn writer(&self, id: &RunId) -> Result<RunWriter> {
        self.shared.writer(id)
    }

    /// Changes a run without opening a writer, as a server does for many runs. Atomic.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Deleted`], [`Error::ParamConflict`], [`Error::Invalid`], [`Error::Io`].
    pub fn edit_run(&self, id: &RunId, edits: &[RunEdit]) -> Result<()> {
        self.shared.edit_run(id, edits)
    }

    /// The same, whether the run is deleted or not.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::ParamConflict`], [`Error::Invalid`], [`Error::Io`].
    pub fn edit_run_even_deleted(&self, id: &RunId, edits: &[RunEdit]) -> Result<()> {
        self.shared.edit_run_even_deleted(id, edits)
    }

    /// Marks a run deleted, unless it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Io`].
    pub fn delete_run(&self, id: &RunId) -> Result<()> {
        self.shared.delete_run(id)
    }

    /// Restores a run, if it is deleted.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Io`].
    pub fn restore_run(&self, id: &RunId) -> Result<()> {
        self.shared.restore_run(id)
    }

    /// Makes everything acknowledged so far durable: by any writer of this handle and the handle itself
    /// ([`Self::edit_run`], [`Self::delete_run`], [`Self::restore_run`]). Writers go on meanwhile. Costs a few syncs
    /// per writer with something new.
    ///
    /// # Errors
    /// [`Error::DurabilityLost`] of the first writer with a failed sync, now or earlier; the others are synced.
    pub fn sync(&self) -> Result<()> {
        self.shared.sync()
    }

    /// Makes everything logged to a run so far durable: by writers of this handle and by any other on this machine,
    /// open, closed or killed; points, metadata, edits, and its experiment. Costs some syncs per log with something
    /// new, and a pack if a live writer of another process has points in its tail. An unreadable edit log is left out;
    /// [`RunSnapshot::damage`] reports it.
    ///
    /// # Errors
    /// [`Error::DurabilityLost`], [`Error::Io`]: the first failure; everything else is synced.
    pub fn sync_run(&self, id: &RunId) -> Result<()> {
        self.shared.sync_run(id)
    }

    /// Requests that this handle's writers flush at their next calls, so that a sync soon after writes less. Returns
    /// whether any writer had enough points.
    #[must_use]
    #[doc(hidden)]
    pub fn request_flushes(&self) -> bool {
        self.shared.request_flushes()
    }

    /// Whether all requested flushes are complete.
    #[must_use]
    #[doc(hidden)]
    pub fn flushes_are_complete(&self) -> bool {
        self.shared.flushes_are_complete()
    }

    /// As [`Self::sync`], but for writers that completed a flush requested by [`Self::request_flushes`], syncs only
    /// what they had logged at the request.
    ///
    /// # Errors
    /// As [`Self::sync`].
    #[doc(hidden)]
    pub fn sync_flushed(&self) -> Result<()> {
        self.shared.sync_flushed()
    }
}

/// Reading.
impl Workspace {
    /// A run as it is now.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], [`Error::Io`].
    pub fn run(&self, id: &RunId) -> Result<RunSnapshot> {
        self.shared.run(id)
    }

    /// A run as it is now, if it exists. [`RunSnapshot::damage`] names unreadable files, and lost changes of the
    /// manifest and the experiments that may decide whether it is deleted.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`] if the run is not found and an unreadable file may have it.
    pub fn find_run(&self, id: &RunId) -> Result<Option<RunSnapshot>> {
        self.shared.find_run(id)
    }

    /// Whether a run counts as deleted: by its own deletion attribute, unless its experiment was deleted or restored
    /// since.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn counts_as_deleted(&self, run: &RunState) -> Result<bool> {
        self.shared.counts_as_deleted(run)
    }

    /// A run's row for lists, if the run exists: current metadata and statistics of its metrics. Unlike
    /// [`Self::find_run`], it costs nothing for points seen by an earlier call. `deleted` is the run's own attribute;
    /// [`Self::counts_as_deleted`] decides. Damaged data is missing; [`Self::find_summary_and_damage`] reports it.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`] if the run is not found and an unreadable file may have it.
    pub fn find_summary(&self, id: &RunId) -> Result<Option<RunSummary>> {
        self.shared.find_summary(id)
    }

    /// The same, with messages about the run's damage.
    ///
    /// # Errors
    /// As [`Self::find_summary`].
    pub fn find_summary_and_damage(&self, id: &RunId) -> Result<Option<(RunSummary, Vec<String>)>> {
        self.shared.find_summary_and_damage(id)
    }

    /// Ids of all runs, deleted ones included, in no order.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn run_ids(&self) -> Result<Vec<RunId>> {
        self.shared.run_ids()
    }

    /// Finds runs. Costs one pass over each column in the query, about a nanosecond per run and column once decoded.
    /// The first search of a handle also reads the rows of its page, so that damage to them is found here.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::error::Error::Invalid) for `max_results` of 0,
    /// [`Error::Corrupt`](crate::error::Error::Corrupt), [`Error::Io`](crate::error::Error::Io).
    pub fn search(&self, query: &Query) -> Result<SearchResult> {
        self.shared.search(query)
    }

    /// What columns hold over all runs that a query finds, whatever its page is; and messages about what could not be
    /// read. One pass over each column.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::error::Error::Corrupt), [`Error::Io`](crate::error::Error::Io).
    pub fn profiles(&self, query: &Query, columns: &[OrderKey]) -> Result<(Profiles, Vec<String>)> {
        self.shared.profiles(query, columns)
    }

    /// The keys of each kind that runs of a query have, whatever its page is. O(keys) for each pack, and for rare keys
    /// their cells.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`].
    pub fn keys_of(&self, query: &Query) -> Result<BTreeMap<KeyKind, BTreeSet<String>>> {
        self.shared.keys_of(query)
    }

    /// All keys that runs have, deleted runs included. O(keys) for each pack.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`].
    pub fn keys(&self, kind: KeyKind) -> Result<BTreeSet<String>> {
        self.shared.keys(kind)
    }

    /// Whether any run has the key, deleted runs included. O(log keys) for each pack.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`].
    pub fn has_key(&self, kind: KeyKind, key: &str) -> Result<bool> {
        self.shared.has_key(kind, key)
    }

    /// The distinct items of a kind that runs of some experiments have, deleted runs included: experiment, key, value.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn items(&self, kind: u8, experiments: &[ExperimentId]) -> Result<BTreeSet<(ExperimentId, String, String)>> {
        self.shared.items(kind, experiments)
    }

    /// The items of a kind that runs have, deleted runs included: the run, the item's key and value, in no order.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn runs_with_items(&self, kind: u8) -> Result<Vec<(RunId, String, String)>> {
        self.shared.runs_with_items(kind)
    }

    /// Follows runs as they change, written by any process. Writes nothing and takes no lock.
    ///
    /// ```
    /// use std::time::Duration;
    /// use stepwell::{Follow, Workspace};
    /// # use stepwell::{ExperimentId, NewRun, Result};
    /// # fn main() -> Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let workspace = Workspace::open_or_create(dir.path().join("runs"))?;
    /// # let mut run = workspace.create_run(ExperimentId::DEFAULT, NewRun::default())?;
    /// # let id = run.run_id().clone();
    ///
    /// let mut follower = workspace.follow(&Follow::run(id))?;
    /// run.log_metric("loss", 1, 0.5)?; // Here or in another process.
    /// while let Some(changes) = follower.next(Duration::from_millis(100))? {
    ///     for new in changes.runs.iter().flat_map(|run| &run.points) {
    ///         println!("{} {:?}", new.key, new.columns.values); // loss [0.5]
    /// #       assert_eq!((new.key.as_str(), &new.columns.values[..]), ("loss", &[0.5][..]));
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`Begin::Now`](crate::Begin::Now) lists logs and ledgers and reads each run with an open log.
    /// [`Begin::Last`](crate::Begin::Last) reads each followed run while delivering.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a named run that does not exist; [`Error::Corrupt`], [`Error::Io`].
    pub fn follow(&self, follow: &Follow) -> Result<Follower> {
        self.shared.follow(follow)
    }

    /// Continues from a [`Follower::cursor`]. What could not be read is reported again.
    ///
    /// If the whole workspace is followed, the cursor treats everything in packs as delivered. Once a compaction has
    /// merged one of those packs and its file is gone (after the grace period of [`crate::Options`]), the cursor is
    /// rejected: follow anew. A cursor of named runs never expires.
    ///
    /// # Errors
    /// [`Error::Invalid`] for bytes that are not a cursor, of another version or workspace, or expired; [`Error::Io`].
    pub fn follow_from(&self, cursor: &[u8]) -> Result<Follower> {
        self.shared.follow_from(cursor)
    }

    /// What cannot be read of the manifest, the catalog and the packs' directories, so that runs or experiments may be
    /// missing, or permanently deleted ones may be back. Empty if the workspace is undamaged or lost only single pages
    /// or frames, which return errors when read. Reads nothing;
    /// [`Maintenance::verify`](crate::maintenance::Maintenance::verify) reports everything.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn damage(&self) -> Result<Vec<String>> {
        self.shared.damage()
    }

    /// Messages about lost entries of the catalog of experiments. Empty if none are lost.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn damage_of_experiments(&self) -> Result<Vec<String>> {
        self.shared.damage_of_experiments()
    }

    /// Messages about lost entries of the model registry. Empty if none are lost.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn damage_of_registry(&self) -> Result<Vec<String>> {
        self.shared.damage_of_registry()
    }
}

/// Taking in.
impl Workspace {
    /// Adopts an experiment of a source; see the module. With `relocate_default` the default experiment also takes the
    /// source's location and times, which is right as long as it has no runs. A change costs some syncs.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] for a blank or too long name, [`crate::Error::Io`].
    pub fn adopt_experiment(&self, theirs: &ExperimentImport, relocate_default: bool) -> Result<AdoptedExperiment> {
        self.shared.adopt_experiment(theirs, relocate_default, false)
    }

    /// What [`Self::adopt_experiment`] would do; changes nothing. A new experiment would get another id if its own is
    /// not free.
    ///
    /// # Errors
    /// As [`Self::adopt_experiment`].
    pub fn preview_experiment(&self, theirs: &ExperimentImport, relocate_default: bool) -> Result<AdoptedExperiment> {
        self.shared.adopt_experiment(theirs, relocate_default, true)
    }

    /// Copies what `source` has and this workspace lacks: runs of every kind with everything they logged, their
    /// experiments, and deletions; what was permanently deleted here stays deleted. Others may write to both meanwhile;
    /// of a run being written, what was acknowledged by now is copied. Points that exist from an export and import
    /// count once. Different metadata merges as that of two writers of one run does. Experiments match by id, then by
    /// name; their names and tags merge as docs/format.md says. `progress` gets the number of runs compared and the
    /// total.
    ///
    /// Reads each run of the source once, and packs those with news.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`] of this workspace; what was published before stays. Damage in the source is
    /// reported in [`Pulled::left_out`].
    pub fn pull(&self, source: &Self, progress: &mut dyn FnMut(u64, u64)) -> Result<Pulled> {
        self.shared.pull(&source.shared, progress)
    }

    /// A shipment of these runs and all that they get, or of all runs of every kind if none is named. Deleted runs are
    /// left out.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a named run, [`Error::Io`].
    pub fn ship(&self, runs: Vec<RunId>) -> Result<Shipment> {
        self.shared.ship(runs)
    }

    /// Takes what is logged elsewhere, with at most this many logs open at once.
    #[must_use]
    pub fn receiver(&self, logs_max: usize) -> Receiver {
        Receiver::new(&self.shared, logs_max)
    }

    /// The points in each run's logs, by writer. Costs nothing for what an earlier call saw.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn logged_points(&self) -> Result<BTreeMap<RunId, BTreeMap<WriterId, u64>>> {
        self.shared.logged_points()
    }

    /// Whether a log of the run is locked by its writer. It costs a look at each lock, and reads nothing. Where locks
    /// do not work it is `false`: see [`Self::has_live_writer`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn is_held(&self, id: &RunId) -> Result<bool> {
        self.shared.is_held(id)
    }

    /// Whether the run has a live writer, here or in another process.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn has_live_writer(&self, id: &RunId) -> Result<bool> {
        self.shared.has_live_writer(id)
    }
}
