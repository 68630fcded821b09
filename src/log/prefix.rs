//! What of a log need not be read again.

use crate::log::frame::{self, HEADER_LEN};
use crate::log::reader::{Frame, Payload};
use crate::log::record::{Record, Start};
use crate::storage::File;

/// What a text in memory of its own takes beside itself, in bytes, about.
const ALLOCATED: usize = 16;

/// A log's frames up to a byte to which it was whole when it was read: whoever reads it again need not read them. Of
/// what nobody has synced only a reading of all of it tells what a crash tore; but once whole it stays so until the
/// machine stops.
#[derive(Clone, Debug)]
pub struct Prefix {
    pub(super) start: Start,
    /// End of the first frame.
    pub(super) first_end: u64,
    /// Those after the first.
    pub(super) frames: Vec<Frame>,
    pub(super) end: u64,
}

impl Prefix {
    /// Up to which byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether the last of its frames stands in this file, as it must in the log that was read: each is bound to its
    /// writer, its place and its contents.
    #[must_use]
    pub fn is_in(&self, file: &dyn File) -> bool {
        let Some(last) = self.frames.last() else { return false };
        let mut bytes = [0; HEADER_LEN];
        let read = file.read_at(&mut bytes, last.offset);
        let header = frame::decode(&bytes, self.start.writer, last.offset);
        read.is_ok_and(|read| read == HEADER_LEN) && header.is_ok_and(|header| header == last.header)
    }

    /// About how much memory it takes, in bytes.
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
