//! Finding logged models: what the index can tell it tells; metrics by dataset are looked at here. The language of
//! filters is in `model_filter`.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::base::ids::ExperimentId;
use crate::base::items::LOGGED_MODEL;
use crate::index::rows::Row;
use crate::search::ast::Expr;
use crate::search::execute::Query;
use crate::tracking::handle::store::Tracking;
use crate::tracking::language::model_filter::{Asked, Attribute, attribute, filter, latest};
use crate::tracking::values::entities::{LoggedModel, PageOf};
use crate::tracking::values::error::{Fault, Result};
use crate::tracking::values::validate::{self, RESULTS_MAX};

/// Which logged models to find.
#[derive(Clone, Debug)]
pub struct LoggedModelSearch {
    /// Experiments' numbers; none are found where this is empty.
    pub experiment_ids: Vec<String>,
    /// The condition; empty for none.
    pub filter: String,
    /// Datasets, by name and, where given, digest: metrics count only as measured on one of them, and without a metric
    /// in the filter a model must have some metric on one of them.
    pub datasets: Vec<(String, Option<String>)>,
    /// The order; then latest created, then by id.
    pub order_by: Vec<ModelOrder>,
    /// Most models on a page, 1 to 50,000; 50 where it is 0.
    pub max_results: i64,
    /// How many come before the page.
    pub offset: usize,
}

/// Default number of models on a page.
const DEFAULT_RESULTS: i64 = 50;

impl Default for LoggedModelSearch {
    fn default() -> Self {
        Self {
            experiment_ids: Vec::new(),
            filter: String::new(),
            datasets: Vec::new(),
            order_by: Vec::new(),
            max_results: DEFAULT_RESULTS,
            offset: 0,
        }
    }
}

/// One key of an order.
#[derive(Clone, Debug, Default)]
pub struct ModelOrder {
    /// An attribute, or `metrics.KEY`.
    pub field_name: String,
    /// Least first.
    pub ascending: bool,
    /// Of a metric: only as measured on the dataset of this name.
    pub dataset_name: Option<String>,
    /// And of this digest.
    pub dataset_digest: Option<String>,
}

impl Tracking {
    /// Finds logged models that are not deleted. Models without what an order names come last.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub fn search_logged_models(&self, search: &LoggedModelSearch) -> Result<PageOf<LoggedModel>> {
        // MLflow sets no bounds here: none is the default, less gives an empty page, and long pages are cut.
        let max = if search.max_results == 0 { DEFAULT_RESULTS } else { search.max_results };
        let max = usize::try_from(max).unwrap_or(0).min(RESULTS_MAX);
        if max == 0 {
            return Ok(PageOf::of(Vec::new(), None));
        }
        if search.datasets.iter().any(|(name, _)| name.is_empty()) {
            return Err(Fault::invalid("`dataset_name` in the `datasets` clause must be specified."));
        }
        let ids = search.experiment_ids.iter().map(|id| validate::experiment_id(id));
        let experiments: Vec<ExperimentId> = ids.collect::<Result<_>>()?;
        let (indexed, mut tests) = filter(&search.filter)?;
        let order = search.order_by.iter().map(Key::new).collect::<Result<Vec<_>>>()?;
        if !search.datasets.is_empty() && !tests.iter().any(|test| matches!(test, Asked::Metric(..))) {
            tests.push(Asked::AnyMetric);
        }
        if experiments.is_empty() {
            return Ok(PageOf::of(Vec::new(), None));
        }
        let roots = self.artifact_roots(&experiments)?;
        let plain = tests.is_empty() && order.is_empty();
        let query = Query {
            filter: (!indexed.is_empty()).then_some(Expr::And(indexed)),
            experiments,
            kind: LOGGED_MODEL,
            // The index has no more rows than a u32 counts in each part.
            max_results: if plain { max } else { usize::MAX / 4 },
            offset: if plain { search.offset } else { 0 },
            ..Query::default()
        };
        let found = self.inner.workspace.search(&query)?;
        let shown = |row: Row<'_>| {
            let root = roots.get(&row.experiment_id).map(String::as_str);
            self.shown_model(&row.with_metrics(BTreeMap::new()), root)
        };
        let mut models: Vec<LoggedModel> = found.rows()?.into_iter().map(shown).collect();
        if plain {
            return Ok(PageOf::of(models, found.next_offset));
        }
        models.retain(|model| tests.iter().all(|test| test.passes(model, &search.datasets)));
        // The index gave the latest created first, which a stable sort keeps among equals.
        let mut keyed: Vec<(Vec<Value>, LoggedModel)> =
            models.into_iter().map(|model| (order.iter().map(|key| key.of(&model)).collect(), model)).collect();
        keyed.sort_by(|(a, _), (b, _)| {
            let by = |(index, key): (usize, &Key)| a[index].compare(&b[index], key.ascending);
            order.iter().enumerate().map(by).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
        });
        Ok(PageOf::cut(keyed.into_iter().map(|(_, model)| model), search.offset, max))
    }
}

/// A key of an order.
struct Key {
    by: By,
    ascending: bool,
}

enum By {
    Metric { key: String, dataset: Option<String>, digest: Option<String> },
    Attribute(Attribute),
}

/// What orders a model; absent last.
enum Value {
    Number(f64),
    Integer(i64),
    Text(String),
    Absent,
}

impl Key {
    fn new(order: &ModelOrder) -> Result<Self> {
        let by = match order.field_name.split_once('.') {
            Some(("metrics", key)) => By::Metric {
                key: key.to_owned(),
                dataset: order.dataset_name.clone(),
                digest: order.dataset_digest.clone(),
            },
            Some(_) => {
                return Err(Fault::invalid(format!(
                    "Invalid order by field name: {}. Only metrics are supported.",
                    order.field_name
                )));
            }
            None => By::Attribute(
                attribute(&order.field_name)
                    .ok_or_else(|| Fault::invalid(format!("Invalid order by field name: {}", order.field_name)))?,
            ),
        };
        Ok(Self { by, ascending: order.ascending })
    }

    fn of(&self, model: &LoggedModel) -> Value {
        match &self.by {
            By::Metric { key, dataset, digest } => {
                let is = |wanted: &Option<String>, own: &Option<String>| wanted.is_none() || wanted == own;
                let of_key = model.metrics.iter().filter(|metric| {
                    metric.key == *key && is(dataset, &metric.dataset_name) && is(digest, &metric.dataset_digest)
                });
                latest(of_key).map_or(Value::Absent, |metric| Value::Number(metric.value))
            }
            By::Attribute(attribute) => match attribute {
                Attribute::Name => Value::Text(model.name.clone()),
                Attribute::Id => Value::Text(model.model_id.clone()),
                Attribute::Created => Value::Integer(model.creation_timestamp),
                Attribute::Updated => Value::Integer(model.last_updated_timestamp),
                Attribute::Status => Value::Integer(model.status as i64),
                Attribute::Text(field) => Value::Text(field.of(model).to_owned()),
            },
        }
    }
}

impl Value {
    fn compare(&self, other: &Self, ascending: bool) -> Ordering {
        let turned = |ordering: Ordering| if ascending { ordering } else { ordering.reverse() };
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => match (a.is_nan(), b.is_nan()) {
                (false, false) => turned(a.partial_cmp(b).unwrap_or(Ordering::Equal)),
                // NaN after every number, whichever way.
                (a, b) => a.cmp(&b),
            },
            (Self::Integer(a), Self::Integer(b)) => turned(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => turned(a.cmp(b)),
            (Self::Absent, Self::Absent) => Ordering::Equal,
            (Self::Absent, _) => Ordering::Greater,
            (_, Self::Absent) => Ordering::Less,
            _ => Ordering::Equal,
        }
    }
}
