//! Bringing the registered models of another workspace into this one.
//!
//! A version's number is given out once, so two workspaces that both went on with a model cannot be merged: such a model
//! stays as it is here, and is named. One of which the source only has more, or newer words, is taken as the source has it.

use crate::error::Result;
use crate::registry::rules::{Change, Model};
use crate::workspace::open::Workspace;

/// What was brought in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PulledModels {
    /// Models that were not here.
    pub added: Vec<String>,
    /// Models that were here, of which the source knew more.
    pub updated: Vec<String>,
    /// Models that both went on with.
    pub diverged: Vec<String>,
}

impl Workspace {
    /// Brings in the registered models of `source`, with versions, aliases and tags, all in one step.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`]; nothing was changed then.
    pub fn pull_models(&self, source: &Self) -> Result<PulledModels> {
        let theirs = source.read_registry(|registry| Ok(registry.models.clone()))?;
        let mut done = PulledModels::default();
        if theirs.is_empty() {
            return Ok(done);
        }
        self.change_registry(|registry| {
            done = PulledModels::default();
            let mut changes = Vec::new();
            for (name, model) in &theirs {
                let create = || Change::Create { name: name.clone(), model: model.clone() };
                match registry.models.get(name) {
                    None => {
                        done.added.push(name.clone());
                        changes.push(create());
                    }
                    Some(own) if is_older(model, own) => {}
                    Some(own) if is_older(own, model) => {
                        done.updated.push(name.clone());
                        changes.push(create());
                    }
                    Some(_) => done.diverged.push(name.clone()),
                }
            }
            Ok(changes)
        })?;
        Ok(done)
    }
}

/// Whether one copy of a model is the other at an earlier time: every version that it knows is in the other too, or was
/// deleted there since, and nothing in it was changed later.
fn is_older(model: &Model, than: &Model) -> bool {
    let is_known = |(number, version): (&u64, &crate::registry::rules::Version)| match than.versions.get(number) {
        Some(later) => {
            let same = (later.created_ms, &later.source) == (version.created_ms, &version.source);
            same && version.updated_ms <= later.updated_ms
        }
        None => *number <= than.last_number && than.updated_ms > version.updated_ms,
    };
    let (own, later) = (model.last_number, than.last_number);
    model.created_ms == than.created_ms
        && own <= later
        && model.updated_ms <= than.updated_ms
        && model.versions.iter().all(is_known)
}
