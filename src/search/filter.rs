//! Which runs of one part satisfy an expression: columns in, a set of ordinals out.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::base::ids::RunId;
use crate::base::items::{ARTIFACT_URI, DATASET, dataset_tag, split};
use crate::base::stats::RunStatus;
use crate::error::Result;
use crate::index::bitmap::Bitmap;
use crate::index::layout::{Family, run};
use crate::index::part::IndexPart;
use crate::search::ast::{Clause, Comparison, DatasetField, Expr, NumberTest, TextAttribute, TextTest};
use crate::search::column::{NumberColumn, Numbers, TextColumn, hex, meant, times, words};
use crate::search::execute::Conventions;

/// What an expression needs beside the part.
pub(crate) struct Context<'a> {
    /// Ambiguous metric names that are keys of some searched part.
    pub(crate) literals: FxHashSet<String>,
    /// What the caller decides about some names.
    pub(crate) conventions: &'a Conventions,
}

/// The runs of `part` that satisfy `expr`.
pub(crate) fn evaluate(part: &IndexPart, expr: &Expr, context: &Context<'_>) -> Result<Bitmap> {
    match expr {
        Expr::Clause(clause) => evaluate_clause(part, clause, context),
        Expr::Not(inner) => {
            let mut passed = evaluate(part, inner, context)?;
            passed.invert();
            Ok(passed)
        }
        Expr::And(parts) => {
            let mut passed = Bitmap::all(part.len());
            for inner in parts {
                passed.and(&evaluate(part, inner, context)?);
            }
            Ok(passed)
        }
        Expr::Or(parts) => {
            let mut passed = Bitmap::none(part.len());
            for inner in parts {
                passed.or(&evaluate(part, inner, context)?);
            }
            Ok(passed)
        }
    }
}

fn evaluate_clause(part: &IndexPart, clause: &Clause, context: &Context<'_>) -> Result<Bitmap> {
    if let Clause::Metric(_, test) | Clause::Time(_, test) = clause
        && let Some((low, high, both)) = test.halves()
    {
        let of = |test: NumberTest| match clause {
            Clause::Metric(name, _) => Clause::Metric(name.clone(), test),
            Clause::Time(attribute, _) => Clause::Time(*attribute, test),
            other => other.clone(),
        };
        let mut passed = evaluate_clause(part, &of(low), context)?;
        let other = evaluate_clause(part, &of(high), context)?;
        if both {
            passed.and(&other)
        } else {
            passed.or(&other)
        }
        return Ok(passed);
    }
    match clause {
        Clause::Metric(name, test) => {
            let (key, aggregate) = meant(name, &context.literals);
            let column = NumberColumn::metric(part, key, aggregate)?;
            Ok(column
                .map_or_else(|| lacking(part, *test == NumberTest::Null), |column| numbers(&column, part.len(), *test)))
        }
        Clause::Param(key, test) => texts(part, Family::Params, key, test),
        Clause::Tag(key, test) => texts(part, Family::Tags, key, test),
        Clause::Time(attribute, test) => {
            let (times, present) = times(part, *attribute)?;
            let mut passed = match test {
                NumberTest::Is(comparison, number) => {
                    let (low, high, outside) = number.integers(*comparison);
                    let mut passed = times.within(low, high);
                    if outside {
                        passed.invert();
                    }
                    passed
                }
                NumberTest::NotNull | NumberTest::Null | NumberTest::NotNan => Bitmap::all(part.len()),
                // Ranges were taken apart above.
                NumberTest::Nan | NumberTest::Between(..) | NumberTest::NotBetween(..) => Bitmap::none(part.len()),
            };
            present.inspect(|present| passed.and(present));
            if *test == NumberTest::Null {
                passed.invert();
            }
            Ok(passed)
        }
        Clause::Text(attribute, test) => attributes(part, *attribute, test, context),
        Clause::Dataset(field, test) => datasets(part, *field, test, &context.conventions.context_tag),
    }
}

/// The runs that read a dataset which passes. Each distinct name and digest is tested once, each distinct use once.
fn datasets(part: &IndexPart, field: DatasetField, test: &TextTest, context_tag: &str) -> Result<Bitmap> {
    let mut passed = Bitmap::none(part.len());
    // Cells come key by key, and most runs of a dataset use it alike: the last answer serves again.
    let mut last: Option<(String, bool)> = None;
    part.each_item(DATASET, |ordinal, _, key, value| {
        let text = if field == DatasetField::Context { value } else { key };
        if last.as_ref().is_none_or(|(known, _)| known != text) {
            let fields = split(key);
            let asked = match field {
                DatasetField::Name => fields.first().copied(),
                DatasetField::Digest => fields.get(1).copied(),
                DatasetField::Context => dataset_tag(value, context_tag),
            };
            last = Some((text.to_owned(), asked.is_some_and(|asked| test.passes(asked))));
        }
        if last.as_ref().is_some_and(|(_, passes)| *passes) {
            passed.insert(ordinal);
        }
    })?;
    Ok(passed)
}

/// The answer where no run of the part has the key.
fn lacking(part: &IndexPart, null: bool) -> Bitmap {
    if null { Bitmap::all(part.len()) } else { Bitmap::none(part.len()) }
}

fn numbers(column: &NumberColumn<'_>, rows: usize, test: NumberTest) -> Bitmap {
    let (comparison, number) = match test {
        NumberTest::Null => {
            let mut passed = column.present(rows);
            passed.invert();
            return passed;
        }
        NumberTest::NotNull => return column.present(rows),
        NumberTest::Nan | NumberTest::NotNan => {
            let wanted = test == NumberTest::Nan;
            return match &column.numbers {
                Numbers::Floats(values) => column.floats(values, rows, |value| value.is_nan() == wanted),
                Numbers::Ints(_) if wanted => Bitmap::none(rows),
                Numbers::Ints(_) => column.present(rows),
            };
        }
        NumberTest::Is(comparison, number) => (comparison, number),
        // Taken apart by the caller.
        NumberTest::Between(..) | NumberTest::NotBetween(..) => return Bitmap::none(rows),
    };
    let values = match &column.numbers {
        Numbers::Ints(values) => return column.integers(values, rows, number.integers(comparison)),
        Numbers::Floats(values) => values,
    };
    // One loop for each comparison, so that none is chosen within the loop. NaN satisfies != only, by IEEE's rule.
    let number = number.value;
    match comparison {
        Comparison::Equal => column.floats(values, rows, |value| value == number),
        Comparison::NotEqual => column.floats(values, rows, |value| value != number),
        Comparison::Less => column.floats(values, rows, |value| value < number),
        Comparison::LessEqual => column.floats(values, rows, |value| value <= number),
        Comparison::Greater => column.floats(values, rows, |value| value > number),
        Comparison::GreaterEqual => column.floats(values, rows, |value| value >= number),
    }
}

fn texts(part: &IndexPart, family: Family, key: &str, test: &TextTest) -> Result<Bitmap> {
    let rows = part.len();
    let Some(column) = TextColumn::keyed(part, family, key)? else {
        return Ok(lacking(part, matches!(test, TextTest::Null)));
    };
    Ok(match test {
        TextTest::Equal(text) => column.equal(rows, text),
        TextTest::NotNull => column.present(rows),
        TextTest::Null => {
            let mut passed = column.present(rows);
            passed.invert();
            passed
        }
        _ => {
            let test = indexed(test);
            column.passing(rows, |text| test.passes(text))
        }
    })
}

/// A test that does not walk a list for each text.
enum Indexed<'a> {
    In(FxHashSet<&'a str>, bool),
    Other(&'a TextTest),
}

fn indexed(test: &TextTest) -> Indexed<'_> {
    match test {
        TextTest::In(list) => Indexed::In(list.iter().map(String::as_str).collect(), true),
        TextTest::NotIn(list) => Indexed::In(list.iter().map(String::as_str).collect(), false),
        _ => Indexed::Other(test),
    }
}

impl Indexed<'_> {
    fn passes(&self, text: &str) -> bool {
        match self {
            Self::In(list, wanted) => list.contains(text) == *wanted,
            Self::Other(test) => test.passes(text),
        }
    }
}

fn attributes(part: &IndexPart, attribute: TextAttribute, test: &TextTest, context: &Context<'_>) -> Result<Bitmap> {
    let indexed = indexed(test);
    if let Some((codes, words)) = words(part, attribute)? {
        let wanted: Vec<bool> = words.iter().map(|word| indexed.passes(word)).collect();
        return Ok(codes.among(&wanted));
    }
    match attribute {
        TextAttribute::Status => {
            let mut wanted = [false; RunStatus::ALL.len() + 1];
            for status in RunStatus::ALL {
                wanted[status as usize] = indexed.passes(status.as_str());
            }
            Ok(part.run_ints(run::STATUS)?.among(&wanted))
        }
        TextAttribute::ArtifactUri => {
            let own = own_artifact_uris(part)?;
            let mut passed = Bitmap::none(part.len());
            for ordinal in 0..part.len() as u32 {
                if artifact_uri(part, ordinal, context.conventions, &own)?.is_some_and(|uri| indexed.passes(&uri)) {
                    passed.insert(ordinal);
                }
            }
            Ok(passed)
        }
        _ => run_ids(part, test, &indexed),
    }
}

/// The run's artifact URI: its own, else its experiment's template, if there is one. `own` are the URIs of
/// [`own_artifact_uris`].
pub(crate) fn artifact_uri(
    part: &IndexPart,
    ordinal: u32,
    conventions: &Conventions,
    own: &FxHashMap<u32, String>,
) -> Result<Option<String>> {
    if let Some(uri) = own.get(&ordinal) {
        return Ok(Some(uri.clone()));
    }
    let experiment = part.experiment(part.run_ints(run::EXPERIMENT_CODES)?.get(ordinal as usize) as usize)?;
    let Some(template) = conventions.artifact_uris.get(&experiment) else {
        return Ok(None);
    };
    Ok(Some(template.of(&part.run_id(ordinal)?)))
}

/// The URIs of runs that name a place of their own.
pub(crate) fn own_artifact_uris(part: &IndexPart) -> Result<FxHashMap<u32, String>> {
    let mut own = FxHashMap::default();
    part.each_item(ARTIFACT_URI, |ordinal, _, _, uri| {
        own.insert(ordinal, uri.to_owned());
    })?;
    Ok(own)
}

fn run_ids(part: &IndexPart, test: &TextTest, indexed: &Indexed<'_>) -> Result<Bitmap> {
    // Whole ids are looked up; patterns are tried on every id.
    let (ids, wanted) = match test {
        TextTest::Equal(id) => (std::slice::from_ref(id), true),
        TextTest::NotEqual(id) => (std::slice::from_ref(id), false),
        TextTest::In(ids) => (ids.as_slice(), true),
        TextTest::NotIn(ids) => (ids.as_slice(), false),
        _ => {
            let mut passed = Bitmap::none(part.len());
            for ordinal in 0..part.len() as u32 {
                let matches = match part.id(ordinal)? {
                    Ok(number) => std::str::from_utf8(&hex(number)).is_ok_and(|id| indexed.passes(id)),
                    Err(id) => indexed.passes(id),
                };
                if matches {
                    passed.insert(ordinal);
                }
            }
            return Ok(passed);
        }
    };
    let mut passed = Bitmap::none(part.len());
    for id in ids {
        if let Ok(id) = RunId::new(id.as_str())
            && let Some(ordinal) = part.find(&id)?
        {
            passed.insert(ordinal);
        }
    }
    if !wanted {
        passed.invert();
    }
    Ok(passed)
}
