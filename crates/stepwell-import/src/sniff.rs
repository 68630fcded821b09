//! What a file is: by its name where that says it, else by its first bytes.

use std::fs::File;
use std::io::{Read, Result};
use std::path::Path;

use serde_json::Value;

use crate::options::{Format, Options};
use crate::table::{columnar, columns, json, objects, records, trainer};
use crate::walk::Source;
use crate::{mlflow, number, tensorboard, text, wandb};

/// So much of a JSON file is looked at.
const JSON_HEAD_BYTES: usize = 256 << 10;
/// So many lines or items of a JSON file are looked at for one with a step.
const JSON_ROWS: usize = 32;

/// How the names of JSON files end that are logs from their first line on: Detectron2's, MMDetection's, Ray's.
const LOG_NAMES: [&str; 4] = ["metrics.json", "log.json", "scalars.json", "result.json"];

/// Endings of texts that may be logs: Keras' `training.log`, `log.txt` with a JSON object a line.
const TEXTS: [&str; 3] = [".log", ".txt", ".dat"];

/// What a file is; `None` for one that is not a log known here.
///
/// # Errors
/// Those of reading it.
pub(crate) fn kind_of(path: &Path, name: &str, options: &Options) -> Result<Option<Source>> {
    let lower = name.to_ascii_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| lower.ends_with(ending));
    let text_ends = |endings: &[&str]| {
        let text = lower.strip_suffix(".gz").unwrap_or(&lower);
        endings.iter().any(|ending| text.ends_with(ending))
    };
    let head = head_of(path)?;
    Ok(if head.starts_with(b"SQLite format 3\0") {
        mlflow::database::is_tracking_store(path).then_some(Source::MlflowDb)
    } else if lower.contains("tfevents") {
        // Profiler traces carry the marker and another ending.
        (!ends(&[".profile-empty", ".pb", ".json", ".gz", ".csv", ".txt"])).then_some(Source::TensorBoard)
    } else if ends(&[".wandb"]) || head.starts_with(wandb::MAGIC) {
        Some(Source::WandB)
    } else if head.starts_with(b"PAR1") || ends(&[".parquet"]) {
        Some(Source::Parquet)
    } else if text_ends(&[".csv", ".tsv"]) || lower == "progress.txt" {
        Some(Source::Csv)
    } else if text_ends(&[".jsonl", ".ndjson"]) {
        Some(Source::JsonLines)
    } else if lower == trainer::NAME {
        Some(Source::TrainerState)
    } else if text_ends(&[".json"]) {
        // One object alone may as well be a configuration.
        let one_is_enough = LOG_NAMES.iter().any(|name| lower.trim_end_matches(".gz").ends_with(name));
        let head = text::head(path, JSON_HEAD_BYTES)?;
        json_kind(&head, if one_is_enough { 1 } else { 2 }, options)
            .or_else(|| json_columns(&head, &lower, false, options))
    } else if text_ends(&TEXTS) {
        let head = text::head(path, JSON_HEAD_BYTES)?;
        let table = || looks_like_csv(&head, true, options).then_some(Source::Csv);
        json_kind(&head, 2, options).filter(|kind| *kind == Source::JsonLines).or_else(table)
    } else {
        None
    })
}

/// What a file is that the caller named or that came by standard input. Its name may say nothing.
///
/// # Errors
/// Those of reading it.
pub(crate) fn kind_of_named(path: &Path, name: &str, options: &Options) -> Result<Option<Source>> {
    if let Some(format) = options.format {
        return Ok(Some(match format {
            Format::Csv => Source::Csv,
            Format::JsonLines => Source::JsonLines,
            Format::Json => Source::JsonDocument,
            Format::Parquet => Source::Parquet,
        }));
    }
    if let Some(known) = kind_of(path, name, options)? {
        return Ok(Some(known));
    }
    // Event files under other names are taken when they were meant: in a folder they may be datasets.
    if tensorboard::is_event_file(&head_of(path)?) {
        return Ok(Some(Source::TensorBoard));
    }
    let head = text::head(path, JSON_HEAD_BYTES)?;
    if let Some(json) = json_kind(&head, 1, options).or_else(|| json_columns(&head, name, true, options)) {
        return Ok(Some(json));
    }
    Ok(looks_like_csv(&head, false, options).then_some(Source::Csv))
}

/// A file's first 16 bytes, or all of a shorter one.
fn head_of(path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(16);
    File::open(path)?.take(16).read_to_end(&mut head)?;
    Ok(head)
}

/// What a JSON file is by its beginning: at least so many lines, or an array, of objects with steps, or a document with
/// a history of them.
fn json_kind(head: &[u8], lines_min: usize, options: &Options) -> Option<Source> {
    let text = head.trim_ascii_start();
    if text.starts_with(b"[") {
        return matches!(json::first(text.get(1..)?), Some(Value::Object(row)) if objects::is_row(&row, options))
            .then_some(Source::JsonDocument);
    }
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).take(JSON_ROWS);
    let mut rows = 0;
    for line in lines {
        match json::parse(line) {
            Some(Value::Object(row)) if objects::is_row(&row, options) => {
                rows += 1;
                if rows >= lines_min {
                    return Some(Source::JsonLines);
                }
            }
            Some(Value::Object(row)) if row.get("log_history").is_some_and(Value::is_array) => {
                return Some(Source::TrainerState);
            }
            Some(Value::Object(_)) => {}
            // Other JSON, one value over many lines.
            _ => break,
        }
    }
    let history = b"\"log_history\"";
    (text.starts_with(b"{") && text.windows(history.len()).any(|part| part == history)).then_some(Source::TrainerState)
}

/// Whether a JSON file is one of columns, by its beginning.
fn json_columns(head: &[u8], name: &str, named: bool, options: &Options) -> Option<Source> {
    if !head.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let document = json::parse(head).or_else(|| columnar::closed(head))?;
    columnar::is_columns(&document, name, named, options).then_some(Source::JsonDocument)
}

/// Whether a text without a telling name begins as a table with a step column does, on its first line that is no
/// comment; with `rows`, also that a row of numbers follows.
fn looks_like_csv(head: &[u8], rows: bool, options: &Options) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    let Some(line) = lines.next().filter(|line| std::str::from_utf8(line).is_ok()) else { return false };
    let delimiter = records::delimiter_of(line);
    let fields = |line: &[u8]| -> Option<Vec<String>> {
        let mut fields = records::Records::new(line, delimiter, 0);
        let record = fields.next().ok().flatten()?;
        Some(record.iter().map(str::to_owned).collect())
    };
    let Some(names) = fields(line).filter(|names| names.len() > 1) else { return false };
    let Ok(columns) = columns::recognise(&names.iter().map(String::as_str).collect::<Vec<_>>(), options) else {
        return false;
    };
    let is_number = |cell: &String| number::value(cell).is_some();
    !rows
        || lines.next().and_then(fields).is_some_and(|row| {
            let is_step = columns.step.column().is_none_or(|at| row.get(at).is_some_and(is_number));
            row.len() == names.len() && is_step && row.iter().filter(|cell| is_number(cell)).count() > 1
        })
}
