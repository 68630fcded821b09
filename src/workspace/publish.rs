//! Publishes packs: written aside, read back, named, and only then live.

use crate::base::ids::random_u128;
use crate::codec::Effort;
use crate::error::{Error, Result};
use crate::index::summary::RunSummary;
use crate::run::gather::Gathered;
use crate::segment::pack::{Pack, PackWriter};
use crate::segment::reader::Source;
use crate::workspace::manifest::{Change, Manifest, PackEntry};
use crate::workspace::open::Workspace;
use crate::workspace::packs::{self, OpenPack};
use crate::workspace::paths;

impl Workspace {
    /// Writes a pack by `fill` and makes it live together with `changes`, unless `holds` says that the manifest has
    /// moved on in a way that makes the pack needless. Gives the pack's entry, or `None` when nothing was published.
    ///
    /// # Errors
    /// Those of `fill`; [`Error::Io`]. Nothing was published then, and no file is left.
    pub(super) fn publish_pack(
        &self,
        fill: impl FnOnce(&mut PackWriter) -> Result<Gathered>,
        changes: &[Change],
        holds: impl Fn(&Manifest) -> bool,
    ) -> Result<Option<PackEntry>> {
        let storage = &*self.inner.storage;
        let id = random_u128();
        let temporary = self.inner.root.join(paths::TEMPORARY).join(format!("{id:032x}.pack"));
        let path = paths::pack(&self.inner.root, id);
        let written = self.write_pack(id, &temporary, fill).and_then(|(entry, rows)| {
            storage.rename(&temporary, &path).map_err(Error::io("publish", &path))?;
            let dir = self.inner.root.join(paths::PACKS);
            storage.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
            // An index that could not be written is made by whoever needs it.
            let _ = packs::open(storage, &self.inner.root, id)
                .and_then(|pack| self.write_index(id, &OpenPack::new(pack), rows));
            Ok(entry)
        });
        let entry = match written {
            Ok(entry) => entry,
            Err(error) => {
                let _ = storage.remove_file(&temporary);
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
        // After an error the entry may have its name, and so be read and built upon by others: then the pack must stay. If
        // it has none, the pack is a leftover like any other.
        if published.is_ok() && (!matches!(published, Ok(true)) || entry.runs == 0) {
            let _ = storage.remove_file(&path);
            let _ = storage.remove_file(&paths::index(&self.inner.root, id));
        }
        let published = published?;
        self.update_packs()?;
        Ok(published.then_some(entry))
    }

    fn write_pack(
        &self,
        id: u128,
        temporary: &std::path::Path,
        fill: impl FnOnce(&mut PackWriter) -> Result<Gathered>,
    ) -> Result<(PackEntry, Option<Vec<RunSummary>>)> {
        let storage = &*self.inner.storage;
        let file = storage.create_new(temporary).map_err(Error::io("create", temporary))?;
        let mut pack = PackWriter::new(file, temporary, id, Effort::Tight)?;
        let Gathered { runs, series, points, rows } = fill(&mut pack)?;
        let bytes = pack.finish()?;
        // What was read from must not go before what was written is known to be readable.
        let file = storage.open_read(temporary).map_err(Error::io("open", temporary))?;
        check_pack(&Pack::open(Source::new(file, temporary.to_owned()))?)?;
        Ok((PackEntry { runs, series, points, bytes }, rows))
    }
}

/// Reads every page of a pack and verifies it.
///
/// # Errors
/// [`Error::Corrupt`] of the first that does not, [`Error::Io`].
fn check_pack(pack: &Pack) -> Result<()> {
    for index in 0..pack.group_count() {
        let group = pack.group(index)?;
        for page in 0..group.footer().pages.len() {
            group.page(page)?;
        }
    }
    Ok(())
}
