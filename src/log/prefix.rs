//! The part of a log that need not be read again.

use crate::log::frame::{self, HEADER_LEN};
use crate::log::reader::{Frame, Payload};
use crate::log::record::{Record, Start};
use crate::storage::File;

/// Approximate overhead of a heap-allocated text, in bytes.
const ALLOCATED: usize = 16;

/// A log's verified frames up to some offset. They stay valid until the machine stops. (Which unsynced frames survived
/// a crash is known only after a full read.)
#[derive(Clone, Debug)]
pub struct Prefix {
    pub(super) start: Start,
    /// End of the first frame.
    pub(super) first_end: u64,
    /// The frames after the first.
    pub(super) frames: Vec<Frame>,
    pub(super) end: u64,
}

impl Prefix {
    /// The offset up to which frames are known.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether the last of the frames is in this file, as it must be if the log is the same: a frame is bound to its
    /// writer, offset and contents.
    #[must_use]
    pub fn is_in(&self, file: &dyn File) -> bool {
        let Some(last) = self.frames.last() else { return false };
        let mut bytes = [0; HEADER_LEN];
        let read = file.read_at(&mut bytes, last.offset);
        let header = frame::decode(&bytes, self.start.writer, last.offset);
        read.is_ok_and(|read| read == HEADER_LEN) && header.is_ok_and(|header| header == last.header)
    }

    /// Approximate memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let of = |frame: &Frame| {
            let contents = match &frame.payload {
                Payload::Records(batch) => {
                    let records = batch.records.len() * (size_of::<Record>() + ALLOCATED);
                    records + size_of_val(&batch.rows[..]) + frame.header.len as usize
                }
                _ => 0,
            };
            size_of::<Frame>() + contents
        };
        self.frames.iter().map(of).sum()
    }
}
