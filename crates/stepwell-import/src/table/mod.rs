//! Tables: CSV, JSON lines and Parquet, whose columns mean runs, keys, steps, times and values.

pub(crate) mod cast;
pub(crate) mod columns;
pub(crate) mod csv;
pub(crate) mod json;
pub(crate) mod jsonl;
pub(crate) mod monitor;
pub(crate) mod parquet;
pub(crate) mod rows;
