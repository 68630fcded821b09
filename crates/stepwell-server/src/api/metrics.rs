//! Histories of metrics: whole, of many runs, and sampled for plots.

use serde::Serialize;
use stepwell::tracking::entities::Metric;

use super::shapes::{Each, Metrics};
use crate::wire::call::{Answer, Call, Outcome};
use crate::wire::check::Check::{Required, Text};
use crate::wire::fault::Fault;
use crate::wire::page;
use crate::wire::schema::{Field, int, text};

/// Most runs that a call may ask for.
const RUNS_MAX: usize = 100;
/// Most points that a call for many runs gives in total.
const POINTS_MAX: i64 = 25_000;

/// `GetMetricHistory`.
const HISTORY: &[Field] =
    &[text("run_id"), text("run_uuid"), text("metric_key"), text("page_token"), int("max_results")];

/// A history, or a page of one.
#[derive(Serialize)]
struct Page<'a> {
    #[serde(skip_serializing_if = "Each::is_empty")]
    metrics: Metrics<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// `GET metrics/get-history`.
pub(crate) fn history(call: &Call<'_>) -> Outcome {
    let checks = &[("run_id", &[Text, Required][..]), ("metric_key", &[Text, Required]), ("page_token", &[Text])];
    let request = call.read(HISTORY, checks)?;
    let offset = page::offset(request.text("page_token"))?;
    let (run_id, key) = (request.run_id(), request.text("metric_key"));
    let page = call.app.tracking.get_metric_history(run_id, key, request.int("max_results"), offset)?;
    Answer::json(&Page { metrics: Each(&page.items, Into::into), next_page_token: page.next_offset.map(page::token) })
}

/// A list of points that is there even when it is empty.
#[derive(Serialize)]
struct Bulk<'a> {
    metrics: Metrics<'a>,
}

/// `GET metrics/get-history-bulk?run_id=…&run_id=…&metric_key=…`.
pub(crate) fn history_bulk(call: &Call<'_>) -> Outcome {
    let mut run_ids: Vec<&str> =
        call.input.query.iter().filter(|(name, _)| name == "run_id").map(|(_, id)| id.as_str()).collect();
    if run_ids.is_empty() {
        return Err(Fault::invalid("GetMetricHistoryBulk request must specify at least one run_id."));
    }
    if run_ids.len() > RUNS_MAX {
        return Err(Fault::invalid(format!(
            "GetMetricHistoryBulk request cannot specify more than {RUNS_MAX} run_ids. Received {} run_ids.",
            run_ids.len()
        )));
    }
    let key = call.input.argument("metric_key");
    let key = key.ok_or_else(|| Fault::invalid("GetMetricHistoryBulk request must specify a metric_key."))?;
    let most = match call.input.argument("max_results").map(str::parse::<i64>) {
        None => POINTS_MAX,
        Some(Ok(most)) => most.min(POINTS_MAX),
        Some(Err(_)) => return Err(Fault::invalid("max_results must be an integer.")),
    };
    run_ids.sort_unstable();
    run_ids.dedup();
    let mut metrics: Vec<Metric> = Vec::new();
    for run_id in run_ids {
        let left = most - metrics.len() as i64;
        if left <= 0 {
            break;
        }
        let page = call.app.tracking.get_metric_history(run_id, key, Some(left), 0)?;
        let of_run = |metric| Metric { run_id: Some(run_id.to_owned()), ..metric };
        metrics.extend(page.items.into_iter().map(of_run));
    }
    Answer::json(&Bulk { metrics: Each(&metrics, Into::into) })
}
