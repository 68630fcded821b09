//! DVCLive's folder as one run: `plots/metrics/**.tsv` are its series, `params.yaml` its params, and what
//! `metrics.json` has beside them its tags.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::context::Context;
use crate::mlflow::meta;
use crate::number;
use crate::report::Kind;
use crate::run::ImportError;
use crate::table::inexact::Inexact;
use crate::table::records::Records;
use crate::table::rows::Rows;
use crate::table::times::{Cell, Times};
use crate::table::{csv, document, json};
use crate::walk::{Group, SourceFile};
use crate::{slashed, text};

/// Where the series are.
pub(crate) const SERIES: &str = "plots/metrics";
/// The files that are read with them.
pub(crate) const FILES: [&str; 2] = ["metrics.json", "params.yaml"];
/// Folders nested deeper are reported, not read.
const DEPTH_MAX: usize = 64;

/// Whether a folder is one.
pub(crate) fn is_folder(folder: &Path) -> bool {
    let is_own = |path: &Path| path.is_dir() && !path.is_symlink();
    let series = folder.join(SERIES);
    is_own(&series)
        && series.parent().is_some_and(is_own)
        && (FILES.iter().any(|name| folder.join(name).is_file())
            || folder.file_name().is_some_and(|name| name == "dvclive"))
}

/// Whether a file is there that is not a link: a walk tells those.
fn is_own_file(path: &Path) -> bool {
    path.is_file() && !path.is_symlink()
}

/// Reads a folder.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    for file in &group.files {
        let mut rows = Rows::one("dvclive", file);
        // Which series come first changes as metrics are added: the folder is known by its place.
        rows.known_by_place();
        let mut keys = Vec::new();
        for (key, path) in series_below(&file.path.join(SERIES), context) {
            let one = SourceFile { path, ..file.clone() };
            if let Err(error) = read_series(&key, &one, &mut rows, context) {
                context.not_to_its_end(&one.path, error);
            }
            keys.push(key);
        }
        let params = file.path.join("params.yaml");
        if is_own_file(&params) {
            match meta::read_nested(&params) {
                Ok(found) => rows.params.extend(found),
                Err(why) => context.leave_out(&params, Kind::File, 1, why),
            }
        }
        let latest = SourceFile { path: file.path.join("metrics.json"), ..file.clone() };
        if is_own_file(&latest.path) {
            match document::parse(&latest, context) {
                Ok(Value::Object(members)) => members.iter().for_each(|(name, value)| {
                    json::flatten_words(name, value, "/", &mut |key, word| {
                        if !keys.iter().any(|known| known == key) {
                            rows.tags.push((key.to_owned(), word));
                        }
                    });
                }),
                Ok(_) => context.leave_out(&latest.path, Kind::File, 1, "no JSON object; left out"),
                Err(why) => context.leave_out(&latest.path, Kind::File, 1, why),
            }
        }
        rows.finish(context)?;
        context.advance(&file.path, file.bytes);
    }
    Ok(())
}

/// The files of series with their keys, sorted.
fn series_below(folder: &Path, context: &mut Context<'_>) -> Vec<(String, PathBuf)> {
    let (mut found, mut pending) = (Vec::new(), vec![(folder.to_path_buf(), 0)]);
    while let Some((next, depth)) = pending.pop() {
        let listing = match fs::read_dir(&next) {
            Ok(listing) => listing,
            Err(error) => {
                context.cannot_list(&next, &error);
                continue;
            }
        };
        for path in listing.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            if path.is_symlink() {
                context.leave_out(&path, Kind::File, 1, "a link; not followed in a folder of DVCLive");
            } else if path.is_dir() && depth < DEPTH_MAX {
                pending.push((path, depth + 1));
            } else if path.is_file() && path.extension().is_some_and(|ending| ending == "tsv") {
                found.push((slashed(&path.strip_prefix(folder).unwrap_or(&path).with_extension("")), path));
            } else {
                context.leave_out(&path, Kind::File, 1, "not a series of DVCLive; left out");
            }
        }
    }
    found.sort();
    found
}

/// Reads a series: columns `step`, the metric's own, and `timestamp` where there is one.
fn read_series(key: &str, file: &SourceFile, rows: &mut Rows<'_>, context: &mut Context<'_>) -> std::io::Result<()> {
    let mut records = Records::new(text::open(&file.path)?, b'\t', 0);
    let names = records.header()?;
    let place = |wanted: &str| names.iter().position(|name| name == wanted);
    let (step_at, time_at) = (place("step"), place("timestamp"));
    let own = place(key.rsplit('/').next().unwrap_or(key)).or_else(|| place(key));
    let value_at = own.or_else(|| (0..names.len()).rev().find(|at| Some(*at) != step_at && Some(*at) != time_at));
    let (Some(step_at), Some(value_at)) = (step_at, value_at) else {
        context.leave_out(&file.path, Kind::File, 1, "no columns step and value; left out");
        return Ok(());
    };
    let (mut times, mut inexact, mut cut) = (Times::default(), Inexact::default(), None);
    while let Some(record) = text::or_cut(records.next(), &mut cut) {
        if !csv::is_whole(&record, names.len(), file, context) {
            continue;
        }
        let time = time_at.map(|at| record.text(at)).filter(|cell| !cell.is_empty());
        let timestamp_ms =
            time.and_then(|cell| match times.take(cell, number::time_text_to_ms(cell), false, record.offset) {
                Cell::At(ms) => Some(ms),
                Cell::Lost | Cell::Value => None,
            });
        match (number::step(record.text(step_at)), number::value(record.text(value_at))) {
            (Some(step), Some(value)) => {
                inexact.look(record.text(value_at), value, record.offset);
                rows.builder("").push(key, step, timestamp_ms, value);
            }
            _ => context.skip(&file.path, Some(record.offset), "a row without step or value; passed over"),
        }
    }
    cut.into_iter().for_each(|error| context.not_to_its_end(&file.path, error));
    times.tell(&file.path, context);
    inexact.tell(&file.path, context);
    csv::tell_encoding(&records, file, context);
    Ok(())
}
