//! The workspace: opening a folder, finding runs, keeping it small and sound.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use stepwell::maintenance::CompactOptions;
use stepwell::query::{Query, View};
use stepwell::{RunId, Workspace};
use stepwell_remote::Spool;

use crate::errors::OrRaise;
use crate::follow::Follower;
use crate::interrupt::interruptible;
use crate::remote;
use crate::table::Table;
use crate::view::RunView;

/// Rows that are found before anybody wants to interrupt.
const SHORT: usize = 10_000;

/// A folder of runs. `stepwell.Workspace` adds what needs no speed.
#[pyclass(frozen, subclass, module = "stepwell._native")]
#[derive(Clone)]
pub(crate) struct WorkspaceBase {
    store: Arc<Workspace>,
    /// What the folder was when it was opened: its device and its inode.
    opened: (u64, u64),
    /// The server that a thread carries all to; `None` for a folder.
    server: Option<Arc<str>>,
}

impl WorkspaceBase {
    /// The store below.
    pub(crate) fn store(&self) -> &Workspace {
        &self.store
    }

    /// The spool of a server.
    fn of_server(py: Python<'_>, address: &str) -> PyResult<Self> {
        let spool = py.detach(|| remote::spool(address)).map_err(|error| remote::raise(py, &error))?;
        let store = spool.workspace().clone();
        let opened = identity(store.root()).unwrap_or_default();
        Ok(Self { store: Arc::new(store), opened, server: Some(spool.url().into()) })
    }

    /// The spool, if this is one; in a forked child one of its own.
    pub(crate) fn spool(&self) -> Option<Result<Arc<Spool>, stepwell_remote::Error>> {
        self.server.as_ref().map(|server| remote::spool(server))
    }

    /// The spool, for calls that only make sense with one.
    fn own_spool(&self, py: Python<'_>) -> PyResult<Arc<Spool>> {
        match py.detach(|| self.spool()) {
            Some(spool) => spool.map_err(|error| remote::raise(py, &error)),
            None => Err(PyTypeError::new_err("this workspace is a folder, and no server's")),
        }
    }

    /// Why nothing that is logged is kept any more: the folder was removed, or another one is in its place.
    pub(crate) fn gone(&self) -> Option<String> {
        let root = self.store.root();
        let what = match identity(root) {
            Ok(now) if now == self.opened => return None,
            Ok(_) => "another folder is in its place",
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "the folder was removed",
            // What cannot be looked at now may be there.
            Err(_) => return None,
        };
        Some(format!("{}: {what}, and with it what was logged", root.display()))
    }

    /// A view of a run by its id. One that has left the spool is read on the server.
    pub(crate) fn view(&self, py: Python<'_>, id: &RunId) -> PyResult<RunView> {
        if self.server.is_none() {
            return py.detach(|| self.store.run(id)).map(|run| RunView::new(&self.store, run)).or_raise(py);
        }
        let (spool, run) = (self.own_spool(py)?, id.clone());
        if py.detach(|| spool.holds(id)).map_err(|error| remote::raise(py, &error))? {
            return py.detach(|| self.store.run(id)).map(|run| RunView::new(&self.store, run)).or_raise(py);
        }
        let url = spool.url().to_owned();
        let read = interruptible(py, move |_| spool.read_run(&run))?;
        read.map(|run| RunView::of_server(&url, run)).map_err(|error| remote::raise(py, &error))
    }
}

#[pymethods]
impl WorkspaceBase {
    #[new]
    #[pyo3(signature = (path, *, create=true, read_only=false))]
    fn new(py: Python<'_>, path: PathBuf, create: bool, read_only: bool) -> PyResult<Self> {
        if let Some(address) = path.to_str().filter(|path| remote::is_address(path)) {
            return Self::of_server(py, address);
        }
        let store = py
            .detach(|| match (read_only, create) {
                (true, _) => Workspace::open_read_only(&path),
                (false, true) => Workspace::open_or_create(&path),
                (false, false) => Workspace::open(&path),
            })
            .or_raise(py)?;
        let opened = identity(store.root()).unwrap_or_default();
        Ok(Self { store: Arc::new(store), opened, server: None })
    }

    /// The path of the folder.
    #[getter]
    fn path(&self) -> PathBuf {
        self.store.root().to_owned()
    }

    /// The server's address; `None` for a folder.
    #[getter]
    fn _server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// How far the server is behind.
    fn _lag<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let spool = self.own_spool(py)?;
        remote::lag(py, &py.detach(|| spool.lag()))
    }

    /// Waits until all has arrived at the server, or all of a run.
    #[pyo3(signature = (wait, run_id=None))]
    fn _arrive<'py>(&self, py: Python<'py>, wait: f64, run_id: Option<&str>) -> PyResult<Bound<'py, PyDict>> {
        let spool = self.own_spool(py)?;
        let run = run_id.map(RunId::new).transpose().or_raise(py)?;
        let wait = remote::patience(wait);
        let done = interruptible(py, move |_| match run {
            Some(run) => spool.finish(&run, wait),
            None => spool.flush(wait),
        })?;
        remote::delivery(py, &done)
    }

    /// Asks the server something of MLflow's REST API: status and body.
    fn _call<'py>(
        &self,
        py: Python<'py>,
        method: String,
        path: String,
        query: String,
        body: Vec<u8>,
    ) -> PyResult<(u16, Bound<'py, PyBytes>)> {
        let spool = self.own_spool(py)?;
        let answer = interruptible(py, move |_| spool.server().call(&method, &path, &query, &body))?
            .map_err(|error| remote::raise(py, &error))?;
        Ok((answer.status, PyBytes::new(py, &answer.body)))
    }

    /// Has the spool go on with a run, or a logged model, of the server.
    fn _adopt(&self, py: Python<'_>, run_id: &str) -> PyResult<()> {
        let (spool, id) = (self.own_spool(py)?, RunId::new(run_id).or_raise(py)?);
        py.detach(|| spool.adopt(&id, None)).map_err(|error| remote::raise(py, &error))
    }

    /// Whether a run is in the spool.
    fn _holds(&self, py: Python<'_>, run_id: &str) -> PyResult<bool> {
        let Ok(id) = RunId::new(run_id) else { return Ok(false) };
        let spool = self.own_spool(py)?;
        py.detach(|| spool.holds(&id)).map_err(|error| remote::raise(py, &error))
    }

    /// A view of a run; also `workspace[run_id]`. Raises `NotFoundError` if there is no such run.
    fn get(&self, py: Python<'_>, run_id: &str) -> PyResult<RunView> {
        let id = RunId::new(run_id).or_raise(py)?;
        self.view(py, &id)
    }

    fn __getitem__(&self, py: Python<'_>, run_id: &str) -> PyResult<RunView> {
        self.get(py, run_id)
    }

    fn __contains__(&self, py: Python<'_>, run_id: &str) -> PyResult<bool> {
        // What is not an id names no run.
        let Ok(id) = RunId::new(run_id) else { return Ok(false) };
        Ok(py.detach(|| self.store.find_run(&id)).or_raise(py)?.is_some())
    }

    /// Finds runs, as a table.
    ///
    /// filter: such as `metrics.loss < 0.1 AND params.model = 'tree'`; docs/filter.md has the language. All runs
    ///     without.
    /// order_by: such as `"metrics.loss DESC"`, or a list of such; the newest run first without.
    /// experiments: names; all without.
    /// limit, offset: at most `limit` rows, after the first `offset`.
    /// deleted: whether deleted runs are found instead of the others.
    ///
    /// Raises `InvalidError` for a filter or an order with a mistake, and says where it is. Milliseconds for a million
    /// runs.
    #[pyo3(signature = (filter="", *, order_by=None, experiments=None, limit=1000, offset=0, deleted=false))]
    #[expect(clippy::too_many_arguments, reason = "they are the keyword arguments of one Python call")]
    fn search(
        &self,
        py: Python<'_>,
        filter: &str,
        order_by: Option<&Bound<'_, PyAny>>,
        experiments: Option<Vec<String>>,
        limit: usize,
        offset: usize,
        deleted: bool,
    ) -> PyResult<Table> {
        let order_by = match order_by {
            None => Vec::new(),
            Some(one) => match one.extract::<String>() {
                Ok(one) => vec![one],
                Err(_) => one.extract::<Vec<String>>().map_err(|_| {
                    PyTypeError::new_err("order_by is a list of texts such as \"metrics.loss DESC\", or one")
                })?,
            },
        };
        let (store, filter) = (Arc::clone(&self.store), filter.to_owned());
        let search = move || -> stepwell::Result<Table> {
            let mut query = Query::parse(&filter, &order_by)?;
            query.max_results = limit;
            query.offset = offset;
            query.view = if deleted { View::DeletedOnly } else { View::ActiveOnly };
            for name in experiments.unwrap_or_default() {
                let experiment = store.experiments().by_name(&name)?;
                query.experiments.push(
                    experiment.ok_or_else(|| stepwell::Error::not_found(stepwell::Entity::Experiment, &name))?.id,
                );
            }
            Table::new(&store, &store.search(&query)?)
        };
        match limit {
            ..=SHORT => py.detach(search),
            _ => interruptible(py, move |_| search())?,
        }
        .or_raise(py)
    }

    /// The ids of the runs that a filter finds, for scans.
    #[pyo3(signature = (filter="", experiments=None))]
    fn _run_ids(&self, py: Python<'_>, filter: &str, experiments: Option<Vec<String>>) -> PyResult<Vec<String>> {
        let (store, mut query) = (Arc::clone(&self.store), Query::parse(filter, &[] as &[&str]).or_raise(py)?);
        interruptible(py, move |_| -> stepwell::Result<_> {
            for name in experiments.unwrap_or_default() {
                let experiment = store.experiments().by_name(&name)?;
                query.experiments.push(
                    experiment.ok_or_else(|| stepwell::Error::not_found(stepwell::Entity::Experiment, &name))?.id,
                );
            }
            query.max_results = usize::MAX;
            let ids = store.search(&query)?.run_ids()?;
            Ok(ids.iter().map(|id| id.as_str().to_owned()).collect())
        })?
        .or_raise(py)
    }

    /// The names of the experiments that are not deleted.
    fn experiments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let found = py.detach(|| self.store.experiments().list()).or_raise(py)?;
        PyList::new(py, found.into_iter().filter(|experiment| !experiment.deleted).map(|experiment| experiment.name))
    }

    /// Follows what is logged, here or by any other process: see `stepwell.Workspace.follow`.
    #[pyo3(signature = (runs=None, keys=None, last=None))]
    fn _follow(
        &self,
        py: Python<'_>,
        runs: Option<Vec<String>>,
        keys: Option<Vec<String>>,
        last: Option<usize>,
    ) -> PyResult<Follower> {
        Follower::new(py, &self.store, runs.unwrap_or_default(), keys.unwrap_or_default(), last)
    }

    /// Marks a run deleted, so that searches leave it out. `restore` takes it back; `stepwell gc` removes it for good.
    fn delete(&self, py: Python<'_>, run_id: &str) -> PyResult<()> {
        let id = RunId::new(run_id).or_raise(py)?;
        py.detach(|| self.store.delete_run(&id)).or_raise(py)
    }

    /// Restores a run that was marked deleted.
    fn restore(&self, py: Python<'_>, run_id: &str) -> PyResult<()> {
        let id = RunId::new(run_id).or_raise(py)?;
        py.detach(|| self.store.restore_run(&id)).or_raise(py)
    }

    /// Packs runs that nobody writes any more: fewer files and bytes, the same answers.
    ///
    /// Gives a dict of counts: `runs` and `points` that were packed, and the runs that were `busy`.
    fn compact<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let store = Arc::clone(&self.store);
        let done = interruptible(py, move |_| store.maintenance().compact(CompactOptions::default()))?.or_raise(py)?;
        let dict = PyDict::new(py);
        dict.set_item("runs", done.runs)?;
        dict.set_item("points", done.points)?;
        dict.set_item("busy", done.busy)?;
        Ok(dict)
    }

    /// Reads and checks every byte of the workspace. Gives the damage in words; an empty list when all is sound.
    fn verify<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let store = Arc::clone(&self.store);
        let report =
            interruptible(py, move |stop| store.maintenance().verify_with(&mut |_, _| stop.end_if_unwanted()))?
                .or_raise(py)?;
        PyList::new(
            py,
            report.damage.iter().map(|one| {
                format!("{} at byte {}: {}; it costs {}", one.file.display(), one.offset, one.what, one.cost)
            }),
        )
    }

    fn __repr__(&self) -> String {
        format!("<stepwell.Workspace {}>", self.store.root().display())
    }
}

/// What tells a folder from another one of its path.
fn identity(folder: &Path) -> std::io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(folder)?;
    Ok((metadata.dev(), metadata.ino()))
}
