//! `stepwell spool`: lists what remote runs still have to send, and sends it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use stepwell::Workspace;
use stepwell_remote::{Carried, Left, Spool, carry, left_in, root};

use crate::commands::remote::{self, Reaching, failed};
use crate::context::Context;
use crate::failure::{Answer, Outcome};
use crate::output::{self, bytes, count, escape, plural};
use crate::progress::Progress;

/// List what is left in your spools: runs that were logged to a server and have not arrived there completely.
///
/// The spools are in $STEPWELL_SPOOL, else in $XDG_DATA_HOME/stepwell/spool, else in ~/.local/share/stepwell/spool,
/// with one folder for each server. The next process that logs to the server sends what is left; `push` sends it now.
///
/// The exit status is 1 if something is left.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  stepwell spool\n  stepwell spool push\n  stepwell spool push http://lab:5000")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// The folder of all spools, or of one.
    #[arg(long, value_name = "DIR", global = true)]
    spool: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Send what is left. Exit status 1 if the server refused something, which is named.
    Push {
        /// Send only the spool of this server. Default: all.
        #[arg(value_name = "URL")]
        url: Option<String>,
        #[command(flatten)]
        reach: Reaching,
    },
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let place = arguments.spool.clone().map_or_else(root, Ok).map_err(failed)?;
    let left = left_in(&place).map_err(failed)?;
    match &arguments.what {
        None => list(context, &left),
        Some(What::Push { url, reach }) => push(context, &left, url.as_deref(), reach),
    }
}

fn list(context: &Context, left: &[Left]) -> Outcome {
    let (mut shapes, mut text, mut empty) = (Vec::new(), String::new(), true);
    for spool in left {
        let Some(workspace) = open(spool)? else { continue };
        let logged = workspace.logged_points()?;
        let size = stepwell_remote::bytes_of(&spool.folder);
        let mut runs: Vec<Value> = Vec::new();
        empty &= logged.is_empty();
        let total = plural(logged.len() as u64, "run", "runs");
        text += &format!("{}: {total}, {} in {}\n", escape(&spool.url), bytes(size), spool.folder.display());
        for (id, writers) in logged {
            let run = workspace.find_run(&id)?;
            let name = run.as_ref().map_or("", |run| run.state().name());
            let is_model = run.as_ref().is_some_and(|run| run.state().kind() == stepwell::items::LOGGED_MODEL);
            let (points, written) = (writers.values().sum::<u64>(), workspace.has_live_writer(&id)?);
            let state = match (is_model, written) {
                (true, _) => "a logged model",
                (_, true) => "being written",
                _ => "ended",
            };
            text += &format!("  {id}  {}, {state}  {}\n", plural(points, "point", "points"), escape(name));
            runs.push(json!({
                "run_id": id.as_str(), "name": name, "points": points, "being_written": written, "logged_model": is_model
            }));
        }
        shapes.push(json!({
            "server": spool.url, "folder": spool.folder.to_string_lossy(), "bytes": size, "runs": runs
        }));
    }
    if context.json {
        output::json(&shapes)?;
    } else if text.is_empty() {
        output::lines("no spool\n")?;
    } else {
        output::lines(&text)?;
    }
    Ok(if empty { Answer::Done } else { Answer::No })
}

/// The workspace of a spool; `None` if none was made yet.
fn open(spool: &Left) -> Outcome<Option<Workspace>> {
    let place = Spool::workspace_in(&spool.folder);
    if place.is_dir() { Ok(Some(Workspace::open(place)?)) } else { Ok(None) }
}

fn push(context: &Context, left: &[Left], url: Option<&str>, reach: &Reaching) -> Outcome {
    let wanted = url.map(|url| reach.options(url)).transpose()?;
    let mut worst = Answer::Done;
    let mut met = 0;
    for spool in left.iter().filter(|spool| wanted.as_ref().is_none_or(|wanted| wanted.url == spool.url)) {
        let Some(workspace) = open(spool)? else { continue };
        met += 1;
        let options = match &wanted {
            Some(wanted) => wanted.clone(),
            None => reach.options(&spool.url)?,
        };
        let server = std::sync::Arc::new(stepwell_remote::Server::new(options).map_err(failed)?);
        let progress = Progress::spinner("sending", context.json);
        let mut done = Carried::default();
        let say = |done: &Carried| progress.say(&format!("{} points", count(done.points)));
        let carried = carry(&server, &workspace, Vec::new(), true, &mut { say }, &mut done);
        drop(progress);
        if remote::told(context, &spool.folder, &spool.url, &done, carried)? == Answer::No {
            worst = Answer::No;
        }
    }
    if met == 0 && !context.json {
        output::lines("nothing is left\n")?;
    }
    Ok(worst)
}
