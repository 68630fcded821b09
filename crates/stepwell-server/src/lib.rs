//! The server: MLflow's REST API, artifacts and web UI on a Stepwell workspace.
//!
//! The only crate that serves HTTP and uses async. [`stepwell_wire`] has the endpoints and their JSON. This crate
//! decides who may call them and how many calls run at once, and adds what needs HTTP: files as streams, and pages.
//!
//! In reading order: [`config`] holds the owner's choices, [`auth`] says who may do what, [`routes`] finds the route of
//! a request, `http` has connections and limits, `about` is what the server says about itself, `artifacts` serves
//! files, and [`ui`] pages.
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
