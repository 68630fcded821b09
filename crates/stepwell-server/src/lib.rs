//! The server: MLflow's REST API, artifacts and web UI on a Stepwell workspace.
//!
//! The only part of the project that knows HTTP and async. The endpoints and their JSON are [`stepwell_wire`]'s; here is
//! who may ask for them, how many at once, and what HTTP alone has: files as streams, and pages.
//!
//! In reading order: [`config`] what the owner chooses, [`auth`] who may do what, [`routes`] from a request to a route
//! of the table, `http` connections and limits, `about` what the server says of itself, `artifacts` files, [`ui`] pages.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! let config = stepwell_server::Config::of("runs".as_ref());
//! stepwell_server::serve(config, &mut |place| println!("{place}"))
//! # }
//! ```

pub mod auth;
pub mod config;
pub mod routes;
pub mod ui;

mod about;
mod app;
mod artifacts;
mod http;
mod parcels;

pub use app::App;
pub use auth::authenticator::{Authenticator, Caller};
pub use auth::tokens::{Token, Tokens};
pub use axum::http::HeaderMap;
pub use config::{Access, Config, Front};
pub use http::listen::serve;
pub use http::place::Place;
pub use routes::router;
pub use stepwell_wire::routes::Role;
