//! Spools and a server, each a process of its own where it must die.

mod carrying;
mod failing;
mod hostile;
mod proxy;
mod support;
