//! A workspace: a folder of runs that any number of processes write and read at once, without a server.
//!
//! In reading order: [`open`] is the handle. [`writer`] and [`runs`] take points and words in, [`params`] those that
//! are set once, [`import`] whole runs with the words that `imported_metadata` compares, [`adopt`] experiments of other
//! stores, [`pull`] what another workspace has; [`logs`], [`packs`] and [`search`] find them again, the last by what
//! [`live`] and [`overlay`] keep and with [`found`] as its answer, [`keys`] by what they logged; [`follow`] gives what
//! is new of them; [`compaction`] moves logs into packs through [`publish`], [`purge`] deletes for good,
//! [`maintenance`] is the handle of both and [`background`] does them by a thread; [`durable`] makes a run survive a
//! power loss; `folders` tells of those in whose place something else stands, [`unlisted`] judges packs that no entry
//! names, [`verify`] verifies every byte, [`pages`] those of columns, [`evidence`] misses what is not there, and
//! [`repair`] salvages.

pub mod actor;
pub mod adopt;
pub mod background;
pub mod compaction;
mod copies;
pub mod deletions;
pub mod durable;
pub mod edits;
pub mod evidence;
pub mod experiments;
mod folders;
pub mod follow;
pub mod found;
mod gained;
pub mod import;
mod imported_metadata;
pub mod keys;
pub mod live;
mod log_metadata;
pub mod logs;
pub mod maintenance;
pub mod open;
pub mod overlay;
pub mod packs;
pub mod pages;
pub mod params;
pub mod publish;
pub mod pull;
pub mod purge;
mod quarantine;
pub mod registers;
pub mod repair;
mod repair_files;
pub mod runs;
pub mod search;
pub mod unlisted;
pub mod usage;
pub mod verify;
pub mod writer;
