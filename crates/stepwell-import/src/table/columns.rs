//! What a table's columns mean, by their names.
//!
//! In the long form, each row is a point: `key` (or `metric`, `tag`) and `value`. In the wide form, each row is a step,
//! and each metric has a column. Both need a step column; run and time columns are optional. Names are compared without
//! case and separators. A column may name the part of a training that a row is about; the row's values are then metrics
//! of that part.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::options::Options;

/// Names of the run column, with ids.
const RUN_IDS: [&str; 2] = ["run_id", "run_uuid"];
/// Names of the run column, with names.
const RUN_NAMES: [&str; 2] = ["run", "run_name"];
/// Names of the long form's key column.
const KEY: [&str; 4] = ["key", "metric", "tag", "name"];
/// Names of the step column, the surest first: where several are there the others are metrics. Steps of the trainer
/// come before steps of the environment, both before rounds and epochs. Names are compared as [`plain`] has them.
const STEP: [&str; 33] = [
    "step",
    "global_step",
    "steps",
    "total_steps",
    "num_steps",
    "train_step",
    "total_timesteps",
    "num_timesteps",
    "timesteps_so_far",
    "timesteps_total",
    "timesteps",
    "timestep",
    "time_step",
    "num_env_steps_sampled",
    "total_env_steps",
    "num_env_steps",
    "env_steps",
    "total_env_interacts",
    "number of env steps total",
    "training_iteration",
    "iteration",
    "iterations",
    "iter",
    "iters",
    "itr",
    "update",
    "updates",
    "nupdates",
    "round",
    "rounds",
    "epoch",
    "epochs",
    "episode",
];
/// Names of time columns; `_ms` counts milliseconds, the others are told apart by their size, or are ISO 8601.
const TIME: [&str; 8] =
    ["timestamp_ms", "time_ms", "timestamp", "timestamp_utc", "wall_time", "unix_time", "created_at", "datetime"];
/// Names of columns that are times if they hold dates, and metrics if they hold numbers.
const DATES: [&str; 4] = ["time", "date", "ts", "date_time"];

/// Names of columns that say which part of a training a row is about, in rows that have a word of [`PARTS`] there.
const PART: [&str; 5] = ["mode", "phase", "split", "stage", "subset"];
/// Words for the parts of a training.
const PARTS: [&str; 12] = [
    "train",
    "training",
    "val",
    "valid",
    "validation",
    "test",
    "testing",
    "eval",
    "evaluation",
    "dev",
    "holdout",
    "infer",
];

/// The part of a training that a cell names, as it is written there.
pub(crate) fn part_of(cell: &str) -> Option<&str> {
    let cell = cell.trim();
    PARTS.iter().any(|part| cell.eq_ignore_ascii_case(part)).then_some(cell)
}

/// A metric's key in a part of a training: `train/loss`.
pub(crate) fn in_part<'k>(part: Option<&str>, key: &'k str) -> Cow<'k, str> {
    match part {
        // A metric without a name stays one.
        Some(part) if !key.is_empty() && !key.strip_prefix(part).is_some_and(|rest| rest.starts_with('/')) => {
            Cow::Owned(format!("{part}/{key}"))
        }
        _ => Cow::Borrowed(key),
    }
}

/// Where a row's step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// In a column.
    At(usize),
    /// It is the row's number, from 0.
    Row,
}

impl Step {
    /// The column, if it is one.
    pub(crate) fn column(self) -> Option<usize> {
        match self {
            Self::At(at) => Some(at),
            Self::Row => None,
        }
    }
}

/// Places of the columns with a meaning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// The run's id or name.
    pub(crate) run: Option<usize>,
    /// Whether the run column has ids.
    pub(crate) own_ids: bool,
    /// The step.
    pub(crate) step: Step,
    /// The time.
    pub(crate) time: Option<Time>,
    /// Which part of a training a row is about, where [`part_of`] the cell says it.
    pub(crate) part: Option<usize>,
    /// The epoch, where steps may count the iterations of one epoch; see [`crate::table::epochs`].
    pub(crate) epoch: Option<usize>,
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
    /// Whether only dates in it are times, and numbers are values of a metric.
    pub(crate) dates_only: bool,
}

/// A name in lower case with letters and digits only, so that `TimestepsSoFar` and `timesteps_so_far` are one.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The index of the first of `wanted` that is among `names`. With `last_part`, a name whose part after the last slash
/// matches (`time/total_timesteps`) counts too, after all whole names.
fn find(names: &[&str], wanted: &[&str], last_part: bool) -> Option<usize> {
    let plains: Vec<String> = names.iter().map(|name| plain(name)).collect();
    let tails: Vec<Option<String>> =
        names.iter().map(|name| name.rsplit_once('/').map(|(_, tail)| plain(tail))).collect();
    let place = |wanted: &&str| {
        let whole = names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        whole.or_else(|| plains.iter().position(|name| *name == plain(wanted)))
    };
    let tail = |wanted: &&str| tails.iter().position(|tail| tail.as_ref().is_some_and(|tail| *tail == plain(wanted)));
    wanted.iter().find_map(place).or_else(|| wanted.iter().find_map(tail).filter(|_| last_part))
}

/// The place of the column that the caller named, by its name or its number from 1.
fn chosen(names: &[&str], what: &str, asked: &str) -> Result<usize, String> {
    let by_name = names.iter().position(|name| *name == asked);
    let by_name = by_name.or_else(|| names.iter().position(|name| name.eq_ignore_ascii_case(asked)));
    let by_number =
        || asked.parse().ok().and_then(|number: usize| number.checked_sub(1)).filter(|at| *at < names.len());
    by_name.or_else(by_number).ok_or_else(|| {
        let shown = names.iter().take(NAMES_SHOWN).copied().collect::<Vec<_>>().join(", ");
        format!("no {what} column {asked:?} among {} columns ({shown}); not imported", names.len())
    })
}

/// How many columns an error names.
const NAMES_SHOWN: usize = 12;

/// The columns' meaning, as far as the caller's choices leave it open.
///
/// # Errors
/// What is missing, in words.
pub(crate) fn recognise(names: &[&str], options: &Options) -> Result<Columns, String> {
    let names: Vec<&str> = names.iter().map(|name| name.trim().trim_matches('"').trim()).collect();
    let choose = |what, asked: &Option<String>| asked.as_deref().map(|asked| chosen(&names, what, asked)).transpose();
    let named_run = choose("run", &options.run_column)?;
    let ids = find(&names, &RUN_IDS, false);
    let run = named_run.or(ids).or_else(|| find(&names, &RUN_NAMES, false));
    let is_ms = |at: usize| names[at].to_ascii_lowercase().ends_with("_ms");
    let time = match choose("time", &options.time_column)? {
        Some(at) => Some(Time { at, is_ms: is_ms(at), dates_only: false }),
        None => match find(&names, &TIME, false) {
            Some(at) => Some(Time { at, is_ms: is_ms(at), dates_only: false }),
            None => find(&names, &DATES, false).map(|at| Time { at, is_ms: false, dates_only: true }),
        },
    };
    let step = match options.step_column.as_deref() {
        Some(asked) if asked.eq_ignore_ascii_case("row") && !names.contains(&asked) => Step::Row,
        Some(asked) => Step::At(chosen(&names, "step", asked)?),
        None => match find(&names, &STEP, true) {
            Some(at) => Step::At(at),
            None => {
                let shown = names.iter().take(NAMES_SHOWN).copied().collect::<Vec<_>>().join(", ");
                return Err(format!(
                    "no step column among {} columns ({shown}); not imported. --step-column NAME says which it is, \
                     --step-column row counts the rows",
                    names.len()
                ));
            }
        },
    };
    let long = find(&names, &KEY, false).zip(find(&names, &["value"], false));
    let meaning = [run, step.column(), time.filter(|time| !time.dates_only).map(|time| time.at)];
    let taken = |at: usize| meaning.contains(&Some(at)) || long.is_some_and(|(key, value)| [key, value].contains(&at));
    let part = find(&names, &PART, false).filter(|at| !taken(*at));
    let is_iterations = options.step_column.is_none() && step.column().is_some_and(|at| plain(names[at]) == "iter");
    let epoch = find(&names, &["epoch"], false).filter(|_| is_iterations && part.is_some() && long.is_none());
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
    let own_ids = named_run.is_none() && ids.is_some();
    Ok(Columns { run, own_ids, step, time, part, epoch, long, metrics, nameless })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognise(names: &[&str]) -> Result<Columns, String> {
        super::recognise(names, &Options::default())
    }

    #[test]
    fn long_and_wide_forms_are_told_apart() {
        let long = recognise(&["run_id", "key", "step", "timestamp_ms", "value"]).unwrap();
        let expected = Columns {
            run: Some(0),
            own_ids: true,
            step: Step::At(2),
            time: Some(Time { at: 3, is_ms: true, dates_only: false }),
            part: None,
            epoch: None,
            long: Some((1, 4)),
            metrics: vec![],
            nameless: vec![],
        };
        assert_eq!(long, expected);
        let wide = recognise(&[" Epoch", "step", "loss", "", "_timestamp"]).unwrap();
        let time = Some(Time { at: 4, is_ms: false, dates_only: false });
        assert_eq!((wide.step, wide.time, wide.long), (Step::At(1), time, None));
        assert_eq!(wide.metrics, [("Epoch".to_owned(), 0), ("loss".to_owned(), 2)]);
        assert_eq!(wide.nameless, [("column 4 has no name".to_owned(), 3)]);
        let twice = recognise(&["step", "a", "b", "a"]).unwrap();
        assert_eq!(twice.metrics, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(twice.nameless, [("column 4 is named \"a\" as column 2 is".to_owned(), 3)]);
        let board = recognise(&["Wall time", "Step", "Value"]).unwrap();
        assert_eq!(board.metrics, [("Value".to_owned(), 2)]);
        let named = recognise(&["run", "step", "loss", "time"]).unwrap();
        assert_eq!((named.run, named.own_ids, named.metrics.len()), (Some(0), false, 2));
    }

    #[test]
    fn step_columns_are_known_in_every_spelling_and_in_order() {
        for (names, step) in [
            (&["EpisodesSoFar", "TimestepsSoFar", "EpRewMean"][..], 1),
            (&["epochs", "steps", "loss"], 1),
            (&["Iters", "loss"], 0),
            (&["round", "train-rmse"], 0),
            (&["time/iterations", "time/total_timesteps", "loss"], 1),
            (&["time/iterations", "loss"], 0),
            (&["trainer/global_step", "epoch", "loss"], 1),
            (&["loss", "\"Epoch\""], 1),
            (&["misc/nupdates", "loss"], 0),
            (&["TotalEnvInteracts", "Epoch", "AverageEpRet"], 0),
            (&["_step", "loss"], 0),
            (&["epoch", "Step", "loss"], 1),
            (&["timesteps_total", "training_iteration", "x"], 0),
        ] {
            assert_eq!(recognise(names).unwrap().step, Step::At(step), "{names:?}");
        }
    }

    #[test]
    fn the_caller_chooses_by_name_or_number() {
        let choose = |step: &str, time: Option<&str>| {
            let (step_column, time_column) = (Some(step.to_owned()), time.map(str::to_owned));
            super::recognise(&["a", "b", "3"], &Options { step_column, time_column, ..Options::default() })
        };
        assert_eq!(choose("B", None).unwrap().step, Step::At(1));
        assert_eq!(choose("3", None).unwrap().step, Step::At(2), "a name before a number");
        assert_eq!(choose("row", None).unwrap().metrics.len(), 3);
        let both = choose("1", Some("2")).unwrap();
        assert_eq!((both.step, both.time.unwrap().at, both.metrics.len()), (Step::At(0), 1, 1));
        assert!(choose("c", None).unwrap_err().contains("no step column \"c\" among 3 columns (a, b, 3)"));
        assert!(choose("row", Some("4")).unwrap_err().contains("no time column"));
    }

    #[test]
    fn parts_of_a_training_are_told_apart_by_their_words() {
        let logged = recognise(&["mode", "epoch", "iter", "loss"]).unwrap();
        assert_eq!((logged.part, logged.epoch, logged.step), (Some(0), Some(1), Step::At(2)));
        assert_eq!(recognise(&["epoch", "Phase", "loss"]).unwrap().epoch, None, "epochs are steps there");
        assert_eq!((part_of(" Val "), part_of("max"), part_of("")), (Some("Val"), None, None));
        assert_eq!((in_part(Some("val"), "loss"), in_part(None, "loss")), ("val/loss".into(), "loss".into()));
        assert_eq!((in_part(Some("val"), "val/loss"), in_part(Some("val"), "")), ("val/loss".into(), "".into()));
    }

    #[test]
    fn what_is_missing_is_said() {
        let missing = recognise(&["a", "b"]).unwrap_err();
        assert!(missing.contains("no step column among 2 columns (a, b)") && missing.contains("--step-column"));
        assert!(recognise(&["step", "timestamp"]).unwrap_err().contains("no metric column"));
        assert!(recognise(&[]).is_err());
    }
}
