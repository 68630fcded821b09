//! Credentials of this user, for what speaks HTTP in Python.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use stepwell_login::{Origin, credential};

/// The server of an address, `scheme://host[:port]`.
#[pyfunction]
pub(crate) fn origin_of(address: &str) -> PyResult<String> {
    Origin::parse(address).map(|origin| origin.to_string()).map_err(PyValueError::new_err)
}

/// The long-lived token for a server and the file of certificates to trust for it, if this user has one.
#[pyfunction]
pub(crate) fn credential_for(py: Python<'_>, origin: &str) -> PyResult<Option<(String, Option<std::path::PathBuf>)>> {
    let origin = Origin::parse(origin).map_err(PyValueError::new_err)?;
    let found = py.detach(|| credential(&origin)).map_err(PyValueError::new_err)?;
    Ok(found.map(|credential| (credential.token, credential.ca)))
}
