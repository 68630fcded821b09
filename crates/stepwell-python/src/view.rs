//! Reading one run: its metadata and its metrics at one moment.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList, PyTuple};

use stepwell::{RunSnapshot, Workspace};

use crate::column;
use crate::errors::{self, OrRaise};
use crate::interrupt::interruptible;
use crate::series::{self, Series};

/// A view of a run as it was when the view was made. `view["loss"]` are the points of a metric; one that the run does
/// not have raises `NotFoundError`.
#[pyclass(frozen, mapping, module = "stepwell")]
pub(crate) struct RunView {
    run: Arc<RunSnapshot>,
    place: Place,
}

/// Where a run is.
enum Place {
    Folder(Arc<Workspace>),
    /// On the server of this address.
    Server(String),
}

impl RunView {
    /// A view of a snapshot.
    pub(crate) fn new(workspace: &Arc<Workspace>, run: RunSnapshot) -> Self {
        Self { run: Arc::new(run), place: Place::Folder(Arc::clone(workspace)) }
    }

    /// A view of a run that was read from a server.
    pub(crate) fn of_server(url: &str, run: RunSnapshot) -> Self {
        Self { run: Arc::new(run), place: Place::Server(url.to_owned()) }
    }
}

#[pymethods]
impl RunView {
    /// The run's id.
    #[getter]
    fn id(&self) -> &str {
        self.run.id().as_str()
    }

    /// The name; may be empty.
    #[getter]
    fn name(&self) -> &str {
        self.run.state().name()
    }

    /// The status: RUNNING, SCHEDULED, FINISHED, FAILED or KILLED.
    #[getter]
    fn status(&self) -> &'static str {
        self.run.state().status().as_str()
    }

    /// The name of the experiment.
    #[getter]
    fn experiment(&self) -> &str {
        &self.run.state().experiment_name
    }

    /// The user who ran it; may be empty.
    #[getter]
    fn user(&self) -> &str {
        self.run.state().user()
    }

    /// The start, in milliseconds since the epoch.
    #[getter]
    fn start_time_ms(&self) -> Option<i64> {
        self.run.state().start_time_ms()
    }

    /// The end, in milliseconds since the epoch; `None` while the run goes on.
    #[getter]
    fn end_time_ms(&self) -> Option<i64> {
        self.run.state().end_time_ms()
    }

    /// Whether the run is marked deleted.
    #[getter]
    fn deleted(&self) -> bool {
        self.run.state().deleted()
    }

    /// The params: a dict of texts.
    #[getter]
    fn params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        texts(py, self.run.state().params())
    }

    /// The tags: a dict of texts.
    #[getter]
    fn tags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        texts(py, self.run.state().tags())
    }

    /// The latest value of each metric, that of its greatest step, by key.
    #[getter]
    fn latest<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for key in self.run.keys() {
            dict.set_item(key, self.run.stats(key).or_raise(py)?.latest.value)?;
        }
        Ok(dict)
    }

    /// The folder of the artifacts, which may not exist yet.
    #[getter]
    fn artifact_folder(&self, py: Python<'_>) -> PyResult<PathBuf> {
        let id = self.run.id();
        let elsewhere = match &self.place {
            Place::Folder(workspace) => match stepwell_cli::folder_of_run(workspace, self.run.state()) {
                Ok(folder) => return Ok(folder),
                Err(uri) => format!("the artifacts of run {id} are not on this machine: {uri}"),
            },
            Place::Server(url) => {
                format!("the artifacts of run {id} are at {url}; `stepwell sync {url} FOLDER` brings them with the run")
            }
        };
        Err(errors::new(py, "NotFoundError", elsewhere))
    }

    /// What could not be read of the run, in words; empty when nothing is missing.
    #[getter]
    fn damage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.run.damage())
    }

    /// The keys of the metrics, sorted.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.run.keys())
    }

    /// The metrics: pairs of key and series, sorted by key.
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let items = self
            .run
            .keys()
            .map(|key| PyTuple::new(py, [key.into_pyobject(py)?.into_any(), self.series(py, key)?.into_any()]))
            .collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, items)
    }

    /// The points of a metric; read when they are asked for.
    pub(crate) fn __getitem__(&self, py: Python<'_>, key: &str) -> PyResult<Series> {
        if !self.__contains__(key) {
            let known: Vec<&str> = self.run.keys().take(20).collect();
            let text = format!("no metric {key:?} in run {}; its metrics: {}", self.run.id(), known.join(", "));
            return Err(errors::new(py, "NotFoundError", text));
        }
        Ok(Series::new(Arc::clone(&self.run), key.to_owned()))
    }

    /// The points of these metrics at the steps from `first` to `last`, one metric after the other, for scans. `names`:
    /// whether the columns `run_id` and `key` are wanted.
    fn _points(&self, py: Python<'_>, keys: Vec<String>, first: i64, last: i64, names: bool) -> PyResult<Points> {
        let run = Arc::clone(&self.run);
        let batches = interruptible(py, move |stop| {
            let read = |key: &String| {
                stop.end_if_unwanted();
                let columns = match (first, last) {
                    (i64::MIN, i64::MAX) => run.history(key)?,
                    _ => run.range(key, first..=last)?,
                };
                Ok((key.clone(), columns))
            };
            keys.iter().map(read).collect::<stepwell::Result<Vec<_>>>()
        })?
        .or_raise(py)?;
        let batches = batches.into_iter().map(|(key, columns)| {
            let batch = series::batch(columns)?;
            if names { series::named(&batch, self.run.id().as_str(), &key) } else { Ok(batch) }
        });
        Ok(Points { batches: batches.collect::<PyResult<_>>()?, names })
    }

    fn __contains__(&self, key: &str) -> bool {
        self.run.series().contains_key(key)
    }

    fn __len__(&self) -> usize {
        self.run.series().len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.keys(py)?.try_iter()?.into_any())
    }

    fn __repr__(&self) -> String {
        let state = self.run.state();
        let name = if state.name().is_empty() { String::new() } else { format!(" {:?}", state.name()) };
        format!(
            "<stepwell.RunView {}{name} {} {} metrics, {} points>",
            self.run.id(),
            state.status().as_str(),
            self.run.series().len(),
            self.run.points()
        )
    }
}

/// Points of several metrics, as Arrow's stream.
#[pyclass(frozen, module = "stepwell._native")]
pub(crate) struct Points {
    batches: Vec<RecordBatch>,
    names: bool,
}

#[pymethods]
impl Points {
    fn __len__(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        column::stream_of(py, self.batches.clone(), Arc::new(series::schema(self.names)))
    }
}

impl RunView {
    fn series<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Bound<'py, Series>> {
        Bound::new(py, Series::new(Arc::clone(&self.run), key.to_owned()))
    }
}

/// A dict of texts.
fn texts<'a, 'py>(py: Python<'py>, texts: impl Iterator<Item = (&'a str, &'a str)>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in texts {
        dict.set_item(key, value)?;
    }
    Ok(dict)
}
