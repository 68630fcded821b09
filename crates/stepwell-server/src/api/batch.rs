//! Batches, the hot path: most bodies are read in one pass without a copy of their strings. What that pass does not
//! understand is read again as every other request is, leniently, with MLflow's words for what is missing.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use stepwell::tracking::Batch;
use stepwell::tracking::entities::Metric;

use super::shapes::{PAIR, pairs};
use crate::wire::call::{Answer, Call, Outcome};
use crate::wire::check::Check::{Array, Required, Text};
use crate::wire::fault::Fault;
use crate::wire::number::{Double, Integer};
use crate::wire::schema::{Field, Fields, Kind, int, many, one, text};

/// `Metric`.
const METRIC: &[Field] = &[
    text("key"),
    one("value", Kind::Float),
    int("timestamp"),
    int("step"),
    text("dataset_name"),
    text("dataset_digest"),
    text("model_id"),
    text("run_id"),
];
/// `LogBatch`.
const BATCH: &[Field] = &[
    text("run_id"),
    many("metrics", Kind::Message(METRIC)),
    many("params", Kind::Message(PAIR)),
    many("tags", Kind::Message(PAIR)),
];

/// A batch as clients write it, with strings that stay in the body where they need no unescaping.
#[derive(Deserialize)]
struct QuickBatch<'a> {
    #[serde(borrow)]
    run_id: Cow<'a, str>,
    #[serde(borrow, default)]
    metrics: Vec<QuickMetric<'a>>,
    #[serde(borrow, default)]
    params: Vec<QuickPair<'a>>,
    #[serde(borrow, default)]
    tags: Vec<QuickPair<'a>>,
}

/// A point in a batch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuickMetric<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    value: Double,
    timestamp: Integer,
    step: Option<Integer>,
    #[serde(borrow)]
    dataset_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    dataset_digest: Option<Cow<'a, str>>,
    #[serde(borrow)]
    model_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    run_id: Option<Cow<'a, str>>,
}

/// A param or tag in a batch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuickPair<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Cow<'a, str>,
}

/// `POST runs/log-batch`.
pub(crate) fn log_batch(call: &Call<'_>) -> Outcome {
    // What the quick pass takes is as the lenient one would read it: no spelling but one, no unknown field that could be
    // another spelling within, nothing empty that must be there.
    let quick = serde_json::from_slice::<QuickBatch<'_>>(&call.input.body).ok().and_then(quick_batch);
    let (run_id, batch) = match quick {
        Some(quick) => quick,
        None => lenient_batch(call)?,
    };
    let points = batch.metrics.len() as u64;
    call.app.tracking.log_batch(&run_id, &batch)?;
    call.app.observed.points.inc_by(points);
    Answer::done()
}

fn quick_batch(quick: QuickBatch<'_>) -> Option<(String, Batch)> {
    let pair = |pair: QuickPair<'_>| (!pair.key.is_empty()).then(|| (pair.key.into_owned(), pair.value.into_owned()));
    let metric = |metric: QuickMetric<'_>| {
        let text = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned).filter(|text| !text.is_empty());
        (!metric.key.is_empty()).then(|| Metric {
            key: metric.key.into_owned(),
            value: metric.value.0,
            timestamp: metric.timestamp.0,
            step: metric.step.map_or(0, |step| step.0),
            model_id: text(metric.model_id),
            dataset_name: text(metric.dataset_name),
            dataset_digest: text(metric.dataset_digest),
            run_id: text(metric.run_id),
        })
    };
    let batch = Batch {
        metrics: quick.metrics.into_iter().map(metric).collect::<Option<_>>()?,
        params: quick.params.into_iter().map(pair).collect::<Option<_>>()?,
        tags: quick.tags.into_iter().map(pair).collect::<Option<_>>()?,
    };
    (!quick.run_id.is_empty()).then(|| (quick.run_id.into_owned(), batch))
}

fn lenient_batch(call: &Call<'_>) -> Result<(String, Batch), Fault> {
    let checks = &[("run_id", &[Text, Required][..]), ("metrics", &[Array]), ("params", &[Array]), ("tags", &[Array])];
    let request = call.read(BATCH, checks)?;
    let raw = call.input.object()?;
    for (list, fields) in [("metrics", &["key", "value", "timestamp"][..]), ("params", &["key"]), ("tags", &["key"])] {
        let items = raw.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            let given = |field: &&&str| item.get(**field).is_some_and(|value| !value.is_null() && value != "");
            if let Some(field) = fields.iter().find(|field| !given(field)) {
                return Err(Fault::invalid(format!(
                    "Missing value for required parameter '{list}[{index}].{field}'. See the API docs for more information \
                     about request parameters."
                )));
            }
        }
    }
    let metrics = request.messages("metrics").iter().map(metric).collect();
    let batch = Batch { metrics, params: pairs(&request, "params"), tags: pairs(&request, "tags") };
    Ok((request.text("run_id").to_owned(), batch))
}

fn metric(fields: &Fields) -> Metric {
    let text = |name: &str| fields.opt_text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    Metric {
        key: fields.text("key").to_owned(),
        value: fields.float("value"),
        timestamp: fields.int("timestamp").unwrap_or(0),
        step: fields.int("step").unwrap_or(0),
        model_id: text("model_id"),
        dataset_name: text("dataset_name"),
        dataset_digest: text("dataset_digest"),
        run_id: text("run_id"),
    }
}

/// `LogMetric`.
const ONE: &[Field] = &[
    text("run_id"),
    text("run_uuid"),
    text("key"),
    one("value", Kind::Float),
    int("timestamp"),
    int("step"),
    text("model_id"),
    text("dataset_name"),
    text("dataset_digest"),
];

/// `POST runs/log-metric`.
pub(crate) fn log_metric(call: &Call<'_>) -> Outcome {
    use crate::wire::check::Check::{Float, Int};
    let checks = &[
        ("run_id", &[Required, Text][..]),
        ("key", &[Required, Text]),
        ("value", &[Required, Float]),
        ("timestamp", &[Int, Required]),
        ("step", &[Int]),
        ("model_id", &[Text]),
        ("dataset_name", &[Text]),
        ("dataset_digest", &[Text]),
    ];
    let request = call.read(ONE, checks)?;
    let metric = Metric { run_id: None, ..metric(&request) };
    call.app.tracking.log_metric(request.run_id(), &metric)?;
    call.app.observed.points.inc();
    Answer::done()
}
