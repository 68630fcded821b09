//! Pages: MLflow's own web UI where it is installed, and a plain page where it is not.

pub(crate) mod files;
pub mod locate;
pub(crate) mod pages;
