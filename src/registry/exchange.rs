//! Bringing the registered models of another workspace into this one.
//!
//! A version's number is given out once, so two workspaces that both went on with a model cannot be merged: such a model
//! stays as it is here, and is named. One of which the source has all that is here, and more, is taken as the source has it.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::registry::rules::{Change, Model, Version};
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
                    Some(own) if has_all(own, model) => {}
                    Some(own) if has_all(model, own) => {
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

/// Whether one copy of a model has all that the other says: the versions that it knows are there or were deleted since, and
/// every alias and tag has the same value. Aliases and tags carry no time, so those that differ cannot be told old from new.
fn has_all(larger: &Model, smaller: &Model) -> bool {
    let is_known = |(number, version): (&u64, &Version)| match larger.versions.get(number) {
        Some(own) => {
            let same = (own.created_ms, &own.source) == (version.created_ms, &version.source);
            same && version.updated_ms <= own.updated_ms && is_within(&version.tags, &own.tags)
        }
        None => *number <= larger.last_number && larger.updated_ms > version.updated_ms,
    };
    smaller.created_ms == larger.created_ms
        && smaller.last_number <= larger.last_number
        && smaller.updated_ms <= larger.updated_ms
        && is_within(&smaller.aliases, &larger.aliases)
        && is_within(&smaller.tags, &larger.tags)
        && smaller.versions.iter().all(is_known)
}

fn is_within<V: PartialEq>(smaller: &BTreeMap<String, V>, larger: &BTreeMap<String, V>) -> bool {
    smaller.iter().all(|(key, value)| larger.get(key) == Some(value))
}
