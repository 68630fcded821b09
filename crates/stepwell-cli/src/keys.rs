//! Keys that a filter, an order or a column names but no run has: they are reported, with similar keys.

use std::io::Write;

use stepwell::query::{MetricName, OrderKey};
use stepwell::{KeyKind, RunStatus, Workspace};

use crate::failure::Outcome;
use crate::find::closest;
use crate::output::escape;

/// Tells on standard error of each name that no run has, deleted runs included.
pub(crate) fn tell_unknown(workspace: &Workspace, names: &[OrderKey]) -> Outcome<()> {
    let mut told: Vec<(KeyKind, String)> = Vec::new();
    for name in names {
        let (kind, key, other) = match name {
            OrderKey::Metric(MetricName { key, literal, .. }) => (KeyKind::Metric, key, literal.as_ref()),
            OrderKey::Param(key) => (KeyKind::Param, key, None),
            OrderKey::Tag(key) => (KeyKind::Tag, key, None),
            OrderKey::Time(_) | OrderKey::Text(_) => continue,
        };
        let known = |key: &String| workspace.has_key(kind, key);
        if known(key)? || other.map(known).transpose()?.unwrap_or(false) || told.contains(&(kind, key.clone())) {
            continue;
        }
        told.push((kind, key.clone()));
        let mut text = format!("note: no run has {}", spelt(kind, key));
        if let Some(meant) = meant(workspace, kind, key)? {
            text += &format!("; did you mean {meant}?");
        }
        let _ = writeln!(std::io::stderr(), "{}", escape(&text));
    }
    Ok(())
}

/// Tells on standard error of each word that a filter compares with the status and that no run can have.
pub(crate) fn tell_unknown_statuses(words: &[String]) {
    let all = RunStatus::ALL.map(RunStatus::as_str);
    for word in words {
        let upper = word.to_uppercase();
        let meant = match closest(&upper, all.iter().copied()) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("there are {}", all.join(", ")),
        };
        let _ = writeln!(std::io::stderr(), "{}", escape(&format!("note: no status is {word:?}; {meant}")));
    }
}

/// The name that is most like a key that no run has: of the same kind, or the same key of another.
fn meant(workspace: &Workspace, kind: KeyKind, key: &str) -> Outcome<Option<String>> {
    if let Some(other) = KeyKind::ALL.into_iter().find(|&other| matches!(workspace.has_key(other, key), Ok(true))) {
        return Ok(Some(spelt(other, key)));
    }
    let known = workspace.keys(kind)?;
    Ok(closest(key, known.iter().map(String::as_str)).map(|key| spelt(kind, key)))
}

/// A key as filters and orders name it.
pub(crate) fn spelt(kind: KeyKind, key: &str) -> String {
    let plain = key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    // Quotes say that the whole is the key, though it ends in the name of a statistic.
    let is_statistic = kind == KeyKind::Metric && MetricName::unquoted(key).literal.is_some();
    match (plain && !is_statistic, key.contains('`')) {
        (true, _) => format!("{}.{key}", kind.entity()),
        (false, false) => format!("{}.`{key}`", kind.entity()),
        (false, true) => format!("{}.\"{key}\"", kind.entity()),
    }
}
