//! Tables: which columns a width has room for, and how their cells are cut.
//!
//! Numbers are never cut. Where a table is too wide,
//! 1. columns without any value go first, then those of the greatest rank, as far as ranks above 0 go;
//! 2. texts are cut, the longest first, each to its least width at most;
//! 3. what is still too wide is printed as several tables below each other, each with the first column.
//!
//! Without a width, as in a pipe or a file, everything is printed in full.

use std::fmt;

use unicode_width::UnicodeWidthStr;

use crate::cut::{cut_end, cut_middle};

/// Blanks between columns.
const GAP: usize = 2;
/// Least width of a text unless its column says otherwise.
const TEXT_MIN: usize = 12;

/// Colours of cells, which terminals alone show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Red.
    Red = 31,
    /// Green.
    Green = 32,
    /// Yellow.
    Yellow = 33,
    /// Blue.
    Blue = 34,
    /// Cyan.
    Cyan = 36,
    /// Grey.
    Grey = 90,
}

/// What becomes of a column's cells that are too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Never,
    /// The end goes, as long as so many columns are left.
    End(usize),
    /// The middle goes, since paths differ at their ends.
    Middle(usize),
}

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    head: String,
    right: bool,
    cut: Cut,
    rank: u8,
}

impl Column {
    /// A text whose end may be cut.
    pub(crate) fn text(head: &str) -> Self {
        Self { head: head.to_owned(), right: false, cut: Cut::End(TEXT_MIN), rank: 0 }
    }

    /// A path or a name, whose middle may be cut.
    pub(crate) fn name(head: &str) -> Self {
        Self { cut: Cut::Middle(TEXT_MIN), ..Self::text(head) }
    }

    /// What is whole or not there.
    pub(crate) fn whole(head: &str) -> Self {
        Self { cut: Cut::Never, ..Self::text(head) }
    }

    /// A number, aligned to the right.
    pub(crate) fn number(head: &str) -> Self {
        Self { right: true, ..Self::whole(head) }
    }

    /// The same with another least width of its text.
    pub(crate) fn at_least(self, width: usize) -> Self {
        let cut = match self.cut {
            Cut::Never => Cut::Never,
            Cut::End(_) => Cut::End(width),
            Cut::Middle(_) => Cut::Middle(width),
        };
        Self { cut, ..self }
    }

    /// The same with a rank: of 0, the rule, it is always there; else the greatest goes first.
    pub(crate) fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    fn least(&self, natural: usize) -> usize {
        match self.cut {
            Cut::Never => natural,
            Cut::End(least) | Cut::Middle(least) => natural.min(least.max(self.head.width())),
        }
    }

    fn fit(&self, text: &str, width: usize) -> String {
        match self.cut {
            Cut::Middle(_) => cut_middle(text, width),
            _ => cut_end(text, width),
        }
    }
}

/// A cell: a text that is escaped already.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl Cell {
    /// The same in a colour.
    pub(crate) fn coloured(self, colour: Colour) -> Self {
        Self { colour: Some(colour), ..self }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, colour: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// A table; [`fmt::Display`] gives its lines without the last line end.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    width: Option<usize>,
    colours: bool,
}

/// Columns that stand beside each other, by their place and their width.
type Block = Vec<(usize, usize)>;

impl Table {
    /// A table without rows. `width` is how many columns of characters there are, `None` for no limit.
    pub(crate) fn new(columns: Vec<Column>, width: Option<usize>, colours: bool) -> Self {
        Self { columns, rows: Vec::new(), width, colours }
    }

    /// Adds a row.
    pub(crate) fn add_row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Whether it has no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The columns that are printed, and the heads of those that are not.
    fn plan(&self) -> (Vec<Block>, Vec<&str>) {
        let natural: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.text.width());
                cells.max().unwrap_or(0).max(self.columns[at].head.width())
            })
            .collect();
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let Some(width) = self.width else {
            return (vec![shown.iter().map(|&at| (at, natural[at])).collect()], Vec::new());
        };
        let least = |shown: &[usize]| -> usize {
            let gaps = GAP * shown.len().saturating_sub(1);
            gaps + shown.iter().map(|&at| self.columns[at].least(natural[at])).sum::<usize>()
        };
        let is_blank = |at: usize| self.rows.iter().all(|row| row.get(at).is_none_or(|cell| cell.text.is_empty()));
        let mut left_out = Vec::new();
        while least(&shown) > width {
            let dispensable = shown.iter().copied().filter(|&at| self.columns[at].rank > 0);
            // Of equal ones the last.
            let Some(gone) = dispensable.max_by_key(|&at| (is_blank(at), self.columns[at].rank, at)) else { break };
            shown.retain(|&at| at != gone);
            left_out.push(gone);
        }
        // Of a column without any value nothing is missing.
        left_out.retain(|&at| !is_blank(at));
        left_out.sort_unstable();
        let heads = left_out.into_iter().map(|at| self.columns[at].head.as_str()).collect();
        let mut blocks: Vec<Vec<usize>> = Vec::new();
        for at in shown {
            let wider = blocks.last().map(|block| [&block[..], &[at]].concat()).unwrap_or_else(|| vec![at]);
            // A column that is too wide by itself gains nothing by a table of its own.
            if least(&wider) <= width || wider.len() <= 2 {
                blocks.pop();
                blocks.push(wider);
            } else {
                blocks.push(vec![wider[0], at]);
            }
        }
        (blocks.iter().map(|block| self.spread(block, &natural, width)).collect(), heads)
    }

    /// The widths of columns that stand beside each other: the widest text gives way first.
    fn spread(&self, block: &[usize], natural: &[usize], width: usize) -> Block {
        let mut widths: Block = block.iter().map(|&at| (at, natural[at])).collect();
        let gaps = GAP * block.len().saturating_sub(1);
        while widths.iter().map(|(_, width)| width).sum::<usize>() + gaps > width {
            let shrinks = |&(at, width): &(usize, usize)| width > self.columns[at].least(natural[at]);
            let Some(widest) = widths.iter_mut().filter(|column| shrinks(column)).max_by_key(|(_, width)| *width)
            else {
                break;
            };
            widest.1 -= 1;
        }
        widths
    }

    fn line(&self, block: &Block, cell: impl Fn(usize) -> (String, Option<Colour>)) -> String {
        let mut line = String::new();
        for (place, &(at, width)) in block.iter().enumerate() {
            let (text, colour) = cell(at);
            let blanks = " ".repeat(width.saturating_sub(text.width()));
            let text = match colour.filter(|_| self.colours) {
                Some(colour) => format!("\u{1b}[{}m{text}\u{1b}[0m", colour as u8),
                None => text,
            };
            if place > 0 {
                line += &" ".repeat(GAP);
            }
            line += &if self.columns[at].right { blanks + &text } else { text + &blanks };
        }
        line.truncate(line.trim_end().len());
        line
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (blocks, left_out) = self.plan();
        for (place, block) in blocks.iter().enumerate() {
            let rule = block.iter().map(|(_, width)| width).sum::<usize>() + GAP * block.len().saturating_sub(1);
            let head = self.line(block, |at| (self.columns[at].head.clone(), None));
            write!(f, "{}{head}\n{}", if place > 0 { "\n\n" } else { "" }, "─".repeat(rule))?;
            let width_of = |at: usize| block.iter().find(|(known, _)| *known == at).map_or(0, |(_, width)| *width);
            for row in &self.rows {
                let line = self.line(block, |at| match row.get(at) {
                    Some(cell) => (self.columns[at].fit(&cell.text, width_of(at)), cell.colour),
                    None => Default::default(),
                });
                write!(f, "\n{line}")?;
            }
        }
        if !left_out.is_empty() {
            write!(f, "\nno room for: {}", left_out.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::tests::NAMES;

    fn runs(width: Option<usize>, values: usize) -> Table {
        let mut columns = vec![
            Column::text("run"),
            Column::name("name").at_least(16),
            Column::text("experiment").at_least(8).rank(3),
            Column::whole("status").rank(2),
            Column::whole("started (UTC)").rank(4),
            Column::whole("took").rank(5),
            Column::number("metrics").rank(6),
        ];
        columns.extend((0..values).map(|at| Column::number(&format!("loss{at}"))));
        let mut table = Table::new(columns, width, false);
        for (row, name) in NAMES.iter().enumerate() {
            let mut cells: Vec<String> =
                ["0123456789ab", name, "vision-experiment", "FINISHED", "2026-11-30 12:34:56", "2 m 03 s", "12,345"]
                    .map(str::to_owned)
                    .into();
            cells.extend((0..values).map(|at| format!("-1.2345{row}{at}e-300")));
            table.add_row(cells);
        }
        table
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_number_is_cut() {
        for width in [80, 100, 120, 200] {
            for values in [0, 1, 2, 5, 20] {
                let text = runs(Some(width), values).to_string();
                for line in text.lines() {
                    assert!(line.width() <= width, "{width}, {values}: {} columns: {line}", line.width());
                }
                for (row, at) in (0..NAMES.len()).flat_map(|row| (0..values).map(move |at| (row, at))) {
                    assert!(text.contains(&format!("-1.2345{row}{at}e-300")), "{width}: {row} {at}\n{text}");
                }
                assert!(text.contains("resnet50"), "{width}: names that fit are whole\n{text}");
            }
        }
    }

    #[test]
    fn the_least_useful_columns_go_first_and_are_named() {
        let heads = |width| runs(Some(width), 0).to_string().lines().next().unwrap().to_owned();
        assert!(!heads(80).contains("metrics") && heads(80).contains("status"), "{}", heads(80));
        assert!(heads(120).contains("metrics"), "{}", heads(120));
        assert!(runs(Some(80), 0).to_string().ends_with("no room for: took, metrics"));
        assert!(runs(Some(80), 2).to_string().contains("no room for: experiment, started (UTC), took, metrics"));
        assert!(!runs(Some(200), 0).to_string().contains("no room"));
        // A column without any value goes before all others.
        let mut table = Table::new(
            vec![Column::text("a"), Column::number("b").rank(9), Column::number("c").rank(1)],
            Some(7),
            false,
        );
        table.add_row(["aaa", "12", ""]);
        assert_eq!(table.to_string(), "a     b\n───────\naaa  12");
    }

    #[test]
    fn without_a_terminal_all_is_whole() {
        let text = runs(None, 2).to_string();
        for name in NAMES {
            assert!(text.contains(name), "{name}");
        }
        assert!(!text.contains('…') && text.contains("vision-experiment") && text.contains("12,345"));
    }

    #[test]
    fn columns_that_were_asked_for_stay_whole_on_any_width() {
        for width in [1, 10, 20, 40, 80] {
            let mut table = Table::new(
                vec![Column::text("run"), Column::name("name"), Column::whole("params.a"), Column::number("loss")],
                Some(width),
                false,
            );
            table.add_row(["0123456789ab", "a name of some length", "a value of a param", "0.123456"]);
            let text = table.to_string();
            assert!(text.contains("a value of a param") && text.contains("0.123456"), "{width}\n{text}");
            if width >= 40 {
                assert!(text.lines().all(|line| line.width() <= width), "{width}\n{text}");
            }
        }
    }

    #[test]
    fn colours_take_no_room() {
        let mut table = Table::new(vec![Column::text("a"), Column::text("b")], Some(80), true);
        table.add_row([Cell::from("x").coloured(Colour::Red), Cell::from("y")]);
        assert!(table.to_string().ends_with("\u{1b}[31mx\u{1b}[0m  y"), "{:?}", table.to_string());
    }
}
