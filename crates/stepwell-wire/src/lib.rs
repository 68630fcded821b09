//! MLflow's REST API as calls: a method, a path and JSON in, a status and JSON out.
//!
//! It knows no HTTP, no sockets and no async. The server puts HTTP around it. A process that works on a workspace
//! itself calls [`Api::answer`] and gets the same answers. MLflow's rules are in the library's facade below; this crate
//! reads requests, writes answers, and lists the paths.
//!
//! In reading order: [`routes`] is the one table of endpoints, `operations` does what each of them does, [`Api`]
//! answers, [`Context`] says for whom, [`json`] reads requests, [`Fault`] reports failures, and [`artifacts`] holds
//! files.
//!
//! ```
//! use stepwell::Workspace;
//! use stepwell_wire::{Api, Settings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let folder = dir.path().join("runs");
//! let workspace = Workspace::open_or_create(&folder)?;
//! let settings = Settings::of(&workspace);
//! let api = Api::new(workspace, settings)?;
//!
//! let made = api.answer("POST", "/api/2.0/mlflow/experiments/create", "", br#"{"name": "vision"}"#);
//! assert_eq!(made.status, 200);
//! assert!(made.body.starts_with(br#"{"experiment_id":""#));
//!
//! let again = api.answer("POST", "/api/2.0/mlflow/experiments/create", "", br#"{"name": "vision"}"#);
//! assert_eq!(again.status, 400);
//! assert!(again.body.starts_with(br#"{"error_code":"RESOURCE_ALREADY_EXISTS""#));
//!
//! let found = api.answer("GET", "/api/2.0/mlflow/experiments/get-by-name", "experiment_name=vision", b"");
//! assert!(String::from_utf8(found.body)?.contains(r#""name":"vision""#));
//!
//! api.tracking().close()?;
//! # Ok(())
//! # }
//! ```

pub mod artifacts;
pub mod json;
pub mod routes;

mod api;
mod call;
mod fault;
mod operations;

pub use api::{Api, BODY_BYTES_MAX, Settings};
pub use call::{Answer, Context, Input, Outcome};
pub use fault::{Code, Fault};
