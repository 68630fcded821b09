//! The other direction: copies runs from a server into a workspace, in parts, and only what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use stepwell::replication::{Parcel, Position, Receipt, Receiver};
use stepwell::{RunId, RunSnapshot, Workspace, WriterId};

use crate::error::{Error, Result};
use crate::files::Files;
use crate::place::Scratch;
use crate::server::Server;

/// How often a run is requested again because somebody else wrote to it here in the meantime.
const TRIES: u32 = 8;
/// Logs that are open at once.
const LOGS_MAX: usize = 64;

/// What a fetch brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Runs that the server named.
    pub seen: u64,
    /// Runs of which something was new.
    pub runs: u64,
    /// New points.
    pub points: u64,
    /// New or changed files.
    pub files: u64,
    /// What was left out, with the reason.
    pub left_out: BTreeSet<String>,
}

/// Copies the runs that a filter finds on a server, with their files unless `files` is false. `progress` is called
/// after each run. If it is interrupted, the next call continues.
///
/// # Errors
/// [`Error::Network`], [`Error::Refused`], [`Error::Store`]; what was brought stays.
pub fn fetch(
    server: &Server,
    workspace: &Workspace,
    filter: &str,
    files: bool,
    progress: &mut dyn FnMut(&Fetched),
) -> Result<Fetched> {
    let receiver = workspace.receiver(LOGS_MAX);
    let mut places = Files::new(workspace);
    let (mut done, mut after) = (Fetched::default(), String::new());
    loop {
        let page = server.list(filter, &after)?;
        done.left_out.extend(page.left_out);
        for id in &page.runs {
            let run = RunId::new(id.as_str())?;
            done.seen += 1;
            match one(server, workspace, &receiver, &run, &mut done) {
                // This run alone is to blame.
                Err(Error::Refused { status: 400 | 403 | 404, message, .. }) => {
                    done.left_out.insert(format!("run {run}: {message}"));
                }
                Err(Error::Store(error @ (stepwell::Error::Deleted { .. } | stepwell::Error::Invalid { .. }))) => {
                    done.left_out.insert(format!("run {run}: {error}"));
                }
                fetched => fetched?,
            }
            if files && let Some(folder) = places.folder(&run) {
                of_run(server, &run, &folder, "", &mut done)?;
            }
            progress(&done);
        }
        match page.runs.last() {
            Some(last) if page.more => after.clone_from(last),
            _ => break,
        }
    }
    receiver.close_all();
    workspace.sync()?;
    Ok(done)
}

/// Reads a run of a server. It is brought into a folder that is gone when this returns; what was read stays open.
pub(crate) fn read(server: &Server, within: &Path, run: &RunId) -> Result<RunSnapshot> {
    let place = Scratch::within(within)?;
    let workspace = Workspace::open_or_create(&place.path)?;
    let (receiver, mut done) = (workspace.receiver(LOGS_MAX), Fetched::default());
    one(server, &workspace, &receiver, run, &mut done)?;
    receiver.close_all();
    match done.left_out.pop_first() {
        Some(why) => Err(Error::Invalid(why)),
        None => Ok(workspace.run(run)?),
    }
}

/// Brings what one run lacks here.
fn one(server: &Server, workspace: &Workspace, receiver: &Receiver, run: &RunId, done: &mut Fetched) -> Result<()> {
    let mut news = 0;
    for _ in 0..TRIES {
        let mut have: BTreeMap<WriterId, Position> = BTreeMap::new();
        let known = workspace.find_run(run)?;
        for writer in known.iter().flat_map(|known| known.writers()) {
            have.insert(writer, receiver.position(run, writer)?);
        }
        loop {
            let parcels = server.fetch(run, &have)?;
            let fresh = |parcel: &&Parcel| parcel.points() > 0 || known.is_none();
            let more = parcels.iter().filter(fresh).count();
            let mut moved = false;
            for parcel in &parcels {
                let experiment = workspace.experiments().get_or_create(&parcel.experiment)?;
                match receiver.take(parcel, experiment)? {
                    Receipt::Taken { refused, .. } => {
                        done.points += parcel.points();
                        news += parcel.points() + u64::from(known.is_none());
                        done.left_out.extend(refused.iter().map(ToString::to_string));
                        let writer = parcel.author.writer;
                        have.insert(writer, receiver.position(run, writer)?);
                    }
                    Receipt::OutOfPlace(_) => moved = true,
                }
            }
            if moved {
                break;
            }
            if more == 0 || parcels.iter().all(|parcel| parcel.points() == 0) {
                done.runs += u64::from(news > 0);
                return Ok(());
            }
        }
    }
    done.left_out.insert(format!("run {run}: something else writes it here; try again"));
    Ok(())
}

#[derive(Deserialize)]
struct Entry {
    path: String,
    #[serde(default)]
    is_dir: bool,
    #[serde(default)]
    file_size: serde_json::Value,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    files: Vec<Entry>,
}

/// Copies the files of a run that are missing here, or have another length.
fn of_run(server: &Server, run: &RunId, folder: &Path, within: &str, done: &mut Fetched) -> Result<()> {
    let path = utf8_percent_encode(within, NON_ALPHANUMERIC);
    let query = format!("run_id={run}&path={path}");
    let listed: Listed = match server.read(server.call("GET", "/api/2.0/mlflow/artifacts/list", &query, b"")?) {
        // Its files are in a store that the server does not have.
        Err(Error::Refused { message, .. }) => {
            done.left_out.insert(format!("run {run}: its files: {message}"));
            return Ok(());
        }
        listed => listed?,
    };
    for entry in listed.files {
        let path = PathBuf::from(&entry.path);
        if path.as_os_str().is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
            done.left_out.insert(format!("run {run}: file {:?} has a path that leads elsewhere", entry.path));
            continue;
        }
        if entry.is_dir {
            of_run(server, run, folder, &entry.path, done)?;
            continue;
        }
        let size = entry.file_size.as_u64().or_else(|| entry.file_size.as_str().and_then(|text| text.parse().ok()));
        let place = folder.join(&path);
        if size.is_some()
            && fs::symlink_metadata(&place).is_ok_and(|found| found.is_file() && Some(found.len()) == size)
        {
            continue;
        }
        let query = format!("run_id={run}&path={}", utf8_percent_encode(&entry.path, NON_ALPHANUMERIC));
        match server.download(&format!("/get-artifact?{query}"), |bytes| put(&place, bytes)) {
            Ok(()) => done.files += 1,
            Err(Error::Refused { message, .. }) => {
                done.left_out.insert(format!("run {run}: file {:?}: {message}", entry.path));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Moves a complete file to its place.
fn put(place: &Path, bytes: &mut dyn std::io::Read) -> Result<()> {
    let folder = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
    let new = folder.join(format!(".stepwell-{}", std::process::id()));
    let written = fs::File::create(&new).and_then(|mut file| {
        std::io::copy(bytes, &mut file)?;
        file.flush()?;
        file.sync_all()
    });
    let placed = written.and_then(|()| fs::rename(&new, place));
    if placed.is_err() {
        let _ = fs::remove_file(&new);
    }
    placed.map_err(Error::file("write", place))
}
