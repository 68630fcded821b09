//! Finds runs. Results are borrowed from the index: a page of a hundred runs copies no key and no value.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::base::ids::ExperimentId;
use crate::base::items::{ARTIFACT_URI, of_index_key};
use crate::base::stats::StatPoint;
use crate::index::rows::Row;
use crate::search::execute::{Conventions, Query};
use crate::tracking::calls::inputs;
use crate::tracking::handle::store::{Tracking, artifact_uris, below};
use crate::tracking::language::filter;
use crate::tracking::values::entities::{
    LifecycleStage, Metric, PageOf, Run, RunData, RunInfo, RunInputs, RunOutputs, View,
};
use crate::tracking::values::error::Result;
use crate::tracking::values::validate::{self, RESULTS_MAX};
use crate::workspace::read::found::SearchResult;

/// Which runs to find.
#[derive(Clone, Debug)]
pub struct RunSearch {
    /// Experiments' numbers; none are found where this is empty.
    pub experiment_ids: Vec<String>,
    /// The condition; empty for none.
    pub filter: String,
    /// Whether deleted runs are found.
    pub view: View,
    /// Most runs on a page, 1 to 50,000.
    pub max_results: i64,
    /// Clauses such as `metrics.loss ASC`.
    pub order_by: Vec<String>,
    /// How many come before the page.
    pub offset: usize,
}

impl Default for RunSearch {
    fn default() -> Self {
        Self {
            experiment_ids: Vec::new(),
            filter: String::new(),
            view: View::ActiveOnly,
            max_results: 1000,
            order_by: Vec::new(),
            offset: 0,
        }
    }
}

/// A page of runs.
#[derive(Debug)]
pub struct FoundRuns {
    list: Option<SearchResult>,
    roots: BTreeMap<ExperimentId, String>,
    /// How many come before the next page, if there is one.
    pub next_offset: Option<usize>,
}

impl FoundRuns {
    /// Messages about what could not be read, so that runs or metadata may be missing.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        self.list.as_ref().map_or(&[], |list| &list.unreadable)
    }
}

/// A run on a page, borrowed from it.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedRun<'a> {
    /// What the index knows of it.
    pub row: Row<'a>,
    /// Its experiment's number, in decimal.
    pub experiment_id: String,
    /// Where its artifacts are.
    pub artifact_uri: String,
    /// Whether it is deleted.
    pub lifecycle_stage: LifecycleStage,
    /// What it read.
    pub inputs: RunInputs,
    /// What it made.
    pub outputs: RunOutputs,
}

impl Tracking {
    /// Finds runs: latest start first, then by id, unless another order is asked for.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for an invalid filter or order, with the position.
    pub fn search_runs(&self, search: &RunSearch) -> Result<PageOf<Run>> {
        let found = self.find_runs(search)?;
        let items = self.rows(&found)?.iter().map(ListedRun::to_run).collect();
        Ok(PageOf::of(items, found.next_offset))
    }

    /// As [`Self::search_runs`], without copies: [`Self::rows`] returns the runs.
    ///
    /// # Errors
    /// As there.
    pub fn find_runs(&self, search: &RunSearch) -> Result<FoundRuns> {
        let max_results = validate::max_results(search.max_results, RESULTS_MAX)?;
        let ids = search.experiment_ids.iter().map(|id| validate::experiment_id(id));
        let experiments: Vec<ExperimentId> = ids.collect::<Result<_>>()?;
        let mut query = filter::runs(&search.filter, &search.order_by, self.inner.options.extended_filters)?;
        if experiments.is_empty() {
            return Ok(FoundRuns { list: None, roots: BTreeMap::new(), next_offset: None });
        }
        let roots = self.artifact_roots(&experiments)?;
        let uris = roots.iter().map(|(experiment, root)| (*experiment, artifact_uris(root)));
        query.conventions =
            Conventions { artifact_uris: uris.collect(), context_tag: Cow::Borrowed(inputs::CONTEXT_TAG) };
        query = Query { view: search.view, experiments, max_results, offset: search.offset, ..query };
        let list = self.inner.workspace.search(&query)?;
        Ok(FoundRuns { next_offset: list.next_offset, list: Some(list), roots })
    }

    /// The runs of a page, in order.
    ///
    /// # Errors
    /// `DATA_LOSS` where bytes do not verify.
    pub fn rows<'a>(&self, page: &'a FoundRuns) -> Result<Vec<ListedRun<'a>>> {
        let rows = page.list.as_ref().map(SearchResult::rows).transpose()?.unwrap_or_default();
        Ok(rows.into_iter().map(|row| self.listed(row, &page.roots)).collect())
    }

    /// A row as a run of the facade.
    pub(crate) fn listed<'a>(&self, row: Row<'a>, roots: &BTreeMap<ExperimentId, String>) -> ListedRun<'a> {
        let (inputs, outputs) = inputs::of_row(row.items.iter().copied());
        let experiment_id = row.experiment_id.to_string();
        let other: String;
        let root = match roots.get(&row.experiment_id) {
            Some(root) => root,
            None => {
                other = below(&self.inner.options.artifact_root, &experiment_id);
                &other
            }
        };
        let artifact_uri = match own_artifact_uri(row.items.iter().copied()) {
            Some(uri) => self.shown_location(uri.to_owned()),
            None => artifact_uris(root).of(&row.run_id),
        };
        let lifecycle_stage = LifecycleStage::of(row.deleted);
        ListedRun { row, experiment_id, artifact_uri, lifecycle_stage, inputs, outputs }
    }
}

/// The place of artifacts that a row names itself, of the items by their keys in the index.
pub(crate) fn own_artifact_uri<'a>(mut items: impl Iterator<Item = (&'a str, &'a str)>) -> Option<&'a str> {
    items.find(|(key, _)| of_index_key(key).is_some_and(|(kind, _)| kind == ARTIFACT_URI)).map(|(_, uri)| uri)
}

impl ListedRun<'_> {
    /// The run, owned.
    #[must_use]
    pub fn to_run(&self) -> Run {
        let row = &self.row;
        let owned = |texts: &[(&str, &str)]| texts.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let metric = |&(key, latest): &(&str, StatPoint)| Metric {
            key: key.to_owned(),
            value: latest.value,
            timestamp: latest.timestamp_ms.unwrap_or(0),
            step: latest.step,
            ..Metric::default()
        };
        Run {
            info: RunInfo {
                run_id: row.run_id.to_string(),
                run_name: row.name.to_owned(),
                experiment_id: self.experiment_id.clone(),
                user_id: row.user.to_owned(),
                status: row.status,
                start_time: row.start_time_ms,
                end_time: row.end_time_ms,
                artifact_uri: self.artifact_uri.clone(),
                lifecycle_stage: self.lifecycle_stage,
            },
            data: RunData {
                metrics: row.metrics.iter().map(metric).collect(),
                params: owned(&row.params),
                tags: owned(&row.tags),
            },
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
        }
    }
}
