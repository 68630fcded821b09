//! What a table's columns mean, by their names.
//!
//! Long form has a row for each point: `key` (or `metric`, `tag`) and `value`. Wide form has a row for each step and a
//! column for each metric. Both need a step column; run and time columns are optional. Case does not matter.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Names of the run column.
const RUN: [&str; 2] = ["run_id", "run_uuid"];
/// Names of the long form's key column.
const KEY: [&str; 3] = ["key", "metric", "tag"];
/// Names of the step column, the surest first: where two are there the later one is a metric.
const STEP: [&str; 12] = [
    "step",
    "_step",
    "global_step",
    "trainer/global_step",
    "total_timesteps",
    "time/total_timesteps",
    "timesteps_total",
    "training_iteration",
    "iteration",
    "iter",
    "epoch",
    "time/iterations",
];
/// Names of time columns; `_ms` counts milliseconds, the others are told apart by their size, or are ISO 8601.
const TIME: [&str; 8] =
    ["timestamp_ms", "time_ms", "timestamp", "_timestamp", "wall_time", "wall time", "walltime", "datetime"];

/// Places of the columns with a meaning.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    /// The run's id.
    pub(crate) run: Option<usize>,
    /// The step.
    pub(crate) step: usize,
    /// The time.
    pub(crate) time: Option<Time>,
    /// Key and value of the long form.
    pub(crate) long: Option<(usize, usize)>,
    /// Names and places of the metrics in wide form.
    pub(crate) metrics: Vec<(String, usize)>,
    /// Places of the columns that cannot be metrics in wide form, and what is wrong with their names.
    pub(crate) nameless: Vec<(String, usize)>,
}

/// The time column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    /// Its place.
    pub(crate) at: usize,
    /// Whether it counts milliseconds for sure.
    pub(crate) is_ms: bool,
}

/// The place of the first of `wanted` that is among `names`.
pub(crate) fn find(names: &[&str], wanted: &[&str]) -> Option<usize> {
    wanted.iter().find_map(|wanted| names.iter().position(|name| name.eq_ignore_ascii_case(wanted)))
}

/// The columns' meaning.
///
/// # Errors
/// What is missing, in words.
pub(crate) fn recognise(names: &[&str]) -> Result<Columns, String> {
    let names: Vec<&str> = names.iter().map(|name| name.trim()).collect();
    let run = find(&names, &RUN);
    let time = find(&names, &TIME).map(|at| Time { at, is_ms: names[at].to_ascii_lowercase().ends_with("_ms") });
    let Some(step) = find(&names, &STEP) else {
        return Err(format!(
            "no step column among {} columns (step, global_step, iteration, epoch ... are known); not imported",
            names.len()
        ));
    };
    let long = find(&names, &KEY).zip(find(&names, &["value"]));
    let meaning = [run, Some(step), time.map(|time| time.at)];
    let (mut metrics, mut nameless) = (Vec::new(), Vec::new());
    let mut seen = HashMap::new();
    for (at, name) in names.iter().enumerate().filter(|_| long.is_none()) {
        // Two columns of one name would be mixed in one series, and could not be told apart again.
        match seen.entry(*name) {
            _ if meaning.contains(&Some(at)) => {}
            _ if name.is_empty() => nameless.push((format!("column {} has no name", at + 1), at)),
            Entry::Occupied(first) => {
                nameless.push((format!("column {} is named {name:?} as column {} is", at + 1, first.get() + 1), at));
            }
            Entry::Vacant(free) => {
                free.insert(at);
                metrics.push(((*name).to_owned(), at));
            }
        }
    }
    if long.is_none() && metrics.is_empty() {
        return Err("no metric column beside the step column; not imported".into());
    }
    Ok(Columns { run, step, time, long, metrics, nameless })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_wide_forms_are_told_apart() {
        let long = recognise(&["run_id", "key", "step", "timestamp_ms", "value"]).unwrap();
        let expected = Columns {
            run: Some(0),
            step: 2,
            time: Some(Time { at: 3, is_ms: true }),
            long: Some((1, 4)),
            ..Columns::default()
        };
        assert_eq!(long, expected);
        let wide = recognise(&[" Epoch", "step", "loss", "", "_timestamp"]).unwrap();
        assert_eq!((wide.step, wide.time, wide.long), (1, Some(Time { at: 4, is_ms: false }), None));
        assert_eq!(wide.metrics, [("Epoch".to_owned(), 0), ("loss".to_owned(), 2)]);
        assert_eq!(wide.nameless, [("column 4 has no name".to_owned(), 3)]);
        let twice = recognise(&["step", "a", "b", "a"]).unwrap();
        assert_eq!(twice.metrics, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(twice.nameless, [("column 4 is named \"a\" as column 2 is".to_owned(), 3)]);
        let board = recognise(&["Wall time", "Step", "Value"]).unwrap();
        assert_eq!(board.metrics, [("Value".to_owned(), 2)]);
    }

    #[test]
    fn what_is_missing_is_said() {
        assert!(recognise(&["a", "b"]).unwrap_err().contains("no step column"));
        assert!(recognise(&["step", "timestamp"]).unwrap_err().contains("no metric column"));
        assert!(recognise(&[]).is_err());
    }
}
