//! JSON: how requests are read, with MLflow's words for what is wrong, and how numbers, points and tokens are written.

pub(crate) mod check;
pub(crate) mod document;
pub(crate) mod number;
pub mod page;
pub(crate) mod points;
pub(crate) mod schema;

pub use document::{DEPTH_MAX, Shape, VALUES_MAX};
