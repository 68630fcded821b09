//! Credentials of this user, for what speaks HTTP in Python.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use stepwell_login::Origin;
use stepwell_remote::{Error, Server, ServerOptions};

use crate::remote;

/// The server of an address, `scheme://host[:port]`.
#[pyfunction]
pub(crate) fn origin_of(address: &str) -> PyResult<String> {
    Origin::parse(address).map(|origin| origin.to_string()).map_err(PyValueError::new_err)
}

/// The token for requests to a server: of an hour, made from the one that this user keeps and renewed before it ends.
#[pyclass(frozen, module = "stepwell._native")]
pub(crate) struct Bearer {
    address: String,
    /// `None` as long as this user has no credential for it.
    server: Mutex<Option<Arc<Server>>>,
}

impl Bearer {
    fn server(&self) -> Result<Option<Arc<Server>>, Error> {
        let mut server = self.server.lock();
        if server.is_none() {
            let options = ServerOptions::from_login(&self.address)?;
            *server = options.map(Server::new).transpose()?.map(Arc::new);
        }
        Ok(server.clone())
    }
}

#[pymethods]
impl Bearer {
    /// For an address, which may have a path that a reverse proxy puts before all others.
    #[new]
    fn new(address: String) -> Self {
        Self { address, server: Mutex::default() }
    }

    /// The token that a request carries now; `None` if this user has no credential for the server.
    fn get(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let token = py.detach(|| self.server()?.map_or(Ok(None), |server| server.token()));
        token.map_err(|error| remote::raise(py, &error))
    }

    /// Forgets a token that the server refused; says whether another one can be made.
    fn drop(&self, token: &str) -> bool {
        self.server.lock().as_ref().is_some_and(|server| server.forget_token(token))
    }
}
