//! Tests of the server as others use it: through its router and over TCP.
#![allow(clippy::disallowed_methods, reason = "a test may start threads")]

mod abuse;
mod access;
mod alike;
mod artifacts;
mod browsers;
mod crowd;
mod damage;
mod observed;
mod page;
mod paths;
mod record;
mod sealed;
mod support;
mod tcp;
mod tracking;
mod wire;
