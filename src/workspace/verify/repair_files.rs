//! Which files repair may quarantine: not unreadable ones, those of a newer Stepwell, or those being written.

use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};
use crate::folder::making::{Maker, maker_of};
use crate::folder::paths::{self, LogName};
use crate::segment::pack::Pack;
use crate::segment::reader::Source;
use crate::workspace::read::logs::writer_of;
use crate::workspace::read::search::check_index;
use crate::workspace::state::shared::{Shared, create_folder};
use crate::workspace::verify::repair::{RepairOptions, Repaired};

/// Bytes read at once to test whether a file is readable.
const READ_AT_ONCE: usize = 1 << 20;

/// Name prefix for files that had the name of the quarantine folder, on their way into it.
const ASIDE: &str = "quarantine.file";

/// Whether somebody may be writing a file.
pub(crate) enum Held {
    /// By whom, or why that is unknown.
    Yes(String),
    /// By nobody. Holds the lock, if locks work.
    No(Option<Maker>),
}

pub(crate) fn unknown(why: &str) -> String {
    format!("nobody can tell whether somebody is writing it ({why}); if nobody is, repair with `take_over`")
}

impl Shared {
    /// Quarantines regular files that have the names of folders, so that the folders can be created again. Their former
    /// contents are then reported missing.
    pub(crate) fn free_folders(&self, repaired: &mut Repaired) -> Result<()> {
        let (storage, root) = (&*self.inner.storage, &self.inner.root);
        let is_file = |path: &Path| storage.read_dir(path).is_err() && storage.open_read(path).is_ok();
        self.free_quarantine(is_file(&root.join(paths::QUARANTINE)), repaired)?;
        if self.blocked(paths::QUARANTINE)?.is_some() {
            return Ok(());
        }
        for folder in paths::FOLDERS.map(|folder| root.join(folder)) {
            if !is_file(&folder) {
                continue;
            }
            self.quarantine(&folder, repaired)?;
            // A journal's folder is created with its next entry; until then it is reported missing.
            if !paths::JOURNALS.iter().any(|journal| folder.ends_with(journal)) {
                create_folder(storage, &folder)?;
            }
        }
        // Subfolders are created when needed.
        let inner = std::iter::once(paths::LOGS).chain(paths::JOURNALS).map(|folder| root.join(folder));
        for folder in inner {
            let Ok(entries) = storage.read_dir(&folder) else { continue };
            for entry in entries.into_iter().filter(|entry| !entry.is_dir) {
                let of_logs = folder.ends_with(paths::LOGS);
                let is_place =
                    if of_logs { paths::is_log_folder(&entry.name) } else { paths::is_entry_folder(&entry.name) };
                let path = folder.join(&entry.name);
                if is_place && is_file(&path) {
                    self.quarantine(&path, repaired)?;
                }
            }
        }
        Ok(())
    }

    /// Renames a file that has the name of the quarantine folder, creates the folder, and moves the file into it. Also
    /// moves one that a process left beside it when it died before that.
    fn free_quarantine(&self, is_file: bool, repaired: &mut Repaired) -> Result<()> {
        let (storage, root) = (&*self.inner.storage, &self.inner.root);
        let quarantine = root.join(paths::QUARANTINE);
        for number in (1_u32..).take_while(|_| is_file) {
            let aside = root.join(format!("{ASIDE}{number}"));
            // Reserve the name first, so that no other process overwrites it.
            match storage.create_new(&aside) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                created => created.map_err(Error::io("create", &aside))?,
            };
            match storage.rename(&quarantine, &aside) {
                // Another process was faster.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                moved => moved.map_err(Error::io("move aside", &quarantine))?,
            }
            create_folder(storage, &quarantine)?;
            break;
        }
        let beside = storage.read_dir(root).map_err(Error::io("list", root))?;
        if self.blocked(paths::QUARANTINE)?.is_none() {
            for entry in beside.iter().filter(|entry| entry.name.starts_with(ASIDE)) {
                self.quarantine(&root.join(&entry.name), repaired)?;
            }
        }
        Ok(())
    }

    /// Why a file must stay as it is: it is unreadable, or from a newer Stepwell.
    pub(crate) fn must_stay(&self, path: &Path) -> Option<String> {
        self.refusal(path).or_else(|| self.newer(path))
    }

    /// The error of a file that a newer Stepwell wrote.
    fn newer(&self, path: &Path) -> Option<String> {
        let (dir, name) = (path.parent()?, path.file_name()?.to_str()?);
        let read = match path.extension()?.to_str()? {
            "pack" => {
                let file = self.inner.storage.open_read(path).ok()?;
                Pack::open(Source::new(file, path.to_owned())).map(drop)
            }
            "log" => self.read_log(&LogName::parse(dir, name)?).map(drop),
            "tail" => return self.newer(&path.with_extension("log")),
            "index" => check_index(&*self.inner.storage, &self.inner.root, path),
            _ => return None,
        };
        read.err().filter(|error| matches!(error, Error::NewerFormat { .. })).map(|error| error.to_string())
    }

    /// Whether somebody may be writing a file.
    pub(crate) fn held(&self, path: &Path, options: RepairOptions) -> Held {
        // Only files have writers.
        if self.is_no_file(path) || self.inner.storage.read_dir(path).is_ok() {
            return Held::No(None);
        }
        let storage = &*self.inner.storage;
        let name = path.parent().zip(path.file_name().and_then(|name| name.to_str()));
        let maker = match name.and_then(|(dir, name)| LogName::parse(dir, name)) {
            Some(log) => {
                let claim = self.claim_of(&log).ok().flatten();
                writer_of(storage, &log, claim.is_some_and(|claim| claim.has_begun()))
            }
            None => maker_of(storage, path),
        };
        match maker {
            None => Held::No(None),
            Some(Maker::AtWork) => Held::Yes("somebody is writing it; repair again when that process has ended".into()),
            Some(Maker::Unknown(error)) if !options.take_over => Held::Yes(unknown(&error.to_string())),
            Some(lock) => Held::No(Some(lock)),
        }
    }

    /// Quarantines a file, unless it must stay or may be being written, which is reported. Returns whether it is gone.
    pub(crate) fn take_out(&self, path: &Path, options: RepairOptions, repaired: &mut Repaired) -> Result<bool> {
        let held = self.held(path, options);
        match (self.must_stay(path), held) {
            (Some(why), _) | (None, Held::Yes(why)) => {
                repaired.leave(path, why);
                Ok(false)
            }
            // The lock is held until the name is gone.
            (None, Held::No(_lock)) => self.quarantine(path, repaired).map(|()| true),
        }
    }

    pub(crate) fn is_gone(&self, path: &Path) -> bool {
        self.inner.storage.open_read(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    }

    /// Why the operating system refuses to read a file or list a folder, so that its state is unknown. Anything that is
    /// neither contains no data.
    pub(crate) fn refusal(&self, path: &Path) -> Option<String> {
        let read = || {
            let file = self.inner.storage.open_read(path)?;
            let mut bytes = vec![0; READ_AT_ONCE];
            let mut at = 0;
            loop {
                match file.read_at(&mut bytes, at)? {
                    0 => return Ok::<(), std::io::Error>(()),
                    got => at += got as u64,
                }
            }
        };
        match read() {
            Ok(()) => None,
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::InvalidInput => None,
                // A folder, in its own place or in that of a file.
                ErrorKind::IsADirectory => self.inner.storage.read_dir(path).err().map(|error| error.to_string()),
                _ => Some(error.to_string()),
            },
        }
    }

    /// Whether this is a link, FIFO, socket or device.
    pub(crate) fn is_no_file(&self, path: &Path) -> bool {
        self.inner.storage.open_read(path).is_err_and(|error| error.kind() == ErrorKind::InvalidInput)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::ids::{ExperimentId, RunKey, WriterId};
    use crate::options::Options;
    use crate::storage::Storage as _;
    use crate::storage::memory::SimDisk;
    use crate::workspace::handle::Workspace;
    use crate::workspace::write::runs::NewRun;

    /// A new log has no bytes, and its writer is about to lock it, so that lock is never taken. A log known to have had
    /// bytes had its writer's lock before.
    #[test]
    fn an_empty_log_may_have_a_writer_unless_it_had_bytes() {
        let disk = SimDisk::new();
        let open = |disk: &SimDisk| {
            Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new("/w"), Options::default()).unwrap()
        };
        let workspace = open(&disk);
        let run = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap().run_id().key();
        let dir = paths::log_dir(Path::new("/w"), run);
        let begun = workspace.shared.run_log_names(run).unwrap().remove(0);
        let new = LogName { dir, stem: RunKey(run.0).to_string(), writer: WriterId(7) };
        drop(workspace);
        disk.damage(&begun.log(), Vec::clear).unwrap();
        disk.create_new(&new.log()).unwrap();
        let workspace = open(&disk.process_crash());
        let held =
            |name: &LogName| matches!(workspace.shared.held(&name.log(), RepairOptions::default()), Held::Yes(_));
        assert!(held(&new) && !held(&begun));
    }
}
