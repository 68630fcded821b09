//! Histories of metrics: whole, of many runs, and sampled for plots.

use stepwell::tracking::Curve;

use crate::call::{Answer, Call, Outcome};
use crate::fault::Fault;
use crate::json::check::Check::{Array, Int, Required, Text};
use crate::json::page;
use crate::json::points::PointsJson;
use crate::json::schema::{Field, Kind, int, many, text};

/// Most runs that a call may ask for.
const RUNS_MAX: usize = 100;
/// Most points that a call for many runs gives in total.
const POINTS_MAX: i64 = 25_000;
/// Most points of each run in a plot.
const PLOT_POINTS_MAX: i64 = 2_500;

/// Bytes of a point while a history is read, sorted and written.
const POINT_BYTES: usize = 128;

/// `GetMetricHistory`.
const HISTORY: &[Field] =
    &[text("run_id"), text("run_uuid"), text("metric_key"), text("page_token"), int("max_results")];

/// `GET metrics/get-history`.
pub(crate) fn history(call: &Call<'_>) -> Outcome {
    let checks = &[("run_id", &[Text, Required][..]), ("metric_key", &[Text, Required]), ("page_token", &[Text])];
    let request = call.read(HISTORY, checks)?;
    let offset = page::offset(request.text("page_token"))?;
    let (run_id, key) = (request.run_id(), request.text("metric_key"));
    let room =
        |points: u64| call.context.reserve(usize::try_from(points).unwrap_or(usize::MAX).saturating_mul(POINT_BYTES));
    let max_results = request.int("max_results");
    let page = call.tracking().get_metric_history_within(run_id, key, max_results, offset, room)?;
    let mut json = PointsJson::new();
    json.curve(key, None, &page.items);
    call.context.left_out(&page.left_out);
    json.left_out(&page.left_out);
    Answer::json_bytes(json.finish(page.next_offset.map(page::token).as_deref(), false))
}

/// The points of some runs' curves, one run after the other.
fn of_curves(call: &Call<'_>, key: &str, curves: &[Curve]) -> PointsJson {
    let mut json = PointsJson::new();
    for curve in curves {
        json.curve(key, Some(&curve.run_id), &curve.points);
        call.context.left_out(&curve.left_out);
        json.left_out(&curve.left_out);
    }
    json
}

/// `GET metrics/get-history-bulk?run_id=…&run_id=…&metric_key=…`.
pub(crate) fn history_bulk(call: &Call<'_>) -> Outcome {
    let run_ids: Vec<&str> =
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
        Some(Ok(most)) if most >= 0 => most.min(POINTS_MAX),
        Some(_) => return Err(Fault::invalid("max_results must be an integer of at least 0.")),
    };
    let run_ids: Vec<String> = run_ids.into_iter().map(str::to_owned).collect();
    let most = usize::try_from(most).unwrap_or(0);
    let curves = call.tracking().get_metric_history_bulk(&run_ids, key, most)?;
    Answer::json_bytes(of_curves(call, key, &curves).finish(None, true))
}

/// `GetMetricHistoryBulkInterval`.
const INTERVAL: &[Field] =
    &[many("run_ids", Kind::Text), text("metric_key"), int("start_step"), int("end_step"), int("max_results")];

/// `GET metrics/get-history-bulk-interval?run_ids=…&run_ids=…&metric_key=…`, from which the UI draws its charts.
pub(crate) fn history_bulk_interval(call: &Call<'_>) -> Outcome {
    let checks = &[
        ("run_ids", &[Required, Array][..]),
        ("metric_key", &[Required, Text]),
        ("start_step", &[Int]),
        ("end_step", &[Int]),
        ("max_results", &[Int]),
    ];
    let request = call.read(INTERVAL, checks)?;
    let run_ids = request.texts("run_ids");
    if run_ids.len() > RUNS_MAX {
        return Err(Fault::invalid(format!(
            "GetMetricHistoryBulkInterval request must specify at most {RUNS_MAX} run_ids. Received {} run_ids. See \
             the API docs for more information about request parameters.",
            run_ids.len()
        )));
    }
    let most = request.int("max_results").unwrap_or(PLOT_POINTS_MAX);
    if !(1..=PLOT_POINTS_MAX).contains(&most) {
        return Err(Fault::invalid(format!(
            "max_results must be between 1 and {PLOT_POINTS_MAX}. See the API docs for more information about request \
             parameters."
        )));
    }
    let steps = match (request.int("start_step"), request.int("end_step")) {
        (None, None) => None,
        (Some(start), Some(end)) if start > end => {
            return Err(Fault::invalid(format!(
                "end_step must be greater than start_step. Found start_step={start} and end_step={end}."
            )));
        }
        (Some(start), Some(end)) => Some(start..=end),
        _ => return Err(Fault::invalid("If either start step or end step are specified, both must be specified.")),
    };
    let most = usize::try_from(most).unwrap_or(1);
    let key = request.text("metric_key");
    let curves = call.tracking().get_metric_history_bulk_interval(&run_ids, key, most, steps)?;
    Answer::json_bytes(of_curves(call, key, &curves).finish(None, false))
}
