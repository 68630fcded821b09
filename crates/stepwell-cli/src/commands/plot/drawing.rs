//! What `stepwell plot` draws: which metrics of which runs, in which panels, under which names.

use std::collections::{BTreeMap, BTreeSet};

use glob::Pattern;
use stepwell::RunSnapshot;

use crate::context;
use crate::failure::{Failure, Outcome};
use crate::left_out;
use crate::output::{escape_middle, escape_short};
use crate::plot::curve::Curve;
use crate::plot::panel::{Panel, horizontal};
use crate::plot::view::View;

/// Columns that a key, and the name of a run, may take.
const KEY_WIDTH: usize = 200;
const NAME_WIDTH: usize = 300;

/// A metric to draw.
pub(super) struct Named {
    key: String,
    /// Whether a pattern named it.
    pattern: bool,
}

/// The metrics that the arguments name, each with whether a pattern named it: in order of the arguments, and for a
/// pattern in order of the keys.
pub(super) fn keys(runs: &[RunSnapshot], arguments: &[String]) -> Outcome<Vec<Named>> {
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
                name if uses[name] > 1 => format!("{} ({id})", escape_middle(name, NAME_WIDTH)),
                name => escape_middle(name, NAME_WIDTH),
            }
        })
        .collect()
}

/// What is drawn, and what there is to say about it.
#[derive(Default)]
pub(super) struct Drawing {
    pub(super) title: String,
    pub(super) panels: Vec<Panel>,
    /// What the legend says of each number of a curve; empty where there is nothing to tell apart.
    pub(super) legend: Vec<String>,
    pub(super) notes: Vec<String>,
    /// Whether a run or a metric that was named gave nothing.
    lacking: bool,
}

impl Drawing {
    /// Reads the curves. A run that lacks a metric is noted; that all lack all is an error.
    pub(super) fn read(runs: &[RunSnapshot], keys: &[Named], together: bool, view: View) -> Outcome<Self> {
        let mut reader = Reader::new(runs, keys, together, view);
        for number in 0..runs.len() {
            reader.read_run(number)?;
        }
        reader.finish()
    }

    /// Whether each run and metric that was named gave something, and there is something to draw.
    pub(super) fn is_whole(&self) -> bool {
        !self.lacking && !self.panels.iter().all(Panel::is_empty)
    }
}

/// A drawing as its curves are read.
struct Reader<'a> {
    runs: &'a [RunSnapshot],
    keys: &'a [Named],
    /// What the runs are called.
    names: Vec<String>,
    together: bool,
    view: View,
    /// For each key, whether a run has it.
    found: Vec<bool>,
    /// Why the first metric that a run lacks was not found.
    missing: Option<Failure>,
    drawing: Drawing,
}

impl<'a> Reader<'a> {
    fn new(runs: &'a [RunSnapshot], keys: &'a [Named], together: bool, view: View) -> Self {
        let panel = |key: &Named| match keys.len() {
            1 => Panel::default(),
            _ => Panel { title: escape_short(&key.key, KEY_WIDTH), ..Panel::default() },
        };
        let panels = if together { vec![Panel::default()] } else { keys.iter().map(panel).collect() };
        let drawing = Drawing { panels, ..Drawing::default() };
        Self { runs, keys, names: labels(runs), together, view, found: vec![false; keys.len()], missing: None, drawing }
    }

    /// Reads the metrics that a run has, and notes those that it lacks.
    fn read_run(&mut self, number: usize) -> Outcome<()> {
        let (mut has_any, mut lacks) = (false, 0);
        for (index, Named { key, pattern }) in self.keys.iter().enumerate() {
            match context::check_metric(&self.runs[number], key) {
                Ok(()) => {
                    (has_any, self.found[index]) = (true, true);
                    self.read_curve(number, index)?;
                }
                Err(failure) => {
                    if *pattern {
                        lacks += 1;
                    } else {
                        self.drawing.notes.push(format!("{} has no metric {key:?}", self.names[number]));
                    }
                    self.missing.get_or_insert(failure);
                }
            }
        }
        if lacks > 0 {
            let all = self.keys.iter().filter(|key| key.pattern).count();
            let name = &self.names[number];
            self.drawing.notes.push(format!("{name} lacks {lacks} of the {all} metrics that match"));
        }
        self.drawing.lacking |= !has_any;
        Ok(())
    }

    /// Reads a metric of a run into its panel. In a panel of all metrics each curve has a line of the legend, elsewhere
    /// each run.
    fn read_curve(&mut self, number: usize, index: usize) -> Outcome<()> {
        let (name, key) = (&self.names[number], &self.keys[index].key);
        let label = match (self.keys.len(), self.runs.len()) {
            (1, _) => name.clone(),
            (_, 1) => escape_short(key, KEY_WIDTH),
            _ => format!("{name} {}", escape_short(key, KEY_WIDTH)),
        };
        let curve = Curve::read(&self.runs[number], key, label.clone(), self.view)?;
        let drawing = &mut self.drawing;
        drawing.notes.extend(curve.note());
        left_out::tell(&curve.left_out);
        if self.together {
            drawing.panels[0].curves.push((drawing.legend.len(), curve));
            drawing.legend.push(label);
        } else {
            drawing.panels[index].curves.push((number, curve));
        }
        Ok(())
    }

    /// Adds the title, the legend, and notes on curves beyond the vertical axis.
    fn finish(self) -> Outcome<Drawing> {
        let mut drawing = self.drawing;
        drawing.lacking |= self.found.contains(&false);
        if let Some(failure) = self.missing.filter(|_| !self.found.contains(&true)) {
            return Err(failure);
        }
        let x = horizontal(&drawing.panels, &self.view);
        for panel in &drawing.panels {
            let axes = panel.axes(x, &self.view);
            let hidden = panel.curves.iter().filter(|(_, curve)| !curve.is_empty() && !axes.shows(curve));
            let note = |(_, curve): &(usize, Curve)| format!("{}: no value between --y-min and --y-max", curve.label);
            drawing.notes.extend(hidden.map(note));
        }
        drawing.title = title(self.keys, &self.names, self.view.smooth);
        if !self.together {
            drawing.legend = self.names;
        }
        if drawing.legend.len() == 1 {
            drawing.legend.clear();
        }
        Ok(drawing)
    }
}

/// What stands above it all: the metric and the run, where there is only one, and the smoothing.
fn title(keys: &[Named], names: &[String], smooth: Option<f64>) -> String {
    let key = escape_short(&keys[0].key, KEY_WIDTH);
    let title = match (keys, names) {
        ([_], [only]) => format!("{key} of {only}"),
        ([_], _) => key,
        (_, [only]) => only.clone(),
        _ => String::new(),
    };
    match smooth {
        Some(weight) if title.is_empty() => format!("smoothed by {weight}"),
        Some(weight) => format!("{title}, smoothed by {weight}"),
        None => title,
    }
}
