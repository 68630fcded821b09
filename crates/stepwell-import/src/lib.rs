//! Reads other trackers' logs as runs: TensorBoard, MLflow (folders and SQLite), W&B, CSV, JSON lines, Parquet,
//! DVCLive, Hugging Face's `trainer_state.json`.
//!
//! [`import`] walks the given files and folders, recognises each source by its name and first bytes, and gives complete
//! runs to a [`Sink`], one at a time and always in the same order. It writes nothing. What cannot be read is reported
//! with its path and byte offset, and the rest is read. No byte of a source is trusted: no length in it is allocated
//! before the bytes are there.
//!
//! [`EventWriter`] goes the other way, for exports: it writes TensorBoard's event files.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod attached;
mod context;
mod keep;
mod lines;
mod mlflow;
mod number;
mod options;
mod reading;
mod report;
mod run;
mod series;
mod sniff;
mod table;
mod tensorboard;
mod text;
mod walk;
mod wandb;
mod words;

#[cfg(test)]
mod damage;
#[cfg(test)]
mod exactness;
#[cfg(test)]
mod testing;

use std::path::{Path, PathBuf};

pub use crate::attached::{ArtifactFolder, Attached, ImportedExperiment, ImportedModel, Part};
pub use crate::mlflow::is_local;
pub use crate::options::{Format, Options};
pub use crate::report::{Changes, Counts, Kind, Named, Report, Skipped, Taken};
pub use crate::run::{BoxError, ImportError, ImportedRun, ImportedSeries, Sink};
pub use crate::tensorboard::{Ending, EventWriter, is_event_time};
pub use crate::words::RunWords;

use stepwell::RunId;

use crate::context::Context;
use crate::walk::{Group, Source};

/// Reads every source under `paths` and gives its runs to `sink`; see the crate's description.
///
/// Runs keep their own id. A source without ids gets [`RunId::derived`] of its kind, its path relative to the given
/// path, and its beginning. So importing it again gives identical runs, and two projects with the same relative paths
/// give different ones. Of two sources that claim one id, the first is imported and the second reported, except that
/// W&B logs of one run are parts of this run.
///
/// Memory holds one run at a time, and for tables with a run column those runs whose last row has not been seen yet.
///
/// # Errors
/// [`ImportError::Path`] before anything is read when one of `paths` cannot be looked at, [`ImportError::Sink`] when
/// the sink fails. Damage in sources is not an error; it is in [`Report::skipped`].
pub fn import(paths: &[PathBuf], sink: &mut dyn Sink) -> Result<Report, ImportError> {
    import_with(paths, &Options::default(), sink)
}

/// As [`import`], with choices.
///
/// # Errors
/// As there.
pub fn import_with(paths: &[PathBuf], options: &Options, sink: &mut dyn Sink) -> Result<Report, ImportError> {
    let mut context = Context::new(sink, paths, options);
    let groups = walk::find(paths, &mut context)?;
    context.bytes_total = groups.iter().flat_map(|group| &group.files).map(|file| file.bytes).sum();
    for group in &groups {
        context.reading(group.named.iter().copied());
        read_group(group, &mut context)?;
    }
    context.emit_words_alone()?;
    Ok(context.finish())
}

/// Reads one group with the reader of its kind.
fn read_group(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    match group.source {
        Source::TensorBoard => tensorboard::read(group, context),
        Source::WandB => wandb::read(group, context),
        Source::MlRuns => mlflow::folder::read(group, context),
        Source::MlExperiment => mlflow::store::read(group, context),
        Source::MlModel => mlflow::registry::read(group, context),
        Source::MlflowDb => mlflow::database::read(group, context),
        Source::Csv => table::csv::read(group, context),
        Source::JsonLines => table::jsonl::read(group, context),
        Source::Parquet => table::parquet::read(group, context),
        Source::JsonDocument => table::document::read(group, context),
        Source::TrainerState => table::trainer::read(group, context),
        Source::DvcLive => table::dvclive::read(group, context),
    }
}

/// A path's components joined with `/`, the same on every system.
fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

/// The last part of a path as text; empty if it has none.
fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The id of a run that its source does not name: derived from its kind, its path relative to the given path, and its
/// beginning, which distinguishes what two projects have at the same place.
fn placed_id(kind: &str, relative: &str, beginning: &str) -> RunId {
    RunId::derived(kind, &format!("{relative}\0{beginning}"))
}

/// The origin of a run that its source does not name, whatever the source contains by now. `None` if its path could not
/// be named again.
fn origin(kind: &str, path: &Path, run: &str, options: &Options) -> Option<String> {
    if options.stdin.as_deref() == Some(path) {
        return None;
    }
    let path = std::fs::canonicalize(path).ok()?;
    Some(format!("{kind}\0{}\0{run}", path.to_string_lossy()))
}
