//! What goes to standard output: tables, JSON, and texts of others made harmless.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde::ser::Serializer;

use crate::cut::{cut_end, cut_middle};
use crate::failure::Outcome;
use crate::table::{Cell, Column, Table};

/// A text from a log, made safe for a terminal. Control characters, which could move the cursor or forge lines, and
/// marks that change the direction of writing become visible escapes; everything else stays.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c if c.is_control() => _ = write!(out, "\\x{:02x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out
}

/// [`escape`], cut to `width` columns of a terminal with an ellipsis.
pub(crate) fn escape_short(text: &str, width: usize) -> String {
    cut_end(&escape(text), width)
}

/// [`escape`], cut to `width` columns with an ellipsis in the middle, since paths differ at their ends.
pub(crate) fn escape_middle(text: &str, width: usize) -> String {
    cut_middle(&escape(text), width)
}

/// A value's shortest text that reads back as the same number: positional for everyday magnitudes, else with an
/// exponent. `NaN`, `inf` and `-inf` for those, `-0` for negative zero.
pub(crate) struct Value(pub(crate) f64);

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let magnitude = self.0.abs();
        if magnitude == 0.0 || !magnitude.is_finite() || (1e-5..1e17).contains(&magnitude) {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{:e}", self.0)
        }
    }
}

/// A value for people: six significant digits.
pub(crate) fn rounded(value: f64) -> String {
    if !value.is_finite() || value == 0.0 || value.fract() == 0.0 && value.abs() < 1e15 {
        return Value(value).to_string();
    }
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    Value(rounded).to_string()
}

/// A value in JSON, which has no word for what is not a number: `"NaN"`, `"Infinity"`, `"-Infinity"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonValue(pub(crate) f64);

impl Serialize for JsonValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_nan() {
            serializer.serialize_str("NaN")
        } else if self.0 == f64::INFINITY {
            serializer.serialize_str("Infinity")
        } else if self.0 == f64::NEG_INFINITY {
            serializer.serialize_str("-Infinity")
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// Writes one JSON document and a line end.
pub(crate) fn json<T: Serialize + ?Sized>(document: &T) -> Outcome<()> {
    let mut out = stdout();
    serde_json::to_writer(&mut out, document)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// Standard output with a buffer; flush it.
pub(crate) fn stdout() -> io::BufWriter<io::Stdout> {
    io::BufWriter::with_capacity(64 << 10, io::stdout())
}

/// Writes lines of text.
pub(crate) fn lines(text: &str) -> Outcome<()> {
    let mut out = stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Whether standard output may have colours: on a terminal, unless `NO_COLOR` is set.
pub(crate) fn colours() -> bool {
    io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Columns of the terminal; on anything else, no limit.
pub(crate) fn width() -> Option<u16> {
    if !io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(width, _)| width.0)
}

/// A table for standard output; cells are escaped already. Numbers are the columns of `right`, all others texts.
pub(crate) fn table(head: &[&str], right: &[usize]) -> Table {
    let column =
        |(at, head): (usize, &&str)| if right.contains(&at) { Column::number(head) } else { Column::text(head) };
    table_of(head.iter().enumerate().map(column).collect())
}

/// A table of these columns for standard output.
pub(crate) fn table_of(columns: Vec<Column>) -> Table {
    Table::new(columns, width().map(usize::from), colours())
}

/// A table below other text, after an empty line; nothing if there are no rows. Cells are escaped already.
pub(crate) fn section<C: Into<Cell>, R: IntoIterator<Item = C>>(
    columns: Vec<Column>,
    rows: impl IntoIterator<Item = R>,
) -> String {
    let mut table = table_of(columns);
    rows.into_iter().for_each(|row| table.add_row(row));
    if table.is_empty() { String::new() } else { format!("\n{table}\n") }
}

/// What is known of one thing: a line for each name and value.
#[derive(Default)]
pub(crate) struct Facts {
    lines: String,
}

impl Facts {
    /// Adds a line, unless the value is empty. The value is escaped already.
    pub(crate) fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        let value = value.to_string();
        if !value.is_empty() {
            self.lines += &format!("{name:<12}{value}\n");
        }
    }

    /// All lines.
    pub(crate) fn into_text(self) -> String {
        self.lines
    }
}

/// A line on what a list leaves out, such as `2 deleted models are not listed`; nothing if it has all.
pub(crate) fn not_listed(number: u64, one: &str, many: &str) -> String {
    match number {
        0 => String::new(),
        _ => format!("{} not listed; --all lists all\n", plural(number, one, many)),
    }
}

/// 1234567 as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 run`, `2 runs`.
pub(crate) fn plural(number: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", count(number), if number == 1 { singular } else { plural })
}

/// Bytes in binary units with one decimal.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_as_their_bits() {
        for value in [
            0.0,
            -0.0,
            1.0,
            0.1,
            -1.5e-300,
            5e-324,
            f64::MAX,
            1e17,
            1e-5,
            123_456_789.125,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            let text = Value(value).to_string();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
            assert!(text.len() < 25, "{text}");
        }
        assert_eq!(Value(-0.0).to_string(), "-0");
        assert_eq!(Value(f64::NAN).to_string(), "NaN");
        assert_eq!(rounded(0.123_456_789), "0.123457");
        assert_eq!([0.1, 0.25, -1.5, 1e-7, 12_345.678].map(rounded), ["0.1", "0.25", "-1.5", "1e-7", "12345.7"]);
    }

    #[test]
    fn texts_of_others_do_no_harm() {
        assert_eq!(escape("a\u{1b}[2J\n\tb\u{202e}\u{7}é"), "a\\e[2J\\n\\tb\\u{202e}\\x07é");
        assert_eq!(escape_short("a\ncdef", 4), "a\\n…");
        assert_eq!(escape_middle("a\u{7}cdefgh", 7), "a\\…efgh");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!((count(1), count(1000), count(1_234_567)), ("1".into(), "1,000".into(), "1,234,567".into()));
        assert_eq!((bytes(1023), bytes(1536), bytes(5 << 30)), ("1023 B".into(), "1.5 KiB".into(), "5.0 GiB".into()));
    }
}
