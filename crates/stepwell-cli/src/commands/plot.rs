//! `stepwell plot RUN… --key KEY`: curves in the terminal or as a picture.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use glob::Pattern;
use serde_json::json;
use stepwell::RunSnapshot;

use crate::context::{self, Context};
use crate::failure::{Answer, Failure, Outcome};
use crate::left_out;
use crate::output::{self, escape, escape_middle, escape_short};
use crate::plot::curve::Curve;
use crate::plot::panel::{Panel, horizontal};
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

/// What is drawn, and what there is to say about it.
struct Drawing {
    title: String,
    panels: Vec<Panel>,
    /// What the legend says of each number of a curve; empty where there is nothing to tell apart.
    legend: Vec<String>,
    notes: Vec<String>,
    /// Whether a run or a metric that was named gave nothing.
    lacking: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let picture = match &arguments.output {
        Some(path) => Some((path, kind(path)?)),
        None => None,
    };
    let mut view = view(arguments)?;
    let workspace = context.open()?;
    let mut runs = Vec::with_capacity(arguments.runs.len());
    let mut ids = BTreeSet::new();
    for argument in &arguments.runs {
        let run = context::run(&workspace, argument)?;
        if ids.insert(run.id().clone()) {
            left_out::tell(run.damage());
            runs.push(run);
        }
    }
    let keys = keys(&runs, &arguments.key)?;
    let panels = if arguments.together { 1 } else { keys.len() };
    if panels > PANELS_MAX {
        return Err(Failure::Usage(format!(
            "{panels} metrics match, and a picture has at most {PANELS_MAX} panels; name fewer, or draw them --together"
        )));
    }
    let size = arguments.size.unwrap_or(Size::of(panels));
    let width = arguments.width.or_else(output::width).map_or(WIDTH, usize::from);
    view.pixels = if picture.is_some() { Picture::pixels(size, panels) } else { 2 * width };
    let mut drawing = read(&runs, &keys, arguments, view)?;
    let nothing = drawing.panels.iter().all(Panel::is_empty);
    let answer = if drawing.lacking || nothing { Answer::No } else { Answer::Done };
    if let Some((path, kind)) = picture {
        let Drawing { title, panels, legend, .. } = &drawing;
        let picture = Picture { title: title.clone(), panels, legend, view, size };
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
        fs::write(path, file).map_err(Failure::io("write", path))?;
    }
    if context.json {
        print_json(&drawing, arguments.output.as_deref())?;
        return Ok(answer);
    }
    let text = match picture {
        Some((path, _)) => format!("drew {}\n", escape(&path.display().to_string())),
        None => {
            let rows = if panels > 1 { ROWS.1 } else { ROWS.0 };
            let height = usize::from(arguments.height.unwrap_or(rows));
            let frame = Frame { width, height, colours: output::colours(), view };
            // There is no pale ink in a terminal.
            drawing.panels.iter_mut().flat_map(|panel| &mut panel.curves).for_each(|(_, curve)| curve.raw.clear());
            let title = if drawing.title.is_empty() { String::new() } else { format!("{}\n", drawing.title) };
            format!("{title}{}", terminal::draw(&drawing.panels, &drawing.legend, frame))
        }
    };
    output::lines(&text)?;
    let mut err = std::io::stderr().lock();
    for note in drawing.notes {
        let _ = writeln!(err, "note: {note}");
    }
    Ok(answer)
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

/// The metrics that the arguments name, each with whether a pattern named it: in order of the arguments, and for a
/// pattern in order of the keys.
fn keys(runs: &[RunSnapshot], arguments: &[String]) -> Outcome<Vec<Named>> {
    let mut named: Vec<Named> = Vec::new();
    let mut add = |key: &str, pattern: bool| {
        if !named.iter().any(|other| other.key == key) {
            named.push(Named { key: key.to_owned(), pattern });
        }
    };
    for argument in arguments {
        let has = runs.iter().any(|run| run.series().contains_key(argument));
        let pattern = argument.contains(['*', '?', '[']);
        if has || !pattern {
            // A name wins over a pattern, as keys may have any characters.
            add(argument, false);
            continue;
        }
        let pattern = Pattern::new(argument)
            .map_err(|error| Failure::Usage(format!("--key {argument:?} is not a pattern: {}", error.msg)))?;
        let matching: BTreeSet<&str> =
            runs.iter().flat_map(RunSnapshot::keys).filter(|key| pattern.matches(key)).collect();
        if matching.is_empty() {
            add(argument, false);
        }
        matching.into_iter().for_each(|key| add(key, true));
    }
    Ok(named)
}

/// A metric to draw.
struct Named {
    key: String,
    /// Whether a pattern named it.
    pattern: bool,
}

/// What runs are called: by name, with the beginning of the id where names are missing or alike.
fn labels(runs: &[RunSnapshot]) -> Vec<String> {
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for run in runs {
        *uses.entry(run.state().name()).or_default() += 1;
    }
    runs.iter()
        .map(|run| {
            let id: String = run.id().as_str().chars().take(12).collect();
            match run.state().name() {
                "" => id,
                name if uses[name] > 1 => format!("{} ({id})", escape_middle(name, 300)),
                name => escape_middle(name, 300),
            }
        })
        .collect()
}

/// Reads the curves. A run that lacks a metric is noted; that all lack all is an error.
fn read(runs: &[RunSnapshot], keys: &[Named], arguments: &Arguments, view: View) -> Outcome<Drawing> {
    let names = labels(runs);
    let together = arguments.together;
    let mut panels: Vec<Panel> = Vec::new();
    if together {
        panels.push(Panel::default());
    } else {
        let titled = |key: &Named| if keys.len() > 1 { escape_short(&key.key, 200) } else { String::new() };
        panels.extend(keys.iter().map(|key| Panel { title: titled(key), ..Panel::default() }));
    }
    let (mut notes, mut legend, mut missing, mut lacking) = (Vec::new(), Vec::new(), None, false);
    let mut found = vec![false; keys.len()];
    for (number, (run, name)) in runs.iter().zip(&names).enumerate() {
        let (mut has, mut lacks) = (0, 0);
        for (index, Named { key, pattern }) in keys.iter().enumerate() {
            if let Err(failure) = context::check_metric(run, key) {
                if *pattern {
                    lacks += 1;
                } else {
                    notes.push(format!("{name} has no metric {key:?}"));
                }
                missing.get_or_insert(failure);
                continue;
            }
            (has, found[index]) = (has + 1, true);
            let label = match (keys.len(), runs.len()) {
                (1, _) => name.clone(),
                (_, 1) => escape_short(key, 200),
                _ => format!("{name} {}", escape_short(key, 200)),
            };
            let curve = Curve::read(run, key, label.clone(), view)?;
            notes.extend(curve.note());
            left_out::tell(&curve.left_out);
            let place = if together { legend.len() } else { number };
            if together {
                legend.push(label);
            }
            panels[if together { 0 } else { index }].curves.push((place, curve));
        }
        if lacks > 0 {
            let all = keys.iter().filter(|key| key.pattern).count();
            notes.push(format!("{name} lacks {lacks} of the {all} metrics that match"));
        }
        lacking |= has == 0;
    }
    lacking |= found.contains(&false);
    if let Some(failure) = missing.filter(|_| !found.contains(&true)) {
        return Err(failure);
    }
    let x = horizontal(&panels, &view);
    for panel in &panels {
        let axes = panel.axes(x, &view);
        let hidden = panel.curves.iter().filter(|(_, curve)| !curve.is_empty() && !axes.shows(curve));
        notes.extend(hidden.map(|(_, curve)| format!("{}: no value between --y-min and --y-max", curve.label)));
    }
    if !together {
        legend = names.clone();
    }
    let key = escape_short(&keys[0].key, 200);
    let title = match (&keys, &names[..]) {
        ([_], [only]) => format!("{key} of {only}"),
        ([_], _) => key,
        (_, [only]) => only.clone(),
        _ => String::new(),
    };
    let title = match view.smooth {
        Some(weight) if title.is_empty() => format!("smoothed by {weight}"),
        Some(weight) => format!("{title}, smoothed by {weight}"),
        None => title,
    };
    if legend.len() == 1 {
        legend.clear();
    }
    Ok(Drawing { title, panels, legend, notes, lacking })
}
