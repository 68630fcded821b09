//! Batches, the hot path. Most bodies are read in one pass, without copying their strings. A body that this pass does
//! not understand is read again like every other request, leniently and with MLflow's messages for what is missing.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};
use stepwell::tracking::{Batch, Metric, MetricRef};

use super::shapes::{PAIR, pairs};
use crate::call::{Answer, Call, Outcome, read_from};
use crate::fault::Fault;
use crate::json::check::Check::{Array, Required, Text};
use crate::json::number::{Double, Integer};
use crate::json::schema::{Field, Fields, Kind, int, many, one, text};

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
    /// Its run, which is the batch's.
    #[serde(borrow, rename = "run_id")]
    _run_id: Option<Cow<'a, str>>,
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

impl QuickBatch<'_> {
    /// Whether nothing is empty that must be there.
    fn is_whole(&self) -> bool {
        let pairs = self.params.iter().chain(&self.tags);
        !self.run_id.is_empty()
            && self.metrics.iter().all(|metric| !metric.key.is_empty())
            && pairs.into_iter().all(|pair| !pair.key.is_empty())
    }
}

impl QuickMetric<'_> {
    fn borrow(&self) -> MetricRef<'_> {
        fn text<'a>(text: &'a Option<Cow<'_, str>>) -> Option<&'a str> {
            text.as_deref().filter(|text| !text.is_empty())
        }
        MetricRef {
            key: &self.key,
            value: self.value.0,
            timestamp: self.timestamp.0,
            step: self.step.map_or(0, |step| step.0),
            model_id: text(&self.model_id),
            dataset_name: text(&self.dataset_name),
            dataset_digest: text(&self.dataset_digest),
        }
    }
}

/// `POST runs/log-batch`.
pub(crate) fn log_batch(call: &Call<'_>) -> Outcome {
    // What the quick pass takes is as the lenient one would read it: no spelling but one, no unknown field that could
    // be another spelling within, nothing empty that must be there.
    let quick = serde_json::from_slice::<QuickBatch<'_>>(call.body).ok();
    let Some(quick) = quick.filter(QuickBatch::is_whole) else { return lenient_batch(call) };
    fn pairs<'a>(pairs: &'a [QuickPair<'_>]) -> Vec<(&'a str, &'a str)> {
        pairs.iter().map(|pair| (&*pair.key, &*pair.value)).collect()
    }
    let metrics: Vec<MetricRef<'_>> = quick.metrics.iter().map(QuickMetric::borrow).collect();
    let batch = Batch { metrics: &metrics, params: &pairs(&quick.params), tags: &pairs(&quick.tags) };
    log(call, &quick.run_id, &batch)
}

fn log(call: &Call<'_>, run_id: &str, batch: &Batch<'_>) -> Outcome {
    call.tracking().log_batch(run_id, batch)?;
    call.context.stored(batch.metrics.len() as u64);
    Ok(Answer::done())
}

fn lenient_batch(call: &Call<'_>) -> Outcome {
    let checks = &[("run_id", &[Text, Required][..]), ("metrics", &[Array]), ("params", &[Array]), ("tags", &[Array])];
    let raw = call.raw(BATCH)?;
    let request = read_from(&raw, BATCH, checks);
    // What is missing is told before what is wrong, as MLflow does.
    if request.is_ok() || LISTS.iter().all(|(list, _)| raw.get(*list).is_none_or(Value::is_array)) {
        all_given(&raw)?;
    }
    let request = request?;
    drop(raw);
    let metrics: Vec<Metric> = request.messages("metrics").iter().map(metric).collect();
    let metrics: Vec<MetricRef<'_>> = metrics.iter().map(Into::into).collect();
    let (params, tags) = (pairs(&request, "params"), pairs(&request, "tags"));
    let [params, tags] =
        [&params, &tags].map(|pairs| pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>());
    log(call, request.text("run_id"), &Batch { metrics: &metrics, params: &params, tags: &tags })
}

/// The lists of a batch, and what each of their items must have.
const LISTS: [(&str, &[&str]); 3] =
    [("metrics", &["key", "value", "timestamp"]), ("params", &["key"]), ("tags", &["key"])];

/// Checks that no item of a batch lacks what it must have.
fn all_given(raw: &Map<String, Value>) -> Result<(), Fault> {
    for (list, fields) in LISTS {
        let items = raw.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            let given = |field: &&&str| item.get(**field).is_some_and(|value| !value.is_null() && value != "");
            if let Some(field) = fields.iter().find(|field| !given(field)) {
                return Err(Fault::invalid(format!(
                    "Missing value for required parameter '{list}[{index}].{field}'. See the API docs for more \
                     information about request parameters."
                )));
            }
        }
    }
    Ok(())
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
        run_id: None,
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
    use crate::json::check::Check::{Float, Int};
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
    call.tracking().log_metric(request.run_id(), &metric(&request))?;
    call.context.stored(1);
    Ok(Answer::done())
}
