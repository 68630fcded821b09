//! Tests of the facade by subject.

mod basics;
mod bulk;
mod inputs;
mod models;
mod purge;
mod registered;
mod support;
