//! What a run and its metrics share: the writer behind a lock, and how failures are raised or counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use stepwell::{RunId, RunWriter};
use stepwell_remote::Spool;

use crate::errors::{self, OrRaise};
use crate::flag::{Mutex, MutexGuard};
use crate::interrupt::interruptible;

/// What is said of a spool that takes no more.
const FULL: &str = "the spool has reached its limit (STEPWELL_SPOOL_LIMIT bytes) before the server took what it holds";

/// What a lock guards of a run.
pub(crate) struct State {
    /// `None` once the run was ended or closed.
    pub(crate) writer: Option<RunWriter>,
    /// Points that the writer was given by then.
    pub(crate) points: u64,
    /// The step of the next call that names none.
    pub(crate) next_step: i64,
    /// Points, params and tags that could not be logged, and why the first and the last could not.
    pub(crate) lost: u64,
    pub(crate) first_error: String,
    pub(crate) last_error: String,
    /// What takes no more once it is full; `None` for a folder.
    pub(crate) spool: Option<Arc<Spool>>,
}

/// What a run and its metrics share.
pub(crate) struct Shared {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) id: RunId,
    /// Whether errors are raised rather than counted.
    pub(crate) strict: bool,
    pub(crate) warned: AtomicBool,
}

/// What one call could not log.
pub(crate) enum Trouble {
    Store(stepwell::Error),
    Python(PyErr),
    Ended,
    Full,
}

impl From<stepwell::Error> for Trouble {
    fn from(error: stepwell::Error) -> Self {
        Self::Store(error)
    }
}

impl From<PyErr> for Trouble {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl Shared {
    /// The lock, most often free; who waits for it lets other threads run.
    #[inline]
    pub(crate) fn lock(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        match self.state.try_lock() {
            Some(state) => state,
            None => self.wait(py),
        }
    }

    #[cold]
    fn wait(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        loop {
            py.detach(|| drop(self.state.lock()));
            if let Some(state) = self.state.try_lock() {
                return state;
            }
        }
    }

    /// Logs by `log`; without `strict` what fails is counted as `lost` and warned of once.
    #[inline]
    pub(crate) fn logged(
        &self,
        py: Python<'_>,
        lost: u64,
        log: impl FnOnce(&mut State) -> Result<(), Trouble>,
    ) -> PyResult<()> {
        let done = log(&mut self.lock(py));
        match done {
            Ok(()) => Ok(()),
            Err(trouble) => self.failed(py, lost, trouble),
        }
    }

    #[cold]
    pub(crate) fn failed(&self, py: Python<'_>, lost: u64, trouble: Trouble) -> PyResult<()> {
        let error = match trouble {
            Trouble::Store(error) => errors::raise(py, &error),
            Trouble::Python(error) => error,
            Trouble::Ended => self.ended(py),
            Trouble::Full => errors::new(py, "StorageError", FULL.to_owned()),
        };
        // What a user interrupts is no failure to log.
        if !error.is_instance_of::<pyo3::exceptions::PyException>(py) {
            return Err(error);
        }
        let message = error.value(py).to_string();
        {
            let mut state = self.lock(py);
            state.lost += lost;
            if state.first_error.is_empty() {
                state.first_error.clone_from(&message);
            }
            state.last_error.clone_from(&message);
        }
        if self.strict {
            return Err(error);
        }
        if self.warned.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let class = errors::class_named(py, "LoggingWarning")?;
        let text = format!(
            "run {}: {message}; training goes on, further failures are counted in run.health() (strict=True raises)",
            self.id
        );
        let text = std::ffi::CString::new(text.replace('\0', " "))?;
        PyErr::warn(py, &class, &text, 1)
    }

    /// The exception for a run that takes nothing more.
    pub(crate) fn ended(&self, py: Python<'_>) -> PyErr {
        errors::new(py, "EndedError", format!("run {} is ended; resume it to log more", self.id))
    }

    /// Runs something that may wait for the disk, while other Python threads run. An interrupt ends the wait.
    pub(crate) fn at_disk<T: Send + 'static>(
        &self,
        py: Python<'_>,
        run: impl FnOnce(&mut State) -> stepwell::Result<T> + Send + 'static,
    ) -> PyResult<T> {
        let state = Arc::clone(&self.state);
        interruptible(py, move |_| run(&mut state.lock()))?.or_raise(py)
    }
}

impl State {
    #[inline]
    pub(crate) fn writer(&mut self) -> Result<&mut RunWriter, Trouble> {
        if self.spool.as_ref().is_some_and(|spool| spool.is_full()) {
            return Err(Trouble::Full);
        }
        self.writer.as_mut().ok_or(Trouble::Ended)
    }

    /// Points that this writer was given.
    pub(crate) fn points(&self) -> u64 {
        self.writer.as_ref().map_or(self.points, RunWriter::points)
    }

    /// The writer, for its end.
    pub(crate) fn take(&mut self) -> Option<RunWriter> {
        self.points = self.points();
        self.writer.take()
    }

    /// Logs what the machine does; false once the run is ended. What fails is counted like all else.
    pub(crate) fn log_system(&mut self, step: i64, values: &[(&str, f64)]) -> bool {
        let Some(writer) = &mut self.writer else { return false };
        if let Err(error) = writer.log_metrics(step, None, values) {
            self.lost += values.len() as u64;
            self.last_error = error.to_string();
            if self.first_error.is_empty() {
                self.first_error.clone_from(&self.last_error);
            }
        }
        true
    }

    /// The step of a call that gave this one, or none.
    #[inline]
    pub(crate) fn step_of(&self, given: Option<i64>) -> i64 {
        given.unwrap_or(self.next_step)
    }

    /// Counts on behind a step.
    #[inline]
    pub(crate) fn passed(&mut self, step: i64) {
        self.next_step = step.saturating_add(1);
    }
}
