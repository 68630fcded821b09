//! How much there is: runs, series, points, and the bytes that they take.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::items::RUN;
use crate::error::of_one_file;
use crate::error::{Error, Result};
use crate::folder::paths;
use crate::run::snapshot::part_len;
use crate::workspace::open::Workspace;

/// How many keys [`Usage::largest_keys`] names.
const KEYS_NAMED: usize = 20;

/// What a workspace holds, and what it takes on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Runs, deleted ones included.
    pub runs: u64,
    /// Series: metrics of runs.
    pub series: u64,
    /// Points.
    pub points: u64,
    /// Lengths of all files, in bytes.
    pub bytes_on_disk: u64,
    /// Files.
    pub files: u64,
    /// For each kind of file: how many, and how many bytes.
    pub by_kind: Vec<(String, u64, u64)>,
    /// The metric keys with the most points, over all runs.
    pub largest_keys: Vec<(String, u64)>,
    /// What could not be read, so that it is not counted, and why; `verify` tells what it costs.
    pub unreadable: Vec<String>,
}

impl Workspace {
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
        // All runs of one row group say the same.
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

    /// Names every file of the workspace, with its length in bytes or the reason why that cannot be known; and every
    /// folder that cannot be listed, with the reason. What is missing is not named.
    ///
    /// # Errors
    /// [`Error::Io`] that is not about one file alone.
    pub(super) fn each_file(&self, visit: &mut dyn FnMut(&Path, Result<u64>)) -> Result<()> {
        let root = &self.inner.root;
        self.visit_file(&root.join(paths::MARKER), visit)?;
        paths::FOLDERS.iter().try_for_each(|folder| self.each_file_in(&root.join(folder), visit))
    }

    fn each_file_in(&self, dir: &Path, visit: &mut dyn FnMut(&Path, Result<u64>)) -> Result<()> {
        let mut entries = match self.inner.storage.read_dir(dir).map_err(Error::io("list", dir)) {
            Ok(entries) => entries,
            // Others may remove folders meanwhile, and not every workspace has all of them.
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
            // Folders have their places; elsewhere one stands where a file should.
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
