//! A parsed filter: clauses joined by AND, OR and NOT.

use regex::Regex;

use crate::base::stats::SeriesStats;
use crate::search::like::Like;

/// A condition on a run. A clause is true or false, never unknown, so NOT is the plain complement: `NOT params.a = 'x'`
/// is true for a run without `a`, while `params.a != 'x'` is not.
#[derive(Clone, Debug)]
pub enum Expr {
    /// All hold.
    And(Vec<Self>),
    /// At least one holds.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// One comparison.
    Clause(Clause),
}

/// One comparison. A run that lacks what is compared satisfies only `IS NULL`.
#[derive(Clone, Debug)]
pub enum Clause {
    /// A metric's number.
    Metric(MetricName, NumberTest),
    /// A time of the run, in milliseconds.
    Time(TimeAttribute, NumberTest),
    /// A param's value.
    Param(String, TextTest),
    /// A tag's value.
    Tag(String, TextTest),
    /// A text attribute of the run.
    Text(TextAttribute, TextTest),
    /// A test of the run's input datasets.
    Dataset(DatasetField, TextTest),
}

/// A field of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatasetField {
    /// Its name.
    Name,
    /// Its digest.
    Digest,
    /// Its context, as a tag of its use says it; see [`Conventions`](crate::query::Conventions).
    Context,
}

/// A metric as a filter or order names it.
///
/// - `` metrics.`a.min` `` (quoted) is the latest value of the metric called `a.min`, always.
/// - `` metrics.`a`.min `` (a statistic after the quotes) is always the least value of `a`.
/// - `metrics.a.min` (no quotes) is the metric called `a.min` if any searched part has one; else the
///   least value of `a`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricName {
    /// The metric's key.
    pub key: String,
    /// Which of its statistics.
    pub aggregate: Aggregate,
    /// The whole name as a key, which takes precedence over `key` and `aggregate` if any run has it.
    pub literal: Option<String>,
}

/// A statistic of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// The value of greatest (step, timestamp, value).
    Latest,
    /// The first value logged.
    First,
    /// The least value that is not NaN; absent if all are.
    Min,
    /// The greatest value that is not NaN; absent if all are.
    Max,
    /// The sum of finite values divided by how many they are; absent when there is none.
    Mean,
    /// The sum of finite values.
    Sum,
    /// How many points.
    Count,
    /// How many of them are NaN.
    NanCount,
    /// How many of them are infinite.
    InfCount,
    /// The first step of the least value; absent if that is.
    ArgminStep,
    /// The first step of the greatest value; absent if that is.
    ArgmaxStep,
    /// The latest point's step.
    Step,
    /// The latest point's timestamp in milliseconds; absent where it has none.
    Timestamp,
}

/// The value of a statistic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// A value, mean or sum.
    Float(f64),
    /// A count, a step or a time.
    Integer(i64),
}

impl MetricName {
    /// The name of a key without quotes: its last word is a statistic if it is the name of one.
    #[must_use]
    pub fn unquoted(text: &str) -> Self {
        match text.rsplit_once('.').and_then(|(key, name)| Some((key, Aggregate::named(name)?))) {
            Some((key, aggregate)) if !key.is_empty() => {
                Self { key: key.to_owned(), aggregate, literal: Some(text.to_owned()) }
            }
            _ => Self::latest(text),
        }
    }

    /// The latest value of the metric of this key, whatever the key ends in.
    #[must_use]
    pub fn latest(key: &str) -> Self {
        Self { key: key.to_owned(), aggregate: Aggregate::Latest, literal: None }
    }
}

impl Aggregate {
    /// Names as a filter spells them; `last` and `latest` are one.
    pub const NAMES: [(&'static str, Self); 14] = [
        ("latest", Self::Latest),
        ("last", Self::Latest),
        ("first", Self::First),
        ("min", Self::Min),
        ("max", Self::Max),
        ("mean", Self::Mean),
        ("sum", Self::Sum),
        ("count", Self::Count),
        ("nan_count", Self::NanCount),
        ("inf_count", Self::InfCount),
        ("argmin_step", Self::ArgminStep),
        ("argmax_step", Self::ArgmaxStep),
        ("step", Self::Step),
        ("timestamp", Self::Timestamp),
    ];

    /// The statistic of a series; `None` if the series has none.
    #[must_use]
    pub fn of(self, stats: &SeriesStats) -> Option<Statistic> {
        let count = |number: u64| Some(Statistic::Integer(i64::try_from(number).unwrap_or(i64::MAX)));
        match self {
            Self::Latest => Some(Statistic::Float(stats.latest.value)),
            Self::First => Some(Statistic::Float(stats.first.value)),
            Self::Min => stats.min.map(|min| Statistic::Float(min.value)),
            Self::Max => stats.max.map(|max| Statistic::Float(max.value)),
            Self::Mean => stats.mean().map(Statistic::Float),
            Self::Sum => Some(Statistic::Float(stats.sum)),
            Self::Count => count(stats.count),
            Self::NanCount => count(stats.nan_count),
            Self::InfCount => count(stats.inf_count),
            Self::ArgminStep => stats.min.map(|min| Statistic::Integer(min.step)),
            Self::ArgmaxStep => stats.max.map(|max| Statistic::Integer(max.step)),
            Self::Step => Some(Statistic::Integer(stats.latest.step)),
            Self::Timestamp => stats.latest.timestamp_ms.map(Statistic::Integer),
        }
    }

    /// The statistic of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, aggregate)| aggregate)
    }
}

/// A time of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeAttribute {
    /// When it began.
    Start,
    /// When it ended.
    End,
}

/// A text attribute of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextAttribute {
    /// `run_id`.
    RunId,
    /// `run_name`.
    RunName,
    /// `status`, in capitals.
    Status,
    /// `artifact_uri`: the run's own, or made by [`Conventions`](crate::query::Conventions).
    ArtifactUri,
    /// `user_id`.
    UserId,
}

/// How numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`, the only one that NaN satisfies.
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
}

impl Comparison {
    /// The comparison of an operator.
    #[must_use]
    pub fn of(operator: &str) -> Option<Self> {
        match operator {
            "=" => Some(Self::Equal),
            "!=" => Some(Self::NotEqual),
            "<" => Some(Self::Less),
            "<=" => Some(Self::LessEqual),
            ">" => Some(Self::Greater),
            ">=" => Some(Self::GreaterEqual),
            _ => None,
        }
    }

    /// Its operator.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
        }
    }
}

/// A number in a filter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// Its value; never NaN.
    pub value: f64,
    /// The exact value, if it was written as a 64-bit integer.
    pub integer: Option<i64>,
}

/// A test of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NumberTest {
    /// Compares with a number.
    Is(Comparison, Number),
    /// `BETWEEN a AND b`: from `a` to `b`, both included.
    Between(Number, Number),
    /// `NOT BETWEEN a AND b`: less than `a` or greater than `b`.
    NotBetween(Number, Number),
    /// `IS NULL`: the run lacks it.
    Null,
    /// `IS NOT NULL`.
    NotNull,
    /// `IS NAN`: the run has it and it is NaN.
    Nan,
    /// `IS NOT NAN`: the run has it and it is a number.
    NotNan,
}

impl NumberTest {
    /// Whether an integer passes.
    #[must_use]
    pub fn passes(&self, value: i64) -> bool {
        match self {
            Self::Is(comparison, number) => {
                let (low, high, outside) = number.integers(*comparison);
                (low..=high).contains(&value) != outside
            }
            Self::Between(low, high) | Self::NotBetween(low, high) => {
                let within = |comparison, number| Self::Is(comparison, number).passes(value);
                let between = within(Comparison::GreaterEqual, *low) && within(Comparison::LessEqual, *high);
                between == matches!(self, Self::Between(..))
            }
            Self::NotNull | Self::NotNan => true,
            Self::Null | Self::Nan => false,
        }
    }

    /// Whether a float passes; NaN satisfies `!=` only.
    #[must_use]
    pub fn passes_float(&self, value: f64) -> bool {
        match self {
            Self::Is(comparison, number) => match comparison {
                Comparison::Equal => value == number.value,
                Comparison::NotEqual => value != number.value,
                Comparison::Less => value < number.value,
                Comparison::LessEqual => value <= number.value,
                Comparison::Greater => value > number.value,
                Comparison::GreaterEqual => value >= number.value,
            },
            Self::Between(low, high) => low.value <= value && value <= high.value,
            Self::NotBetween(low, high) => value < low.value || value > high.value,
            Self::Nan => value.is_nan(),
            Self::NotNan => !value.is_nan(),
            Self::NotNull => true,
            Self::Null => false,
        }
    }

    /// The two comparisons of a range test, and whether both must hold (else one).
    #[must_use]
    pub fn halves(self) -> Option<(Self, Self, bool)> {
        match self {
            Self::Between(low, high) => {
                Some((Self::Is(Comparison::GreaterEqual, low), Self::Is(Comparison::LessEqual, high), true))
            }
            Self::NotBetween(low, high) => {
                Some((Self::Is(Comparison::Less, low), Self::Is(Comparison::Greater, high), false))
            }
            _ => None,
        }
    }
}

/// A test of a text.
#[derive(Clone, Debug)]
pub enum TextTest {
    /// `=`
    Equal(String),
    /// `!=`
    NotEqual(String),
    /// `LIKE` and `ILIKE`.
    Like(Like),
    /// `NOT LIKE` and `NOT ILIKE`.
    NotLike(Like),
    /// `IN`
    In(Vec<String>),
    /// `NOT IN`
    NotIn(Vec<String>),
    /// `=~` and `RLIKE`: the regular expression matches anywhere within.
    Matches(Regex),
    /// `!~` and `NOT RLIKE`.
    NotMatches(Regex),
    /// `IS NULL`: the run lacks it.
    Null,
    /// `IS NOT NULL`.
    NotNull,
}

impl TextTest {
    /// Whether a text passes, or its absence.
    #[must_use]
    pub fn passes_optional(&self, text: Option<&str>) -> bool {
        match text {
            Some(text) => self.passes(text),
            None => matches!(self, Self::Null),
        }
    }

    /// Whether a present text passes.
    #[must_use]
    pub fn passes(&self, text: &str) -> bool {
        match self {
            Self::Equal(wanted) => text == wanted,
            Self::NotEqual(wanted) => text != wanted,
            Self::Like(like) => like.matches(text),
            Self::NotLike(like) => !like.matches(text),
            Self::In(wanted) => wanted.iter().any(|wanted| wanted == text),
            Self::NotIn(wanted) => !wanted.iter().any(|wanted| wanted == text),
            Self::Matches(regex) => regex.is_match(text),
            Self::NotMatches(regex) => !regex.is_match(text),
            Self::Null => false,
            Self::NotNull => true,
        }
    }
}

impl Number {
    /// Reads a number as a filter writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self { value: text.parse().ok()?, integer: text.parse().ok() })
    }

    /// The integers that satisfy `comparison` with this number, as a closed range (`low > high`: none), and whether the
    /// range is of those that do not. Exact for every `i64`, unlike a comparison of floats.
    #[must_use]
    pub fn integers(self, comparison: Comparison) -> (i64, i64, bool) {
        const NONE: (i64, i64) = (1, 0);
        // The number between integers `below` and `above`, which are equal where it is one itself.
        let (below, above) = match self.integer {
            Some(integer) => (Some(integer), Some(integer)),
            None => (whole(self.value.floor()), whole(self.value.ceil())),
        };
        // Past the ends of i64, every integer is on one side.
        let upto = |bound: Option<i64>| {
            if self.value > 0.0 { bound.or(Some(i64::MAX)) } else { bound }
        };
        let from = |bound: Option<i64>| {
            if self.value < 0.0 { bound.or(Some(i64::MIN)) } else { bound }
        };
        let (low, high) = match comparison {
            Comparison::Equal | Comparison::NotEqual => {
                below.filter(|_| below == above).map_or(NONE, |number| (number, number))
            }
            Comparison::LessEqual => upto(below).map_or(NONE, |high| (i64::MIN, high)),
            Comparison::GreaterEqual => from(above).map_or(NONE, |low| (low, i64::MAX)),
            Comparison::Less => match above {
                Some(above) => above.checked_sub(1).map_or(NONE, |high| (i64::MIN, high)),
                None => upto(None).map_or(NONE, |high| (i64::MIN, high)),
            },
            Comparison::Greater => match below {
                Some(below) => below.checked_add(1).map_or(NONE, |low| (low, i64::MAX)),
                None => from(None).map_or(NONE, |low| (low, i64::MAX)),
            },
        };
        (low, high, comparison == Comparison::NotEqual)
    }
}

/// A float without a fraction as an integer, if it is in range. 2^63 itself is not.
fn whole(value: f64) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    (-BOUND..BOUND).contains(&value).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_ranges_are_exact() {
        use Comparison::*;
        let comparisons = [Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual];
        let values: [i64; 9] = [i64::MIN, i64::MIN + 1, -2, -1, 0, 1, 2, i64::MAX - 1, i64::MAX];
        let numbers = [
            f64::NEG_INFINITY,
            -1e300,
            -9.3e18,
            -1.5,
            -1.0,
            -0.5,
            -0.0,
            0.5,
            1.0,
            1.5,
            9_223_372_036_854_775_808.0,
            f64::INFINITY,
        ];
        for comparison in comparisons {
            for value in values {
                for number in numbers {
                    // i128 holds every i64 and every finite bound that matters; beyond it the sign decides.
                    let exact = i128::from(value).cmp(&(number.floor() as i128)).then(
                        if number.fract() == 0.0 || number.is_infinite() {
                            std::cmp::Ordering::Equal
                        } else {
                            std::cmp::Ordering::Less
                        },
                    );
                    check(comparison, value, Number { value: number, integer: None }, exact);
                }
                for number in values {
                    check(
                        comparison,
                        value,
                        Number { value: number as f64, integer: Some(number) },
                        value.cmp(&number),
                    );
                }
            }
        }
        fn check(comparison: Comparison, value: i64, number: Number, exact: std::cmp::Ordering) {
            let expected = match comparison {
                Equal => exact.is_eq(),
                NotEqual => exact.is_ne(),
                Less => exact.is_lt(),
                LessEqual => exact.is_le(),
                Greater => exact.is_gt(),
                GreaterEqual => exact.is_ge(),
            };
            let (low, high, outside) = number.integers(comparison);
            assert_eq!((low..=high).contains(&value) != outside, expected, "{value} {comparison:?} {number:?}");
        }
    }
}
