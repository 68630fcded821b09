//! Parquet in long or wide form: columns are cast to what they mean, run and key columns to dictionaries.

use std::collections::BTreeSet;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, DictionaryArray, Float64Array, Int64Array, RecordBatch};
use arrow_schema::Schema;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use crate::context::Context;
use crate::reading::{Progress, Stop, each_file};
use crate::report::Kind;
use crate::run::ImportError;
use crate::table::cast::{dictionary, floats, is_number, look_at_whole, times, whole_numbers, word};
use crate::table::columns::{self, Columns, Step, Time, in_part, part_of};
use crate::table::inexact::Inexact;
use crate::table::rows::{LastRows, Rows};
use crate::walk::{Group, SourceFile};

/// Rows decoded at once.
const BATCH_ROWS: usize = 1 << 16;

/// Reads a Parquet file.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    each_file(group, " as Parquet", context, read_file)
}

/// Calls the Parquet crate, which panics on some damaged files; that is the file's fault, not ours to die of.
fn guarded<T>(what: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
    // Nothing of what a panic leaves behind is used again: the caller gives the file up.
    catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|_| Err(Stop::File("the file is damaged".into())))
}

/// A reader of some of the file's columns, the file's schema, and its number of rows.
fn open(file: &SourceFile, only: &[usize]) -> Result<(Batches, Arc<Schema>, u64), Stop> {
    guarded(|| {
        let source = File::open(&file.path)?;
        let length = source.metadata()?.len();
        let builder = ParquetRecordBatchReaderBuilder::try_new(source)?.with_batch_size(BATCH_ROWS);
        check_places(builder.metadata(), length)?;
        let schema = builder.schema().clone();
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let mask = ProjectionMask::roots(builder.parquet_schema(), only.iter().copied());
        Ok((Batches(builder.with_projection(mask).build()?), schema, rows))
    })
}

/// Refuses a footer that points outside the file.
fn check_places(metadata: &ParquetMetaData, length: u64) -> Result<(), Stop> {
    for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let end = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
        if end.and_then(|(start, size)| start.checked_add(size)).is_none_or(|end| end > length) {
            return Err(Stop::File("its footer names pages outside the file".into()));
        }
    }
    Ok(())
}

/// Batches of rows.
struct Batches(ParquetRecordBatchReader);

impl Iterator for Batches {
    type Item = Result<RecordBatch, Stop>;
    fn next(&mut self) -> Option<Self::Item> {
        guarded(|| self.0.next().transpose().map_err(Stop::from)).transpose()
    }
}

/// A row's code in a dictionary; `None` for null.
fn code_at(array: &DictionaryArray<Int32Type>, row: usize) -> Option<i32> {
    array.is_valid(row).then(|| array.keys().value(row))
}

fn read_file(file: &SourceFile, progress: &mut Progress<'_>, context: &mut Context<'_>) -> Result<(), Stop> {
    let (_, schema, total_rows) = open(file, &[0])?;
    let columns = columns_of(&schema, file, context)?;
    let mut rows = match columns.run {
        None => Rows::one("parquet", file),
        Some(run) => Rows::many("parquet", file, last_rows(file, run)?, columns.own_ids),
    };
    let needed = needed(&columns);
    let columns = projected(columns, &needed);
    let (mut row, mut inexact) = (0u64, Inexact::default());
    for batch in open(file, &needed)?.0 {
        let batch = batch?;
        let table = guarded(|| Batch::new(&batch, &columns, row))?;
        let values = columns.metrics.iter().map(|(_, at)| *at).chain(columns.long.map(|(_, value)| value));
        for column in values.filter_map(|at| batch.columns().get(at)) {
            guarded(|| Ok(look_at_whole(column, &mut inexact)?))?;
        }
        table.take(&mut rows, row, file, context)?;
        row += batch.num_rows() as u64;
        let share = u128::from(file.bytes) * u128::from(row) / u128::from(total_rows.max(1));
        progress.reach(u64::try_from(share).unwrap_or(u64::MAX), context);
    }
    inexact.tell(&file.path, context);
    Ok(rows.finish(context)?)
}

/// The columns' meaning. Only numbers are metrics: other columns are left out and reported, but for the part of the
/// training and dates.
fn columns_of(schema: &Schema, file: &SourceFile, context: &mut Context<'_>) -> Result<Columns, Stop> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut columns = columns::recognise(&names, context.options).map_err(Stop::File)?;
    let holds_numbers = |at: usize| is_number(schema.field(at).data_type());
    columns.part = columns.part.filter(|at| !holds_numbers(*at));
    let dates = columns.time.filter(|time| time.dates_only && !holds_numbers(time.at)).map(|time| time.at);
    columns.metrics.retain(|(_, at)| dates != Some(*at) && columns.part != Some(*at));
    let (numbers, others): (Vec<_>, Vec<_>) =
        std::mem::take(&mut columns.metrics).into_iter().partition(|(_, at)| holds_numbers(*at));
    columns.metrics = numbers;
    let names: Vec<_> = others.iter().map(|(name, _)| name.as_str()).collect();
    let why = format!("columns that hold no numbers, left out: {}", names.join(", "));
    context.leave_out(&file.path, Kind::Column, names.len() as u64, why);
    for (why, _) in &columns.nameless {
        context.leave_out(&file.path, Kind::Column, 1, format!("{why}; left out: give it a name of its own"));
    }
    if columns.long.is_none() && columns.metrics.is_empty() {
        return Err(Stop::File("no column of numbers beside the step column".into()));
    }
    Ok(columns)
}

/// The columns to decode, in their order in the file.
fn needed(columns: &Columns) -> Vec<usize> {
    let long = columns.long.map(|(key, value)| [key, value]);
    let single = [columns.step.column(), columns.run, columns.time.map(|time| time.at), columns.part];
    let metrics = columns.metrics.iter().map(|(_, at)| *at);
    let needed: BTreeSet<usize> =
        single.into_iter().flatten().chain(long.into_iter().flatten()).chain(metrics).collect();
    needed.into_iter().collect()
}

/// The columns' places among the needed ones.
fn projected(columns: Columns, needed: &[usize]) -> Columns {
    let place = |at: usize| needed.binary_search(&at).unwrap_or(usize::MAX);
    Columns {
        run: columns.run.map(place),
        own_ids: columns.own_ids,
        step: match columns.step {
            Step::At(at) => Step::At(place(at)),
            Step::Row => Step::Row,
        },
        time: columns.time.map(|time| Time { at: place(time.at), ..time }),
        part: columns.part.map(place),
        epoch: None,
        long: columns.long.map(|(key, value)| (place(key), place(value))),
        metrics: columns.metrics.into_iter().map(|(name, at)| (name, place(at))).collect(),
        nameless: Vec::new(),
    }
}

/// The first pass over a file with a run column.
fn last_rows(file: &SourceFile, run: usize) -> Result<LastRows, Stop> {
    let (mut last, mut row) = (LastRows::default(), 0);
    for batch in open(file, &[run])?.0 {
        let batch = batch?;
        let words = guarded(|| Ok(dictionary(batch.column(0))?))?;
        let values = words.values().as_string::<i32>().clone();
        let mut latest: Option<(i32, u64)> = None;
        let rows = words.len() as u64;
        for (place, code) in words.keys().iter().enumerate() {
            let Some(code) = code else { continue };
            if let Some((known, at)) = latest.filter(|(known, _)| *known != code) {
                last.note(word(&values, known).unwrap_or_default(), at);
            }
            latest = Some((code, row + place as u64));
        }
        if let Some((code, at)) = latest {
            last.note(word(&values, code).unwrap_or_default(), at);
        }
        row += rows;
    }
    Ok(last)
}

/// A batch of rows, its columns cast.
struct Batch<'b> {
    columns: &'b Columns,
    runs: Option<DictionaryArray<Int32Type>>,
    steps: Int64Array,
    times: Option<Int64Array>,
    parts: Option<DictionaryArray<Int32Type>>,
    long: Option<(DictionaryArray<Int32Type>, Float64Array)>,
    metrics: Vec<Float64Array>,
}

impl<'b> Batch<'b> {
    /// A batch whose first row is the file's row `first`.
    fn new(batch: &RecordBatch, columns: &'b Columns, first: u64) -> Result<Self, Stop> {
        let column =
            |at: usize| batch.columns().get(at).ok_or_else(|| Stop::File("a column is missing in a row group".into()));
        Ok(Self {
            columns,
            runs: columns.run.map(|at| Ok::<_, Stop>(dictionary(column(at)?)?)).transpose()?,
            steps: match columns.step {
                Step::At(at) => whole_numbers(column(at)?)?,
                Step::Row => (first..).take(batch.num_rows()).map(|row| i64::try_from(row).ok()).collect(),
            },
            times: columns.time.map(|time| Ok::<_, Stop>(times(column(time.at)?, time)?)).transpose()?,
            parts: columns.part.map(|at| Ok::<_, Stop>(dictionary(column(at)?)?)).transpose()?,
            long: columns
                .long
                .map(|(key, value)| Ok::<_, Stop>((dictionary(column(key)?)?, floats(column(value)?)?)))
                .transpose()?,
            metrics: columns.metrics.iter().map(|(_, at)| Ok(floats(column(*at)?)?)).collect::<Result<_, Stop>>()?,
        })
    }

    /// Takes the batch's points, whose first row is the file's row `first`.
    fn take(&self, rows: &mut Rows<'_>, first: u64, file: &SourceFile, context: &mut Context<'_>) -> Result<(), Stop> {
        let (mut at, mut bad_rows, mut other_parts) = (0, 0u64, 0u64);
        while at < self.steps.len() {
            // Rows of one run mostly follow each other: they are taken together.
            let mut end = self.steps.len();
            let mut run = "";
            if let Some(runs) = &self.runs {
                let code = code_at(runs, at);
                end = (at + 1..end).find(|row| code_at(runs, *row) != code).unwrap_or(end);
                let Some(found) = code.and_then(|code| word(runs.values().as_string::<i32>(), code)) else {
                    bad_rows += (end - at) as u64;
                    at = end;
                    continue;
                };
                run = found;
            }
            let mut part = None;
            if let Some(parts) = &self.parts {
                let code = code_at(parts, at);
                end = (at + 1..end).find(|row| code_at(parts, *row) != code).unwrap_or(end);
                let found = code.and_then(|code| word(parts.values().as_string::<i32>(), code));
                part = found.and_then(part_of);
                if found.is_some() && part.is_none() {
                    other_parts += (end - at) as u64;
                }
            }
            bad_rows += self.take_run(rows, run, part, at, end);
            rows.row_done(run, first + end as u64 - 1, context)?;
            at = end;
        }
        let why = "the column of a training's parts holds other words, which were left out";
        context.leave_out(&file.path, Kind::Cell, other_parts, why);
        if bad_rows > 0 {
            context.skip(
                &file.path,
                None,
                format!(
                    "rows {first} to {}: {bad_rows} without run, step, key or value; passed over",
                    first + self.steps.len() as u64 - 1
                ),
            );
        }
        Ok(())
    }

    /// Takes the rows of one run; says how many had to be passed over.
    fn take_run(&self, rows: &mut Rows<'_>, run: &str, part: Option<&str>, from: usize, to: usize) -> u64 {
        let mut bad_rows = 0;
        let builder = rows.builder(run);
        let time = |row: usize| self.times.as_ref().filter(|times| times.is_valid(row)).map(|times| times.value(row));
        if let Some((keys, values)) = &self.long {
            let words = keys.values().as_string::<i32>();
            // A table of places by code pays for many rows only.
            let mut slots: Vec<Option<usize>> = vec![None; if to - from < words.len() { 0 } else { words.len() }];
            for row in from..to {
                let code = code_at(keys, row).filter(|_| self.steps.is_valid(row) && values.is_valid(row));
                let Some((code, key)) = code.and_then(|code| Some((usize::try_from(code).ok()?, word(words, code)?)))
                else {
                    bad_rows += 1;
                    continue;
                };
                let slot = slots.get(code).copied().flatten().unwrap_or_else(|| builder.slot(&in_part(part, key)));
                if let Some(known) = slots.get_mut(code) {
                    *known = Some(slot);
                }
                builder.push_at(slot, self.steps.value(row), time(row), values.value(row));
                builder.end_row();
            }
            return bad_rows;
        }
        let names: Vec<_> = self.columns.metrics.iter().map(|(name, _)| in_part(part, name)).collect();
        for row in from..to {
            if self.steps.is_null(row) {
                bad_rows += 1;
                continue;
            }
            for (name, values) in names.iter().zip(&self.metrics) {
                if values.is_valid(row) {
                    builder.push(name, self.steps.value(row), time(row), values.value(row));
                }
            }
            builder.end_row();
        }
        bad_rows
    }
}
