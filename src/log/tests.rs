//! Followers: each outcome, and that pieces add up to the whole.

use std::path::Path;

use proptest::prelude::*;

use super::follower::{Depth, LogFollower, Next, Step};
use super::frame::{self, Kind, Label};
use super::reader::read_log;
use super::record::{Batch, Record, Row, Start};
use super::slot::{Check, SLOT_LEN, Slot};
use crate::base::ids::WriterId;
use crate::base::point::Point;
use crate::storage::Storage;
use crate::storage::bytes::Bytes;
use crate::storage::memory::SimDisk;

const WRITER: WriterId = WriterId(5);
const BUFFER: u64 = 8;

/// The bytes of a log and of its tail; the step of each point is its sequence number.
#[derive(Clone, Debug)]
struct Files {
    log: Vec<u8>,
    tail: Vec<u8>,
    /// Points logged, and those of them in frames.
    points: u64,
    framed: u64,
    /// The generation's first point, and its buffer.
    generation: u64,
    buffer: u64,
    durable: u64,
    ended: bool,
}

impl Files {
    /// A log that names one series.
    fn new() -> Self {
        let mut payload = Vec::new();
        let (process, buffer_slots) = (String::new(), BUFFER as u32);
        Start { writer: WRITER, order: 1, created_ms: 2, process, buffer_slots, author: None }.encode(&mut payload);
        let (log, tail) = (Vec::new(), vec![0; 2 * BUFFER as usize * SLOT_LEN]);
        let (points, framed, generation, buffer, durable) = (0, 0, 0, 0, 0);
        let mut files = Self { log, tail, points, framed, generation, buffer, durable, ended: false };
        files.frame(Kind::Start, 0, 0, &payload);
        files.metadata(0);
        files
    }

    fn frame(&mut self, kind: Kind, sequence: u64, count: u64, payload: &[u8]) {
        let label = Label { kind, count: count as u32, sequence, durable: self.durable };
        frame::encode(label, WRITER, self.log.len() as u64, payload, &mut self.log);
    }

    fn records(&mut self, records: Vec<Record>, count: u64) {
        let mut payload = Vec::new();
        let point = |step: u64| Point { step: step as i64, timestamp_ms: None, value: 1.0 };
        let rows = (self.framed..self.framed + count).map(|step| Row::new(0, point(step))).collect();
        Batch { records, rows }.encode(&mut payload);
        let sequence = if count > 0 { self.framed } else { self.points };
        self.frame(Kind::Records, sequence, count, &payload);
    }

    /// Names a series.
    fn metadata(&mut self, series: u32) {
        self.records(vec![Record::Series { series, run: 0, key: series.to_string() }], 0);
    }

    fn push(&mut self, continues: bool) {
        if self.points - self.generation == BUFFER {
            if self.framed < self.generation {
                self.frame(Kind::RowGroup, self.framed, self.generation - self.framed, b"columns");
                self.framed = self.generation;
            }
            (self.generation, self.buffer) = (self.points, 1 - self.buffer);
        }
        let mut slot = Slot::new(0, self.points as i64, None, 1.0);
        if continues {
            slot.0[3] |= u64::from(super::slot::CONTINUES);
        }
        let at = (self.buffer * BUFFER + self.points - self.generation) as usize * SLOT_LEN;
        self.tail[at..at + SLOT_LEN].copy_from_slice(&slot.sealed(Check::new(WRITER), self.points).to_bytes());
        self.points += 1;
    }

    /// Moves all slots into a frame.
    fn sync(&mut self) {
        if self.framed < self.points {
            self.records(Vec::new(), self.points - self.framed);
            (self.framed, self.generation, self.buffer) = (self.points, self.points, 1 - self.buffer);
        }
        self.durable = self.log.len() as u64;
    }

    fn end(&mut self) {
        self.sync();
        self.frame(Kind::End, self.points, 0, &[]);
        (self.tail, self.ended) = (Vec::new(), true);
    }

    /// Writes both files to a new disk.
    fn disk(&self) -> SimDisk {
        let disk = SimDisk::new();
        for (name, bytes) in [("/log", &self.log), ("/tail", &self.tail)] {
            if name == "/log" || !bytes.is_empty() {
                disk.create_new(Path::new(name)).unwrap().write_at(bytes, 0).unwrap();
            }
        }
        disk
    }

    /// Follows from where `at` is.
    fn follow(&self, at: &mut LogFollower) -> Step {
        at.follow(&self.disk(), Path::new("/log"), Path::new("/tail")).unwrap().0
    }

    /// The position after its first frame.
    fn begin(&self) -> LogFollower {
        LogFollower::begin(&Bytes(self.log.clone()), Path::new("/log")).unwrap()
    }

    /// Reads all of the log, with a tail as it was before.
    fn read(&self, tail: &[u8]) -> (LogFollower, Step) {
        let file = Bytes(self.log.clone());
        let log = read_log(&file, Path::new("/log"), tail, Depth::Recent, None).unwrap();
        (log.at, log.read)
    }
}

/// Where a follower is.
fn place(at: &LogFollower) -> (u64, u64, u64, bool) {
    (at.end(), at.points(), at.generation(), at.has_ended())
}

/// Adds the points of a step to those counted before; checks that none is missing between.
fn count(mut points: u64, step: &Step) -> u64 {
    for frame in step.frames.iter().filter(|frame| frame.has_points()) {
        assert!(frame.header.sequence <= points, "points are missing before a frame");
        points = points.max(frame.through());
    }
    for (slot, sequence) in step.slots.iter().zip(step.slots_from..) {
        assert_eq!((slot.point().step as u64, sequence.min(points)), (sequence, sequence));
        points = points.max(sequence + 1);
    }
    points
}

#[test]
fn what_is_appended_is_given_once() {
    let mut files = Files::new();
    let mut at = files.begin();
    assert_eq!(files.follow(&mut at).frames.len(), 1);
    let step = files.follow(&mut at);
    assert_eq!((step.frames.len(), step.slots.len(), step.next), (0, 0, Next::Later));
    (0..3).for_each(|_| files.push(false));
    assert_eq!(files.follow(&mut at).slots.len(), 3);
    files.push(true);
    assert_eq!(files.follow(&mut at).slots.len(), 0, "an incomplete batch does not count");
    files.push(false);
    assert_eq!(files.follow(&mut at).slots.len(), 2);
    files.end();
    let step = files.follow(&mut at);
    assert_eq!((step.frames.len(), step.next, place(&at).1), (2, Next::Ended, 5));
}

#[test]
fn a_frame_cut_at_any_byte_is_torn_until_it_is_whole() {
    let mut files = Files::new();
    let mut at = files.begin();
    files.follow(&mut at);
    (0..3).for_each(|_| files.push(false));
    files.follow(&mut at);
    let before = files.clone();
    files.metadata(1);
    for len in before.log.len() + 1..files.log.len() {
        let mut cut = files.clone();
        cut.log.truncate(len);
        let step = cut.follow(&mut at);
        assert_eq!((step.next, place(&at)), (Next::Torn, place(&before.read(&before.tail).0)), "{len}");
        assert_eq!((step.torn.unwrap().offset, step.torn_by_stop), (before.log.len() as u64, false));
    }
    let step = files.follow(&mut at);
    assert_eq!((step.next, step.frames.len(), step.slots.len()), (Next::Later, 1, 0));
}

#[test]
fn what_changed_before_the_durable_offset_is_damage() {
    let mut files = Files::new();
    let mut at = files.begin();
    files.follow(&mut at);
    let changed = files.log.len() + frame::HEADER_LEN + 1;
    files.metadata(1);
    files.durable = files.log.len() as u64;
    files.metadata(2);
    files.log[changed] ^= 1;
    assert_eq!(files.follow(&mut at.clone()).next, Next::Damaged);
    let (_, read) = files.read(&files.tail);
    assert_eq!((read.next, read.damage.len(), read.frames.len()), (Next::Damaged, 1, 3));
    // One byte behind the end of a log was never written by a crash.
    let mut files = Files::new();
    files.end();
    files.log.push(1);
    assert_eq!(files.read(&[]).1.next, Next::Damaged);
}

#[test]
fn files_that_do_not_go_on_are_begun_anew() {
    let mut files = Files::new();
    files.metadata(1);
    (0..3).for_each(|_| files.push(false));
    let mut at = files.begin();
    files.follow(&mut at);
    let mut shorter = files.clone();
    shorter.log.truncate(at.end() as usize - 1);
    assert_eq!(shorter.follow(&mut at.clone()).next, Next::Anew);
    let mut other = files.clone();
    other.tail.fill(0);
    assert_eq!(other.follow(&mut at.clone()).next, Next::Anew);
    assert_eq!(files.follow(&mut at).next, Next::Later);
    let disk = files.disk();
    assert!(at.is_of(&*disk.open_read(Path::new("/log")).unwrap()));
    assert!(!at.is_of(&*disk.open_read(Path::new("/tail")).unwrap()));
}

#[test]
fn what_follows_missing_points_waits_for_them_unless_it_was_durable() {
    let mut files = Files::new();
    let empty = files.tail.clone();
    (0..3).for_each(|_| files.push(false));
    let waits = files.log.len() as u64;
    files.metadata(1);
    let whole = std::mem::replace(&mut files.tail, empty);
    let mut at = files.begin();
    assert_eq!((files.follow(&mut at).next, place(&at).0), (Next::Later, waits));
    let mut durable = files.clone();
    durable.durable = durable.log.len() as u64;
    durable.points = 0;
    durable.metadata(2);
    assert_eq!(durable.follow(&mut at.clone()).next, Next::Damaged);
    assert_eq!(durable.read(&durable.tail).1.next, Next::Damaged);
    files.tail = whole;
    let step = files.follow(&mut at);
    assert_eq!((step.slots.len(), step.frames.len(), step.next), (3, 1, Next::Later));
}

#[test]
fn slots_of_a_series_that_no_frame_names_do_not_count() {
    let mut files = Files::new();
    (0..3).for_each(|_| files.push(false));
    let slot = Slot::new(9, 2, None, 1.0).sealed(Check::new(WRITER), 2);
    files.tail[2 * SLOT_LEN..3 * SLOT_LEN].copy_from_slice(&slot.to_bytes());
    let mut at = files.begin();
    assert_eq!(files.follow(&mut at).slots.len(), 2);
    assert_eq!(files.follow(&mut at).slots.len(), 0);
    assert_eq!(place(&at), place(&files.read(&files.tail).0));
    files.metadata(9);
    assert_eq!(files.follow(&mut at).slots.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is written between two looks, a follower that looked before is where one that begins now is, and was
    /// given each frame once and each point.
    #[test]
    fn pieces_add_up_to_the_whole(
        doings in proptest::collection::vec((0_u8..8, 1_usize..12, any::<bool>()), 1..40),
        ends in any::<bool>(),
    ) {
        let mut files = Files::new();
        let (mut at, mut frames, mut points) = (files.begin(), 0, 0);
        let mut tails = vec![(files.tail.clone(), 0)];
        let mut look = |files: &Files, at: &mut LogFollower| {
            let step = files.follow(at);
            frames += step.frames.len();
            points = count(points, &step);
            let (whole, read) = files.read(&files.tail);
            assert_eq!((place(at), step.next, frames), (place(&whole), read.next, read.frames.len()));
            assert_eq!((points, count(0, &read)), (files.points, files.points));
        };
        for (doing, many, looks) in doings {
            match doing {
                0 => files.metadata(many as u32),
                1 => files.sync(),
                _ => (1..=many).for_each(|point| files.push(point < many && doing == 2 && many < 5)),
            }
            if looks {
                look(&files, &mut at);
            }
            tails.push((files.tail.clone(), files.points));
        }
        // However long before the log the tail was read, no point that was there is missing, and none is given twice.
        for (tail, had) in &tails {
            let (whole, read) = files.read(tail);
            prop_assert!(count(0, &read) == whole.points() && whole.points() >= *had && read.damage.is_empty());
        }
        if ends {
            files.end();
        }
        look(&files, &mut at);
        prop_assert_eq!(at.has_ended(), files.ended);
    }
}
