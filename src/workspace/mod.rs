//! A workspace: a folder of runs that any number of processes write and read at once, without a server.
//!
//! Folders in the order of their layers, each knowing only those before it: [`state`] is what the operations share,
//! journals, open packs and caches; [`read`] finds runs again; [`write`](mod@write) logs points and metadata;
//! [`compact`] moves logs into packs and deletes permanently; [`verify`] checks every byte and salvages;
//! [`transfer`] takes in whole runs. On top, [`handle`] is the handle, [`maintenance`] the handle of maintenance, and
//! [`background`] runs it on threads.

pub mod background;
pub mod compact;
pub mod handle;
pub mod maintenance;
pub mod read;
pub mod seam;
pub mod state;
pub mod transfer;
pub mod verify;
pub mod write;
