//! Access: who calls, whether it may use a route, and whether the objects that a call names are within its scope.

use stepwell_wire::routes::{Need, Object, Reach, Role};
use stepwell_wire::{Code, Fault};

use super::tokens::Token;
use crate::auth::authenticator::Caller;

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
    /// The holder of a token. If it lasts longer than an hour, its id is known.
    Holder { name: String, role: Role, experiments: Vec<String>, long_lived_id: Option<String> },
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

    /// A caller whom a program's own authenticator knows.
    pub(crate) fn caller(caller: Caller) -> Self {
        let Caller { name, role, experiments } = caller;
        Self { kind: Kind::Holder { name, role, experiments, long_lived_id: None } }
    }

    /// The holder of a token of an hour that was made from this one.
    pub(crate) fn token(token: &Token) -> Self {
        let Token { name, role, experiments, .. } = token.clone();
        Self { kind: Kind::Holder { name, role, experiments, long_lived_id: None } }
    }

    /// The holder of this token itself.
    pub(crate) fn long_lived(token: &Token) -> Self {
        let Token { id, name, role, experiments, .. } = token.clone();
        Self { kind: Kind::Holder { name, role, experiments, long_lived_id: Some(id) } }
    }

    /// The id of the token that the caller holds, if tokens of an hour may be made from it.
    pub(crate) fn long_lived_id(&self) -> Option<&str> {
        match &self.kind {
            Kind::Holder { long_lived_id, .. } => long_lived_id.as_deref(),
            _ => None,
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

    /// Whether all objects of a call are within the caller's scope. An object that does not exist is refused with the
    /// same message.
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

#[cfg(test)]
mod tests {
    use stepwell_wire::Input;

    use super::*;

    fn holder(experiments: &[&str]) -> Principal {
        let experiments = experiments.iter().map(|&id| id.to_owned()).collect();
        Principal { kind: Kind::Holder { name: "t".into(), role: Role::Write, experiments, long_lived_id: None } }
    }

    #[test]
    fn a_scope_holds_for_every_object_that_is_named() {
        let of = |object: &Object| {
            let mine = [Object::Run("r1".into()), Object::Model("m1".into()), Object::Named("one".into())];
            mine.contains(object).then(|| "1".to_owned())
        };
        let try_ = |reach: Reach, text: &str| {
            let named = reach.objects(&Input::default(), text.as_bytes()).unwrap();
            holder(&["1"]).may_reach(&named, of).is_ok()
        };
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
