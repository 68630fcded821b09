//! Long work that Ctrl-C interrupts: the work runs in a thread, while Python's main thread checks for signals.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// How long the main thread waits before it looks for signals.
const SLICE: Duration = Duration::from_millis(50);

/// Whether nobody waits for the work any more.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends the work here if nobody waits for it. For places where it holds no lock.
    pub(crate) fn end_if_unwanted(&self) {
        if self.0.load(Ordering::Relaxed) {
            // Ends the thread, in silence.
            std::panic::resume_unwind(Box::new(()));
        }
    }
}

/// Does something while other Python threads run. If the user interrupts, this raises at once; the work goes on to its
/// end, or to where it looks at its [`Stop`].
pub(crate) fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&Stop) -> T + Send + 'static,
) -> PyResult<T> {
    let stop = Stop::default();
    // Signals are the main thread's.
    if !is_main_thread(py)? {
        return Ok(py.detach(|| work(&stop)));
    }
    let place = Arc::new(Place { done: Mutex::new(None), told: Condvar::new() });
    let (own, to) = (stop.clone(), Arc::clone(&place));
    std::thread::Builder::new().name("stepwell-work".into()).spawn(move || {
        let done = std::panic::catch_unwind(AssertUnwindSafe(|| work(&own))).ok();
        *to.done.lock() = Some(done);
        to.told.notify_one();
    })?;
    loop {
        let found = py.detach(|| {
            let mut done = place.done.lock();
            if done.is_none() {
                place.told.wait_for(&mut done, SLICE);
            }
            done.take()
        });
        match found {
            Some(Some(done)) => return Ok(done),
            Some(None) => return Err(PyRuntimeError::new_err("the work ended early; this is a fault of stepwell")),
            None => py.check_signals().inspect_err(|_| stop.0.store(true, Ordering::Relaxed))?,
        }
    }
}

/// Where the work leaves what it found; `None` within if it panicked.
struct Place<T> {
    done: Mutex<Option<Option<T>>>,
    told: Condvar,
}

fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import(pyo3::intern!(py, "threading"))?;
    let current = threading.call_method0(pyo3::intern!(py, "get_ident"))?;
    threading.call_method0(pyo3::intern!(py, "main_thread"))?.getattr(pyo3::intern!(py, "ident"))?.eq(current)
}
