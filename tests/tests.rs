//! Integration tests, one module a subject. They reach the store only through its public names.

mod flips;
mod golden;
mod life;
mod maintenance;
mod search;
mod support;
