//! Pulls the registered models of another workspace, including deletions: see [`crate::registry::merge`].

use crate::error::Result;
use crate::journal::registry::{Change, Registry};
use crate::registry::merge::merge;
use crate::workspace::handle::Workspace;

/// What a pull of models did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PulledModels {
    /// New models.
    pub added: Vec<String>,
    /// Existing models with news from the source.
    pub updated: Vec<String>,
    /// Models deleted there, and now here.
    pub removed: Vec<String>,
    /// Models that could not be merged: one name for two, or one number for two versions.
    pub diverged: Vec<String>,
}

impl Workspace {
    /// Pulls the registered models of `source`, with versions, aliases, tags and deletions, atomically.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`]; then nothing was changed.
    pub fn pull_models(&self, source: &Self) -> Result<PulledModels> {
        let theirs = source.read_registry(|registry| Ok(registry.clone()))?;
        let mut done = PulledModels::default();
        if theirs == Registry::default() {
            return Ok(done);
        }
        self.change_registry(|own| {
            let merged = merge(own, &theirs);
            done = PulledModels { diverged: merged.diverged.into_iter().collect(), ..PulledModels::default() };
            if merged.registry == *own {
                return Ok(Vec::new());
            }
            let mut models = merged.registry.models;
            let is_here = |id: u128| own.models.values().any(|model| model.id == id);
            let stays = |id: u128| models.values().any(|model| model.id == id);
            done.removed = own.models.iter().filter(|(_, own)| !stays(own.id)).map(|(name, _)| name.clone()).collect();
            let unused = own.models.keys().filter(|name| !models.contains_key(*name)).cloned().collect();
            models.retain(|name, model| own.models.get(name) != Some(&*model));
            for (name, model) in &models {
                let list = if is_here(model.id) { &mut done.updated } else { &mut done.added };
                list.push(name.clone());
            }
            Ok(vec![Change::Merge { unused, models, deleted: merged.registry.deleted }])
        })?;
        Ok(done)
    }
}
