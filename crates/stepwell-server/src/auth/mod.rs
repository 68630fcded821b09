//! Who may do what: tokens or a caller's own authenticator, and what each route asks for.

pub(crate) mod access;
pub mod authenticator;
mod hourly;
pub mod tokens;
