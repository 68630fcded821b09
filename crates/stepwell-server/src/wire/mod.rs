//! The wire: requests and answers in the JSON that MLflow's clients and UI speak.

pub(crate) mod call;
pub(crate) mod check;
pub mod fault;
pub(crate) mod json;
pub(crate) mod number;
pub(crate) mod page;
pub(crate) mod points;
pub(crate) mod schema;
