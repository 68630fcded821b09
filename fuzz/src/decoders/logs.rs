//! Logs, tails, frames and records: any bytes, and bytes with checksums that fit.

use std::path::Path;

use stepwell::internals::base::ids::RunKey;
use stepwell::internals::journal::catalog::Catalog;
use stepwell::internals::journal::manifest::Manifest;
use stepwell::internals::log::buffers::read_tail;
use stepwell::internals::log::cursor::{TailCopy, TailCursor};
use stepwell::internals::log::follower::Depth;
use stepwell::internals::log::frame;
use stepwell::internals::log::frame::{Kind, Label};
use stepwell::internals::log::reader::read_log;
use stepwell::internals::log::record::{Author, Batch, Record, Start};
use stepwell::internals::log::slot::{Check, SLOT_LEN, Slot};
use stepwell::internals::run::downsample;
use stepwell::internals::run::log_view::{LogView, SeriesPart};
use stepwell::internals::run::snapshot::read_part;
use stepwell::testing::{SimDisk, Storage};
use stepwell::{Columns, RunId, RunState, WriterId, part_len};

use super::groups::small_group;
use super::{Bytes, Input, READ_MAX, WRITER};

/// A log of any bytes with a tail of any bytes, read at both depths.
pub fn log(data: &[u8]) {
    let mut input = Input(data);
    let tail_len = usize::from(input.u16());
    let tail = input.bytes(tail_len).to_vec();
    read_any_log(input.0.to_vec(), &tail);
}

/// A log whose frames verify and say anything, in any order, with gaps between and a tail whose slots verify.
pub fn log_forged(data: &[u8]) {
    let mut input = Input(data);
    let mut payload = Vec::new();
    // Some are relayed; their bytes say from where on.
    let author = (data.len() % 4 == 3).then(|| Author { writer: WriterId(8), order: 3, from: Input(data).u64() >> 4 });
    let start = Start { writer: WRITER, order: 1, created_ms: 2, process: "p".into(), buffer_slots: 8, author };
    start.encode(&mut payload);
    let mut log = Vec::new();
    let label = Label { kind: Kind::Start, count: 0, sequence: 0, durable: 0 };
    frame::encode(label, WRITER, 0, &payload, &mut log);
    let mut tail = Vec::new();
    while !input.0.is_empty() {
        let at = log.len() as u64;
        match input.u8() % 8 {
            kind @ 0..=4 => {
                let sequence = if input.u8() == 0 { input.u64() } else { u64::from(input.u8()) };
                let durable = if input.u8() % 2 == 0 { 0 } else { at };
                let len = usize::from(input.u8());
                let (kind, payload) = match kind {
                    0 | 1 => (Kind::Records, input.bytes(len).to_vec()),
                    2 => (Kind::RowGroup, input.bytes(len).to_vec()),
                    // A row group that opens, in a frame that counts its points in any way.
                    3 => (Kind::RowGroup, small_group().to_vec()),
                    _ => (Kind::End, input.bytes(len % 2).to_vec()),
                };
                let count = if input.u8() == 0 { input.u64() as u32 } else { u32::from(input.u8()) };
                let label = Label { kind, count, sequence, durable };
                frame::encode(label, WRITER, at, &payload, &mut log);
            }
            5 => {
                let records = vec![
                    Record::Run {
                        run: u32::from(input.u8()),
                        id: RunId::of_key(RunKey(input.u64().into())),
                        experiment: stepwell::ExperimentId::DEFAULT,
                        experiment_name: "Default".into(),
                    },
                    Record::Series { series: u32::from(input.u8()), run: u32::from(input.u8()), key: "loss".into() },
                ];
                let mut payload = Vec::new();
                Batch { records, rows: Vec::new() }.encode(&mut payload);
                let label = Label { kind: Kind::Records, count: 0, sequence: u64::from(input.u8()), durable: 0 };
                frame::encode(label, WRITER, at, &payload, &mut log);
            }
            6 => {
                let sequence = (tail.len() / SLOT_LEN) as u64 + u64::from(input.u8() / 64);
                let slot = Slot::new(u32::from(input.u8()), input.u64() as i64, None, f64::from_bits(input.u64()));
                tail.extend_from_slice(&slot.sealed(Check::new(WRITER), sequence).to_bytes());
            }
            _ => {
                let len = usize::from(input.u8());
                log.extend_from_slice(input.bytes(len));
            }
        }
    }
    read_any_log(log, &tail);
}

fn read_any_log(log: Vec<u8>, tail: &[u8]) {
    let path = Path::new("/fuzzed");
    let file = Bytes(log.clone());
    let copied = read_tail(&Bytes(tail.to_vec())).expect("memory reads");
    let recent = read_log(&file, path, &copied, Depth::Recent, None);
    let all = read_log(&file, path, &copied, Depth::All, None);
    for read in [&recent, &all].into_iter().flatten() {
        assert!(read.sequence_end() >= read.read.slots_from);
        let generations = read.generations(read);
        assert!(generations.contains(&read.read.slots_from));
        assert!(read.at.end() <= log.len() as u64, "a log ends behind its file");
    }
    let disk = SimDisk::new();
    for (name, bytes) in [("/log", &log[..]), ("/tail", tail)] {
        let file = disk.create_new(Path::new(name)).expect("a new file");
        file.write_at(bytes, 0).expect("a write to memory");
    }
    for depth in [Depth::Recent, Depth::All] {
        let Ok(view) = LogView::read(&disk, Path::new("/log"), Path::new("/tail"), depth, None) else { continue };
        view.damage().count();
        let ids: Vec<RunId> = view.metadata().ids().cloned().collect();
        for id in ids {
            let Some(run) = view.metadata().number(&id) else { continue };
            assert!(view.metadata().state(run).is_some_and(|state| state.id == id));
            for (_, part) in view.parts(run) {
                read_any_part(&part);
            }
        }
    }
}

pub(super) fn read_any_part(part: &SeriesPart) {
    let len = part_len(part);
    let mut columns = Columns::default();
    if read_part(part, 0..len.min(READ_MAX), &mut columns).is_ok() {
        assert_eq!(columns.len(), len.min(READ_MAX));
    }
    if len <= READ_MAX {
        let _ = downsample::downsample(std::slice::from_ref(part), None, 7);
        let _ = downsample::read_range(part, &(3..=900), &mut columns);
    }
}

/// Control records: the first byte says which.
pub fn records(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else { return };
    fn again<T>(bytes: &[u8])
    where
        T: stepwell_control::Record,
    {
        T::round_trip(bytes);
    }
    match kind % 6 {
        0 => again::<Batch>(bytes),
        1 => {
            let Ok(start) = Start::decode(bytes) else { return };
            let mut written = Vec::new();
            start.encode(&mut written);
            assert!(Start::decode(&written) == Ok(start), "a record that changes when it is written");
        }
        2 => again::<RunState>(bytes),
        3 => again::<Manifest>(bytes),
        4 => again::<Catalog>(bytes),
        _ => again::<Point3>(bytes),
    }
}

type Point3 = (u64, Option<String>, Vec<(i64, f64)>);

mod stepwell_control {
    //! Decoding and encoding any control record.

    use stepwell::internals::base::control;

    /// What [`control`] reads and writes.
    pub trait Record {
        /// What decodes must come to the same value when it is written and read again.
        fn round_trip(bytes: &[u8]);
    }

    impl<T: serde::Serialize + serde::de::DeserializeOwned> Record for T {
        fn round_trip(bytes: &[u8]) {
            let Ok(value) = control::decode::<T>(bytes) else { return };
            let mut written = Vec::new();
            control::encode(&value, &mut written);
            let read = control::decode::<T>(&written).expect("what was written is read");
            let mut again = Vec::new();
            control::encode(&read, &mut again);
            assert!(written == again, "a record that changes when it is written twice");
        }
    }
}

/// A tail of any bytes, and one whose slots verify but for one byte.
pub fn slots(data: &[u8]) {
    let mut input = Input(data);
    let from = input.u64() % frame::SEQUENCE_MAX;
    let writer = WriterId(u128::from(input.u64()));
    let buffer_slots = 1 + u32::from(input.u8()) % 48;
    let verified = |tail: &[u8]| {
        let mut cursor = TailCursor::new(writer, buffer_slots);
        cursor.begin(from);
        cursor.later(&TailCopy(tail)).expect("memory reads").map_or(0, |(slots, _)| slots.len())
    };
    assert!(verified(input.0) <= input.0.len() / SLOT_LEN);
    let check = Check::new(writer);
    let mut tail = Vec::new();
    for (index, chunk) in input.0.chunks(19).take(64.min(2 * buffer_slots as usize)).enumerate() {
        let mut of = Input(chunk);
        let timestamp = (of.u8() % 2 == 0).then(|| of.u64() as i64);
        let slot = Slot::new(u32::from(of.u16()), of.u64() as i64, timestamp, f64::from(of.u8()));
        let sequence = from.wrapping_add(index as u64);
        let sealed = slot.sealed(check, sequence);
        assert!(sealed.verifies(check, sequence) && sealed.verifies(check.portable(), sequence));
        tail.extend_from_slice(&sealed.to_bytes());
    }
    let whole = verified(&tail);
    assert_eq!(whole, tail.len() / SLOT_LEN);
    if let Some(last) = tail.len().checked_sub(1) {
        let at = usize::from(Input(data).u16()) % (last + 1);
        tail[at] ^= 1 << (from % 8);
        let kept = verified(&tail);
        assert!(kept <= whole && kept <= at / SLOT_LEN, "a slot with a flipped bit verifies");
    }
}
