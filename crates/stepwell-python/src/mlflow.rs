//! MLflow's stores in the process: any call of its REST API as JSON, and the calls that must be fast without JSON.

use std::path::PathBuf;

use parking_lot::Mutex;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyList, PyString, PyTuple};

use stepwell::query::View;
use stepwell::tracking::{Batch, DatasetInput, Fault, ListedRun, MetricRef, ModelOutput, Run, RunSearch};
use stepwell::{Workspace, now_ms};
use stepwell_wire::json::page;
use stepwell_wire::{Api, Context, Settings};

use crate::errors::OrRaise;

/// A workspace behind MLflow's stores. `stepwell.mlflow` makes MLflow's entities of what it gives.
#[pyclass(frozen, module = "stepwell._native")]
pub(crate) struct MlflowStore {
    api: Api,
}

/// Collects what an answer was made without.
#[derive(Default)]
struct LeftOut(Mutex<Vec<String>>);

impl Context for LeftOut {
    fn left_out(&self, places: &[String]) {
        self.0.lock().extend_from_slice(places);
    }
}

/// MLflow's exception for a fault of the facade.
fn raise(py: Python<'_>, fault: &Fault) -> PyErr {
    exception(py, fault.code.as_str(), &fault.message)
}

/// MLflow's exception of a code's name.
fn exception(py: Python<'_>, code: &str, message: &str) -> PyErr {
    let made = || py.import("stepwell.mlflow._faults")?.call_method1("exception", (code, message));
    match made() {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

#[pymethods]
impl MlflowStore {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let workspace = py.detach(|| Workspace::open_or_create(path)).or_raise(py)?;
        let settings = Settings::of(&workspace);
        let api = Api::new(workspace, settings)?;
        Ok(Self { api })
    }

    /// Answers a request of MLflow's REST API: status, JSON, and what the answer was made without, in words.
    fn answer<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> (u16, Bound<'py, PyBytes>, Vec<String>) {
        let (answer, left_out) = py.detach(|| {
            let context = LeftOut::default();
            let answer = self.api.answer_in(&context, method, path, query, body);
            (answer, context.0.into_inner())
        });
        (answer.status, PyBytes::new(py, &answer.body), left_out)
    }

    /// Logs one point: an `mlflow.entities.Metric`.
    fn log_metric(&self, py: Python<'_>, run_id: &str, metric: &Bound<'_, PyAny>) -> PyResult<()> {
        let words = Words::of(metric)?;
        let point = words.point(metric)?;
        py.detach(|| self.api.tracking().log_metric(run_id, point)).map_err(|fault| raise(py, &fault))
    }

    /// Logs `mlflow.entities` of these kinds, all or nothing.
    fn log_batch(
        &self,
        py: Python<'_>,
        run_id: &str,
        metrics: &Bound<'_, PyAny>,
        params: &Bound<'_, PyAny>,
        tags: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let metrics: Vec<Bound<'_, PyAny>> = metrics.try_iter()?.collect::<PyResult<_>>()?;
        let words: Vec<Words<'_>> = metrics.iter().map(Words::of).collect::<PyResult<_>>()?;
        let points: Vec<MetricRef<'_>> =
            metrics.iter().zip(&words).map(|(metric, words)| words.point(metric)).collect::<PyResult<_>>()?;
        let (params, tags) = (pairs(params)?, pairs(tags)?);
        let (params, tags) = (borrowed(&params)?, borrowed(&tags)?);
        let batch = Batch { metrics: &points, params: &params, tags: &tags };
        py.detach(|| self.api.tracking().log_batch(run_id, &batch)).map_err(|fault| raise(py, &fault))
    }

    /// The points of a metric: values, timestamps, steps, the token of the next page, and what could not be read.
    #[expect(clippy::type_complexity, reason = "a tuple for Python")]
    fn metric_history(
        &self,
        py: Python<'_>,
        run_id: &str,
        key: &str,
        max_results: Option<i64>,
        page_token: &str,
    ) -> PyResult<(Vec<f64>, Vec<i64>, Vec<i64>, Option<String>, Vec<String>)> {
        let offset =
            page::offset(page_token).map_err(|fault| exception(py, "INVALID_PARAMETER_VALUE", &fault.message))?;
        let found = py
            .detach(|| self.api.tracking().get_metric_history(run_id, key, max_results, offset))
            .map_err(|fault| raise(py, &fault))?;
        let mut columns = (Vec::new(), Vec::new(), Vec::new());
        for point in &found.items {
            columns.0.push(point.value);
            columns.1.push(point.timestamp_ms.unwrap_or(0));
            columns.2.push(point.step);
        }
        let token = found.next_offset.map(page::token);
        Ok((columns.0, columns.1, columns.2, token, found.left_out))
    }

    /// A run, as [`run_tuple`] says, and what could not be read of it.
    fn get_run<'py>(&self, py: Python<'py>, run_id: &str) -> PyResult<(Bound<'py, PyTuple>, Vec<String>)> {
        let (run, left_out) =
            py.detach(|| self.api.tracking().get_run_and_left_out(run_id)).map_err(|fault| raise(py, &fault))?;
        Ok((whole_run(py, &run)?, left_out))
    }

    /// A page of runs, each as [`run_tuple`] says, the token of the next, and what could not be read.
    #[expect(clippy::too_many_arguments, reason = "they are those of MLflow's own method")]
    fn search_runs<'py>(
        &self,
        py: Python<'py>,
        experiment_ids: Vec<String>,
        filter: String,
        view: &str,
        max_results: i64,
        order_by: Vec<String>,
        page_token: &str,
    ) -> PyResult<(Bound<'py, PyList>, Option<String>, Vec<String>)> {
        let view = match view {
            "deleted_only" => View::DeletedOnly,
            "all" => View::All,
            _ => View::ActiveOnly,
        };
        let offset =
            page::offset(page_token).map_err(|fault| exception(py, "INVALID_PARAMETER_VALUE", &fault.message))?;
        let search = RunSearch { experiment_ids, filter, view, max_results, order_by, offset };
        let tracking = self.api.tracking();
        let found = py.detach(|| tracking.find_runs(&search)).map_err(|fault| raise(py, &fault))?;
        let rows = py.detach(|| tracking.rows(&found)).map_err(|fault| raise(py, &fault))?;
        let runs = rows.iter().map(|run| listed_run(py, run)).collect::<PyResult<Vec<_>>>()?;
        Ok((PyList::new(py, runs)?, found.next_offset.map(page::token), found.left_out().to_vec()))
    }

    /// Ids of runs that were deleted at least `older_than_ms` ago.
    fn deleted_runs(&self, py: Python<'_>, older_than_ms: i64) -> PyResult<Vec<String>> {
        let before = now_ms().saturating_sub(older_than_ms);
        py.detach(|| self.api.tracking().runs_deleted_by(before)).map_err(|fault| raise(py, &fault))
    }

    /// Ids of logged models that were deleted at least `older_than_ms` ago.
    fn deleted_logged_models(&self, py: Python<'_>, older_than_ms: i64) -> PyResult<Vec<String>> {
        let before = now_ms().saturating_sub(older_than_ms);
        py.detach(|| self.api.tracking().logged_models_deleted_by(before)).map_err(|fault| raise(py, &fault))
    }

    /// Deletes a run for good.
    fn purge_run(&self, py: Python<'_>, run_id: &str) -> PyResult<()> {
        py.detach(|| self.api.tracking().purge_run(run_id)).map_err(|fault| raise(py, &fault))
    }

    /// Deletes a logged model for good.
    fn purge_logged_model(&self, py: Python<'_>, model_id: &str) -> PyResult<()> {
        py.detach(|| self.api.tracking().purge_logged_model(model_id)).map_err(|fault| raise(py, &fault))
    }

    /// Deletes an experiment and its runs for good.
    fn purge_experiment(&self, py: Python<'_>, experiment_id: &str) -> PyResult<()> {
        py.detach(|| self.api.tracking().purge_experiment(experiment_id)).map_err(|fault| raise(py, &fault))
    }

    /// Closes logs that nobody wrote for a while.
    fn close_idle(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.api.tracking().close_idle()).map_err(|fault| raise(py, &fault))
    }

    /// Closes all logs; what they hold survives a power loss then.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.api.tracking().close()).map_err(|fault| raise(py, &fault))
    }
}

/// The texts of a metric, held while they are borrowed.
struct Words<'py> {
    key: Bound<'py, PyString>,
    model_id: Option<Bound<'py, PyString>>,
    dataset_name: Option<Bound<'py, PyString>>,
    dataset_digest: Option<Bound<'py, PyString>>,
}

impl<'py> Words<'py> {
    fn of(metric: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self {
            key: text(metric, "key")?,
            model_id: optional(metric, "model_id")?,
            dataset_name: optional(metric, "dataset_name")?,
            dataset_digest: optional(metric, "dataset_digest")?,
        })
    }

    fn point(&self, metric: &Bound<'py, PyAny>) -> PyResult<MetricRef<'_>> {
        let py = metric.py();
        Ok(MetricRef {
            key: self.key.to_str()?,
            value: number(&metric.getattr(pyo3::intern!(py, "value"))?)?,
            timestamp: whole(&metric.getattr(pyo3::intern!(py, "timestamp"))?)?,
            step: whole(&metric.getattr(pyo3::intern!(py, "step"))?)?,
            model_id: borrow(&self.model_id)?,
            dataset_name: borrow(&self.dataset_name)?,
            dataset_digest: borrow(&self.dataset_digest)?,
        })
    }
}

/// A metric's value. MLflow refuses truth values.
#[inline]
fn number(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    if value.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err("a value must be a number, not bool"));
    }
    crate::convert::value(value)
}

/// A metric's timestamp or step. MLflow takes floats too, such as `1000 * time.time()`; what is less than one is cut.
#[inline]
fn whole(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    match value.cast_exact::<PyFloat>() {
        Ok(float) => crate::convert::step(&PyFloat::new(value.py(), float.value().trunc())),
        Err(_) => crate::convert::step(value),
    }
}

/// An attribute that is text.
fn text<'py>(entity: &Bound<'py, PyAny>, name: &str) -> PyResult<Bound<'py, PyString>> {
    as_text(entity.getattr(name)?)
}

/// An attribute that is text or `None`.
fn optional<'py>(entity: &Bound<'py, PyAny>, name: &str) -> PyResult<Option<Bound<'py, PyString>>> {
    let value = entity.getattr(name)?;
    if value.is_none() { Ok(None) } else { as_text(value).map(Some) }
}

fn as_text(value: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyString>> {
    value.cast_into::<PyString>().or_else(|other| other.into_inner().str())
}

fn borrow<'a>(text: &'a Option<Bound<'_, PyString>>) -> PyResult<Option<&'a str>> {
    text.as_ref().map(|text| text.to_str()).transpose()
}

/// Keys and values of params or tags.
fn pairs<'py>(entities: &Bound<'py, PyAny>) -> PyResult<Vec<(Bound<'py, PyString>, Bound<'py, PyString>)>> {
    entities
        .try_iter()?
        .map(|entity| {
            let entity = entity?;
            Ok((text(&entity, "key")?, text(&entity, "value")?))
        })
        .collect()
}

fn borrowed<'a>(pairs: &'a [(Bound<'_, PyString>, Bound<'_, PyString>)]) -> PyResult<Vec<(&'a str, &'a str)>> {
    pairs.iter().map(|(key, value)| Ok((key.to_str()?, value.to_str()?))).collect()
}

/// A run as a tuple: id, name, experiment's id, user, status, start, end, lifecycle stage, place of its artifacts,
/// metrics (key, value, timestamp, step, model, name and digest of the dataset), params and tags (key, value), datasets
/// (name, digest, kind, source, schema, profile, tags), models that it read, models that it made (id, step).
fn run_tuple<'py>(
    py: Python<'py>,
    info: [Bound<'py, PyAny>; 9],
    data: [Bound<'py, PyList>; 3],
    inputs: (&[DatasetInput], &[String], &[ModelOutput]),
) -> PyResult<Bound<'py, PyTuple>> {
    let (datasets, read, made) = inputs;
    let datasets = datasets
        .iter()
        .map(|input| {
            let one = &input.dataset;
            (&one.name, &one.digest, &one.source_type, &one.source, &one.schema, &one.profile, &input.tags)
                .into_pyobject(py)
        })
        .collect::<PyResult<Vec<_>>>()?;
    let made =
        made.iter().map(|model| (&model.model_id, model.step).into_pyobject(py)).collect::<PyResult<Vec<_>>>()?;
    let lists = [PyList::new(py, datasets)?, PyList::new(py, read)?, PyList::new(py, made)?];
    let items: Vec<_> = info.into_iter().chain(data.into_iter().chain(lists).map(Bound::into_any)).collect();
    PyTuple::new(py, items)
}

/// Any object of a tuple.
fn any<'py, T: IntoPyObjectExt<'py>>(py: Python<'py>, value: T) -> PyResult<Bound<'py, PyAny>> {
    value.into_bound_py_any(py)
}

fn whole_run<'py>(py: Python<'py>, run: &Run) -> PyResult<Bound<'py, PyTuple>> {
    let own = &run.info;
    let info = [
        any(py, &own.run_id)?,
        any(py, &own.run_name)?,
        any(py, &own.experiment_id)?,
        any(py, &own.user_id)?,
        any(py, own.status.as_str())?,
        any(py, own.start_time)?,
        any(py, own.end_time)?,
        any(py, own.lifecycle_stage.as_str())?,
        any(py, &own.artifact_uri)?,
    ];
    let metrics = run.data.metrics.iter().map(|metric| {
        let point = (&metric.key, metric.value, metric.timestamp, metric.step);
        (point.0, point.1, point.2, point.3, &metric.model_id, &metric.dataset_name, &metric.dataset_digest)
            .into_pyobject(py)
    });
    let data = [
        PyList::new(py, metrics.collect::<PyResult<Vec<_>>>()?)?,
        PyList::new(py, &run.data.params)?,
        PyList::new(py, &run.data.tags)?,
    ];
    run_tuple(py, info, data, (&run.inputs.dataset_inputs, &run.inputs.model_inputs, &run.outputs.model_outputs))
}

fn listed_run<'py>(py: Python<'py>, run: &ListedRun<'_>) -> PyResult<Bound<'py, PyTuple>> {
    let row = &run.row;
    let info = [
        any(py, row.run_id.as_str())?,
        any(py, row.name)?,
        any(py, &run.experiment_id)?,
        any(py, row.user)?,
        any(py, row.status.as_str())?,
        any(py, row.start_time_ms)?,
        any(py, row.end_time_ms)?,
        any(py, run.lifecycle_stage.as_str())?,
        any(py, &run.artifact_uri)?,
    ];
    let none = || py.None();
    let metrics = row.metrics.iter().map(|(key, latest)| {
        let time = latest.timestamp_ms.unwrap_or(0);
        (*key, latest.value, time, latest.step, none(), none(), none()).into_pyobject(py)
    });
    let data = [
        PyList::new(py, metrics.collect::<PyResult<Vec<_>>>()?)?,
        PyList::new(py, &row.params)?,
        PyList::new(py, &row.tags)?,
    ];
    run_tuple(py, info, data, (&run.inputs.dataset_inputs, &run.inputs.model_inputs, &run.outputs.model_outputs))
}
