//! Tables: CSV, JSON lines, JSON documents and Parquet, whose columns mean runs, keys, steps, times and values.

pub(crate) mod cast;
pub(crate) mod cells;
pub(crate) mod columnar;
pub(crate) mod columns;
pub(crate) mod commas;
pub(crate) mod csv;
pub(crate) mod document;
pub(crate) mod dvclive;
pub(crate) mod epochs;
pub(crate) mod inexact;
pub(crate) mod json;
pub(crate) mod jsonl;
pub(crate) mod monitor;
pub(crate) mod objects;
pub(crate) mod parquet;
mod position;
pub(crate) mod records;
pub(crate) mod rows;
pub(crate) mod seen;
mod texts;
pub(crate) mod times;
pub(crate) mod trainer;
