//! Several servers and trainers, each a process of its own, on one workspace at once.
#![allow(clippy::disallowed_methods, reason = "a test may start threads")]

mod flood;
mod memory;
mod process;
mod refusing;
mod registry;
mod remote;
mod together;
mod trainer;
