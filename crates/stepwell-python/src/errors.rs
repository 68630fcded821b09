//! Errors of the store as exceptions of the package.

use pyo3::prelude::*;
use pyo3::types::PyType;

use stepwell::Error;

/// The exception for an error of the store; `stepwell._errors` defines the classes.
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let class = match error {
        Error::Io { .. } => "StorageError",
        Error::Corrupt { .. } => "CorruptError",
        Error::NotWorkspace { .. } | Error::NewerFormat { .. } => "NotAWorkspaceError",
        Error::NotFound { .. } => "NotFoundError",
        Error::AlreadyExists { .. } => "AlreadyExistsError",
        Error::Deleted { .. } => "DeletedError",
        Error::Invalid { .. } => "InvalidError",
        Error::ParamConflict { .. } | Error::ParamClaimed { .. } => "ParamConflictError",
        Error::DurabilityLost { .. } | Error::LogRemoved { .. } => "DurabilityError",
        _ => "StepwellError",
    };
    new(py, class, error.to_string())
}

/// An exception of the package, by the name of its class.
pub(crate) fn new(py: Python<'_>, class: &str, message: String) -> PyErr {
    match class_named(py, class) {
        Ok(class) => PyErr::from_type(class, (message,)),
        Err(error) => error,
    }
}

/// A class of `stepwell._errors`.
pub(crate) fn class_named<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyType>> {
    Ok(py.import("stepwell._errors")?.getattr(name)?.cast_into::<PyType>()?)
}

/// Turns results of the store into results of Python.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception that stands for the error.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for stepwell::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| raise(py, &error))
    }
}
