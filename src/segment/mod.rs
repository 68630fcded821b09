//! Immutable columns: row groups (series with pages, statistics and pyramids) and packs (files of row groups).
//!
//! In reading order: [`layout`] has the constants, [`stats`] and [`pyramid`] what a footer stores of a series,
//! [`writer`] and [`reader`] one row group, [`pack`] a file of them, `pack_scan` what is left of a damaged one.

pub mod footer;
pub mod layout;
pub mod pack;
mod pack_scan;
pub mod pyramid;
pub mod reader;
pub mod stats;
pub mod writer;
