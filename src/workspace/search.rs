//! x
use crate::base::ids::RunId;
use crate::error::Result;
use crate::workspace::open::Workspace;
/// x
#[derive(Debug, Default)]
pub struct Indexes;
impl Workspace {
    /// Ids of all runs.
    pub fn run_ids(&self) -> Result<Vec<RunId>> {
        Ok(vec![])
    }
}
