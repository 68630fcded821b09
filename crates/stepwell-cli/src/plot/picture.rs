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
    paint(&SVGBackend::with_string(&mut text, SIZE).into_drawing_area(), curves, titles)?;
    Ok(text.into_bytes())
}

/// The picture as PNG.
pub(crate) fn png(curves: &[Curve], titles: &Titles, path: &Path) -> Outcome<Vec<u8>> {
    load_font();
    let mut pixels = vec![255; 3 * SIZE.0 as usize * SIZE.1 as usize];
    paint(&BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area(), curves, titles)?;
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

fn paint<B: DrawingBackend>(area: &DrawingArea<B, Shift>, curves: &[Curve], titles: &Titles) -> Outcome<()> {
    let failed = |error: DrawingAreaErrorKind<B::ErrorType>| Failure::failed(format!("cannot draw: {error}"));
    area.fill(&WHITE).map_err(failed)?;
    let (x, y) = extent(curves).unwrap_or(((0.0, 1.0), (0.0, 1.0)));
    let (x, (bottom, top)) = (widen(x), widen(y));
    // Some air above and below, so that spikes do not touch the frame.
    let air = (top - bottom) * 0.04;
    let y = (bottom - air, top + air);
    let longest = ticks(y, 10).iter().map(|&tick| titles.y.label(tick).chars().count()).max().unwrap_or(4);
    let mut chart = ChartBuilder::on(area)
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
            chart.draw_series(LineSeries::new(stretch.iter().copied(), colour.stroke_width(2))).map_err(failed)?;
            if few || stretch.len() == 1 {
                let dots = stretch.iter().map(|&point| Circle::new(point, 3, colour.filled()));
                chart.draw_series(dots).map_err(failed)?;
            }
        }
        let swatch = move |(x, y)| PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(3));
        chart
            .draw_series(std::iter::empty::<Circle<(f64, f64), i32>>())
            .map_err(failed)?
            .label(escape_short(&curve.label, 60))
            .legend(swatch);
    }
    if curves.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(RGBColor(200, 200, 200))
            .label_font((FONT, 17))
            .legend_area_size(28)
            .margin(10)
            .draw()
            .map_err(failed)?;
    }
    area.present().map_err(failed)
}
