//! Columns of the runs found: their cells, and what a column holds over all of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::base::ids::ExperimentId;
use crate::error::Result;
use crate::index::bitmap::Bitmap;
use crate::index::part::IndexPart;
use crate::search::execute::{Deletions, MaskedPart, Query, literals, matching};
use crate::search::filter::Context;
use crate::search::order::{OrderBy, OrderKey};
use crate::search::rank::{Column, PartOrder, Value};

/// Most distinct texts that a profile lists.
pub const TEXTS_MAX: usize = 200;

/// A run's value in a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// The run has none.
    Missing,
    /// A number, NaN included.
    Float(f64),
    /// A count, a step or a time.
    Integer(i64),
    /// A text.
    Text(String),
}

/// What a column holds over all runs that a query finds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Runs with a value.
    pub count: usize,
    /// Runs whose value is NaN.
    pub nan_count: usize,
    /// The least and greatest number, NaN aside; of texts only if each is a number.
    pub range: Option<(f64, f64)>,
    /// The most frequent texts and how many runs have each, the most frequent first; at most 200.
    pub texts: Vec<(String, usize)>,
    /// How many distinct texts there are.
    pub distinct: usize,
}

/// How many runs a query finds, how many in each experiment, and what some columns hold over all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profiles {
    /// Runs found.
    pub total: usize,
    /// Runs found by experiment.
    pub experiments: BTreeMap<ExperimentId, usize>,
    /// One for each column, in the given order.
    pub columns: Vec<Profile>,
}

fn clauses(columns: &[OrderKey]) -> Vec<OrderBy> {
    columns.iter().map(|key| OrderBy { key: key.clone(), descending: false }).collect()
}

/// The cells of some rows of a part, column by column.
pub(crate) fn cells(
    part: &IndexPart,
    ordinals: &[u32],
    columns: &[OrderKey],
    context: &Context<'_>,
) -> Result<Vec<Vec<Cell>>> {
    let of_part = PartOrder::new(part, &clauses(columns), context)?;
    let cell = |column: &Column<'_>, ordinal: u32| match column.value(ordinal, None) {
        Value::Missing => Cell::Missing,
        Value::Nan => Cell::Float(f64::NAN),
        Value::Float(value) => Cell::Float(value),
        Value::Int(value) => Cell::Integer(value),
        Value::Text(text) => Cell::Text(text.into_owned()),
    };
    Ok(of_part.columns.iter().map(|column| ordinals.iter().map(|&ordinal| cell(column, ordinal)).collect()).collect())
}

/// Profiles columns over all runs that a query finds. Time: one pass over each column.
pub(crate) fn profile(
    parts: &[MaskedPart<'_>],
    query: &Query,
    deletions: &Deletions,
    columns: &[OrderKey],
) -> Result<Profiles> {
    let names = query.names().into_iter().chain(columns.iter().cloned()).collect();
    let context = Context { literals: literals(parts, names)?, conventions: &query.conventions };
    let hits = matching(parts, query, deletions, &context)?;
    let clauses = clauses(columns);
    let mut gathered: Vec<Gathered> = columns.iter().map(|_| Gathered::default()).collect();
    let mut profiles = Profiles { total: hits.iter().map(Bitmap::count).sum(), ..Profiles::default() };
    for (part, hits) in parts.iter().zip(&hits).filter(|(_, hits)| hits.count() > 0) {
        let of_part = PartOrder::new(part.part, &clauses, &context)?;
        of_part.columns.iter().zip(&mut gathered).for_each(|(column, gathered)| gathered.add(column, hits));
        count_experiments(part.part, hits, &mut profiles.experiments)?;
    }
    profiles.columns = gathered.into_iter().map(Gathered::finish).collect();
    Ok(profiles)
}

fn count_experiments(part: &IndexPart, hits: &Bitmap, to: &mut BTreeMap<ExperimentId, usize>) -> Result<()> {
    let codes = part.run_ints(crate::index::layout::run::EXPERIMENT_CODES)?;
    let experiments = part.experiments()?;
    let mut counts = vec![0; experiments.len()];
    for ordinal in hits.iter() {
        if let Some(count) = counts.get_mut(codes.get(ordinal as usize) as usize) {
            *count += 1;
        }
    }
    experiments.iter().zip(counts).filter(|(_, count)| *count > 0).for_each(|(experiment, count)| {
        *to.entry(*experiment).or_default() += count;
    });
    Ok(())
}

/// A profile being made.
#[derive(Default)]
struct Gathered {
    count: usize,
    nan_count: usize,
    range: Option<(f64, f64)>,
    texts: BTreeMap<String, usize>,
}

impl Gathered {
    fn add(&mut self, column: &Column<'_>, hits: &Bitmap) {
        // Each distinct text of a dictionary is looked up once.
        let mut by_code: Vec<usize> = Vec::new();
        let dictionary = column.dictionary();
        by_code.resize(dictionary.map_or(0, |texts| texts.len()), 0);
        let mut cursor = column.first_cell();
        for ordinal in hits.iter() {
            if dictionary.is_some() {
                if let Some(count) = column.code(ordinal, &mut cursor).and_then(|code| by_code.get_mut(code)) {
                    *count += 1;
                }
                continue;
            }
            match column.value(ordinal, Some(&mut cursor)) {
                Value::Missing => {}
                Value::Nan => self.nan_count += 1,
                Value::Float(value) => self.number(value),
                Value::Int(value) => self.number(value as f64),
                Value::Text(text) => self.text(text, 1),
            }
        }
        if let Some(texts) = dictionary {
            let counted = texts.iter().zip(by_code).filter(|(_, count)| *count > 0);
            counted.for_each(|(text, count)| self.text(text.into(), count));
        }
    }

    fn number(&mut self, value: f64) {
        self.count += 1;
        let (low, high) = self.range.unwrap_or((value, value));
        self.range = Some((low.min(value), high.max(value)));
    }

    fn text(&mut self, text: Cow<'_, str>, count: usize) {
        self.count += count;
        match self.texts.get_mut(&*text) {
            Some(known) => *known += count,
            None => drop(self.texts.insert(text.into_owned(), count)),
        }
    }

    fn finish(mut self) -> Profile {
        let distinct = self.texts.len();
        if distinct > 0 && self.range.is_none() {
            let numbers: Option<Vec<f64>> = self.texts.keys().map(|text| text.trim().parse().ok()).collect();
            let numbers = numbers.into_iter().flatten().filter(|number: &f64| !number.is_nan());
            self.range = numbers.fold(None, |range, number| {
                let (low, high) = range.unwrap_or((number, number));
                Some((low.min(number), high.max(number)))
            });
        }
        let mut texts: Vec<(String, usize)> = self.texts.into_iter().collect();
        // Stable, so that equally frequent ones stay in order.
        texts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        texts.truncate(TEXTS_MAX);
        Profile { count: self.count + self.nan_count, nan_count: self.nan_count, range: self.range, texts, distinct }
    }
}
