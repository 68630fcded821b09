//! Compaction and permanent deletion.
//!
//! [`compaction`] moves logs into packs, [`purge`] deletes permanently, [`unlisted`] judges packs that no entry names,
//! [`quarantine`] keeps damaged originals.

pub mod compaction;
pub mod purge;
pub mod quarantine;
pub mod unlisted;
