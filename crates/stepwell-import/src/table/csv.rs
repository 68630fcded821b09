//! CSV (RFC 4180) in long or wide form, with `,`, `;`, `|` or tab between the fields; SB3's monitor files are handed
//! on.
//!
//! A row that begins within quotes, or that has no line break at its end, is not taken: the first is part of a cell,
//! and the second may be half-written.

use std::io::{self, BufRead, Chain, Cursor, Read};
use std::path::Path;

use crate::context::Context;
use crate::lines::LINE_BYTES_MAX;
use crate::number;
use crate::options::Options;
use crate::reading::{Progress, Stop, each_file};
use crate::report::Kind;
use crate::run::ImportError;
use crate::table::cells::Cells;
use crate::table::columns;
use crate::table::monitor;
use crate::table::records::{Record, Records, delimiter_of};
use crate::table::rows::{LastRows, Rows};
use crate::text::{self, Text};
use crate::walk::{Group, SourceFile};

/// Reads a CSV file.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    each_file(group, "", context, read_file)
}

/// A table from its header row on.
type Body = Records<Chain<Cursor<Vec<u8>>, Text>>;

/// What a file is by its first lines.
enum Start {
    /// A monitor file; its first line.
    Monitor(Vec<u8>, Text),
    /// A table: its records, its delimiter, and the names in a comment before the rows, as numpy writes them.
    Table(Box<Body>, u8, Option<Vec<String>>),
    /// There is no row.
    Empty,
}

/// Goes to the header row: behind blank lines, comments, and Excel's `sep=;`.
fn start(path: &Path) -> io::Result<Start> {
    let mut text = text::open(path)?;
    let (mut offset, mut line, mut said, mut comment) = (0, Vec::new(), None, None);
    loop {
        let read = text::read_line(&mut text, &mut line, LINE_BYTES_MAX)? as u64;
        if read == 0 {
            return Ok(Start::Empty);
        }
        if let Some(rest) = line.strip_prefix(b"#") {
            let rest = rest.trim_ascii();
            if rest.starts_with(b"{") {
                return Ok(Start::Monitor(line, text));
            }
            comment = Some(rest.to_vec());
        } else if let Some([delimiter]) = line.strip_prefix(b"sep=").map(<[u8]>::trim_ascii_end) {
            said = Some(*delimiter);
        } else if !line.trim_ascii().is_empty() {
            let delimiter = said.unwrap_or_else(|| delimiter_of(&line));
            let names = |comment: Vec<u8>| {
                let mut records = Records::new(&comment[..], delimiter, 0);
                records.next().ok().flatten().map(|record| record.iter().map(str::to_owned).collect())
            };
            let records = Records::new(Cursor::new(line).chain(text), delimiter, offset);
            return Ok(Start::Table(Box::new(records), delimiter, comment.and_then(names)));
        }
        offset += read;
    }
}

/// The names of the columns: the caller's, those of a comment over rows of numbers, or the first row.
fn header(
    records: &mut Body,
    comment: Option<Vec<String>>,
    options: &Options,
) -> io::Result<Result<Vec<String>, String>> {
    let (numbers, first) = match records.next()? {
        Some(first) => (
            first.iter().all(|cell| number::value(cell).is_some()),
            first.iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect::<Vec<_>>(),
        ),
        None => return Ok(Err("no header row; not imported".into())),
    };
    if let Some(names) = &options.columns {
        records.unread();
        return Ok(if names.len() == first.len() {
            Ok(names.clone())
        } else {
            Err(format!("{} columns, but --columns names {}; not imported", first.len(), names.len()))
        });
    }
    if options.no_header {
        records.unread();
        return Ok(Ok((1..=first.len()).map(|number| format!("column_{number}")).collect()));
    }
    if numbers {
        if let Some(names) = comment.filter(|names| names.len() == first.len()) {
            records.unread();
            return Ok(Ok(names));
        }
        let why = format!(
            "the first row is {} numbers, not names; not imported. --columns NAME,... names the columns of files \
             without a header row, --no-header numbers them, --step-column says which has the steps",
            first.len()
        );
        return Ok(Err(why));
    }
    Ok(Ok(first))
}

/// Says how many rows were no UTF-8.
pub(crate) fn tell_encoding<R: BufRead>(records: &Records<R>, file: &SourceFile, context: &mut Context<'_>) {
    match records.recoded() {
        0 => {}
        rows => {
            let note = format!("not UTF-8 in rows, the header included: {rows}; read as Windows-1252 (Latin-1)");
            context.note(&file.path, note);
        }
    }
}

/// Whether a row is whole; reports one that is not.
pub(crate) fn is_whole(record: &Record<'_>, fields: usize, file: &SourceFile, context: &mut Context<'_>) -> bool {
    let mut skip = |reason: String| context.skip(&file.path, Some(record.offset), reason);
    if !record.ended && !file.complete {
        let lines = match record.lines {
            0 => "the last row has no line break at its end, so it may be half-written".to_owned(),
            more => format!("a quote is opened and not closed in the {} lines to the end", more + 1),
        };
        skip(format!("{lines}; left out until it is ended"));
        return false;
    }
    if record.too_long {
        skip("a row too long; passed over".into());
        return false;
    }
    let lines = if record.lines > 1 { format!(" in {} lines", record.lines) } else { String::new() };
    if record.malformed {
        skip(format!("a row{lines} with text behind a closing quote; passed over"));
        return false;
    }
    if record.len() != fields {
        skip(format!("a row of {} fields{lines} where the header has {fields}; passed over", record.len()));
        return false;
    }
    true
}

fn read_file(file: &SourceFile, progress: &mut Progress<'_>, context: &mut Context<'_>) -> Result<(), Stop> {
    let (mut records, delimiter, comment) = match start(&file.path)? {
        Start::Monitor(line, text) => return monitor::read(file, &line, text, context),
        Start::Table(records, delimiter, comment) => (records, delimiter, comment),
        Start::Empty => {
            context.leave_out(&file.path, Kind::File, 1, "no header row; not imported");
            return Ok(());
        }
    };
    let named = header(&mut records, comment, context.options)?.and_then(|names| {
        let columns = columns::recognise(&names.iter().map(String::as_str).collect::<Vec<_>>(), context.options)?;
        Ok((names, columns))
    });
    let (names, columns) = match named {
        Ok(named) => named,
        Err(reason) => {
            context.leave_out(&file.path, Kind::File, 1, reason);
            return Ok(());
        }
    };
    let mut rows = match columns.run {
        None => Rows::one("csv", file),
        Some(run) => Rows::many("csv", file, last_rows(file, run, &names, context.options)?, columns.own_ids),
    };
    let mut cells = Cells::new(file, delimiter, &columns, names.len());
    let (mut row, mut cut) = (0u64, None);
    while let Some(record) = text::or_cut(records.next(), &mut cut) {
        let (offset, run) = (record.offset, columns.run.map_or("", |run| record.text(run)).to_owned());
        if is_whole(&record, names.len(), file, context) {
            if !repeats(&record, &names) {
                cells.take(&record, row, &run, &mut rows, context);
            }
            rows.row_done(&run, row, context)?;
        }
        row += 1;
        progress.reach_row(row, offset, context);
    }
    cells.tell(&mut rows, context);
    tell_encoding(&records, file, context);
    cut.into_iter().for_each(|error| context.not_to_its_end(&file.path, error));
    Ok(rows.finish(context)?)
}

/// Shows every whole row of a table below its header row, as far as the file can be read.
pub(crate) fn each_row(file: &SourceFile, options: &Options, fields: usize, mut look: impl FnMut(&Record<'_>)) {
    let Ok(Start::Table(mut records, _, comment)) = start(&file.path) else { return };
    if !matches!(header(&mut records, comment, options), Ok(Ok(_))) {
        return;
    }
    while let Ok(Some(record)) = records.next() {
        if record.len() == fields && !record.malformed && (record.ended || file.complete) {
            look(&record);
        }
    }
}

/// The first pass over a table with a run column: the last row of each run.
fn last_rows(file: &SourceFile, run: usize, names: &[String], options: &Options) -> io::Result<LastRows> {
    let mut last = LastRows::default();
    let Start::Table(mut records, _, comment) = start(&file.path)? else { return Ok(last) };
    if header(&mut records, comment, options)?.is_err() {
        return Ok(last);
    }
    let mut row = 0;
    // Where the file cannot be read further, its rows end.
    while let Ok(Some(record)) = records.next() {
        if record.len() == names.len() && (record.ended || file.complete) {
            last.note(record.text(run), row);
        }
        row += 1;
    }
    Ok(last)
}

/// Whether a row repeats the header, as writers do that are started again on an old file.
fn repeats(record: &Record<'_>, names: &[String]) -> bool {
    record.iter().zip(names).all(|(field, name)| field == name)
}
