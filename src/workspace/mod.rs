//! A workspace: a folder of runs that any number of processes write and read at once, without a server.
//!
//! In reading order: [`open`] is the handle. [`writer`] and [`runs`] log points and metadata, [`params`] sets params;
//! [`import`] takes in whole runs (`imported_metadata` compares their metadata), [`adopt`] experiments of other stores,
//! [`pull`] what another workspace has. [`logs`], [`packs`] and [`search`] find runs again, with the caches [`live`]
//! and [`overlay`] and the result [`found`]; [`keys`] lists keys; [`follow`] delivers changes. [`compaction`] moves
//! logs into packs through [`publish`], [`purge`] deletes permanently, [`maintenance`] is the handle of both,
//! [`background`] runs them on threads; [`durable`] makes a run durable. `folders` reports blocked folders,
//! [`unlisted`] judges packs that no entry names, [`verify`] checks every byte, [`pages`] those of columns,
//! [`evidence`] finds missing logs, and [`repair`] salvages.

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
