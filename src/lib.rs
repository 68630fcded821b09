//! Stepwell is an embedded metrics time-series store for experiment tracking.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod base;
pub mod codec;
pub mod error;
pub mod index;
pub mod log;
pub mod options;
pub mod run;
pub mod search;
pub mod segment;
pub mod storage;
pub mod workspace;
