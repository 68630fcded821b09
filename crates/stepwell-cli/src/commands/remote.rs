//! What the commands say to a server over HTTP: its address, `sync` with one, and how both end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use stepwell::query::Query;
use stepwell::{Options, RunId, Workspace};
use stepwell_remote::{Carried, Error, Fetched, Server, ServerOptions, carry, fetch, left_in};

use crate::context::Context;
use crate::failure::{Answer, Failure, Outcome};
use crate::output::{self, count, escape, plural};
use crate::progress::Progress;

/// How to reach a server.
#[derive(Args, Clone, Debug)]
pub(crate) struct Reaching {
    /// Trust only certificates from this file (PEM). Default: Mozilla's list, or $STEPWELL_CA_FILE.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Allow the token to go over plain http to another machine, where others can read it.
    #[arg(long)]
    allow_plain_http: bool,
}

impl Reaching {
    /// The server at an address. The token comes from the address, `stepwell login`, $STEPWELL_TOKEN or
    /// $MLFLOW_TRACKING_TOKEN.
    pub(crate) fn options(&self, url: &str) -> Outcome<ServerOptions> {
        let mut options = ServerOptions::from_env(url).map_err(failed)?;
        options.allow_plain_http |= self.allow_plain_http;
        if let Some(file) = &self.ca_file {
            options.ca_file = Some(file.clone());
        }
        Ok(options)
    }

    fn server(&self, url: &str) -> Outcome<Arc<Server>> {
        Ok(Arc::new(Server::new(self.options(url)?).map_err(failed)?))
    }
}

/// The address of a server, if a place is one.
pub(crate) fn address(place: &Path) -> Option<&str> {
    place.to_str().filter(|text| text.starts_with("http://") || text.starts_with("https://"))
}

/// The failure for an error of a server call.
pub(crate) fn failed(error: Error) -> Failure {
    match &error {
        Error::Network { .. } => {
            Failure::hinted(error.to_string(), "what is left stays in the spool; `stepwell spool push` tries again")
        }
        Error::Refused { status: 401 | 403, .. } => Failure::hinted(
            error.to_string(),
            "give a token by `stepwell login`, or in $STEPWELL_TOKEN; `stepwell token create` makes one",
        ),
        _ => Failure::failed(error.to_string()),
    }
}

/// `stepwell sync SRC http://…`: runs of a workspace, or of a spool, that the server has not.
pub(crate) fn push(context: &Context, from: &Path, url: &str, filter: Option<&str>, reach: &Reaching) -> Outcome {
    // A spool's folder has the workspace in it; what has arrived leaves it.
    let spools = left_in(from).map_err(failed)?;
    let (place, is_spool) = match &spools[..] {
        [spool] if spool.folder == from => (stepwell_remote::Spool::workspace_in(from), true),
        _ => (from.to_owned(), false),
    };
    let workspace = Workspace::open(&place)?;
    let runs = match filter {
        Some(filter) => found(&workspace, filter)?,
        None => Vec::new(),
    };
    if filter.is_some() && runs.is_empty() {
        return told(context, from, url, &Carried::default(), Ok(()));
    }
    let release = is_spool && filter.is_none();
    let server = reach.server(url)?;
    let progress = Progress::spinner("sending", context.json);
    let mut done = Carried::default();
    let carried = carry(&server, &workspace, runs, release, &mut |done| progress.say(&sent(done)), &mut done);
    drop(progress);
    told(context, from, url, &done, carried)
}

/// Runs that a filter finds.
fn found(workspace: &Workspace, filter: &str) -> Outcome<Vec<RunId>> {
    let query = Query { max_results: usize::MAX, ..Query::filter(filter)? };
    Ok(workspace.search(&query)?.run_ids()?)
}

fn sent(done: &Carried) -> String {
    format!("{}, {}", plural(done.points, "point", "points"), plural(done.files, "file", "files"))
}

/// Tells what was carried to a server.
pub(crate) fn told(context: &Context, from: &Path, url: &str, done: &Carried, carried: Result<(), Error>) -> Outcome {
    let notes: Vec<&String> = done.notes.iter().collect();
    if context.json {
        output::json(&json!({
            "from": from.to_string_lossy(),
            "to": url,
            "runs": done.runs.len(),
            "points": done.points,
            "files": done.files,
            "released": done.released.len(),
            "left_out": notes,
            "error": carried.as_ref().err().map(ToString::to_string),
        }))?;
    } else {
        let mut text = format!(
            "{} → {}: {}, {}, {}\n",
            escape(&from.display().to_string()),
            escape(url),
            plural(done.runs.len() as u64, "run", "runs"),
            plural(done.points, "point", "points"),
            plural(done.files, "file", "files"),
        );
        if !done.released.is_empty() {
            let released = done.released.len() as u64;
            text += &format!("{} left the spool\n", plural(released, "run that had ended", "runs that had ended"));
        }
        text.extend(notes.iter().map(|note| format!("left out: {}\n", escape(note))));
        output::lines(&text)?;
    }
    carried.map_err(failed)?;
    Ok(if notes.is_empty() { Answer::Done } else { Answer::No })
}

/// `stepwell sync http://… DST`: runs of a server that the workspace has not.
pub(crate) fn pull(
    context: &Context,
    url: &str,
    to: &Path,
    filter: Option<&str>,
    no_artifacts: bool,
    reach: &Reaching,
) -> Outcome {
    let server = reach.server(url)?;
    let workspace = Workspace::open_or_create_with(to, Options::default())?;
    let progress = Progress::spinner("bringing", context.json);
    let say = |done: &Fetched| progress.say(&format!("{} of {} runs", count(done.runs), count(done.seen)));
    let done = fetch(&server, &workspace, filter.unwrap_or_default(), !no_artifacts, &mut { say }).map_err(failed)?;
    drop(progress);
    if context.json {
        output::json(&json!({
            "from": url,
            "to": to.to_string_lossy(),
            "seen": done.seen,
            "runs": done.runs,
            "points": done.points,
            "artifacts": done.files,
            "left_out": done.left_out,
        }))?;
    } else {
        let mut text = format!(
            "{} → {}: {} of {} with news, {}, {}\n",
            escape(url),
            escape(&to.display().to_string()),
            count(done.runs),
            plural(done.seen, "run", "runs"),
            plural(done.points, "point", "points"),
            plural(done.files, "file", "files"),
        );
        text.extend(done.left_out.iter().map(|place| format!("left out: {}\n", escape(place))));
        output::lines(&text)?;
    }
    Ok(if done.left_out.is_empty() { Answer::Done } else { Answer::No })
}
