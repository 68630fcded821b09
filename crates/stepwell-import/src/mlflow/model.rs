//! What MLflow's stores hold beside runs, put together as Stepwell keeps it: inputs and logged models.

use std::collections::BTreeMap;

use stepwell::items::{DATASET, LOGGED_MODEL, MODEL_FIELD, MODEL_METRIC, join};
use stepwell::tracking::LoggedModelStatus;
use stepwell::{RunId, RunStatus};

use crate::attached::Attached;
use crate::run::ImportedRun;

/// A dataset that a run read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dataset {
    pub(crate) name: String,
    pub(crate) digest: String,
    pub(crate) source_type: String,
    pub(crate) source: String,
    pub(crate) schema: Option<String>,
    pub(crate) profile: Option<String>,
}

impl Dataset {
    /// The item of a run that read it, with the tags of this use.
    pub(crate) fn item(&self, tags: &[(String, String)]) -> (u8, String, String) {
        let optional = |text: &Option<String>| text.as_ref().map_or(String::new(), |text| format!("+{text}"));
        let (schema, profile) = (optional(&self.schema), optional(&self.profile));
        let mut fields = vec![self.source_type.as_str(), &self.source, &schema, &profile];
        fields.extend(tags.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]));
        (DATASET, join(&[&self.name, &self.digest]), join(&fields))
    }
}

/// A logged model.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoggedModel {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) model_type: Option<String>,
    pub(crate) source_run: Option<String>,
    /// MLflow's number.
    pub(crate) status: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) created_ms: Option<i64>,
    pub(crate) updated_ms: Option<i64>,
    pub(crate) is_deleted: bool,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) metrics: LatestMetrics,
}

impl LoggedModel {
    /// The run that represents it. `None` if its id cannot be stored.
    pub(crate) fn into_run(self, source: String, attached: Attached) -> Option<ImportedRun> {
        let id = RunId::new(self.id.as_str()).ok()?;
        let mut attached = Attached { kind: LOGGED_MODEL, ..attached };
        let mut word = |key: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                attached.items.push((MODEL_FIELD, key.to_owned(), value));
            }
        };
        let number = self.status.and_then(|number| number.parse::<usize>().ok()).unwrap_or(0);
        let status = LoggedModelStatus::ALL.get(number).copied().unwrap_or_default();
        word("updated", self.updated_ms.or(self.created_ms).map(|time| time.to_string()));
        word("type", self.model_type);
        word("run", self.source_run);
        word("status", Some(status.as_str().to_owned()));
        word("message", self.message);
        attached.items.extend(self.metrics.into_items());
        Some(ImportedRun {
            id,
            own_id: true,
            source,
            experiment: None,
            name: self.name,
            user: String::new(),
            status: RunStatus::Finished,
            start_time_ms: self.created_ms,
            end_time_ms: None,
            deleted: self.is_deleted,
            params: self.params,
            tags: self.tags,
            series: Vec::new(),
            attached,
        })
    }
}

/// The latest value of each metric of a logged model, by metric, dataset and run.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatestMetrics {
    latest: BTreeMap<String, (i64, i64, f64)>,
    /// Points that are not the latest.
    pub(crate) older_count: u64,
}

impl LatestMetrics {
    /// Takes a point: the metric, the dataset's name and digest, the run; time, step and value.
    pub(crate) fn push(&mut self, [metric, name, digest, run]: [&str; 4], timestamp_ms: i64, step: i64, value: f64) {
        let known = self.latest.entry(join(&[metric, name, digest, run]));
        let mut is_new = false;
        let known = known.or_insert_with(|| {
            is_new = true;
            (timestamp_ms, step, value)
        });
        if !is_new {
            self.older_count += 1;
            if (known.0, known.1) <= (timestamp_ms, step) {
                *known = (timestamp_ms, step, value);
            }
        }
    }

    fn into_items(self) -> impl Iterator<Item = (u8, String, String)> {
        self.latest.into_iter().map(|(key, (timestamp_ms, step, value))| {
            let value = join(&[format!("{:016x}", value.to_bits()), timestamp_ms.to_string(), step.to_string()]);
            (MODEL_METRIC, key, value)
        })
    }
}

/// The logged model that a version is, by its source `models:/m-…`.
pub(crate) fn model_of_source(source: &str) -> Option<&str> {
    source.strip_prefix("models:/").filter(|id| id.starts_with("m-") && !id.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_value_of_a_metric_stands_by_time_then_step() {
        let mut metrics = LatestMetrics::default();
        for (time, step, value) in [(5, 1, 0.1), (7, 1, 0.2), (7, 0, 0.3), (6, 9, 0.4)] {
            metrics.push(["acc", "d", "1", "r"], time, step, value);
        }
        assert_eq!(metrics.older_count, 3);
        let items: Vec<_> = metrics.into_items().collect();
        assert_eq!(items, [(MODEL_METRIC, "3:acc1:d1:11:r".to_owned(), format!("16:{:016x}1:71:1", 0.2f64.to_bits()))]);
    }

    #[test]
    fn logged_models_are_named_by_sources() {
        assert_eq!(model_of_source("models:/m-12"), Some("m-12"));
        assert_eq!((model_of_source("models:/net/1"), model_of_source("s3://m-1")), (None, None));
    }
}
