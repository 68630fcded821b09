//! The logs of one W&B run as one run.

use std::fs::File;
use std::path::Path;

use prost::Message;
use stepwell::base::ids::RunId;
use stepwell::index::summary::RunStatus;

use crate::context::Context;
use crate::run::{ImportError, ImportedRun};
use crate::series::Gather;
use crate::walk::{Group, SourceFile};
use crate::wandb::framing::{Next, Records};
use crate::wandb::history;
use crate::wandb::messages::{Record, Run};

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

/// What the logs add up to.
#[derive(Default)]
struct Log {
    gather: Gather,
    run: Option<Run>,
    params: Vec<(String, String)>,
    start_ms: Option<i64>,
    end_ms: Option<i64>,
    exit_code: Option<i32>,
    records: u64,
}

/// Reads the logs of a run, in the order of its starts.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    let mut log = Log::default();
    for file in &group.files {
        // A later start has its own end.
        log.exit_code = None;
        log.end_ms = None;
        if let Err(error) = read_file(file, &mut log, context) {
            context.skip(&file.path, None, format!("cannot be read: {error}"));
        }
        context.advance(&file.path, file.bytes);
    }
    let path = &group.files[0].path;
    if log.records == 0 {
        return Ok(());
    }
    let run = log.run.unwrap_or_default();
    let id = [Some(run.run_id.clone()), id_in_name(path)].into_iter().flatten().find_map(|id| RunId::new(id).ok());
    let id = id.unwrap_or_else(|| RunId::derived("wandb", &group.relative));
    let words = [
        ("wandb.notes", &run.notes),
        ("wandb.group", &run.run_group),
        ("wandb.job_type", &run.job_type),
        ("wandb.sweep", &run.sweep_id),
        ("wandb.host", &run.host),
    ];
    let mut tags: Vec<_> = words
        .into_iter()
        .filter(|(_, word)| !word.is_empty())
        .map(|(key, word)| (key.to_owned(), word.clone()))
        .collect();
    if !run.tags.is_empty() {
        tags.push(("wandb.tags".into(), run.tags.join(",")));
    }
    let imported = ImportedRun {
        source: format!("wandb:{}", group.relative),
        experiment: Some(run.project).filter(|project| !project.is_empty()),
        name: if run.display_name.is_empty() { id.to_string() } else { run.display_name },
        id,
        user: run.entity,
        status: match log.exit_code {
            Some(0) => RunStatus::Finished,
            Some(_) => RunStatus::Failed,
            // W&B writes an exit record whenever it can; without one the process is running or was killed.
            None => RunStatus::Running,
        },
        start_time_ms: log.start_ms,
        end_time_ms: log.end_ms,
        deleted: false,
        params: log.params,
        tags,
        series: log.gather.finish(),
    };
    context.emit(imported, path)
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
                    if let Err(key) = log.take(record) {
                        context.skip(&file.path, Some(offset), format!("the value of {key:?} is no JSON; left out"));
                    }
                }
                Err(_) if !sound => context.skip(&file.path, Some(offset), "a record fails its checksum; passed over"),
                Err(error) => {
                    context.skip(&file.path, Some(offset), format!("a record that is no W&B message: {error}"))
                }
            },
        }
    }
}

impl Log {
    /// Takes a record; the error is the key of a value that is no JSON.
    fn take(&mut self, record: Record) -> Result<(), String> {
        self.records += 1;
        let mut result = Ok(());
        if let Some(row) = &record.history {
            result = history::add_row(&mut self.gather, row);
        }
        if let Some(stats) = &record.stats {
            result = history::add_stats(&mut self.gather, stats);
        }
        if let Some(mut run) = record.run {
            let start_ms = run.start_time.as_ref().and_then(super::messages::Timestamp::to_ms);
            self.start_ms = self.start_ms.or(start_ms);
            for item in run.config.take().iter().flat_map(|config| &config.update) {
                result = result.and(history::set_config(&mut self.params, item));
            }
            self.run = Some(run);
        }
        if let Some(config) = &record.config {
            for item in &config.update {
                result = result.and(history::set_config(&mut self.params, item));
            }
            for item in &config.remove {
                let (key, nested) = (item.full_key(), format!("{}.", item.full_key()));
                self.params.retain(|(known, _)| *known != key && !known.starts_with(&nested));
            }
        }
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
}
