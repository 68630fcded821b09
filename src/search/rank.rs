//! The best k of many runs in the order of several keys, without sorting the rest.
//!
//! 1. The first two keys of a run become two coarse `u64`s; the smaller comes first, and equal ones decide nothing. The
//!    second is used only if equal first ones imply equal values: for numbers, and for texts with ranks.
//! 2. Candidates are collected until there are twice k. Then the best k stay, and the worst of them becomes the bar for
//!    later ones. Most runs fail at the bar and cost one integer comparison.
//! 3. Where coarse keys are equal, the values themselves are compared, key after key.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::base::stats::RunStatus;
use crate::base::texts::Texts;
use crate::error::Result;
use crate::index::bitmap::Bitmap;
use crate::index::ints::Ints;
use crate::index::layout::{Family, run};
use crate::index::part::{Cells, IndexPart, Place};
use crate::search::ast::TextAttribute;
use crate::search::column::{NumberColumn, Numbers, TextColumn, hex, meant, times, words};
use crate::search::filter::{Context, artifact_uri, own_artifact_uris};
use crate::search::order::{OrderBy, OrderKey};

/// Least number of candidates worth a selection.
const GATHER_MIN: usize = 1024;

/// Most distinct texts of several parts that are ranked together; beyond this their first bytes are used.
const RANKED_TEXTS_MAX: usize = 1 << 16;
const MISSING: u64 = u64::MAX;
const NAN: u64 = u64::MAX - 1;
/// The greatest coarse key of a value; extreme values share it.
const VALUE_MAX: u64 = u64::MAX - 2;

/// What makes a text's coarse key.
enum Ranks {
    /// Its first 8 bytes.
    Prefix,
    /// Its place in the dictionary, where one part alone has the key.
    Place,
    /// A rank for each place in the dictionary, the same scale in all parts.
    Table(Vec<u32>),
}

/// A key's values in one part.
pub(crate) enum Column<'a> {
    /// No run of the part has it.
    Missing,
    Metric(NumberColumn<'a>),
    Text(TextColumn<'a>),
    Time(&'a Ints, Option<&'a Bitmap>),
    Words(&'a Ints, &'a Texts),
    Status(&'a Ints),
    RunId(&'a IndexPart),
    /// Computed beforehand: there is no column of them.
    Made(Vec<Option<String>>),
}

/// A run's value in a column.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Missing,
    Nan,
    Float(f64),
    Int(i64),
    Text(Cow<'a, str>),
}

/// The columns of some keys in one part.
pub(crate) struct PartOrder<'a> {
    pub(crate) columns: Vec<Column<'a>>,
    ranks: [Ranks; 2],
}

impl<'a> PartOrder<'a> {
    /// Finds the columns of each key of `order` in `part`.
    pub(crate) fn new(part: &'a IndexPart, order: &[OrderBy], context: &Context<'_>) -> Result<Self> {
        let texts = |family, key: &str| {
            Ok::<_, crate::error::Error>(TextColumn::keyed(part, family, key)?.map_or(Column::Missing, Column::Text))
        };
        let column = |clause: &OrderBy| match &clause.key {
            OrderKey::Metric(name) => {
                let (key, aggregate) = meant(name, &context.literals);
                Ok(NumberColumn::metric(part, key, aggregate)?.map_or(Column::Missing, Column::Metric))
            }
            OrderKey::Param(key) => texts(Family::Params, key),
            OrderKey::Tag(key) => texts(Family::Tags, key),
            OrderKey::Time(attribute) => times(part, *attribute).map(|(times, present)| Column::Time(times, present)),
            OrderKey::Text(TextAttribute::Status) => Ok(Column::Status(part.run_ints(run::STATUS)?)),
            OrderKey::Text(TextAttribute::ArtifactUri) => {
                let own = own_artifact_uris(part)?;
                let uris = (0..part.len() as u32).map(|ordinal| artifact_uri(part, ordinal, context.conventions, &own));
                uris.collect::<Result<_>>().map(Column::Made)
            }
            OrderKey::Text(attribute) => Ok(match words(part, *attribute)? {
                Some((codes, words)) => Column::Words(codes, words),
                None => {
                    // Find damage here, so that comparing ids cannot fail.
                    part.load_ids()?;
                    Column::RunId(part)
                }
            }),
        };
        Ok(Self { columns: order.iter().map(column).collect::<Result<_>>()?, ranks: [Ranks::Prefix, Ranks::Prefix] })
    }
}

impl Column<'_> {
    /// The run's value. `cursor` is the cell where the run before, of lower ordinal, was found; without one, the cell
    /// is searched.
    pub(crate) fn value(&self, ordinal: u32, cursor: Option<&mut usize>) -> Value<'_> {
        let at = ordinal as usize;
        match self {
            Self::Missing => Value::Missing,
            Self::Metric(column) => match find(column.place, &column.cells, ordinal, cursor) {
                Some(at) if column.is_valid(at) => match &column.numbers {
                    Numbers::Floats(values) if values[at].is_nan() => Value::Nan,
                    Numbers::Floats(values) => Value::Float(values[at]),
                    Numbers::Ints(values) => Value::Int(values.get(at)),
                },
                _ => Value::Missing,
            },
            Self::Text(column) => find(column.place, &column.cells, ordinal, cursor)
                .map_or(Value::Missing, |at| Value::Text(column.dictionary.get(column.codes.get(at) as usize).into())),
            Self::Time(times, present) if present.is_none_or(|set| set.contains(ordinal)) => Value::Int(times.get(at)),
            Self::Time(..) => Value::Missing,
            Self::Words(codes, words) => Value::Text(words.get(codes.get(at) as usize).into()),
            Self::Status(codes) => {
                let code = codes.get(at);
                let status = RunStatus::ALL.into_iter().find(|status| *status as i64 == code);
                status.map_or(Value::Missing, |status| Value::Text(status.as_str().into()))
            }
            Self::RunId(part) => match part.id(ordinal) {
                Ok(Ok(number)) => Value::Text(String::from_utf8_lossy(&hex(number)).into_owned().into()),
                Ok(Err(id)) => Value::Text(id.into()),
                Err(_) => Value::Missing,
            },
            Self::Made(texts) => {
                texts.get(at).and_then(Option::as_deref).map_or(Value::Missing, |text| Value::Text(text.into()))
            }
        }
    }

    /// The runs whose coarse key may reach the bar, if there is a quick way to know; others may be among them.
    fn within_reach(&self, bar: u64, descending: bool) -> Option<Bitmap> {
        let Self::Time(times, _) = self else { return None };
        let value = (turned(bar, descending) ^ 1 << 63) as i64;
        let range = if descending { (value, i64::MAX) } else { (i64::MIN, value) };
        (bar < VALUE_MAX).then(|| times.within(range.0, range.1))
    }

    /// The place of a text in the dictionary of a column that has one. `cursor` as in [`Self::value`].
    pub(crate) fn code(&self, ordinal: u32, cursor: &mut usize) -> Option<usize> {
        match self {
            Self::Text(column) => {
                find(column.place, &column.cells, ordinal, Some(cursor)).map(|at| column.codes.get(at) as usize)
            }
            Self::Words(codes, _) => Some(codes.get(ordinal as usize) as usize),
            _ => None,
        }
    }

    /// Where a cursor over the column begins.
    pub(crate) fn first_cell(&self) -> usize {
        match self {
            Self::Metric(column) => column.cells.start,
            Self::Text(column) => column.cells.start,
            _ => 0,
        }
    }

    /// The dictionary of a column that has one.
    pub(crate) fn dictionary(&self) -> Option<&Texts> {
        match self {
            Self::Text(column) => Some(column.dictionary),
            Self::Words(_, words) => Some(words),
            _ => None,
        }
    }

    /// Whether equal coarse keys below [`VALUE_MAX`] mean equal values, given that texts with a dictionary have ranks.
    fn is_exact(&self, ranked: bool) -> bool {
        match self {
            Self::Missing | Self::Metric(_) | Self::Time(..) | Self::Status(_) => true,
            Self::Text(_) | Self::Words(..) => ranked,
            Self::RunId(_) | Self::Made(_) => false,
        }
    }

    /// The run's coarse key.
    fn coarse(&self, ordinal: u32, ranks: &Ranks, descending: bool, cursor: Option<&mut usize>) -> u64 {
        let key = match (self, ranks) {
            // Hex ids need no text: the first 8 characters follow from the number.
            (Self::RunId(part), _) => match part.id(ordinal) {
                Ok(Ok(number)) => prefix(&hex(number)),
                Ok(Err(id)) => prefix(id.as_bytes()),
                Err(_) => return MISSING,
            },
            (Self::Text(_) | Self::Words(..), Ranks::Place | Ranks::Table(_)) => {
                let code = match self {
                    Self::Text(column) => {
                        find(column.place, &column.cells, ordinal, cursor).map(|at| column.codes.get(at))
                    }
                    Self::Words(codes, _) => Some(codes.get(ordinal as usize)),
                    _ => None,
                };
                match (code, ranks) {
                    (None, _) => return MISSING,
                    (Some(code), Ranks::Table(table)) => table.get(code as usize).map_or(0, |rank| u64::from(*rank)),
                    (Some(code), _) => code as u64,
                }
            }
            _ => match self.value(ordinal, cursor) {
                Value::Missing => return MISSING,
                Value::Nan => return NAN,
                // Adding zero turns -0 into 0, its equal.
                Value::Float(value) => {
                    let bits = (value + 0.0).to_bits();
                    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
                }
                Value::Int(value) => value as u64 ^ 1 << 63,
                Value::Text(text) => prefix(text.as_bytes()),
            },
        };
        turned(key, descending).min(VALUE_MAX)
    }
}

/// Gives the texts of the first two keys ranks, and says whether the first key's coarse keys are exact.
fn rank_texts(parts: &mut [PartOrder<'_>]) -> bool {
    let mut first_ranked = false;
    for at in 0..2 {
        let dictionaries: Vec<_> = parts.iter().map(|part| part.columns.get(at).and_then(Column::dictionary)).collect();
        let total: usize = dictionaries.iter().flatten().map(|texts| texts.len()).sum();
        let ranks: Vec<Ranks> = if dictionaries.iter().flatten().count() <= 1 {
            dictionaries.iter().map(|_| Ranks::Place).collect()
        } else if total <= RANKED_TEXTS_MAX {
            let mut all: Vec<&str> = dictionaries.iter().flatten().flat_map(|texts| texts.iter()).collect();
            all.sort_unstable();
            all.dedup();
            let table = |texts: &Texts| texts.iter().map(|text| all.binary_search(&text).unwrap_or(0) as u32).collect();
            dictionaries.iter().map(|texts| texts.map_or(Ranks::Place, |texts| Ranks::Table(table(texts)))).collect()
        } else {
            continue;
        };
        first_ranked |= at == 0;
        for (part, ranks) in parts.iter_mut().zip(ranks) {
            part.ranks[at] = ranks;
        }
    }
    parts.iter().all(|part| part.columns.first().is_none_or(|column| column.is_exact(first_ranked)))
}

fn turned(key: u64, descending: bool) -> u64 {
    if descending { !key } else { key }
}

/// The first 8 bytes as a number that orders as they do.
fn prefix(text: &[u8]) -> u64 {
    (0..8).fold(0, |key, at| key << 8 | text.get(at).map_or(0, |byte| u64::from(*byte)))
}

fn find(place: Place<'_>, cells: &Cells, ordinal: u32, cursor: Option<&mut usize>) -> Option<usize> {
    let (Place::Sparse(ordinals), Some(cursor)) = (place, cursor) else {
        return place.find(cells, ordinal);
    };
    *cursor = (*cursor).max(cells.start);
    while *cursor < cells.end && ordinals.get(*cursor) < i64::from(ordinal) {
        *cursor += 1;
    }
    (*cursor < cells.end && ordinals.get(*cursor) == i64::from(ordinal)).then_some(*cursor)
}

fn compare(a: &Value<'_>, b: &Value<'_>, descending: bool) -> Ordering {
    let class = |value: &Value<'_>| match value {
        Value::Missing => 2,
        Value::Nan => 1,
        _ => 0,
    };
    let order = match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => return class(a).cmp(&class(b)),
    };
    if descending { order.reverse() } else { order }
}

#[derive(Clone, Copy)]
struct Candidate {
    coarse: (u64, u64),
    part: u32,
    ordinal: u32,
}

/// The order of two candidates by all keys; runs that are equal in all of them by their places.
fn exact_order(parts: &[PartOrder<'_>], order: &[OrderBy], a: &Candidate, b: &Candidate) -> Ordering {
    a.coarse.cmp(&b.coarse).then_with(|| {
        let keys = order.iter().enumerate().map(|(at, clause)| {
            let value = |run: &Candidate| parts[run.part as usize].columns[at].value(run.ordinal, None);
            compare(&value(a), &value(b), clause.descending)
        });
        keys.into_iter().find(|order| order.is_ne()).unwrap_or_else(|| (a.part, a.ordinal).cmp(&(b.part, b.ordinal)))
    })
}

/// Whether to walk along a sparse column, which is right if many runs are asked for, instead of searching it.
fn walks(column: &Column<'_>, hits: &Bitmap) -> bool {
    match column {
        Column::Metric(NumberColumn { cells, .. }) | Column::Text(TextColumn { cells, .. }) => {
            hits.count() * 16 >= cells.end - cells.start
        }
        _ => false,
    }
}

/// The first `k` of the runs in `hits`, one set for each part, in order. O(hits + k log k).
pub(crate) fn best(parts: &mut [PartOrder<'_>], hits: &[Bitmap], order: &[OrderBy], k: usize) -> Vec<(u32, u32)> {
    let first_is_exact = rank_texts(parts);
    let parts = &*parts;
    let exact = |a: &Candidate, b: &Candidate| exact_order(parts, order, a, b);
    let room = k.saturating_mul(2).max(GATHER_MIN);
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut bar = (u64::MAX, u64::MAX);
    if k == 0 {
        return Vec::new();
    }
    for (number, (part, hits)) in parts.iter().zip(hits).enumerate() {
        let walk: Vec<bool> = part.columns.iter().take(2).map(|column| walks(column, hits)).collect();
        let mut cursors = [0_usize; 2];
        // Of a column of integers those that reach the bar are found many at once, each time that the bar was set anew.
        let reach = |bar: u64| {
            let mut left = part.columns.first()?.within_reach(bar, order[0].descending)?;
            left.and(hits);
            Some(left)
        };
        let mut narrowed = reach(bar.0);
        let mut next = 0;
        while let Some(ordinal) = narrowed.as_ref().unwrap_or(hits).first_from(next) {
            next = ordinal + 1;
            let mut coarse = |at: usize| match part.columns.get(at) {
                Some(column) => {
                    column.coarse(ordinal, &part.ranks[at], order[at].descending, walk[at].then_some(&mut cursors[at]))
                }
                None => 0,
            };
            let first = coarse(0);
            if first > bar.0 {
                continue;
            }
            let second_counts = first_is_exact && first < VALUE_MAX || first > VALUE_MAX;
            let keys = (first, if second_counts { coarse(1) } else { 0 });
            if keys > bar {
                continue;
            }
            candidates.push(Candidate { coarse: keys, part: number as u32, ordinal });
            if candidates.len() >= room {
                let (_, worst, _) = candidates.select_nth_unstable_by(k - 1, exact);
                bar = worst.coarse;
                candidates.truncate(k);
                narrowed = reach(bar.0);
            }
        }
    }
    candidates.sort_unstable_by(exact);
    candidates.truncate(k);
    candidates.into_iter().map(|run| (run.part, run.ordinal)).collect()
}
