//! What a shell offers to complete: runs, experiments and keys of the workspace that the call names.
//!
//! The shell calls this program with the words so far. A completion never fails: where the workspace cannot be read,
//! nothing is offered.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use stepwell::query::{Aggregate, MetricName};
use stepwell::query::{Query, View};
use stepwell::{KeyKind, Workspace};

use crate::find;
use crate::output::escape;

/// The variable by which a shell says that it wants completions, and which shell it is.
pub(crate) const VARIABLE: &str = "STEPWELL_COMPLETE";
/// Most candidates, the newest runs first.
const CANDIDATES: usize = 1000;

/// Completes a run.
pub(crate) fn runs() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| offer(current, run_candidates))
}

/// Completes an experiment.
pub(crate) fn experiments() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        offer(current, |workspace, current| {
            let known = workspace.experiments().list().ok()?;
            let candidates = known.into_iter().flat_map(|known| {
                let id = known.id.to_string();
                [(known.name.clone(), id.clone()), (id, known.name)]
            });
            Some(candidates.filter(|(name, _)| name.starts_with(current)).collect())
        })
    })
}

/// Completes a registered model.
pub(crate) fn models() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        offer(current, |workspace, current| {
            let names = workspace.registry().read(|registry| Ok(registry.models.keys().cloned().collect::<Vec<_>>()));
            Some(
                names
                    .ok()?
                    .into_iter()
                    .filter(|name| name.starts_with(current))
                    .map(|name| (name, String::new()))
                    .collect(),
            )
        })
    })
}

/// Completes a metric: of the runs that the call names, else of any.
pub(crate) fn metrics() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        offer(current, |workspace, current| {
            let mut keys = BTreeSet::new();
            for word in words().iter().skip(1).filter(|word| !word.starts_with('-') && !word.is_empty()) {
                if let Ok(Some(run)) = find::exact_run(workspace, word) {
                    keys.extend(run.keys().map(str::to_owned));
                }
            }
            if keys.is_empty() {
                keys = workspace.keys(KeyKind::Metric).ok()?;
            }
            Some(keys.into_iter().filter(|key| key.starts_with(current)).map(|key| (key, String::new())).collect())
        })
    })
}

/// Completes a name as columns and orders take them: `metrics.loss`, `metrics.loss.min`, `params.lr`, `tags.team`. What
/// stands before a comma stays.
pub(crate) fn names() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        offer(current, |workspace, current| {
            let (before, current) = current.rsplit_once(',').map_or(("", current), |(before, last)| (before, last));
            let mut found = Vec::new();
            for kind in KeyKind::ALL {
                for key in workspace.keys(kind).ok()? {
                    let name = format!("{}.{key}", kind.entity());
                    let of_statistics = current.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.'));
                    if kind == KeyKind::Metric && of_statistics && MetricName::unquoted(&key).literal.is_none() {
                        found.extend(Aggregate::NAMES.iter().map(|(statistic, _)| format!("{name}.{statistic}")));
                    }
                    found.push(name);
                }
            }
            found.retain(|name| name.starts_with(current));
            let whole = |name| if before.is_empty() { name } else { format!("{before},{name}") };
            Some(found.into_iter().map(|name| (whole(name), String::new())).collect())
        })
    })
}

/// The candidates of the workspace that the call names.
fn offer(
    current: &OsStr,
    find: impl Fn(&Workspace, &str) -> Option<Vec<(String, String)>>,
) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let Ok(workspace) = Workspace::open(folder(&words())) else { return Vec::new() };
    let found = find(&workspace, current).unwrap_or_default();
    let candidate = |(value, help): (String, String)| {
        let help = (!help.is_empty()).then(|| escape(&help).into());
        CompletionCandidate::new(value).help(help)
    };
    // What a shell takes apart, or takes for its own, is not offered.
    let fits = |value: &str| value.chars().all(|c| c.is_alphanumeric() || "._-/@+,".contains(c));
    found.into_iter().filter(|(value, _)| fits(value)).take(CANDIDATES).map(candidate).collect()
}

fn run_candidates(workspace: &Workspace, current: &str) -> Option<Vec<(String, String)>> {
    let filter = match current {
        "" => String::new(),
        // Only letters, digits and few signs: LIKE's own sign among them only makes it match more.
        _ => format!("run_id LIKE '{current}%' OR run_name LIKE '{current}%'"),
    };
    let query = Query { view: View::All, max_results: CANDIDATES, ..Query::filter(&filter).ok()? };
    let mut names = BTreeSet::new();
    let mut found = Vec::new();
    for run in workspace.search(&query).and_then(|found| found.summaries()).ok()? {
        let words = format!("{} {}", run.status.as_str(), run.name);
        // A name that two runs share names none.
        if !run.name.is_empty() && names.insert(run.name.clone()) {
            found.push((run.name, format!("{} {}", run.run_id, run.status.as_str())));
        }
        found.push((run.run_id.to_string(), words));
    }
    found.retain(|(value, _)| value.starts_with(current));
    Some(found)
}

/// The words of the call to be completed.
fn words() -> Vec<String> {
    let all: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    all.iter().position(|word| word == "--").map(|at| all[at + 1..].to_vec()).unwrap_or_default()
}

/// The folder of the workspace, as the call will take it.
fn folder(words: &[String]) -> PathBuf {
    for (at, word) in words.iter().enumerate() {
        let value = match word.as_str() {
            "-w" | "--workspace" => words.get(at + 1).map(String::as_str),
            _ => word
                .strip_prefix("--workspace=")
                .or_else(|| word.strip_prefix("-w").filter(|rest| !rest.is_empty() && !word.starts_with("--"))),
        };
        if let Some(value) = value {
            return value.into();
        }
    }
    std::env::var_os("STEPWELL_DIR").unwrap_or_else(|| "stepwell".into()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_that_of_the_call() {
        let folder = |words: &[&str]| folder(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        for words in
            [&["stepwell", "-w", "a", "show"][..], &["stepwell", "--workspace=a"], &["stepwell", "show", "-wa", "x"]]
        {
            assert_eq!(folder(words), PathBuf::from("a"));
        }
    }
}
