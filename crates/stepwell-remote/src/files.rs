//! Sends the files of runs, after their points, identified by their contents. They are sent in pieces, so a broken
//! connection costs one piece.
//!
//! While a run goes on, a file is sent again when it has grown by a quarter, and once more when the run has ended. So a
//! growing log is sent a few times in all, not once a second.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use stepwell::tracking::{Tracking, TrackingOptions};
use stepwell::{RunId, Workspace};

use crate::error::{Error, Result};
use crate::server::Server;

/// Bytes of a file that go in one request.
const PIECE: usize = 8 << 20;
/// Folders deeper than this are left out.
const DEPTH_MAX: usize = 64;
/// Looking for new files takes at most one part in so many of the time, while a run goes on.
const SHARE: u32 = 500;
/// Characters that are not escaped in an argument of an address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A file's size and the time of its last change, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &fs::Metadata) -> Self {
        Self { size: found.size(), changed: (found.mtime(), found.mtime_nsec()) }
    }

    /// Whether a file that was sent like this is worth another time while its run goes on.
    fn has_grown(self, before: Self) -> bool {
        self.size < before.size || self.size - before.size > before.size / 4
    }
}

/// The files of a spool's runs.
pub(crate) struct Files {
    tracking: Tracking,
    /// Where the files of each run are, as far as it was looked up.
    folders: BTreeMap<RunId, Option<PathBuf>>,
    /// What was sent of each run, by path.
    sent: BTreeMap<RunId, BTreeMap<String, Stamp>>,
    /// When each run's files were last looked at, and how long that took.
    looked: BTreeMap<RunId, (Instant, Duration)>,
    /// Files of each run that were found and not sent.
    left: BTreeMap<RunId, u64>,
    /// Runs with a file that the server refused, or that cannot be read: they stay in the spool.
    kept: BTreeSet<RunId>,
}

/// How much of a file the server has.
#[derive(Deserialize)]
struct There {
    has: bool,
    offset: u64,
}

impl Files {
    pub(crate) fn new(workspace: &Workspace) -> Self {
        let artifacts = std::path::absolute(workspace.root()).unwrap_or_else(|_| workspace.root().to_owned());
        let artifacts = artifacts.join("artifacts").display().to_string();
        let options = TrackingOptions {
            artifact_root: artifacts.clone(),
            artifact_folder: Some(artifacts),
            ..TrackingOptions::default()
        };
        Self {
            tracking: Tracking::new(workspace.clone(), options),
            folders: BTreeMap::new(),
            sent: BTreeMap::new(),
            looked: BTreeMap::new(),
            left: BTreeMap::new(),
            kept: BTreeSet::new(),
        }
    }

    /// The folder of a run's files; `None` if they are elsewhere.
    pub(crate) fn folder(&mut self, run: &RunId) -> Option<PathBuf> {
        if let Some(known) = self.folders.get(run) {
            return known.clone();
        }
        let uri = match self.tracking.get_run(run.as_str()) {
            Ok(run) => run.info.artifact_uri,
            Err(_) => self.tracking.get_any_logged_model(run.as_str()).ok()?.artifact_uri,
        };
        let path = uri.strip_prefix("file://").unwrap_or(&uri);
        let folder = path.starts_with('/').then(|| PathBuf::from(path));
        self.folders.insert(run.clone(), folder.clone());
        folder
    }

    /// Runs and logged models that are marked deleted.
    pub(crate) fn deleted(&self) -> Result<Vec<RunId>> {
        let listed = self.tracking.runs_deleted_by(i64::MAX).and_then(|mut runs| {
            runs.extend(self.tracking.logged_models_deleted_by(i64::MAX)?);
            Ok(runs)
        });
        let listed = listed.map_err(|fault| Error::Invalid(fault.to_string()))?;
        Ok(listed.into_iter().map(RunId::new).collect::<stepwell::Result<_>>()?)
    }

    /// The files of a run that are to be sent: path within the run, and stamp.
    fn new_files(&self, folder: &Path, run: &RunId, ended: bool) -> Result<Vec<(String, Stamp)>> {
        let (mut found, sent) = (Vec::new(), self.sent.get(run));
        files_in(folder, "", DEPTH_MAX, &mut found)?;
        found.retain(|(path, stamp)| match sent.and_then(|sent| sent.get(path)) {
            None => true,
            Some(before) => stamp != before && (ended || stamp.has_grown(*before)),
        });
        Ok(found)
    }

    /// Sends the files of a run. Returns how many the server did not have, and what it refused.
    ///
    /// # Errors
    /// The first that keeps it from going on.
    pub(crate) fn upload(&mut self, server: &Server, run: &RunId, ended: bool) -> Result<(u64, Vec<String>)> {
        let Some(folder) = self.folder(run).filter(|folder| folder.is_dir()) else { return Ok((0, Vec::new())) };
        let begun = Instant::now();
        let new = self.new_files(&folder, run, ended)?;
        self.looked.insert(run.clone(), (begun, begun.elapsed()));
        let (mut done, mut notes) = (0, Vec::new());
        self.left.insert(run.clone(), new.len() as u64);
        for (path, stamp) in new {
            match send(server, run, &path, &folder.join(&path)) {
                Ok(sent) => done += u64::from(sent),
                Err(Error::Refused { status: 400 | 403 | 413, message, .. }) => {
                    notes.push(format!("run {run}: file {path:?}: {message}"));
                    self.kept.insert(run.clone());
                }
                Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(error @ Error::File { .. }) => {
                    notes.push(format!("run {run}: file {path:?}: {error}"));
                    self.kept.insert(run.clone());
                }
                Err(error) => return Err(error),
            }
            self.sent.entry(run.clone()).or_default().insert(path, stamp);
            self.left.entry(run.clone()).and_modify(|left| *left = left.saturating_sub(1));
        }
        Ok((done, notes))
    }

    /// Whether a run's files, which are many, were looked at just now.
    pub(crate) fn is_resting(&self, run: &RunId) -> bool {
        self.looked.get(run).is_some_and(|(begun, took)| begun.elapsed() < *took * SHARE)
    }

    /// Files that were found and have not arrived.
    pub(crate) fn left(&self) -> u64 {
        self.left.values().sum()
    }

    /// Whether a run that has ended has files whose present contents were not sent.
    pub(crate) fn has_more(&mut self, run: &RunId) -> Result<bool> {
        match self.folder(run).filter(|folder| folder.is_dir()) {
            Some(_) if self.kept.contains(run) => Ok(true),
            Some(folder) => Ok(!self.new_files(&folder, run, true)?.is_empty()),
            None => Ok(false),
        }
    }

    /// The folder of a run's files, if it is in the workspace; to be removed when the run is gone.
    pub(crate) fn own_folder(&mut self, run: &RunId) -> Option<PathBuf> {
        let root = std::path::absolute(self.tracking.workspace().root()).ok()?;
        self.folder(run).filter(|folder| folder.starts_with(root.join("artifacts")) && folder.is_dir())
    }

    /// Forgets a run, and removes its files.
    pub(crate) fn remove(&mut self, run: &RunId, folder: Option<PathBuf>) -> Result<()> {
        self.folders.remove(run);
        self.sent.remove(run);
        self.left.remove(run);
        self.looked.remove(run);
        let Some(folder) = folder else { return Ok(()) };
        fs::remove_dir_all(&folder).map_err(Error::file("remove", &folder))?;
        // The folder of the run goes too, if nothing else is in it.
        if let Some(of_run) =
            folder.parent().filter(|of_run| of_run.file_name().is_some_and(|name| name == run.as_str()))
        {
            let _ = fs::remove_dir(of_run);
        }
        Ok(())
    }
}

/// The plain files in a folder and below, by their paths within it. Links are left out.
fn files_in(folder: &Path, within: &str, depth: usize, found: &mut Vec<(String, Stamp)>) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::file("list", folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(Error::file("list", folder))?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let path = if within.is_empty() { name } else { format!("{within}/{name}") };
        match entry.metadata() {
            Ok(meta) if meta.is_dir() && depth > 0 => files_in(&entry.path(), &path, depth - 1, found)?,
            Ok(meta) if meta.is_file() => found.push((path, Stamp::of(&meta))),
            // It is something else, or went meanwhile.
            _ => {}
        }
    }
    Ok(())
}

/// Sends a file as it is now. Returns whether the server did not have it.
fn send(server: &Server, run: &RunId, path: &str, place: &Path) -> Result<bool> {
    let unread = |error: std::io::Error| Error::file("read", place)(error);
    let mut file = File::open(place).map_err(unread)?;
    let (digest, size) = digest_of(&mut file).map_err(unread)?;
    let names = format!("run_id={run}&path={}&sha256={digest}&size={size}", utf8_percent_encode(path, PLAIN));
    let route = "/api/stepwell/spool/files";
    let mut there: There = server.read(server.call("GET", route, &names, b"")?)?;
    let (had, mut piece) = (there.has, Vec::new());
    while !there.has {
        file.seek(SeekFrom::Start(there.offset)).map_err(unread)?;
        piece.clear();
        // What was appended since is not a part of what the digest says.
        let want = (size - there.offset.min(size)).min(PIECE as u64);
        Read::by_ref(&mut file).take(want).read_to_end(&mut piece).map_err(unread)?;
        let query = format!("{route}?{names}&offset={}", there.offset);
        there = server.read(server.send("PUT", &query, "application/octet-stream", &piece)?)?;
        if piece.is_empty() && size > 0 && !there.has {
            return Err(Error::file("read", place)(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(!had)
}

/// The SHA-256 of a file in hex, and its length.
fn digest_of(file: &mut File) -> std::io::Result<(String, u64)> {
    let (mut hasher, mut buffer, mut len) = (Sha256::new(), vec![0; 256 << 10], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), len)),
            got => {
                hasher.update(&buffer[..got]);
                len += got as u64;
            }
        }
    }
}
