//! The figures, and the one table that they make: a row for each measure, a column for each contender.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One measured figure.
#[derive(Clone, Debug)]
struct Figure {
    row: usize,
    contender: String,
    value: f64,
}

/// What a row measures.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Measure {
    work: String,
    what: String,
    unit: &'static str,
    floor: &'static str,
}

/// All figures of one run of the arena.
#[derive(Debug, Default)]
pub struct Figures {
    columns: Vec<String>,
    rows: Vec<Measure>,
    figures: Vec<Figure>,
    absent: Vec<(String, String)>,
    notes: Vec<String>,
}

impl Figures {
    /// Declares a contender, so that it has a column in this order.
    pub fn contender(&mut self, name: &str) {
        if !self.columns.iter().any(|column| column == name) {
            self.columns.push(name.to_owned());
        }
    }

    /// Says that a contender, or a part of its work, is missing, and why.
    pub fn absent(&mut self, contender: &str, why: impl ToString) {
        let entry = (contender.to_owned(), why.to_string());
        eprintln!("  {}: {}", entry.0, entry.1);
        if !self.absent.contains(&entry) {
            self.absent.push(entry);
        }
    }

    /// Notes something that the reader of the table should know.
    pub fn note(&mut self, note: impl ToString) {
        self.notes.push(note.to_string());
    }

    /// Takes a figure; of several of one measure and contender, the least stands, or for rates the greatest.
    pub fn add(&mut self, work: &str, what: &str, unit: &'static str, contender: &str, value: f64) {
        self.add_with_floor(work, what, unit, "", contender, value);
    }

    /// [`Self::add`] for a measure that has a floor, in words.
    pub fn add_with_floor(
        &mut self,
        work: &str,
        what: &str,
        unit: &'static str,
        floor: &'static str,
        contender: &str,
        value: f64,
    ) {
        self.contender(contender);
        let measure = Measure { work: work.to_owned(), what: what.to_owned(), unit, floor };
        let row = self.rows.iter().position(|row| row.work == work && row.what == what).unwrap_or_else(|| {
            self.rows.push(measure);
            self.rows.len() - 1
        });
        let more_is_better = unit.ends_with("/s");
        let known = self.figures.iter_mut().find(|figure| figure.row == row && figure.contender == contender);
        match known {
            Some(figure) if more_is_better => figure.value = figure.value.max(value),
            Some(figure) => figure.value = figure.value.min(value),
            None => self.figures.push(Figure { row, contender: contender.to_owned(), value }),
        }
    }

    fn cell(&self, row: usize, column: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.row == row && figure.contender == column).map(|figure| figure.value)
    }

    /// The table, with its cells aligned, as Markdown that reads as well in a terminal.
    pub fn table(&self) -> String {
        let mut lines: Vec<Vec<String>> = Vec::new();
        let mut head = vec!["work".to_owned(), "measure".to_owned(), "unit".to_owned(), "floor".to_owned()];
        head.extend(self.columns.iter().cloned());
        lines.push(head);
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = vec![row.work.clone(), row.what.clone(), row.unit.to_owned(), row.floor.to_owned()];
            line.extend(self.columns.iter().map(|column| self.cell(index, column).map_or_else(String::new, number)));
            lines.push(line);
        }
        let widths: Vec<usize> = (0..lines[0].len())
            .map(|at| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0))
            .collect();
        let mut out = String::new();
        for (index, line) in lines.iter().enumerate() {
            let cells =
                line.iter().zip(&widths).enumerate().map(|(at, (cell, width))| {
                    if at < 4 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                });
            let _ = writeln!(out, "| {} |", cells.collect::<Vec<_>>().join(" | "));
            if index == 0 {
                let rules = widths.iter().enumerate().map(|(at, width)| {
                    if at < 4 { "-".repeat(*width) } else { format!("{}:", "-".repeat(width.saturating_sub(1))) }
                });
                let _ = writeln!(out, "| {} |", rules.collect::<Vec<_>>().join(" | "));
            }
        }
        out
    }

    /// What was left out or failed, and the notes, as a Markdown list.
    pub fn remarks(&self) -> String {
        let mut out = String::new();
        for (contender, why) in &self.absent {
            let _ = writeln!(out, "- Left out: {contender}: {why}");
        }
        for note in &self.notes {
            let _ = writeln!(out, "- {note}");
        }
        out
    }

    /// All of it as JSON.
    pub fn json(&self) -> Value {
        let figures: Vec<Value> = self
            .figures
            .iter()
            .map(|figure| {
                let row = &self.rows[figure.row];
                json!({ "work": row.work, "measure": row.what, "unit": row.unit, "floor": row.floor,
                        "contender": figure.contender, "value": figure.value })
            })
            .collect();
        let absent: Vec<Value> = self.absent.iter().map(|(who, why)| json!({ "contender": who, "why": why })).collect();
        json!({ "figures": figures, "left_out": absent, "notes": self.notes })
    }
}

/// Three figures that mean something.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1e9 => format!("{:.2} G", value / 1e9),
        large if large >= 1e6 => format!("{:.2} M", value / 1e6),
        large if large >= 1e4 => format!("{:.1} k", value / 1e3),
        large if large >= 100.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        large if large >= 0.01 || large == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.1e}"),
    }
}
