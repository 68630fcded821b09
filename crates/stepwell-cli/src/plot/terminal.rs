//! Draws curves in a terminal: eight dots a character, with axes.

use std::fmt::Write;

use crate::plot::curve::{Curve, extent};
use crate::plot::scale::{Horizontal, Vertical, ticks, widen};

/// Colours of the curves, as ANSI codes; they repeat.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 31, 34];
/// Marks of the curves where there are no colours; they repeat.
const MARKS: [char; 8] = ['*', '+', 'x', 'o', '#', '%', '@', '&'];

/// The size and the manner of a drawing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Columns of the terminal.
    pub(crate) width: usize,
    /// Rows of the plot itself.
    pub(crate) height: usize,
    /// Whether colours may be used.
    pub(crate) colours: bool,
    /// The horizontal axis.
    pub(crate) x: Horizontal,
    /// The vertical axis.
    pub(crate) y: Vertical,
}

/// Characters of two by four dots, and who drew in each last.
struct Canvas {
    width: usize,
    height: usize,
    dots: Vec<u8>,
    owners: Vec<usize>,
}

/// The bit of a dot within its character, by column and row.
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        Self { width, height, dots: vec![0; width * height], owners: vec![0; width * height] }
    }

    fn dot(&mut self, x: i64, y: i64, owner: usize) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return;
        };
        if x < self.width * 2 && y < self.height * 4 {
            let cell = y / 4 * self.width + x / 2;
            self.dots[cell] |= DOTS[x % 2][y % 4];
            self.owners[cell] = owner;
        }
    }

    /// A line between two dots, both included.
    fn line(&mut self, from: (i64, i64), to: (i64, i64), owner: usize) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let steps = dx.abs().max(dy.abs()).max(1);
        for step in 0..=steps {
            self.dot(
                from.0 + (dx * step + steps / 2).div_euclid(steps),
                from.1 + (dy * step + steps / 2).div_euclid(steps),
                owner,
            );
        }
    }
}

/// The drawing as lines of text. Nothing to draw gives a sentence.
pub(crate) fn draw(curves: &[Curve], frame: Frame) -> String {
    let Some((x_extent, y_extent)) = extent(curves) else {
        return "nothing to draw\n".to_owned();
    };
    let (x, y) = (widen(x_extent), widen(y_extent));
    let mut y_labels = vec![String::new(); frame.height];
    let row_of = |place: f64| ((y.1 - place) / (y.1 - y.0) * (frame.height - 1) as f64).round() as usize;
    for tick in ticks(y, (frame.height / 4).max(2)) {
        if let Some(label) = y_labels.get_mut(row_of(tick)) {
            *label = frame.y.label(tick);
        }
    }
    let margin = y_labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let width = frame.width.saturating_sub(margin + 3).max(10);
    let mut canvas = Canvas::new(width, frame.height);
    let dots = ((width * 2 - 1) as f64, (frame.height * 4 - 1) as f64);
    for (owner, curve) in curves.iter().enumerate() {
        for stretch in &curve.stretches {
            let place = |&(at, value): &(f64, f64)| {
                let across = (at - x.0) / (x.1 - x.0) * dots.0;
                let down = (y.1 - value) / (y.1 - y.0) * dots.1;
                // What lies beyond a range that no number spans stands at its edge.
                (across.round().clamp(0.0, dots.0) as i64, down.round().clamp(0.0, dots.1) as i64)
            };
            let mut last = place(&stretch[0]);
            canvas.dot(last.0, last.1, owner);
            for point in &stretch[1..] {
                let next = place(point);
                canvas.line(last, next, owner);
                last = next;
            }
        }
    }
    let mut text = String::new();
    for (row, label) in y_labels.iter().enumerate() {
        let axis = if label.is_empty() { '│' } else { '┤' };
        _ = write!(text, "{label:>margin$} {axis}");
        row_text(&mut text, &canvas, row, curves.len(), frame.colours);
        text.push('\n');
    }
    _ = writeln!(text, "{:margin$} └{}", "", "─".repeat(width));
    _ = writeln!(text, "{:margin$}  {}", "", x_labels(x, width, frame.x));
    _ = writeln!(text, "{:margin$}  {:^width$}", "", frame.x.name());
    if curves.len() > 1 {
        for (owner, curve) in curves.iter().enumerate() {
            let mark = if frame.colours {
                format!("\u{1b}[{}m━━\u{1b}[0m", COLOURS[owner % COLOURS.len()])
            } else {
                MARKS[owner % MARKS.len()].to_string()
            };
            _ = writeln!(text, "{:margin$}  {mark} {}", "", curve.label);
        }
    }
    text
}

fn row_text(text: &mut String, canvas: &Canvas, row: usize, curves: usize, colours: bool) {
    let cells = row * canvas.width..(row + 1) * canvas.width;
    let last = cells.clone().rev().find(|&cell| canvas.dots[cell] != 0);
    let mut colour = None;
    for cell in cells {
        if last.is_none_or(|last| cell > last) {
            break;
        }
        let (dots, owner) = (canvas.dots[cell], canvas.owners[cell]);
        if dots == 0 {
            text.push(' ');
            continue;
        }
        if colours && colour != Some(owner) {
            _ = write!(text, "\u{1b}[{}m", COLOURS[owner % COLOURS.len()]);
            colour = Some(owner);
        }
        if colours || curves == 1 {
            text.push(char::from_u32(0x2800 + u32::from(dots)).unwrap_or(' '));
        } else {
            text.push(MARKS[owner % MARKS.len()]);
        }
    }
    if colour.is_some() {
        text.push_str("\u{1b}[0m");
    }
}

/// The names of ticks below the axis, each around its place.
fn x_labels(x: (f64, f64), width: usize, axis: Horizontal) -> String {
    let mut line = vec![' '; width];
    for tick in ticks(x, (width / 16).max(2)) {
        let label: Vec<char> = axis.label(tick, x.1 - x.0).chars().collect();
        let at = ((tick - x.0) / (x.1 - x.0) * (width - 1) as f64).round() as usize;
        let from = at.saturating_sub(label.len() / 2).min(width.saturating_sub(label.len()));
        let room = from.saturating_sub(1)..(from + label.len() + 1).min(width);
        if label.len() <= width && line[room].iter().all(|&c| c == ' ') {
            line[from..from + label.len()].copy_from_slice(&label);
        }
    }
    line.into_iter().collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(colours: bool) -> Frame {
        Frame { width: 60, height: 12, colours, x: Horizontal::Step, y: Vertical::Linear }
    }

    fn curve(label: &str, points: &[(f64, f64)]) -> Curve {
        Curve { label: label.into(), stretches: vec![points.to_vec()], ..Curve::default() }
    }

    #[test]
    fn a_spike_reaches_the_top_row() {
        let mut points: Vec<_> = (0..100).map(|step| (f64::from(step), 0.0)).collect();
        points[50].1 = 100.0;
        let text = draw(&[curve("a", &points)], frame(false));
        let top = text.lines().next().unwrap();
        assert!(top.starts_with("100 ┤") && top.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    }

    #[test]
    fn curves_differ_with_and_without_colours() {
        let curves = [curve("a", &[(0.0, 0.0), (1.0, 1.0)]), curve("b", &[(0.0, 1.0), (1.0, 0.0)])];
        let plain = draw(&curves, frame(false));
        assert!(plain.contains('*') && plain.contains("+ b"), "{plain}");
        let coloured = draw(&curves, frame(true));
        assert!(coloured.contains("\u{1b}[36m") && coloured.contains("\u{1b}[33m"));
    }

    #[test]
    fn extremes_of_all_kinds_are_drawn() {
        for points in [vec![(0.0, 5.0)], vec![(-9e18, f64::MIN), (9e18, f64::MAX)], vec![(0.0, 5e-324), (1.0, 1e-323)]]
        {
            assert!(draw(&[curve("a", &points)], frame(false)).contains('└'));
        }
        assert_eq!(draw(&[Curve::default()], frame(false)), "nothing to draw\n");
    }
}
