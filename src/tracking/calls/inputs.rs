//! Inputs and outputs of runs: datasets and logged models, stored as items of the run.
//!
//! A dataset is identified by experiment, name and digest; its first description wins. Each run keeps the description,
//! so that copies of a run are complete. Two processes that describe a dataset differently at the same moment may both
//! be first, each for its run.
//!
//! Each item has its position within the run, so that items are listed in order of logging. Two processes that log
//! inputs of one run at the same moment may use a position twice; then the order of keys decides.

use std::collections::BTreeMap;

use crate::base::ids::ExperimentId;
use crate::base::items::{DATASET, MODEL_INPUT, MODEL_OUTPUT, dataset_tag, join, of_index_key, split};
use crate::run::state::RunState;
use crate::tracking::calls::runs::not_active;
use crate::tracking::handle::store::Tracking;
use crate::tracking::values::entities::{Dataset, DatasetInput, DatasetSummary, ModelOutput, RunInputs, RunOutputs};
use crate::tracking::values::error::{Code, Fault, Result};
use crate::tracking::values::validate::{self, check_length};
use crate::workspace::write::edits::RunEdit;

/// The tag with a dataset's context.
pub(crate) const CONTEXT_TAG: &str = "mlflow.data.context";
/// How many fields of a dataset's item describe it; the rest are tags of its use.
const DESCRIPTION_FIELDS: usize = 4;
/// Most summaries of datasets that a search gives.
const SUMMARIES_MAX: usize = 1000;

impl Tracking {
    /// Logs inputs of a run. An input that the run already has is ignored, tags included.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for what is too long and for a deleted run; `RESOURCE_DOES_NOT_EXIST`.
    pub fn log_inputs(&self, run_id: &str, datasets: &[DatasetInput], models: &[String]) -> Result<()> {
        let id = validate::strict_run_id(run_id)?;
        datasets.iter().try_for_each(check_input)?;
        let run = self.snapshot(&id)?;
        self.inner.workspace.check_active(&id).map_err(|error| not_active(error.into(), &id))?;
        // One at a time in this process, so that the first description is one.
        let mut known = self.inner.datasets.lock();
        let mut edits: BTreeMap<(u8, String), String> = BTreeMap::new();
        let before = places_taken(run.state());
        for input in datasets {
            let key = join(&[&input.dataset.name, &input.dataset.digest]);
            if run.state().item(DATASET, &key).is_some() || edits.contains_key(&(DATASET, key.clone())) {
                continue;
            }
            let of = (run.state().experiment, key.clone());
            if !known.contains_key(&of) {
                for (experiment, name, value) in self.inner.workspace.items(DATASET, &[of.0])? {
                    let description = split(&value).into_iter().take(DESCRIPTION_FIELDS).collect::<Vec<_>>();
                    known.entry((experiment, name)).or_insert_with(|| join(&description));
                }
            }
            let mut value = known.entry(of).or_insert_with(|| describe(&input.dataset)).clone();
            for (key, tag) in &input.tags {
                value.push_str(&join(&[key, tag]));
            }
            value.push_str(&join(&[(before + edits.len()).to_string()]));
            edits.insert((DATASET, key), value);
        }
        for model in models {
            if run.state().item(MODEL_INPUT, model).is_none() && !edits.contains_key(&(MODEL_INPUT, model.clone())) {
                let place = (before + edits.len()).to_string();
                edits.insert((MODEL_INPUT, model.clone()), place);
            }
        }
        if edits.is_empty() {
            return Ok(());
        }
        let edits: Vec<RunEdit> =
            edits.into_iter().map(|((kind, key), value)| RunEdit::Item(kind, key, Some(value))).collect();
        self.edit(&id, &edits)
    }

    /// Logs output models of a run.
    ///
    /// # Errors
    /// `BAD_REQUEST` for a model that the run is known to have made already (MLflow's rule); `INVALID_PARAMETER_VALUE`
    /// for a deleted run; `RESOURCE_DOES_NOT_EXIST`.
    pub fn log_outputs(&self, run_id: &str, models: &[ModelOutput]) -> Result<()> {
        let id = validate::run_id(run_id)?;
        let run = self.snapshot(&id)?;
        self.inner.workspace.check_active(&id).map_err(|error| not_active(error.into(), &id))?;
        let mut edits = Vec::with_capacity(models.len());
        let taken = places_taken(run.state());
        for (index, model) in models.iter().enumerate() {
            let before = models[..index].iter().any(|before| before.model_id == model.model_id);
            if before || run.state().item(MODEL_OUTPUT, &model.model_id).is_some() {
                let why = format!("Run {id} has the output {} already", model.model_id);
                return Err(Fault::new(Code::BadRequest, why));
            }
            let value = format!("{} {}", model.step, taken + index);
            edits.push(RunEdit::Item(MODEL_OUTPUT, model.model_id.clone(), Some(value)));
        }
        if edits.is_empty() { Ok(()) } else { self.edit(&id, &edits) }
    }

    /// The input datasets of runs of these experiments, with their contexts, without duplicates, at most 1,000.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for an id that is not a number.
    pub fn search_datasets(&self, experiment_ids: &[String]) -> Result<Vec<DatasetSummary>> {
        let ids = experiment_ids.iter().map(|id| validate::experiment_id(id)).collect::<Result<Vec<ExperimentId>>>()?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = std::collections::BTreeSet::new();
        for (experiment, key, value) in self.inner.workspace.items(DATASET, &ids)? {
            let fields = split(&key);
            if let [name, digest] = fields[..] {
                found.insert(DatasetSummary {
                    experiment_id: experiment.to_string(),
                    name: name.to_owned(),
                    digest: digest.to_owned(),
                    context: dataset_tag(&value, CONTEXT_TAG).map(str::to_owned),
                });
            }
        }
        Ok(found.into_iter().take(SUMMARIES_MAX).collect())
    }
}

fn check_input(input: &DatasetInput) -> Result<()> {
    let Dataset { name, digest, source, schema, profile, .. } = &input.dataset;
    check_length("name", name, 500)?;
    check_length("digest", digest, 36)?;
    check_length("source", source, 65_535)?;
    check_length("schema", schema.as_deref().unwrap_or(""), 1_048_575)?;
    check_length("profile", profile.as_deref().unwrap_or(""), 16_777_215)?;
    input.tags.iter().try_for_each(|(key, value)| {
        check_length("key", key, 255)?;
        check_length("value", value, 500)
    })
}

/// The description of a dataset as items keep it.
fn describe(dataset: &Dataset) -> String {
    let optional = |text: &Option<String>| text.as_ref().map_or(String::new(), |text| format!("+{text}"));
    join(&[&dataset.source_type, &dataset.source, &optional(&dataset.schema), &optional(&dataset.profile)])
}

/// How many inputs and outputs a run has, which is the place of the next.
fn places_taken(state: &RunState) -> usize {
    [DATASET, MODEL_INPUT, MODEL_OUTPUT].into_iter().map(|kind| state.items(kind).count()).sum()
}

/// The place of a dataset among the inputs of its run: the field after its tags, where there is one.
fn dataset_place(value: &str) -> Option<usize> {
    let value = split(value);
    let after = value.get(DESCRIPTION_FIELDS..)?;
    after.last().filter(|_| after.len() % 2 == 1)?.parse().ok()
}

fn dataset_input(key: &str, value: &str) -> Option<DatasetInput> {
    let (key, value) = (split(key), split(value));
    let [source_type, source, schema, profile] = *value.get(..DESCRIPTION_FIELDS)? else { return None };
    let optional = |text: &str| text.strip_prefix('+').map(str::to_owned);
    let tags = value[DESCRIPTION_FIELDS..].chunks_exact(2).map(|tag| (tag[0].to_owned(), tag[1].to_owned()));
    Some(DatasetInput {
        dataset: Dataset {
            name: (*key.first()?).to_owned(),
            digest: (*key.get(1)?).to_owned(),
            source_type: source_type.to_owned(),
            source: source.to_owned(),
            schema: optional(schema),
            profile: optional(profile),
        },
        tags: tags.collect(),
    })
}

/// Inputs and outputs of a run, from its items by kind and key.
fn of_items<'a>(items: impl Iterator<Item = (u8, &'a str, &'a str)>) -> (RunInputs, RunOutputs) {
    let (mut inputs, mut outputs) = (RunInputs::default(), RunOutputs::default());
    let mut placed: Vec<(usize, (u8, &str, &str))> = items
        .map(|(kind, key, value)| {
            let place = match kind {
                DATASET => dataset_place(value),
                MODEL_INPUT => value.parse().ok(),
                MODEL_OUTPUT => value.split_once(' ').and_then(|(_, place)| place.parse().ok()),
                _ => None,
            };
            (place.unwrap_or(usize::MAX), (kind, key, value))
        })
        .collect();
    placed.sort_by_key(|(place, _)| *place);
    for (_, (kind, key, value)) in placed {
        match kind {
            DATASET => inputs.dataset_inputs.extend(dataset_input(key, value)),
            MODEL_INPUT => inputs.model_inputs.push(key.to_owned()),
            MODEL_OUTPUT => {
                let step = value.split_once(' ').map_or(value, |(step, _)| step).parse().unwrap_or(0);
                outputs.model_outputs.push(ModelOutput { model_id: key.to_owned(), step });
            }
            _ => {}
        }
    }
    (inputs, outputs)
}

/// Inputs and outputs of a run, from its metadata.
pub(crate) fn of_state(state: &RunState) -> (RunInputs, RunOutputs) {
    let kinds = [DATASET, MODEL_INPUT, MODEL_OUTPUT];
    of_items(kinds.into_iter().flat_map(|kind| state.items(kind).map(move |(key, value)| (kind, key, value))))
}

/// Inputs and outputs of a run, from its row in an index.
pub(crate) fn of_row<'a>(items: impl Iterator<Item = (&'a str, &'a str)>) -> (RunInputs, RunOutputs) {
    of_items(items.filter_map(|(key, value)| {
        let (kind, key) = of_index_key(key)?;
        Some((kind, key, value))
    }))
}
