//! The journal of the model registry; its rules are in the layer above.

use crate::error::{Error, Result};
use crate::journal::registry::{Change, Registry};
use crate::workspace::state::shared::Shared;

impl Shared {
    /// Reads the newest state of the registry. Costs a failing open if it is unchanged.
    ///
    /// # Errors
    /// Those of `read`; [`Error::Corrupt`] if something is not found that a damaged entry may have; [`Error::Io`].
    pub(crate) fn read_registry<T>(&self, read: impl FnOnce(&Registry) -> Result<T>) -> Result<T> {
        let mut registry = self.inner.registry.lock();
        registry.refresh()?;
        match (read(registry.state()), registry.lost().next()) {
            (Err(Error::NotFound { .. }), Some(bad)) => Err(Error::corrupt(&bad.path, 0, &bad.what)),
            (answer, _) => answer,
        }
    }

    /// Publishes a change that assigns a model's name or a version's number; as [`Self::change_registry`].
    ///
    /// # Errors
    /// [`Error::Corrupt`] if changes are lost, which may have assigned it already (`repair` skips those numbers). Those
    /// of `plan`; [`Error::Io`].
    pub(crate) fn name_in_registry(&self, plan: impl FnMut(&Registry) -> Result<Vec<Change>>) -> Result<()> {
        let mut registry = self.inner.registry.lock();
        registry.refresh()?;
        if let Some(bad) = registry.lost().next() {
            let why = "the name or number may be given already by a change that is lost; repair the workspace first";
            return Err(Error::corrupt(&bad.path, 0, format!("{}: {why}", bad.what)));
        }
        registry.publish(plan).map(|_| ())
    }

    /// Publishes a change of the registry; `plan` runs again whenever another process was faster. Costs some syncs.
    ///
    /// # Errors
    /// Those of `plan`; [`Error::Io`].
    pub(crate) fn change_registry(&self, plan: impl FnMut(&Registry) -> Result<Vec<Change>>) -> Result<()> {
        self.inner.registry.lock().publish(plan).map(|_| ())
    }
}
