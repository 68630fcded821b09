//! Publishes packs: writes them aside, reads them back, names them, makes them live, and verifies that they are.
//!
//! 1. The maker writes the pack to `tmp`, holding its lock (`folder/making.rs`), syncs it and reads it back.
//! 2. It is renamed into the packs folder, which is synced. The lock is kept.
//! 3. A manifest entry makes it live.
//! 4. The maker checks that its name refers to the file it holds, that it can be read, and that the current manifest
//!    names it. Only then may the source data be removed.
//!
//! If the maker dies before step 3, it leaves an unlisted pack and its source data.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::base::summary::RunSummary;
use crate::codec::Effort;
use crate::error::{Error, Result};
use crate::folder::making::{self, Making};
use crate::folder::paths;
use crate::journal::manifest::{Change, Manifest, PackEntry};
use crate::run::pack::Packed;
use crate::segment::pack::{Pack, PackWriter};
use crate::segment::reader::Source;
use crate::workspace::state::packs::{self, OpenPack, PackSet};
use crate::workspace::state::shared::{Shared, create_folder};

/// A pack that was made live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    /// Whether it was live and readable under its name afterwards. If not, others have replaced it, and the source data
    /// must stay.
    pub(crate) stands: bool,
}

impl Shared {
    /// Writes a pack by `fill` and makes it live together with `changes`, unless `holds` finds that the current
    /// manifest makes it unnecessary. `None` if nothing was published.
    ///
    /// # Errors
    /// Those of `fill`; [`Error::Io`], then the pack is live or a leftover; [`Error::Corrupt`] if it was published and
    /// is gone afterwards. In each case the source data must stay.
    pub(crate) fn publish_pack(
        &self,
        fill: impl FnOnce(&mut PackWriter) -> Result<Packed>,
        changes: &[Change],
        holds: impl Fn(&Manifest) -> bool,
    ) -> Result<Option<Published>> {
        // Before anything is written: a pack that no entry can name would stay.
        self.inner.manifest.lock().check_open()?;
        let storage = &*self.inner.storage;
        let making = making::begin(storage, &self.inner.root.join(paths::TEMPORARY), "pack")?;
        let id = making.id;
        let path = paths::pack(&self.inner.root, id);
        let written = self.write_pack(&making, fill).and_then(|(entry, rows)| {
            let dir = self.inner.root.join(paths::PACKS);
            match storage.rename(&making.path, &path) {
                // A copied workspace without packs may lack the folder.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    create_folder(storage, &dir)?;
                    storage.rename(&making.path, &path)
                }
                renamed => renamed,
            }
            .map_err(Error::io("publish", &path))?;
            storage.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
            // If writing the index fails, searches build it.
            let _ = packs::open(storage, &self.inner.root, id)
                .and_then(|pack| self.write_index(id, &OpenPack::new(pack), rows));
            Ok(entry)
        });
        let entry = match written {
            Ok(entry) => entry,
            Err(error) => {
                let _ = storage.remove_file(&making.path);
                let _ = storage.remove_file(&path);
                let _ = storage.remove_file(&paths::index(&self.inner.root, id));
                return Err(error);
            }
        };
        let published = self.inner.manifest.lock().publish(|manifest| {
            let mut all = Vec::new();
            if holds(manifest) {
                if entry.runs > 0 {
                    all.push(Change::Add { id, entry });
                }
                all.extend_from_slice(changes);
            }
            Ok(all)
        });
        // After an error the entry may still have its name, and others may build on it: then the pack must stay. If
        // not, the pack is an ordinary leftover.
        if published.is_ok() && (!matches!(published, Ok(true)) || entry.runs == 0) {
            let _ = storage.remove_file(&path);
            let _ = storage.remove_file(&paths::index(&self.inner.root, id));
        }
        let published = published?;
        let stands = published && (entry.runs == 0 || self.stands(&making)?);
        self.update_packs()?;
        Ok(published.then_some(Published { stands }))
    }

    fn write_pack(
        &self,
        making: &Making,
        fill: impl FnOnce(&mut PackWriter) -> Result<Packed>,
    ) -> Result<(PackEntry, Option<Vec<RunSummary>>)> {
        let mut pack = PackWriter::new(Arc::clone(&making.file), &making.path, making.id, Effort::Tight)?;
        let Packed { runs, series, points, rows } = fill(&mut pack)?;
        let bytes = pack.finish()?;
        // The source may only be removed once the pack is known to be readable.
        let file = self.inner.storage.open_read(&making.path).map_err(Error::io("open", &making.path))?;
        check_pack(&Pack::open(Source::new(file, making.path.clone()))?)?;
        Ok((PackEntry { runs, series, points, bytes }, rows))
    }

    /// Step 4. `false` if others have replaced the pack since.
    fn stands(&self, making: &Making) -> Result<bool> {
        let is_named = || {
            let mut manifest = self.inner.manifest.lock();
            manifest.refresh().map(|()| manifest.state().packs.contains_key(&making.id))
        };
        let proven = self.prove(making);
        match (is_named()?, proven) {
            (false, _) => Ok(false),
            (true, Ok(())) => Ok(true),
            (true, Err(Error::Io { path, operation, source })) if source.kind() != ErrorKind::NotFound => {
                Err(Error::Io { path, operation, source })
            }
            (true, Err(error)) => {
                let why =
                    format!("the pack was published and is not whole under its name, so its sources stay: {error}");
                Err(Error::corrupt(&paths::pack(&self.inner.root, making.id), 0, why))
            }
        }
    }

    /// Opens a pack by its name and checks that it is the maker's file and that its directory and footers are valid.
    fn prove(&self, making: &Making) -> Result<()> {
        let path = paths::pack(&self.inner.root, making.id);
        let named = self.inner.storage.open_write(&path).map_err(Error::io("open", &path))?;
        // The maker holds the lock of its file, so if the lock can be taken here, this is another file.
        if making.file.try_lock().is_ok_and(|ours| ours) && named.try_lock().is_ok_and(|other| other) {
            return Err(Error::corrupt(&path, 0, "another file has the pack's name"));
        }
        check_readable(&packs::open(&*self.inner.storage, &self.inner.root, making.id)?)
    }

    /// Reopens packs by name: an open pack stays readable after its file was removed.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`] of the first missing one.
    pub(crate) fn check_names(&self, packs: &PackSet) -> Result<()> {
        let open = |&id: &u128| packs::open_around(&*self.inner.storage, &self.inner.root, id, 0).map(|_| ());
        packs.packs().keys().try_for_each(open)
    }
}

/// Reads the footers and run records of a pack's row groups.
fn check_readable(pack: &Pack) -> Result<()> {
    (0..pack.row_group_count()).try_for_each(|index| pack.group(index)?.run_records().map(|_| ()))
}

/// Reads and verifies every page of a pack.
///
/// # Errors
/// [`Error::Corrupt`] of the first bad page, [`Error::Io`].
fn check_pack(pack: &Pack) -> Result<()> {
    for index in 0..pack.row_group_count() {
        let group = pack.group(index)?;
        for page in 0..group.footer().pages.len() {
            group.page(page)?;
        }
    }
    Ok(())
}
