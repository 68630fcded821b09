//! The logs of one W&B run as parts of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use prost::Message;
use stepwell::{RunId, RunStatus};

use crate::attached::{ArtifactFolder, Attached, Part};
use crate::context::Context;
use crate::keep::Keep;
use crate::report::{Counts, Kind};
use crate::run::{ImportError, ImportedRun};
use crate::walk::{Group, SourceFile};
use crate::wandb::framing::{Next, Records};
use crate::wandb::history::{self, Rows};
use crate::wandb::messages::{Environment, Item, Record, Run, Timestamp};
use crate::{name_of, origin};

/// The run record is looked for in this many first records.
const PEEK_RECORDS_COUNT_MAX: usize = 32;

/// What a log says of its run at its beginning.
pub(crate) struct Head {
    /// The run's id: from the run record, else from the file's name, `run-ID.wandb`.
    pub(crate) id: Option<String>,
    /// When this start of the run began.
    pub(crate) start_time_ms: Option<i64>,
}

/// Reads a log's beginning.
pub(crate) fn peek(path: &Path) -> Head {
    let record = (|| {
        let mut records = Records::new(File::open(path).ok()?).ok()?;
        for _ in 0..PEEK_RECORDS_COUNT_MAX {
            match records.next().ok()? {
                Next::Record { bytes, .. } => {
                    if let Some(run) = Record::decode(bytes.as_slice()).ok().and_then(|record| record.run) {
                        return Some(run);
                    }
                }
                Next::Damage { .. } => {}
                Next::End => return None,
            }
        }
        None
    })();
    Head {
        id: record.as_ref().map(|run| run.run_id.clone()).filter(|id| !id.is_empty()).or_else(|| id_in_name(path)),
        start_time_ms: record.and_then(|run| run.start_time?.to_ms()),
    }
}

fn id_in_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix("run-")?.strip_suffix(".wandb").filter(|id| !id.is_empty()).map(str::to_owned)
}

/// What one log adds up to.
#[derive(Default)]
struct Log {
    rows: Rows,
    run: Option<Run>,
    environment: Option<Environment>,
    /// Params by key, each with the path of names on which its value was found.
    params: BTreeMap<String, (Vec<String>, String)>,
    replaced_params_count: u64,
    end_ms: Option<i64>,
    exit_code: Option<i32>,
    records: u64,
    /// The records up to the first point, by which the log is known wherever it is copied.
    beginning: Vec<u8>,
    has_points: bool,
}

/// Reads the logs of a run, each as a part of it, in the order of its starts. Of copies of one log the longest is
/// taken.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    let mut parts: Vec<(&SourceFile, Log)> = Vec::new();
    for file in &group.files {
        let mut log = Log::default();
        log.rows.keep = Keep::new(context.wants_artifacts());
        if let Err(error) = read_file(file, &mut log, context) {
            context.unread(&file.path, format!("cannot be read: {error}"));
        }
        context.advance(&file.path, file.bytes);
        if log.records == 0 {
            continue;
        }
        match parts.iter_mut().find(|(_, known)| known.has_points && known.beginning == log.beginning) {
            Some((known_file, known)) => {
                context.leave_out(&file.path, Kind::File, 1, "a copy of a log that was read");
                if log.records > known.records {
                    (*known_file, *known) = (file, log);
                }
            }
            None => parts.push((file, log)),
        }
    }
    for (file, log) in parts {
        emit(file, log, context)?;
    }
    Ok(())
}

/// Gives a log to the sink, as a part of its run.
fn emit(file: &SourceFile, mut log: Log, context: &mut Context<'_>) -> Result<(), ImportError> {
    let path = &file.path;
    let run = log.run.take().unwrap_or_default();
    let ids = [Some(run.run_id.clone()), id_in_name(path)];
    let id = ids.into_iter().flatten().find_map(|id| RunId::new(id).ok());
    let id = id.unwrap_or_else(|| RunId::derived("wandb", &file.relative));
    let mut tags = tags(&run, log.environment.take().unwrap_or_default());
    log.rows.close(log.exit_code.is_some(), &mut tags);
    let files = path.parent().map(|folder| folder.join("files")).filter(|files| files.is_dir());
    log.tell(path, files.is_some(), context);
    let started_ms = run.start_time.as_ref().and_then(Timestamp::to_ms);
    let below = path.parent().map(name_of).unwrap_or_default();
    let kept = log.rows.keep.folders().into_iter().map(|kept| kept.folder);
    let attached = Attached {
        artifacts: files
            .into_iter()
            .chain(kept)
            .map(|folder| ArtifactFolder { folder, below: below.clone() })
            .collect(),
        part: Some(Part {
            id: part_id(&log.beginning),
            started_ms,
            place: origin("wandb", path, "", context.options).filter(|_| log.has_points),
            known: Counts::default(),
        }),
        ..Attached::default()
    };
    let imported = ImportedRun {
        own_id: true,
        source: format!("wandb:{}", file.relative),
        experiment: Some(run.project).filter(|project| !project.is_empty()),
        name: if run.display_name.is_empty() { id.to_string() } else { run.display_name },
        id,
        user: run.entity,
        status: log.status(),
        start_time_ms: started_ms,
        end_time_ms: log.end_ms,
        deleted: false,
        params: log.params.into_iter().map(|(key, (_, word))| (key, word)).collect(),
        tags,
        series: log.rows.builder.finish(),
        attached,
    };
    context.emit(imported, path)
}

/// What W&B knows of a run and of its machine, as tags.
fn tags(run: &Run, environment: Environment) -> Vec<(String, String)> {
    let git = run.git.clone().or(environment.git).unwrap_or_default();
    let words = [
        ("wandb.notes", run.notes.clone()),
        ("wandb.group", run.run_group.clone()),
        ("wandb.job_type", run.job_type.clone()),
        ("wandb.sweep", run.sweep_id.clone()),
        ("wandb.host", run.host.clone()),
        ("wandb.git.commit", git.commit),
        ("wandb.git.remote", git.remote_url),
        ("wandb.program", environment.program),
        ("wandb.args", environment.args.join(" ")),
        ("wandb.python", environment.python),
        ("wandb.os", environment.os),
        ("wandb.gpu", environment.gpu),
    ];
    let words = words.into_iter().filter(|(_, word)| !word.is_empty());
    let labels = (!run.tags.is_empty()).then(|| ("wandb.tags", run.tags.join(",")));
    words.chain(labels).map(|(key, word)| (key.to_owned(), word)).collect()
}

/// What tells a log from the other logs of its run.
fn part_id(beginning: &[u8]) -> String {
    let text: String = beginning.iter().map(|byte| format!("{byte:02x}")).collect();
    RunId::derived("wandb log", &text).to_string()
}

fn read_file(file: &SourceFile, log: &mut Log, context: &mut Context<'_>) -> std::io::Result<()> {
    let mut records = Records::new(File::open(&file.path)?)?;
    loop {
        match records.next()? {
            Next::End => return Ok(()),
            Next::Damage { offset, reason } => context.skip(&file.path, Some(offset), reason),
            Next::Record { offset, bytes, sound } => match Record::decode(bytes.as_slice()) {
                Ok(record) => {
                    if !sound {
                        context.skip(
                            &file.path,
                            Some(offset),
                            "a record fails its checksum; it reads as a whole message and was kept",
                        );
                    }
                    if !log.has_points {
                        log.beginning.extend_from_slice(&bytes);
                    }
                    tell_others(&record, file, context);
                    if let Err(key) = log.take(record) {
                        context.skip(&file.path, Some(offset), format!("the value of {key:?} is not JSON; left out"));
                    }
                }
                Err(_) if !sound => context.skip(&file.path, Some(offset), "a record fails its checksum; passed over"),
                Err(error) => {
                    context.skip(&file.path, Some(offset), format!("a record that is not a W&B message: {error}"))
                }
            },
        }
    }
}

/// Counts records that have no place here.
fn tell_others(record: &Record, file: &SourceFile, context: &mut Context<'_>) {
    let mut count = |is_there: bool, kind: Kind, what: &str| {
        context.leave_out(&file.path, kind, u64::from(is_there), format!("{what}: no place here"));
    };
    count(record.output.is_some() || record.output_raw.is_some(), Kind::Record, "output of the console");
    count(record.artifact.is_some(), Kind::Record, "artifacts that were logged to W&B");
    count(record.used_artifact.is_some(), Kind::Record, "artifacts of W&B that were used");
    count(record.tensorboard.is_some(), Kind::Record, "folders of TensorBoard that W&B followed");
    count(record.alert.is_some(), Kind::Record, "alerts");
}

impl Log {
    /// Takes a record; the error is the key of a value that is no JSON.
    fn take(&mut self, record: Record) -> Result<(), String> {
        self.records += 1;
        let mut result = Ok(());
        if let Some(row) = &record.history {
            self.has_points = true;
            result = self.rows.add_row(row);
        }
        if let Some(summary) = &record.summary {
            result = result.and(self.rows.set_summary(summary));
        }
        if let Some(stats) = &record.stats {
            self.has_points = true;
            result = result.and(self.rows.add_stats(stats));
        }
        if let Some(mut run) = record.run {
            let items = run.config.take().map(|config| config.update).unwrap_or_default();
            result = result.and(self.set_config(&items));
            self.run = Some(run);
        }
        if let Some(config) = &record.config {
            result = result.and(self.set_config(&config.update));
            for item in &config.remove {
                let (key, nested) = (item.full_key(), format!("{}.", item.full_key()));
                self.params.retain(|known, _| *known != key && !known.starts_with(&nested));
            }
        }
        self.environment = record.environment.or(self.environment.take());
        if let Some(exit) = record.exit {
            self.exit_code = Some(exit.exit_code);
            let start_ms = self.run.as_ref().and_then(|run| run.start_time.as_ref()?.to_ms());
            // The log knows its run time in whole seconds only.
            self.end_ms = start_ms
                .filter(|_| exit.runtime > 0)
                .and_then(|start| start.checked_add(i64::from(exit.runtime) * 1000));
        }
        result
    }

    /// W&B writes an exit record whenever it can; without one the process is running or was killed.
    fn status(&self) -> RunStatus {
        match self.exit_code {
            Some(0) => RunStatus::Finished,
            Some(_) => RunStatus::Failed,
            None => RunStatus::Running,
        }
    }

    /// Reports what is not taken as it is. `has_files` says whether the files of the run are beside the log.
    fn tell(&self, path: &Path, has_files: bool, context: &mut Context<'_>) {
        for ((kind, what), count) in self.rows.keep.left_out() {
            context.leave_out(path, *kind, *count, what.clone());
        }
        for ((kind, what), count) in &self.rows.in_files {
            let why = match has_files {
                true if context.wants_artifacts() => continue,
                true => "no metrics; their files are in the run's folder, --artifacts copies them",
                false => "no metrics, and the run's folder is not beside the log",
            };
            context.leave_out(path, *kind, *count, format!("values of the type {what}: {why}"));
        }
        self.rows.inexact.tell(path, context);
        let why = "rows whose _step is not a whole number: the record's own number is taken";
        context.leave_out(path, Kind::Row, self.rows.unread_steps, why);
        let why = "rows whose _timestamp is not a time: they have none";
        context.leave_out(path, Kind::Row, self.rows.unread_times, why);
        let why = "config values under one key by two paths (`a.b` and `a` with `b`); the last stands";
        context.leave_out(path, Kind::Param, self.replaced_params_count, why);
    }

    fn set_config(&mut self, items: &[Item]) -> Result<(), String> {
        let mut result = Ok(());
        for item in items {
            match history::set_config(&mut self.params, item, &mut self.rows.inexact) {
                Ok(replaced) => self.replaced_params_count += replaced,
                Err(key) => result = result.and(Err(key)),
            }
        }
        result
    }
}
