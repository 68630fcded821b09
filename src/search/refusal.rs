//! Errors of filters and orders: what is wrong, and where.

use std::fmt;

use crate::error::Error;
use crate::search::dialect::{Attribute, NameKind, Operator};
use crate::search::lexer::TEXT_BYTES_MAX;

/// Most clauses of an order.
pub const ORDER_BY_MAX: usize = 100;
/// Most comparisons in a filter.
pub const CLAUSES_MAX: usize = 100;
/// Deepest nesting of parentheses and NOT.
pub const DEPTH_MAX: usize = 64;

/// A rejected text: which, where and why. Displays the position and what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the text is.
    pub source: Source,
    /// The text.
    pub text: String,
    /// Where in the text, in bytes.
    pub at: usize,
    /// The text at that position; empty at the end.
    pub found: String,
    /// Why.
    pub reason: Reason,
    /// Where the comparison begins that is refused, in bytes.
    pub start: usize,
    /// The name that is compared, where it was understood.
    pub name: Option<(NameKind, String)>,
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A filter.
    Filter,
    /// A clause of an order.
    OrderBy,
    /// The name of a column.
    Column,
}

/// The form of what stands right of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A text in single or double quotes.
    Text,
    /// A number.
    Number,
    /// A word without quotes, or a name in backticks.
    Word,
    /// A list in parentheses.
    List,
    /// Nothing that could be a value.
    None,
}

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has more than 10 KiB.
    TooLong,
    /// It is white space.
    Blank,
    /// An order has so many clauses, more than [`ORDER_BY_MAX`].
    TooManyClauses(usize),
    /// This quote is not closed.
    Unclosed(char),
    /// A semicolon, behind which another filter would stand.
    SecondFilter,
    /// A character that is part of no token.
    Character(char),
    /// Something else is expected.
    Expected(String),
    /// A name is expected.
    Name(String),
    /// More than [`DEPTH_MAX`] nested parentheses and NOTs.
    TooDeep,
    /// More than [`CLAUSES_MAX`] comparisons.
    TooManyComparisons,
    /// The key of a name is not well formed.
    Key(String),
    /// A name begins with an unknown kind of key; lists the known kinds.
    NameKind(String),
    /// What is searched has no such attribute; which there are, and a hint.
    Attribute(String),
    /// Nothing is ordered by names of this kind.
    NotOrdered(NameKind),
    /// The name does not take this operator.
    Operator {
        /// The operator in capitals; nothing where there is none.
        operator: String,
        /// Those that the name takes.
        known: &'static [Operator],
        /// What would be right.
        wanted: String,
        /// The form of what stands right of it.
        form: Form,
        /// What stands right of it.
        value: String,
    },
    /// What stands right of the operator is not what the name is compared with.
    Value {
        /// The operator.
        operator: Operator,
        /// What would be right.
        wanted: String,
        /// The form of what stands there.
        form: Form,
        /// The operand, to the end of a list.
        value: String,
    },
    /// The first number of BETWEEN is greater than the second.
    Reversed,
    /// Not a regular expression that is taken, and why.
    Regex(String),
}

impl Refusal {
    pub(crate) fn new(source: Source, text: &str, at: usize, reason: Reason) -> Box<Self> {
        Box::new(Self { source, text: text.to_owned(), at, found: String::new(), reason, start: at, name: None })
    }

    /// Whether nothing follows what was found.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.text.get(self.at..).unwrap_or_default().trim_end().len() <= self.found.len()
    }
}

impl Source {
    /// The name of the argument.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::OrderBy => "order_by",
            Self::Column => "column",
        }
    }

    /// The names by which such a text knows an attribute.
    pub(crate) fn names_of<A>(self, attribute: &Attribute<A>) -> &'static [&'static str] {
        match self {
            Self::Filter => attribute.filtered,
            Self::OrderBy | Self::Column => attribute.ordered,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !matches!(self.reason, Reason::TooLong | Reason::Blank | Reason::TooManyClauses(_)) {
            // The column counts characters, from 1.
            let column = self.text.get(..self.at).map_or(0, |before| before.chars().count()) + 1;
            write!(f, "at column {column}: ")?;
        }
        let expected = |f: &mut fmt::Formatter<'_>, wanted: &dyn fmt::Display| match self.found.as_str() {
            "" => write!(f, "the text ends, expected {wanted}"),
            found => write!(f, "found {found}, expected {wanted}"),
        };
        match &self.reason {
            Reason::TooLong => write!(f, "{} bytes are more than the limit of {TEXT_BYTES_MAX}", self.text.len()),
            Reason::Blank => f.write_str("there is only white space; leave the filter empty to keep everything"),
            Reason::TooManyClauses(count) => write!(f, "{count} clauses are more than the limit of {ORDER_BY_MAX}"),
            Reason::Unclosed(quote) => write!(f, "the {quote} is not closed; end the text with another {quote}"),
            Reason::SecondFilter => f.write_str("found ';', but only one expression is taken; join conditions by AND"),
            Reason::Character(c) => {
                write!(f, "found {c:?}; a key with such characters goes in backticks, as in metrics.`my{c}key`")
            }
            Reason::Expected(wanted)
            | Reason::Name(wanted)
            | Reason::Operator { wanted, .. }
            | Reason::Value { wanted, .. } => expected(f, wanted),
            Reason::TooDeep => expected(f, &format_args!("at most {DEPTH_MAX} nested parentheses and NOTs")),
            Reason::TooManyComparisons => expected(f, &format_args!("at most {CLAUSES_MAX} comparisons")),
            Reason::Key(why) => f.write_str(why),
            Reason::NameKind(known) => write!(f, "{:?} is none of {known}", self.found),
            Reason::Attribute(known) => write!(f, "{:?} is not an attribute of {known}", self.found),
            Reason::NotOrdered(NameKind::Dataset) => {
                f.write_str("runs are not ordered by their datasets, of which they have many")
            }
            Reason::NotOrdered(_) => f.write_str("nothing is ordered by names of this kind"),
            Reason::Reversed => {
                f.write_str("the first number of BETWEEN is greater than the second, so nothing matches")
            }
            Reason::Regex(why) => write!(f, "not a regular expression that is taken: {why}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// What was parsed, or why it is refused.
pub type Parsed<T> = Result<T, Box<Refusal>>;

impl From<Box<Refusal>> for Error {
    fn from(refusal: Box<Refusal>) -> Self {
        Self::invalid(refusal.source.as_str(), refusal.to_string())
    }
}
