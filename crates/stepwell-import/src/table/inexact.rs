//! Numbers of a table that no float can represent: the nearest float is stored, and this is reported.

use std::path::Path;

use serde_json::Value;

use crate::context::Context;
use crate::report::Kind;

/// Whole numbers with fewer digits are floats.
const DIGITS_SAFE: usize = 16;

/// The first of some cells, its offset, and how many there are.
type Cells = Option<(Option<u64>, String, u64)>;

/// Numbers of a JSON text that its value has otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// How many were too large for a float: the value has infinity.
    pub(crate) too_large: u64,
    /// How many were whole and of more than 64 bits: the value has the nearest float.
    pub(crate) too_long: u64,
    /// The first of the latter.
    first_long: String,
}

impl Lost {
    /// Counts a whole number of more than 64 bits.
    pub(crate) fn long(&mut self, text: &str) {
        if self.too_long == 0 {
            text.clone_into(&mut self.first_long);
        }
        self.too_long += 1;
    }
}

/// What was met so far.
#[derive(Debug, Default)]
pub(crate) struct Inexact {
    /// Whole numbers that were rounded.
    rounded: Cells,
    /// Numbers beyond all floats, which became infinite.
    infinite: Cells,
}

fn count(cells: &mut Cells, offset: Option<u64>, cell: impl FnOnce() -> String) {
    cells.get_or_insert_with(|| (offset, cell(), 0)).2 += 1;
}

/// Whether a whole number is neither a float nor the text of one: 49641545539780610 is the shortest text of the float
/// 49641545539780608, and is read back as it.
pub(crate) fn is_rounded(number: i128) -> bool {
    let float = number as f64;
    float as i128 != number && float.to_string() != number.to_string()
}

/// Whether a text is a whole number that is not a float.
pub(crate) fn is_rounded_text(text: &str) -> bool {
    let text = text.trim();
    let digits = text.trim_start_matches(['-', '+']);
    digits.len() >= DIGITS_SAFE
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        // Of numbers beyond 128 bits few are floats, and none that anybody counted.
        && text.parse().map_or(true, is_rounded)
}

impl Inexact {
    /// Looks at a cell that was read as `value`.
    pub(crate) fn look(&mut self, cell: &str, value: f64, offset: impl Into<Option<u64>>) {
        let offset = offset.into();
        if value.is_infinite() && cell.bytes().any(|byte| byte.is_ascii_digit()) {
            count(&mut self.infinite, offset, || cell.to_owned());
        } else if cell.len() >= DIGITS_SAFE && is_rounded_text(cell) {
            count(&mut self.rounded, offset, || cell.to_owned());
        }
    }

    /// Looks at a number in JSON.
    pub(crate) fn look_at(&mut self, value: &Value, offset: impl Into<Option<u64>>) {
        let Value::Number(number) = value else { return };
        let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
        if whole.is_some_and(is_rounded) {
            count(&mut self.rounded, offset.into(), || number.to_string());
        }
    }

    /// Counts a whole number if it is not a float.
    pub(crate) fn look_at_whole(&mut self, number: i128) {
        if is_rounded(number) {
            count(&mut self.rounded, None, || number.to_string());
        }
    }

    /// Counts the numbers that a JSON value has otherwise than its text.
    pub(crate) fn lost(&mut self, offset: impl Into<Option<u64>>, lost: &Lost) {
        let offset = offset.into();
        let kinds =
            [(&mut self.infinite, lost.too_large, ""), (&mut self.rounded, lost.too_long, lost.first_long.as_str())];
        for (cells, count, first) in kinds.into_iter().filter(|(_, count, _)| *count > 0) {
            cells.get_or_insert_with(|| (offset, first.to_owned(), 0)).2 += count;
        }
    }

    /// Reports all of them.
    pub(crate) fn tell(&self, path: &Path, context: &mut Context<'_>) {
        let kinds = [
            (&self.rounded, "a whole number that no float holds: taken as the nearest one"),
            (&self.infinite, "a number too large for a float: taken as infinite"),
        ];
        for (cells, why) in kinds {
            if let Some((offset, first, count)) = cells {
                let first = if first.is_empty() { String::new() } else { format!("{first:?} is ") };
                context.leave_out_at(path, *offset, Kind::Cell, *count, format!("{first}{why}; in cells: {count}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_float_is_written_as_is_not_rounded() {
        for float in [49_641_545_539_780_608.0, 4_634_086_102_532_096.0, 1e17, 1.8e18_f64, -2e15] {
            assert!(!is_rounded_text(&f64::to_string(&float)), "{float}");
        }
        for text in ["9007199254740993", "49641545539780611", "-9223372036854775807"] {
            assert!(is_rounded_text(text), "{text}");
        }
    }

    #[test]
    fn whole_numbers_that_are_no_floats_are_found() {
        for text in ["9007199254740993", "-9007199254740993", "+18014398509481985", "123456789012345678901234567891"] {
            assert!(is_rounded_text(text), "{text}");
        }
        for text in ["9007199254740992", "1000000000000000000000", "0.12345678901234567", "9007199254740993.0", "1e300"]
        {
            assert!(!is_rounded_text(text), "{text}");
        }
    }
}
