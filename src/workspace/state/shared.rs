//! What the operations on a workspace share: its folder, its journals, its open packs and caches, and its locks.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result, of_one_file};
use crate::folder::paths;
use crate::journal::catalog::Catalog;
use crate::journal::chain::Journal;
use crate::journal::manifest::Manifest;
use crate::journal::registry::Registry;
use crate::log::ledger::Ledger;
use crate::options::Options;
use crate::run::session::Session;
use crate::run::watermark::Watermark;
use crate::storage::Storage;
use crate::workspace::state::actor;
use crate::workspace::state::indexes::Indexes;
use crate::workspace::state::known_durable::Durable;
use crate::workspace::state::known_logs::ReadLogs;
use crate::workspace::state::ledgers::Ledgers;
use crate::workspace::state::overlay::Overlay;
use crate::workspace::state::packs::PackSet;
use crate::workspace::state::ranked::{Rank, Ranked, Ranks};
use crate::workspace::state::summaries::LiveLogs;

/// One workspace, and who acts through it. The operations of the layers above are its methods;
/// [`Workspace`](crate::Workspace) is the public handle on them.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) inner: Arc<Inner>,
    /// The actor, if it is not the process' user.
    actor: Option<Arc<str>>,
}

/// What the clones of a handle share. A thread that holds one of its locks may take only those that come later in
/// [`Rank`].
pub(crate) struct Inner {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) root: PathBuf,
    pub(crate) options: Options,
    pub(crate) id: u128,
    pub(crate) manifest: Ranked<Journal<Manifest>>,
    pub(crate) catalog: Ranked<Journal<Catalog>>,
    pub(crate) registry: Ranked<Journal<Registry>>,
    pub(crate) packs: Ranked<PackSet>,
    pub(crate) read_logs: Ranked<ReadLogs>,
    /// This handle's edit log, created by the first edit.
    pub(crate) edits: Ranked<Option<Session>>,
    /// Watermarks of this handle's writers that are open or have something to sync.
    pub(crate) writers: Ranked<Vec<Arc<Watermark>>>,
    pub(crate) durable: Durable,
    pub(crate) indexes: Ranked<Indexes>,
    pub(crate) live: Ranked<LiveLogs>,
    /// The ledger for this handle's writers.
    pub(crate) ledger: Ranked<Option<Arc<Ledger>>>,
    pub(crate) ledgers: Ranked<Ledgers>,
    pub(crate) overlay: Ranked<Overlay>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Workspace({})", self.inner.root.display())
    }
}

impl Shared {
    /// Opens the journals of a folder and its packs.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub(crate) fn open(storage: Arc<dyn Storage>, root: &Path, options: Options, id: u128) -> Result<Self> {
        // Handles keep working when the process changes its working directory.
        let (storage, root) = confined(storage, root)?;
        let manifest = Journal::open(Arc::clone(&storage), root.clone(), paths::MANIFEST)?;
        let catalog = Journal::open(Arc::clone(&storage), root.clone(), paths::CATALOG)?;
        let registry = Journal::open_optional(Arc::clone(&storage), root.clone(), paths::REGISTRY)?;
        let ranks = Ranks::of_handle();
        let inner = Inner {
            storage,
            root,
            options,
            id,
            manifest: ranks.lock(Rank::Manifest, manifest),
            catalog: ranks.lock(Rank::Catalog, catalog),
            registry: ranks.lock(Rank::Registry, registry),
            packs: ranks.lock(Rank::Packs, PackSet::default()),
            read_logs: ranks.lock(Rank::ReadLogs, ReadLogs::default()),
            edits: ranks.lock(Rank::Edits, None),
            writers: ranks.lock(Rank::Writers, Vec::new()),
            durable: Durable::new(ranks),
            indexes: ranks.lock(Rank::Indexes, Indexes::default()),
            live: ranks.lock(Rank::Summaries, LiveLogs::new(ranks)),
            ledger: ranks.lock(Rank::Ledger, None),
            ledgers: ranks.lock(Rank::Ledgers, Ledgers::default()),
            overlay: ranks.lock(Rank::Overlay, Overlay::default()),
        };
        let shared = Self { inner: Arc::new(inner), actor: None };
        shared.update_packs()?;
        Ok(shared)
    }

    /// The folder, as an absolute path.
    pub(crate) fn root(&self) -> &Path {
        &self.inner.root
    }

    /// See [`Workspace::id`](crate::Workspace::id).
    pub(crate) fn id(&self) -> u128 {
        self.inner.id
    }

    /// See [`Workspace::acting_as`](crate::Workspace::acting_as).
    pub(crate) fn acting_as(&self, actor: &str) -> Self {
        Self { inner: Arc::clone(&self.inner), actor: Some(actor.into()) }
    }

    /// The actor.
    pub(crate) fn actor(&self) -> &str {
        match &self.actor {
            Some(actor) => actor,
            None => actor::of_process(),
        }
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

    /// See [`Workspace::damage`](crate::Workspace::damage).
    pub(crate) fn damage(&self) -> Result<Vec<String>> {
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

    /// See [`Workspace::damage_of_experiments`](crate::Workspace::damage_of_experiments).
    pub(crate) fn damage_of_experiments(&self) -> Result<Vec<String>> {
        let mut catalog = self.inner.catalog.lock();
        catalog.refresh()?;
        Ok(catalog.losses().map(|error| error.to_string()).collect())
    }

    /// See [`Workspace::damage_of_registry`](crate::Workspace::damage_of_registry).
    pub(crate) fn damage_of_registry(&self) -> Result<Vec<String>> {
        let mut registry = self.inner.registry.lock();
        registry.refresh()?;
        Ok(registry.losses().map(|error| error.to_string()).collect())
    }
}

/// The storage of a workspace, which follows no links out of it, and its absolute path, so that a handle survives a
/// change of working directory.
pub(crate) fn confined(storage: Arc<dyn Storage>, root: &Path) -> Result<(Arc<dyn Storage>, PathBuf)> {
    let root = std::path::absolute(root).map_err(Error::io("resolve", root))?;
    let within = storage.beneath(&root).map_err(Error::io("open", &root))?;
    Ok((within.unwrap_or(storage), root))
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
