//! The filter language and its execution against a plain oracle, and MLflow's rules one by one.

mod index;
mod language;
mod oracle;
mod packed;
mod pages;
