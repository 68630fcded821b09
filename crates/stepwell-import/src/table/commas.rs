//! What a comma within a number means, decided for each column: decimal mark or thousands separator.

use crate::context::Context;
use crate::number;
use crate::options::Options;
use crate::table::csv;
use crate::walk::SourceFile;

/// What commas in a cell can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comma {
    /// The decimal mark only, as in `0,125`.
    Decimal,
    /// Marks between thousands only, as in `1,234.5`.
    Thousands,
    /// Both, as in `1,234`.
    Either,
    /// Neither: it is not a number.
    Neither,
}

/// How many cells of each kind a column has.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    decimal: u64,
    thousands: u64,
    either: u64,
}

/// The commas of a table. Its columns are looked through at the first cell that needs it.
pub(crate) struct Commas<'t> {
    file: &'t SourceFile,
    delimiter: u8,
    count: usize,
    columns: Option<Vec<Counts>>,
}

/// What the commas in a cell can be. Thousands have groups of three digits behind a first one of one to three, which
/// does not begin with 0.
fn comma_of(cell: &str) -> Comma {
    let cell = cell.trim();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = cell.split_once('.').map_or((cell, None), |(whole, rest)| (whole, Some(rest)));
    let mut groups = whole.trim_start_matches(['-', '+']).split(',');
    let first = groups.next().unwrap_or_default();
    let is_thousands = whole.contains(',')
        && (1..=3).contains(&first.len())
        && digits(first)
        && !first.starts_with('0')
        && groups.all(|group| group.len() == 3 && digits(group))
        && fraction.is_none_or(digits)
        && number::value(&cell.replace(',', "")).is_some();
    let is_decimal = fraction.is_none()
        && cell.bytes().filter(|byte| *byte == b',').count() == 1
        && number::value(&cell.replace(',', ".")).is_some();
    match (is_decimal, is_thousands) {
        (true, true) => Comma::Either,
        (true, false) => Comma::Decimal,
        (false, true) => Comma::Thousands,
        (false, false) => Comma::Neither,
    }
}

impl<'t> Commas<'t> {
    /// The commas of a table of so many columns.
    pub(crate) fn new(file: &'t SourceFile, delimiter: u8, count: usize) -> Self {
        Self { file, delimiter, count, columns: None }
    }

    /// The number in a cell of a column.
    pub(crate) fn value(&mut self, cell: &str, at: usize, options: &Options) -> Option<f64> {
        if let Some(value) = number::value(cell) {
            return Some(value);
        }
        let comma = if cell.contains(',') { comma_of(cell) } else { Comma::Neither };
        if comma == Comma::Neither {
            return None;
        }
        match (self.is_decimal(at, options), comma) {
            (true, Comma::Decimal | Comma::Either) => number::value(&cell.replace(',', ".")),
            (false, Comma::Thousands | Comma::Either) => number::value(&cell.replace(',', "")),
            _ => None,
        }
    }

    /// Whether commas are the decimal mark in a column. They are if semicolons separate the fields, or if some cell of
    /// the column can be read in no other way. If all cells can be read in both ways, the other columns decide.
    fn is_decimal(&mut self, at: usize, options: &Options) -> bool {
        if self.delimiter == b';' {
            return true;
        }
        let (file, count) = (self.file, self.count);
        let columns = self.columns.get_or_insert_with(|| look(file, count, options));
        let own = columns.get(at).copied().unwrap_or_default();
        match own {
            Counts { decimal: 1.., .. } => true,
            Counts { thousands: 1.., .. } => false,
            _ => columns.iter().any(|column| column.decimal > 0),
        }
    }

    /// Tells of columns in which nothing says what the commas are.
    pub(crate) fn tell<'n>(&self, columns: impl Iterator<Item = (&'n str, usize)>, context: &mut Context<'_>) {
        let known = self.columns.as_deref().unwrap_or_default();
        let others = known.iter().any(|column| column.decimal > 0);
        for (name, at) in columns {
            let Some(Counts { decimal: 0, thousands: 0, either: count @ 1.. }) = known.get(at) else { continue };
            let taken = if others { "the decimal mark, as in other columns" } else { "a mark between thousands" };
            let note = format!(
                "column {name:?}: commas as in 1,234 can be read in two ways; taken as {taken}; in cells: {count}"
            );
            context.note(&self.file.path, note);
        }
    }
}

/// Looks through the columns of a table.
fn look(file: &SourceFile, count: usize, options: &Options) -> Vec<Counts> {
    let mut columns = vec![Counts::default(); count];
    csv::each_row(file, options, count, |record| {
        for (cell, column) in record.iter().zip(&mut columns).filter(|(cell, _)| cell.contains(',')) {
            match comma_of(cell) {
                Comma::Decimal => column.decimal += 1,
                Comma::Thousands => column.thousands += 1,
                Comma::Either => column.either += 1,
                Comma::Neither => {}
            }
        }
    });
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_are_read_where_they_mean_one_thing() {
        for (cell, expected) in [
            ("1,5", Comma::Decimal),
            ("-0,25e2", Comma::Decimal),
            ("0,693", Comma::Decimal),
            ("01,234", Comma::Decimal),
            ("-0,125", Comma::Decimal),
            ("1234,567", Comma::Decimal),
            ("1,234", Comma::Either),
            ("-12,345", Comma::Either),
            ("-12,345,678.5", Comma::Thousands),
            ("1,234.5", Comma::Thousands),
            ("0,234,567", Comma::Neither),
            ("1.234,5", Comma::Neither),
            ("1,23,456", Comma::Neither),
            ("1,234.5,6", Comma::Neither),
            (",123", Comma::Decimal),
            ("a,b", Comma::Neither),
        ] {
            assert_eq!(comma_of(cell), expected, "{cell}");
        }
    }
}
