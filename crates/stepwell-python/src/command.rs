//! The command `stepwell`, within the wheel.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command with these arguments, the program's name first. Gives the exit status.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| stepwell_cli::run(arguments))
}
