//! What every command works with: the workspace, the form of the output, and runs and experiments found by name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use stepwell::base::ids::{ExperimentId, RunId};
use stepwell::error::Error;
use stepwell::index::summary::RunSummary;
use stepwell::options::Options;
use stepwell::run::snapshot::RunSnapshot;
use stepwell::workspace::open::Workspace;
use stepwell::workspace::search::{RunQuery, ViewType};

use crate::failure::{Failure, Outcome};
use crate::left_out;

/// How many candidates an error lists.
const CANDIDATES: usize = 10;
/// Runs that one page of a search brings.
const PAGE: usize = 1000;

/// The global options.
#[derive(Debug)]
pub(crate) struct Context {
    /// The workspace's folder.
    pub(crate) dir: PathBuf,
    /// Whether the output is one JSON document.
    pub(crate) json: bool,
}

impl Context {
    /// Opens the workspace, which must exist.
    pub(crate) fn open(&self) -> Outcome<Workspace> {
        Ok(Workspace::open(&self.dir)?)
    }

    /// Opens the workspace, which must exist, though its mark be damaged.
    pub(crate) fn open_damaged(&self) -> Outcome<Workspace> {
        Ok(Workspace::open_damaged(&self.dir)?)
    }

    /// Opens the workspace, or creates it.
    pub(crate) fn open_or_create(&self, options: Options) -> Outcome<Workspace> {
        Ok(Workspace::open_or_create_with(&self.dir, options)?)
    }

    /// The workspace if there is one.
    pub(crate) fn open_if_present(&self) -> Outcome<Option<Workspace>> {
        match Workspace::open(&self.dir) {
            Ok(workspace) => Ok(Some(workspace)),
            Err(Error::NotWorkspace { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The experiment of a name or a number; deleted ones too.
pub(crate) fn experiment(workspace: &Workspace, name_or_id: &str) -> Outcome<ExperimentId> {
    if let Some(known) = workspace.experiment_by_name(name_or_id)? {
        return Ok(known.id);
    }
    if let Ok(id) = name_or_id.parse::<ExperimentId>()
        && let Ok(known) = workspace.experiment(id)
    {
        return Ok(known.id);
    }
    let experiments = workspace.experiments()?;
    let names: Vec<&str> = experiments.iter().map(|known| known.name.as_str()).collect();
    Err(Failure::hinted(
        format!("no experiment {:?}", name_or_id),
        hint(name_or_id, &names, "`stepwell experiments` lists them"),
    ))
}

/// The run that an argument names: an id, the unique beginning of an id, or the unique name of a run.
pub(crate) fn run(workspace: &Workspace, argument: &str) -> Outcome<RunSnapshot> {
    if let Ok(id) = RunId::new(argument)
        && let Some(run) = workspace.find_run(&id)?
    {
        return Ok(run);
    }
    let ids = workspace.run_ids()?;
    let beginning: Vec<&RunId> =
        ids.iter().filter(|id| !argument.is_empty() && id.as_str().starts_with(argument)).collect();
    if let [only] = beginning[..] {
        return Ok(workspace.run(only)?);
    }
    let named = named(workspace, argument)?;
    match (&named[..], beginning.is_empty()) {
        ([only], _) => Ok(workspace.run(&only.run_id)?),
        ([], true) => Err(unknown_run(workspace, argument)),
        ([], false) => {
            let some = beginning.iter().take(CANDIDATES).map(|id| id.to_string()).collect();
            Err(ambiguous(argument, "ids of", beginning.len(), some))
        }
        _ => {
            let some = named.iter().take(CANDIDATES).map(|run| run.run_id.to_string()).collect();
            Err(ambiguous(argument, "is the name of", named.len(), some))
        }
    }
}

fn ambiguous(argument: &str, how: &str, many: usize, mut some: Vec<String>) -> Failure {
    if some.len() < many {
        some.push(format!("… and {} more", many - some.len()));
    }
    let how = if how == "ids of" { "begins the ids of" } else { how };
    Failure::hinted(format!("{:?} {how} {many} runs:\n  {}", argument, some.join("\n  ")), "give more of the id")
}

/// All runs of a name.
fn named(workspace: &Workspace, name: &str) -> Outcome<Vec<RunSummary>> {
    // The filter language has no escape within quotes, so a name with both kinds is looked for one by one.
    let filter = match (name.contains('\''), name.contains('"')) {
        (false, _) => format!("attributes.run_name = '{name}'"),
        (true, false) => format!("attributes.run_name = \"{name}\""),
        (true, true) => String::new(),
    };
    let query = RunQuery { filter, view: ViewType::All, ..RunQuery::default() };
    let mut runs = Vec::new();
    search(workspace, query, usize::MAX, |run| {
        if run.name == name {
            runs.push(run);
        }
        Ok(())
    })?;
    Ok(runs)
}

fn unknown_run(workspace: &Workspace, argument: &str) -> Failure {
    let mut names = BTreeMap::new();
    let query = RunQuery { view: ViewType::All, ..RunQuery::default() };
    let looked = search(workspace, query, 10 * PAGE, |run| {
        names.insert(run.name, ());
        Ok(())
    });
    let names: Vec<&str> = match looked {
        Ok(_) => names.keys().map(String::as_str).collect(),
        Err(_) => Vec::new(),
    };
    Failure::hinted(
        format!("no run {:?}", argument),
        hint(argument, &names, "`stepwell runs --all` lists ids and names; the beginning of an id is enough"),
    )
}

/// Gives all runs of a query, page by page and at most `max`, to `take`; returns how many match altogether.
pub(crate) fn search(
    workspace: &Workspace,
    mut query: RunQuery,
    max: usize,
    mut take: impl FnMut(RunSummary) -> Outcome<()>,
) -> Outcome<usize> {
    let mut taken = 0;
    loop {
        query.max_results = (max - taken).clamp(1, PAGE);
        let page = workspace.search(&query)?;
        if query.page_token.is_none() {
            left_out::tell(&page.unreadable);
        }
        for run in page.runs {
            if taken == max {
                return Ok(page.total);
            }
            taken += 1;
            take(run)?;
        }
        match page.next_page_token {
            Some(token) if taken < max => query.page_token = Some(token),
            _ => return Ok(page.total),
        }
    }
}

/// Checks that a run has a metric.
pub(crate) fn check_metric(run: &RunSnapshot, key: &str) -> Outcome<()> {
    if run.series().contains_key(key) {
        return Ok(());
    }
    let keys: Vec<&str> = run.keys().collect();
    let lists = format!("`stepwell show {}` lists its metrics", run.id());
    let hint = match keys.len() {
        0 => "the run has no metrics".to_owned(),
        1..=CANDIDATES => {
            let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
            format!("it has {}", keys.join(", "))
        }
        _ => hint(key, &keys, &lists),
    };
    Err(Failure::hinted(format!("run {} has no metric {:?}", run.id(), key), hint))
}

/// The name most like the one that was asked for, if one is; else `otherwise`.
fn hint(asked: &str, names: &[&str], otherwise: &str) -> String {
    let likeness = |name: &str| strsim::jaro_winkler(&asked.to_lowercase(), &name.to_lowercase());
    let best = names.iter().map(|name| (likeness(name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, name)) if likeness > 0.8 => {
            format!("did you mean {name:?}? {otherwise}")
        }
        _ => otherwise.to_owned(),
    }
}
