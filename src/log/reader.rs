//! A log and its tail as read at one moment, whole, torn or damaged.

use std::path::Path;

use crate::error::Result;
use crate::log::follower::{Depth, LogFollower, Next, Step};
use crate::log::record::{Batch, Record};
use crate::log::walk::{Frame, Payload};
use crate::storage::File;

/// Approximate overhead of a heap-allocated text, in bytes.
const ALLOCATED: usize = 16;

/// The contents of a log.
#[derive(Clone, Debug)]
pub struct Log {
    /// Where to follow on.
    pub at: LogFollower,
    /// All frames after the first, the slots behind them, and the damage.
    pub read: Step,
}

/// The part of a log that need not be read again: frames up to some offset, which count whatever the tail has.
#[derive(Clone, Debug)]
pub struct Prefix {
    /// Where these frames end.
    pub at: LogFollower,
    frames: Vec<Frame>,
}

/// Reads a log's file; `tail` is an earlier copy of its tail, empty if there is none. What is `known` is not read
/// again, unless `depth` asks for everything or the file has less.
///
/// # Errors
/// As [`LogFollower::begin`].
pub fn read_log(file: &dyn File, path: &Path, tail: &[u8], depth: Depth, known: Option<&Prefix>) -> Result<Log> {
    if let Some(known) = known.filter(|_| depth == Depth::Recent) {
        let mut at = known.at.clone();
        let mut read = at.read(file, path, tail, depth)?;
        if read.next != Next::Anew {
            read.frames.splice(..0, known.frames.iter().cloned());
            return Ok(Log { at, read });
        }
    }
    let mut at = LogFollower::begin(file, path)?;
    let read = at.read(file, path, tail, depth)?;
    Ok(Log { at, read })
}

impl Log {
    /// Frames of records, each with the sequence number of its first row, in order.
    pub fn batches(&self) -> impl DoubleEndedIterator<Item = (u64, &Batch)> {
        self.read.frames.iter().filter_map(|frame| match &frame.payload {
            Payload::Records(batch) => Some((frame.header.sequence, &**batch)),
            _ => None,
        })
    }

    /// All records in order.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.read.frames.iter().flat_map(Frame::records)
    }

    /// Frames of row groups in order.
    pub fn groups(&self) -> impl DoubleEndedIterator<Item = &Frame> {
        self.read.frames.iter().filter(|frame| matches!(frame.payload, Payload::RowGroup))
    }

    /// One past the last sealed point.
    #[must_use]
    pub fn sealed_through(&self) -> u64 {
        self.groups().next_back().map_or(0, Frame::through)
    }

    /// One past the sequence number of the last point.
    #[must_use]
    pub fn sequence_end(&self) -> u64 {
        self.at.points()
    }

    /// The starts of all generations so far, in this or an earlier read of the same log. Old slots in the tail's file,
    /// and those of its last generation, are numbered from one of these.
    #[must_use]
    pub fn generations(&self, earlier: &Self) -> Vec<u64> {
        let of = |log: &Self| {
            let framed = log.read.frames.iter().filter(|frame| frame.has_points()).map(Frame::through);
            let next = if log.at.generation() > log.read.slots_from { log.at.generation() } else { log.sequence_end() };
            framed.chain([0, log.read.slots_from, next]).collect::<Vec<u64>>()
        };
        let mut generations = [of(self), of(earlier)].concat();
        generations.sort_unstable_by_key(|&generation| std::cmp::Reverse(generation));
        generations.dedup();
        generations
    }

    /// What need not be read again next time, if the log is undamaged.
    #[must_use]
    pub fn prefix(&self) -> Option<Prefix> {
        let (at, count) = self.at.without_tail(&self.read.frames);
        self.read.damage.is_empty().then(|| Prefix { at, frames: self.read.frames[..count].to_vec() })
    }
}

impl Prefix {
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
