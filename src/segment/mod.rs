//! Immutable columns: row groups of series with pages, statistics and pyramids, and packs, which are files of row
//! groups.
//!
//! In reading order: [`layout`] holds what may never change, [`stats`] and [`pyramid`] what a footer knows of a series,
//! [`writer`] and [`reader`] one row group, [`pack`] a file of them.

pub mod footer;
pub mod layout;
pub mod pack;
pub mod pyramid;
pub mod reader;
pub mod stats;
pub mod writer;
