//! Which run or experiment an argument names.
//!
//! The first of these that fits counts:
//! 1. the exact id,
//! 2. the exact name,
//! 3. of runs only: the beginning of an id that no other run shares.
//!
//! Where several runs fit alike, none is taken, and up to [`CANDIDATES`] of them are listed. A command that changes a
//! run takes no beginning of less than [`BEGINNING_CHARS_MIN`] characters: `2` is more likely a mistyped name than an
//! id.

use std::collections::BTreeSet;

use stepwell::query::View;
use stepwell::query::{Clause, Expr, Query, TextAttribute, TextTest};
use stepwell::{Error, ExperimentId, RunId, RunSnapshot, RunState, Workspace};

use crate::failure::{Failure, Outcome};
use crate::left_out;
use crate::output::{escape, plural};
use crate::table::{Column, Table};
use crate::time::moment_or_empty;

/// Shortest beginning of an id by which a run is changed, in characters.
pub(crate) const BEGINNING_CHARS_MIN: usize = 4;
/// How many candidates an error lists.
pub(crate) const CANDIDATES: usize = 10;
/// How many names are compared with one that no run has.
const NAMES_COMPARED: usize = 10_000;

/// How help explains an argument that names a run.
pub(crate) const RULE: &str = "\
RUN is an id, a name, or the beginning of an id, looked for in this order. Where several runs fit alike, none is taken \
and the first 10 are listed. log, delete and restore take no beginning of less than 4 characters.";

/// The run that an argument names, to be read.
pub(crate) fn run(workspace: &Workspace, argument: &str) -> Outcome<RunSnapshot> {
    find(workspace, argument, 1)
}

/// The run that an argument names, to be changed.
pub(crate) fn run_to_change(workspace: &Workspace, argument: &str) -> Outcome<RunSnapshot> {
    find(workspace, argument, BEGINNING_CHARS_MIN)
}

/// The run of an exact id or an exact name, if there is one.
pub(crate) fn exact_run(workspace: &Workspace, argument: &str) -> Outcome<Option<RunSnapshot>> {
    match exact(workspace, argument)? {
        (None, Some(error)) => Err(error.into()),
        (run, _) => Ok(run),
    }
}

/// The same, and why the run of this id may be there all the same, where nothing is found.
fn exact(workspace: &Workspace, argument: &str) -> Outcome<(Option<RunSnapshot>, Option<Error>)> {
    if argument.is_empty() {
        return Err(Failure::Usage("a run is named by an empty text; is a variable of the script unset?".into()));
    }
    let mut unread = None;
    if let Ok(id) = RunId::new(argument) {
        match workspace.find_run(&id) {
            Ok(Some(run)) => return Ok((Some(run), None)),
            Ok(None) => {}
            // A run of this name may be read all the same.
            Err(error) if error.is_of_one_file() => unread = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    let test = Clause::Text(TextAttribute::RunName, TextTest::Equal(argument.to_owned()));
    let list = workspace.search(&Query {
        filter: Some(Expr::Clause(test)),
        view: View::All,
        max_results: CANDIDATES,
        ..Query::default()
    })?;
    let ids: Vec<RunId> = list.rows()?.into_iter().map(|row| row.run_id).collect();
    match &ids[..] {
        [] => Ok((None, unread)),
        [only] if list.total == 1 => Ok((Some(workspace.run(only)?), None)),
        some => {
            Err(ambiguous(workspace, &format!("{argument:?} is the name of {} runs", list.total), some, list.total))
        }
    }
}

fn find(workspace: &Workspace, argument: &str, chars_min: usize) -> Outcome<RunSnapshot> {
    let (run, unread) = exact(workspace, argument)?;
    if let Some(run) = run {
        return Ok(run);
    }
    let mut ids = workspace.run_ids()?;
    ids.retain(|id| id.as_str().starts_with(argument));
    ids.sort();
    match &ids[..] {
        [] => Err(unread.map_or_else(|| unknown(workspace, argument), Failure::from)),
        [only] if argument.chars().count() >= chars_min => Ok(workspace.run(only)?),
        [only] => Err(Failure::hinted(
            format!(
                "no run has the id or the name {argument:?}, and as the beginning of an id it is too short to change a \
                 run"
            ),
            format!("if you mean {only}, give at least {chars_min} characters of it"),
        )),
        some => {
            let shown = &some[..some.len().min(CANDIDATES)];
            Err(ambiguous(workspace, &format!("{argument:?} begins the ids of {} runs", some.len()), shown, some.len()))
        }
    }
}

/// The error that several runs match, with the first of them.
fn ambiguous(workspace: &Workspace, what: &str, some: &[RunId], many: usize) -> Failure {
    let columns = ["id", "name", "experiment", "started"].map(Column::whole).into();
    let mut table = Table::new(columns, None, false);
    for id in some {
        // One that cannot be read is still a candidate.
        match workspace.run(id) {
            Ok(run) => table.add_row(candidate(workspace, run.state())),
            Err(error) => table.add_row([id.to_string(), escape(&error.to_string()), String::new(), String::new()]),
        }
    }
    let mut message = format!("{what}:\n{table}");
    if some.len() < many {
        message += &format!("\n… and {} more", many - some.len());
    }
    Failure::hinted(message, "name one by its id")
}

fn candidate(workspace: &Workspace, run: &RunState) -> [String; 4] {
    let experiment = match workspace.experiments().get(run.experiment) {
        Ok(known) => known.name,
        Err(_) => run.experiment_name.clone(),
    };
    let deleted = if workspace.counts_as_deleted(run).unwrap_or(run.deleted()) { " (deleted)" } else { "" };
    let started = moment_or_empty(run.start_time_ms());
    [run.id.to_string(), escape(run.name()), escape(&experiment), format!("{started}{deleted}")]
}

fn unknown(workspace: &Workspace, argument: &str) -> Failure {
    let everything = Query { view: View::All, max_results: NAMES_COMPARED, ..Query::default() };
    let (names, unreadable): (BTreeSet<String>, Vec<String>) = match workspace.search(&everything) {
        Ok(list) => {
            let names = list.rows().unwrap_or_default().into_iter().map(|row| row.name.to_owned()).collect();
            (names, list.unreadable.clone())
        }
        Err(error) => (BTreeSet::new(), vec![error.to_string()]),
    };
    left_out::tell(&unreadable);
    let names = names.iter().map(String::as_str);
    if !unreadable.is_empty() {
        let places = plural(unreadable.len() as u64, "file or place", "files or places");
        return Failure::hinted(
            format!(
                "no run {argument:?} in what can be read; it may be in the {places} named above that cannot be read"
            ),
            hint(
                argument,
                names,
                "`stepwell verify` says what is damaged, and `stepwell repair` saves what can be saved",
            ),
        );
    }
    Failure::hinted(
        format!("no run {argument:?}"),
        hint(argument, names, "`stepwell runs --all` lists ids and names; the beginning of an id is enough"),
    )
}

/// The experiment of an id or a name, deleted ones too.
pub(crate) fn experiment(workspace: &Workspace, argument: &str) -> Outcome<ExperimentId> {
    if let Some(id) = exact_experiment(workspace, argument)? {
        return Ok(id);
    }
    let experiments = workspace.experiments().list()?;
    let names = experiments.iter().map(|known| known.name.as_str());
    Err(Failure::hinted(
        format!("no experiment {argument:?}"),
        hint(argument, names, "`stepwell experiments --all` lists them"),
    ))
}

/// The active experiment of an id or a name; where there is none, one of this name is created.
pub(crate) fn experiment_or_create(workspace: &Workspace, argument: &str) -> Outcome<ExperimentId> {
    match exact_experiment(workspace, argument)? {
        Some(id) => Ok(workspace.experiments().get_or_create(&workspace.experiments().get(id)?.name)?),
        None => Ok(workspace.experiments().get_or_create(argument)?),
    }
}

fn exact_experiment(workspace: &Workspace, argument: &str) -> Outcome<Option<ExperimentId>> {
    if let Ok(id) = argument.parse::<ExperimentId>()
        && let Ok(known) = workspace.experiments().get(id)
    {
        return Ok(Some(known.id));
    }
    Ok(workspace.experiments().by_name(argument)?.map(|known| known.id))
}

/// The name most like the one that was asked for, if one is.
pub(crate) fn closest<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &str| strsim::jaro_winkler(&asked.to_lowercase(), &name.to_lowercase());
    let best = names.map(|name| (likeness(name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.8).map(|(_, name)| name)
}

/// A hint with the closest name, if one is close; `otherwise` in any case.
pub(crate) fn hint<'a>(asked: &str, names: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    match closest(asked, names) {
        Some(name) => format!("did you mean {name:?}? {otherwise}"),
        None => otherwise.to_owned(),
    }
}
