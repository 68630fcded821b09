//! The extension module `stepwell._native`: the part of the Python package that is written in Rust.

mod column;
mod command;
mod convert;
mod errors;
mod exit;
mod flag;
mod follow;
mod foreign;
mod fork;
mod given;
mod interrupt;
mod login;
mod mlflow;
mod remote;
mod run;
mod series;
mod shared;
mod system;
mod table;
mod view;
mod workspace;

use pyo3::prelude::*;

/// The native half of the package; the package itself has the documentation.
#[pymodule]
#[pyo3(name = "_native")]
mod native {
    #[pymodule_export]
    use crate::column::Column;
    #[pymodule_export]
    use crate::command::main;
    #[pymodule_export]
    use crate::exit::ended_with_process;
    #[pymodule_export]
    use crate::follow::Follower;
    #[pymodule_export]
    use crate::fork::{after_fork, before_fork};
    #[pymodule_export]
    use crate::login::{Bearer, origin_of};
    #[pymodule_export]
    use crate::mlflow::MlflowStore;
    #[pymodule_export]
    use crate::remote::{flush_spools, sentences};
    #[pymodule_export]
    use crate::run::{Metric, RunBase};
    #[pymodule_export]
    use crate::series::{Plot, Series};
    #[pymodule_export]
    use crate::table::Table;
    #[pymodule_export]
    use crate::view::{Points, RunView};
    #[pymodule_export]
    use crate::workspace::WorkspaceBase;

    use std::sync::OnceLock;

    use pyo3::exceptions::PyImportError;
    use pyo3::prelude::*;

    /// The interpreter that has the module, by something that is its own.
    static INTERPRETER: OnceLock<usize> = OnceLock::new();

    /// Takes the module for an interpreter; a second one of the process is refused.
    #[pyfunction]
    fn _claim(interpreter: usize) -> PyResult<()> {
        if *INTERPRETER.get_or_init(|| interpreter) == interpreter {
            return Ok(());
        }
        Err(PyImportError::new_err("stepwell works in one interpreter of a process, not in a subinterpreter beside it"))
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
