//! Parquet in long or wide form: columns are cast to what they mean, run and key columns to dictionaries.

use std::fs::File;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Schema, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use crate::context::Context;
use crate::number;
use crate::run::ImportError;
use crate::table::columns::{self, Columns, Time};
use crate::table::rows::{LastRows, Rows};
use crate::walk::{Group, SourceFile};

/// Rows decoded at once.
const BATCH_ROWS: usize = 1 << 16;

/// Why a file ends early.
enum Stop {
    /// The file's fault.
    File(String),
    /// The sink's.
    Import(ImportError),
}

impl From<ParquetError> for Stop {
    fn from(error: ParquetError) -> Self {
        Self::File(error.to_string())
    }
}

impl From<ArrowError> for Stop {
    fn from(error: ArrowError) -> Self {
        Self::File(error.to_string())
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::File(error.to_string())
    }
}

/// Reads a Parquet file.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    for file in &group.files {
        let mut told = 0;
        match read_file(file, &mut told, context) {
            Ok(()) => {}
            Err(Stop::Import(error)) => return Err(error),
            Err(Stop::File(reason)) => context.skip(
                &file.path,
                None,
                format!("not read to its end as Parquet: {reason}"),
            ),
        }
        context.advance(&file.path, file.bytes.saturating_sub(told));
    }
    Ok(())
}

/// A reader of some of the file's columns (all where `only` is empty).
fn open(
    file: &SourceFile,
    only: &[usize],
) -> Result<(ParquetRecordBatchReader, Arc<Schema>, u64), Stop> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&file.path)?)?
        .with_batch_size(BATCH_ROWS);
    let schema = builder.schema().clone();
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let builder = if only.is_empty() {
        builder
    } else {
        let mask = ProjectionMask::roots(builder.parquet_schema(), only.iter().copied());
        builder.with_projection(mask)
    };
    Ok((builder.build()?, schema, rows))
}

fn read_file(file: &SourceFile, told: &mut u64, context: &mut Context<'_>) -> Result<(), Stop> {
    let (_, schema, total_rows) = open(file, &[0])?;
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let mut columns = columns::recognise(&names).map_err(Stop::File)?;
    columns
        .metrics
        .retain(|(_, at)| is_number(schema.field(*at).data_type()));
    let mut rows = match columns.run {
        None => Rows::one("parquet", file),
        Some(run) => Rows::many("parquet", file, last_rows(file, run)?),
    };
    // Only what is needed is decoded; a projection keeps the columns' order.
    let mut needed: Vec<usize> = [
        Some(columns.step),
        columns.run,
        columns.time.map(|time| time.at),
        columns.long.map(|long| long.0),
        columns.long.map(|long| long.1),
    ]
    .into_iter()
    .flatten()
    .chain(columns.metrics.iter().map(|(_, at)| *at))
    .collect();
    needed.sort_unstable();
    needed.dedup();
    let columns = projected(columns, &needed);
    let mut row = 0u64;
    for batch in open(file, &needed)?.0 {
        let batch = batch?;
        let table = Batch::new(&batch, &columns)?;
        table.take(&mut rows, row, file, context)?;
        row += batch.num_rows() as u64;
        let done = if total_rows == 0 {
            0
        } else {
            (u128::from(file.bytes) * u128::from(row) / u128::from(total_rows)) as u64
        }
        .min(file.bytes);
        context.advance(&file.path, done.saturating_sub(*told));
        *told = done;
    }
    rows.finish(context).map_err(Stop::Import)
}

/// The columns' places among the needed ones.
fn projected(columns: Columns, needed: &[usize]) -> Columns {
    let place = |at: usize| needed.binary_search(&at).unwrap_or(usize::MAX);
    Columns {
        run: columns.run.map(place),
        step: place(columns.step),
        time: columns.time.map(|time| Time {
            at: place(time.at),
            ..time
        }),
        long: columns.long.map(|(key, value)| (place(key), place(value))),
        metrics: columns
            .metrics
            .into_iter()
            .map(|(name, at)| (name, place(at)))
            .collect(),
    }
}

fn is_number(kind: &DataType) -> bool {
    match kind {
        DataType::Boolean
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..) => true,
        DataType::Dictionary(_, value) => is_number(value),
        kind => kind.is_integer() || kind.is_floating(),
    }
}

/// The first pass over a file with a run column.
fn last_rows(file: &SourceFile, run: usize) -> Result<LastRows, Stop> {
    let (mut last, mut row) = (LastRows::default(), 0);
    for batch in open(file, &[run])?.0 {
        let words = dictionary(batch?.column(0))?;
        let values = words.values().as_string::<i32>().clone();
        let mut latest: Option<(i32, u64)> = None;
        let rows = words.len() as u64;
        for (place, code) in words.keys().iter().enumerate() {
            let Some(code) = code else { continue };
            if let Some((known, at)) = latest.filter(|(known, _)| *known != code) {
                last.note(values.value(known as usize), at);
            }
            latest = Some((code, row + place as u64));
        }
        if let Some((code, at)) = latest {
            last.note(values.value(code as usize), at);
        }
        row += rows;
    }
    Ok(last)
}

fn cast(array: &ArrayRef, kind: &DataType) -> Result<ArrayRef, ArrowError> {
    // What does not fit becomes null, and is told as such.
    cast_with_options(
        array,
        kind,
        &CastOptions {
            safe: true,
            ..CastOptions::default()
        },
    )
}

fn dictionary(array: &ArrayRef) -> Result<DictionaryArray<Int32Type>, ArrowError> {
    let array = match array.data_type() {
        DataType::Dictionary(..) => array.clone(),
        _ => cast(array, &DataType::Utf8)?,
    };
    let words = cast(
        &array,
        &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
    )?;
    Ok(words.as_dictionary::<Int32Type>().clone())
}

fn floats(array: &ArrayRef) -> Result<Float64Array, ArrowError> {
    let array = match array.data_type() {
        DataType::Dictionary(_, value) => cast(array, &value.clone())?,
        DataType::Float32 => {
            // Widened here so that NaNs keep their payload on every processor.
            let narrow = array.as_primitive::<arrow_array::types::Float32Type>();
            return Ok(narrow
                .iter()
                .map(|value| value.map(number::widen))
                .collect());
        }
        DataType::Boolean => cast(array, &DataType::Int32)?,
        _ => array.clone(),
    };
    Ok(cast(&array, &DataType::Float64)?
        .as_primitive::<Float64Type>()
        .clone())
}

/// A step column: whole numbers in any type.
fn whole_numbers(array: &ArrayRef) -> Result<Int64Array, ArrowError> {
    if array.data_type().is_floating() {
        return Ok(floats(array)?
            .iter()
            .map(|number| number.and_then(number::whole))
            .collect());
    }
    Ok(cast(array, &DataType::Int64)?
        .as_primitive::<Int64Type>()
        .clone())
}

/// A time column in milliseconds.
fn times(array: &ArrayRef, is_ms: bool) -> Result<Int64Array, ArrowError> {
    match array.data_type() {
        DataType::Timestamp(_, zone) => {
            let ms = cast(
                array,
                &DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
            )?;
            Ok(cast(&ms, &DataType::Int64)?
                .as_primitive::<Int64Type>()
                .clone())
        }
        kind if kind.is_integer() && is_ms => whole_numbers(array),
        kind if kind.is_integer() => {
            let wide = whole_numbers(array)?;
            Ok(wide
                .iter()
                .map(|time| {
                    time.and_then(|time| {
                        if time.unsigned_abs() >= 100_000_000_000 {
                            Some(time)
                        } else {
                            time.checked_mul(1000)
                        }
                    })
                })
                .collect())
        }
        kind if kind.is_floating() => Ok(floats(array)?
            .iter()
            .map(|time| {
                time.and_then(|time| {
                    if is_ms {
                        number::whole(time.round_ties_even())
                    } else {
                        number::time_to_ms(time)
                    }
                })
            })
            .collect()),
        _ => {
            let words = dictionary(array)?;
            let texts = words.values().as_string::<i32>();
            Ok(words
                .keys()
                .iter()
                .map(|code| {
                    code.and_then(|code| number::time_text_to_ms(texts.value(code as usize)))
                })
                .collect())
        }
    }
}

/// A batch of rows, its columns cast.
struct Batch<'b> {
    columns: &'b Columns,
    runs: Option<DictionaryArray<Int32Type>>,
    steps: Int64Array,
    times: Option<Int64Array>,
    long: Option<(DictionaryArray<Int32Type>, Float64Array)>,
    metrics: Vec<Float64Array>,
}

impl<'b> Batch<'b> {
    fn new(batch: &RecordBatch, columns: &'b Columns) -> Result<Self, Stop> {
        let column = |at: usize| {
            batch
                .columns()
                .get(at)
                .ok_or_else(|| Stop::File("a column is missing in a row group".into()))
        };
        Ok(Self {
            columns,
            runs: columns
                .run
                .map(|at| Ok::<_, Stop>(dictionary(column(at)?)?))
                .transpose()?,
            steps: whole_numbers(column(columns.step)?)?,
            times: columns
                .time
                .map(|time| Ok::<_, Stop>(times(column(time.at)?, time.is_ms)?))
                .transpose()?,
            long: columns
                .long
                .map(|(key, value)| {
                    Ok::<_, Stop>((dictionary(column(key)?)?, floats(column(value)?)?))
                })
                .transpose()?,
            metrics: columns
                .metrics
                .iter()
                .map(|(_, at)| Ok(floats(column(*at)?)?))
                .collect::<Result<_, Stop>>()?,
        })
    }

    /// Takes the batch's points, whose first row is the file's row `first`.
    fn take(
        &self,
        rows: &mut Rows<'_>,
        first: u64,
        file: &SourceFile,
        context: &mut Context<'_>,
    ) -> Result<(), Stop> {
        let mut at = 0;
        let mut bad_rows = 0u64;
        while at < self.steps.len() {
            // Rows of one run mostly follow each other: they are taken together.
            let run_code = self.runs.as_ref().map(|runs| {
                if runs.is_null(at) {
                    None
                } else {
                    Some(runs.keys().value(at))
                }
            });
            let end = match &self.runs {
                None => self.steps.len(),
                Some(runs) => {
                    let same = |row: usize| {
                        (if runs.is_null(row) {
                            None
                        } else {
                            Some(runs.keys().value(row))
                        }) == run_code.flatten()
                    };
                    (at + 1..self.steps.len())
                        .find(|row| !same(*row))
                        .unwrap_or(self.steps.len())
                }
            };
            let run = match (&self.runs, run_code.flatten()) {
                (Some(runs), Some(code)) => runs.values().as_string::<i32>().value(code as usize),
                (Some(_), None) => {
                    bad_rows += (end - at) as u64;
                    at = end;
                    continue;
                }
                (None, _) => "",
            };
            bad_rows += self.take_run(rows, run, at, end);
            rows.row_done(run, first + end as u64 - 1, context)
                .map_err(Stop::Import)?;
            at = end;
        }
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
    fn take_run(&self, rows: &mut Rows<'_>, run: &str, from: usize, to: usize) -> u64 {
        let mut bad_rows = 0;
        let gather = rows.gather(run);
        let time = |row: usize| {
            self.times
                .as_ref()
                .filter(|times| times.is_valid(row))
                .map(|times| times.value(row))
        };
        if let Some((keys, values)) = &self.long {
            let words = keys.values().as_string::<i32>();
            let mut slots: Vec<Option<usize>> = vec![None; words.len()];
            for row in from..to {
                if keys.is_null(row) || self.steps.is_null(row) || values.is_null(row) {
                    bad_rows += 1;
                    continue;
                }
                let code = keys.keys().value(row) as usize;
                let slot = match slots.get(code).copied().flatten() {
                    Some(slot) => slot,
                    None => {
                        let slot = gather.slot(words.value(code));
                        slots[code] = Some(slot);
                        slot
                    }
                };
                gather.push_at(slot, self.steps.value(row), time(row), values.value(row));
            }
            return bad_rows;
        }
        for row in from..to {
            if self.steps.is_null(row) {
                bad_rows += 1;
                continue;
            }
            for ((name, _), values) in self.columns.metrics.iter().zip(&self.metrics) {
                if values.is_valid(row) {
                    gather.push(name, self.steps.value(row), time(row), values.value(row));
                }
            }
        }
        bad_rows
    }
}
