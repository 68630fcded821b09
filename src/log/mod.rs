//! Write-ahead logs, one per writer.
//!
//! A log is two files. `<run>.<writer>.log` is a sequence of frames ([`frame`]), each with records ([`record`]) or a
//! row group. `<run>.<writer>.tail` is an array of fixed-size slots ([`slot`]) for points that no frame has yet.
//! A [`follower`] decides what of both counts, at once or piece by piece: [`walk`] goes from frame to frame, [`cursor`]
//! from slot to slot in the tail's two [`buffers`]. A [`reader`] has all of a log. A [`ledger`] says outside the log
//! what must be in it.

pub mod buffers;
pub mod cursor;
pub mod follower;
pub mod frame;
pub mod ledger;
pub mod reader;
pub mod record;
pub mod slot;
pub mod walk;
pub mod writer;

#[cfg(test)]
mod tests;
