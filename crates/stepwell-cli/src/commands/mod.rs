//! The commands, one file each.

pub(crate) mod compact;
pub(crate) mod completions;
pub(crate) mod experiments;
pub(crate) mod export;
mod files;
pub(crate) mod gc;
pub(crate) mod help;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod lifecycle;
pub(crate) mod log;
pub(crate) mod man;
pub(crate) mod models;
mod origins;
mod parquet;
pub(crate) mod plot;
pub(crate) mod repair;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod show;
mod sink;
pub(crate) mod stats;
pub(crate) mod sync;
pub(crate) mod tail;
pub(crate) mod token;
pub(crate) mod verify;
