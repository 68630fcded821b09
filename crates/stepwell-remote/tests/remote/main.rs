//! Spools and a server, each a process of its own where it must die.

mod carrying;
mod support;
