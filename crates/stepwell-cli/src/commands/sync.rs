//! `stepwell sync SRC DST`: copies what another workspace or a server has and this one lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use stepwell::import::Pulled;
use stepwell::registry::PulledModels;
use stepwell::{Options, RunId, Workspace};

use crate::artifacts::{self, Gone};
use crate::commands::remote::{self, Reaching};
use crate::context::Context;
use crate::copy::{self, Copied};
use crate::failure::{Answer, Failure, Outcome};
use crate::output::{self, count, escape, plural};
use crate::place;
use crate::progress::Progress;

/// Copy what is missing from one workspace to another, which is created if needed: runs with everything they logged,
/// experiments, registered models, and the artifacts that the server stores. Both may be in use at the same time. Every
/// byte is verified when it is read, and again in the copy. An interrupted copy continues where it stopped; a repeated
/// one copies only what is new.
///
/// If both sides changed a run, the changes are merged. Deletions are copied too: what was marked deleted, restored or
/// permanently deleted at SRC is so at DST, with the artifacts of permanently deleted runs. What was permanently
/// deleted at DST stays deleted. No other artifact is removed, and none is overwritten. Of the name of an experiment,
/// and of each of its tags, the value that was changed more often wins on both sides; if both were changed equally
/// often, the greater by bytes. Neither workspace may be within the other.
///
/// One of the two may be a server: `http://…` or `https://…`. Then runs are copied with their points, metadata and
/// files, but no deletions or registered models. What the server already has of a run is not sent again. The token
/// comes from `stepwell login`, $STEPWELL_TOKEN or $MLFLOW_TRACKING_TOKEN. Runs in a spool (see `stepwell spool`) that
/// have ended and arrived are removed from it.
///
/// The exit status is 1 if something of SRC was left out, which is named.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  stepwell sync stepwell /backup/stepwell
  stepwell sync --both laptop /mnt/lab/stepwell
  stepwell sync runs http://lab:5000
  stepwell sync http://lab:5000 here --filter 'metrics.loss < 0.1'")]
pub(crate) struct Arguments {
    /// The workspace or server to copy from.
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// The workspace or server to copy to.
    #[arg(value_name = "DST")]
    target: PathBuf,
    /// Also copy what SRC lacks from DST.
    #[arg(long)]
    both: bool,
    /// Do not copy artifacts.
    #[arg(long)]
    no_artifacts: bool,
    /// With a server: copy only the runs that match this filter, as in `stepwell runs`.
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    #[command(flatten)]
    reach: Reaching,
}

/// What one direction brought.
struct Done {
    runs: Pulled,
    models: PulledModels,
    artifacts: Copied,
    /// Folders of artifacts of runs that are no longer here.
    gone: Gone,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let Arguments { source, target, both, no_artifacts, filter, reach } = arguments;
    match (remote::address(source), remote::address(target)) {
        (None, None) if filter.is_some() => {
            return Err(Failure::Usage("--filter takes a server on one side".into()));
        }
        (None, None) => {}
        _ if *both => return Err(Failure::Usage("--both takes two workspaces; run sync once each way".into())),
        (Some(_), Some(_)) => return Err(Failure::Usage("one side must be a workspace".into())),
        (Some(url), None) => return remote::pull(context, url, target, filter.as_deref(), *no_artifacts, reach),
        (None, Some(url)) => return remote::push(context, source, url, filter.as_deref(), reach),
    }
    check_apart(&arguments.source, &arguments.target)?;
    let source = Workspace::open(&arguments.source)?;
    let target = Workspace::open_or_create_with(&arguments.target, Options::default())?;
    let mut ways = vec![(&source, &target)];
    if arguments.both {
        ways.push((&target, &source));
    }
    let mut told: Vec<Value> = Vec::new();
    let mut complete = true;
    for (from, to) in ways {
        let done = copy(context, from, to, arguments.no_artifacts)?;
        let left_out = left_out(&done);
        complete &= left_out.is_empty();
        if context.json {
            told.push(shape(from.root(), to.root(), &done, &left_out));
        } else {
            output::lines(&text(from.root(), to.root(), &done, &left_out))?;
        }
    }
    if context.json {
        // One way is told as one object, both as a list.
        output::json(&if arguments.both { Value::Array(told) } else { told.remove(0) })?;
    }
    Ok(if complete { Answer::Done } else { Answer::No })
}

/// Refuses two workspaces of which one is or would be within the other, or the same.
fn check_apart(source: &Path, target: &Path) -> Outcome<()> {
    let (from, to) = (place::real(source)?, place::real(target)?);
    let [source, target] = [source, target].map(|path| escape(&path.display().to_string()));
    if from == to {
        return Err(Failure::Usage(format!("{source} and {target} are the same folder")));
    }
    for (outer, inner, names) in [(&from, &to, (&source, &target)), (&to, &from, (&target, &source))] {
        if inner.starts_with(outer) {
            let (outer, inner) = names;
            return Err(Failure::Usage(format!(
                "{inner} is within {outer}; a workspace is kept outside of others, which hold nothing but their own \
                 files"
            )));
        }
    }
    Ok(())
}

fn copy(context: &Context, from: &Workspace, to: &Workspace, no_artifacts: bool) -> Outcome<Done> {
    let folders = match no_artifacts {
        true => None,
        false => Some((artifacts::folder(from.root())?, artifacts::folder(to.root())?)),
    };
    let progress = Progress::items("copying runs", 0, context.json);
    let runs = to.pull(from, &mut |done, total| progress.set(done, total))?;
    let models = to.pull_models(from)?;
    drop(progress);
    let gone = match no_artifacts {
        true => Gone::default(),
        false => Gone::of_runs(to.root(), &runs.removed.iter().map(RunId::as_str).collect::<Vec<_>>())?,
    };
    gone.remove()?;
    let artifacts = if let Some(folders) = folders.filter(|(source, _)| source.is_dir()) {
        let progress = Progress::bytes("copying artifacts", context.json);
        // Artifacts lie below their experiment's number and their run's id.
        let own: BTreeMap<String, String> =
            runs.experiments.iter().map(|(theirs, own)| (theirs.to_string(), own.to_string())).collect();
        let deleted: BTreeSet<&str> = runs.deleted.iter().map(RunId::as_str).collect();
        copy::missing_files(&folders.0, &folders.1, &|path| artifact_place(path, &own, &deleted), &progress)?
    } else {
        Copied::default()
    };
    Ok(Done { runs, models, artifacts, gone })
}

/// Where an artifact of the source belongs in the target; `None` if its run was permanently deleted.
fn artifact_place(path: &Path, experiments: &BTreeMap<String, String>, deleted: &BTreeSet<&str>) -> Option<PathBuf> {
    let mut parts = path.iter().map(|part| part.to_str());
    let (Some(Some(experiment)), Some(Some(run))) = (parts.next(), parts.next()) else { return Some(path.to_owned()) };
    if deleted.contains(run) {
        return None;
    }
    match (experiments.get(experiment), path.strip_prefix(experiment)) {
        (Some(own), Ok(rest)) => Some(Path::new(own).join(rest)),
        _ => Some(path.to_owned()),
    }
}

/// What a person must resolve: damage of the source, models that both sides changed, artifacts that differ.
fn left_out(done: &Done) -> Vec<String> {
    let mut left_out = done.runs.left_out.clone();
    left_out.extend(done.models.diverged.iter().map(|name| format!("model {name:?} was changed on both sides")));
    let differ = |path: &PathBuf| format!("artifact {} differs on both sides", path.display());
    left_out.extend(done.artifacts.differing.iter().map(differ));
    let no_file = |path: &PathBuf| format!("artifact {} is a link or another thing that is not a file", path.display());
    left_out.extend(done.artifacts.no_files.iter().map(no_file));
    left_out.extend(done.gone.left_out());
    left_out
}

fn shape(from: &Path, to: &Path, done: &Done, left_out: &[String]) -> Value {
    let Done { runs, models, artifacts, gone } = done;
    json!({
        "from": from.to_string_lossy(),
        "to": to.to_string_lossy(),
        "seen": runs.seen,
        "runs": runs.added,
        "updated": runs.updated,
        "logged_models": runs.models_added,
        "logged_models_updated": runs.models_updated,
        "points": runs.points,
        "deleted": runs.deleted.len(),
        "metrics_deleted": runs.metrics_deleted,
        "removed": runs.removed.len(),
        "metrics_removed": runs.metrics_removed,
        "experiments_marked": runs.experiments_marked.len(),
        "experiments_removed": runs.experiments_removed.len(),
        "artifact_folders_removed": gone.folders.len(),
        "models_removed": models.removed.len(),
        "experiments": runs.experiments_updated,
        "models": models.added.len() + models.updated.len(),
        "artifacts": artifacts.files,
        "artifact_bytes": artifacts.bytes,
        "left_out": left_out,
    })
}

fn text(from: &Path, to: &Path, done: &Done, left_out: &[String]) -> String {
    let Done { runs, models, artifacts, gone } = done;
    let mut text = format!(
        "{} → {}: {} new and {} updated of {}, {}, {}, {}\n",
        escape(&from.display().to_string()),
        escape(&to.display().to_string()),
        count(runs.added),
        count(runs.updated),
        plural(runs.seen, "run", "runs"),
        plural(runs.points, "point", "points"),
        plural((models.added.len() + models.updated.len()) as u64, "model", "models"),
        plural(artifacts.files, "artifact", "artifacts"),
    );
    if runs.models_added + runs.models_updated > 0 {
        let new = plural(runs.models_added, "logged model", "logged models");
        text += &format!("{new} new, {} updated\n", count(runs.models_updated));
    }
    let removed: Vec<String> = [
        (runs.removed.len() as u64, ("run", "runs")),
        (runs.metrics_removed, ("metric", "metrics")),
        (runs.experiments_removed.len() as u64, ("experiment", "experiments")),
        (models.removed.len() as u64, ("model", "models")),
        (gone.folders.len() as u64, ("folder of artifacts", "folders of artifacts")),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, (one, many))| plural(number, one, many))
    .collect();
    if !removed.is_empty() {
        text += &format!("deleted for good as in the source: {}\n", removed.join(", "));
    }
    if !runs.experiments_marked.is_empty() {
        let marked = plural(runs.experiments_marked.len() as u64, "experiment", "experiments");
        text += &format!("deleted or restored as in the source: {marked}\n");
    }
    if runs.experiments_updated > 0 {
        text += &format!("took names or tags of {}\n", plural(runs.experiments_updated, "experiment", "experiments"));
    }
    if !runs.deleted.is_empty() {
        let deleted = plural(runs.deleted.len() as u64, "run was", "runs were");
        text += &format!("{deleted} deleted for good there, and left alone\n");
    }
    if runs.metrics_deleted > 0 {
        let deleted = plural(runs.metrics_deleted, "metric was", "metrics were");
        text += &format!("{deleted} deleted for good there, and left alone\n");
    }
    text.extend(left_out.iter().map(|place| format!("left out: {}\n", escape(place))));
    text
}
