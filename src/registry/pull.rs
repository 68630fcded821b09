//! Bringing the registered models of another workspace into this one, deletions among it, as [`crate::registry::merge`]
//! says.

use crate::error::Result;
use crate::journal::registry::{Change, Registry};
use crate::registry::merge::merge;
use crate::workspace::open::Workspace;

/// What was brought in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PulledModels {
    /// Models that were not here.
    pub added: Vec<String>,
    /// Models that were here, of which the source knew more.
    pub updated: Vec<String>,
    /// Models that were deleted there, and are no longer here.
    pub removed: Vec<String>,
    /// Models of which each side keeps its own: one name for two, or one number for two versions.
    pub diverged: Vec<String>,
}

impl Workspace {
    /// Brings in the registered models of `source`, with versions, aliases, tags and deletions, all in one step.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`]; nothing was changed then.
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
                let told = if is_here(model.id) { &mut done.updated } else { &mut done.added };
                told.push(name.clone());
            }
            Ok(vec![Change::Merge { unused, models, gone: merged.registry.gone }])
        })?;
        Ok(done)
    }
}
