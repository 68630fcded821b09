//! What the operations on a workspace share: its journals, open packs and caches, each behind a lock of its own.
//!
//! [`shared`] is all of it, and [`ranked`] the order of its locks. [`packs`] are the open packs; [`indexes`] and
//! [`overlay`] the rows that searches read; [`known_logs`] and [`summaries`] what was read of logs; [`ledgers`] what
//! ledgers say; [`known_durable`] what needs no sync. `experiments` and [`registers`] read and publish entries of
//! journals, `folders` reports blocked folders, [`create`] makes new ones, [`actor`] is the user of the process.

pub mod actor;
pub mod create;
mod experiments;
pub mod folders;
pub mod indexes;
pub mod known_durable;
pub mod known_logs;
pub mod ledgers;
pub mod overlay;
pub mod packs;
pub mod ranked;
pub mod registers;
pub mod shared;
pub mod summaries;
