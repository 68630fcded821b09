//! Latest points of chosen metrics of many runs, as columns: what charts and tables ask for.

use crate::base::ids::RunId;
use crate::base::stats::StatPoint;
use crate::error::Result;
use crate::search::execute::Query;
use crate::workspace::open::Workspace;

/// Runs in order, and of each the latest point of some metrics.
#[derive(Clone, Debug)]
pub struct LatestTable {
    /// The runs, in order.
    pub runs: Vec<RunId>,
    /// For each metric that was asked for, in that order, the latest point of each run; `None` where a run has none.
    pub columns: Vec<Vec<Option<StatPoint>>>,
    /// How many runs match, on all pages.
    pub total: usize,
    /// See [`crate::workspace::search::RunPage::unreadable`].
    pub unreadable: Vec<String>,
}

impl Workspace {
    /// Finds runs by a query that was parsed already, and gives the latest point of these metrics of each, and nothing
    /// else of them: faster than [`Self::list`], since no words and no keys are copied. Costs some nanoseconds a run
    /// and metric once columns are decoded.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub fn latest_of(&self, query: &Query, keys: &[&str]) -> Result<LatestTable> {
        let (unreadable, table) = self.ask(|view| {
            let (page, _) = self.execute(view, query.clone())?;
            let mut runs = Vec::with_capacity(page.hits.len());
            let mut of_parts: Vec<(Vec<usize>, Vec<u32>)> = vec![Default::default(); view.parts.len()];
            for (row, &(part, ordinal)) in page.hits.iter().enumerate() {
                runs.push(view.parts[part].0.run_id(ordinal)?);
                let (rows, ordinals) = &mut of_parts[part];
                rows.push(row);
                ordinals.push(ordinal);
            }
            let mut columns = vec![vec![None; runs.len()]; keys.len()];
            for ((part, _), (rows, ordinals)) in view.parts.iter().zip(&of_parts).filter(|(_, of)| !of.0.is_empty()) {
                for (key, column) in keys.iter().zip(&mut columns) {
                    let points = part.latest_of(key, ordinals)?;
                    rows.iter().zip(points).for_each(|(&row, point)| column[row] = point);
                }
            }
            Ok(LatestTable { runs, columns, total: page.total, unreadable: Vec::new() })
        })?;
        Ok(LatestTable { unreadable, ..table })
    }
}
