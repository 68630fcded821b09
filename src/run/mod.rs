//! One run: how its points are written, sealed, merged and read.
//!
//! In reading order: [`state`] merges what writers say about a run, [`tail`] holds the newest points, [`watermark`]
//! says how far they survive a power loss, [`seal`] makes columns of them ([`columns`] sorts them by series, [`axes`]
//! finds shared ones), [`session`] is one writer's log, tail and head ([`place`] says where), [`log_view`] what a log
//! holds for readers and [`log_summary`] what of it lists need, [`snapshot`] a reader's fixed view of a run,
//! [`salvage`] the same around damage, [`downsample`] its plots, [`pack`] writes finished runs into packs.

pub mod axes;
pub mod columns;
pub mod downsample;
pub mod log_summary;
pub mod log_view;
pub mod pack;
pub mod place;
pub mod salvage;
pub mod seal;
pub mod session;
pub mod snapshot;
pub mod state;
pub mod tail;
pub mod watermark;
