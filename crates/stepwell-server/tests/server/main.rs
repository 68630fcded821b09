//! Tests of the server as others use it: through its router and over TCP.

mod access;
mod artifacts;
mod browsers;
mod paths;
mod support;
mod tcp;
mod tracking;
