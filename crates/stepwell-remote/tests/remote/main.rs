//! Spools and a server, each a process of its own where it must die.

#![allow(clippy::disallowed_methods, reason = "a proxy and a server's output have threads of their own")]

mod carrying;
mod failing;
mod hostile;
mod leaving;
mod machines;
mod proxy;
mod support;
