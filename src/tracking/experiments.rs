//! Experiments: creating, finding, renaming, deleting, and their tags.

use std::cmp::Ordering;

use crate::error::Error;
use crate::search::ast::{NumberTest, TextTest};
use crate::search::conditions::{Condition, Operator, TEXTS, parse_conditions, parse_sorting};
use crate::tracking::entities::{Experiment, LifecycleStage, PageOf, ViewType};
use crate::tracking::error::{Code, Fault, Result};
use crate::tracking::store::Tracking;
use crate::tracking::validate::{self, RESULTS_MAX};
use crate::tracking::words::{Language, tell};
use crate::workspace::catalog;

/// An experiment to be created.
#[derive(Clone, Debug, Default)]
pub struct NewExperiment {
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
    pub view: ViewType,
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
        Self { view: ViewType::ActiveOnly, max_results: 1000, filter: String::new(), order_by: Vec::new(), offset: 0 }
    }
}

impl Tracking {
    /// Creates an experiment with its tags and location in one step, and gives its number. Costs some syncs.
    ///
    /// # Errors
    /// `RESOURCE_ALREADY_EXISTS` for a name that is taken, also by a deleted one; `INVALID_PARAMETER_VALUE`.
    pub fn create_experiment(&self, new: &NewExperiment) -> Result<String> {
        validate::check_experiment_name(&new.name)?;
        let location = new.artifact_location.as_deref().unwrap_or("");
        validate::check_artifact_location(location)?;
        for (key, value) in &new.tags {
            validate::check_experiment_tag(key, value)?;
        }
        let created = self.inner.workspace.create_experiment_with(catalog::NewExperiment {
            id: None,
            name: new.name.clone(),
            artifact_location: location.to_owned(),
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
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for an id that is no number.
    pub fn get_experiment(&self, experiment_id: &str) -> Result<Experiment> {
        Ok(self.shown(&self.experiment(experiment_id)?))
    }

    /// The experiment of a name, deleted or not.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub fn get_experiment_by_name(&self, name: &str) -> Result<Experiment> {
        match self.inner.workspace.experiment_by_name(name)? {
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
        let done = self.acting.delete_experiment(id);
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
        let done = self.acting.restore_experiment(id);
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
        self.inner.workspace.rename_experiment(id, name).map_err(|error| match error {
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
        Ok(self.inner.workspace.set_experiment_tag(experiment.id, key, Some(value))?)
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
        Ok(self.inner.workspace.set_experiment_tag(experiment.id, key, None)?)
    }

    /// Finds experiments: latest created first, then by number, unless another order is asked for.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub fn search_experiments(&self, search: &ExperimentSearch) -> Result<PageOf<Experiment>> {
        let max = validate::max_results(search.max_results, RESULTS_MAX)?;
        let told = |fault: Fault| tell(Language::Experiments, &search.filter, &search.order_by, fault);
        let tests = tests(&search.filter).map_err(told)?;
        let order = order(&search.order_by).map_err(told)?;
        let mut found = self.inner.workspace.experiments()?;
        found.retain(|experiment| {
            let stage = match search.view {
                ViewType::ActiveOnly => !experiment.deleted,
                ViewType::DeletedOnly => experiment.deleted,
                ViewType::All => true,
            };
            stage && tests.iter().all(|test| test.passes(experiment))
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

    pub(super) fn experiment(&self, experiment_id: &str) -> Result<catalog::Experiment> {
        let id = validate::experiment_id(experiment_id)?;
        self.inner.workspace.experiment(id).map_err(|error| no_experiment(error, &id.to_string()))
    }

    pub(super) fn active_experiment(&self, experiment_id: &str) -> Result<catalog::Experiment> {
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

/// A condition on an experiment.
enum Test {
    Name(TextTest),
    Id(TextTest),
    Created(NumberTest),
    Updated(NumberTest),
    Tag(String, TextTest),
}

/// The tests of a filter.
fn tests(filter: &str) -> Result<Vec<Test>> {
    parse_conditions(filter)?.iter().map(Test::new).collect()
}

impl Test {
    fn new(condition: &Condition) -> Result<Self> {
        use crate::search::ast::Comparison::{Equal, NotEqual};
        match (condition.entity.as_deref(), condition.key.as_str()) {
            (Some("tag" | "tags"), key) => {
                let allowed = [&TEXTS[..], &[Operator::Null, Operator::NotNull]].concat();
                Ok(Self::Tag(key.to_owned(), condition.text(&allowed)?))
            }
            (None | Some("attribute" | "attributes"), "name") => Ok(Self::Name(condition.text(&TEXTS)?)),
            (None | Some("attribute" | "attributes"), "experiment_id") => {
                let allowed = [Operator::Is(Equal), Operator::Is(NotEqual), Operator::In, Operator::NotIn];
                let test = condition.text(&allowed)?;
                let ids = match &test {
                    TextTest::Equal(id) | TextTest::NotEqual(id) => std::slice::from_ref(id),
                    TextTest::In(ids) | TextTest::NotIn(ids) => ids,
                    _ => &[],
                };
                match ids.iter().find(|id| id.trim().parse::<i128>().is_err()) {
                    Some(id) => Err(Fault::invalid(format!(
                        "Invalid experiment ID '{id}'. Experiment ID must be a valid integer."
                    ))),
                    None => Ok(Self::Id(test)),
                }
            }
            (None | Some("attribute" | "attributes"), "creation_time") => Ok(Self::Created(condition.integer(false)?)),
            (None | Some("attribute" | "attributes"), "last_update_time") => {
                Ok(Self::Updated(condition.integer(false)?))
            }
            (None | Some("attribute" | "attributes"), key) => {
                let why = format!("{key:?} is none of name, experiment_id, creation_time, last_update_time");
                Err(condition.wrong(why).into())
            }
            (Some(entity), _) => {
                let why = format!("{entity:?} is none of attribute, tag, tags");
                Err(condition.wrong(why).into())
            }
        }
    }

    fn passes(&self, experiment: &catalog::Experiment) -> bool {
        match self {
            Self::Name(test) => test.passes(&experiment.name),
            Self::Id(test) => test.passes(&experiment.id.to_string()),
            Self::Created(test) => test.passes(experiment.created_ms),
            Self::Updated(test) => test.passes(experiment.updated_ms),
            Self::Tag(key, test) => test.passes_optional(experiment.tags.get(key).map(String::as_str)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
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

/// The whole order: what was asked for, or latest created first; numbers decide at the end, in an order of one's own
/// the greatest first (MLflow's rule).
fn order(clauses: &[String]) -> Result<Vec<(Key, bool)>> {
    let mut order: Vec<(Key, bool)> = Vec::new();
    for clause in parse_sorting(clauses)? {
        let key = match (clause.entity.as_deref(), clause.key.as_str()) {
            (None | Some("attribute" | "attributes"), "name") => Key::Name,
            (None | Some("attribute" | "attributes"), "experiment_id") => Key::Id,
            (None | Some("attribute" | "attributes"), "creation_time") => Key::Created,
            (None | Some("attribute" | "attributes"), "last_update_time") => Key::Updated,
            (_, key) => {
                let why = format!("{key:?} is none of name, experiment_id, creation_time, last_update_time");
                return Err(Error::invalid("order_by", why).into());
            }
        };
        order.push((key, clause.descending));
    }
    if order.is_empty() {
        order.push((Key::Created, true));
        order.push((Key::Id, false));
    } else if !order.iter().any(|(key, _)| *key == Key::Id) {
        order.push((Key::Id, true));
    }
    Ok(order)
}
