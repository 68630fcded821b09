//! Rows that are JSON objects, in long or wide form; nested objects are flattened with `/`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::context::Context;
use crate::number;
use crate::options::Options;
use crate::report::Kind;
use crate::table::columns::{self, Columns, Step, Time, in_part, part_of};
use crate::table::epochs::{self, Epochs};
use crate::table::inexact::Inexact;
use crate::table::json;
use crate::table::rows::Rows;
use crate::table::seen::Seen;
use crate::table::times::{Cell, Times};
use crate::walk::SourceFile;

/// Columns with texts of which each is told by its name; the cells of more are counted together.
const TEXTS_MAX: usize = 1_000;

/// A table of objects being read.
pub(crate) struct Objects<'t> {
    file: &'t SourceFile,
    options: &'t Options,
    /// The names of the last row's columns, and what they mean: rows mostly have the same.
    known: Option<(Vec<String>, Result<Columns, String>)>,
    /// What columns held beside numbers, in the order in which they came.
    texts: Vec<(String, Seen)>,
    place: HashMap<String, usize>,
    more_texts: u64,
    epochs: Epochs,
    times: Times,
    /// Numbers that are not floats.
    pub(crate) inexact: Inexact,
    /// Rows read.
    rows: u64,
    /// Whether a row with a step was taken.
    pub(crate) any: bool,
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
            known: None,
            texts: Vec::new(),
            place: HashMap::new(),
            more_texts: 0,
            epochs: Epochs::default(),
            times: Times::default(),
            inexact: Inexact::default(),
            rows: 0,
            any: false,
        }
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
        let same = |(names, _): &(Vec<String>, _)| names.len() == object.len() && names.iter().eq(object.keys());
        if !self.known.as_ref().is_some_and(same) {
            let names: Vec<&str> = object.keys().map(String::as_str).collect();
            let columns = columns::recognise(&names, self.options);
            self.known = Some((object.keys().cloned().collect(), columns));
        }
        let Some((names, columns)) = &self.known else { return Ok(()) };
        let columns = match columns {
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
        let value_at = |at: usize| names.get(at).and_then(|name| object.get(name));
        let step = match columns.step {
            Step::Row => i64::try_from(row).unwrap_or(i64::MAX),
            Step::At(at) => value_at(at)
                .and_then(step_of)
                .ok_or_else(|| format!("{} is not a whole number; the row is passed over", names[at]))?,
        };
        let part = columns.part.and_then(|at| part_of(value_at(at)?.as_str()?));
        let epoch = columns.epoch.filter(|_| rows.is_one()).and_then(|at| step_of(value_at(at)?));
        let step = match part.zip(epoch) {
            Some((part, epoch)) => self.epochs.step(part, epoch, step),
            None => step,
        };
        let mut time = None;
        if let Some((column, cell)) = columns.time.and_then(|column| Some((column, value_at(column.at)?)))
            && !cell.is_null()
        {
            time = Some(self.times.take(&json::word(cell), time_of(column, cell), column.dates_only, offset));
        }
        let timestamp_ms = match time {
            Some(Cell::At(ms)) => Some(ms),
            _ => None,
        };
        let builder = rows.builder(run);
        if let Some((key, value)) = columns.long {
            let key =
                value_at(key).and_then(Value::as_str).ok_or("a key that is not a string; the row is passed over")?;
            let cell = value_at(value);
            cell.into_iter().for_each(|cell| self.inexact.look_at(cell, offset));
            let value = cell
                .and_then(json::scalar)
                .ok_or_else(|| format!("the value of {key:?} is not a number; the row is passed over"))?;
            builder.push(&in_part(part, key), step, timestamp_ms, value);
            self.any = true;
            return Ok(());
        }
        let dates = columns.time.filter(|_| time.is_some() && time != Some(Cell::Value)).map(|time| time.at);
        let (texts, place, more) = (&mut self.texts, &mut self.place, &mut self.more_texts);
        let inexact = &mut self.inexact;
        let mut seen = |key: &str, leaf: Result<f64, &Value>| match (place.get(key), leaf) {
            (None, Ok(_)) => {}
            (Some(&at), Ok(_)) => texts[at].1.number(),
            (Some(&at), Err(text)) => texts[at].1.text(&json::word(text), offset),
            (None, Err(_)) if texts.len() == TEXTS_MAX => *more += 1,
            (None, Err(text)) => {
                place.insert(key.to_owned(), texts.len());
                let mut seen = Seen::default();
                if builder.len_of(key) > 0 {
                    seen.number();
                }
                seen.text(&json::word(text), offset);
                texts.push((key.to_owned(), seen));
            }
        };
        let mut points = Vec::new();
        // An object has each name once; one without a name goes along, and whoever takes the run says that it cannot
        // be.
        let nameless = columns.nameless.iter().map(|(_, at)| ("", *at));
        for (name, at) in columns.metrics.iter().map(|(name, at)| (name.as_str(), *at)).chain(nameless) {
            let is_part = part.is_some() && columns.part == Some(at);
            if let Some(value) = value_at(at).filter(|_| Some(at) != dates && !is_part) {
                json::numbers(value, &mut |number| inexact.look_at(number, offset));
                json::leaves(name, value, "/", &mut |key, leaf| {
                    let key = in_part(part, key);
                    seen(&key, leaf);
                    if let Ok(value) = leaf {
                        points.push((key.into_owned(), value));
                    }
                });
            }
        }
        for (key, value) in points {
            builder.push(&key, step, timestamp_ms, value);
        }
        self.any = true;
        Ok(())
    }

    /// Reports texts that were left out; constant ones are params of the table's only run.
    pub(crate) fn tell(&self, rows: &mut Rows<'_>, context: &mut Context<'_>) {
        for (name, seen) in &self.texts {
            seen.tell(name, self.file, rows, context);
        }
        if self.epochs.changed {
            context.note(&self.file.path, epochs::NOTE);
        }
        self.times.tell(&self.file.path, context);
        self.inexact.tell(&self.file.path, context);
        let why = format!("texts of more than {TEXTS_MAX} columns; left out");
        context.leave_out(&self.file.path, Kind::Cell, self.more_texts, why);
    }
}
