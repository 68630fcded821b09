//! An interface for programs built on the server: they decide themselves who a caller is.

use std::fmt::Debug;
use std::io;

use axum::http::HeaderMap;
use stepwell_wire::routes::Role;

/// Who asks, and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its name: what it creates, deletes and moves is recorded under it. May be empty.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The ids of the experiments that it may reach; without any it is the whole workspace.
    pub experiments: Vec<String>,
}

/// Identifies the caller, in place of the server's tokens: by the session of a web application, or by what a proxy in
/// front says. See [`Config::authenticator`](crate::Config::authenticator).
///
/// ```
/// use stepwell_server::{Authenticator, Caller, HeaderMap, Role};
///
/// #[derive(Debug)]
/// struct BehindProxy;
///
/// impl Authenticator for BehindProxy {
///     fn caller(&self, headers: &HeaderMap) -> std::io::Result<Option<Caller>> {
///         let user = headers.get("x-forwarded-user").and_then(|user| user.to_str().ok());
///         Ok(user.map(|name| Caller { name: name.to_owned(), role: Role::Write, experiments: Vec::new() }))
///     }
/// }
/// ```
pub trait Authenticator: Debug + Send + Sync + 'static {
    /// Returns the caller of a request, by its headers; `None` if it is unknown, which gets 401. It is called for each
    /// request, on a thread that serves others too, so it must not block.
    ///
    /// # Errors
    /// When callers cannot be identified just now: the request gets 503.
    fn caller(&self, headers: &HeaderMap) -> io::Result<Option<Caller>>;
}
