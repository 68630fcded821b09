//! Columns of one part as filters and orders see them: a metric's statistic, a time, a key's texts.

use std::borrow::Cow;

use rustc_hash::FxHashSet;

use crate::base::texts::Texts;
use crate::error::Result;
use crate::index::bitmap::Bitmap;
use crate::index::ints::Ints;
use crate::index::layout::{Family, metric, run};
use crate::index::part::{Cells, IndexPart, Place};
use crate::search::ast::{Aggregate, MetricName, TextAttribute, TimeAttribute};

/// Numbers of one key, cell by cell.
pub(crate) struct NumberColumn<'a> {
    pub(crate) cells: Cells,
    pub(crate) place: Place<'a>,
    pub(crate) numbers: Numbers<'a>,
    valid: Valid<'a>,
}

pub(crate) enum Numbers<'a> {
    Ints(&'a Ints),
    Floats(Cow<'a, [f64]>),
}

/// Which cells have the statistic.
enum Valid<'a> {
    All,
    /// Those with this bit among their flags.
    Flag(&'a Ints, i64),
    /// Those in the list.
    Listed(Vec<bool>),
}

/// Texts of one key, cell by cell.
pub(crate) struct TextColumn<'a> {
    pub(crate) cells: Cells,
    pub(crate) place: Place<'a>,
    pub(crate) codes: &'a Ints,
    pub(crate) dictionary: &'a Texts,
}

/// The key and statistic that a name means, given which ambiguous names are keys of some searched part.
pub(crate) fn meant<'n>(name: &'n MetricName, literals: &FxHashSet<String>) -> (&'n str, Aggregate) {
    match &name.literal {
        Some(literal) if literals.contains(literal) => (literal, Aggregate::Latest),
        _ => (&name.key, name.aggregate),
    }
}

impl<'a> NumberColumn<'a> {
    /// A metric's statistic; `None` when no run of the part has the metric.
    pub(crate) fn metric(part: &'a IndexPart, key: &str, aggregate: Aggregate) -> Result<Option<Self>> {
        let Some(cells) = part.cells(Family::Metrics, key)? else {
            return Ok(None);
        };
        let floats =
            |column| Ok::<_, crate::error::Error>(Numbers::Floats(Cow::Borrowed(part.metric_floats(&cells, column)?)));
        let ints = |column| Ok::<_, crate::error::Error>(Numbers::Ints(part.metric_ints(&cells, column)?));
        let flag = |bit| Ok::<_, crate::error::Error>(Valid::Flag(part.metric_ints(&cells, metric::FLAGS)?, bit));
        let (numbers, valid) = match aggregate {
            Aggregate::Latest => (floats(metric::LATEST)?, Valid::All),
            Aggregate::First => (floats(metric::FIRST)?, Valid::All),
            Aggregate::Min => (floats(metric::MIN)?, flag(4)?),
            Aggregate::Max => (floats(metric::MAX)?, flag(8)?),
            Aggregate::Sum => (floats(metric::SUM)?, Valid::All),
            Aggregate::Mean => {
                let (means, valid) = means(part, &cells)?;
                (Numbers::Floats(Cow::Owned(means)), Valid::Listed(valid))
            }
            Aggregate::Count => (ints(metric::COUNT)?, Valid::All),
            Aggregate::NanCount => (ints(metric::NAN_COUNT)?, Valid::All),
            Aggregate::InfCount => (ints(metric::INF_COUNT)?, Valid::All),
            Aggregate::ArgminStep => (ints(metric::MIN_STEP)?, flag(4)?),
            Aggregate::ArgmaxStep => (ints(metric::MAX_STEP)?, flag(8)?),
            Aggregate::Step => (ints(metric::LATEST_STEP)?, Valid::All),
            Aggregate::Timestamp => (ints(metric::LATEST_TIME)?, flag(1)?),
        };
        Ok(Some(Self { cells, place: part.place(&cells)?, numbers, valid }))
    }

    /// Whether the cell has the statistic.
    pub(crate) fn is_valid(&self, at: usize) -> bool {
        match &self.valid {
            Valid::All => true,
            Valid::Flag(flags, bit) => flags.get(at) & bit != 0,
            Valid::Listed(valid) => valid[at],
        }
    }

    /// Which runs have the statistic, given that the key is dense.
    fn dense_valid(&self, present: Option<&Bitmap>, rows: usize) -> Bitmap {
        let mut valid = match &self.valid {
            Valid::All => Bitmap::all(rows),
            Valid::Flag(flags, bit) => flags.among(&std::array::from_fn::<_, 16, _>(|flags| flags as i64 & bit != 0)),
            Valid::Listed(valid) => Bitmap::of(valid, |valid| valid),
        };
        if let Some(present) = present {
            valid.and(present);
        }
        valid
    }

    /// The runs that have the statistic.
    pub(crate) fn present(&self, rows: usize) -> Bitmap {
        match self.place {
            Place::Dense(present) => self.dense_valid(present, rows),
            Place::Sparse(_) => self.pick(rows, |_| true),
        }
    }

    /// The runs that have the statistic and whose value passes.
    pub(crate) fn floats(&self, values: &[f64], rows: usize, test: impl Fn(f64) -> bool) -> Bitmap {
        match self.place {
            Place::Dense(present) => {
                let mut passed = Bitmap::of(values, test);
                self.narrow(&mut passed, present, rows);
                passed
            }
            Place::Sparse(_) => self.pick(rows, |at| test(values[at])),
        }
    }

    /// The runs that have the statistic and whose value is within the bounds, or outside them.
    pub(crate) fn integers(&self, values: &Ints, rows: usize, (low, high, outside): (i64, i64, bool)) -> Bitmap {
        match self.place {
            Place::Dense(present) => {
                let mut passed = values.within(low, high);
                if outside {
                    passed.invert();
                }
                self.narrow(&mut passed, present, rows);
                passed
            }
            Place::Sparse(_) => self.pick(rows, |at| (low..=high).contains(&values.get(at)) != outside),
        }
    }

    fn narrow(&self, passed: &mut Bitmap, present: Option<&Bitmap>, rows: usize) {
        match (&self.valid, present) {
            (Valid::All, None) => {}
            (Valid::All, Some(present)) => passed.and(present),
            _ => passed.and(&self.dense_valid(present, rows)),
        }
    }

    fn pick(&self, rows: usize, test: impl Fn(usize) -> bool) -> Bitmap {
        pick(&self.cells, self.place, rows, |at| self.is_valid(at) && test(at))
    }
}

/// Sum by number of finite values, and where there are any.
fn means(part: &IndexPart, cells: &Cells) -> Result<(Vec<f64>, Vec<bool>)> {
    let sums = part.metric_floats(cells, metric::SUM)?;
    let (counts, nans) = (part.metric_ints(cells, metric::COUNT)?, part.metric_ints(cells, metric::NAN_COUNT)?);
    let infinities = part.metric_ints(cells, metric::INF_COUNT)?;
    let finite = |at: usize| {
        (counts.get(at) as u64).saturating_sub(nans.get(at) as u64).saturating_sub(infinities.get(at) as u64)
    };
    Ok(sums.iter().enumerate().map(|(at, sum)| (sum / finite(at) as f64, finite(at) > 0)).unzip())
}

/// The runs of those of a key's cells that pass.
fn pick(cells: &Cells, place: Place<'_>, rows: usize, test: impl Fn(usize) -> bool) -> Bitmap {
    let mut passed = Bitmap::none(rows);
    match place {
        Place::Sparse(ordinals) => {
            (cells.start..cells.end).filter(|&at| test(at)).for_each(|at| passed.insert(ordinals.get(at) as u32));
        }
        Place::Dense(present) => {
            let has = |at: &usize| present.is_none_or(|set| set.contains(*at as u32)) && test(*at);
            (cells.start..cells.end).filter(has).for_each(|at| passed.insert(at as u32));
        }
    }
    passed
}

impl<'a> TextColumn<'a> {
    /// A param's or tag's values; `None` when no run of the part has the key.
    pub(crate) fn keyed(part: &'a IndexPart, family: Family, key: &str) -> Result<Option<Self>> {
        let Some(cells) = part.cells(family, key)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            cells,
            place: part.place(&cells)?,
            codes: part.codes(&cells)?,
            dictionary: part.dictionary(&cells)?,
        }))
    }

    /// The runs that have the key.
    pub(crate) fn present(&self, rows: usize) -> Bitmap {
        match self.place {
            Place::Dense(None) => Bitmap::all(rows),
            Place::Dense(Some(present)) => present.clone(),
            Place::Sparse(_) => pick(&self.cells, self.place, rows, |_| true),
        }
    }

    /// The runs whose value passes. Each distinct value is tested once, or each cell where those are fewer.
    pub(crate) fn passing(&self, rows: usize, test: impl Fn(&str) -> bool) -> Bitmap {
        let each_cell = self.cells.end - self.cells.start < self.dictionary.len();
        match self.place {
            Place::Sparse(_) if each_cell => {
                pick(&self.cells, self.place, rows, |at| test(self.dictionary.get(self.codes.get(at) as usize)))
            }
            Place::Sparse(_) => {
                let wanted: Vec<bool> = self.dictionary.iter().map(test).collect();
                pick(&self.cells, self.place, rows, |at| wanted[self.codes.get(at) as usize])
            }
            Place::Dense(present) => {
                let wanted: Vec<bool> = self.dictionary.iter().map(test).collect();
                let mut passed = self.codes.among(&wanted);
                present.inspect(|present| passed.and(present));
                passed
            }
        }
    }

    /// The runs whose value is `text`. O(log values) and one scan of codes.
    pub(crate) fn equal(&self, rows: usize, text: &str) -> Bitmap {
        let Some(code) = self.dictionary.find_sorted(text) else {
            return Bitmap::none(rows);
        };
        match self.place {
            Place::Sparse(_) => pick(&self.cells, self.place, rows, |at| self.codes.get(at) == code as i64),
            Place::Dense(present) => {
                let mut passed = self.codes.within(code as i64, code as i64);
                present.inspect(|present| passed.and(present));
                passed
            }
        }
    }
}

/// A time of the runs and which runs have it (all, without a set).
pub(crate) fn times(part: &IndexPart, attribute: TimeAttribute) -> Result<(&Ints, Option<&Bitmap>)> {
    let (present, column) = match attribute {
        TimeAttribute::Start => (run::START_PRESENT, run::START),
        TimeAttribute::End => (run::END_PRESENT, run::END),
    };
    Ok((part.run_ints(column)?, part.run_bits(present)?))
}

/// The codes and dictionary of a name or user; `None` for attributes that have no dictionary.
pub(crate) fn words(part: &IndexPart, attribute: TextAttribute) -> Result<Option<(&Ints, &Texts)>> {
    let (codes, words) = match attribute {
        TextAttribute::RunName => (run::NAME_CODES, run::NAMES),
        TextAttribute::UserId => (run::USER_CODES, run::USERS),
        _ => return Ok(None),
    };
    Ok(Some((part.run_ints(codes)?, part.strings(words)?)))
}

/// A run id of 32 hex characters as text.
pub(crate) fn hex(number: u128) -> [u8; 32] {
    std::array::from_fn(|at| b"0123456789abcdef"[(number >> (124 - 4 * at) & 15) as usize])
}
