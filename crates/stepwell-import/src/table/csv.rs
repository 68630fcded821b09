//! CSV in long or wide form, with `,`, `;` or tab between the fields; SB3's monitor files are handed on.
//!
//! A row is a line: quoted line breaks are not known, so that a lost quote costs its line and not the file.

use std::borrow::Cow;
use std::fs::File;
use std::io;

use crate::context::Context;
use crate::lines::{Line, Lines};
use crate::number;
use crate::run::ImportError;
use crate::table::columns::{self, Columns};
use crate::table::monitor;
use crate::table::rows::{LastRows, Rows};
use crate::walk::{Group, SourceFile};

/// Rows between two words of progress.
const PROGRESS_ROWS: u64 = 1 << 16;

/// Reads a CSV file.
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

/// A header row.
struct Header {
    delimiter: u8,
    names: Vec<String>,
}

/// The bytes told as progress, or the sink's error; the outer error is the file's.
fn read_file(file: &SourceFile, context: &mut Context<'_>) -> io::Result<Result<u64, ImportError>> {
    let mut lines = Lines::new(File::open(&file.path)?);
    let header = loop {
        let Some(line) = lines.next()? else {
            context.skip(&file.path, Some(0), "no header row; not imported");
            return Ok(Ok(0));
        };
        if line.offset == 0 && line.bytes.starts_with(b"#{") {
            let first = line.bytes.to_vec();
            return monitor::read(file, &first, lines, context);
        }
        if !line.bytes.is_empty() && !line.bytes.starts_with(b"#") {
            break header_of(&line);
        }
    };
    let names: Vec<&str> = header.names.iter().map(String::as_str).collect();
    let columns = match columns::recognise(&names) {
        Ok(columns) => columns,
        Err(reason) => {
            context.skip(&file.path, Some(0), reason);
            return Ok(Ok(0));
        }
    };
    let mut rows = match columns.run {
        None => Rows::one("csv", file),
        Some(run) => Rows::many("csv", file, last_rows(file, run, &header, lines.offset())?),
    };
    let mut table = Table {
        file,
        header: &header,
        columns: &columns,
        text: vec![Text::Unseen; header.names.len()],
        bad_times: None,
    };
    let (mut row, mut told) = (0, 0);
    while let Some(line) = lines.next()? {
        if line.bytes.is_empty() && !line.too_long {
            continue;
        }
        let mut fields = Vec::with_capacity(header.names.len());
        split(line.bytes, header.delimiter, &mut fields);
        let run =
            columns.run.and_then(|run| fields.get(run)).map(|field| String::from_utf8_lossy(field)).unwrap_or_default();
        table.take(&line, &fields, &run, &mut rows, context);
        if let Err(error) = rows.row_done(&run, row, context) {
            return Ok(Err(error));
        }
        row += 1;
        if row % PROGRESS_ROWS == 0 {
            let offset = line.offset;
            context.advance(&file.path, offset - told);
            told = offset;
        }
    }
    table.tell_texts(&mut rows, context);
    table.tell_left_out(context);
    Ok(rows.finish(context).map(|()| told))
}

/// Splits the header with whichever delimiter gives the most fields.
fn header_of(line: &Line<'_>) -> Header {
    let bytes = line.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line.bytes);
    let mut best = Header { delimiter: b',', names: Vec::new() };
    for delimiter in [b',', b'\t', b';'] {
        let mut fields = Vec::new();
        split(bytes, delimiter, &mut fields);
        if fields.len() > best.names.len() {
            best = Header {
                delimiter,
                names: fields.iter().map(|field| String::from_utf8_lossy(field).trim().to_owned()).collect(),
            };
        }
    }
    best
}

/// A line's fields; quotes around a field are taken off, doubled ones inside are one.
pub(crate) fn split<'l>(line: &'l [u8], delimiter: u8, fields: &mut Vec<Cow<'l, [u8]>>) {
    let mut rest = line;
    loop {
        if let Some(quoted) = rest.strip_prefix(b"\"") {
            let mut field = Vec::new();
            let mut at = 0;
            loop {
                match (quoted.get(at), quoted.get(at + 1)) {
                    (Some(b'"'), Some(b'"')) => at += 1,
                    (Some(b'"') | None, _) => break,
                    _ => {}
                }
                field.extend(quoted.get(at));
                at += 1;
            }
            fields.push(Cow::Owned(field));
            // What stands between the closing quote and the delimiter is passed over.
            let after = quoted.get(at..).unwrap_or_default();
            match after.iter().position(|byte| *byte == delimiter) {
                Some(at) => rest = &after[at + 1..],
                None => return,
            }
        } else {
            match rest.iter().position(|byte| *byte == delimiter) {
                Some(at) => {
                    fields.push(Cow::Borrowed(&rest[..at]));
                    rest = &rest[at + 1..];
                }
                None => {
                    fields.push(Cow::Borrowed(rest));
                    return;
                }
            }
        }
    }
}

/// The first pass over a table with a run column.
fn last_rows(file: &SourceFile, run: usize, header: &Header, from: u64) -> io::Result<LastRows> {
    let mut lines = Lines::new(File::open(&file.path)?);
    let (mut last, mut row) = (LastRows::default(), 0);
    while let Some(line) = lines.next()? {
        if line.offset < from || (line.bytes.is_empty() && !line.too_long) {
            continue;
        }
        let mut fields = Vec::with_capacity(header.names.len());
        split(line.bytes, header.delimiter, &mut fields);
        if let Some(field) = fields.get(run).filter(|_| fields.len() == header.names.len()) {
            last.note(&String::from_utf8_lossy(field), row);
        }
        row += 1;
    }
    Ok(last)
}

/// What a wide column's cells were so far.
#[derive(Clone, Debug)]
enum Text {
    /// Empty, or nothing yet.
    Unseen,
    /// Numbers, at least one.
    Numbers,
    /// One and the same text in each row: the text, the offset of the first row, how many rows.
    Constant(String, u64, u64),
    /// Texts; the first at this offset, in so many rows.
    Texts(u64, u64),
}

/// A table being read.
struct Table<'t> {
    file: &'t SourceFile,
    header: &'t Header,
    columns: &'t Columns,
    text: Vec<Text>,
    /// The first time that could not be read: its offset and words, and how many there are.
    bad_times: Option<(u64, String, u64)>,
}

impl Table<'_> {
    /// Takes a row's points, or reports the row.
    fn take(
        &mut self,
        line: &Line<'_>,
        fields: &[Cow<'_, [u8]>],
        run: &str,
        rows: &mut Rows<'_>,
        context: &mut Context<'_>,
    ) {
        let mut skip = |reason: String| context.skip(&self.file.path, Some(line.offset), reason);
        if line.too_long {
            return skip("a line too long for a row; passed over".into());
        }
        if fields.len() != self.header.names.len() {
            let torn = if line.ended { "" } else { ", and the file ends in it" };
            return skip(format!(
                "a row of {} fields where the header has {}{torn}; passed over",
                fields.len(),
                self.header.names.len()
            ));
        }
        let text =
            |at: usize| fields.get(at).and_then(|field| std::str::from_utf8(field).ok()).unwrap_or("\u{fffd}").trim();
        if columns_repeat_header(self.header, fields) {
            return;
        }
        let Some(step) = number::step(text(self.columns.step)) else {
            return skip(format!("{:?} is no step; the row is passed over", text(self.columns.step)));
        };
        let time = self.columns.time.map(|time| (text(time.at), time.is_ms)).filter(|(time, _)| !time.is_empty());
        let timestamp_ms =
            time.and_then(|(time, is_ms)| if is_ms { number::step(time) } else { number::time_text_to_ms(time) });
        if let (Some((time, _)), None) = (time, timestamp_ms) {
            self.bad_times.get_or_insert_with(|| (line.offset, time.to_owned(), 0)).2 += 1;
        }
        if let Some((key, value)) = self.columns.long {
            return match (std::str::from_utf8(&fields[key]), number::value(text(value))) {
                (Ok(key), Some(value)) => rows.gather(run).push(key, step, timestamp_ms, value),
                (Ok(_), None) => skip(format!("{:?} is no value; the row is passed over", text(value))),
                (Err(_), _) => skip("a key that is no UTF-8; the row is passed over".into()),
            };
        }
        for (_, at) in &self.columns.nameless {
            if !text(*at).is_empty() {
                self.text[*at] = match self.text[*at] {
                    Text::Texts(offset, count) => Text::Texts(offset, count + 1),
                    _ => Text::Texts(line.offset, 1),
                };
            }
        }
        for (name, at) in &self.columns.metrics {
            let cell = text(*at);
            if cell.is_empty() {
                continue;
            }
            let seen = &mut self.text[*at];
            if let Some(value) = number::value(cell) {
                rows.gather(run).push(name, step, timestamp_ms, value);
                match *seen {
                    Text::Unseen => *seen = Text::Numbers,
                    Text::Constant(_, offset, count) => *seen = Text::Texts(offset, count),
                    Text::Numbers | Text::Texts(..) => {}
                }
                continue;
            }
            *seen = match std::mem::replace(seen, Text::Unseen) {
                Text::Unseen => Text::Constant(cell.to_owned(), line.offset, 1),
                Text::Constant(known, offset, count) if known == cell => Text::Constant(known, offset, count + 1),
                Text::Constant(_, offset, count) | Text::Texts(offset, count) => Text::Texts(offset, count + 1),
                Text::Numbers => Text::Texts(line.offset, 1),
            };
        }
    }

    /// A column of one constant text is a param of the table's only run; other texts are reported.
    fn tell_texts(&mut self, rows: &mut Rows<'_>, context: &mut Context<'_>) {
        for (name, at) in &self.columns.metrics {
            match &self.text[*at] {
                Text::Constant(text, ..) if self.columns.run.is_none() => {
                    rows.params.push((name.clone(), text.clone()))
                }
                Text::Constant(..) => {
                    context.skip(&self.file.path, None, format!("column {name:?} holds a text; left out"))
                }
                Text::Texts(offset, count) => {
                    context.skip(
                        &self.file.path,
                        Some(*offset),
                        format!("column {name:?} holds text, not a number, in rows that were left out: {count}"),
                    );
                }
                Text::Unseen | Text::Numbers => {}
            }
        }
    }

    /// Reports what was lost to columns without a name of their own, and to times that are none.
    fn tell_left_out(&self, context: &mut Context<'_>) {
        for (why, at) in &self.columns.nameless {
            if let Text::Texts(offset, count) = self.text[*at] {
                let reason = format!("{why}; left out with its cells, {count}: give it a name of its own");
                context.skip(&self.file.path, Some(offset), reason);
            }
        }
        if let Some((offset, time, count)) = &self.bad_times {
            let reason = format!("{time:?} is no time; points kept without one, in rows: {count}");
            context.skip(&self.file.path, Some(*offset), reason);
        }
    }
}

/// Whether a row repeats the header, as writers do that are started again on an old file.
fn columns_repeat_header(header: &Header, fields: &[Cow<'_, [u8]>]) -> bool {
    header.names.iter().zip(fields).all(|(name, field)| field.trim_ascii() == name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_with_and_without_quotes() {
        let fields = |line: &str| {
            let mut fields = Vec::new();
            split(line.as_bytes(), b',', &mut fields);
            fields.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(fields("a,b,"), ["a", "b", ""]);
        assert_eq!(fields(r#""a,""b""",c"#), ["a,\"b\"", "c"]);
        assert_eq!(fields(r#""open,c"#), ["open,c"]);
        assert_eq!(fields(r#""a"x,b"#), ["a", "b"]);
        assert_eq!(fields(""), [""]);
    }
}
