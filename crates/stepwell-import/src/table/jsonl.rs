//! JSON lines: one object a line, in long or wide form; nested objects are flattened with `/`.

use std::fs::File;
use std::io;

use serde_json::{Map, Value};

use crate::context::Context;
use crate::lines::{Line, Lines};
use crate::number;
use crate::run::ImportError;
use crate::table::columns;
use crate::table::json;
use crate::table::rows::{LastRows, Rows};
use crate::walk::{Group, SourceFile};

/// Rows between two words of progress.
const PROGRESS_ROWS: u64 = 1 << 16;

/// Reads a file of JSON lines.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    for file in &group.files {
        let told = match read_file(file, context) {
            Ok(told) => told?,
            Err(error) => {
                context.skip(&file.path, None, format!("cannot be read: {error}"));
                0
            }
        };
        context.advance(&file.path, file.bytes.saturating_sub(told));
    }
    Ok(())
}

fn read_file(file: &SourceFile, context: &mut Context<'_>) -> io::Result<Result<u64, ImportError>> {
    let mut rows = match last_rows(file)? {
        None => Rows::one("jsonl", file),
        Some(last) => Rows::many("jsonl", file, last),
    };
    let mut lines = Lines::new(File::open(&file.path)?);
    let (mut row, mut told, mut points) = (0u64, 0, false);
    while let Some(line) = lines.next()? {
        if line.bytes.trim_ascii().is_empty() && !line.too_long {
            continue;
        }
        let object = match object_of(&line) {
            Ok(object) => object,
            Err(reason) => {
                context.skip(&file.path, Some(line.offset), reason);
                row += 1;
                continue;
            }
        };
        let run = run_of(&object).unwrap_or_default();
        match take(&object, &run, &mut rows) {
            Ok(()) => points = true,
            Err(reason) => context.skip(&file.path, Some(line.offset), reason),
        }
        let offset = line.offset;
        if let Err(error) = rows.row_done(&run, row, context) {
            return Ok(Err(error));
        }
        row += 1;
        if row % PROGRESS_ROWS == 0 {
            context.advance(&file.path, offset - told);
            told = offset;
        }
    }
    if !points {
        context.skip(&file.path, None, "no row with a step; not imported");
        return Ok(Ok(told));
    }
    Ok(rows.finish(context).map(|()| told))
}

fn object_of(line: &Line<'_>) -> Result<Map<String, Value>, String> {
    if line.too_long {
        return Err("a line too long for a row; passed over".into());
    }
    match json::parse(line.bytes) {
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err("a line that is no JSON object; passed over".into()),
        None if line.ended => Err("a line that is no JSON; passed over".into()),
        None => Err("the last line is torn; passed over".into()),
    }
}

/// The first pass, where the first object names a run; `None` where it does not.
fn last_rows(file: &SourceFile) -> io::Result<Option<LastRows>> {
    let mut lines = Lines::new(File::open(&file.path)?);
    let (mut last, mut row, mut any) = (LastRows::default(), 0, false);
    while let Some(line) = lines.next()? {
        if line.bytes.trim_ascii().is_empty() && !line.too_long {
            continue;
        }
        if let Ok(object) = object_of(&line) {
            let run = run_of(&object);
            if !any && run.is_none() {
                return Ok(None);
            }
            any = true;
            last.note(&run.unwrap_or_default(), row);
        }
        row += 1;
    }
    Ok(any.then_some(last))
}

fn run_of(object: &Map<String, Value>) -> Option<String> {
    ["run_id", "run_uuid"].iter().find_map(|name| match object.get(*name)? {
        Value::String(run) => Some(run.clone()),
        Value::Number(run) => Some(run.to_string()),
        _ => None,
    })
}

/// Takes an object's points.
fn take(object: &Map<String, Value>, run: &str, rows: &mut Rows<'_>) -> Result<(), String> {
    let names: Vec<&str> = object.keys().map(String::as_str).collect();
    let columns = columns::recognise(&names)?;
    let value_at = |at: usize| names.get(at).and_then(|name| object.get(*name));
    let step = match value_at(columns.step) {
        Some(Value::Number(step)) => step.as_i64().or_else(|| number::whole(step.as_f64()?)),
        Some(Value::String(step)) => number::step(step),
        _ => None,
    };
    let step = step.ok_or_else(|| format!("{} is no whole number; the row is passed over", names[columns.step]))?;
    let timestamp_ms = columns.time.and_then(|time| match (value_at(time.at)?, time.is_ms) {
        (Value::Number(time), true) => time.as_i64().or_else(|| number::whole(time.as_f64()?)),
        (Value::Number(time), false) => match time.as_i64() {
            Some(whole) if whole.unsigned_abs() >= 100_000_000_000 => Some(whole),
            _ => number::time_to_ms(time.as_f64()?),
        },
        (Value::String(time), true) => number::step(time),
        (Value::String(time), false) => number::time_text_to_ms(time),
        _ => None,
    });
    let gather = rows.gather(run);
    if let Some((key, value)) = columns.long {
        let key = value_at(key).and_then(Value::as_str).ok_or("a key that is no string; the row is passed over")?;
        let value = value_at(value)
            .and_then(json::scalar)
            .ok_or_else(|| format!("the value of {key:?} is no number; the row is passed over"))?;
        gather.push(key, step, timestamp_ms, value);
        return Ok(());
    }
    // An object has each name once; one without a name goes along, and whoever takes the run says that it cannot be.
    for (name, at) in columns
        .metrics
        .iter()
        .map(|(name, at)| (name.as_str(), at))
        .chain(columns.nameless.iter().map(|(_, at)| ("", at)))
    {
        if let Some(value) = value_at(*at) {
            json::flatten(name, value, "/", &mut |key, value| gather.push(key, step, timestamp_ms, value));
        }
    }
    Ok(())
}
