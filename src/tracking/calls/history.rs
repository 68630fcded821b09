//! Histories of metrics, in MLflow's order.

use crate::base::items::RUN;
use crate::base::point::{Columns, Point};
use crate::error::Error;
use crate::run::salvage::{Gap, Salvage};
use crate::run::snapshot::RunSnapshot;
use crate::tracking::handle::store::Tracking;
use crate::tracking::values::entities::PageOf;
use crate::tracking::values::error::{Fault, Result, client_message};
use crate::tracking::values::validate;

impl Tracking {
    /// All points of a metric by time, then step, then value (NaN as 0), without duplicates; or a page of them. Empty
    /// for an unknown run or metric (MLflow's rule). Damaged points are missing, and named by [`PageOf::left_out`].
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a page of no points; `DATA_LOSS` where nothing of the run can be read.
    pub fn get_metric_history(
        &self,
        run_id: &str,
        key: &str,
        max_results: Option<i64>,
        offset: usize,
    ) -> Result<PageOf<Point>> {
        self.get_metric_history_within(run_id, key, max_results, offset, |_| Ok(()))
    }

    /// The same, unless `before` rejects it: it gets the metric's number of points, all of which are in memory at once
    /// even for a page, at some 100 bytes each.
    ///
    /// # Errors
    /// As [`Self::get_metric_history`], and what `before` says.
    pub fn get_metric_history_within<E: From<Fault>>(
        &self,
        run_id: &str,
        key: &str,
        max_results: Option<i64>,
        offset: usize,
        before: impl FnOnce(u64) -> Result<(), E>,
    ) -> Result<PageOf<Point>, E> {
        let max = match max_results {
            Some(max) => usize::try_from(max).ok().filter(|&max| max > 0).ok_or_else(|| {
                Fault::invalid(format!(
                    "Invalid value {max} for parameter 'max_results' supplied. It must be a positive integer."
                ))
            })?,
            None => usize::MAX,
        };
        let Some(run) = self.known_run(run_id)? else {
            return Ok(PageOf::of(Vec::new(), None));
        };
        match run.count(key) {
            Ok(count) => before(count)?,
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(Fault::from(error).into()),
        }
        let mut reader = run.salvage();
        let page = PageOf::cut(points(&mut reader, key)?, offset, max);
        Ok(PageOf { left_out: left_out(&run, &reader), ..page })
    }

    /// A run, where there is one of that id.
    pub(crate) fn known_run(&self, run_id: &str) -> Result<Option<RunSnapshot>> {
        match validate::run_id(run_id) {
            Ok(id) => Ok(self.inner.workspace.find_run(&id)?.filter(|run| run.state().kind() == RUN)),
            Err(_) => Ok(None),
        }
    }
}

/// Messages for clients about what a reader could not read of a run.
pub(crate) fn left_out(run: &RunSnapshot, reader: &Salvage<'_>) -> Vec<String> {
    let line = |(key, gap): (&str, &Gap)| {
        format!("{} points of {key:?} of run {}: {}", gap.points(), run.id(), client_message(&gap.error))
    };
    reader.gaps().map(line).collect()
}

/// All verifiable points of a series by time, step and value, without duplicates; empty if there is no such series.
pub(crate) fn points(run: &mut Salvage<'_>, key: &str) -> Result<Vec<Point>> {
    let columns = match run.arrivals(key) {
        Err(Error::NotFound { .. }) => Columns::default(),
        columns => columns?,
    };
    let mut points: Vec<Point> = columns.iter().collect();
    let order = |point: &Point| (point.timestamp_ms.unwrap_or(0), point.step);
    points.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| by_value(a.value, b.value)));
    points.dedup_by(|a, b| order(a) == order(b) && a.value.to_bits() == b.value.to_bits());
    Ok(points)
}

/// MLflow's order of values: NaN counts as 0, and stands after it here, so that equal bits are neighbours.
pub(crate) fn by_value(a: f64, b: f64) -> std::cmp::Ordering {
    let number = |value: f64| if value.is_nan() { 0.0 } else { value };
    number(a).total_cmp(&number(b)).then_with(|| a.to_bits().cmp(&b.to_bits()))
}
