//! A caller's own way to tell who asks, for programs that are built on the server.

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

/// Tells who asks, in place of the server's tokens: by the session of a web application, or by what a proxy in front
/// says. See [`Config::authenticator`](crate::Config::authenticator).
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
    /// The caller of a request, by its headers; `None` for somebody unknown, who gets 401. Each request asks, on a
    /// thread that serves others too, so it must answer at once.
    ///
    /// # Errors
    /// When nobody can be told apart just now: the request gets 503.
    fn caller(&self, headers: &HeaderMap) -> io::Result<Option<Caller>>;
}
