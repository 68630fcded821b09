//! Routes: the one table of endpoints, what each asks of its caller, and which of them a path and a method name.

mod access;
mod find;
mod route;
mod table;

pub(crate) use access::mentioned;
pub use access::{Need, Object, Reach, Role};
pub use find::{Found, Matched, Paths};
pub(crate) use route::Run;
pub use route::{At, Lane, Route, ServerOnly, Verb};
pub use table::TABLE;
