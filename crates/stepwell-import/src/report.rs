//! What an import took, what it left out and why, and what became of each named path.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What sources consist of, as far as a report counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A run.
    Run,
    /// A metric of a run.
    Series,
    /// A point of a metric.
    Point,
    /// A param of a run.
    Param,
    /// A tag of a run.
    Tag,
    /// An experiment.
    Experiment,
    /// A registered model or prompt.
    Model,
    /// A version of a registered model or prompt.
    ModelVersion,
    /// A name for a version of a registered model.
    Alias,
    /// A logged model.
    LoggedModel,
    /// A dataset that a run used.
    Dataset,
    /// A file that a run keeps.
    Artifact,
    /// A text that is neither a param nor a tag.
    Text,
    /// An image.
    Image,
    /// A sound.
    Audio,
    /// A video.
    Video,
    /// A histogram or another distribution.
    Histogram,
    /// A curve of several values at one step, such as a precision-recall curve.
    Curve,
    /// A graph of a model.
    Graph,
    /// A table at one step.
    Table,
    /// A row of a table that is read.
    Row,
    /// A cell of a table that is read.
    Cell,
    /// A column of a table that is read.
    Column,
    /// A record of a binary log.
    Record,
    /// A file that is not a log, or could not be read.
    File,
    /// A place in a file, where nobody can tell what was there.
    Place,
    /// Something else; the reason says what.
    Other,
}

/// Each kind with its name in JSON and its plural.
const NAMES: [(Kind, &str, &str); 27] = [
    (Kind::Run, "run", "runs"),
    (Kind::Series, "series", "series"),
    (Kind::Point, "point", "points"),
    (Kind::Param, "param", "params"),
    (Kind::Tag, "tag", "tags"),
    (Kind::Experiment, "experiment", "experiments"),
    (Kind::Model, "model", "models"),
    (Kind::ModelVersion, "model version", "model versions"),
    (Kind::Alias, "alias", "aliases"),
    (Kind::LoggedModel, "logged model", "logged models"),
    (Kind::Dataset, "dataset", "datasets"),
    (Kind::Artifact, "artifact", "artifacts"),
    (Kind::Text, "text", "texts"),
    (Kind::Image, "image", "images"),
    (Kind::Audio, "sound", "sounds"),
    (Kind::Video, "video", "videos"),
    (Kind::Histogram, "histogram", "histograms"),
    (Kind::Curve, "curve", "curves"),
    (Kind::Graph, "graph", "graphs"),
    (Kind::Table, "table", "tables"),
    (Kind::Row, "row", "rows"),
    (Kind::Cell, "cell", "cells"),
    (Kind::Column, "column", "columns"),
    (Kind::Record, "record", "records"),
    (Kind::File, "file", "files"),
    (Kind::Place, "place", "places"),
    (Kind::Other, "other", "others"),
];

impl Kind {
    /// The kind's name: `run`, `model version`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.names().0
    }

    /// The name of several: `runs`, `model versions`.
    #[must_use]
    pub fn plural(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        NAMES.iter().find(|(kind, ..)| *kind == self).map_or(("other", "others"), |(_, one, many)| (*one, *many))
    }
}

/// How many of each kind; kinds of which there are none are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<Kind, u64>);

impl Counts {
    /// How many of a kind.
    #[must_use]
    pub fn get(&self, kind: Kind) -> u64 {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    /// Counts so many more of a kind.
    pub fn add(&mut self, kind: Kind, count: u64) {
        if count > 0 {
            let total = self.0.entry(kind).or_default();
            *total = total.saturating_add(count);
        }
    }

    /// Counts so many less of a kind.
    pub fn take(&mut self, kind: Kind, count: u64) {
        let left = self.get(kind).saturating_sub(count);
        match left {
            0 => _ = self.0.remove(&kind),
            left => _ = self.0.insert(kind, left),
        }
    }

    /// The same, for counts that are built in one expression.
    #[must_use]
    pub fn with(mut self, kind: Kind, count: u64) -> Self {
        self.add(kind, count);
        self
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(kind, count)| self.add(kind, count));
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each kind of which there is at least one, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        self.0.iter().map(|(kind, count)| (*kind, *count))
    }
}

/// Something in a source that was not imported unchanged: it was left out, cut, or read in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The file or folder.
    pub path: PathBuf,
    /// The byte at which the trouble begins, where there is one.
    pub offset: Option<u64>,
    /// What it is.
    pub kind: Kind,
    /// How many of them; at least 1.
    pub count: u64,
    /// What is wrong and what was done about it.
    pub reason: String,
}

/// What a [`Sink`](crate::Sink) did with something that it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// What of it the sink holds by now, whether it is new there or was there before.
    pub taken: Counts,
    /// What of that is new.
    pub added: Counts,
    /// What was not taken as it is: the kind, how many, and why.
    pub left_out: Vec<(Kind, u64, String)>,
    /// Whether it was refused: nothing of it was taken, and the caller has to say what to do.
    pub is_refused: bool,
    /// What else a person should know of it.
    pub notes: Vec<String>,
    /// What became of it, if its source had given something else before.
    pub changed: Changes,
}

/// How many runs came from sources that were overwritten since they had given other runs, and what existing data was
/// changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Runs that are new beside those that their sources gave before.
    pub beside: u64,
    /// Runs that took the place of those that their sources gave before.
    pub replaced: u64,
    /// Existing data in the sink that was changed, as opposed to added: how many of each, by name.
    pub here: BTreeMap<&'static str, u64>,
}

impl Changes {
    /// Counts so many more of what is otherwise now.
    pub fn add(&mut self, what: &'static str, count: u64) {
        if count > 0 {
            *self.here.entry(what).or_default() += count;
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.beside += other.beside;
        self.replaced += other.replaced;
        other.here.iter().for_each(|(what, count)| self.add(what, *count));
    }
}

impl Taken {
    /// All of it is new.
    #[must_use]
    pub fn new(counts: Counts) -> Self {
        Self { added: counts.clone(), taken: counts, ..Self::default() }
    }

    /// Nothing was taken, for this reason.
    #[must_use]
    pub fn refused(kind: Kind, reason: impl Into<String>) -> Self {
        Self { left_out: vec![(kind, 1, reason.into())], is_refused: true, ..Self::default() }
    }
}

/// What became of one path that [`import`](crate::import) was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The path as it was given.
    pub path: PathBuf,
    /// What was taken from it. Empty when it gave nothing, neither now nor in an earlier import.
    pub taken: Counts,
    /// How many files below it are not logs known here, by the ending of their names (with its dot; empty without one).
    pub unrecognised: BTreeMap<String, u64>,
}

/// What an import did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What the sources have and the sink holds now.
    pub taken: Counts,
    /// What of it is new in the sink.
    pub added: Counts,
    /// What was not taken as it is, in reading order; at most 1,000 places for each file, then one line with their
    /// count.
    pub skipped: Vec<Skipped>,
    /// What a person should know of what was taken: the path, and what it is.
    pub notes: Vec<(PathBuf, String)>,
    /// How many runs, experiments and models the sink refused. They are in `skipped`, too.
    pub refused: u64,
    /// How many files and folders could not be read, or not to their end. They are in `skipped`, too.
    pub unread: u64,
    /// How many sources were overwritten since they were imported.
    pub changed: Changes,
    /// The named paths, in the order in which they were given.
    pub paths: Vec<Named>,
}

impl Report {
    /// Runs that were taken.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.taken.get(Kind::Run)
    }

    /// Their series.
    #[must_use]
    pub fn series(&self) -> u64 {
        self.taken.get(Kind::Series)
    }

    /// Their points.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.taken.get(Kind::Point)
    }

    /// How many of each kind were not taken as they are.
    #[must_use]
    pub fn left_out(&self) -> Counts {
        self.skipped.iter().fold(Counts::default(), |counts, skipped| counts.with(skipped.kind, skipped.count))
    }

    /// The named paths of which nothing was taken.
    pub fn gave_nothing(&self) -> impl Iterator<Item = &Named> {
        self.paths.iter().filter(|named| named.taken.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let kinds: std::collections::BTreeSet<_> = NAMES.iter().map(|(kind, ..)| kind).collect();
        let names: std::collections::BTreeSet<_> = NAMES.iter().map(|(_, name, _)| name).collect();
        assert_eq!((kinds.len(), names.len()), (NAMES.len(), NAMES.len()));
        assert_eq!((Kind::ModelVersion.name(), Kind::Alias.plural()), ("model version", "aliases"));
    }

    #[test]
    fn counts_add_up() {
        let mut counts = Counts::default().with(Kind::Run, 1).with(Kind::Point, 0);
        counts.merge(&Counts::default().with(Kind::Run, 2).with(Kind::Tag, 4));
        assert_eq!(counts.iter().collect::<Vec<_>>(), [(Kind::Run, 3), (Kind::Tag, 4)]);
        assert_eq!((counts.get(Kind::Point), counts.is_empty()), (0, false));
    }
}
