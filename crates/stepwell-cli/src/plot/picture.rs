//! Draws curves as SVG or PNG. The font is in the program, so that a bare machine draws the same picture.

use std::path::Path;
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;

use crate::failure::{Failure, Outcome};
use crate::output::escape_short;
use crate::plot::curve::{Curve, extent};
use crate::plot::scale::{Horizontal, Vertical, ticks, widen};

/// Width and height in pixels.
pub(crate) const SIZE: (u32, u32) = (1200, 720);
/// Colours of the curves that are told apart by most eyes (Okabe and Ito's set, without yellow); they repeat.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(40, 40, 40),
];
/// Rows that the legend has at most, and the height of one in pixels.
const LEGEND_ROWS: usize = 14;
const ROW: u32 = 22;
const FONT: &str = "sans-serif";

/// What a picture shows beside its curves.
#[derive(Clone, Debug)]
pub(crate) struct Titles {
    /// Above the plot.
    pub(crate) title: String,
    /// The horizontal axis.
    pub(crate) x: Horizontal,
    /// The vertical axis.
    pub(crate) y: Vertical,
}

/// The picture as SVG.
pub(crate) fn svg(curves: &[Curve], titles: &Titles) -> Outcome<Vec<u8>> {
    load_font();
    let mut text = String::new();
    paint(&SVGBackend::with_string(&mut text, SIZE).into_drawing_area(), curves, titles, true)?;
    Ok(text.into_bytes())
}

/// The picture as PNG.
pub(crate) fn png(curves: &[Curve], titles: &Titles, path: &Path) -> Outcome<Vec<u8>> {
    load_font();
    let mut pixels = vec![255; 3 * SIZE.0 as usize * SIZE.1 as usize];
    paint(&BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area(), curves, titles, false)?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, SIZE.0, SIZE.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let encoded = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
    encoded.map_err(|error| Failure::failed(format!("cannot encode {}: {error}", path.display())))?;
    Ok(file)
}

fn load_font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // A font that does not load leaves a picture without text, which `paint` reports.
        let _ = register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
    });
}

/// Paints everything. Lines are `joined` where the backend cuts their corners off; the bitmap's corners are pointed, and
/// the point of a sharp spike would stand far above its value, so there each line is drawn by itself.
fn paint<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    curves: &[Curve],
    titles: &Titles,
    joined: bool,
) -> Outcome<()> {
    let failed = |error: DrawingAreaErrorKind<B::ErrorType>| Failure::failed(format!("cannot draw: {error}"));
    area.fill(&WHITE).map_err(failed)?;
    let (x, y) = extent(curves).unwrap_or(((0.0, 1.0), (0.0, 1.0)));
    let (x, (bottom, top)) = (widen(x), widen(y));
    // Some air above and below, so that spikes do not touch the frame.
    let air = (top - bottom) * 0.04;
    let y = (bottom - air, top + air);
    // The legend has a strip of its own, so that it hides nothing.
    let rows = if curves.len() > 1 { curves.len().min(LEGEND_ROWS) } else { 0 };
    let (plot, legend) = area.split_vertically(SIZE.1 - ROW * rows as u32 - if rows > 0 { 8 } else { 0 });
    let longest = ticks(y, 10).iter().map(|&tick| titles.y.label(tick).chars().count()).max().unwrap_or(4);
    let mut chart = ChartBuilder::on(&plot)
        .caption(escape_short(&titles.title, 90), (FONT, 26))
        .margin(18)
        .x_label_area_size(52)
        .y_label_area_size(28 + 9 * longest as u32)
        .build_cartesian_2d(x.0..x.1, y.0..y.1)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_labels(8)
        .y_labels(10)
        .x_label_formatter(&|&at| titles.x.label(at, x.1 - x.0))
        .y_label_formatter(&|&place| titles.y.label(place))
        .x_desc(titles.x.name())
        .label_style((FONT, 17))
        .axis_desc_style((FONT, 18))
        .light_line_style(RGBColor(243, 243, 243))
        .bold_line_style(RGBColor(222, 222, 222))
        .draw()
        .map_err(failed)?;
    for (index, curve) in curves.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        // A few points are drawn as points too; one alone would be no line.
        let few = curve.len() <= 40;
        for stretch in &curve.stretches {
            if joined {
                chart.draw_series(LineSeries::new(stretch.iter().copied(), colour.stroke_width(2))).map_err(failed)?;
            } else {
                let lines = stretch.windows(2).map(|pair| PathElement::new(pair.to_vec(), colour.stroke_width(2)));
                chart.draw_series(lines).map_err(failed)?;
            }
            if few || stretch.len() == 1 {
                let dots = stretch.iter().map(|&point| Circle::new(point, 3, colour.filled()));
                chart.draw_series(dots).map_err(failed)?;
            }
        }
    }
    for (row, curve) in curves.iter().take(rows).enumerate() {
        let middle = (ROW * row as u32 + ROW / 2) as i32;
        let colour = COLOURS[row % COLOURS.len()];
        legend.draw(&PathElement::new([(60, middle), (86, middle)], colour.stroke_width(3))).map_err(failed)?;
        let more = if row + 1 == rows { curves.len() - rows } else { 0 };
        let label = match more {
            0 => escape_short(&curve.label, 110),
            more => format!("{} … and {more} more", escape_short(&curve.label, 90)),
        };
        legend.draw(&Text::new(label, (96, middle - 11), (FONT, 17))).map_err(failed)?;
    }
    area.present().map_err(failed)
}
