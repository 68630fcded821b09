//! Finds the sources below the given paths and says of which kind each is.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::report::Kind;
use crate::run::ImportError;
use crate::table::{dvclive, trainer};
use crate::words::{self, RunWords};
use crate::{mlflow, name_of, slashed, sniff, wandb};

/// Folders nested deeper are reported, not read.
const DEPTH_MAX: usize = 128;
/// What can be read, for whoever named something else.
const KNOWN: &str = "TensorBoard events, W&B .wandb, MLflow mlruns and .db, CSV, JSON lines, JSON and Parquet with a \
                     step column, trainer_state.json and DVCLive are known; --format says what a file is";

/// The kinds of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Event files; one folder is one run.
    TensorBoard,
    /// Transaction logs of W&B; all logs of one run id are one run.
    WandB,
    /// One run's folder in MLflow's file store.
    MlRuns,
    /// One experiment's folder in MLflow's file store.
    MlExperiment,
    /// One registered model's folder in MLflow's file store.
    MlModel,
    /// MLflow's SQLite database.
    MlflowDb,
    /// Comma-, semicolon-, bar- or tab-separated values, SB3's monitor files among them.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
    /// A JSON document of rows.
    JsonDocument,
    /// Hugging Face's trainer states; all of one training are one run.
    TrainerState,
    /// DVCLive's folder.
    DvcLive,
}

/// One file (or, for [`Source::MlRuns`] and [`Source::DvcLive`], one folder) to read.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its size when found, for progress.
    pub(crate) bytes: u64,
    /// Its path relative to the given path, with `/`.
    pub(crate) relative: String,
    /// Whether nobody writes it any more, so that its last line is whole.
    pub(crate) complete: bool,
}

/// Files that are read together because they are one run or hold runs of their own.
pub(crate) struct Group {
    /// What they are.
    pub(crate) source: Source,
    /// The path by which the group is known: a folder's for TensorBoard, else the first file's.
    pub(crate) relative: String,
    /// The files in reading order; never empty.
    pub(crate) files: Vec<SourceFile>,
    /// Which of the named paths lead to it.
    pub(crate) named: BTreeSet<usize>,
}

/// Where a walk stands.
struct Walk<'c, 'a> {
    context: &'c mut Context<'a>,
    groups: Vec<Group>,
    /// Where each W&B run's group is.
    wandb: HashMap<String, usize>,
    /// Where the group of each training of Hugging Face is, by its folder.
    trainings: HashMap<PathBuf, usize>,
    /// Start times of W&B logs, by path, to order a run's logs.
    wandb_starts: HashMap<PathBuf, i64>,
    /// Real paths of files already seen, so that none is read twice, and the places of their groups.
    seen: HashMap<PathBuf, usize>,
    /// Which of the named paths is looked through.
    named: usize,
    /// Its own name, where it is a folder.
    own_name: String,
}

/// All sources below `paths`, in a fixed order: folders' files by name, then their folders by name.
pub(crate) fn find(paths: &[PathBuf], context: &mut Context<'_>) -> Result<Vec<Group>, ImportError> {
    for path in paths {
        fs::metadata(path).map_err(|source| ImportError::Path { path: path.clone(), source })?;
    }
    let mut walk = Walk {
        context,
        groups: Vec::new(),
        wandb: HashMap::new(),
        trainings: HashMap::new(),
        wandb_starts: HashMap::new(),
        seen: HashMap::new(),
        named: 0,
        own_name: String::new(),
    };
    for (named, path) in paths.iter().enumerate() {
        walk.named = named;
        if path.is_dir() { walk.folder(path) } else { walk.given_file(path) }
    }
    let Walk { mut groups, wandb_starts, .. } = walk;
    for group in groups.iter_mut().filter(|group| group.source == Source::WandB && group.files.len() > 1) {
        group.files.sort_by_cached_key(|file| (wandb_starts.get(&file.path).copied(), file.path.clone()));
    }
    Ok(groups)
}

/// A folder that the caller named.
struct Root<'p> {
    path: &'p Path,
    /// Its path without links.
    real: PathBuf,
    /// Its own name, which stands in for the empty path of a source that is the root itself.
    name: String,
}

impl<'p> Root<'p> {
    fn of(path: &'p Path) -> Self {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let name = real.file_name().map_or_else(|| ".".to_owned(), |name| name.to_string_lossy().into_owned());
        Self { path, real, name }
    }

    /// The path of a folder below it, or its own name.
    fn relative(&self, folder: &Path) -> String {
        if folder == self.path { self.name.clone() } else { self.below(folder) }
    }

    /// The path of what lies below it.
    fn below(&self, path: &Path) -> String {
        path.strip_prefix(self.path).map_or_else(|_| slashed(path), slashed)
    }
}

impl Walk<'_, '_> {
    /// A file that the caller named: it is reported if it is not recognised.
    fn given_file(&mut self, path: &Path) {
        // Opening a pipe that nobody writes would wait for ever.
        if !path.is_file() {
            let reason = "neither a file nor a folder; give the log's own path";
            return self.context.leave_out(path, Kind::File, 1, reason);
        }
        let name = name_of(path);
        // What came by standard input has no name of its own.
        let name = if self.context.options.stdin.as_deref() == Some(path) { "stdin".to_owned() } else { name };
        if name == words::LIST && self.context.note_words(path, self.named) {
            return;
        }
        match sniff::kind_of_named(path, &name, self.context.options) {
            Ok(Some(source)) => {
                // An export's points have their runs' words beside them.
                if matches!(source, Source::Csv | Source::Parquet)
                    && path.file_stem().is_some_and(|stem| stem == "points")
                {
                    self.context.note_words(&path.with_file_name(words::LIST), self.named);
                }
                self.add_file(source, path, &name, &name);
            }
            Ok(None) => self.context.leave_out(path, Kind::File, 1, format!("not a log known here; {KNOWN}")),
            Err(error) => self.unreadable(path, &error),
        }
    }

    /// A folder that was named by the caller, with all below it.
    fn folder(&mut self, root: &Path) {
        let root = Root::of(root);
        // A checkpoint that is the root itself belongs to no folder that was named.
        self.own_name = if trainer::is_checkpoint(&root.name) { String::new() } else { root.name.clone() };
        let mut pending = vec![(root.path.to_path_buf(), 0)];
        while let Some((folder, depth)) = pending.pop() {
            if depth > DEPTH_MAX {
                self.context.skip(&folder, None, format!("more than {DEPTH_MAX} folders deep; not read"));
                continue;
            }
            let Some(entries) = self.entries(&folder) else {
                continue;
            };
            let relative = root.relative(&folder);
            if !self.add_store_folder(&folder, &relative, &entries) {
                let below = self.look_into(&root, &folder, &relative, entries);
                pending.extend(below.into_iter().rev().map(|child| (child, depth + 1)));
            }
        }
    }

    /// Adds a folder of a store of MLflow, which is read as a whole. Returns whether it is one.
    fn add_store_folder(&mut self, folder: &Path, relative: &str, entries: &Entries) -> bool {
        let source = match mlflow::folder::recognise(folder, &entries.names) {
            mlflow::folder::Kind::Run => Source::MlRuns,
            mlflow::folder::Kind::Experiment => Source::MlExperiment,
            mlflow::folder::Kind::Model => Source::MlModel,
            mlflow::folder::Kind::Version => {
                let why = "a version of a registered model alone; name the folder of the model";
                self.context.leave_out(folder, Kind::ModelVersion, 1, why);
                return true;
            }
            mlflow::folder::Kind::Other => return false,
        };
        self.add_folder(source, folder.to_path_buf(), relative, entries);
        true
    }

    /// Adds the sources that lie in a folder itself. Returns the folders in it that may have more.
    fn look_into(&mut self, root: &Root<'_>, folder: &Path, relative: &str, entries: Entries) -> Vec<PathBuf> {
        self.tell_links(folder, &entries.links, &root.real);
        let is_dvclive = dvclive::is_folder(folder);
        if is_dvclive {
            self.add_folder(Source::DvcLive, folder.to_path_buf(), relative, &entries);
        }
        // What an export of ours says beside its points.
        let has_words = entries.files.iter().any(|path| path.ends_with(words::LIST))
            && self.context.note_words(&folder.join(words::LIST), self.named);
        let is_read = |path: &Path| {
            let of_dvclive = is_dvclive && dvclive::FILES.iter().any(|name| path.ends_with(name));
            of_dvclive || has_words && path.ends_with(words::LIST) || path.ends_with(RunWords::FILE)
        };
        for path in entries.files.iter().filter(|path| !is_read(path)) {
            match sniff::kind_of(path, &name_of(path), self.context.options) {
                Ok(Some(source)) => self.add_file(source, path, &root.below(path), relative),
                Ok(None) => self.context.unrecognised(self.named, path),
                Err(error) => self.unreadable(path, &error),
            }
        }
        let has_wandb = entries.names.iter().any(|name| name.ends_with(".wandb"));
        // A W&B run's copies of its own data are no further runs.
        let is_copy = |child: &Path| has_wandb && ["files", "logs", "tmp"].iter().any(|name| child.ends_with(name));
        let is_series =
            |child: &Path| child.ends_with(dvclive::SERIES) && child.ancestors().nth(2).is_some_and(dvclive::is_folder);
        let mut below = entries.folders;
        below.retain(|child| !is_copy(child) && !is_series(child));
        below
    }

    /// Reports the links of a folder, which are not followed: a target within the root is found by itself, and a target
    /// outside was not named.
    fn tell_links(&mut self, folder: &Path, links: &[PathBuf], real_root: &Path) {
        let mut inside = 0;
        for path in links {
            match fs::canonicalize(path) {
                Ok(real) if real.starts_with(real_root) => inside += 1,
                Ok(real) => {
                    let why = format!("a link to {}, outside what was named; not followed: name that", real.display());
                    self.context.leave_out(path, Kind::File, 1, why);
                }
                Err(_) => self.context.leave_out(path, Kind::File, 1, "a link to nothing; passed over"),
            }
        }
        if inside > 0 {
            let links = if inside == 1 { "link leads" } else { "links lead" };
            let note = format!("{inside} {links} to what is read at its own place in the named folder");
            self.context.note(folder, note);
        }
    }

    /// A folder's entries, sorted by name; `None` when it cannot be listed.
    fn entries(&mut self, folder: &Path) -> Option<Entries> {
        let listing = match fs::read_dir(folder) {
            Ok(listing) => listing,
            Err(error) => {
                self.context.cannot_list(folder, &error);
                return None;
            }
        };
        let mut paths: Vec<PathBuf> = listing.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        paths.sort();
        let mut entries = Entries::default();
        for path in paths {
            entries.names.push(name_of(&path));
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => entries.folders.push(path),
                Ok(found) if found.is_file() => entries.files.push(path),
                Ok(found) if found.is_symlink() => entries.links.push(path),
                _ => self.context.skip(&path, None, "a pipe or a device; passed over"),
            }
        }
        Some(entries)
    }

    /// Reports a file that cannot be read.
    fn unreadable(&mut self, path: &Path, error: &std::io::Error) {
        self.context.unread(path, format!("cannot be read: {error}"));
    }

    /// Whether the caller says that nobody writes a file any more.
    fn is_complete(&self, path: &Path) -> bool {
        self.context.options.complete || self.context.options.stdin.as_deref() == Some(path)
    }

    /// Adds a folder that is one run.
    fn add_folder(&mut self, source: Source, folder: PathBuf, relative: &str, entries: &Entries) {
        let complete = self.is_complete(&folder);
        let bytes = entries.names.len() as u64;
        self.add(source, relative, SourceFile { path: folder, bytes, relative: relative.to_owned(), complete });
    }

    /// Adds a file to the group in which it belongs.
    fn add_file(&mut self, source: Source, path: &Path, relative: &str, folder: &str) {
        let real = fs::canonicalize(path).ok();
        let known = real.as_ref().and_then(|real| self.seen.get(real).copied());
        if let Some(group) = known.and_then(|at| self.groups.get_mut(at)) {
            group.named.insert(self.named);
            return;
        }
        let bytes = fs::metadata(path).map_or(0, |found| found.len());
        let file = SourceFile {
            path: path.to_path_buf(),
            bytes,
            relative: relative.to_owned(),
            complete: self.is_complete(path),
        };
        let at = match source {
            Source::TensorBoard => self.add_event_file(file, folder),
            Source::WandB => self.add_wandb(file),
            Source::TrainerState => self.add_trainer_state(file, folder),
            _ => self.add(source, relative, file),
        };
        self.groups[at].named.insert(self.named);
        if let Some(real) = real {
            self.seen.insert(real, at);
        }
    }

    /// Event files of one folder are one run; they follow each other in a walk.
    fn add_event_file(&mut self, file: SourceFile, folder: &str) -> usize {
        let parent = file.path.parent().map(Path::to_path_buf);
        let at = self.groups.len().saturating_sub(1);
        match self.groups.last_mut() {
            Some(last)
                if last.source == Source::TensorBoard
                    && last.relative == folder
                    && last.files[0].path.parent() == parent.as_deref() =>
            {
                last.files.push(file);
                at
            }
            _ => self.add(Source::TensorBoard, folder, file),
        }
    }

    /// The states of a training and of its checkpoints are one run.
    fn add_trainer_state(&mut self, file: SourceFile, folder: &str) -> usize {
        let training = trainer::training_of(&file.path).to_path_buf();
        let is_checkpoint = file.path.parent() != Some(&training);
        if let Some((at, group)) = self.trainings.get(&training).and_then(|&at| Some((at, self.groups.get_mut(at)?))) {
            group.files.push(file);
            return at;
        }
        self.trainings.insert(training, self.groups.len());
        let relative = match folder.rsplit_once('/') {
            Some((above, last)) if is_checkpoint && trainer::is_checkpoint(last) => above.to_owned(),
            None if is_checkpoint && trainer::is_checkpoint(folder) && !self.own_name.is_empty() => {
                self.own_name.clone()
            }
            _ => folder.to_owned(),
        };
        self.add(Source::TrainerState, &relative, file)
    }

    /// W&B logs with one run id are one run, wherever they are: a resumed run has a log for each start.
    fn add_wandb(&mut self, file: SourceFile) -> usize {
        let head = wandb::peek(&file.path);
        if let Some(start) = head.start_time_ms {
            self.wandb_starts.insert(file.path.clone(), start);
        }
        let known = head.id.as_ref().and_then(|id| self.wandb.get(id)).copied();
        if let Some((at, group)) = known.and_then(|at| Some((at, self.groups.get_mut(at)?))) {
            group.files.push(file);
            return at;
        }
        if let Some(id) = head.id {
            self.wandb.insert(id, self.groups.len());
        }
        let relative = file.relative.clone();
        self.add(Source::WandB, &relative, file)
    }

    /// Adds a group of one file; gives its place.
    fn add(&mut self, source: Source, relative: &str, file: SourceFile) -> usize {
        let named = BTreeSet::from([self.named]);
        self.groups.push(Group { source, relative: relative.to_owned(), files: vec![file], named });
        self.groups.len() - 1
    }
}

/// A folder's content.
#[derive(Default)]
struct Entries {
    names: Vec<String>,
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    /// Links, which are not followed.
    links: Vec<PathBuf>,
}
