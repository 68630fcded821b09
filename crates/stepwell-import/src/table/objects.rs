//! Rows that are JSON objects, in long or wide form; nested objects are flattened with `/`.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::context::Context;
use crate::number;
use crate::options::Options;
use crate::report::Kind;
use crate::series::SeriesBuilder;
use crate::table::columns::{self, Columns, Step, Time, part_of};
use crate::table::inexact::Lost;
use crate::table::json;
use crate::table::position::{Head, Position, Positions};
use crate::table::rows::Rows;
use crate::table::seen::Seen;
use crate::walk::SourceFile;

/// Columns with texts of which each is told by its name; the cells of more are counted together.
const TEXTS_MAX: usize = 1_000;

/// A table of objects being read.
pub(crate) struct Objects<'t> {
    file: &'t SourceFile,
    options: &'t Options,
    /// That of the last row: rows mostly have the same.
    header: Rc<Header>,
    texts: Texts,
    positions: Positions,
    /// Rows read.
    rows: u64,
    /// Whether a row with a step was taken.
    pub(crate) any: bool,
}

/// The names of columns, and what they mean.
struct Header {
    names: Vec<String>,
    columns: Result<Columns, String>,
}

impl Header {
    fn of(object: &Map<String, Value>, options: &Options) -> Self {
        let names: Vec<&str> = object.keys().map(String::as_str).collect();
        Self { columns: columns::recognise(&names, options), names: object.keys().cloned().collect() }
    }
}

/// An object's cells by their columns.
struct Cells<'r> {
    object: &'r Map<String, Value>,
    names: &'r [String],
    offset: u64,
}

impl<'r> Cells<'r> {
    fn at(&self, at: usize) -> Option<&'r Value> {
        self.names.get(at).and_then(|name| self.object.get(name))
    }

    /// What the row says of its step, part and time.
    fn head(&self, columns: &Columns, row: u64, is_one: bool) -> Result<Head<'r>, String> {
        let time = columns.time.and_then(|time| Some((time, self.at(time.at)?))).filter(|(_, cell)| !cell.is_null());
        Ok(Head {
            step: match columns.step {
                Step::Row => i64::try_from(row).unwrap_or(i64::MAX),
                Step::At(at) => self
                    .at(at)
                    .and_then(step_of)
                    .ok_or_else(|| format!("{} is not a whole number; the row is passed over", self.names[at]))?,
            },
            part: columns.part.and_then(|at| part_of(self.at(at)?.as_str()?)),
            epoch: columns.epoch.filter(|_| is_one).and_then(|at| step_of(self.at(at)?)),
            time: time.map(|(time, cell)| (json::word(cell).into(), time_of(time, cell))),
        })
    }
}

/// What columns held beside numbers.
#[derive(Default)]
struct Texts {
    /// The columns in the order in which they came.
    columns: Vec<(String, Seen)>,
    place: HashMap<String, usize>,
    /// Texts of more than [`TEXTS_MAX`] columns.
    more: u64,
}

impl Texts {
    /// Takes a leaf of a row; `had_numbers` says whether its column has numbers from rows before.
    fn see(&mut self, key: &str, leaf: Result<f64, &Value>, offset: u64, had_numbers: impl FnOnce() -> bool) {
        match (self.place.get(key), leaf) {
            (None, Ok(_)) => {}
            (Some(&at), Ok(_)) => self.columns[at].1.number(),
            (Some(&at), Err(text)) => self.columns[at].1.text(&json::word(text), offset),
            (None, Err(_)) if self.columns.len() == TEXTS_MAX => self.more += 1,
            (None, Err(text)) => {
                self.place.insert(key.to_owned(), self.columns.len());
                let mut seen = Seen::default();
                if had_numbers() {
                    seen.number();
                }
                seen.text(&json::word(text), offset);
                self.columns.push((key.to_owned(), seen));
            }
        }
    }
}

/// The run that an object names.
pub(crate) fn run_of(object: &Map<String, Value>, options: &Options) -> Option<String> {
    let named = options.run_column.as_deref();
    named.into_iter().chain(["run_id", "run_uuid", "run", "run_name"]).find_map(|name| match object.get(name)? {
        Value::String(run) => Some(run.clone()),
        Value::Number(run) => Some(run.to_string()),
        _ => None,
    })
}

/// Whether the run that an object names is named by an id.
pub(crate) fn has_own_id(object: &Map<String, Value>, options: &Options) -> bool {
    options.run_column.is_none() && ["run_id", "run_uuid"].iter().any(|name| object.contains_key(*name))
}

/// Whether an object is a row: it has a step and something that is a number beside it.
pub(crate) fn is_row(object: &Map<String, Value>, options: &Options) -> bool {
    let names: Vec<&str> = object.keys().map(String::as_str).collect();
    let Ok(columns) = columns::recognise(&names, options) else { return false };
    let value_at = |at: usize| names.get(at).and_then(|name| object.get(*name));
    let step = columns.step.column().is_none_or(|at| value_at(at).and_then(step_of).is_some());
    let mut numbers = 0;
    for (name, at) in &columns.metrics {
        json::flatten(name, value_at(*at).unwrap_or(&Value::Null), "/", &mut |_, _| numbers += 1);
    }
    step && (numbers > 0 || columns.long.is_some())
}

fn step_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(step) => step.as_i64().or_else(|| number::whole(step.as_f64()?)),
        Value::String(step) => number::step(step),
        _ => None,
    }
}

fn time_of(time: Time, value: &Value) -> Option<i64> {
    match value {
        _ if time.dates_only => number::date_to_ms(value.as_str()?),
        Value::Number(ms) if time.is_ms => ms.as_i64().or_else(|| number::whole(ms.as_f64()?)),
        Value::Number(time) => match time.as_i64() {
            Some(whole) if whole.unsigned_abs() >= 100_000_000_000 => Some(whole),
            _ => number::time_to_ms(time.as_f64()?),
        },
        Value::String(text) if time.is_ms => number::step(text).or_else(|| number::date_to_ms(text)),
        Value::String(text) => number::time_text_to_ms(text),
        _ => None,
    }
}

impl<'t> Objects<'t> {
    /// A table that is about to be read.
    pub(crate) fn new(file: &'t SourceFile, options: &'t Options) -> Self {
        Self {
            file,
            options,
            header: Rc::new(Header::of(&Map::new(), options)),
            texts: Texts::default(),
            positions: Positions::default(),
            rows: 0,
            any: false,
        }
    }

    /// Counts the numbers that the next object has otherwise than its text.
    pub(crate) fn lost(&mut self, offset: u64, lost: &Lost) {
        self.positions.inexact.lost(offset, lost);
    }

    /// Takes an object's points for `run`. Words of a first object without a step are params.
    ///
    /// # Errors
    /// Why the row is left out, in words.
    pub(crate) fn take(
        &mut self,
        object: &Map<String, Value>,
        run: &str,
        offset: u64,
        rows: &mut Rows<'_>,
    ) -> Result<(), String> {
        let row = self.rows;
        self.rows += 1;
        let header = self.header(object);
        let columns = match &header.columns {
            Ok(columns) => columns,
            // Trainers that log their settings do so before anything else.
            Err(_) if row == 0 && rows.is_one() => {
                for (name, value) in object {
                    json::flatten_words(name, value, ".", &mut |key, word| rows.params.push((key.to_owned(), word)));
                }
                return Ok(());
            }
            Err(why) => return Err(why.clone()),
        };
        let cells = Cells { object, names: &header.names, offset };
        let position = self.positions.next(cells.head(columns, row, rows.is_one())?, columns, offset);
        let builder = rows.builder(run);
        match columns.long {
            Some(long) => self.take_long(&cells, long, &position, builder)?,
            None => self.take_wide(&cells, columns, &position, builder),
        }
        self.any = true;
        Ok(())
    }

    /// The names of an object's columns, and what they mean.
    fn header(&mut self, object: &Map<String, Value>) -> Rc<Header> {
        let names = &self.header.names;
        if names.len() != object.len() || !names.iter().eq(object.keys()) {
            self.header = Rc::new(Header::of(object, self.options));
        }
        Rc::clone(&self.header)
    }

    /// Takes the point of a row in long form.
    fn take_long(
        &mut self,
        cells: &Cells<'_>,
        (key, value): (usize, usize),
        position: &Position<'_>,
        builder: &mut SeriesBuilder,
    ) -> Result<(), String> {
        let key = cells.at(key).and_then(Value::as_str).ok_or("a key that is not a string; the row is passed over")?;
        let cell = cells.at(value);
        cell.into_iter().for_each(|cell| self.positions.inexact.look_at(cell, cells.offset));
        let value = cell
            .and_then(json::scalar)
            .ok_or_else(|| format!("the value of {key:?} is not a number; the row is passed over"))?;
        position.push(builder, &position.key(key), value);
        Ok(())
    }

    /// Takes the points of a row in wide form.
    fn take_wide(
        &mut self,
        cells: &Cells<'_>,
        columns: &Columns,
        position: &Position<'_>,
        builder: &mut SeriesBuilder,
    ) {
        let (inexact, texts) = (&mut self.positions.inexact, &mut self.texts);
        let mut points = Vec::new();
        // An object has each name once; one without a name goes along, and whoever takes the run says that it cannot
        // be.
        let nameless = columns.nameless.iter().map(|(_, at)| ("", *at));
        let metrics = columns.metrics.iter().map(|(name, at)| (name.as_str(), *at)).chain(nameless);
        for (name, at) in metrics.filter(|(_, at)| position.may_hold_metric(*at)) {
            let Some(value) = cells.at(at) else { continue };
            json::numbers(value, &mut |number| inexact.look_at(number, cells.offset));
            json::leaves(name, value, "/", &mut |key, leaf| {
                let key = position.key(key);
                texts.see(&key, leaf, cells.offset, || builder.len_of(&key) > 0);
                if let Ok(value) = leaf {
                    points.push((key.into_owned(), value));
                }
            });
        }
        for (key, value) in points {
            position.push(builder, &key, value);
        }
    }

    /// Reports texts that were left out; constant ones are params of the table's only run.
    pub(crate) fn tell(&self, rows: &mut Rows<'_>, context: &mut Context<'_>) {
        for (name, seen) in &self.texts.columns {
            seen.tell(name, self.file, rows, context);
        }
        self.positions.tell(self.file, context);
        let why = format!("texts of more than {TEXTS_MAX} columns; left out");
        context.leave_out(&self.file.path, Kind::Cell, self.texts.more, why);
    }
}
