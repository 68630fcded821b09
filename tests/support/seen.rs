//! Everything that readers tell of a workspace, so that two tellings can be held against each other.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::hash::{DefaultHasher, Hasher};

use stepwell::query::{Query, View};
use stepwell::{Columns, Error, ExperimentId, Point, RunId, RunSnapshot, Workspace};

/// One answer: a fingerprint of it, or that it was refused, or that it came with the word that something is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What was told, by fingerprint.
    Whole(u64),
    /// Refused with an error, or told to be incomplete.
    Refused(String),
}

/// All answers, by what was asked: of a run `run <id> <what>`, of the whole workspace one word.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answers: BTreeMap<String, Answer>,
    /// The points of each series, where they were told.
    pub(crate) points: BTreeMap<String, Columns>,
}

struct Print(DefaultHasher);

impl Write for Print {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

fn print(value: &dyn Debug) -> u64 {
    let mut print = Print(DefaultHasher::new());
    write!(print, "{value:?}").unwrap();
    print.0.finish()
}

fn print_columns(columns: &Columns) -> u64 {
    let mut hasher = DefaultHasher::new();
    for Point { step, timestamp_ms, value } in columns.iter() {
        hasher.write_i64(step);
        hasher.write_i64(timestamp_ms.unwrap_or(i64::MIN + 1));
        hasher.write_u64(value.to_bits());
    }
    hasher.finish()
}

/// Asks every reader about everything; `runs` are the runs and metrics that should be there.
pub(crate) fn look(workspace: &Workspace, runs: &BTreeMap<RunId, Vec<String>>) -> Seen {
    let mut seen = Seen::default();
    let mut tell = |of: String, answer: Result<u64, String>| {
        let answer = match answer {
            Ok(value) => Answer::Whole(value),
            Err(why) => Answer::Refused(why),
        };
        seen.answers.insert(of, answer);
    };
    for (id, keys) in runs {
        let found = workspace.run(id);
        let run = found.as_ref().map_err(ToString::to_string);
        tell(format!("run {id} words"), run.clone().and_then(metadata));
        for key in keys {
            let ask = |what: &dyn Fn(&RunSnapshot) -> Result<u64, Error>| {
                let run = run.clone()?;
                let missing = || incomplete(run);
                what(run).map_err(|error| error.to_string()).and_then(|value| missing().map_or(Ok(value), Err))
            };
            tell(format!("run {id} history of {key}"), ask(&|run| Ok(print_columns(&run.history(key)?))));
            tell(format!("run {id} statistics of {key}"), ask(&|run| Ok(print(&run.stats(key)?))));
            tell(format!("run {id} plot of {key}"), ask(&|run| Ok(print(&run.downsample(key, None, 10)?))));
            tell(format!("run {id} range of {key}"), ask(&|run| Ok(print_columns(&run.range(key, 100..=300)?))));
            if let Ok(run) = run {
                around(run, key);
            }
            if let Ok(columns) = run.clone().and_then(|run| run.arrivals(key).map_err(|error| error.to_string())) {
                seen.points.insert(format!("{id} {key}"), columns);
            }
        }
    }
    for (name, view) in [("search", View::ActiveOnly), ("search of deleted", View::DeletedOnly)] {
        let query = Query { view, ..Query::parse("", &["metrics.loss DESC"]).unwrap() };
        let page = workspace.search(&query).map_err(|error| error.to_string());
        tell(
            name.into(),
            page.and_then(|page| match page.unreadable.first() {
                Some(why) => Err(why.clone()),
                None => Ok(print(&page.summaries().unwrap())),
            }),
        );
    }
    let usage = workspace.maintenance().usage().map_err(|error| error.to_string());
    tell(
        "usage".into(),
        usage.and_then(|usage| match usage.unreadable.first() {
            Some(why) => Err(why.clone()),
            None => Ok(print(&(usage.runs, usage.series, usage.points, usage.largest_keys))),
        }),
    );
    let mut experiments = workspace.experiments().list().map_err(|error| error.to_string());
    // `Default` is as old as the mark's file, and the mark of a copy is another file.
    for default in experiments.iter_mut().flatten().filter(|experiment| experiment.id == ExperimentId::DEFAULT) {
        (default.created_ms, default.updated_ms) = (0, 0);
    }
    let damaged = workspace.damage().unwrap().into_iter().find(|damage| damage.contains("/catalog/"));
    tell("experiments".into(), damaged.map_or(experiments.map(|experiments| print(&experiments)), Err));
    seen
}

/// Whoever reads around damage gets all that verifies, is told how much is missing, and is told nothing where whoever
/// needs all of it gets it.
fn around(run: &RunSnapshot, key: &str) {
    let Ok(count) = run.count(key) else { return };
    let mut reader = run.salvage();
    let points = reader.arrivals(key).unwrap();
    assert_eq!(points.len() as u64 + reader.missing(), count, "{:?}", reader.messages());
    assert_eq!(reader.history(key).unwrap().len(), points.len());
    assert_eq!(points.len() as u64 + reader.missing(), count, "what is missing is counted once");
    match run.arrivals(key) {
        Ok(all) => assert!(all == points && reader.messages().is_empty()),
        Err(error) => assert!(reader.missing() > 0 && !reader.messages().is_empty(), "{error}"),
    }
    for buckets in [10, 1_000_000] {
        let mut reader = run.salvage();
        let plot = reader.downsample(key, None, buckets).unwrap();
        let drawn: u64 = plot.buckets.iter().map(|bucket| bucket.count).sum();
        assert_eq!(drawn + reader.missing(), count, "{:?}", reader.messages());
        if let Ok(all) = run.downsample(key, None, buckets) {
            assert!(all == plot && reader.missing() == 0);
        }
    }
    let mut reader = run.salvage();
    let within = reader.range(key, 100..=300).unwrap();
    assert!(within.iter().all(|point| points.iter().any(|own| own == point)));
    if let Ok(all) = run.range(key, 100..=300) {
        assert!(all == within && reader.missing() == 0);
    }
    let mut reader = run.salvage();
    match (run.stats(key), reader.stats(key)) {
        // As text, since NaN is not equal to itself.
        (Ok(all), stats) => assert_eq!((print(&stats.unwrap()), reader.missing()), (print(&all), 0)),
        (Err(_), Ok(stats)) => assert_eq!(stats.count + reader.missing(), count),
        (Err(_), Err(error)) => assert!(matches!(error, Error::NotFound { .. }) && reader.missing() == count),
    }
}

fn metadata(run: &RunSnapshot) -> Result<u64, String> {
    match incomplete(run) {
        Some(why) => Err(why),
        None => {
            let mut state = run.state().clone();
            state.coverage.clear();
            Ok(print(&(state, run.keys().collect::<Vec<_>>())))
        }
    }
}

fn incomplete(run: &RunSnapshot) -> Option<String> {
    run.damage().first().cloned()
}

impl Seen {
    /// What was answered otherwise in `self` than in `whole`: refused, and answered with something else.
    pub(crate) fn against(&self, whole: &Self) -> (Vec<&str>, Vec<&str>) {
        let (mut refused, mut other) = (Vec::new(), Vec::new());
        for (of, answer) in &self.answers {
            match answer {
                Answer::Refused(_) => refused.push(of.as_str()),
                Answer::Whole(_) if *answer != whole.answers[of] => other.push(of.as_str()),
                Answer::Whole(_) => {}
            }
        }
        (refused, other)
    }

    /// Whether every point told was logged, in the order in which it was.
    pub(crate) fn invents_nothing(&self, whole: &Self) -> bool {
        self.points.iter().all(|(of, points)| {
            let mut logged = whole.points[of].iter();
            points.iter().all(|point| {
                logged.any(|own| {
                    (own.step, own.timestamp_ms, own.value.to_bits())
                        == (point.step, point.timestamp_ms, point.value.to_bits())
                })
            })
        })
    }
}
