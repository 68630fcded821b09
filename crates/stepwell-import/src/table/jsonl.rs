//! JSON lines: one object a line, as trackers, Detectron2, MMDetection and Ray write them.

use std::io;

use serde_json::{Map, Value};

use crate::context::Context;
use crate::lines::{Line, Lines};
use crate::options::Options;
use crate::reading::{Progress, Stop, each_file};
use crate::report::Kind;
use crate::run::ImportError;
use crate::table::inexact::Lost;
use crate::table::json;
use crate::table::objects::{self, Objects};
use crate::table::rows::{LastRows, Rows};
use crate::text;
use crate::walk::{Group, SourceFile};

/// Reads a file of JSON lines.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    each_file(group, "", context, read_file)
}

fn read_file(file: &SourceFile, progress: &mut Progress<'_>, context: &mut Context<'_>) -> Result<(), Stop> {
    let options = context.options;
    let mut rows = match last_rows(file, options)? {
        None => Rows::one("jsonl", file),
        Some((last, own_ids)) => Rows::many("jsonl", file, last, own_ids),
    };
    let mut objects = Objects::new(file, options);
    let mut lines = Lines::new(text::open(&file.path)?);
    let (mut row, mut cut) = (0u64, None);
    while let Some(line) = text::or_cut(lines.next(), &mut cut) {
        if line.bytes.trim_ascii().is_empty() && !line.too_long {
            continue;
        }
        let offset = line.offset;
        match object_of(&line) {
            Err(reason) => context.skip(&file.path, Some(offset), reason),
            Ok((object, lost)) => {
                objects.lost(offset, &lost);
                let run = objects::run_of(&object, options).unwrap_or_default();
                if let Err(reason) = objects.take(&object, &run, offset, &mut rows) {
                    context.skip(&file.path, Some(offset), reason);
                }
                rows.row_done(&run, row, context)?;
            }
        }
        row += 1;
        progress.reach_row(row, offset, context);
    }
    cut.into_iter().for_each(|error| context.not_to_its_end(&file.path, error));
    if !objects.any {
        context.leave_out(&file.path, Kind::File, 1, "no row with a step; not imported");
        return Ok(());
    }
    objects.tell(&mut rows, context);
    Ok(rows.finish(context)?)
}

/// A line's object, and the numbers that it has otherwise than the line.
fn object_of(line: &Line<'_>) -> Result<(Map<String, Value>, Lost), String> {
    if line.too_long {
        return Err("a line too long for a row; passed over".into());
    }
    match json::parse_counting(line.bytes) {
        Some((Value::Object(object), lost)) => Ok((object, lost)),
        Some(_) => Err("a line that is not a JSON object; passed over".into()),
        None if line.ended => Err("a line that is not JSON; passed over".into()),
        None => Err("the last line is torn; left out until it is whole".into()),
    }
}

/// The first pass, where the first object names a run: the last row of each, and whether they are named by ids. `None`
/// where it does not.
fn last_rows(file: &SourceFile, options: &Options) -> io::Result<Option<(LastRows, bool)>> {
    let mut lines = Lines::new(text::open(&file.path)?);
    let (mut last, mut row, mut own_ids) = (LastRows::default(), 0, None);
    // Where the file cannot be read further, its rows end.
    while let Ok(Some(line)) = lines.next() {
        if line.bytes.trim_ascii().is_empty() && !line.too_long {
            continue;
        }
        if let Ok((object, _)) = object_of(&line) {
            let run = objects::run_of(&object, options);
            if own_ids.is_none() && run.is_none() {
                return Ok(None);
            }
            own_ids.get_or_insert_with(|| objects::has_own_id(&object, options));
            last.note(&run.unwrap_or_default(), row);
        }
        row += 1;
    }
    Ok(own_ids.map(|own_ids| (last, own_ids)))
}
