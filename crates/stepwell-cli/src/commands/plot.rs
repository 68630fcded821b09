//! `stepwell plot RUN… --key KEY`: curves in the terminal or as a picture.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::context::{self, Context};
use crate::failure::{Answer, Failure, Outcome};
use crate::left_out;
use crate::output::{self, escape, escape_middle, escape_short};
use crate::plot::curve::Curve;
use crate::plot::picture::{self, Titles};
use crate::plot::scale::{Horizontal, Vertical};
use crate::plot::terminal::{self, Frame};

/// Columns where standard output is no terminal.
const WIDTH: usize = 100;

/// Draws a metric of one or several runs, or several metrics. A column of the plot shows the least and the greatest
/// value of its steps, so that every spike stays visible. NaN and infinite values leave gaps and are counted.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Ids, beginnings of ids, or names.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<String>,
    /// The metric; may be given several times. Runs that lack it are named and left out.
    #[arg(short, long, required = true, allow_hyphen_values = true)]
    key: Vec<String>,
    /// Write a picture: FILE.svg or FILE.png.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The horizontal axis.
    #[arg(short, long, value_enum, default_value = "step")]
    x: Horizontal,
    /// A logarithmic vertical axis.
    #[arg(long)]
    log_y: bool,
    /// Rows of the plot in the terminal.
    #[arg(long, value_name = "ROWS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(4..=500))]
    height: u16,
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

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let picture = match &arguments.output {
        Some(path) => Some((path, kind(path)?)),
        None => None,
    };
    let y = if arguments.log_y { Vertical::Logarithmic } else { Vertical::Linear };
    let width = output::width().map_or(WIDTH, usize::from);
    let pixels = match picture {
        Some(_) => picture::SIZE.0 as usize,
        None => 2 * width,
    };
    let (curves, mut notes) = read(context, arguments, pixels, y)?;
    notes.extend(curves.iter().filter_map(Curve::note));
    let title = arguments.key.iter().map(|key| escape_short(key, 60)).collect::<Vec<_>>().join(", ");
    // One curve needs no legend, so it is named above.
    let title = match &curves[..] {
        [only] => format!("{title} of {}", only.label),
        _ => title,
    };
    if let Some((path, kind)) = picture {
        let titles = Titles { title: title.clone(), x: arguments.x, y };
        let file = match kind {
            Kind::Svg => picture::svg(&curves, &titles)?,
            Kind::Png => picture::png(&curves, &titles, path)?,
        };
        fs::write(path, file).map_err(Failure::io("write", path))?;
    }
    if context.json {
        let shapes: Vec<_> = curves
            .iter()
            .map(|curve| {
                json!({"label": curve.label, "points": curve.len(), "nan": curve.nan, "infinite": curve.infinite})
            })
            .collect();
        let file = picture.map(|(path, _)| path.to_string_lossy());
        output::json(&json!({"file": file, "curves": shapes, "notes": notes}))?;
        return Ok(Answer::Done);
    }
    let text = match picture {
        Some((path, _)) => format!("drew {}\n", escape(&path.display().to_string())),
        None => {
            let height = usize::from(arguments.height);
            let frame = Frame { width, height, colours: output::colours(), x: arguments.x, y };
            format!("{title}\n{}", terminal::draw(&curves, frame))
        }
    };
    output::lines(&text)?;
    let mut err = std::io::stderr().lock();
    for note in notes {
        let _ = writeln!(err, "note: {note}");
    }
    Ok(Answer::Done)
}

/// Reads the curves. A run that lacks a metric is noted; that all lack it is an error.
fn read(context: &Context, arguments: &Arguments, pixels: usize, y: Vertical) -> Outcome<(Vec<Curve>, Vec<String>)> {
    let workspace = context.open()?;
    let (mut curves, mut notes, mut missing) = (Vec::new(), Vec::new(), None);
    for argument in &arguments.runs {
        let run = context::run(&workspace, argument)?;
        left_out::tell(run.damage());
        let id: String = run.id().as_str().chars().take(12).collect();
        let name = match run.state().name() {
            "" => id,
            name => format!("{} ({id})", escape_middle(name, 60)),
        };
        for key in &arguments.key {
            if let Err(failure) = context::check_metric(&run, key) {
                notes.push(format!("{name} has no metric {key:?}"));
                missing.get_or_insert(failure);
                continue;
            }
            let label =
                if arguments.key.len() > 1 { format!("{name} {}", escape_short(key, 60)) } else { name.clone() };
            curves.push(Curve::read(&run, key, label, pixels, arguments.x, y)?);
        }
    }
    match missing {
        Some(failure) if curves.is_empty() => Err(failure),
        _ => Ok((curves, notes)),
    }
}
