//! What is told of a run, an experiment or a model that was taken, and of what it changed here.

use stepwell::RunId;
use stepwell::import::{AdoptedExperiment, ImportChanges, ParamConflict, RefusalReason, RunAdded};
use stepwell::registry::AdoptedModel;
use stepwell_import::{Counts, Kind, Taken};

use crate::output::plural;

/// How many removed keys are named.
const KEYS_SHOWN: usize = 10;

/// Why a source is not the run that it was offered as.
pub(super) fn why(refusal: &RefusalReason) -> String {
    match refusal {
        RefusalReason::Changed(why) => format!("the source is not what was imported before: {why}"),
        RefusalReason::Param(ParamConflict { key, existing, given }) => {
            format!("the source is not what was imported before: param {key:?} was {existing:?} and is {given:?}")
        }
        RefusalReason::Deleted => "the run was deleted for good here".to_owned(),
    }
}

/// Adds to the result what was taken of a run that was stored as `id`, while its source had given the run `other`
/// before.
pub(super) fn taken(
    mut done: Taken,
    what: Kind,
    counts: &Counts,
    added: &RunAdded,
    id: &RunId,
    other: Option<&(RunId, RefusalReason)>,
    dry_run: bool,
) -> Taken {
    done.taken.merge(counts);
    done.added.add(what, u64::from(added.is_new));
    // A series counts once, however many parts of a run have some of it.
    done.added.add(Kind::Series, added.series.min(counts.get(Kind::Series)));
    done.added.add(Kind::Point, added.points);
    for ParamConflict { key, existing, given } in &added.param_conflicts {
        let why = format!("param {key:?} of run {id} is {given:?} in the source and stays {existing:?} here");
        done.left_out.push((Kind::Param, 1, why + ": params are write-once"));
    }
    if added.deleted_series > 0 {
        let points = plural(added.deleted_points, "point", "points");
        let why = format!("of run {id}, with {points}: deleted for good here, and stays so");
        done.left_out.push((Kind::Series, added.deleted_series, why));
    }
    if added.stays_deleted {
        let why = "deleted here, and stays so; `stepwell restore RUN` brings it back, `stepwell runs --deleted` lists \
                   such runs";
        done.left_out.push((what, 1, why.to_owned()));
    }
    tell_changed(&mut done, &added.changed, id, dry_run);
    if added.absent_in_source > 0 {
        let behind = plural(added.absent_in_source, "point", "points");
        let note = format!("run {id} has {behind} more from an earlier import, which the source lacks; they stay");
        done.notes.push(note);
    }
    if let Some((other, refusal)) = other.filter(|_| added.is_new) {
        let way = format!("`stepwell delete {other}` drops the old one, --replace would have put it in its place");
        let would = if dry_run { "would become " } else { "" };
        done.notes.push(format!("{would}a new run {id} beside run {other}: {}; {way}", why(refusal)));
        done.changed.beside += 1;
    }
    done
}

/// Reports what changed, or would change, in a run that existed.
fn tell_changed(done: &mut Taken, changed: &ImportChanges, id: &RunId, dry_run: bool) {
    let (tags, params) = (changed.tags_removed.len() as u64, changed.params_removed.len() as u64);
    for (what, count) in [
        ("runs_renamed", u64::from(changed.name.is_some())),
        ("runs_restored", u64::from(changed.restored)),
        ("runs_marked_deleted", u64::from(changed.deleted)),
        ("run_statuses_set", u64::from(changed.status.is_some())),
        ("tags_set", changed.tags_set),
        ("tags_removed", tags),
        ("params_removed", params),
        ("points_removed", changed.points_removed),
    ] {
        done.changed.add(what, count);
    }
    let mut words = Vec::new();
    if let Some((before, now)) = &changed.name {
        words.push(format!("its name {before:?} is {now:?} now"));
    }
    if changed.restored {
        words.push("it was deleted and is there again".to_owned());
    }
    if changed.deleted {
        words.push("it is marked deleted, as in its source".to_owned());
    }
    let mut removed = |count: u64, one: &str, many: &str, keys: &[String]| {
        if count > 0 {
            let named: Vec<String> = keys.iter().take(KEYS_SHOWN).map(|key| format!("{key:?}")).collect();
            let more = if keys.len() > KEYS_SHOWN { ", …" } else { "" };
            let named = if named.is_empty() { String::new() } else { format!(" ({}{more})", named.join(", ")) };
            words.push(format!("{}{named} went", plural(count, one, many)));
        }
    };
    removed(tags, "tag", "tags", &changed.tags_removed);
    removed(params, "param", "params", &changed.params_removed);
    removed(changed.points_removed, "old point", "old points", &[]);
    if !words.is_empty() {
        let would = if dry_run { " would change" } else { "" };
        done.notes.push(format!("run {id}{would}: {}", words.join("; ")));
    }
}

/// Reports what changed in an experiment that existed.
pub(super) fn experiment_changed(done: &mut Taken, adopted: &AdoptedExperiment) {
    let (Some(before), now) = (&adopted.before, &adopted.experiment) else { return };
    if before.name != now.name {
        done.changed.add("experiments_renamed", 1);
        done.notes.push(format!("experiment {:?} is named {:?} now, as in the source", before.name, now.name));
    }
    if now.deleted && !before.deleted {
        done.changed.add("experiments_marked_deleted", 1);
        done.notes.push(format!("experiment {:?} is marked deleted, as in the source", now.name));
    }
    if before.artifact_location != now.artifact_location {
        done.changed.add("experiments_placed", 1);
        let place = &now.artifact_location;
        done.notes.push(format!("artifacts of experiment {:?} go to {place:?} now, as in the source", now.name));
    }
    let set = now.tags.iter().filter(|(key, value)| before.tags.get(*key) != Some(*value)).count() as u64;
    done.changed.add("experiment_tags_set", set);
}

/// Reports what changed in a registered model that existed.
pub(super) fn model_changed(done: &mut Taken, name: &str, adopted: &AdoptedModel) {
    let name = adopted.name_here.as_deref().unwrap_or(name);
    let versions = adopted.versions_changed.len() as u64;
    for (what, count) in [
        ("models_restored", u64::from(adopted.is_revived)),
        ("model_descriptions_set", u64::from(adopted.is_described)),
        ("model_tags_set", adopted.tags_set),
        ("aliases_moved", adopted.aliases_moved.len() as u64),
        ("model_versions_set", versions),
    ] {
        done.changed.add(what, count);
    }
    if adopted.is_revived {
        done.notes.push(format!("the registered model {name:?} was deleted here and is there again, as a new one"));
    }
    for alias in &adopted.aliases_moved {
        done.notes.push(format!("alias {alias:?} of the registered model {name:?} names another version now"));
    }
    if versions > 0 {
        let which = plural(versions, "version", "versions");
        done.notes.push(format!("{which} of the registered model {name:?} have the words of the source now"));
    }
}
