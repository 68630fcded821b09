//! `stepwell plot RUN… --key KEY`: curves in the terminal or as a picture.

mod drawing;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use stepwell::{RunSnapshot, Workspace};

use crate::commands::plot::drawing::Drawing;
use crate::context::{self, Context};
use crate::failure::{Answer, Failure, Outcome};
use crate::left_out;
use crate::output::{self, escape};
use crate::plot::picture::{PANELS_MAX, Picture, Size};
use crate::plot::scale::Horizontal;
use crate::plot::terminal::{self, Frame};
use crate::plot::view::View;

/// Columns where standard output is not a terminal.
const WIDTH: usize = 100;
/// Rows of a plot in the terminal, and of each of several.
const ROWS: (u16, u16) = (20, 12);

/// Plot metrics of one or more runs, each metric in its own panel. Every column of the plot shows the least and
/// greatest value of its steps, so no spike is lost. NaN is a gap; an infinite value is a triangle at the edge. What
/// is left out is reported. Exit status 1 if a run has none of the metrics, if no run has a metric, or if there is
/// nothing to draw.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Ids, names, or beginnings of ids.
    #[arg(required = true, value_name = "RUN", add = crate::complete::runs())]
    runs: Vec<String>,
    /// The metric, or a pattern with *, ? and [...], such as 'train/*'. Repeatable.
    #[arg(short, long, required = true, allow_hyphen_values = true, add = crate::complete::metrics())]
    key: Vec<String>,
    /// Write a picture to FILE.svg or FILE.png.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Draw all metrics in one panel.
    #[arg(long)]
    together: bool,
    /// Smooth like TensorBoard, from 0 (not at all) to 0.99. In a picture, the raw curve stays visible in a pale
    /// colour. Reads all points.
    #[arg(long, value_name = "WEIGHT", value_parser = weight)]
    smooth: Option<f64>,
    /// The horizontal axis.
    #[arg(short, long, value_enum, default_value = "step")]
    x: Horizontal,
    /// Start of the horizontal axis: a step; or a time such as 2024-01-31 or 2024-01-31T12:30 (UTC without --local);
    /// or a relative time such as 90s, 10m, 1h30m, 2d.
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    from: Option<String>,
    /// End of the horizontal axis.
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    to: Option<String>,
    /// Lower end of the vertical axis.
    #[arg(long, value_name = "Y", allow_hyphen_values = true, value_parser = finite)]
    y_min: Option<f64>,
    /// Upper end of the vertical axis.
    #[arg(long, value_name = "Y", allow_hyphen_values = true, value_parser = finite)]
    y_max: Option<f64>,
    /// Make the horizontal axis logarithmic.
    #[arg(long)]
    log_x: bool,
    /// Make the vertical axis logarithmic.
    #[arg(long)]
    log_y: bool,
    /// Width and height of the picture in pixels, such as 1200x720.
    #[arg(long, value_name = "SIZE", value_parser = Size::parse, requires = "output")]
    size: Option<Size>,
    /// Rows of each plot in the terminal [default: 20, or 12 if there are several plots].
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u16).range(4..=500), conflicts_with = "output")]
    height: Option<u16>,
    /// Columns of the plot in the terminal [default: the terminal's width, else 100].
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(30..=1000), conflicts_with = "output")]
    width: Option<u16>,
}

fn finite(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
        .ok_or_else(|| format!("{text:?} is not a finite number"))
}

fn weight(text: &str) -> Result<f64, String> {
    let weight = text.parse().ok().filter(|weight| (0.0..1.0).contains(weight));
    weight.ok_or_else(|| format!("{text:?} is not a weight; write a number from 0 to below 1, such as 0.6"))
}

/// The kinds of pictures.
#[derive(Clone, Copy)]
enum Kind {
    Svg,
    Png,
}

fn kind(path: &Path) -> Outcome<Kind> {
    match path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase).as_deref() {
        Some("svg") => Ok(Kind::Svg),
        Some("png") => Ok(Kind::Png),
        _ => Err(Failure::Usage(format!("{path:?} must end in .svg or .png"))),
    }
}

/// What the options ask for.
fn view(arguments: &Arguments) -> Outcome<View> {
    let end = |name: &str, text: &Option<String>| match text {
        Some(text) => arguments.x.parse(text).map(Some).map_err(|wrong| Failure::Usage(format!("{name}: {wrong}"))),
        None => Ok(None),
    };
    let view = View {
        x: arguments.x,
        log_x: arguments.log_x,
        log_y: arguments.log_y,
        from: end("--from", &arguments.from)?,
        to: end("--to", &arguments.to)?,
        y_min: arguments.y_min,
        y_max: arguments.y_max,
        smooth: arguments.smooth.filter(|&weight| weight > 0.0),
        pixels: 0,
    };
    let usage = |message: &str| Err(Failure::Usage(message.to_owned()));
    if view.from.zip(view.to).is_some_and(|(from, to)| from >= to) {
        return usage("--from must be less than --to");
    }
    if view.y_min.zip(view.y_max).is_some_and(|(low, high)| low >= high) {
        return usage("--y-min must be less than --y-max");
    }
    if view.log_x && view.x == Horizontal::Time {
        return usage("--log-x needs --x step or --x relative; moments have no logarithm");
    }
    if view.log_x && [view.from, view.to].iter().flatten().any(|&end| end <= 0) {
        return usage("--log-x needs --from and --to above zero");
    }
    if view.log_y && [view.y_min, view.y_max].iter().flatten().any(|&end| end <= 0.0) {
        return usage("--log-y needs --y-min and --y-max above zero");
    }
    Ok(view)
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let file = match &arguments.output {
        Some(path) => Some((path.as_path(), kind(path)?)),
        None => None,
    };
    let mut view = view(arguments)?;
    let workspace = context.open()?;
    let runs = runs(&workspace, &arguments.runs)?;
    let keys = drawing::keys(&runs, &arguments.key)?;
    let panels = if arguments.together { 1 } else { keys.len() };
    if panels > PANELS_MAX {
        return Err(Failure::Usage(format!(
            "{panels} metrics match, and a picture has at most {PANELS_MAX} panels; name fewer, or draw them --together"
        )));
    }
    let size = arguments.size.unwrap_or(Size::of(panels));
    let width = arguments.width.or_else(output::width).map_or(WIDTH, usize::from);
    view.pixels = if file.is_some() { Picture::pixels(size, panels) } else { 2 * width };
    let mut drawing = Drawing::read(&runs, &keys, arguments.together, view)?;
    let answer = if drawing.is_whole() { Answer::Done } else { Answer::No };
    if let Some((path, kind)) = file {
        write_picture(&mut drawing, view, size, kind, path)?;
    }
    if context.json {
        print_json(&drawing, arguments.output.as_deref())?;
        return Ok(answer);
    }
    match file {
        Some((path, _)) => output::lines(&format!("drew {}\n", escape(&path.display().to_string())))?,
        None => {
            let rows = if panels > 1 { ROWS.1 } else { ROWS.0 };
            let height = usize::from(arguments.height.unwrap_or(rows));
            let frame = Frame { width, height, colours: output::colours(), view };
            output::lines(&in_terminal(&mut drawing, frame))?;
        }
    }
    let mut err = std::io::stderr().lock();
    for note in drawing.notes {
        let _ = writeln!(err, "note: {note}");
    }
    Ok(answer)
}

/// The runs that the arguments name, each once; tells what of them cannot be read.
fn runs(workspace: &Workspace, arguments: &[String]) -> Outcome<Vec<RunSnapshot>> {
    let mut runs = Vec::with_capacity(arguments.len());
    let mut ids = BTreeSet::new();
    for argument in arguments {
        let run = context::run(workspace, argument)?;
        if ids.insert(run.id().clone()) {
            left_out::tell(run.damage());
            runs.push(run);
        }
    }
    Ok(runs)
}

/// Draws the picture and writes its file; notes characters that no font has.
fn write_picture(drawing: &mut Drawing, view: View, size: Size, kind: Kind, path: &Path) -> Outcome<()> {
    let picture =
        Picture { title: drawing.title.clone(), panels: &drawing.panels, legend: &drawing.legend, view, size };
    let fonts = picture.fonts()?;
    let svg = picture.svg(&fonts)?;
    let file = match kind {
        Kind::Svg => svg.into_bytes(),
        Kind::Png => {
            let png = fonts.png(&svg)?;
            drawing.notes.extend(missing(&fonts.missing()));
            png
        }
    };
    fs::write(path, file).map_err(Failure::io("write", path))
}

/// The drawing as text. There is no pale ink in a terminal, so a smoothed curve is drawn alone.
fn in_terminal(drawing: &mut Drawing, frame: Frame) -> String {
    drawing.panels.iter_mut().flat_map(|panel| &mut panel.curves).for_each(|(_, curve)| curve.raw.clear());
    let title = if drawing.title.is_empty() { String::new() } else { format!("{}\n", drawing.title) };
    format!("{title}{}", terminal::draw(&drawing.panels, &drawing.legend, frame))
}

fn print_json(drawing: &Drawing, file: Option<&Path>) -> Outcome<()> {
    let curves = drawing.panels.iter().flat_map(|panel| &panel.curves);
    let shapes: Vec<_> = curves
        .map(|(_, curve)| {
            json!({
                "run_id": curve.run_id,
                "key": curve.key,
                "label": curve.label,
                "points": curve.len(),
                "nan": curve.nan,
                "infinite": curve.infinite,
                "without_timestamp": curve.without_time,
                "not_above_zero": curve.without_logarithm,
                "missing": curve.missing,
            })
        })
        .collect();
    let curves = drawing.panels.iter().flat_map(|panel| &panel.curves);
    let left_out: Vec<&String> = curves.flat_map(|(_, curve)| &curve.left_out).collect();
    let file = file.map(|path| path.to_string_lossy());
    output::json(&json!({
        "file": file,
        "panels": drawing.panels.len(),
        "curves": shapes,
        "notes": drawing.notes,
        "left_out": left_out,
    }))
}

/// What to say of characters that no font has.
fn missing(missing: &[char]) -> Option<String> {
    let some: String = missing.iter().take(20).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "no font of this machine has {}: {some} — not drawn; install one (Debian: fonts-noto-cjk, fonts-noto), or \
             write .svg",
            output::plural(missing.len() as u64, "character of the text", "characters of the text")
        )
    })
}
