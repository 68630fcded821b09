//! Integration tests, one module a subject. They reach the store only through its public names.

mod life;
mod maintenance;
mod search;
