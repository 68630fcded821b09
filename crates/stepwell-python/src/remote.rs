//! Spools of servers: one a server and process, shared by all that log to it here.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use stepwell_remote::{Delivery, Error, Lag, ServerOptions, Spool, SpoolOptions};

use crate::errors;

/// A spool, and what it was opened with.
struct Opened {
    /// The process that opened it: a forked child opens its own.
    process: u32,
    options: ServerOptions,
    spool: Arc<Spool>,
}

/// The end of the process, once it has begun.
struct Ending {
    process: u32,
    /// How long what spools hold is waited for.
    until: Instant,
    /// Addresses of which it was told what is left.
    told: BTreeSet<String>,
}

static ENDING: Mutex<Option<Ending>> = Mutex::new(None);

type Spools = BTreeMap<String, Opened>;

/// The spools of this process by address.
static SPOOLS: Mutex<Spools> = Mutex::new(BTreeMap::new());

thread_local! {
    /// What the forking thread holds while it forks.
    static HELD: RefCell<Option<MutexGuard<'static, Spools>>> = const { RefCell::new(None) };
}

/// Whether a path is the address of a server.
pub(crate) fn is_address(path: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| path.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)))
}

/// The spool of a server, which carries what it holds from now on.
pub(crate) fn spool(address: &str) -> Result<Arc<Spool>, Error> {
    let mut options = ServerOptions::from_env(address)?;
    let own = std::process::id();
    let mut spools = SPOOLS.lock();
    match spools.get(&options.url) {
        Some(known) if known.process == own => return Ok(Arc::clone(&known.spool)),
        // An address that had a token lost it when it was opened first.
        Some(known) => options = known.options.clone(),
        None => {}
    }
    let spool = Arc::new(Spool::open(SpoolOptions::new(options.clone()))?);
    spool.start()?;
    crate::exit::prepare();
    let opened = Opened { process: own, options, spool: Arc::clone(&spool) };
    // The parent's threads are not here, and may hold its locks for ever.
    if let Some(of_parent) = spools.insert(opened.options.url.clone(), opened) {
        std::mem::forget(of_parent);
    }
    Ok(spool)
}

/// The spools that this process has opened.
fn own_spools() -> Vec<Arc<Spool>> {
    let own = std::process::id();
    SPOOLS.lock().values().filter(|known| known.process == own).map(|known| Arc::clone(&known.spool)).collect()
}

/// Keeps other threads from the list of spools while this one forks.
pub(crate) fn before_fork() {
    HELD.with_borrow_mut(|held| _ = held.get_or_insert_with(|| SPOOLS.lock()));
}

/// Lets them at it again, in the parent and in the child.
pub(crate) fn after_fork() {
    HELD.with_borrow_mut(|held| _ = held.take());
}

/// The exception for an error of a spool or a server.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let class = match error {
        Error::Store(error) => return errors::raise(py, error),
        Error::Network { .. } => "UnreachableError",
        Error::Refused { status: 404, .. } => "NotFoundError",
        Error::Refused { .. } => "RefusedError",
        Error::Invalid(_) => "InvalidError",
        Error::File { .. } => "StorageError",
        _ => "StepwellError",
    };
    errors::new(py, class, error.to_string())
}

/// What has arrived, as a dict.
pub(crate) fn delivery<'py>(py: Python<'py>, of: &Delivery) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("arrived", of.arrived)?;
    dict.set_item("points_left", of.points_left)?;
    dict.set_item("files_left", of.files_left)?;
    dict.set_item("refused", &of.refused)?;
    dict.set_item("error", &of.error)?;
    Ok(dict)
}

/// What is to be told of a delivery to an address, as [`delivery`] gives it.
#[pyfunction]
pub(crate) fn sentences(url: &str, left: &Bound<'_, PyDict>) -> PyResult<Vec<String>> {
    fn of<'py, T: FromPyObjectOwned<'py>>(left: &Bound<'py, PyDict>, name: &str) -> PyResult<T> {
        left.as_any().get_item(name)?.extract().map_err(Into::into)
    }
    let done = Delivery {
        arrived: of(left, "arrived")?,
        points_left: of(left, "points_left")?,
        files_left: of(left, "files_left")?,
        refused: of(left, "refused")?,
        error: of(left, "error")?,
    };
    Ok(done.sentences(url))
}

/// How far a server is behind, as a dict.
pub(crate) fn lag<'py>(py: Python<'py>, of: &Lag) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("points", of.points)?;
    dict.set_item("runs", of.runs)?;
    dict.set_item("seconds", of.oldest.map(|since| since.as_secs_f64()))?;
    dict.set_item("bytes", of.bytes)?;
    dict.set_item("limit_bytes", of.limit_bytes)?;
    dict.set_item("full", of.full)?;
    dict.set_item("refused", &of.refused)?;
    dict.set_item("error", &of.last_error)?;
    Ok(dict)
}

/// Seconds as a time to wait, within a day.
pub(crate) fn patience(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, 86_400.0)).unwrap_or_default()
}

/// Waits until what all spools of this process hold has arrived, so many seconds in all: for the end of the process. By
/// address, what is to be told of spools that something is left in.
#[pyfunction]
pub(crate) fn flush_spools(py: Python<'_>, wait: f64) -> PyResult<Bound<'_, PyDict>> {
    let until = Instant::now() + patience(wait);
    let mut ending = Ending { process: std::process::id(), until, told: BTreeSet::new() };
    let left = PyDict::new(py);
    for spool in py.detach(own_spools) {
        if py.detach(|| spool.lag()).runs == 0 {
            continue;
        }
        let wait = until.saturating_duration_since(Instant::now());
        let done = py.detach(|| spool.flush(wait));
        let said = done.sentences(spool.url());
        if !said.is_empty() {
            ending.told.insert(spool.url().to_owned());
            left.set_item(spool.url(), said)?;
        }
    }
    *ENDING.lock() = Some(ending);
    Ok(left)
}

/// Waits once more, within the same bounds, for what came to the spools since [`flush_spools`].
pub(crate) fn flush_last() {
    let Some(ending) = ENDING.lock().take().filter(|ending| ending.process == std::process::id()) else { return };
    // Another thread may hold the list, and be stopped for good.
    let Some(spools) = SPOOLS.try_lock_for(Duration::from_secs(1)) else { return };
    for Opened { spool, .. } in spools.values().filter(|known| known.process == ending.process) {
        if ending.told.contains(spool.url()) || spool.lag().runs == 0 {
            continue;
        }
        let done = spool.flush(ending.until.saturating_duration_since(Instant::now()));
        for said in done.sentences(spool.url()) {
            eprintln!("stepwell: at the end of the process: {said}");
        }
    }
}
