//! Draws panels of curves as SVG, and through it as PNG: title, panels side by side, and a legend below of at most a
//! quarter of the height.

use crate::cut::cut_middle;
use crate::failure::{Failure, Outcome};
use crate::output::plural;
use crate::plot::columns::Place;
use crate::plot::curve::Curve;
use crate::plot::legend;
use crate::plot::palette::Style;
use crate::plot::panel::{Axes, Panel, horizontal};
use crate::plot::raster::Fonts;
use crate::plot::scale::Tick;
use crate::plot::svg::{Anchor, Svg};
use crate::plot::view::View;

/// Most panels of a picture.
pub(crate) const PANELS_MAX: usize = 60;
/// Least width and height of a panel.
const PANEL_LEAST: (f64, f64) = (200.0, 140.0);
const MARGIN: f64 = 18.0;
/// Height of a row of the legend, and the width that its line takes.
const ROW: f64 = 20.0;
const SAMPLE: f64 = 38.0;
/// Least width of an entry of the legend.
const ENTRY_LEAST: f32 = 150.0;
/// Sizes of letters.
const TITLE: f32 = 20.0;
const SUBTITLE: f32 = 15.0;
const TEXT: f32 = 13.0;
/// Curves with no more points than this have dots.
const FEW: usize = 40;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// The width.
    pub(crate) width: u32,
    /// The height.
    pub(crate) height: u32,
}

impl Size {
    /// Reads `1200x720`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a size; write WIDTHxHEIGHT, such as 1200x720, each from 200 to 16000");
        let (width, height) = text.split_once(['x', 'X', '×']).ok_or_else(wrong)?;
        let side = |text: &str| text.trim().parse().ok().filter(|side| (200..=16_000).contains(side)).ok_or_else(wrong);
        Ok(Self { width: side(width)?, height: side(height)? })
    }

    /// The size of a picture of so many panels.
    pub(crate) fn of(panels: usize) -> Self {
        let (columns, rows) = grid(panels);
        match columns {
            1 => Self { width: 1200, height: 720 },
            _ => Self { width: 640 * columns as u32, height: 110 + 380 * rows as u32 },
        }
    }
}

/// Columns and rows of panels.
fn grid(panels: usize) -> (usize, usize) {
    let columns = match panels {
        0 | 1 => 1,
        2..=4 => 2,
        5..=9 => 3,
        _ => 4,
    };
    (columns, panels.div_ceil(columns).max(1))
}

/// What a picture shows.
#[derive(Clone, Debug)]
pub(crate) struct Picture<'a> {
    /// Above all.
    pub(crate) title: String,
    /// The panels.
    pub(crate) panels: &'a [Panel],
    /// What the legend says of each number of a curve; none where there is nothing to tell apart.
    pub(crate) legend: &'a [String],
    /// Axes, ranges and smoothing.
    pub(crate) view: View,
    /// Width and height.
    pub(crate) size: Size,
}

/// A rectangle.
#[derive(Clone, Copy, Debug)]
struct Room {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Room {
    /// The pixel of a place in fractions from the lower left corner.
    fn at(self, (x, y): Place) -> (f64, f64) {
        (self.x + x * self.width, self.y + (1.0 - y) * self.height)
    }
}

impl Picture<'_> {
    /// How many columns of pixels a panel of this picture has at most.
    pub(crate) fn pixels(size: Size, panels: usize) -> usize {
        (size.width as usize / grid(panels).0).max(1)
    }

    /// The fonts that its texts need.
    pub(crate) fn fonts(&self) -> Outcome<Fonts> {
        let titles = self.panels.iter().map(|panel| panel.title.clone());
        Fonts::of(&titles.chain(self.legend.iter().cloned()).chain([self.title.clone()]).collect::<Vec<_>>())
    }

    /// The picture as SVG.
    pub(crate) fn svg(&self, fonts: &Fonts) -> Outcome<String> {
        let (width, height) = (f64::from(self.size.width), f64::from(self.size.height));
        let mut svg = Svg::new(self.size.width, self.size.height);
        let mut top = MARGIN;
        if !self.title.is_empty() {
            let title = fitting(fonts, std::slice::from_ref(&self.title), TITLE, width - 2.0 * MARGIN)?;
            top += f64::from(TITLE);
            svg.text(&title[0], (width / 2.0, top - 3.0), TITLE, Anchor::Middle, "class=\"title\" fill=\"#222222\"");
            top += 8.0;
        }
        let bottom = height - MARGIN / 2.0 - self.draw_legend(&mut svg, fonts)?;
        let (columns, rows) = grid(self.panels.len());
        let (cell_width, cell_height) = ((width - MARGIN) / columns as f64, (bottom - top) / rows as f64);
        if cell_width < PANEL_LEAST.0 || cell_height < PANEL_LEAST.1 {
            let panels = plural(self.panels.len() as u64, "panel", "panels");
            let Size { width, height } = self.size;
            return Err(Failure::Usage(format!(
                "{width}x{height} is too small for {panels}; choose a larger --size or fewer metrics"
            )));
        }
        let x = horizontal(self.panels, &self.view);
        for (index, panel) in self.panels.iter().enumerate() {
            let cell = Room {
                x: (index % columns) as f64 * cell_width,
                y: top + (index / columns) as f64 * cell_height,
                width: cell_width,
                height: cell_height,
            };
            self.draw_panel(&mut svg, fonts, (index, panel), panel.axes(x, &self.view), cell)?;
        }
        Ok(svg.finish())
    }

    /// Draws the legend at the bottom; returns its height.
    fn draw_legend(&self, svg: &mut Svg, fonts: &Fonts) -> Outcome<f64> {
        if self.legend.is_empty() {
            return Ok(0.0);
        }
        let (width, height) = (f64::from(self.size.width), f64::from(self.size.height));
        let room = width - 2.0 * MARGIN;
        let widths = fonts.widths(self.legend, TEXT)?;
        let entries: Vec<f32> = widths.iter().map(|width| width * 1.08 + SAMPLE as f32 + 16.0).collect();
        let rows_max = (height * 0.25 / ROW) as usize;
        let layout = legend::arrange(&entries, room as f32, rows_max, ENTRY_LEAST);
        let top = height - MARGIN / 2.0 - layout.rows as f64 * ROW;
        let room = f64::from(layout.width) - SAMPLE - 16.0;
        let texts = fitting(fonts, &self.legend[..layout.shown], TEXT, room)?;
        let place = |index: usize| {
            let (column, row) = (index % layout.columns, index / layout.columns);
            (MARGIN + column as f64 * f64::from(layout.width), top + (row as f64 + 0.5) * ROW)
        };
        svg.open("class=\"legend\" fill=\"none\"");
        for (index, text) in texts.iter().enumerate() {
            let (x, y) = place(index);
            svg.path(&[(x, y), (x + SAMPLE - 8.0, y)], &Style::of(index).stroke(2.5));
            svg.text(text, (x + SAMPLE, y + 4.5), TEXT, Anchor::Start, "fill=\"#222222\"");
        }
        if layout.shown < self.legend.len() {
            let (x, y) = place(layout.shown);
            let more = legend::more(self.legend.len() - layout.shown);
            svg.text(&more, (x + SAMPLE, y + 4.5), TEXT, Anchor::Start, "fill=\"#555555\"");
        }
        svg.close();
        Ok(layout.rows as f64 * ROW + 6.0)
    }

    fn draw_panel(
        &self,
        svg: &mut Svg,
        fonts: &Fonts,
        (number, panel): (usize, &Panel),
        axes: Axes,
        cell: Room,
    ) -> Outcome<()> {
        let y_ticks = axes.y.ticks((cell.height / 50.0) as usize);
        let labels: Vec<String> = y_ticks.iter().map(|tick| tick.label.clone()).collect();
        let widest = fonts.widths(&labels, TEXT)?.into_iter().fold(12.0, f32::max);
        let left = MARGIN + f64::from(widest) * 1.08 + 8.0;
        let above = if panel.title.is_empty() { 8.0 } else { f64::from(SUBTITLE) + 12.0 };
        let x_ticks = axes.x.ticks((((cell.width - left) / 105.0) as usize).max(2));
        let below = if x_ticks.iter().any(|tick| tick.within.is_some()) { 56.0 } else { 40.0 };
        let room = Room {
            x: cell.x + left,
            y: cell.y + above,
            width: cell.width - left - MARGIN / 2.0,
            height: cell.height - above - below,
        };
        svg.open("class=\"panel\"");
        self.draw_axes(svg, fonts, axes, (&x_ticks, &y_ticks), room)?;
        if !panel.title.is_empty() {
            let title = fitting(fonts, std::slice::from_ref(&panel.title), SUBTITLE, room.width)?;
            let at = (room.x + room.width / 2.0, room.y - 8.0);
            svg.text(&title[0], at, SUBTITLE, Anchor::Middle, "class=\"key\" fill=\"#222222\"");
        }
        svg.clip(&format!("clip{number}"), room.x - 4.0, room.y - 4.0, room.width + 8.0, room.height + 8.0);
        svg.open(&format!(
            "clip-path=\"url(#clip{number})\" fill=\"none\" stroke-linejoin=\"round\" stroke-miterlimit=\"1\""
        ));
        for pale in [true, false] {
            for (index, curve) in &panel.curves {
                draw_curve(svg, curve, (*index, panel.curves.len()), axes, room, pale);
            }
        }
        svg.close();
        if panel.is_empty() {
            let at = room.at((0.5, 0.5));
            svg.text("nothing to draw", at, SUBTITLE, Anchor::Middle, "fill=\"#555555\"");
        }
        svg.close();
        Ok(())
    }

    /// Draws the lines and texts of both axes.
    fn draw_axes(
        &self,
        svg: &mut Svg,
        fonts: &Fonts,
        axes: Axes,
        (x_ticks, y_ticks): (&[Tick], &[Tick]),
        room: Room,
    ) -> Outcome<()> {
        let across = |at: f64| [room.at((0.0, at)), room.at((1.0, at))];
        let up = |at: f64| [room.at((at, 0.0)), room.at((at, 1.0))];
        svg.open("class=\"grid\" stroke=\"#f0f0f0\"");
        for line in axes.y.faint_lines() {
            svg.path(&across(axes.y.fraction(line)), "");
        }
        for line in axes.x.faint_lines() {
            svg.path(&up(axes.x.fraction(line)), "");
        }
        svg.close();
        svg.open("class=\"grid\" stroke=\"#dddddd\"");
        for tick in y_ticks {
            svg.path(&across(axes.y.fraction(tick.at)), "");
        }
        for tick in x_ticks {
            svg.path(&up(axes.x.fraction(tick.at)), "");
        }
        svg.close();
        let frame = [(0.0, 1.0), (0.0, 0.0), (1.0, 0.0)].map(|corner| room.at(corner));
        svg.path(&frame, "class=\"axes\" fill=\"none\" stroke=\"#444444\"");
        svg.open("class=\"ticks\" fill=\"#333333\"");
        for tick in y_ticks {
            let (x, y) = room.at((0.0, axes.y.fraction(tick.at)));
            svg.text(&tick.label, (x - 6.0, y + 4.5), TEXT, Anchor::End, "class=\"y\"");
        }
        let bottom = room.y + room.height;
        let texts = x_ticks.iter().map(|tick| tick.label.clone());
        let within: Vec<String> = x_ticks.iter().map(|tick| tick.within.clone().unwrap_or_default()).collect();
        for (line, texts) in [texts.collect(), within].into_iter().enumerate() {
            let widths = fonts.widths(&texts, TEXT)?;
            let mut free = 0.0;
            for ((tick, text), width) in x_ticks.iter().zip(&texts).zip(widths) {
                let (x, half) = (room.at((axes.x.fraction(tick.at), 0.0)).0, f64::from(width) * 0.54);
                // One that would touch the one before it is left out; its line stays.
                if !text.is_empty() && x - half >= free {
                    let at = (x, bottom + 17.0 + 16.0 * line as f64);
                    svg.text(text, at, TEXT, Anchor::Middle, "class=\"x\"");
                    free = x + half + 6.0;
                }
            }
        }
        let second = if x_ticks.iter().any(|tick| tick.within.is_some()) { 16.0 } else { 0.0 };
        let at = (room.x + room.width / 2.0, bottom + 34.0 + second);
        svg.text(&self.view.x.name(), at, TEXT, Anchor::Middle, "class=\"name\"");
        svg.close();
        Ok(())
    }
}

/// Draws a curve, or the pale one behind it that shows what it was before smoothing.
fn draw_curve(svg: &mut Svg, curve: &Curve, (index, of): (usize, usize), axes: Axes, room: Room, pale: bool) {
    let style = Style::of(index);
    let stretches = if pale { &curve.raw } else { &curve.stretches };
    if stretches.is_empty() && (pale || curve.infinities.is_empty()) {
        return;
    }
    if pale {
        svg.open(&format!("class=\"raw\" stroke-opacity=\"0.3\" stroke=\"{}\" stroke-width=\"1.2\"", style.hex()));
    } else {
        svg.open(&format!("class=\"curve\" {}", style.stroke(if of > 8 { 1.6 } else { 2.0 })));
        svg.title(&curve.label);
    }
    let fill = format!("fill=\"{}\" stroke=\"none\"", style.hex());
    let few = curve.len() <= FEW && of <= 12;
    for stretch in stretches {
        let line: Vec<(f64, f64)> = axes.line(stretch).into_iter().map(|place| room.at(place)).collect();
        if line.len() > 1 {
            svg.path(&line, "");
        }
        // One point alone is not a line.
        if !pale && (few || stretch.len() == 1) {
            let within = stretch
                .iter()
                .map(|&place| axes.fractions(place))
                .filter(|place| (0.0..=1.0).contains(&place.0) && (0.0..=1.0).contains(&place.1));
            for place in within {
                svg.dot(room.at(place), if stretch.len() == 1 { 3.5 } else { 2.8 }, &fill);
            }
        }
    }
    if !pale {
        for &(x, above) in &curve.infinities {
            let (x, y) = room.at((axes.x.fraction(x), f64::from(u8::from(above))));
            let tip = if above { 9.0 } else { -9.0 };
            svg.path(&[(x, y), (x - 5.0, y + tip), (x + 5.0, y + tip), (x, y)], &format!("class=\"infinite\" {fill}"));
        }
    }
    svg.close();
}

/// Texts cut in the middle until each is no wider than `room`.
fn fitting(fonts: &Fonts, texts: &[String], size: f32, room: f64) -> Outcome<Vec<String>> {
    use unicode_width::UnicodeWidthStr;
    let mut fitting = texts.to_vec();
    for _ in 0..4 {
        let widths = fonts.widths(&fitting, size)?;
        let mut cut = false;
        for (text, width) in fitting.iter_mut().zip(widths) {
            // Other viewers' fonts are a little wider.
            let width = f64::from(width) * 1.08;
            if width > room {
                let cells = text.width() as f64 * room / width;
                *text = cut_middle(text, (cells as usize).max(1));
                cut = true;
            }
        }
        if !cut {
            break;
        }
    }
    Ok(fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(label: &str, points: Vec<Place>) -> Curve {
        Curve { label: label.to_owned(), stretches: vec![points], ..Curve::default() }
    }

    fn draw(panels: &[Panel], legend: &[String], view: View, size: Size) -> String {
        let picture = Picture { title: "loss".into(), panels, legend, view, size };
        picture.svg(&picture.fonts().unwrap()).unwrap()
    }

    /// The paths of all curves as pixels.
    fn paths(svg: &str, class: &str) -> Vec<Vec<(f64, f64)>> {
        let mut paths = Vec::new();
        for group in svg.split(&format!("<g class=\"{class}\"")).skip(1) {
            let group = &group[..group.find("</g>").unwrap()];
            for path in group.split("<path d=\"M").skip(1) {
                let points = path[..path.find('"').unwrap()].split('L').map(|point| {
                    let (x, y) = point.split_once(' ').unwrap();
                    (x.parse().unwrap(), y.parse().unwrap())
                });
                paths.push(points.collect());
            }
        }
        paths
    }

    #[test]
    fn every_spike_has_its_column_of_pixels() {
        let mut points: Vec<Place> = (0..1000).map(|step| (f64::from(step), 0.0)).collect();
        let spikes = [3, 400, 401, 998];
        for spike in spikes {
            points[spike].1 = 1000.0;
        }
        let panels = [Panel { curves: vec![(0, curve("a", points))], ..Panel::default() }];
        let svg = draw(&panels, &[], View::default(), Size { width: 800, height: 500 });
        let path = paths(&svg, "curve").remove(0);
        let top = path.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let high: Vec<f64> = path.iter().filter(|point| point.1 == top).map(|point| point.0).collect();
        let (left, right) = (path[0].0, path[path.len() - 1].0);
        for (spike, x) in spikes.into_iter().zip(&high) {
            let expected = left + (right - left) * spike as f64 / 999.0;
            assert!((x - expected).abs() < 0.02, "spike {spike}: {x} rather than {expected}");
        }
        assert_eq!(high.len(), spikes.len());
    }

    #[test]
    fn a_legend_of_many_long_names_keeps_to_a_quarter() {
        let curves: Vec<_> = (0..40).map(|index| (index, curve("", vec![(0.0, index as f64), (1.0, 0.0)]))).collect();
        let panels = [Panel { curves, ..Panel::default() }];
        let legend: Vec<String> =
            (0..40).map(|index| format!("{}-seed{index}", "resnet50-lr0.1-".repeat(12))).collect();
        let size = Size { width: 800, height: 500 };
        let svg = draw(&panels, &legend, View::default(), size);
        let part = &svg[svg.find("class=\"legend\"").unwrap()..];
        let part = &part[..part.find("</g>").unwrap()];
        let ys: Vec<f64> = part
            .split("<text x=\"")
            .skip(1)
            .map(|text| text.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        assert!(ys.iter().all(|&y| y > 500.0 * 0.72), "{ys:?}");
        assert!(part.contains("…") && part.contains("-seed0<") && part.contains("more</text>"), "{part}");
        assert_eq!(paths(&svg, "curve").len(), 40);
    }

    #[test]
    fn smoothing_stands_before_the_raw_curve_and_lonely_points_are_dots() {
        let mut smooth = curve("a", vec![(0.0, 1.0), (5.0, 2.0)]);
        smooth.raw = vec![vec![(0.0, 0.0), (5.0, 3.0)]];
        smooth.stretches.push(vec![(9.0, 1.5)]);
        smooth.infinities = vec![(7.0, true)];
        let panels = [Panel { curves: vec![(0, smooth)], ..Panel::default() }];
        let svg = draw(&panels, &[], View::default(), Size { width: 400, height: 300 });
        assert!(svg.find("class=\"raw\"").unwrap() < svg.find("class=\"curve\"").unwrap());
        assert!(svg.contains("<circle") && svg.contains("class=\"infinite\""));
        let empty = draw(&[Panel::default()], &[], View::default(), Size { width: 400, height: 300 });
        assert!(empty.contains("nothing to draw"));
    }

    #[test]
    fn sizes_are_read_and_too_small_ones_refused() {
        assert_eq!(Size::parse("640x480"), Ok(Size { width: 640, height: 480 }));
        for bad in ["640", "0x10", "99999x100", "x", "1e3x400"] {
            assert!(Size::parse(bad).is_err(), "{bad}");
        }
        let panels = vec![Panel::default(); 30];
        let picture = Picture {
            title: String::new(),
            panels: &panels,
            legend: &[],
            view: View::default(),
            size: Size { width: 400, height: 300 },
        };
        assert!(picture.svg(&picture.fonts().unwrap()).is_err());
    }
}
