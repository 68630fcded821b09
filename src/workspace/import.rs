//! Taking in runs that something else logged: whole, straight into packs, and as often as one likes.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::base::ids::{ExperimentId, RunId, RunKey, WriterId};
use crate::base::items::RUN;
use crate::base::limits::{
    ITEM_CHARS_MAX, ITEM_KEY_CHARS_MAX, PARAM_VALUE_CHARS_MAX, RUN_NAME_CHARS_MAX, TAG_VALUE_CHARS_MAX, check_chars,
    check_key,
};
use crate::base::point::{Columns, Point};
use crate::base::stats::RunStatus;
use crate::error::{Error, Result};
use crate::log::record::{Attribute, Record};
use crate::run::gather::gather;
use crate::run::image::SeriesPart;
use crate::run::snapshot::{RunPart, RunSnapshot, part_len, read_part};
use crate::run::state::{Coverage, RunState};
use crate::workspace::manifest::covers;
use crate::workspace::open::Workspace;
use crate::workspace::packs::PackSet;

/// Points that wait in memory before a pack is written.
const POINTS_PENDING: u64 = 4 << 20;
/// Runs that wait in memory before a pack is written.
const RUNS_PENDING: usize = 16 << 10;

/// A run as a source has it.
#[derive(Clone, Debug)]
pub struct RunImport {
    /// Its id: the source's own, or one derived from the source's name.
    pub id: RunId,
    /// Its experiment, which exists.
    pub experiment: ExperimentId,
    /// Its name; may be empty.
    pub name: String,
    /// Who ran it; may be empty.
    pub user: String,
    /// Where it stands.
    pub status: RunStatus,
    /// Milliseconds since the epoch.
    pub start_time_ms: Option<i64>,
    /// Milliseconds since the epoch.
    pub end_time_ms: Option<i64>,
    /// When it was deleted, if it was: milliseconds since the epoch.
    pub deleted_ms: Option<i64>,
    /// Params.
    pub params: Vec<(String, String)>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// What is attached, by kind and key: see [`crate::base::items`].
    pub items: Vec<(u8, String, String)>,
    /// What the run stands for: [`crate::base::items::RUN`] for a plain run.
    pub kind: u8,
    /// Metrics, each key once, with its points in the source's order.
    pub series: Vec<(String, Columns)>,
    /// Which part of the run this is: a resumed run leaves a log for each of its starts, and they may come in any order. Empty for
    /// a run that is one piece.
    pub part: String,
    /// Whether words that the run has already stay as they are: name, user, status, end, tags and items.
    pub keep_words: bool,
}

impl RunImport {
    /// A run of which nothing but its id and experiment is known.
    #[must_use]
    pub fn new(id: RunId, experiment: ExperimentId) -> Self {
        Self {
            id,
            experiment,
            name: String::new(),
            user: String::new(),
            status: RunStatus::Finished,
            start_time_ms: None,
            end_time_ms: None,
            deleted_ms: None,
            params: Vec::new(),
            tags: Vec::new(),
            items: Vec::new(),
            kind: RUN,
            series: Vec::new(),
            part: String::new(),
            keep_words: false,
        }
    }
}

/// A param of a source that has another value here, which stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherParam {
    /// Its key.
    pub key: String,
    /// The value here.
    pub existing: String,
    /// The source's.
    pub given: String,
}

/// What an import added to one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Whether the run is new here.
    pub run: bool,
    /// Series that got points.
    pub series: u64,
    /// Points.
    pub points: u64,
    /// Params that were not taken, as they are write-once.
    pub other_params: Vec<OtherParam>,
}

/// Takes in runs, a batch of some thousand at a time. What it was given is stored for good when [`Self::finish`] returned; a
/// part may be before. What others log to a run after its batch began is merged like anything else that is said at once.
#[derive(Debug)]
pub struct Importer {
    workspace: Workspace,
    pending: Vec<RunSnapshot>,
    by_id: FxHashSet<RunId>,
    points: u64,
    known: Option<Known>,
}

/// What was known when a batch began, so that a run that is new costs no listing of folders.
#[derive(Debug)]
struct Known {
    /// Runs that logs speak of.
    logged: FxHashSet<RunKey>,
    packs: PackSet,
    /// Whether something cannot be read that may speak of any run.
    unclear: bool,
    /// Names and generations of experiments that were asked for.
    experiments: FxHashMap<ExperimentId, (String, u64)>,
}

impl Known {
    fn of(workspace: &Workspace) -> Result<Self> {
        // Logs before packs, as always.
        let (names, unlisted) = workspace.all_log_names()?;
        let mut logged: FxHashSet<RunKey> = names.iter().filter_map(|name| name.run()).collect();
        let (edits, unreadable) = workspace.edit_images()?;
        logged.extend(edits.iter().flat_map(|image| image.runs()).map(RunId::key));
        let packs = workspace.refresh()?;
        packs.check()?;
        let unclear = !unlisted.is_empty() || !unreadable.is_empty() || !packs.broken().is_empty();
        Ok(Self { logged, packs, unclear, experiments: FxHashMap::default() })
    }

    /// Whether anything may be known of a run.
    fn may_have(&self, run: RunKey) -> bool {
        self.unclear || self.logged.contains(&run) || self.packs.find(run).next().is_some()
    }

    fn experiment(&mut self, workspace: &Workspace, id: ExperimentId) -> Result<(String, u64)> {
        if let Some(known) = self.experiments.get(&id) {
            return Ok(known.clone());
        }
        let experiment = workspace.experiment(id)?;
        let known = (experiment.name, experiment.generation);
        self.experiments.insert(id, known.clone());
        Ok(known)
    }
}

impl Workspace {
    /// Starts an import.
    #[must_use]
    pub fn importer(&self) -> Importer {
        let (pending, by_id) = (Vec::new(), FxHashSet::default());
        Importer { workspace: self.clone(), pending, by_id, points: 0, known: None }
    }
}

impl Importer {
    /// Takes in a run. Of a run that was imported before, only what its series gained at their ends is added, so that
    /// importing again adds nothing, nor does an older and shorter copy. A metric that was deleted for good since it was imported
    /// stays deleted. A param that has another value here stays, see [`Added::other_params`].
    ///
    /// # Errors
    /// [`Error::Invalid`] when a limit is broken, or when the source's points are not those that were imported before;
    /// [`Error::Corrupt`], [`Error::Io`]. Nothing of the run was added then.
    pub fn add(&mut self, run: RunImport) -> Result<Added> {
        check_words(&run)?;
        if self.by_id.contains(&run.id) {
            self.flush()?;
        }
        let mut at_start = match self.known.take() {
            Some(known) => known,
            None => Known::of(&self.workspace)?,
        };
        let experiment = at_start.experiment(&self.workspace, run.experiment);
        let known = if at_start.may_have(run.id.key()) { self.workspace.find_run(&run.id) } else { Ok(None) };
        self.known = Some(at_start);
        let ((experiment_name, generation), known) = (experiment?, known?);
        let writer = WriterId::derived(&run.id, &run.part);
        let mut state = RunState::new(run.id.clone(), run.experiment, experiment_name);
        let existing = known.as_ref().map(|known| known.state().clone());
        let (words, other_params) = add_words(&mut state, existing.as_ref(), writer, &run, generation);
        let own = |coverage: &&Coverage| coverage.writer == writer;
        let before = existing.as_ref().and_then(|known| known.coverage.iter().find(own).copied());
        let from = before.map_or(0, |coverage| coverage.through);

        let mut added = Added { run: known.is_none(), other_params, ..Added::default() };
        let (of_run, of_metrics) = self.workspace.deleted_for_good(&run.id);
        if covers(of_run.as_ref(), writer, 0) {
            let why = format!("{} was deleted for good here; import it under another id", run.id);
            return Err(Error::invalid("run", why));
        }
        let mut series = Vec::new();
        for (key, columns) in run.series.into_iter().filter(|(key, _)| !covers(of_metrics.get(key), writer, 0)) {
            let gained = match &known {
                Some(known) => gained(known, writer, &key, columns)?,
                None => columns,
            };
            if !gained.is_empty() {
                added.series += 1;
                added.points += gained.len() as u64;
                series.push((key, SeriesPart::Rows(std::sync::Arc::new(gained))));
            }
        }
        if !words && added.points == 0 && !added.run {
            return Ok(added);
        }
        let order =
            before.map_or_else(|| existing.map_or(1, |known| known.greatest_order() + 1), |before| before.order);
        let coverage = Coverage { order, writer, from, through: from + added.points, lost: 0 };
        state.coverage.push(coverage);
        if let Some(snapshot) = RunSnapshot::merge(vec![RunPart { state, series: vec![(coverage, series)] }]) {
            self.by_id.insert(run.id);
            self.pending.push(snapshot);
        }
        self.points += added.points;
        if self.points >= POINTS_PENDING || self.pending.len() >= RUNS_PENDING {
            self.flush()?;
        }
        Ok(added)
    }

    /// Stores everything.
    ///
    /// # Errors
    /// [`Error::Io`]; what waited is not stored then.
    pub fn finish(mut self) -> Result<()> {
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let runs = std::mem::take(&mut self.pending);
        self.by_id.clear();
        self.known = None;
        self.points = 0;
        let mut runs = runs.into_iter().map(Ok);
        self.workspace.publish_pack(|pack| gather(pack, &mut runs), &[], |_| true).map(|_| ())
    }
}

fn check_words(run: &RunImport) -> Result<()> {
    check_chars("run name", &run.name, RUN_NAME_CHARS_MAX)?;
    check_chars("user", &run.user, RUN_NAME_CHARS_MAX)?;
    for (key, value) in &run.params {
        check_key("param key", key)?;
        check_chars("param value", value, PARAM_VALUE_CHARS_MAX)?;
    }
    for (key, value) in &run.tags {
        check_key("tag key", key)?;
        check_chars("tag value", value, TAG_VALUE_CHARS_MAX)?;
    }
    for (_, key, value) in &run.items {
        check_chars("item key", key, ITEM_KEY_CHARS_MAX)?;
        check_chars("item", value, ITEM_CHARS_MAX)?;
    }
    run.series.iter().try_for_each(|(key, _)| check_key("metric key", key))
}

/// Puts the source's words into `state` as far as `existing` has not got them; says whether there were any, and which params have
/// other values here.
fn add_words(
    state: &mut RunState,
    existing: Option<&RunState>,
    writer: WriterId,
    run: &RunImport,
    generation: u64,
) -> (bool, Vec<OtherParam>) {
    let mut order = existing.map_or(0, RunState::greatest_order);
    let mut apply = |record: &dyn Fn(u64) -> Record| {
        order += 1;
        state.apply(writer, &record(order));
    };
    let attributes = [
        (!run.name.is_empty()).then(|| Attribute::Name(run.name.clone())),
        (!run.user.is_empty()).then(|| Attribute::User(run.user.clone())),
        Some(Attribute::Status(run.status)),
        run.start_time_ms.map(|time| Attribute::StartTime(Some(time))),
        run.end_time_ms.map(|time| Attribute::EndTime(Some(time))),
        run.deleted_ms.map(|time| Attribute::Deleted { at_ms: Some(time), generation }),
        (run.kind != RUN).then_some(Attribute::Kind(run.kind)),
    ];
    let (mut any, mut others) = (false, Vec::new());
    for attribute in attributes.into_iter().flatten() {
        let known = existing.and_then(|known| known.attributes[attribute.kind()].as_ref());
        let is_kept = run.keep_words && !matches!(attribute, Attribute::StartTime(_));
        if known.is_none_or(|known| known.value != attribute && !is_kept) {
            any = true;
            apply(&|order| Record::Attribute { run: 0, attribute: attribute.clone(), order });
        }
    }
    for (key, value) in &run.params {
        match existing.and_then(|known| known.param(key)) {
            Some(known) if known == value => {}
            Some(known) => {
                others.push(OtherParam { key: key.clone(), existing: known.to_owned(), given: value.clone() });
            }
            None => {
                any = true;
                apply(&|order| Record::Param { run: 0, key: key.clone(), value: value.clone(), order });
            }
        }
    }
    for (key, value) in &run.tags {
        let known = existing.and_then(|known| known.tags.get(key)).and_then(|tag| tag.value.as_ref());
        if known != Some(value) && !(known.is_some() && run.keep_words) {
            any = true;
            apply(&|order| Record::Tag { run: 0, key: key.clone(), value: Some(value.clone()), order });
        }
    }
    for (kind, key, value) in &run.items {
        let known = existing.and_then(|known| known.item(*kind, key));
        if known != Some(value) && !(known.is_some() && run.keep_words) {
            any = true;
            apply(&|order| Record::Item { run: 0, kind: *kind, key: key.clone(), value: Some(value.clone()), order });
        }
    }
    (any, others)
}

/// What a series gained since it was imported last.
fn gained(known: &RunSnapshot, writer: WriterId, key: &str, mut columns: Columns) -> Result<Columns> {
    let Some(series) = known.series().get(key) else {
        return Ok(columns);
    };
    let own = || series.parts.iter().zip(&series.writers).filter(|&(_, of)| *of == writer).map(|(part, _)| part);
    let count: usize = own().map(part_len).sum();
    // The last point that both have says whether the source begins as it did. A source may be an older copy, which is shorter.
    let Some(mut at) = count.min(columns.len()).checked_sub(1) else {
        return Ok(if count == 0 { columns } else { Columns::default() });
    };
    let given: Option<Point> = columns.get(at);
    let mut point = Columns::default();
    for part in own() {
        match at.checked_sub(part_len(part)) {
            Some(rest) => at = rest,
            None => {
                read_part(part, at..at + 1, &mut point)?;
                break;
            }
        }
    }
    if given != point.get(0) {
        let why = format!(
            "metric {key:?} of run {} was imported with {count} points, and the source no longer begins with them; \
             import it under another id",
            known.id()
        );
        return Err(Error::invalid("source", why));
    }
    let rest = (count..columns.len()).filter_map(|index| columns.get(index)).collect();
    columns.clear();
    Ok(rest)
}
