//! Datasets and models that runs read, and models that they make.

use serde::Serialize;
use stepwell::tracking::{Dataset, DatasetInput, ModelOutput};

use super::shapes::{PAIR, pairs};
use crate::call::{Answer, Call, Outcome};
use crate::fault::Fault;
use crate::json::check::Check::{Array, Required, Text};
use crate::json::schema::{Field, Fields, Kind, int, many, one, text};

/// Most experiments whose datasets are asked for at once.
const EXPERIMENTS_MAX: usize = 20;

/// `Dataset`.
const DATASET: &[Field] =
    &[text("name"), text("digest"), text("source_type"), text("source"), text("schema"), text("profile")];
/// `DatasetInput`.
const DATASET_INPUT: &[Field] = &[many("tags", Kind::Message(PAIR)), one("dataset", Kind::Message(DATASET))];
/// `LogInputs`.
const INPUTS: &[Field] = &[
    text("run_id"),
    many("datasets", Kind::Message(DATASET_INPUT)),
    many("models", Kind::Message(&[text("model_id")])),
];
/// `LogOutputs`.
const OUTPUTS: &[Field] = &[text("run_id"), many("models", Kind::Message(&[text("model_id"), int("step")]))];

fn dataset_input(fields: &Fields) -> DatasetInput {
    let dataset = fields.message("dataset").unwrap_or_default();
    let optional = |name: &str| dataset.opt_text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    DatasetInput {
        dataset: Dataset {
            name: dataset.text("name").to_owned(),
            digest: dataset.text("digest").to_owned(),
            source_type: dataset.text("source_type").to_owned(),
            source: dataset.text("source").to_owned(),
            schema: optional("schema"),
            profile: optional("profile"),
        },
        tags: pairs(fields, "tags"),
    }
}

/// `POST runs/log-inputs`.
pub(crate) fn log_inputs(call: &Call<'_>) -> Outcome {
    let checks = &[("run_id", &[Required, Text][..]), ("datasets", &[Array]), ("models", &[Array])];
    let request = call.read(INPUTS, checks)?;
    let datasets: Vec<DatasetInput> = request.messages("datasets").iter().map(dataset_input).collect();
    let models: Vec<String> =
        request.messages("models").iter().map(|model| model.text("model_id").to_owned()).collect();
    call.tracking().log_inputs(request.text("run_id"), &datasets, &models)?;
    Ok(Answer::done())
}

/// `POST runs/outputs`.
pub(crate) fn log_outputs(call: &Call<'_>) -> Outcome {
    let request = call.read(OUTPUTS, &[("run_id", &[Required, Text]), ("models", &[Required, Array])])?;
    let output = |model: &Fields| ModelOutput {
        model_id: model.text("model_id").to_owned(),
        step: model.int("step").unwrap_or(0),
    };
    let models: Vec<ModelOutput> = request.messages("models").iter().map(output).collect();
    call.tracking().log_outputs(request.text("run_id"), &models)?;
    Ok(Answer::done())
}

/// A dataset of an experiment.
#[derive(Serialize)]
struct Summary {
    experiment_id: String,
    name: String,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
}

/// The datasets of some experiments.
#[derive(Serialize)]
struct Summaries {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dataset_summaries: Vec<Summary>,
}

/// `POST experiments/search-datasets`.
pub(crate) fn search(call: &Call<'_>) -> Outcome {
    let request = call.read(&[many("experiment_ids", Kind::Text)], &[])?;
    match request.texts("experiment_ids").len() {
        0 => return Err(Fault::invalid("SearchDatasets request must specify at least one experiment_id.")),
        given if given > EXPERIMENTS_MAX => {
            return Err(Fault::invalid(format!(
                "SearchDatasets request cannot specify more than {EXPERIMENTS_MAX} experiment_ids. Received {given} \
                 experiment_ids."
            )));
        }
        _ => {}
    }
    let found = call.tracking().search_datasets(&request.texts("experiment_ids"))?;
    let summary = |from: stepwell::tracking::DatasetSummary| Summary {
        experiment_id: from.experiment_id,
        name: from.name,
        digest: from.digest,
        context: from.context,
    };
    Answer::json(&Summaries { dataset_summaries: found.into_iter().map(summary).collect() })
}
