//! Following runs as they are written.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use stepwell::{Begin, Follow, RunChange, RunEvent, RunId, Workspace};

use crate::column::Column;
use crate::errors::OrRaise;

/// How long to wait before looking whether the user interrupts.
const SLICE: Duration = Duration::from_millis(100);

/// Follows runs: each call of `next` gives what is new.
#[pyclass(frozen, module = "stepwell._native")]
pub(crate) struct Follower {
    follower: Mutex<stepwell::Follower>,
}

impl Follower {
    /// Follows runs, all of them when none is named; from now on, or with the newest `last` points of each metric.
    pub(crate) fn new(
        py: Python<'_>,
        workspace: &Workspace,
        runs: Vec<String>,
        keys: Vec<String>,
        last: Option<usize>,
    ) -> PyResult<Self> {
        let follower = py
            .detach(|| -> stepwell::Result<_> {
                let runs = runs.into_iter().map(RunId::new).collect::<stepwell::Result<Vec<_>>>()?;
                let begin = last.map_or(Begin::Now, Begin::Last);
                workspace.follow(&Follow { runs, keys, begin })
            })
            .or_raise(py)?;
        Ok(Self { follower: Mutex::new(follower) })
    }
}

#[pymethods]
impl Follower {
    /// What changed since the call before, as a list of dicts, one a run; `None` when nothing did for `timeout`
    /// seconds, which may be infinite.
    fn next<'py>(&self, py: Python<'py>, timeout: f64) -> PyResult<Option<Bound<'py, PyList>>> {
        let began = Instant::now();
        let timeout = Duration::try_from_secs_f64(timeout).unwrap_or(Duration::MAX);
        loop {
            py.check_signals()?;
            let left = timeout.saturating_sub(began.elapsed());
            let found = py.detach(|| self.follower.lock().next(left.min(SLICE))).or_raise(py)?;
            match found {
                Some(changes) if !changes.runs.is_empty() => {
                    let runs = changes.runs.into_iter().map(|run| change(py, run)).collect::<PyResult<Vec<_>>>()?;
                    return PyList::new(py, runs).map(Some);
                }
                _ if left.is_zero() => return Ok(None),
                _ => {}
            }
        }
    }
}

/// What changed of a run, as a dict.
fn change(py: Python<'_>, run: RunChange) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("run_id", run.id.as_str())?;
    dict.set_item("event", run.event.map(name))?;
    if let Some(state) = &run.state {
        dict.set_item("status", state.status().as_str())?;
        dict.set_item("name", state.name())?;
        let texts = PyDict::new(py);
        state.params().try_for_each(|(key, value)| texts.set_item(key, value))?;
        dict.set_item("params", texts)?;
        let texts = PyDict::new(py);
        state.tags().try_for_each(|(key, value)| texts.set_item(key, value))?;
        dict.set_item("tags", texts)?;
    }
    let points = PyList::empty(py);
    for new in run.points {
        let point = PyDict::new(py);
        point.set_item("key", new.key)?;
        point.set_item("writer", new.writer.to_string())?;
        point.set_item("steps", Column::of_integers(new.columns.steps))?;
        point.set_item("values", Column::of_floats(new.columns.values))?;
        points.append(point)?;
    }
    dict.set_item("points", points)?;
    dict.set_item("removed", run.removed)?;
    Ok(dict)
}

fn name(event: RunEvent) -> &'static str {
    match event {
        RunEvent::Appeared => "appeared",
        RunEvent::Deleted => "deleted",
        RunEvent::Restored => "restored",
        RunEvent::Gone => "gone",
    }
}
