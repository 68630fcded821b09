//! Access: who calls, what a route needs, and whether the objects that a call names are within the caller's scope.

use crate::auth::authenticator::Caller;
use serde_json::{Map, Value};

use super::tokens::{Role, Token};
use crate::wire::fault::{Code, Fault};

/// What a route asks of the caller. A route cannot be written without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// Nothing: the answer holds no data of the workspace.
    Nobody,
    /// A token of this role or a higher one.
    Role(Role),
}

impl Need {
    /// Whether what needs no more than this changes nothing.
    pub(crate) fn is_to_read(self) -> bool {
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
    /// What the operation names in its own language; its handler holds each against the scope.
    Operation,
}

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// The server runs without authorisation: whoever reaches it may do all.
    Anyone,
    /// No valid token.
    Unknown,
    /// The holder of a token.
    Holder { name: String, role: Role, experiments: Vec<String> },
}

/// An object that a call names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// An experiment by its id.
    Experiment(String),
    /// An experiment by its name.
    Named(String),
    /// A run by its id.
    Run(String),
    /// A logged model by its id.
    Model(String),
}

impl Principal {
    /// Everyone, on a server without authorisation.
    pub(crate) fn anyone() -> Self {
        Self { kind: Kind::Anyone }
    }

    /// Somebody without a valid token.
    pub(crate) fn unknown() -> Self {
        Self { kind: Kind::Unknown }
    }

    /// Whom a program's own authenticator knows.
    pub(crate) fn caller(caller: Caller) -> Self {
        let Caller { name, role, experiments } = caller;
        Self { kind: Kind::Holder { name, role, experiments } }
    }

    /// The holder of a token.
    pub(crate) fn token(token: &Token) -> Self {
        Self {
            kind: Kind::Holder { name: token.name.clone(), role: token.role, experiments: token.experiments.clone() },
        }
    }

    /// The name of the caller's token.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Holder { name, .. } => Some(name.as_str()).filter(|name| !name.is_empty()),
            _ => None,
        }
    }

    /// The role; without authorisation all is allowed.
    #[cfg(test)]
    pub(crate) fn role(&self) -> Option<Role> {
        match self.kind {
            Kind::Anyone => Some(Role::Admin),
            Kind::Unknown => None,
            Kind::Holder { role, .. } => Some(role),
        }
    }

    /// The experiments that the caller is bound to; `None` for the whole workspace.
    pub(crate) fn scope(&self) -> Option<&[String]> {
        match &self.kind {
            Kind::Holder { experiments, .. } if !experiments.is_empty() => Some(experiments),
            _ => None,
        }
    }

    /// Whether the caller may use a route at all.
    ///
    /// # Errors
    /// 401 without a valid token, 403 with one that does not suffice.
    pub(crate) fn may_use(&self, need: Need, reach: Reach) -> Result<(), Fault> {
        let Need::Role(needed) = need else { return Ok(()) };
        match &self.kind {
            Kind::Anyone => Ok(()),
            Kind::Unknown => Err(Fault::new(
                Code::Unauthenticated,
                "A valid token is needed: set MLFLOW_TRACKING_TOKEN, or send `Authorization: Bearer TOKEN`.",
            )),
            Kind::Holder { role, .. } if *role < needed => Err(denied()),
            Kind::Holder { experiments, .. } if !experiments.is_empty() && reach == Reach::Whole => Err(denied()),
            Kind::Holder { .. } => Ok(()),
        }
    }

    /// Whether all objects of a call are within the caller's scope. What does not exist is refused in the same words.
    ///
    /// # Errors
    /// 403.
    pub(crate) fn may_reach(
        &self,
        objects: &[Object],
        experiment_of: impl Fn(&Object) -> Option<String>,
    ) -> Result<(), Fault> {
        let Some(scope) = self.scope() else { return Ok(()) };
        let within = |object: &Object| match object {
            Object::Experiment(id) => scope.contains(id),
            object => experiment_of(object).is_some_and(|id| scope.contains(&id)),
        };
        if !objects.is_empty() && objects.iter().all(within) { Ok(()) } else { Err(denied()) }
    }
}

pub(crate) fn denied() -> Fault {
    Fault::new(Code::PermissionDenied, "This token does not allow that.")
}

/// The objects that a call names, by both spellings and both places in which a handler may look for them. A guard that
/// sees more than the handler uses refuses at worst what would have done no harm.
pub(crate) fn objects(
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
        // An empty id names nothing to any handler.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(experiments: &[&str]) -> Principal {
        let experiments = experiments.iter().map(|&id| id.to_owned()).collect();
        Principal { kind: Kind::Holder { name: "t".into(), role: Role::Write, experiments } }
    }

    #[test]
    fn a_scope_holds_for_every_object_that_is_named() {
        let body = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let of = |object: &Object| {
            let mine = [Object::Run("r1".into()), Object::Model("m1".into()), Object::Named("one".into())];
            mine.contains(object).then(|| "1".to_owned())
        };
        let try_ = |reach, text: &str| holder(&["1"]).may_reach(&objects(reach, &body(text), &[], &[]), of).is_ok();
        assert!(try_(Reach::Experiments, r#"{"experiment_ids":["1"]}"#));
        assert!(!try_(Reach::Experiments, r#"{"experiment_ids":["1","2"]}"#));
        assert!(!try_(Reach::Experiments, r#"{"experiment_ids":["1"],"experimentIds":["2"]}"#));
        assert!(!try_(Reach::Experiments, r#"{"experiment_ids":[]}"#));
        assert!(try_(Reach::Run, r#"{"run_id":"r1"}"#));
        assert!(!try_(Reach::Run, r#"{"run_id":"r2"}"#));
        assert!(!try_(Reach::Run, r#"{"run_id":"r1","run_uuid":"r2"}"#));
        assert!(!try_(Reach::Run, "{}"));
        assert!(try_(
            Reach::Run,
            r#"{"run_id":"r1","metrics":[{"key":"a","model_id":"m1"},{"key":"b","model_id":""}]}"#
        ));
        assert!(!try_(Reach::Run, r#"{"run_id":"r1","metrics":[{"key":"a","model_id":"m2"}]}"#));
        assert!(!try_(Reach::Run, r#"{"run_id":"r1","models":[{"modelId":"m2"}]}"#));
        assert!(try_(Reach::Experiment, r#"{"experiment_id":"1","source_run_id":"r1"}"#));
        assert!(!try_(Reach::Experiment, r#"{"experiment_id":"1","source_run_id":"r2"}"#));
        assert!(try_(Reach::Model, r#"{"model_id":"m1"}"#));
        assert!(!try_(Reach::Model, "{}"));
        assert!(try_(Reach::ExperimentName, r#"{"experiment_name":"one"}"#));
        assert!(!try_(Reach::ExperimentName, r#"{"experiment_name":"two"}"#));
        assert!(holder(&["1"]).may_use(Need::Role(Role::Read), Reach::Whole).is_err());
        assert!(holder(&[]).may_use(Need::Role(Role::Read), Reach::Whole).is_ok());
        assert!(holder(&[]).may_use(Need::Role(Role::Admin), Reach::Whole).is_err());
    }
}
