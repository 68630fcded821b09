//! The server: MLflow's REST API, artifacts and web UI on a Stepwell workspace.
//!
//! The only part of the project that knows HTTP, JSON and async. What MLflow's rules are is known below it, in the
//! library's facade; here is how requests are written, who may send them, and how many at once.
//!
//! In reading order: [`config`] what the owner chooses, [`auth`] who may do what, [`wire`] JSON and errors,
//! [`artifacts`] files, `api` the endpoints, [`routes`] the one table of them, `http` connections and limits, [`ui`]
//! pages.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! let config = stepwell_server::Config::of("runs".as_ref());
//! stepwell_server::serve(config, &mut |place| println!("{place}"))
//! # }
//! ```

pub mod artifacts;
pub mod auth;
pub mod config;
pub mod routes;
pub mod ui;
pub mod wire;

mod api;
mod app;
mod http;

pub use app::App;
pub use auth::authenticator::{Authenticator, Caller};
pub use auth::tokens::{Role, Token, Tokens};
pub use axum::http::HeaderMap;
pub use config::{Access, Config};
pub use http::listen::serve;
pub use http::place::Place;
pub use routes::router;
