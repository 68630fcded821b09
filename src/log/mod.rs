//! What happened, in order, in row form: one log for each writer.
//!
//! A log is two files. `<run>.<writer>.log` is a sequence of frames ([`frame`]), each of records ([`record`]) or of a
//! row group. `<run>.<writer>.tail` is an array of fixed slots ([`slot`]) for the points that no frame has yet.
//! [`buffers`] finds out which of them count, [`cursor`] reads on in it, [`prefix`] is what of a log need not be read
//! again. What must be in a log is told outside it, in a [`ledger`].

pub mod buffers;
pub mod cursor;
pub mod frame;
pub mod ledger;
pub mod prefix;
pub mod reader;
pub mod record;
pub mod slot;
pub mod writer;
