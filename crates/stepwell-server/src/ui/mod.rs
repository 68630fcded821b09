//! Pages: Stepwell's own, MLflow's web UI where it is installed, and a plain page where there is neither.

pub(crate) mod files;
pub mod locate;
pub mod own;
pub(crate) mod pages;
