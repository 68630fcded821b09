//! Experiments: creating, finding, renaming, deleting, and their tags.

use std::cmp::Ordering;

use crate::error::Error;
use crate::journal::catalog;
use crate::search::ast::TextTest;
use crate::search::dialect::{
    Attribute, Dialect, Keys, Kind, NO_RULES, NULLABLE, NUMBERS, NameKind, Operator, Rules, TEXTS,
};
use crate::search::parser::{Field, Sorting, Test, parse_list, parse_sorting};
use crate::tracking::handle::store::Tracking;
use crate::tracking::language::messages::{Language, tell};
use crate::tracking::values::entities::{Experiment, LifecycleStage, PageOf, View};
use crate::tracking::values::error::{Code, Fault, Result};
use crate::tracking::values::validate::{self, RESULTS_MAX};

/// An experiment to be created.
#[derive(Clone, Debug, Default)]
pub struct CreateExperiment {
    /// Its name.
    pub name: String,
    /// Where its runs' artifacts go; below the facade's root otherwise.
    pub artifact_location: Option<String>,
    /// Its tags; of a key that is given twice the last counts.
    pub tags: Vec<(String, String)>,
}

/// Which experiments to find.
#[derive(Clone, Debug)]
pub struct ExperimentSearch {
    /// Which stages.
    pub view: View,
    /// Most experiments on a page, 1 to 50,000.
    pub max_results: i64,
    /// The condition; empty for none.
    pub filter: String,
    /// Clauses such as `name ASC`.
    pub order_by: Vec<String>,
    /// How many come before the page.
    pub offset: usize,
}

impl Default for ExperimentSearch {
    fn default() -> Self {
        Self { view: View::ActiveOnly, max_results: 1000, filter: String::new(), order_by: Vec::new(), offset: 0 }
    }
}

impl Tracking {
    /// Creates an experiment with its tags and location in one step, and gives its number. Costs some syncs.
    ///
    /// # Errors
    /// `RESOURCE_ALREADY_EXISTS` for a name that is taken, also by a deleted one; `INVALID_PARAMETER_VALUE`.
    pub fn create_experiment(&self, new: &CreateExperiment) -> Result<String> {
        validate::check_experiment_name(&new.name)?;
        let location = new.artifact_location.as_deref().unwrap_or("");
        validate::check_artifact_location(location)?;
        for (key, value) in &new.tags {
            validate::check_experiment_tag(key, value)?;
        }
        let created = self.inner.workspace.experiments().create_with(catalog::NewExperiment {
            id: None,
            name: new.name.clone(),
            artifact_location: self.stored_location(location),
            tags: new.tags.iter().cloned().collect(),
        });
        match created {
            Ok(id) => Ok(id.to_string()),
            Err(Error::AlreadyExists { .. }) => {
                Err(Fault::new(Code::ResourceAlreadyExists, format!("Experiment(name={}) already exists.", new.name)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// An experiment, deleted or not. The empty id is the default experiment's.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for an id that is not a number.
    pub fn get_experiment(&self, experiment_id: &str) -> Result<Experiment> {
        Ok(self.shown(&self.experiment(experiment_id)?))
    }

    /// The experiment of a name, deleted or not.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub fn get_experiment_by_name(&self, name: &str) -> Result<Experiment> {
        match self.inner.workspace.experiments().by_name(name)? {
            Some(experiment) => Ok(self.shown(&experiment)),
            None => Err(Fault::missing(format!("Could not find experiment with name '{name}'"))),
        }
    }

    /// Marks an experiment deleted, and all its runs with it.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`, also for one that is deleted already; `INVALID_PARAMETER_VALUE`.
    pub fn delete_experiment(&self, experiment_id: &str) -> Result<()> {
        let id = validate::experiment_id(experiment_id)?;
        let done = self.acting.experiments().delete(id);
        self.inner.writers.deleted();
        done.map_err(|error| no_experiment(error, &id.to_string()))
    }

    /// Restores a deleted experiment, and all its runs with it: those too that were deleted one by one before it
    /// (MLflow's rule).
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`, also for one that is not deleted; `INVALID_PARAMETER_VALUE`.
    pub fn restore_experiment(&self, experiment_id: &str) -> Result<()> {
        let id = validate::experiment_id(experiment_id)?;
        let done = self.acting.experiments().restore(id);
        self.inner.writers.deleted();
        done.map_err(|error| no_experiment(error, &id.to_string()))
    }

    /// Renames an experiment.
    ///
    /// # Errors
    /// `INVALID_STATE` for a deleted one, `BAD_REQUEST` for a name that is taken, `RESOURCE_DOES_NOT_EXIST`,
    /// `INVALID_PARAMETER_VALUE`.
    pub fn rename_experiment(&self, experiment_id: &str, name: &str) -> Result<()> {
        validate::check_experiment_name(name)?;
        let id = self.experiment(experiment_id)?.id;
        self.inner.workspace.experiments().rename(id, name).map_err(|error| match error {
            Error::Deleted { .. } => Fault::new(Code::InvalidState, "Cannot rename a non-active experiment."),
            Error::AlreadyExists { .. } => {
                Fault::new(Code::BadRequest, format!("Experiment(name={name}) already exists."))
            }
            error => error.into(),
        })
    }

    /// Sets a tag of an experiment.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a key or value that breaks a rule and for a deleted experiment;
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub fn set_experiment_tag(&self, experiment_id: &str, key: &str, value: &str) -> Result<()> {
        validate::check_experiment_tag(key, value)?;
        let experiment = self.active_experiment(experiment_id)?;
        Ok(self.inner.workspace.experiments().set_tag(experiment.id, key, Some(value))?)
    }

    /// Removes a tag of an experiment.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` where there is none; else as [`Self::set_experiment_tag`].
    pub fn delete_experiment_tag(&self, experiment_id: &str, key: &str) -> Result<()> {
        let experiment = self.active_experiment(experiment_id)?;
        if !experiment.tags.contains_key(key) {
            let why = format!("No tag with name: {key} in experiment with id {}", experiment.id);
            return Err(Fault::missing(why));
        }
        Ok(self.inner.workspace.experiments().set_tag(experiment.id, key, None)?)
    }

    /// Finds experiments: latest created first, then by number, unless another order is asked for.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub fn search_experiments(&self, search: &ExperimentSearch) -> Result<PageOf<Experiment>> {
        let max = validate::max_results(search.max_results, RESULTS_MAX)?;
        let tests = tests(&search.filter)?;
        let order = order(&search.order_by)?;
        let mut found = self.inner.workspace.experiments().list()?;
        found.retain(|experiment| {
            let stage = match search.view {
                View::ActiveOnly => !experiment.deleted,
                View::DeletedOnly => experiment.deleted,
                View::All => true,
            };
            stage && tests.iter().all(|test| passes(test, experiment))
        });
        found.sort_by(|a, b| {
            let by = |(key, descending): &(Key, bool)| {
                let ordering = key.compare(a, b);
                if *descending { ordering.reverse() } else { ordering }
            };
            order.iter().map(by).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
        });
        let page = PageOf::cut(found, search.offset, max);
        let items = page.items.iter().map(|experiment| self.shown(experiment)).collect();
        Ok(PageOf::of(items, page.next_offset))
    }

    pub(crate) fn experiment(&self, experiment_id: &str) -> Result<catalog::Experiment> {
        let id = validate::experiment_id(experiment_id)?;
        self.inner.workspace.experiments().get(id).map_err(|error| no_experiment(error, &id.to_string()))
    }

    pub(crate) fn active_experiment(&self, experiment_id: &str) -> Result<catalog::Experiment> {
        let experiment = self.experiment(experiment_id)?;
        if experiment.deleted {
            return Err(Fault::invalid(format!(
                "The experiment {} must be in the 'active' state. Current state is deleted.",
                experiment.id
            )));
        }
        Ok(experiment)
    }

    fn shown(&self, experiment: &catalog::Experiment) -> Experiment {
        Experiment {
            experiment_id: experiment.id.to_string(),
            name: experiment.name.clone(),
            artifact_location: self.artifact_location(experiment),
            lifecycle_stage: LifecycleStage::of(experiment.deleted),
            creation_time: experiment.created_ms,
            last_update_time: experiment.updated_ms,
            tags: experiment.tags.clone(),
        }
    }
}

fn no_experiment(error: Error, id: &str) -> Fault {
    match error {
        Error::NotFound { .. } | Error::Deleted { .. } => Fault::missing(format!("No Experiment with id={id} exists")),
        error => error.into(),
    }
}

/// How experiments are searched.
pub(crate) const DIALECT: Dialect<Key> = Dialect {
    of: "experiments",
    keys: &[
        Keys { entity: NameKind::Attribute, words: &["attributes", "attribute"], rules: NO_RULES, ordered: true },
        Keys { entity: NameKind::Tag, words: &["tags", "tag"], rules: Rules::text(&NULLABLE), ordered: false },
    ],
    attributes: &[
        Attribute::named(Key::Name, &["name"], Rules::text(&TEXTS)),
        Attribute::named(
            Key::Id,
            &["experiment_id"],
            Rules::text(&[TEXTS[0], TEXTS[1], Operator::In, Operator::NotIn]),
        ),
        Attribute::named(Key::Created, &["creation_time"], TIME),
        Attribute::named(Key::Updated, &["last_update_time"], TIME),
    ],
    hints: &[],
    nesting: false,
    statistics: false,
    trailing_and: true,
};
const TIME: Rules = Rules { kind: Kind::Integer { quoted: false }, operators: &NUMBERS };

/// The conditions of a filter; ids are numbers.
fn tests(filter: &str) -> Result<Vec<(Field<Key>, Test)>> {
    let tests = parse_list(&DIALECT, filter).map_err(|refusal| tell(Language::Experiments, &DIALECT, refusal))?;
    for (field, test) in &tests {
        let ids = match (field, test) {
            (Field::Attribute(Key::Id), Test::Text(TextTest::Equal(id) | TextTest::NotEqual(id))) => {
                std::slice::from_ref(id)
            }
            (Field::Attribute(Key::Id), Test::Text(TextTest::In(ids) | TextTest::NotIn(ids))) => ids,
            _ => &[],
        };
        if let Some(id) = ids.iter().find(|id| id.trim().parse::<i128>().is_err()) {
            return Err(Fault::invalid(format!(
                "Invalid experiment ID '{id}'. Experiment ID must be a valid integer."
            )));
        }
    }
    Ok(tests)
}

fn passes((field, test): &(Field<Key>, Test), experiment: &catalog::Experiment) -> bool {
    match (field, test) {
        (Field::Attribute(Key::Name), Test::Text(test)) => test.passes(&experiment.name),
        (Field::Attribute(Key::Id), Test::Text(test)) => test.passes(&experiment.id.to_string()),
        (Field::Attribute(Key::Created), Test::Number(test)) => test.passes(experiment.created_ms),
        (Field::Attribute(Key::Updated), Test::Number(test)) => test.passes(experiment.updated_ms),
        (Field::Tag(key), Test::Text(test)) => test.passes_optional(experiment.tags.get(key).map(String::as_str)),
        _ => false,
    }
}

/// An attribute of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Name,
    Id,
    Created,
    Updated,
}

impl Key {
    fn compare(self, a: &catalog::Experiment, b: &catalog::Experiment) -> Ordering {
        match self {
            Self::Name => a.name.cmp(&b.name),
            Self::Id => a.id.cmp(&b.id),
            Self::Created => a.created_ms.cmp(&b.created_ms),
            Self::Updated => a.updated_ms.cmp(&b.updated_ms),
        }
    }
}

/// The whole order: the requested one, or latest created first; ties by id, with an explicit order the greatest first
/// (MLflow's rule).
fn order(clauses: &[String]) -> Result<Vec<(Key, bool)>> {
    let mut order: Vec<(Key, bool)> = Vec::new();
    let refused = |refusal| tell(Language::Experiments, &DIALECT, refusal);
    for Sorting { field, descending } in parse_sorting(&DIALECT, clauses).map_err(refused)? {
        if let Field::Attribute(key) = field {
            order.push((key, descending));
        }
    }
    if order.is_empty() {
        order.push((Key::Created, true));
        order.push((Key::Id, false));
    } else if !order.iter().any(|(key, _)| *key == Key::Id) {
        order.push((Key::Id, true));
    }
    Ok(order)
}
