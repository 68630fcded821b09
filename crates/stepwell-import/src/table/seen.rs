//! What the cells of a column have been so far: numbers, one constant text, or texts that are reported and left out.

use crate::context::Context;
use crate::report::Kind;
use crate::table::rows::Rows;
use crate::walk::SourceFile;

/// A column's cells so far.
#[derive(Clone, Debug, Default)]
pub(crate) enum Seen {
    /// Empty, or nothing yet.
    #[default]
    Nothing,
    /// Numbers, at least one.
    Numbers,
    /// One and the same text in each row: the text, the offset of the first row, how many rows.
    Constant(String, u64, u64),
    /// Texts; the first at this offset, in so many rows.
    Texts(u64, u64),
}

impl Seen {
    /// A number came.
    pub(crate) fn number(&mut self) {
        match *self {
            Self::Nothing => *self = Self::Numbers,
            Self::Constant(_, offset, count) => *self = Self::Texts(offset, count),
            Self::Numbers | Self::Texts(..) => {}
        }
    }

    /// A text came in the row at `offset`.
    pub(crate) fn text(&mut self, cell: &str, offset: u64) {
        *self = match std::mem::take(self) {
            Self::Nothing => Self::Constant(cell.to_owned(), offset, 1),
            Self::Constant(known, first, count) if known == cell => Self::Constant(known, first, count + 1),
            Self::Constant(_, first, count) | Self::Texts(first, count) => Self::Texts(first, count + 1),
            Self::Numbers => Self::Texts(offset, 1),
        };
    }

    /// A cell came that has no place, in the row at `offset`.
    pub(crate) fn lost(&mut self, offset: u64) {
        *self = match *self {
            Self::Texts(first, count) => Self::Texts(first, count + 1),
            _ => Self::Texts(offset, 1),
        };
    }

    /// The first row whose cell is left out, and how many are.
    pub(crate) fn left_out(&self) -> Option<(u64, u64)> {
        match *self {
            Self::Texts(offset, count) => Some((offset, count)),
            _ => None,
        }
    }

    /// Makes one constant text a param of the table's only run, and reports other texts.
    pub(crate) fn tell(&self, name: &str, file: &SourceFile, rows: &mut Rows<'_>, context: &mut Context<'_>) {
        match self {
            Self::Constant(text, ..) if rows.is_one() => rows.params.push((name.to_owned(), text.clone())),
            Self::Constant(_, offset, count) | Self::Texts(offset, count) => {
                let why = format!("column {name:?} holds text, not a number, in rows that were left out: {count}");
                context.leave_out_at(&file.path, Some(*offset), Kind::Cell, *count, why);
            }
            Self::Nothing | Self::Numbers => {}
        }
    }
}
