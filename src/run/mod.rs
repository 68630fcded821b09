//! One run: how its points are written, sealed, merged and read.
//!
//! In reading order: [`state`] merges the metadata of a run; [`tail`] holds the newest points; [`watermark`] tracks
//! which points survive a power loss; [`seal`] turns points into columns ([`columns`] sorts them by series, [`axes`]
//! finds shared axes); [`session`] is one writer's log and tail ([`place`]: where its files are); [`log_view`] is a log
//! as readers see it, [`log_metadata`] what it says besides points, [`log_summary`] the part that lists need;
//! [`snapshot`] is a fixed view of a run, [`salvage`] the same around damage; [`chunks`] streams a long history;
//! [`downsample`] makes plots; [`pack`] writes finished runs into packs; [`parcel`] is what travels between workspaces,
//! several of them as a [`bundle`].

pub mod axes;
pub mod bundle;
pub mod chunks;
pub mod columns;
pub mod downsample;
pub mod log_metadata;
pub mod log_summary;
pub mod log_view;
pub mod pack;
pub mod parcel;
pub mod place;
pub mod salvage;
pub mod seal;
pub mod session;
pub mod snapshot;
pub mod state;
pub mod tail;
pub mod watermark;
