//! What all readers share: the sink, the report, progress, and the ids already taken.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use stepwell::RunId;

use crate::attached::{ImportedExperiment, ImportedModel};
use crate::options::Options;
use crate::report::{Counts, Kind, Named, Report, Skipped, Taken};
use crate::run::{ImportError, ImportedRun, Sink};
use crate::words::{self, RunWords};

/// Most reports for one file; further ones are only counted.
const SKIPS_PER_PATH_COUNT_MAX: u64 = 1_000;
/// How many earlier reports are looked at for one of the same reason.
const LOOK_BACK: usize = 64;

/// The state of one import.
pub(crate) struct Context<'a> {
    sink: &'a mut dyn Sink,
    /// The caller's choices.
    pub(crate) options: &'a Options,
    report: Report,
    /// Bytes of all sources, for progress.
    pub(crate) bytes_total: u64,
    bytes_done: u64,
    /// Ids given to the sink, with their sources.
    taken: HashMap<RunId, String>,
    /// What the parts given so far had, by their runs.
    parts: HashMap<RunId, HashSet<(Kind, String)>>,
    /// Keys of experiments given to the sink.
    experiments: BTreeSet<String>,
    /// The file reported last and how often it was.
    skipping: (PathBuf, u64),
    /// Which of the named paths what is being read belongs to.
    named: BTreeSet<usize>,
    /// What exports say of their runs: the list's path, and which of the named paths led to it.
    words: BTreeMap<String, (RunWords, PathBuf, usize)>,
}

impl<'a> Context<'a> {
    /// A fresh import of `paths` into `sink`.
    pub(crate) fn new(sink: &'a mut dyn Sink, paths: &[PathBuf], options: &'a Options) -> Self {
        let paths = paths.iter().map(|path| Named { path: path.clone(), ..Named::default() }).collect();
        Self {
            sink,
            options,
            report: Report { paths, ..Report::default() },
            bytes_total: 0,
            bytes_done: 0,
            taken: HashMap::new(),
            parts: HashMap::new(),
            experiments: BTreeSet::new(),
            skipping: (PathBuf::new(), 0),
            named: BTreeSet::new(),
            words: BTreeMap::new(),
        }
    }

    /// Notes what an export says about its runs. Returns whether the file is such a list.
    pub(crate) fn note_words(&mut self, path: &Path, named: usize) -> bool {
        let Some(list) = words::list(path) else {
            // A list of another tool has no points of ours beside it.
            let is_ours = ["points.csv", "points.parquet"].iter().any(|name| path.with_file_name(name).exists());
            if is_ours && path.exists() {
                let why = "not a list of runs any more: the words of the runs beside it are lost";
                self.leave_out(path, Kind::File, 1, why);
            }
            return is_ours && path.exists();
        };
        for words in list {
            self.words.entry(words.run_id.clone()).or_insert_with(|| (words, path.to_path_buf(), named));
        }
        true
    }

    /// Gives the sink the runs of which exports have words and no points.
    pub(crate) fn emit_words_alone(&mut self) -> Result<(), ImportError> {
        for (id, (words, path, named)) in std::mem::take(&mut self.words) {
            let is_taken = RunId::new(id.as_str()).is_ok_and(|id| self.taken.contains_key(&id));
            if let Some(run) = words.alone(format!("{}:{id}", words::LIST)).filter(|_| !is_taken) {
                self.reading([named]);
                self.tell_missing(&run, words.missing(&run), &path);
                words.unknown_status().into_iter().for_each(|why| self.leave_out(&path, Kind::Place, 1, why));
                self.emit(run, &path)?;
            }
        }
        Ok(())
    }

    /// Sets the named paths, by index, to which everything taken from here on belongs.
    pub(crate) fn reading(&mut self, named: impl IntoIterator<Item = usize>) {
        self.named = named.into_iter().collect();
    }

    /// Counts a file below a named path that is not a log known here.
    pub(crate) fn unrecognised(&mut self, named: usize, path: &Path) {
        let ending = path.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
        if let Some(named) = self.report.paths.get_mut(named) {
            *named.unrecognised.entry(ending).or_default() += 1;
        }
    }

    /// Notes what the sink did with something from `path`.
    pub(crate) fn took(&mut self, done: Taken, path: &Path) {
        self.report.taken.merge(&done.taken);
        self.report.added.merge(&done.added);
        self.report.changed.merge(&done.changed);
        self.report.refused += u64::from(done.is_refused);
        self.credit(&done.taken);
        for (kind, count, reason) in done.left_out {
            self.leave_out(path, kind, count, reason);
        }
        self.report.notes.extend(done.notes.into_iter().map(|note| (path.to_path_buf(), note)));
    }

    /// Adds a note about what is taken from a file.
    pub(crate) fn note(&mut self, path: &Path, note: impl Into<String>) {
        self.report.notes.push((path.to_path_buf(), note.into()));
    }

    /// Counts for the named paths what the sink holds of them.
    fn credit(&mut self, taken: &Counts) {
        for named in &self.named {
            if let Some(named) = self.report.paths.get_mut(*named) {
                named.taken.merge(taken);
            }
        }
    }

    /// Whether an experiment was given to the sink.
    pub(crate) fn knows_experiment(&self, key: &str) -> bool {
        self.experiments.contains(key)
    }

    /// Gives an experiment to the sink, once.
    pub(crate) fn emit_experiment(&mut self, experiment: ImportedExperiment, path: &Path) -> Result<(), ImportError> {
        if !self.experiments.insert(experiment.key.clone()) {
            return Ok(());
        }
        let what = format!("experiment {:?} from {}", experiment.experiment.name, path.display());
        let done = self.sink.experiment(experiment).map_err(|error| ImportError::Store { what, error })?;
        self.took(done, path);
        Ok(())
    }

    /// Gives a registered model to the sink.
    pub(crate) fn emit_model(&mut self, model: ImportedModel, path: &Path) -> Result<(), ImportError> {
        let what = format!("model {:?} from {}", model.name, path.display());
        let done = self.sink.model(model).map_err(|error| ImportError::Store { what, error })?;
        self.took(done, path);
        Ok(())
    }

    /// Whether the sink takes files that belong to runs.
    pub(crate) fn wants_artifacts(&self) -> bool {
        self.sink.wants_artifacts()
    }

    /// Gives a run to the sink, unless another source had its id. Sources that are recognised by their place and
    /// beginning may share an id by chance; the sink examines them further. Parts of one run share their id.
    pub(crate) fn emit(&mut self, mut run: ImportedRun, path: &Path) -> Result<(), ImportError> {
        let (mut missing, mut unknown) = ((0, 0), None);
        let folder = if run.source.starts_with("mlruns:") { Some(path) } else { path.parent() };
        if ["mlruns:", "tensorboard:"].iter().any(|kind| run.source.starts_with(kind))
            && let Some(words) = folder.and_then(RunWords::in_folder)
        {
            words.complete(&mut run);
            missing = words.missing(&run);
            unknown = words.unknown_status().filter(|_| !run.source.starts_with("mlruns:"));
        } else if let Some((words, ..)) = self.words.get(run.id.as_str()).filter(|_| run.own_id) {
            words.apply(&mut run);
            missing = words.missing(&run);
            unknown = words.unknown_status();
        }
        // Words of an event file's run stand in its folder, and the numbers of its points in the list.
        if let Some((words, ..)) = self.words.get(run.id.as_str()).filter(|_| run.own_id && missing == (0, 0)) {
            missing = words.missing(&run);
        }
        self.tell_missing(&run, missing, path);
        unknown.into_iter().for_each(|why| self.leave_out(path, Kind::Place, 1, why));
        if run.attached.part.is_some() {
            let known = self.known_of_parts(&run);
            run.attached.part.iter_mut().for_each(|part| part.known = known.clone());
        }
        let is_whole = run.own_id && run.attached.part.is_none();
        if let Some(first) = self.taken.get(&run.id).filter(|_| is_whole) {
            let reason = format!(
                "run {} was already imported from {first}; not imported again (--as ID imports one file under another \
                 id)",
                run.id
            );
            self.leave_out(path, Kind::Run, 1, reason);
            self.credit(&Counts::default().with(Kind::Run, 1));
            return Ok(());
        }
        self.taken.entry(run.id.clone()).or_insert_with(|| run.source.clone());
        let (id, from) = (run.id.clone(), run.source.clone());
        let done = self.sink.run(run).map_err(|error| ImportError::Sink { run: id, from, error })?;
        self.took(done, path);
        Ok(())
    }

    /// Reports what an export claims to have written of a run, but does not contain.
    fn tell_missing(&mut self, run: &ImportedRun, (series, points): (u64, u64), path: &Path) {
        let why = format!("of run {}: the export wrote them, and they are gone from it", run.id);
        self.leave_out(path, Kind::Series, series, why.clone());
        self.leave_out(path, Kind::Point, points, why);
    }

    /// How much of what a part of a run has the parts before it had.
    fn known_of_parts(&mut self, run: &ImportedRun) -> Counts {
        let known = self.parts.entry(run.id.clone()).or_default();
        let series = run.series.iter().map(|series| (Kind::Series, series.key.as_str()));
        let params = run.params.iter().map(|(key, _)| (Kind::Param, key.as_str()));
        let tags = run.tags.iter().map(|(key, _)| (Kind::Tag, key.as_str()));
        let all = series.chain(params).chain(tags).chain([(Kind::Run, "")]);
        let met = all.filter(|(kind, key)| !known.insert((*kind, (*key).to_owned())));
        met.fold(Counts::default(), |counts, (kind, _)| counts.with(kind, 1))
    }

    /// Reports a place that could not be read.
    pub(crate) fn skip(&mut self, path: &Path, offset: Option<u64>, reason: impl Into<String>) {
        if self.skipping.0 != path {
            self.close_skips();
            self.skipping = (path.to_path_buf(), 0);
        }
        self.skipping.1 += 1;
        if self.skipping.1 <= SKIPS_PER_PATH_COUNT_MAX {
            let (kind, count) = (Kind::Place, 1);
            self.report.skipped.push(Skipped { path: path.to_path_buf(), offset, kind, count, reason: reason.into() });
        }
    }

    /// Reports that so many of a kind were not taken from a file or folder as they are. Equal reasons add up.
    pub(crate) fn leave_out(&mut self, path: &Path, kind: Kind, count: u64, reason: impl Into<String>) {
        self.leave_out_at(path, None, kind, count, reason);
    }

    /// The same, with the place where it begins.
    pub(crate) fn leave_out_at(
        &mut self,
        path: &Path,
        offset: Option<u64>,
        kind: Kind,
        count: u64,
        reason: impl Into<String>,
    ) {
        let reason = reason.into();
        if count == 0 {
            return;
        }
        let same = |known: &&mut Skipped| {
            known.path == path && known.kind == kind && known.offset == offset && known.reason == reason
        };
        match self.report.skipped.iter_mut().rev().take(LOOK_BACK).find(same) {
            Some(known) => known.count = known.count.saturating_add(count),
            None => self.report.skipped.push(Skipped { path: path.to_path_buf(), offset, kind, count, reason }),
        }
    }

    /// Counts a file that could not be read and is reported elsewhere.
    pub(crate) fn count_unread(&mut self) {
        self.report.unread += 1;
    }

    /// Reports a file that could not be read, or not to its end.
    pub(crate) fn unread(&mut self, path: &Path, reason: impl Into<String>) {
        self.report.unread += 1;
        self.leave_out(path, Kind::File, 1, reason);
    }

    /// Reports a file that was read only up to an error.
    pub(crate) fn not_to_its_end(&mut self, path: &Path, error: impl std::fmt::Display) {
        self.unread(path, format!("not read to its end: {error}"));
    }

    /// Reports a folder whose contents are unknown.
    pub(crate) fn cannot_list(&mut self, folder: &Path, error: &std::io::Error) {
        self.unread(folder, format!("cannot list the folder: {error}"));
    }

    /// Counts bytes as read.
    pub(crate) fn advance(&mut self, path: &Path, bytes: u64) {
        self.bytes_done = self.bytes_done.saturating_add(bytes).min(self.bytes_total);
        self.sink.progress(self.bytes_done, self.bytes_total, path);
    }

    /// The report.
    pub(crate) fn finish(mut self) -> Report {
        self.close_skips();
        self.report
    }

    /// Says how many reports of the last file were left out.
    fn close_skips(&mut self) {
        let more = self.skipping.1.saturating_sub(SKIPS_PER_PATH_COUNT_MAX);
        if more > 0 {
            let path = std::mem::take(&mut self.skipping.0);
            self.report.skipped.push(Skipped {
                path,
                offset: None,
                kind: Kind::Place,
                count: more,
                reason: format!("and {more} more places in this file"),
            });
        }
        self.skipping.1 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;
    impl Sink for Nothing {
        fn run(&mut self, run: ImportedRun) -> Result<Taken, crate::BoxError> {
            Ok(Taken::new(run.counts()))
        }
    }

    #[test]
    fn reports_of_one_file_are_bounded_and_counted() {
        let (mut sink, options) = (Nothing, Options::default());
        let mut context = Context::new(&mut sink, &[PathBuf::from("a")], &options);
        for offset in 0..1_500 {
            context.skip(Path::new("a"), Some(offset), "x");
        }
        context.skip(Path::new("b"), None, "y");
        let report = context.finish();
        assert_eq!(report.skipped.len(), 1_002);
        assert_eq!(report.skipped[1_000].reason, "and 500 more places in this file");
        assert_eq!(report.skipped[1_001].path, Path::new("b"));
        assert_eq!(report.left_out().get(Kind::Place), 1_501);
    }

    #[test]
    fn equal_reasons_add_up_and_nothing_is_taken_from_what_is_left_out() {
        let (mut sink, options) = (Nothing, Options::default());
        let mut context = Context::new(&mut sink, &[PathBuf::from("a"), PathBuf::from("b")], &options);
        context.reading([1]);
        for _ in 0..3 {
            context.leave_out(Path::new("b/c"), Kind::Image, 2, "an image is not a number");
        }
        context.leave_out(Path::new("b/d"), Kind::Image, 1, "an image is not a number");
        context.took(Taken::new(Counts::default().with(Kind::Model, 1)), Path::new("b/c"));
        context.unrecognised(0, Path::new("a/x.png"));
        let report = context.finish();
        assert_eq!(report.skipped.iter().map(|skipped| skipped.count).collect::<Vec<_>>(), [6, 1]);
        let nothing: Vec<_> = report.gave_nothing().map(|named| named.path.as_path()).collect();
        assert_eq!((nothing, report.taken.get(Kind::Model)), (vec![Path::new("a")], 1));
        assert_eq!(report.paths[0].unrecognised.get(".png"), Some(&1));
    }
}
