//! Tests of the facade by subject.

mod basics;
mod support;
