//! All points as one table: Parquet or CSV.

use std::borrow::Cow;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use stepwell::{Columns, Point, RunId};

use super::{Export, PLAIN_NAN, Written, check_free, each_series, odd_nans, tell_points, whole_file, write_runs};
use crate::commands::parquet::Points;
use crate::failure::{Failure, Outcome};
use crate::output;

/// Writes `points.parquet` and `runs.json`.
pub(super) fn parquet(export: &mut Export<'_>) -> Outcome<Written> {
    table(export, "points.parquet", |export, path| {
        let mut counts = (0, 0);
        whole_file(path, |file| {
            let mut out = BufWriter::new(file);
            let mut table = Points::new(&mut out)?;
            counts = each(export, true, |id, key, columns| table.add(id.as_str(), key, columns))?;
            table.finish()?;
            out.flush().map_err(Failure::io("write", path))
        })?;
        Ok(counts)
    })
}

/// Writes `points.csv` and `runs.json`.
pub(super) fn csv(export: &mut Export<'_>) -> Outcome<Written> {
    table(export, "points.csv", |export, path| {
        let mut counts = (0, 0);
        whole_file(path, |file| {
            let mut out = BufWriter::new(file);
            out.write_all(b"run_id,key,step,timestamp_ms,value\n").map_err(Failure::io("write", path))?;
            let rows = |id: &RunId, key: &str, columns: &Columns| {
                csv_rows(&mut out, id, key, columns).map_err(Failure::io("write", path))
            };
            counts = each(export, false, rows)?;
            out.flush().map_err(Failure::io("write", path))
        })?;
        Ok(counts)
    })
}

fn table<'a>(
    export: &mut Export<'a>,
    name: &str,
    write: impl FnOnce(&mut Export<'a>, &Path) -> Outcome<(u64, u64)>,
) -> Outcome<Written> {
    let path: PathBuf = export.to.join(name);
    check_free(&path, export.overwrite)?;
    check_free(&export.to.join(super::RUNS), export.overwrite)?;
    let (series, points) = write(export, &path)?;
    let (runs, words) = write_runs(export)?;
    Ok(Written { runs, series, points, files: vec![path, words] })
}

/// Gives every series, run by run.
fn each(
    export: &mut Export<'_>,
    keeps_bits: bool,
    mut add: impl FnMut(&RunId, &str, &Columns) -> Outcome<()>,
) -> Outcome<(u64, u64)> {
    let mut total = (0, 0);
    export.each_run(|told, run| {
        let mut nans = 0;
        let counts = each_series(run, told, |_, key, columns| {
            nans += if keeps_bits { 0 } else { odd_nans(columns) };
            add(run.id(), key, columns).map(|()| true)
        })?;
        tell_points(told, run, nans, PLAIN_NAN);
        total = (total.0 + counts.0, total.1 + counts.1);
        Ok(())
    })?;
    Ok(total)
}

/// The rows of one series. Run ids need no quotes.
fn csv_rows(out: &mut impl Write, id: &RunId, key: &str, columns: &Columns) -> std::io::Result<()> {
    let special = |c: char| matches!(c, ',' | '"' | ';' | '\t' | '\n' | '\r') || c.is_whitespace();
    let key = match key.contains(special) {
        true => Cow::Owned(format!("\"{}\"", key.replace('"', "\"\""))),
        false => Cow::Borrowed(key),
    };
    for Point { step, timestamp_ms, value } in columns.iter() {
        match timestamp_ms {
            Some(ms) => writeln!(out, "{id},{key},{step},{ms},{}", output::Value(value))?,
            None => writeln!(out, "{id},{key},{step},,{}", output::Value(value))?,
        }
    }
    Ok(())
}
