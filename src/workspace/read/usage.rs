//! Usage: counts of runs, series, points and bytes.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::items::RUN;
use crate::error::of_one_file;
use crate::error::{Error, Result};
use crate::folder::paths;
use crate::run::snapshot::part_len;
use crate::workspace::state::shared::Shared;

/// The number of keys in [`Usage::largest_keys`].
const KEYS_NAMED: usize = 20;

/// What a workspace contains, and its size on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Runs, deleted ones included.
    pub runs: u64,
    /// Series: metrics of runs.
    pub series: u64,
    /// Points.
    pub points: u64,
    /// The length of all files, in bytes.
    pub bytes_on_disk: u64,
    /// The number of files.
    pub files: u64,
    /// For each kind of file: count and bytes.
    pub by_kind: Vec<(String, u64, u64)>,
    /// The metric keys with the most points, over all runs.
    pub largest_keys: Vec<(String, u64)>,
    /// Messages about what could not be read or counted; `verify` reports the cost.
    pub unreadable: Vec<String>,
}

impl Shared {
    /// See [`Maintenance::usage`](crate::maintenance::Maintenance::usage).
    pub(crate) fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        let mut keys: BTreeMap<String, u64> = BTreeMap::new();
        let (ids, unreadable) = self.readable_ids(Some(RUN))?;
        usage.unreadable = unreadable;
        for id in ids {
            let run = match self.find_run(&id) {
                Err(error) => {
                    usage.unreadable.push(of_one_file(error)?.to_string());
                    continue;
                }
                Ok(found) => found,
            };
            let Some(run) = run else { continue };
            usage.unreadable.extend(run.damage().iter().cloned());
            usage.runs += 1;
            for (key, series) in run.series() {
                let points = series.parts.iter().map(part_len).sum::<usize>() as u64;
                usage.series += 1;
                usage.points += points;
                match keys.get_mut(key) {
                    Some(known) => *known += points,
                    None => _ = keys.insert(key.clone(), points),
                }
            }
        }
        usage.largest_keys = keys.into_iter().collect();
        usage.largest_keys.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        usage.largest_keys.truncate(KEYS_NAMED);
        // All runs of one row group give the same message.
        usage.unreadable.sort();
        usage.unreadable.dedup();
        let mut kinds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        self.each_file(&mut |path, len| {
            let len = len.unwrap_or(0);
            usage.files += 1;
            usage.bytes_on_disk += len;
            let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or("other").to_owned();
            let of_kind = kinds.entry(kind).or_default();
            *of_kind = (of_kind.0 + 1, of_kind.1 + len);
        })?;
        usage.by_kind = kinds.into_iter().map(|(kind, (files, bytes))| (kind, files, bytes)).collect();
        Ok(usage)
    }

    /// Visits every file of the workspace with its length or error, and every folder that cannot be listed with its
    /// error. Missing ones are skipped.
    ///
    /// # Errors
    /// [`Error::Io`] that concerns more than one file.
    pub(crate) fn each_file(&self, visit: &mut dyn FnMut(&Path, Result<u64>)) -> Result<()> {
        let root = &self.inner.root;
        self.visit_file(&root.join(paths::MARKER), visit)?;
        paths::FOLDERS.iter().try_for_each(|folder| self.each_file_in(&root.join(folder), visit))
    }

    fn each_file_in(&self, dir: &Path, visit: &mut dyn FnMut(&Path, Result<u64>)) -> Result<()> {
        let mut entries = match self.inner.storage.read_dir(dir).map_err(Error::io("list", dir)) {
            Ok(entries) => entries,
            // Folders may be removed meanwhile, and not every workspace has all.
            Err(error) if error.is_absent() => return Ok(()),
            Err(error) => {
                visit(dir, Err(of_one_file(error)?));
                return Ok(());
            }
        };
        entries.sort();
        let at_root = dir.parent() == Some(&self.inner.root);
        for entry in entries {
            let path = dir.join(&entry.name);
            // A folder elsewhere has the place of a file.
            let has_files = paths::is_log_folder(&entry.name) || paths::is_entry_folder(&entry.name);
            if entry.is_dir && (at_root && has_files || entry.name.ends_with(".entry")) {
                self.each_file_in(&path, visit)?;
            } else {
                self.visit_file(&path, visit)?;
            }
        }
        Ok(())
    }

    fn visit_file(&self, path: &Path, visit: &mut dyn FnMut(&Path, Result<u64>)) -> Result<()> {
        match self.inner.storage.open_read(path).and_then(|file| file.len()).map_err(Error::io("open", path)) {
            Ok(len) => visit(path, Ok(len)),
            // Others may remove files meanwhile.
            Err(error) if error.is_absent() => {}
            Err(error) => visit(path, Err(of_one_file(error)?)),
        }
        Ok(())
    }
}
