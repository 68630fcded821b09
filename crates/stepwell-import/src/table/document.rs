//! JSON documents: an array of objects, each a row, an object of which `log_history` is one, or an object of columns.

use std::io::Read;

use serde_json::Value;

use crate::context::Context;
use crate::options::Options;
use crate::reading::each_file;
use crate::report::Kind;
use crate::run::ImportError;
use crate::table::columnar::{self, ROW};
use crate::table::inexact::Inexact;
use crate::table::json;
use crate::table::objects::Objects;
use crate::table::rows::Rows;
use crate::text;
use crate::walk::{Group, SourceFile};

/// Longer documents are reported, not read: a document is in memory as a whole.
const BYTES_MAX: u64 = 256 << 20;

/// Reads a document. Numbers that the value has otherwise than the text are told.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn parse(file: &SourceFile, context: &mut Context<'_>) -> Result<Value, String> {
    let mut bytes = Vec::new();
    let read = text::open(&file.path).and_then(|text| text.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        context.count_unread();
        return Err(format!("cannot be read: {error}"));
    }
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("a JSON document of more than {} MiB; not read", BYTES_MAX >> 20));
    }
    let Some((document, lost)) = json::parse_counting(&bytes) else {
        return Err("no whole JSON document, so it may be half-written; left out until it is".into());
    };
    let mut inexact = Inexact::default();
    inexact.lost(0, &lost);
    inexact.tell(&file.path, context);
    Ok(document)
}

/// The rows of a document.
pub(crate) fn rows_of(document: &Value) -> Option<&Vec<Value>> {
    document.as_array().or_else(|| document.get("log_history")?.as_array())
}

/// Takes the rows of a document.
pub(crate) fn take(
    items: &[Value],
    file: &SourceFile,
    options: &Options,
    rows: &mut Rows<'_>,
    context: &mut Context<'_>,
) -> Result<(), ImportError> {
    let mut objects = Objects::new(file, options);
    for (row, item) in items.iter().enumerate() {
        let taken = match item {
            Value::Object(object) => objects.take(object, "", 0, rows),
            _ => Err("a row that is not a JSON object; passed over".into()),
        };
        if let Err(reason) = taken {
            context.leave_out(&file.path, Kind::Row, 1, reason);
        }
        rows.row_done("", row as u64, context)?;
    }
    objects.tell(rows, context);
    Ok(())
}

/// Reads a document of rows or of columns.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    each_file(group, "", context, |file, _, context| {
        match parse(file, context) {
            Ok(document) => read_document(&document, file, context)?,
            Err(reason) => context.leave_out(&file.path, Kind::File, 1, reason),
        }
        Ok(())
    })
}

fn read_document(document: &Value, file: &SourceFile, context: &mut Context<'_>) -> Result<(), ImportError> {
    let mut rows = Rows::one("json", file);
    let options = context.options;
    if let Some(items) = rows_of(document) {
        take(items, file, options, &mut rows, context)?;
        return rows.finish(context);
    }
    let Some(table) = columnar::rows_of(document, options) else {
        context.leave_out(&file.path, Kind::File, 1, "no rows in it");
        return Ok(());
    };
    let by_row = Options { step_column: Some(ROW.to_owned()), ..options.clone() };
    take(&table.rows, file, if table.has_steps { options } else { &by_row }, &mut rows, context)?;
    if let Some((longest, shortest)) = table.uneven {
        let note = format!("its columns have {shortest} to {longest} values; each is counted from its own first one");
        context.note(&file.path, note);
    }
    if let Some(Value::Object(params)) = document.get("params").filter(|_| document.get("history").is_some()) {
        for (name, value) in params {
            json::flatten_words(name, value, ".", &mut |key, word| rows.params.push((key.to_owned(), word)));
        }
    }
    rows.finish(context)
}
