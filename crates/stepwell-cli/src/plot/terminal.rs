//! Draws panels of curves in a terminal: eight dots a character, with axes.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use crate::cut::cut_middle;
use crate::plot::legend;
use crate::plot::panel::{Axes, Panel, horizontal};
use crate::plot::scale::{Axis, Tick};
use crate::plot::view::View;

/// Colours of the curves, as ANSI codes; they repeat.
const COLOURS: [u8; 12] = [36, 33, 35, 32, 31, 34, 96, 93, 95, 92, 91, 94];
/// Marks of the curves where there are no colours, or fewer than curves; they repeat.
const MARKS: &[u8] = b"*+xo#%@&=~abcdefghijklmnpqrstuvwyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/// Least width of an entry of the legend.
const ENTRY_LEAST: f32 = 18.0;

/// The size and the manner of a drawing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Columns of the terminal.
    pub(crate) width: usize,
    /// Rows of each plot itself.
    pub(crate) height: usize,
    /// Whether colours may be used.
    pub(crate) colours: bool,
    /// Axes, ranges and smoothing.
    pub(crate) view: View,
}

/// How the curves of a drawing are told apart.
#[derive(Clone, Copy, Debug)]
struct Manner {
    colours: bool,
    marks: bool,
}

impl Manner {
    fn mark(owner: usize) -> char {
        char::from(MARKS[owner % MARKS.len()])
    }

    fn colour(owner: usize) -> String {
        format!("\u{1b}[{}m", COLOURS[owner % COLOURS.len()])
    }
}

/// Characters of two by four dots, and who drew in each last.
struct Canvas {
    width: usize,
    height: usize,
    dots: Vec<u8>,
    owners: Vec<usize>,
    /// Characters that stand in the place of dots.
    signs: Vec<Option<char>>,
}

/// The bit of a dot within its character, by column and row.
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        let cells = width * height;
        Self { width, height, dots: vec![0; cells], owners: vec![0; cells], signs: vec![None; cells] }
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

    /// An infinite value at a column of dots.
    fn infinite(&mut self, x: i64, above: bool, owner: usize) {
        if let Ok(x) = usize::try_from(x)
            && x < self.width * 2
        {
            let cell = if above { x / 2 } else { (self.height - 1) * self.width + x / 2 };
            self.signs[cell] = Some(if above { '▲' } else { '▼' });
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

/// The drawing as lines of text. `entries` is what the legend says of each number of a curve; none where there is
/// nothing to tell apart.
pub(crate) fn draw(panels: &[Panel], entries: &[String], frame: Frame) -> String {
    let x = horizontal(panels, &frame.view);
    let manner = Manner {
        colours: frame.colours,
        marks: entries.len() > 1 && (!frame.colours || entries.len() > COLOURS.len()),
    };
    let mut text = String::new();
    for panel in panels {
        if !panel.title.is_empty() {
            _ = writeln!(text, "{}", cut_middle(&panel.title, frame.width));
        }
        if panel.is_empty() {
            text.push_str("nothing to draw\n");
        } else {
            draw_panel(&mut text, panel, panel.axes(x, &frame.view), frame, manner);
        }
    }
    draw_legend(&mut text, entries, frame, manner);
    text
}

fn draw_panel(text: &mut String, panel: &Panel, axes: Axes, frame: Frame, manner: Manner) {
    let mut y_labels = vec![String::new(); frame.height];
    for tick in axes.y.ticks((frame.height / 4).max(2)) {
        let row = ((1.0 - axes.y.fraction(tick.at)) * (frame.height - 1) as f64).round() as usize;
        if let Some(label) = y_labels.get_mut(row) {
            *label = tick.label;
        }
    }
    let margin = y_labels.iter().map(|label| label.width()).max().unwrap_or(0);
    let width = frame.width.saturating_sub(margin + 3).max(10);
    let mut canvas = Canvas::new(width, frame.height);
    let dots = ((width * 2 - 1) as f64, (frame.height * 4 - 1) as f64);
    let place = |(across, up): (f64, f64)| ((across * dots.0).round() as i64, ((1.0 - up) * dots.1).round() as i64);
    for (owner, curve) in &panel.curves {
        for stretch in &curve.stretches {
            let line: Vec<(i64, i64)> = axes.line(stretch).into_iter().map(place).collect();
            if let [first, ..] = line[..] {
                canvas.dot(first.0, first.1, *owner);
            }
            for pair in line.windows(2) {
                canvas.line(pair[0], pair[1], *owner);
            }
        }
        for &(x, above) in &curve.infinities {
            let (x, _) = place((axes.x.fraction(x), 0.0));
            canvas.infinite(x, above, *owner);
        }
    }
    for (row, label) in y_labels.iter().enumerate() {
        let axis = if label.is_empty() { '│' } else { '┤' };
        _ = write!(text, "{label:>margin$} {axis}");
        row_text(text, &canvas, row, manner);
        text.push('\n');
    }
    let ticks = axes.x.ticks((width / 16).max(2));
    _ = writeln!(text, "{:margin$} └{}", "", "─".repeat(width));
    _ = writeln!(text, "{:margin$}  {}", "", x_labels(&ticks, axes.x, width, |tick| Some(&tick.label)));
    if ticks.iter().any(|tick| tick.within.is_some()) {
        _ = writeln!(text, "{:margin$}  {}", "", x_labels(&ticks, axes.x, width, |tick| tick.within.as_ref()));
    }
    _ = writeln!(text, "{:margin$}  {}", "", format!("{:^width$}", frame.view.x.name()).trim_end());
}

/// Draws the legend, of at most a third of a plot's rows.
fn draw_legend(text: &mut String, entries: &[String], frame: Frame, manner: Manner) {
    if entries.is_empty() {
        return;
    }
    // A mark, a blank, and two blanks before the next entry.
    let widths: Vec<f32> = entries.iter().map(|entry| entry.width() as f32 + 5.0).collect();
    let layout = legend::arrange(&widths, frame.width as f32, (frame.height / 3).max(2), ENTRY_LEAST);
    let room = layout.width as usize;
    let shown = entries[..layout.shown].iter().enumerate().map(|(owner, entry)| {
        let mark = match (manner.colours, manner.marks) {
            (true, false) => format!("{}━━\u{1b}[0m", Manner::colour(owner)),
            (true, true) => format!("{}{} \u{1b}[0m", Manner::colour(owner), Manner::mark(owner)),
            (false, _) => format!("{} ", Manner::mark(owner)),
        };
        let entry = cut_middle(entry, room.saturating_sub(5));
        (format!("{mark} {entry}"), entry.width() + 3)
    });
    let left_out = entries.len() - layout.shown;
    let more = (left_out > 0).then(|| (legend::more(left_out), legend::more(left_out).width()));
    let all: Vec<(String, usize)> = shown.chain(more).collect();
    for row in all.chunks(layout.columns) {
        for (index, (entry, width)) in row.iter().enumerate() {
            text.push_str(entry);
            if index + 1 < row.len() {
                text.extend(std::iter::repeat_n(' ', room.saturating_sub(*width)));
            }
        }
        text.push('\n');
    }
}

fn row_text(text: &mut String, canvas: &Canvas, row: usize, manner: Manner) {
    let cells = row * canvas.width..(row + 1) * canvas.width;
    let drawn = |cell: usize| canvas.dots[cell] != 0 || canvas.signs[cell].is_some();
    let last = cells.clone().rev().find(|&cell| drawn(cell));
    let mut colour = None;
    for cell in cells {
        if last.is_none_or(|last| cell > last) {
            break;
        }
        if !drawn(cell) {
            text.push(' ');
            continue;
        }
        let owner = canvas.owners[cell];
        if manner.colours && colour != Some(owner) {
            text.push_str(&Manner::colour(owner));
            colour = Some(owner);
        }
        let dots = char::from_u32(0x2800 + u32::from(canvas.dots[cell])).unwrap_or(' ');
        text.push(canvas.signs[cell].unwrap_or(if manner.marks { Manner::mark(owner) } else { dots }));
    }
    if colour.is_some() {
        text.push_str("\u{1b}[0m");
    }
}

/// Texts of ticks below the axis, each around its place.
fn x_labels(ticks: &[Tick], axis: Axis, width: usize, text: impl Fn(&Tick) -> Option<&String>) -> String {
    let mut line = vec![' '; width];
    for tick in ticks {
        let Some(label) = text(tick) else {
            continue;
        };
        let label: Vec<char> = label.chars().collect();
        let at = (axis.fraction(tick.at) * (width - 1) as f64).round() as usize;
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
    use crate::plot::curve::Curve;

    fn frame(colours: bool) -> Frame {
        Frame { width: 60, height: 12, colours, view: View::default() }
    }

    fn panel(curves: &[&[(f64, f64)]]) -> [Panel; 1] {
        let curve = |points: &&[(f64, f64)]| Curve { stretches: vec![points.to_vec()], ..Curve::default() };
        [Panel { title: String::new(), curves: curves.iter().map(curve).enumerate().collect() }]
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("run {index} of a name that is long 実験")).collect()
    }

    #[test]
    fn a_spike_reaches_the_top_row() {
        let mut points: Vec<_> = (0..100).map(|step| (f64::from(step), 0.0)).collect();
        points[50].1 = 100.0;
        let text = draw(&panel(&[&points]), &[], frame(false));
        let top = text.lines().next().unwrap();
        assert!(top.starts_with("100 ┤") && top.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(text.lines().all(|line| line.width() <= 60), "{text}");
    }

    #[test]
    fn curves_differ_with_and_without_colours() {
        let curves = panel(&[&[(0.0, 0.0), (1.0, 1.0)], &[(0.0, 1.0), (1.0, 0.0)]]);
        let plain = draw(&curves, &["a".into(), "b".into()], frame(false));
        assert!(plain.contains('*') && plain.contains("+  b"), "{plain}");
        let coloured = draw(&curves, &["a".into(), "b".into()], frame(true));
        assert!(coloured.contains("\u{1b}[36m") && coloured.contains("\u{1b}[33m"));
        let points: Vec<[(f64, f64); 2]> = (0..20).map(|index| [(0.0, f64::from(index)), (1.0, 0.0)]).collect();
        let slices: Vec<&[(f64, f64)]> = points.iter().map(|points| &points[..]).collect();
        let many = draw(&panel(&slices), &names(20), frame(true));
        assert!((0..20).all(|owner| many.contains(Manner::mark(owner))), "{many}");
    }

    #[test]
    fn the_legend_is_no_more_than_a_third_and_lines_keep_the_width() {
        let points: Vec<[(f64, f64); 2]> = (0..40).map(|index| [(0.0, f64::from(index)), (1.0, 0.0)]).collect();
        let slices: Vec<&[(f64, f64)]> = points.iter().map(|points| &points[..]).collect();
        let text = draw(&panel(&slices), &names(40), frame(false));
        let below = text.lines().skip_while(|line| line.trim() != "step").skip(1).count();
        assert!((1..=4).contains(&below), "{text}");
        assert!(text.contains(" more") && text.lines().all(|line| line.width() <= 60), "{text}");
    }

    #[test]
    fn extremes_of_all_kinds_are_drawn() {
        for points in [vec![(0.0, 5.0)], vec![(-9e18, f64::MIN), (9e18, f64::MAX)], vec![(0.0, 5e-324), (1.0, 1e-323)]]
        {
            assert!(draw(&panel(&[&points]), &[], frame(false)).contains('└'));
        }
        assert_eq!(draw(&[Panel::default()], &[], frame(false)), "nothing to draw\n");
        let infinite = Curve { infinities: vec![(3.0, true), (4.0, false)], ..Curve::default() };
        let text = draw(&[Panel { title: String::new(), curves: vec![(0, infinite)] }], &[], frame(false));
        assert!(text.contains('▲') && text.contains('▼'), "{text}");
    }
}
