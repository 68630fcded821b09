//! Writing a run: points by handle, by key, by dict and by columns.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use stepwell::{NewRun, Point, RunEdit, RunId, RunStatus, RunWriter};

use crate::errors::OrRaise;
use crate::flag::Mutex;
use crate::series::Series;
use crate::shared::{Shared, State, Trouble};
use crate::system::Monitor;
use crate::view::RunView;
use crate::workspace::WorkspaceBase;
use crate::{convert, fork, given, remote};

/// What `log` without a clock of the caller's stamps: the time of the call.
#[inline]
fn point(step: i64, time_ms: i64, value: f64) -> Point {
    Point { step, timestamp_ms: Some(time_ms), value }
}

/// What a run is begun with.
struct Asked {
    experiment: Option<String>,
    name: Option<String>,
    params: Vec<(String, String)>,
    tags: Vec<(String, String)>,
    user: Option<String>,
    resume: Option<String>,
    start_time_ms: Option<i64>,
}

impl Asked {
    /// Begins the run, or goes on with one; gives the step of the first call that names none too.
    fn begin(
        self,
        store: &stepwell::Workspace,
        spool: Option<&stepwell_remote::Spool>,
    ) -> Result<(RunWriter, i64), stepwell_remote::Error> {
        let Self { experiment, name, params, tags, user, resume, start_time_ms } = self;
        if let Some(id) = resume {
            let id = RunId::new(id)?;
            let mut writer = match spool {
                Some(spool) => spool.resume_run(&id, experiment.as_deref())?,
                None => store.writer(&id)?,
            };
            let mut edits = vec![RunEdit::Status(RunStatus::Running), RunEdit::EndTime(None)];
            edits.extend(name.filter(|name| !name.is_empty()).map(RunEdit::Name));
            edits.extend(params.into_iter().map(|(key, value)| RunEdit::Param(key, value)));
            edits.extend(tags.into_iter().map(|(key, value)| RunEdit::Tag(key, value)));
            writer.edit(&edits)?;
            // What the server has, the spool need not have.
            let there = spool.and_then(|spool| spool.last_step(&id)).map_or(0, |step| step.saturating_add(1));
            return Ok((writer, next_step(store, &id)?.max(there)));
        }
        let new = NewRun {
            name: name.unwrap_or_default(),
            user: user.unwrap_or_default(),
            params,
            tags,
            start_time_ms,
            ..NewRun::default()
        };
        let writer = match (spool, experiment.as_deref()) {
            (Some(spool), name) => spool.create_run(name.unwrap_or("Default"), new)?,
            (None, None) => store.create_run(stepwell::ExperimentId::DEFAULT, new)?,
            (None, Some(name)) => store.create_run(store.experiments().get_or_create(name)?, new)?,
        };
        Ok((writer, 0))
    }
}

/// A run that is being written. `stepwell.Run` adds what needs no speed.
#[pyclass(frozen, subclass, module = "stepwell._native")]
pub(crate) struct RunBase {
    shared: Arc<Shared>,
    workspace: WorkspaceBase,
    monitor: parking_lot::Mutex<Option<Monitor>>,
}

#[pymethods]
impl RunBase {
    #[new]
    #[pyo3(signature = (workspace, *, experiment, name, params, tags, user, resume, start_time_ms, strict, **_more))]
    #[expect(clippy::too_many_arguments, reason = "they are the keyword arguments of one Python call")]
    fn new(
        py: Python<'_>,
        workspace: PyRef<'_, WorkspaceBase>,
        experiment: Option<String>,
        name: Option<String>,
        params: Option<Bound<'_, PyDict>>,
        tags: Option<Bound<'_, PyDict>>,
        user: Option<String>,
        resume: Option<String>,
        start_time_ms: Option<i64>,
        strict: bool,
        _more: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let workspace = workspace.clone();
        let params = params.map_or_else(|| Ok(Vec::new()), |dict| convert::texts(&dict))?;
        let tags = tags.map_or_else(|| Ok(Vec::new()), |dict| convert::texts(&dict))?;
        let asked = Asked { experiment, name, params, tags, user, resume, start_time_ms };
        let (writer, next_step, spool) = py
            .detach(|| -> Result<_, stepwell_remote::Error> {
                let spool = workspace.spool().transpose()?;
                let (writer, next_step) = asked.begin(workspace.store(), spool.as_deref())?;
                Ok((writer, next_step, spool))
            })
            .map_err(|error| remote::raise(py, &error))?;
        let id = writer.run_id().clone();
        let state = State {
            writer: Some(writer),
            points: 0,
            next_step,
            lost: 0,
            first_error: String::new(),
            last_error: String::new(),
            spool,
        };
        let state = Arc::new(Mutex::new(state));
        fork::enlist(&state);
        Ok(Self {
            shared: Arc::new(Shared { state, id, strict, warned: AtomicBool::new(false) }),
            workspace,
            monitor: parking_lot::Mutex::new(None),
        })
    }

    /// The run's id.
    #[getter]
    fn id(&self) -> &str {
        self.shared.id.as_str()
    }

    /// The workspace's folder.
    #[getter]
    fn _root(&self) -> std::path::PathBuf {
        self.workspace.store().root().to_owned()
    }

    /// Whether errors are raised rather than counted.
    #[getter]
    fn strict(&self) -> bool {
        self.shared.strict
    }

    /// A handle that logs one metric: the fastest way to log in a loop.
    ///
    /// key: at most 250 characters. A key that breaks a rule raises `InvalidError` if the run is strict; otherwise
    ///     it warns, and what the handle is given counts as lost.
    fn metric(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<Metric> {
        let found = (|| -> Result<_, Trouble> {
            let text = key
                .cast::<PyString>()
                .map_err(|_| PyTypeError::new_err(format!("a metric's key is a text, not {}", convert::kind(key))))?;
            let text = text.to_str()?;
            Ok(self.shared.lock(py).writer()?.metric(text)?)
        })();
        let metric = match found {
            Ok(metric) => Some(metric),
            Err(trouble) => {
                self.shared.failed(py, 0, trouble)?;
                None
            }
        };
        Ok(Metric { shared: Arc::clone(&self.shared), metric, key: key.clone().unbind() })
    }

    /// Logs one value, `log("loss", 0.1, 3)`, or several of one step, `log({"loss": 0.1, "acc": 0.9}, step=3)`.
    ///
    /// data: a key, or a dict of values by key; nested dicts are joined by `/`. Of a dict all are logged or none.
    /// value: the value of a single key: a number, or anything that `float` takes. NaN and infinities are values.
    /// step: an integer; without, the step after the greatest one so far.
    /// time_ms: milliseconds since the epoch; the present without.
    ///
    /// Costs some 45 nanoseconds a value. What returned survives `kill -9`; what `sync` returned for survives a power
    /// loss.
    #[pyo3(signature = (data, value=None, step=None, *, time_ms=None))]
    #[inline]
    fn log(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        step: Option<&Bound<'_, PyAny>>,
        time_ms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if let (Ok(key), Some(value)) = (data.cast::<PyString>(), value) {
            return self.log_one(py, key, value, step, time_ms);
        }
        self.log_many(py, data, value, step, time_ms)
    }

    /// Logs whole columns of one metric, all points or none.
    ///
    /// steps, values, times_ms: of one length and one dimension, as integers, floats and milliseconds since the epoch:
    ///     numpy arrays of any number type, tensors on the CPU, Arrow arrays, buffers or sequences. Without `times_ms`
    ///     the points have the time of the call.
    ///
    /// Raises `InvalidError` or `TypeError` if the run is strict, and the points count as lost otherwise. The columns
    /// are copied once; a million points take tens of milliseconds.
    #[pyo3(signature = (key, steps, values, *, times_ms=None))]
    fn columns(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        steps: &Bound<'_, PyAny>,
        values: &Bound<'_, PyAny>,
        times_ms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let columns = (|| -> PyResult<_> {
            let key: String = key.extract()?;
            Ok((key, given::integers(steps)?, given::floats(values)?, times_ms.map(given::times).transpose()?))
        })();
        let (key, steps, values, times) = match columns {
            Ok(columns) => columns,
            Err(error) => {
                let lost = values.len().unwrap_or(1) as u64;
                return self.shared.failed(py, lost, Trouble::Python(error));
            }
        };
        let shared = &self.shared;
        let done = py.detach(|| -> Result<(), Trouble> {
            let mut state = shared.state.lock();
            let writer = state.writer()?;
            let metric = writer.metric(&key)?;
            writer.log_columns(metric, &steps, times.as_deref(), &values)?;
            if let Some(last) = steps.last() {
                state.passed(*last);
            }
            Ok(())
        });
        done.or_else(|trouble| shared.failed(py, values.len() as u64, trouble))
    }

    /// Sets params, from a dict or as keywords: values become text, and are set once for all writers of the run.
    /// Another value for a param that is set raises `ParamConflictError` if the run is strict.
    #[pyo3(signature = (params=None, /, **more))]
    fn log_params(
        &self,
        py: Python<'_>,
        params: Option<&Bound<'_, PyAny>>,
        more: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        self.edit(py, params, more, RunEdit::Param)
    }

    /// Sets tags, from a dict or as keywords: values become text, and the last one wins.
    #[pyo3(signature = (tags=None, /, **more))]
    fn set_tags(
        &self,
        py: Python<'_>,
        tags: Option<&Bound<'_, PyAny>>,
        more: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        self.edit(py, tags, more, RunEdit::Tag)
    }

    /// Removes a tag; one that is not set is not an error.
    fn remove_tag(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        match convert::text(key) {
            Ok(key) => self.apply(py, vec![RunEdit::RemoveTag(key)]),
            Err(error) => self.shared.failed(py, 1, Trouble::Python(error)),
        }
    }

    /// Renames the run.
    fn rename(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        match convert::text(name) {
            Ok(name) => self.apply(py, vec![RunEdit::Name(name)]),
            Err(error) => self.shared.failed(py, 1, Trouble::Python(error)),
        }
    }

    /// Counts something as lost that an exception kept from being logged, and warns once; a strict run raises it.
    fn _lose(&self, py: Python<'_>, lost: u64, error: Bound<'_, PyAny>) -> PyResult<()> {
        self.shared.failed(py, lost, Trouble::Python(PyErr::from_value(error)))
    }

    /// Waits until all that was logged so far, by every writer of the run on this machine, survives a power loss.
    ///
    /// Raises `DurabilityError` where the disk failed, whether the run is strict or not.
    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.at_disk(py, |state| state.writer.as_mut().map_or(Ok(()), RunWriter::sync))?;
        match self.workspace.gone() {
            Some(gone) => Err(crate::errors::new(py, "DurabilityError", gone)),
            None => Ok(()),
        }
    }

    /// The count of points that this writer logged.
    #[getter]
    fn points(&self, py: Python<'_>) -> u64 {
        self.shared.lock(py).points()
    }

    /// Whether the run still takes points.
    #[getter]
    fn active(&self, py: Python<'_>) -> bool {
        self.shared.lock(py).writer.is_some()
    }

    /// What could not be logged: a dict of `lost`, `first_error` and `last_error`.
    fn health<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        if let Some(gone) = self.workspace.gone() {
            // A flush would say so too, but none may come.
            let mut state = self.shared.lock(py);
            if state.first_error.is_empty() {
                state.first_error.clone_from(&gone);
            }
            state.last_error = gone;
        }
        let (lost, first, last, active) = {
            let state = self.shared.lock(py);
            (state.lost, state.first_error.clone(), state.last_error.clone(), state.writer.is_some())
        };
        let health = PyDict::new(py);
        health.set_item("ok", first.is_empty())?;
        health.set_item("active", active)?;
        health.set_item("lost", lost)?;
        health.set_item("first_error", (!first.is_empty()).then_some(first))?;
        health.set_item("last_error", (!last.is_empty()).then_some(last))?;
        Ok(health)
    }

    /// Logs what the machine does each so many seconds, until the run ends.
    fn _monitor(&self, every: f64) -> PyResult<()> {
        let every = Duration::try_from_secs_f64(every)
            .ok()
            .filter(|every| !every.is_zero())
            .ok_or_else(|| PyValueError::new_err(format!("the seconds between two looks are positive, not {every}")))?;
        let folder = self.workspace.store().root().to_owned();
        *self.monitor.lock() = Some(Monitor::start(Arc::clone(&self.shared.state), every, folder)?);
        Ok(())
    }

    /// Ends the run with a status; all that it was given survives a power loss then. Ending it again does nothing.
    fn _finish(&self, py: Python<'_>, status: &str) -> PyResult<()> {
        let status = status.parse::<RunStatus>().or_raise(py)?;
        drop(self.monitor.lock().take());
        self.shared.at_disk(py, move |state| state.take().map_or(Ok(()), |writer| writer.finish(status)))
    }

    /// Ends this writer and leaves the run RUNNING, for other writers or a later `resume=`.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.at_disk(py, |state| state.take().map_or(Ok(()), RunWriter::close))
    }

    /// A view of what the run holds now. It does not change when more is logged.
    fn view(&self, py: Python<'_>) -> PyResult<RunView> {
        self.workspace.view(py, &self.shared.id)
    }

    /// The points of a metric by now.
    fn __getitem__(&self, py: Python<'_>, key: &str) -> PyResult<Series> {
        self.view(py)?.__getitem__(py, key)
    }
}

/// The step after the greatest of a run's latest ones.
fn next_step(store: &stepwell::Workspace, id: &RunId) -> stepwell::Result<i64> {
    let run = store.run(id)?;
    let mut next = 0;
    for key in run.keys() {
        next = next.max(run.stats(key)?.latest.step.saturating_add(1));
    }
    Ok(next)
}

impl RunBase {
    /// The workspace and the id.
    pub(crate) fn place(&self) -> (WorkspaceBase, RunId) {
        (self.workspace.clone(), self.shared.id.clone())
    }

    #[inline]
    fn log_one(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
        step: Option<&Bound<'_, PyAny>>,
        time_ms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let given = (|| -> PyResult<_> {
            let step = step.map(convert::step).transpose()?;
            Ok((key.to_str()?, convert::value(value)?, step, time_ms.map(convert::time).transpose()?))
        })();
        let (key, value, step, time_ms) = match given {
            Ok(given) => given,
            Err(error) => return self.shared.failed(py, 1, Trouble::Python(error)),
        };
        self.shared.logged(py, 1, |state| {
            let at = state.step_of(step);
            let writer = state.writer()?;
            match time_ms {
                None => writer.log_metric(key, at, value)?,
                Some(time_ms) => {
                    let metric = writer.metric(key)?;
                    writer.log_point(metric, point(at, time_ms, value))?;
                }
            }
            state.passed(at);
            Ok(())
        })
    }

    fn log_many(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        step: Option<&Bound<'_, PyAny>>,
        time_ms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let Ok(dict) = data.cast::<PyDict>() else {
            let why = match data.is_instance_of::<PyString>() {
                true => "log takes a value with a key: log(\"loss\", 0.1, step)".to_owned(),
                false => format!("log takes a dict, or a key with a value, not {}", convert::kind(data)),
            };
            return self.shared.failed(py, 1, Trouble::Python(PyTypeError::new_err(why)));
        };
        // `log({...}, 7)` means the step, as with other loggers.
        let given = (|| -> PyResult<_> {
            Ok((step.or(value).map(convert::step).transpose()?, time_ms.map(convert::time).transpose()?))
        })();
        let (step, time_ms) = match given {
            Ok(given) => given,
            Err(error) => return self.shared.failed(py, dict.len() as u64, Trouble::Python(error)),
        };
        let mut values: Vec<(Bound<'_, PyString>, f64)> = Vec::with_capacity(dict.len());
        let refused = convert::flatten(dict, &mut |key, value| {
            // Text that UTF-8 cannot hold is refused here.
            key.to_str()?;
            values.push((key.clone(), value));
            Ok(())
        });
        let refused = match refused {
            Ok(refused) => refused,
            Err(error) => return self.shared.failed(py, dict.len() as u64, Trouble::Python(error)),
        };
        if !refused.is_empty() {
            let error = PyTypeError::new_err(refused.join("; "));
            // Raises if the run is strict, so that all of a call is there or nothing.
            self.shared.failed(py, refused.len() as u64, Trouble::Python(error))?;
        }
        let keyed: Vec<(&str, f64)> =
            values.iter().map(|(key, value)| Ok((key.to_str()?, *value))).collect::<PyResult<_>>()?;
        self.shared.logged(py, keyed.len() as u64, |state| {
            let at = state.step_of(step);
            state.writer()?.log_metrics(at, time_ms, &keyed)?;
            state.passed(at);
            Ok(())
        })
    }

    fn edit(
        &self,
        py: Python<'_>,
        first: Option<&Bound<'_, PyAny>>,
        more: Option<&Bound<'_, PyDict>>,
        edit: fn(String, String) -> RunEdit,
    ) -> PyResult<()> {
        let first = match first.map(|first| first.cast::<PyDict>()).transpose() {
            Ok(first) => first,
            Err(_) => {
                let why = format!("params and tags are a dict, not {}", first.map_or_else(String::new, convert::kind));
                return self.shared.failed(py, 1, Trouble::Python(PyTypeError::new_err(why)));
            }
        };
        let mut edits = Vec::new();
        for dict in [first, more].into_iter().flatten() {
            match convert::texts(dict) {
                Ok(texts) => edits.extend(texts.into_iter().map(|(key, value)| edit(key, value))),
                Err(error) => return self.shared.failed(py, dict.len() as u64, Trouble::Python(error)),
            }
        }
        self.apply(py, edits)
    }

    fn apply(&self, py: Python<'_>, edits: Vec<RunEdit>) -> PyResult<()> {
        let count = edits.len() as u64;
        let shared = &self.shared;
        let done = py.detach(|| -> Result<(), Trouble> {
            shared.state.lock().writer()?.edit(&edits)?;
            Ok(())
        });
        done.or_else(|trouble| shared.failed(py, count, trouble))
    }
}

/// A handle of one metric of a run, made by `run.metric(key)`.
#[pyclass(frozen, module = "stepwell._native")]
pub(crate) struct Metric {
    shared: Arc<Shared>,
    /// `None` if the key breaks a rule.
    metric: Option<stepwell::MetricHandle>,
    key: Py<PyAny>,
}

#[pymethods]
impl Metric {
    /// Logs one value at a step.
    ///
    /// step: an integer, or a float without a fraction. Any order; a step may come twice, and both points are kept.
    /// value: a number, or anything that `float` takes. NaN and infinities are values.
    /// time_ms: milliseconds since the epoch; the present without.
    ///
    /// Costs some 40 nanoseconds. What returned survives `kill -9`.
    #[pyo3(signature = (step, value, time_ms=None))]
    #[inline]
    fn log(
        &self,
        py: Python<'_>,
        step: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        time_ms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let time_ms = match time_ms {
            None => Ok(None),
            Some(time_ms) => convert::time(time_ms).map(Some),
        };
        let (step, value, time_ms) = match (convert::step(step), convert::value(value), time_ms) {
            (Ok(step), Ok(value), Ok(time_ms)) => (step, value, time_ms),
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
                return self.shared.failed(py, 1, Trouble::Python(error));
            }
        };
        let Some(metric) = self.metric else {
            let why = format!("no metric has the key {}", self.key.bind(py).repr()?);
            return self.shared.failed(py, 1, Trouble::Python(PyValueError::new_err(why)));
        };
        self.shared.logged(py, 1, |state| {
            let writer = state.writer()?;
            match time_ms {
                None => writer.log(metric, step, value)?,
                Some(time_ms) => writer.log_point(metric, point(step, time_ms, value))?,
            }
            state.passed(step);
            Ok(())
        })
    }

    /// The metric's key.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.key.bind(py).clone()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<stepwell.Metric {} of run {}>", self.key.bind(py).repr()?, self.shared.id))
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyRuntimeError::new_err("a metric belongs to its writer; pickle the run and resolve the metric there"))
    }
}
