//! What a route requires of its caller, and which objects a call names. The server decides whether the caller has it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::call::Input;
use crate::fault::Fault;
use crate::json::document;

/// What a caller may do; each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read everything within its scope.
    Read,
    /// Log, edit and register as well.
    Write,
    /// Delete as well.
    Admin,
}

/// What a route asks of the caller. A route cannot be written without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// Nothing: the answer holds no data of the workspace.
    Nobody,
    /// A token of this role or a higher one.
    Role(Role),
}

impl Need {
    /// Whether routes with this requirement change nothing.
    #[must_use]
    pub fn is_to_read(self) -> bool {
        matches!(self, Self::Nobody | Self::Role(Role::Read))
    }
}

/// Where a route's call names the objects that it reaches, for tokens that are for some experiments only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// It reaches no experiment's data.
    None,
    /// It may reach anything: only tokens for the whole workspace.
    Whole,
    /// `experiment_id`.
    Experiment,
    /// `experiment_ids`, each of them.
    Experiments,
    /// `run_id` or `run_uuid`.
    Run,
    /// `run_ids` or `run_id`, each of them.
    Runs,
    /// The first segment of the artifact's path, which is an experiment's id.
    Artifact,
    /// `experiment_name`.
    ExperimentName,
    /// `model_id` of a logged model.
    Model,
    /// The objects that the operation names in its own language; it checks each against the scope itself.
    Operation,
}

/// An object that a call names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// An experiment by its id.
    Experiment(String),
    /// An experiment by its name.
    Named(String),
    /// A run by its id.
    Run(String),
    /// A logged model by its id.
    Model(String),
}

impl Reach {
    /// The objects that a call names, in both spellings and both places in which an operation may look for them. If the
    /// guard sees more than the operation uses, at worst it refuses a harmless call.
    ///
    /// # Errors
    /// 400 for a body that is no JSON object.
    pub fn objects(self, input: &Input, body: &[u8]) -> Result<Vec<Object>, Fault> {
        Ok(objects(self, &document::object(body)?, &input.query, &input.path))
    }
}

fn objects(
    reach: Reach,
    body: &Map<String, Value>,
    query: &[(String, String)],
    path: &[(String, String)],
) -> Vec<Object> {
    let named = |names: &[&str]| {
        let mut found = Vec::new();
        for name in names {
            match body.get(*name) {
                Some(Value::Array(items)) => found.extend(items.iter().map(as_id)),
                Some(Value::Null) | None => {}
                Some(value) => found.push(as_id(value)),
            }
            found.extend(query.iter().chain(path).filter(|(known, _)| known == name).map(|(_, value)| value.clone()));
        }
        found
    };
    let mut found: Vec<Object> = match reach {
        Reach::None | Reach::Whole | Reach::Operation => Vec::new(),
        Reach::ExperimentName => named(&["experiment_name", "experimentName"]).into_iter().map(Object::Named).collect(),
        Reach::Model => named(&["model_id", "modelId"]).into_iter().map(Object::Model).collect(),
        Reach::Experiment => named(&["experiment_id", "experimentId"]).into_iter().map(Object::Experiment).collect(),
        Reach::Experiments => named(&["experiment_ids", "experimentIds"]).into_iter().map(Object::Experiment).collect(),
        Reach::Run => named(&["run_id", "runId", "run_uuid", "runUuid"]).into_iter().map(Object::Run).collect(),
        Reach::Runs => named(&["run_ids", "runIds", "run_id", "runId"]).into_iter().map(Object::Run).collect(),
        Reach::Artifact => named(&["path", "artifact_path"])
            .into_iter()
            .map(|path| Object::Experiment(path.split('/').next().unwrap_or_default().to_owned()))
            .collect(),
    };
    // Whatever else it is about, the other objects that it names are reached too: a metric's model, a model's run.
    for (name, value) in body {
        mentioned(name, value, &mut found);
    }
    found
}

/// The objects that a value of a request names, however deep.
pub(crate) fn mentioned(name: &str, value: &Value, to: &mut Vec<Object>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| mentioned(name, value, to)),
        Value::Array(items) => items.iter().for_each(|item| mentioned(name, item, to)),
        Value::Null => {}
        // An empty id names nothing to any operation.
        Value::String(id) if id.is_empty() => {}
        id => match name {
            "experiment_id" | "experimentId" | "experiment_ids" | "experimentIds" => {
                to.push(Object::Experiment(as_id(id)));
            }
            "run_id" | "runId" | "run_uuid" | "runUuid" | "run_ids" | "runIds" | "source_run_id" | "sourceRunId" => {
                to.push(Object::Run(as_id(id)));
            }
            "model_id" | "modelId" => to.push(Object::Model(as_id(id))),
            _ => {}
        },
    }
}

/// An id as text; numbers are taken for ids by some clients.
fn as_id(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
