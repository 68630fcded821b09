//! Adopts experiments of another tracking store, with their ids, times, artifact locations and deletion.
//!
//! A source's experiment matches one here by id, if name or creation time agree, else by name. An unknown one keeps its
//! id if that is free. The source's name, tags and deletion are taken each time. What exists only here stays, and what
//! was deleted here is not restored.

use std::collections::BTreeMap;

use crate::base::ids::ExperimentId;
use crate::base::limits::EXPERIMENT_TAG_VALUE_CHARS_MAX;
use crate::base::limits::KEY_CHARS_MAX;
use crate::error::{Error, Result};
use crate::journal::catalog::{Catalog, Change, Experiment};
use crate::workspace::state::shared::Shared;

/// An experiment of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExperimentImport {
    /// Its id in the source, if it has one.
    pub id: Option<ExperimentId>,
    /// Its name.
    pub name: String,
    /// Milliseconds since the epoch; now if `None`.
    pub created_ms: Option<i64>,
    /// Milliseconds since the epoch.
    pub updated_ms: Option<i64>,
    /// Whether it is deleted.
    pub deleted: bool,
    /// Where the artifacts of its runs go; empty for the default. Taken only if the experiment is new here: artifacts
    /// of existing runs are found by the current location.
    pub artifact_location: String,
    /// Its tags. Tags that break a limit are left out: see [`AdoptedExperiment::tags_left_out`].
    pub tags: BTreeMap<String, String>,
}

/// The result of adopting an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedExperiment {
    /// The experiment here.
    pub experiment: Experiment,
    /// Whether it is new here.
    pub is_new: bool,
    /// Whether anything was written.
    pub is_changed: bool,
    /// The experiment as it was here; `None` if it is new.
    pub before: Option<Experiment>,
    /// Keys of tags that break a limit.
    pub tags_left_out: Vec<String>,
}

impl Shared {
    /// See [`Workspace::adopt_experiment`](crate::Workspace::adopt_experiment) and
    /// [`Workspace::preview_experiment`](crate::Workspace::preview_experiment), which is `preview`.
    pub(crate) fn adopt_experiment(
        &self,
        theirs: &ExperimentImport,
        relocate_default: bool,
        preview: bool,
    ) -> Result<AdoptedExperiment> {
        let (tags, left_out): (BTreeMap<_, _>, BTreeMap<_, _>) =
            theirs.tags.clone().into_iter().partition(|(key, value)| {
                !key.is_empty()
                    && key.chars().count() <= KEY_CHARS_MAX
                    && value.chars().count() <= EXPERIMENT_TAG_VALUE_CHARS_MAX
            });
        let theirs = ExperimentImport { tags, ..theirs.clone() };
        let now = crate::folder::clock::now_ms();
        let mut done = None;
        self.change_catalog_if(|catalog| {
            let known = known(catalog, &theirs);
            let experiment = match known {
                Some(own) => updated(catalog, own, &theirs, relocate_default),
                None => created(catalog, &theirs, now)?,
            };
            let is_changed = known != Some(&experiment);
            let (is_new, before, tags_left_out) = (known.is_none(), known.cloned(), left_out.keys().cloned().collect());
            done =
                Some(AdoptedExperiment { experiment: experiment.clone(), is_new, is_changed, before, tags_left_out });
            Ok(if is_changed && !preview { vec![Change::Create(experiment)] } else { Vec::new() })
        })?;
        done.ok_or_else(|| Error::invalid("experiment", "nothing was planned for it"))
    }
}

/// The experiment here that matches the source's.
fn known<'a>(catalog: &'a Catalog, theirs: &ExperimentImport) -> Option<&'a Experiment> {
    let by_number = theirs
        .id
        .and_then(|id| catalog.experiments.get(&id))
        .filter(|own| own.name == theirs.name || (own.created_ms != 0 && theirs.created_ms == Some(own.created_ms)));
    by_number.or_else(|| catalog.by_name(&theirs.name))
}

fn created(catalog: &Catalog, theirs: &ExperimentImport, now: i64) -> Result<Experiment> {
    catalog.check_name(&theirs.name)?;
    let free = theirs.id.filter(|id| !catalog.experiments.contains_key(id));
    let created_ms = theirs.created_ms.unwrap_or(now);
    Ok(Experiment {
        id: free.unwrap_or_else(|| catalog.free_id()),
        name: theirs.name.clone(),
        created_ms,
        updated_ms: theirs.updated_ms.unwrap_or(created_ms),
        deleted: theirs.deleted,
        generation: u64::from(theirs.deleted),
        deletion_by: String::new(),
        artifact_location: theirs.artifact_location.clone(),
        tags: theirs.tags.clone(),
        renames: 0,
        tag_changes: Default::default(),
    })
}

/// The experiment here, updated from the source.
fn updated(catalog: &Catalog, own: &Experiment, theirs: &ExperimentImport, relocate_default: bool) -> Experiment {
    let mut after = own.clone();
    if after.name != theirs.name && catalog.check_name(&theirs.name).is_ok() {
        after.name.clone_from(&theirs.name);
        after.renames = after.renames.saturating_add(1);
    }
    for (key, value) in &theirs.tags {
        if after.tags.get(key) != Some(value) {
            after.tags.insert(key.clone(), value.clone());
            let changes = after.tag_changes.entry(key.clone()).or_default();
            *changes = changes.saturating_add(1);
        }
    }
    if theirs.deleted && !after.deleted {
        after.deleted = true;
        after.generation += 1;
    }
    if relocate_default && own.id == ExperimentId::DEFAULT && own.artifact_location.is_empty() && own.created_ms == 0 {
        after.artifact_location.clone_from(&theirs.artifact_location);
        after.created_ms = theirs.created_ms.unwrap_or(0);
        after.updated_ms = theirs.updated_ms.unwrap_or(after.created_ms);
    }
    if after != *own {
        after.updated_ms = after.updated_ms.max(theirs.updated_ms.unwrap_or(0));
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::catalog::NewExperiment;
    use crate::workspace::handle::Workspace;

    fn source(id: u64, name: &str) -> ExperimentImport {
        ExperimentImport {
            id: Some(ExperimentId(id)),
            name: name.into(),
            created_ms: Some(1_000 + id as i64),
            updated_ms: Some(2_000 + id as i64),
            artifact_location: format!("s3://b/{id}"),
            tags: BTreeMap::from([("team".to_owned(), "vision".to_owned())]),
            ..ExperimentImport::default()
        }
    }

    #[test]
    fn a_new_experiment_is_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::open_or_create(dir.path()).unwrap();
        let theirs = ExperimentImport { deleted: true, ..source(7, "seven") };
        let done = workspace.adopt_experiment(&theirs, false).unwrap();
        let own = workspace.experiments().get(ExperimentId(7)).unwrap();
        assert!(done.is_new && done.is_changed);
        assert_eq!(done.experiment, own);
        assert_eq!((own.created_ms, own.updated_ms, own.deleted), (1_007, 2_007, true));
        assert_eq!((own.artifact_location.as_str(), &own.tags), ("s3://b/7", &theirs.tags));
        let again = workspace.adopt_experiment(&theirs, false).unwrap();
        assert!(!again.is_new && !again.is_changed, "{again:?}");
    }

    #[test]
    fn a_number_that_is_taken_is_not_given_twice_and_a_rename_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::open_or_create(dir.path()).unwrap();
        workspace.adopt_experiment(&source(1, "a"), false).unwrap();
        let mut other = source(1, "b");
        other.created_ms = Some(5);
        let done = workspace.adopt_experiment(&other, false).unwrap();
        assert!(done.is_new && done.experiment.id != ExperimentId(1), "{done:?}");
        assert_eq!(
            workspace.adopt_experiment(&other, false).unwrap().experiment.id,
            done.experiment.id,
            "known by its name"
        );
        let renamed = ExperimentImport { name: "c".into(), updated_ms: Some(9_000), ..source(1, "a") };
        let done = workspace.adopt_experiment(&renamed, false).unwrap();
        assert_eq!((done.experiment.id, done.experiment.name.as_str()), (ExperimentId(1), "c"));
        assert_eq!((done.experiment.updated_ms, done.is_new), (9_000, false));
    }

    #[test]
    fn what_is_only_here_stays_and_a_deletion_follows_one_way() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::open_or_create(dir.path()).unwrap();
        let own = NewExperiment { name: "x".into(), artifact_location: "file:/own".into(), ..NewExperiment::default() };
        let id = workspace.experiments().create_with(own).unwrap();
        workspace.experiments().set_tag(id, "mine", Some("1")).unwrap();
        let done = workspace.adopt_experiment(&source(3, "x"), false).unwrap();
        assert_eq!((done.experiment.id, done.experiment.artifact_location.as_str()), (id, "file:/own"));
        assert_eq!(done.experiment.tags.keys().collect::<Vec<_>>(), ["mine", "team"]);
        let gone = ExperimentImport { deleted: true, ..source(3, "x") };
        assert!(workspace.adopt_experiment(&gone, false).unwrap().experiment.deleted);
        assert!(
            workspace.adopt_experiment(&source(3, "x"), false).unwrap().experiment.deleted,
            "not restored by an import"
        );
    }

    #[test]
    fn the_default_experiment_takes_a_place_only_where_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::open_or_create(dir.path()).unwrap();
        let theirs = source(0, "Default");
        assert_eq!(workspace.adopt_experiment(&theirs, false).unwrap().experiment.artifact_location, "");
        let placed = workspace.adopt_experiment(&theirs, true).unwrap().experiment;
        assert_eq!((placed.artifact_location.as_str(), placed.created_ms), ("s3://b/0", 1_000));
        let long = ExperimentImport {
            tags: BTreeMap::from([("k".to_owned(), "x".repeat(EXPERIMENT_TAG_VALUE_CHARS_MAX + 1))]),
            ..source(8, "long")
        };
        assert_eq!(workspace.adopt_experiment(&long, false).unwrap().tags_left_out, ["k"]);
        assert!(workspace.adopt_experiment(&source(9, " "), false).is_err());
    }
}
