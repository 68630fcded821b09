//! MLflow: its folder store (`mlruns`) and its SQLite database (`mlflow.db`).

pub(crate) mod database;
pub(crate) mod folder;
mod meta;
