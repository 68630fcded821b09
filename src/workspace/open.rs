//! Creating and opening a workspace, and its experiments.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result, of_one_file};
use crate::folder::{marker, paths};
use crate::journal::catalog::Catalog;
use crate::journal::chain::Journal;
use crate::journal::manifest::Manifest;
use crate::journal::registry::Registry;
use crate::log::ledger::Ledger;
use crate::options::Options;
use crate::run::session::Session;
use crate::run::watermark::Watermark;
use crate::storage::Storage;
use crate::storage::disk::Disk;
use crate::storage::read_only::ReadOnly;
use crate::workspace::read::evidence::Ledgers;
use crate::workspace::read::live::LiveLogs;
use crate::workspace::read::logs::{EditLogs, ReadLogs};
use crate::workspace::read::search::Indexes;
use crate::workspace::state::actor;
use crate::workspace::state::overlay::Overlay;
use crate::workspace::state::packs::PackSet;
use crate::workspace::write::durable::Durable;

/// A handle on a workspace: cheap to clone, shared between threads. Any number of handles, in any processes, may use
/// one folder at once.
#[derive(Clone)]
pub struct Workspace {
    pub(crate) inner: Arc<Inner>,
    /// The actor of this handle.
    actor: Option<Arc<str>>,
}

/// What the clones of a handle share.
pub(crate) struct Inner {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) root: PathBuf,
    pub(crate) options: Options,
    pub(crate) id: u128,
    pub(crate) manifest: Mutex<Journal<Manifest>>,
    pub(crate) catalog: Mutex<Journal<Catalog>>,
    pub(crate) registry: Mutex<Journal<Registry>>,
    pub(crate) packs: Mutex<PackSet>,
    pub(crate) edit_logs: Mutex<EditLogs>,
    pub(crate) read_logs: Mutex<ReadLogs>,
    /// This handle's edit log, created by the first edit.
    pub(crate) edits: Mutex<Option<Session>>,
    /// Watermarks of this handle's writers that are open or have something to sync.
    pub(crate) writers: Mutex<Vec<Arc<Watermark>>>,
    pub(crate) durable: Durable,
    pub(crate) indexes: Mutex<Indexes>,
    pub(crate) live: Mutex<LiveLogs>,
    /// The ledger for this handle's writers.
    pub(crate) ledger: Mutex<Option<Arc<Ledger>>>,
    pub(crate) ledgers: Mutex<Ledgers>,
    pub(crate) overlay: Mutex<Overlay>,
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Workspace({})", self.inner.root.display())
    }
}

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
                create(&storage, root)?;
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
        Self::open_with_id(storage, root, options, id)
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
        Self::open_with_id(storage, root, options, id)
    }

    fn open_with_id(storage: Arc<dyn Storage>, root: &Path, options: Options, id: u128) -> Result<Self> {
        // Handles keep working when the process changes its working directory.
        let (storage, root) = confined(storage, root)?;
        let manifest = Journal::open(Arc::clone(&storage), root.clone(), paths::MANIFEST)?;
        let catalog = Journal::open(Arc::clone(&storage), root.clone(), paths::CATALOG)?;
        let registry = Journal::open_optional(Arc::clone(&storage), root.clone(), paths::REGISTRY)?;
        let inner = Inner {
            storage,
            root,
            options,
            id,
            manifest: Mutex::new(manifest),
            catalog: Mutex::new(catalog),
            registry: Mutex::new(registry),
            packs: Mutex::default(),
            edit_logs: Mutex::default(),
            read_logs: Mutex::default(),
            edits: Mutex::new(None),
            writers: Mutex::default(),
            durable: Durable::default(),
            indexes: Mutex::default(),
            live: Mutex::default(),
            ledger: Mutex::new(None),
            ledgers: Mutex::default(),
            overlay: Mutex::default(),
        };
        let workspace = Self { inner: Arc::new(inner), actor: None };
        workspace.update_packs()?;
        Ok(workspace)
    }

    /// The folder, as an absolute path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Whether this process may write to the workspace, as far as opening its marker file for writing shows. Writes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Io`] with the reason: a read-only file system, a missing permission.
    pub fn check_writable(&self) -> Result<()> {
        let marker = self.inner.root.join(paths::MARKER);
        self.inner.storage.open_write(&marker).map(drop).map_err(Error::io("write to", &marker))
    }

    /// The random id that the workspace got when it was created.
    #[must_use]
    pub fn id(&self) -> u128 {
        self.inner.id
    }

    /// Reads new manifest entries and opens new packs.
    pub(crate) fn refresh(&self) -> Result<PackSet> {
        let reading = {
            let mut manifest = self.inner.manifest.lock();
            manifest.refresh()?;
            manifest.reading()
        };
        // Another caller may have read new entries, for example to publish, without opening the packs.
        let packs = self.inner.packs.lock();
        if packs.reading() == reading && !packs.refused() {
            return Ok(packs.clone());
        }
        drop(packs);
        self.update_packs()
    }

    pub(crate) fn update_packs(&self) -> Result<PackSet> {
        loop {
            // Read this first: entries added meanwhile are read again later, never skipped.
            let (reading, number) = {
                let manifest = self.inner.manifest.lock();
                (manifest.reading(), manifest.number())
            };
            let manifest = self.manifest()?;
            let mut packs = self.inner.packs.lock();
            packs.update(&*self.inner.storage, &self.inner.root, &manifest, reading);
            let updated = packs.clone();
            drop(packs);
            if updated.broken().is_empty() {
                return Ok(updated);
            }
            // A pack may be gone because it was replaced since the manifest was read.
            let mut manifest = self.inner.manifest.lock();
            manifest.refresh()?;
            if manifest.number() == number {
                return Ok(updated);
            }
        }
    }

    /// The manifest as last read. If entries are damaged, every pack in the folder counts: duplicates count once
    /// anyway, so at worst something deleted comes back, which `verify` reports.
    pub(crate) fn manifest(&self) -> Result<Manifest> {
        let journal = self.inner.manifest.lock();
        let mut manifest = journal.state().clone();
        if journal.has_gap() {
            let dir = self.inner.root.join(paths::PACKS);
            let entries = match self.inner.storage.read_dir(&dir).map_err(Error::io("list", &dir)) {
                Ok(entries) => entries,
                // Then no pack is read; the packs that entries name and the gap are reported.
                Err(error) => of_one_file(error).map(|_| Vec::new())?,
            };
            for id in entries
                .iter()
                .filter(|entry| entry.name.ends_with(".pack"))
                .filter_map(|entry| paths::pack_id(&entry.name))
            {
                let unknown = crate::journal::manifest::PackEntry { runs: 0, series: 0, points: 0, bytes: 0 };
                manifest.packs.entry(id).or_insert(unknown);
            }
        }
        Ok(manifest)
    }

    /// What cannot be read of the manifest, the catalog and the packs' directories, so that runs or experiments may be
    /// missing, or permanently deleted ones may be back. Empty if the workspace is undamaged or lost only single pages
    /// or frames, which return errors when read. Reads nothing;
    /// [`Maintenance::verify`](crate::maintenance::Maintenance::verify) reports everything.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn damage(&self) -> Result<Vec<String>> {
        let packs = self.refresh()?;
        let mut damage: Vec<String> = packs.broken().values().map(|error| error.to_string()).collect();
        self.damage_of_experiments()?;
        damage.extend(self.lost_of_runs());
        damage.extend(self.damage_of_registry()?);
        Ok(damage)
    }

    /// Messages about lost entries, as last read, of the journals that decide which runs exist and which are deleted:
    /// results about runs lack them.
    pub(crate) fn lost_of_runs(&self) -> Vec<String> {
        let tell = |error: Error| error.to_string();
        let mut lost: Vec<String> = self.inner.manifest.lock().losses().map(tell).collect();
        lost.extend(self.inner.catalog.lock().losses().map(tell));
        lost
    }

    /// Messages about lost entries of the catalog of experiments. Empty if none are lost.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn damage_of_experiments(&self) -> Result<Vec<String>> {
        let mut catalog = self.inner.catalog.lock();
        catalog.refresh()?;
        Ok(catalog.losses().map(|error| error.to_string()).collect())
    }

    /// Messages about lost entries of the model registry. Empty if none are lost.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn damage_of_registry(&self) -> Result<Vec<String>> {
        let mut registry = self.inner.registry.lock();
        registry.refresh()?;
        Ok(registry.losses().map(|error| error.to_string()).collect())
    }
    /// The same folder and caches for another actor, who is recorded for deletions, restorations and stage changes. By
    /// default that is the user who runs the process.
    #[must_use]
    pub fn acting_as(&self, actor: &str) -> Self {
        Self { inner: Arc::clone(&self.inner), actor: Some(actor.into()) }
    }

    /// The actor of this handle.
    #[must_use]
    pub fn actor(&self) -> &str {
        match &self.actor {
            Some(actor) => actor,
            None => actor::of_process(),
        }
    }
}

/// Creates the folders, and the marker file last: without it the folder is not a workspace, and creating can continue
/// later.
fn create(storage: &Arc<dyn Storage>, root: &Path) -> Result<()> {
    match storage.read_dir(root) {
        Ok(entries) => {
            if let Some(foreign) = entries
                .iter()
                .find(|entry| !paths::FOLDERS.contains(&entry.name.as_str()) && entry.name != paths::MARKER)
            {
                let why = format!("it already holds {:?}; name an empty or a new folder", foreign.name);
                return Err(Error::NotWorkspace { path: root.to_owned(), why });
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => create_folders(&**storage, root)?,
        Err(error) => return Err(Error::io("list", root)(error)),
    }
    let (inner, inner_root) = confined(Arc::clone(storage), root)?;
    for folder in paths::FOLDERS {
        create_folder(&*inner, &inner_root.join(folder))?;
    }
    // A process that sees the marker file may rely on the folders and the names of the root and its parents, whoever
    // created them and died before syncing them.
    for folder in root.ancestors() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match storage.sync_dir(folder) {
            // An unreadable folder was not created for this workspace.
            Err(error) if error.kind() == ErrorKind::PermissionDenied && folder != root => {}
            other => other.map_err(Error::io("sync", folder))?,
        }
    }
    marker::write(&*inner, &inner_root)
}

/// The storage of a workspace, which follows no links out of it, and its absolute path, so that a handle survives a
/// change of working directory.
fn confined(storage: Arc<dyn Storage>, root: &Path) -> Result<(Arc<dyn Storage>, PathBuf)> {
    let root = std::path::absolute(root).map_err(Error::io("resolve", root))?;
    let within = storage.beneath(&root).map_err(Error::io("open", &root))?;
    Ok((within.unwrap_or(storage), root))
}

fn create_folders(storage: &dyn Storage, path: &Path) -> Result<()> {
    match create_folder(storage, path) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            let parent = path.parent().ok_or_else(|| Error::io("create", path)(source))?;
            create_folders(storage, parent)?;
            create_folder(storage, path)
        }
        other => other,
    }
}

/// Creates a folder if missing, and makes its name durable.
pub(crate) fn create_folder(storage: &dyn Storage, path: &Path) -> Result<()> {
    match storage.create_dir(path) {
        Ok(()) => match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => storage.sync_dir(parent).map_err(Error::io("sync", parent)),
            None => Ok(()),
        },
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::io("create", path)(error)),
    }
}
