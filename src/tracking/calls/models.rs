//! Logged models: each is kept like a run of a kind of its own, with its params, tags, and items.

use std::collections::BTreeMap;

use crate::base::ids::RunId;
use crate::base::items::{ARTIFACT_URI, LOGGED_MODEL, MODEL_FIELD, MODEL_METRIC, index_key, join, of_index_key, split};
use crate::base::limits::TAG_VALUE_CHARS_MAX;
use crate::base::summary::RunSummary;
use crate::folder::clock::now_ms;
use crate::tracking::handle::store::{Tracking, below};
use crate::tracking::language::messages::python_text;
use crate::tracking::values::entities::{LoggedModel, LoggedModelStatus, Metric, MetricRef};
use crate::tracking::values::error::{Fault, Result};
use crate::tracking::values::names;
use crate::tracking::values::validate;
use crate::workspace::write::edits::RunEdit;
use crate::workspace::write::runs::NewRun;

/// The tag by which a logged model knows its versions.
const VERSIONS_TAG: &str = "mlflow.modelVersions";

/// A logged model to be created.
#[derive(Clone, Debug, Default)]
pub struct CreateLoggedModel {
    /// Its experiment's number.
    pub experiment_id: String,
    /// Its name; a random one otherwise.
    pub name: Option<String>,
    /// What kind of model it is.
    pub model_type: Option<String>,
    /// The run that made it.
    pub source_run_id: Option<String>,
    /// Its params.
    pub params: Vec<(String, String)>,
    /// Its tags; of a key that is given twice the last counts.
    pub tags: Vec<(String, String)>,
}

impl Tracking {
    /// Creates a logged model, which is PENDING until it is finalized.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for the experiment; `INVALID_PARAMETER_VALUE` where it is deleted and for a name with
    /// `/ : . % " '`.
    pub fn create_logged_model(&self, new: &CreateLoggedModel) -> Result<LoggedModel> {
        let name = match &new.name {
            Some(name) if name.is_empty() || name.contains(['/', ':', '.', '%', '"', '\'']) => {
                let name = python_text(name);
                return Err(Fault::invalid(format!(
                    "Invalid model name ({name}) provided. Model name must be a non-empty string and cannot contain \
                     the following characters: ('/', ':', '.', '%', '\"', \"'\")"
                )));
            }
            Some(name) => name.clone(),
            None => names::random_name(),
        };
        let experiment = self.active_experiment(&new.experiment_id)?;
        let now = now_ms();
        let field = |key: &str, value: String| RunEdit::Item(MODEL_FIELD, key.to_owned(), Some(value));
        let mut edits = vec![RunEdit::Kind(LOGGED_MODEL), field("updated", now.to_string())];
        edits.extend(new.model_type.clone().map(|kind| field("type", kind)));
        edits.extend(new.source_run_id.clone().filter(|run| !run.is_empty()).map(|run| field("run", run)));
        edits.push(field("status", LoggedModelStatus::Pending.as_str().to_owned()));
        edits.extend(self.model_params(&new.params)?);
        let tags: BTreeMap<String, String> = self.model_tags(&new.tags)?.into_iter().collect();
        let run = NewRun {
            id: None,
            id_prefix: "m-",
            name,
            user: String::new(),
            start_time_ms: Some(now),
            params: Vec::new(),
            tags: tags.into_iter().collect(),
        };
        let id = self.inner.workspace.create_run_without_log(experiment.id, run, &edits)?;
        self.model(id.as_str(), true)
    }

    fn model_params(&self, params: &[(String, String)]) -> Result<Vec<RunEdit>> {
        let truncate = self.inner.options.truncate_long_values;
        let edit = |(key, value): &(String, String)| {
            let (key, value) = validate::free_param(key, value, truncate)?;
            Ok(RunEdit::Param(key, value))
        };
        params.iter().map(edit).collect()
    }

    fn model_tags(&self, tags: &[(String, String)]) -> Result<Vec<(String, String)>> {
        let truncate = self.inner.options.truncate_long_values;
        tags.iter().map(|(key, value)| validate::free_tag(key, value, truncate)).collect()
    }

    /// A logged model that is not deleted.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub fn get_logged_model(&self, model_id: &str) -> Result<LoggedModel> {
        self.model(model_id, false)
    }

    /// A logged model, deleted or not.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub fn get_any_logged_model(&self, model_id: &str) -> Result<LoggedModel> {
        self.model(model_id, true)
    }

    fn model(&self, model_id: &str, even_deleted: bool) -> Result<LoggedModel> {
        let state = self.model_run(model_id)?;
        if !even_deleted && self.inner.workspace.counts_as_deleted(state.state())? {
            return Err(no_model(model_id));
        }
        let row = state.salvage().summary()?;
        let experiment = state.state().experiment;
        let roots = self.artifact_roots(&[experiment])?;
        Ok(self.shown_model(&row, roots.get(&experiment).map(String::as_str)))
    }

    pub(crate) fn model_run(&self, model_id: &str) -> Result<crate::run::snapshot::RunSnapshot> {
        let id = RunId::new(model_id).map_err(|_| no_model(model_id))?;
        let run = self.inner.workspace.find_run(&id)?;
        run.filter(|run| run.state().kind() == LOGGED_MODEL).ok_or_else(|| no_model(model_id))
    }

    /// Says how the model ended: ready, or that its upload failed.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub fn finalize_logged_model(&self, model_id: &str, status: LoggedModelStatus) -> Result<LoggedModel> {
        self.edit_model(
            model_id,
            vec![RunEdit::Item(MODEL_FIELD, "status".to_owned(), Some(status.as_str().to_owned()))],
        )?;
        self.model(model_id, true)
    }

    /// Marks a model deleted; nothing more happens to one that is.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub fn delete_logged_model(&self, model_id: &str) -> Result<()> {
        let run = self.model_run(model_id)?;
        self.edit_model(model_id, Vec::new())?;
        Ok(self.acting.delete_run(run.id())?)
    }

    /// Sets tags of a model; of a key that is given twice the last counts.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE`.
    pub fn set_logged_model_tags(&self, model_id: &str, tags: &[(String, String)]) -> Result<()> {
        let id = self.model_run(model_id)?.id().clone();
        let tags = self.model_tags(tags)?;
        let edits: Vec<RunEdit> = tags.into_iter().map(|(key, value)| RunEdit::Tag(key, value)).collect();
        Ok(self.inner.workspace.edit_run_even_deleted(&id, &edits)?)
    }

    /// Removes a tag of a model.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for the model, and for a tag that is not there.
    pub fn delete_logged_model_tag(&self, model_id: &str, key: &str) -> Result<()> {
        let run = self.model_run(model_id)?;
        if !run.state().tags().any(|(known, _)| known == key) {
            let why = format!("No tag with key '{key}' found for model with ID '{model_id}'.");
            return Err(Fault::missing(why));
        }
        Ok(self.inner.workspace.edit_run_even_deleted(run.id(), &[RunEdit::RemoveTag(key.to_owned())])?)
    }

    /// Sets params of a model, each once.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for a param that has another value.
    pub fn log_logged_model_params(&self, model_id: &str, params: &[(String, String)]) -> Result<()> {
        let id = self.model_run(model_id)?.id().clone();
        Ok(self.inner.workspace.edit_run_even_deleted(&id, &self.model_params(params)?)?)
    }

    fn edit_model(&self, model_id: &str, mut edits: Vec<RunEdit>) -> Result<()> {
        let id = self.model_run(model_id)?.id().clone();
        edits.push(RunEdit::Item(MODEL_FIELD, "updated".to_owned(), Some(now_ms().to_string())));
        Ok(self.inner.workspace.edit_run_even_deleted(&id, &edits)?)
    }

    /// Refuses metrics of models that there are none of.
    pub(crate) fn check_models(&self, metrics: &[MetricRef<'_>]) -> Result<()> {
        let mut last = None;
        for id in metrics.iter().filter_map(|metric| metric.model_id) {
            if last != Some(id) {
                self.model_run(id)?;
                last = Some(id);
            }
        }
        Ok(())
    }

    /// Gives models the metrics that a run measured of them: of each metric, dataset and run the latest.
    pub(crate) fn note_model_metrics(&self, run: &RunId, metrics: &[MetricRef<'_>]) -> Result<()> {
        let mut by_model: BTreeMap<&str, Vec<&MetricRef<'_>>> = BTreeMap::new();
        for metric in metrics {
            if let Some(model) = metric.model_id {
                by_model.entry(model).or_default().push(metric);
            }
        }
        for (model, metrics) in by_model {
            let known = self.model_run(model)?;
            let mut latest: BTreeMap<String, (i64, i64, f64)> = BTreeMap::new();
            for metric in metrics {
                let name = metric.dataset_name.unwrap_or("");
                let digest = metric.dataset_digest.unwrap_or("");
                let key = join(&[metric.key, name, digest, run.as_str()]);
                let own = (metric.timestamp, metric.step, metric.value);
                let before = latest
                    .get(&key)
                    .copied()
                    .or_else(|| known.state().item(MODEL_METRIC, &key).and_then(entry_of))
                    .is_some_and(|before| (before.0, before.1) > (own.0, own.1));
                if !before {
                    latest.insert(key, own);
                }
            }
            let edits: Vec<RunEdit> = latest
                .into_iter()
                .map(|(key, (timestamp, step, value))| {
                    let value = join(&[format!("{:016x}", value.to_bits()), timestamp.to_string(), step.to_string()]);
                    RunEdit::Item(MODEL_METRIC, key, Some(value))
                })
                .collect();
            if !edits.is_empty() {
                self.inner.workspace.edit_run_even_deleted(known.id(), &edits)?;
            }
        }
        Ok(())
    }

    /// Adds a version to the tag by which a logged model knows in which registered models it is, a list in JSON's
    /// letters as MLflow writes it. A list that has become too long for a tag stays as it is.
    pub(crate) fn note_version(&self, model_id: &str, name: &str, number: u64) -> Result<()> {
        let entry = format!("{{\"name\": {}, \"version\": {number}}}", validate::quoted(name));
        let known = self.model(model_id, true)?.tags.remove(VERSIONS_TAG).unwrap_or_default();
        let list = match known.strip_prefix('[').and_then(|known| known.strip_suffix(']')) {
            Some(known) if known.contains(&entry) => return Ok(()),
            Some(known) if !known.trim().is_empty() => format!("[{known}, {entry}]"),
            _ => format!("[{entry}]"),
        };
        if list.chars().count() > TAG_VALUE_CHARS_MAX {
            return Ok(());
        }
        self.set_logged_model_tags(model_id, &[(VERSIONS_TAG.to_owned(), list)])
    }

    pub(crate) fn shown_model(&self, row: &RunSummary, root: Option<&str>) -> LoggedModel {
        let field = |key: &str| row.items.get(&index_key(MODEL_FIELD, key)).cloned();
        let root = match root {
            Some(root) => root.to_owned(),
            None => below(&self.inner.options.artifact_root, &row.experiment_id.to_string()),
        };
        let created = row.start_time_ms.unwrap_or(0);
        LoggedModel {
            model_id: row.run_id.to_string(),
            experiment_id: row.experiment_id.to_string(),
            name: row.name.clone(),
            creation_timestamp: created,
            last_updated_timestamp: field("updated").and_then(|time| time.parse().ok()).unwrap_or(created),
            artifact_uri: match row.items.get(&index_key(ARTIFACT_URI, "")) {
                Some(uri) => self.shown_location(uri.clone()),
                None => below(&below(&below(&root, "models"), row.run_id.as_str()), "artifacts"),
            },
            status: field("status").and_then(|status| status.parse().ok()).unwrap_or(LoggedModelStatus::Unspecified),
            model_type: field("type"),
            source_run_id: field("run").unwrap_or_default(),
            status_message: field("message"),
            tags: row.tags.clone(),
            params: row.params.clone(),
            metrics: metrics(row).collect(),
        }
    }
}

/// The metrics of a model: of each metric, dataset and run the latest.
pub(crate) fn metrics(row: &RunSummary) -> impl Iterator<Item = Metric> {
    row.items.iter().filter_map(|(key, value)| {
        let (MODEL_METRIC, key) = of_index_key(key)? else { return None };
        let fields = split(key);
        let [metric, name, digest, run] = fields[..] else { return None };
        let (timestamp, step, value) = entry_of(value)?;
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some(Metric {
            key: metric.to_owned(),
            value,
            timestamp,
            step,
            model_id: Some(row.run_id.to_string()),
            dataset_name: given(name),
            dataset_digest: given(digest),
            run_id: given(run),
        })
    })
}

fn entry_of(text: &str) -> Option<(i64, i64, f64)> {
    let fields = split(text);
    let [bits, timestamp, step] = fields[..] else { return None };
    let value = f64::from_bits(u64::from_str_radix(bits, 16).ok()?);
    Some((timestamp.parse().ok()?, step.parse().ok()?, value))
}

fn no_model(id: &str) -> Fault {
    Fault::missing(format!("Logged model with ID '{id}' not found."))
}
