//! Write-ahead logs, one per writer.
//!
//! A log is two files. `<run>.<writer>.log` is a sequence of frames ([`frame`]), each with records ([`record`]) or a
//! row group. `<run>.<writer>.tail` is an array of fixed-size slots ([`slot`]) for points that no frame has yet.
//! [`reader`] reads both: [`buffers`] finds the slots that count, [`cursor`] continues reading the tail, [`prefix`] is
//! the part of a log that need not be read again. A [`ledger`] says outside the log what must be in it.

pub mod buffers;
pub mod cursor;
pub mod frame;
pub mod ledger;
pub mod prefix;
pub mod reader;
pub mod record;
pub mod slot;
pub mod writer;
