//! Dialects: the names and comparisons that filters of each kind of entity allow.

use crate::search::ast::{Comparison, TextAttribute, TimeAttribute};

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`, `!=`, `<` …
    Is(Comparison),
    /// `LIKE`
    Like,
    /// `NOT LIKE`
    NotLike,
    /// `ILIKE`
    Ilike,
    /// `NOT ILIKE`
    NotIlike,
    /// `IN`
    In,
    /// `NOT IN`
    NotIn,
    /// `=~`, `RLIKE`
    Matches,
    /// `!~`, `NOT RLIKE`
    NotMatches,
    /// `BETWEEN`
    Between,
    /// `NOT BETWEEN`
    NotBetween,
    /// `IS NULL`
    Null,
    /// `IS NOT NULL`
    NotNull,
    /// `IS NAN`
    Nan,
    /// `IS NOT NAN`
    NotNan,
}

impl Operator {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Is(comparison) => comparison.as_str(),
            Self::Like => "LIKE",
            Self::NotLike => "NOT LIKE",
            Self::Ilike => "ILIKE",
            Self::NotIlike => "NOT ILIKE",
            Self::In => "IN",
            Self::NotIn => "NOT IN",
            Self::Matches => "=~",
            Self::NotMatches => "!~",
            Self::Between => "BETWEEN",
            Self::NotBetween => "NOT BETWEEN",
            Self::Null => "IS NULL",
            Self::NotNull => "IS NOT NULL",
            Self::Nan => "IS NAN",
            Self::NotNan => "IS NOT NAN",
        }
    }
}

/// Operators of numbers.
pub const NUMBERS: [Operator; 6] = [
    Operator::Is(Comparison::Equal),
    Operator::Is(Comparison::NotEqual),
    Operator::Is(Comparison::Less),
    Operator::Is(Comparison::LessEqual),
    Operator::Is(Comparison::Greater),
    Operator::Is(Comparison::GreaterEqual),
];

/// Operators of texts that every dialect has.
pub const TEXTS: [Operator; 4] =
    [Operator::Is(Comparison::Equal), Operator::Is(Comparison::NotEqual), Operator::Like, Operator::Ilike];

/// Those, and lists.
pub const LISTED: [Operator; 6] = [TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[3], Operator::In, Operator::NotIn];

/// Those of texts that may be missing.
pub const NULLABLE: [Operator; 6] = [TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[3], Operator::Null, Operator::NotNull];

/// The kinds of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// An attribute, such as a name or a time.
    Attribute,
    /// A metric of a run.
    Metric,
    /// A param.
    Param,
    /// A tag.
    Tag,
    /// A dataset that a run read.
    Dataset,
}

/// The operands of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Number,
    /// A whole number of 64 bits; `quoted` ones are taken too.
    Integer {
        /// Whether `'7'` is 7.
        quoted: bool,
    },
    /// A text in quotes; in a `loose` dialect, a word or a number without quotes is a text too.
    Text {
        /// Whether quotes may be left out.
        loose: bool,
    },
}

/// How a name is compared.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// With what.
    pub kind: Kind,
    /// By which operators.
    pub operators: &'static [Operator],
}

impl Rules {
    /// Of a text in quotes.
    #[must_use]
    pub const fn text(operators: &'static [Operator]) -> Self {
        Self { kind: Kind::Text { loose: false }, operators }
    }

    /// Of a number.
    #[must_use]
    pub const fn number(operators: &'static [Operator]) -> Self {
        Self { kind: Kind::Number, operators }
    }
}

/// An attribute of what is searched.
#[derive(Clone, Copy, Debug)]
pub struct Attribute<A> {
    /// What it is to the caller.
    pub id: A,
    /// Names by which filters know it, the usual one first.
    pub filtered: &'static [&'static str],
    /// Names by which orders know it, the usual one first.
    pub ordered: &'static [&'static str],
    /// How it is compared.
    pub rules: Rules,
}

impl<A: Copy> Attribute<A> {
    /// One that filters and orders know by the same names.
    #[must_use]
    pub const fn named(id: A, names: &'static [&'static str], rules: Rules) -> Self {
        Self { id, filtered: names, ordered: names, rules }
    }
}

/// Names that begin with one of some words.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// What they name.
    pub entity: NameKind,
    /// The words, the usual one first.
    pub words: &'static [&'static str],
    /// How they are compared; of attributes each has its own.
    pub rules: Rules,
    /// Whether they order.
    pub ordered: bool,
}

/// A language of filters and orders.
#[derive(Clone, Copy, Debug)]
pub struct Dialect<A: 'static> {
    /// What is searched, as in `runs`.
    pub of: &'static str,
    /// Kinds of names.
    pub keys: &'static [Keys],
    /// Attributes.
    pub attributes: &'static [Attribute<A>],
    /// Hints for names that are not attributes.
    pub hints: &'static [(&'static str, &'static str)],
    /// Whether there are OR, NOT and parentheses.
    pub nesting: bool,
    /// Whether metrics have statistics, and numbers infinities.
    pub statistics: bool,
    /// Whether an AND may end a filter.
    pub trailing_and: bool,
}

/// Unused rules: each attribute has its own.
pub const NO_RULES: Rules = Rules { kind: Kind::Number, operators: &[] };

/// An attribute of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAttribute {
    /// A time.
    Time(TimeAttribute),
    /// A text.
    Text(TextAttribute),
}

const ALL_OF_METRICS: &[Operator] = &[
    NUMBERS[0],
    NUMBERS[1],
    NUMBERS[2],
    NUMBERS[3],
    NUMBERS[4],
    NUMBERS[5],
    Operator::Between,
    Operator::NotBetween,
    Operator::Null,
    Operator::NotNull,
    Operator::Nan,
    Operator::NotNan,
];
const ALL_OF_TIMES: &[Operator] = ALL_OF_METRICS.split_at(10).0;
const ALL_OF_KEYS: &[Operator] = &[
    TEXTS[0],
    TEXTS[1],
    Operator::Like,
    Operator::NotLike,
    Operator::Ilike,
    Operator::NotIlike,
    Operator::In,
    Operator::NotIn,
    Operator::Matches,
    Operator::NotMatches,
    Operator::Null,
    Operator::NotNull,
];
const ALL_OF_TEXTS: &[Operator] = ALL_OF_KEYS.split_at(10).0;

/// The kinds of names of runs, by their operators.
#[must_use]
pub const fn run_keys(metrics: Rules, keyed: Rules, datasets: Rules) -> [Keys; 5] {
    [
        Keys { entity: NameKind::Metric, words: &["metrics", "metric"], rules: metrics, ordered: true },
        Keys {
            entity: NameKind::Param,
            words: &["params", "param", "parameters", "parameter"],
            rules: keyed,
            ordered: true,
        },
        Keys { entity: NameKind::Tag, words: &["tags", "tag"], rules: keyed, ordered: true },
        Keys {
            entity: NameKind::Attribute,
            words: &["attributes", "attribute", "attr", "run"],
            rules: NO_RULES,
            ordered: true,
        },
        Keys { entity: NameKind::Dataset, words: &["datasets", "dataset"], rules: datasets, ordered: false },
    ]
}

/// The attributes of runs, by their operators.
#[must_use]
pub const fn run_attributes(times: Rules, texts: Rules, id: Rules) -> [Attribute<RunAttribute>; 7] {
    const START: &[&str] = &["start_time", "created", "Created"];
    const NAME: &[&str] = &["run_name", "run name", "Run name", "Run Name"];
    let name = Attribute::named(RunAttribute::Text(TextAttribute::RunName), NAME, texts);
    [
        Attribute::named(RunAttribute::Text(TextAttribute::RunId), &["run_id"], id),
        Attribute { ordered: &["run_name"], ..name },
        Attribute::named(RunAttribute::Text(TextAttribute::Status), &["status"], texts),
        Attribute::named(RunAttribute::Text(TextAttribute::ArtifactUri), &["artifact_uri"], texts),
        Attribute::named(RunAttribute::Text(TextAttribute::UserId), &["user_id"], texts),
        Attribute::named(RunAttribute::Time(TimeAttribute::Start), START, times),
        Attribute::named(RunAttribute::Time(TimeAttribute::End), &["end_time"], times),
    ]
}

/// Hints for what people look for among the attributes of runs.
pub const RUN_HINTS: &[(&str, &str)] = &[
    ("name", "did you mean run_name?"),
    ("user", "did you mean user_id?"),
    ("id", "did you mean run_id?"),
    ("duration", "compare start_time and end_time, in milliseconds"),
    ("experiment_id", "give the experiments beside the filter"),
    ("lifecycle_stage", "give the view (active, deleted, all) beside the filter"),
];

/// The store's own query language for runs, with all features.
pub static RUNS: Dialect<RunAttribute> = Dialect {
    of: "runs",
    keys: &run_keys(Rules::number(ALL_OF_METRICS), Rules::text(ALL_OF_KEYS), Rules::text(ALL_OF_TEXTS)),
    attributes: &run_attributes(Rules::number(ALL_OF_TIMES), Rules::text(ALL_OF_TEXTS), Rules::text(ALL_OF_TEXTS)),
    hints: RUN_HINTS,
    nesting: true,
    statistics: true,
    trailing_and: false,
};
