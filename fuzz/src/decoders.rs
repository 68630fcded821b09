//! Every decoder of the store behind one function of bytes: fuzz targets and the replay tests of the workspace share
//! them.
//!
//! Each may refuse its bytes; none may panic, run long, or take memory beyond what the bytes can pay for. Where a
//! checksum would stop every mutation at the door, the `_forged` twins make it good first.

use std::io;
use std::path::Path;
use std::sync::Arc;

use stepwell::internals::base::checksum::crc32;
use stepwell::internals::base::control;
use stepwell::internals::base::ids::RunKey;
use stepwell::internals::codec;
use stepwell::internals::codec::{CodecId, Effort, Scratch};
use stepwell::internals::index::part::IndexPart;
use stepwell::internals::journal::catalog::Catalog;
use stepwell::internals::journal::chain::{Journal, State};
use stepwell::internals::journal::manifest::Manifest;
use stepwell::internals::log::frame;
use stepwell::internals::log::frame::{Kind, Label};
use stepwell::internals::log::reader::{Depth, read_log};
use stepwell::internals::log::record::{Batch, Record, Start};
use stepwell::internals::log::slot::{Check, SLOT_LEN, Slot};
use stepwell::internals::log::turns::{read_tail, verified_slots};
use stepwell::internals::run::downsample;
use stepwell::internals::run::image::{LogImage, SeriesPart};
use stepwell::internals::run::snapshot::read_part;
use stepwell::internals::segment::footer::Footer;
use stepwell::internals::segment::layout::{FINE_FROM, GROUP_MAGIC, GROUP_MAGIC_FINE, PAGE_POINTS, TRAILER_LEN};
use stepwell::internals::segment::pack::{Pack, PackWriter};
use stepwell::internals::segment::pyramid::decode_buckets;
use stepwell::internals::segment::reader::{Group, Source};
use stepwell::internals::segment::writer::{GroupWriter, SeriesName};
use stepwell::query::Query;
use stepwell::testing::{File, Region, SimDisk, Storage};
use stepwell::{Columns, Point, RunId, RunState, Timestamps, WriterId, part_len};

/// The writer of every forged log.
const WRITER: WriterId = WriterId(7);
/// Longer series are not read whole: that they take memory is what they say, not what they hide.
const READ_MAX: usize = 1 << 14;

/// Bytes as a file that cannot be written.
struct Bytes(Vec<u8>);

impl File for Bytes {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let len = buf.len().min(self.0.len() - from);
        buf[..len].copy_from_slice(&self.0[from..from + len]);
        Ok(len)
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn try_lock(&self) -> io::Result<bool> {
        Ok(false)
    }
    fn is_linked(&self) -> io::Result<bool> {
        Ok(true)
    }
    fn map(&self, _: usize) -> io::Result<Box<dyn Region>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn source(bytes: Vec<u8>) -> Source {
    Source::new(Box::new(Bytes(bytes)), "/fuzzed".into())
}

/// Takes numbers off the front of the input; zeros where it ends.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
    fn u8(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }
    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }
    fn u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let taken = self.bytes(8);
        bytes[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(bytes)
    }
}

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
    let start = Start { version: 1, writer: WRITER, order: 1, created_ms: 2, process: "p".into(), half: 8 };
    control::encode(&start, &mut payload);
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
                    2 => (Kind::Group, input.bytes(len).to_vec()),
                    // A group that opens, in a frame that counts its points in any way.
                    3 => (Kind::Group, small_group().to_vec()),
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
    let recent = read_log(&file, path, &copied, Depth::Recent, None).map(|(log, _)| log);
    let all = read_log(&file, path, &copied, Depth::All, None).map(|(log, _)| log);
    for read in [&recent, &all].into_iter().flatten() {
        assert!(read.sequence_end() >= read.slots_from);
        let turns = read.turns(read);
        assert!(turns.contains(&read.slots_from));
        assert!(read.end <= log.len() as u64, "a log ends behind its file");
    }
    let disk = SimDisk::new();
    for (name, bytes) in [("/log", &log[..]), ("/tail", tail)] {
        let file = disk.create_new(Path::new(name)).expect("a new file");
        file.write_at(bytes, 0).expect("a write to memory");
    }
    for depth in [Depth::Recent, Depth::All] {
        let Ok(image) = LogImage::read(&disk, Path::new("/log"), Path::new("/tail"), depth, None) else { continue };
        image.damage().count();
        let ids: Vec<RunId> = image.runs().cloned().collect();
        for id in ids {
            let Some(run) = image.run(&id) else { continue };
            assert_eq!(image.state(run).id, id);
            for (_, part) in image.parts(run) {
                read_any_part(&part);
            }
        }
    }
}

fn read_any_part(part: &SeriesPart) {
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
        1 => again::<Start>(bytes),
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
    let from = input.u64();
    let writer = WriterId(u128::from(input.u64()));
    let half = 1 + u32::from(input.u8()) % 48;
    let verified = |tail: &[u8]| verified_slots(tail, writer, half, from).iter().map(|turn| turn.len()).sum::<usize>();
    assert!(verified(input.0) <= input.0.len() / SLOT_LEN);
    let check = Check::new(writer);
    let mut tail = Vec::new();
    for (index, chunk) in input.0.chunks(19).take(64.min(2 * half as usize)).enumerate() {
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

/// A page of any codec, counts up to a page and a half.
pub fn codec(data: &[u8]) {
    let mut input = Input(data);
    let codec = input.u8();
    let codec = if codec < 0x80 { CodecId::ALL[usize::from(codec) % CodecId::ALL.len()] } else { CodecId(input.u8()) };
    let count = usize::from(input.u16()) % (PAGE_POINTS * 3 / 2);
    let _ = codec::decode_ints(codec, input.0, &mut vec![0; count]);
    let _ = codec::decode_floats(codec, input.0, &mut vec![0.0; count]);
    let _ = decode_buckets(input.0, count);
    if let Ok(bytes) = codec::decode_bytes(codec, input.0, count * 64) {
        assert_eq!(bytes.len(), count * 64);
    }
}

/// A group of any bytes, whose trailer and footer checksum are made good.
pub fn group(data: &[u8]) {
    let mut input = Input(data);
    let pages = usize::from(input.u16());
    let bytes = input.bytes(pages).to_vec();
    let marked = |mark| [&bytes[..], &with_trailer(input.0, mark)].concat();
    read_any_group(data.to_vec());
    read_any_group(marked(GROUP_MAGIC));
    read_any_group(marked(GROUP_MAGIC_FINE));
}

fn with_trailer(footer: &[u8], mark: u64) -> Vec<u8> {
    let mut bytes = footer.to_vec();
    bytes.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32(0, footer).to_le_bytes());
    bytes.extend_from_slice(&mark.to_le_bytes());
    bytes
}

/// A whole group with some bytes changed, of its footer or of its pages, and every checksum made good.
pub fn group_forged(data: &[u8]) {
    let mut input = Input(data);
    let group = match input.u8() % 3 {
        0 => small_group(),
        1 => large_group(),
        _ => fine_group(),
    };
    let trailer = group.len() - TRAILER_LEN;
    let mark = u64::from_le_bytes(group[trailer + 8..].try_into().expect("eight bytes"));
    let footer_len = u32::from_le_bytes(group[trailer..trailer + 4].try_into().expect("four bytes")) as usize;
    let (mut pages, mut footer) =
        (group[..trailer - footer_len].to_vec(), group[trailer - footer_len..trailer].to_vec());
    let of_pages = input.u8() % 2 == 0;
    let target = if of_pages { &mut pages } else { &mut footer };
    while input.0.len() >= 3 {
        let at = usize::from(input.u16());
        let change = input.u8();
        match at % 8 {
            // Bytes are mostly changed, now and then put in or taken out.
            0 if !of_pages => target.insert((at / 8) % (target.len() + 1), change),
            1 if !of_pages && !target.is_empty() => _ = target.remove((at / 8) % target.len()),
            _ if !target.is_empty() => {
                let at = at % target.len();
                target[at] ^= change;
            }
            _ => {}
        }
    }
    if of_pages {
        let mut known = Footer::decode(&footer, pages.len() as u64, mark == GROUP_MAGIC_FINE)
            .expect("the footer is as it was written");
        for page in &mut known.pages {
            page.crc = crc32(0, &pages[page.offset as usize..][..page.len as usize]);
        }
        footer.clear();
        known.encode(Effort::Fast, &mut Scratch::default(), &mut footer);
    }
    pages.extend_from_slice(&with_trailer(&footer, mark));
    read_any_group(pages);
}

fn read_any_group(bytes: Vec<u8>) {
    let len = bytes.len() as u64;
    let Ok(group) = Group::open(source(bytes), 0, len) else { return };
    read_group(group);
}

fn read_group(group: Group) {
    let group = Arc::new(group);
    for page in 0..group.footer().pages.len().min(64) {
        let _ = group.page(page);
    }
    let _ = group.run_records();
    for key in group.footer().keys.iter() {
        assert!(group.key(key).is_some());
    }
    for index in 0..group.footer().series.len().min(64) {
        let count = group.axis_of(index).count;
        if count <= READ_MAX {
            let _ = group.stats(index);
        }
        read_any_part(&SeriesPart::Sealed(Arc::clone(&group), index));
        if !group.axis_of(index).pooled() {
            for (level, &buckets) in group.levels(index).iter().enumerate() {
                let _ = group.buckets(index, level, 0..buckets.min(READ_MAX));
            }
        }
    }
}

fn fill_group<S: stepwell::internals::segment::writer::PageSink>(
    group: &mut GroupWriter<S>,
    longest: usize,
) -> Vec<RunKey> {
    let mut keys = Vec::new();
    for (run, count) in [3, 40, longest].into_iter().enumerate() {
        let state =
            RunState::new(RunId::of_key(RunKey(run as u128)), stepwell::ExperimentId::DEFAULT, "Default".into());
        let mut record = Vec::new();
        control::encode(&state, &mut record);
        let run = group.run(&record);
        keys.push(state.id.key());
        let steps: Vec<i64> = (0..count as i64).map(|index| index * 2 - index % 3).collect();
        let mut timestamps = Timestamps::default();
        steps.iter().for_each(|&step| timestamps.push((step % 5 != 0).then_some(1_000_000 + step)));
        let axis = group.axis(&steps, timestamps.view()).expect("memory");
        for (key, of) in [("loss", 0.37), ("acc", 1.0)] {
            let values: Vec<f64> = steps.iter().map(|&step| (step as f64 * of).sin()).collect();
            let name = SeriesName { run, key: group.key(key).expect("few keys"), writer: group.writer(WRITER), axis };
            group.series(name, &steps, timestamps.view(), &values).expect("memory");
        }
    }
    keys
}

/// Three runs with short series.
fn small_group() -> &'static [u8] {
    static GROUP: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    GROUP.get_or_init(|| {
        let mut group = GroupWriter::new(Vec::new(), Effort::Fast);
        fill_group(&mut group, 7);
        group.finish(0).expect("memory").0
    })
}

/// Three runs, one of them with pages and a pyramid of its own.
fn large_group() -> &'static [u8] {
    static GROUP: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    GROUP.get_or_init(|| {
        let mut group = GroupWriter::new(Vec::new(), Effort::Tight);
        fill_group(&mut group, 1100);
        group.finish(0).expect("memory").0
    })
}

/// One series so long that its pyramid has a level below that of pages, and so dull that it takes few bytes.
fn fine_group() -> &'static [u8] {
    static GROUP: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    GROUP.get_or_init(|| {
        let mut group = GroupWriter::new(Vec::new(), Effort::Tight);
        let steps: Vec<i64> = (0..FINE_FROM as i64).collect();
        let timestamps = Timestamps { ms: steps.clone(), absent: Vec::new() };
        let axis = group.axis(&steps, timestamps.view()).expect("memory");
        let (run, key) = (group.named_run(), group.key("loss").expect("one key"));
        let name = SeriesName { run, key, writer: group.writer(WRITER), axis };
        group.series(name, &steps, timestamps.view(), &vec![1.0; FINE_FROM]).expect("memory");
        group.finish(0).expect("memory").0
    })
}

/// A whole pack, its directory last.
fn whole_pack() -> &'static [u8] {
    static PACK: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    PACK.get_or_init(|| {
        let (disk, path) = (SimDisk::new(), Path::new("/p"));
        let file = disk.create_new(path).expect("a new file");
        let mut pack = PackWriter::new(file, path, 5, Effort::Tight).expect("memory");
        pack.group(|group| Ok(fill_group(group, 9))).expect("memory");
        pack.group(|group| Ok(fill_group(group, 100))).expect("memory");
        pack.finish().expect("memory");
        disk.content(path).expect("it was written")
    })
}

/// A pack of any bytes, and a whole one with another directory, whose checksum is made good.
pub fn pack(data: &[u8]) {
    read_any_pack(data.to_vec());
    let mut input = Input(data);
    let mut bytes = whole_pack().to_vec();
    let trailer = bytes.len() - TRAILER_LEN;
    let len = u32::from_le_bytes(bytes[trailer..trailer + 4].try_into().expect("four bytes")) as usize;
    let mut directory = bytes[trailer - len..trailer].to_vec();
    let magic = bytes[trailer + 8..].to_vec();
    bytes.truncate(trailer - len);
    if input.u8() % 4 == 0 {
        directory = input.0.to_vec();
    }
    while input.0.len() >= 2 && !directory.is_empty() {
        let at = usize::from(input.u8()) % directory.len();
        directory[at] ^= input.u8();
    }
    bytes.extend_from_slice(&directory);
    bytes.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32(0, &directory).to_le_bytes());
    bytes.extend_from_slice(&magic);
    read_any_pack(bytes);
}

fn read_any_pack(bytes: Vec<u8>) {
    let Ok(pack) = Pack::open(source(bytes)) else { return };
    for &key in pack.keys().iter().take(64) {
        assert!(pack.find(key).next().is_some());
    }
    for index in 0..pack.group_count().min(64) {
        if let Ok(group) = pack.group(index) {
            read_group(group);
        }
    }
}

/// Entries of both journals with any bytes, and with a good header before any payload.
pub fn journal(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else { return };
    let entry = |number: u64, payload: &[u8]| {
        let mut entry = b"SWentry2".to_vec();
        entry.extend_from_slice(&number.to_le_bytes());
        entry.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        let crc = crc32(crc32(0, &entry), payload);
        entry.extend_from_slice(&crc.to_le_bytes());
        entry.extend_from_slice(payload);
        entry
    };
    let half = bytes.len() / 2;
    let entries = match kind % 4 {
        0 => vec![bytes.to_vec()],
        1 => vec![entry(1, bytes)],
        2 => vec![entry(1, &bytes[..half]), entry(2, &bytes[half..])],
        _ => vec![entry(1, &bytes[..half]), bytes[half..].to_vec()],
    };
    read_journal::<Manifest>(&entries);
    read_journal::<Catalog>(&entries);
}

fn read_journal<S: State>(entries: &[Vec<u8>]) {
    let disk = SimDisk::new();
    for folder in ["/j", "/j/0000000000000000", "/tmp"] {
        disk.create_dir(Path::new(folder)).expect("a new folder");
    }
    for (number, bytes) in (1..).zip(entries) {
        let path = format!("/j/0000000000000000/{number:016}.entry");
        disk.create_new(Path::new(&path)).and_then(|file| file.write_at(bytes, 0)).expect("memory");
    }
    let mut journal = Journal::<S>::open(Arc::new(disk), "/".into(), "j").expect("damage is not an error");
    journal.refresh().expect("damage is not an error");
    let bad = journal.check_all().expect("damage is not an error");
    assert!(bad.len() >= journal.lost().count());
}

/// An index image of any bytes, and whole ones with bytes changed: of one that stands alone, and of one of a pack.
pub fn index(data: &[u8]) {
    read_any_index(data);
    for whole in [whole_index(), index_of_pack()] {
        let mut bytes = whole.to_vec();
        let mut changes = Input(data);
        while changes.0.len() >= 3 {
            let at = usize::from(changes.u16()) % bytes.len();
            bytes[at] ^= changes.u8();
        }
        read_any_index(&bytes);
        read_index_of_pack(bytes);
    }
}

/// A pack of many single points, whose index names them.
fn pack_of_points() -> &'static Arc<Pack> {
    static PACK: std::sync::OnceLock<Arc<Pack>> = std::sync::OnceLock::new();
    PACK.get_or_init(|| {
        let (disk, path) = (SimDisk::new(), Path::new("/p"));
        let file = disk.create_new(path).expect("a new file");
        let mut pack = PackWriter::new(file, path, 5, Effort::Tight).expect("memory");
        let fill = |group: &mut GroupWriter<_>| {
            let keys = (0..30_u128).map(RunKey);
            for (step, key) in (0..).zip(keys.clone()) {
                let (steps, times) = ([step], [Some(step)].into_iter().collect::<Timestamps>());
                let run = group.run(&key.0.to_le_bytes());
                let axis = group.axis(&steps, times.view())?;
                let name = SeriesName { run, key: group.key("loss")?, writer: group.writer(WRITER), axis };
                group.series(name, &steps, times.view(), &[step as f64 / 3.0])?;
            }
            Ok(keys.collect())
        };
        pack.group(fill).expect("memory");
        pack.finish().expect("memory");
        let bytes = disk.content(path).expect("it was written");
        Arc::new(Pack::open(source(bytes)).expect("it was written whole"))
    })
}

fn index_of_pack() -> &'static [u8] {
    static INDEX: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    INDEX.get_or_init(|| {
        let pack = pack_of_points();
        let mut places = stepwell::internals::index::packed::Places::new(pack.id());
        places.add(&pack.group(0).expect("it was written whole"));
        let row = |row: u32| {
            let id = RunId::of_key(pack.key(row));
            let state = RunState::new(id, stepwell::ExperimentId::DEFAULT, "Default".into());
            let step = i64::from(row);
            let point = Point { step, timestamp_ms: Some(step), value: f64::from(row) / 3.0 };
            let stats = stepwell::internals::segment::stats::stats_of(&[point].into_iter().collect()).expect("a point");
            stepwell::internals::run::snapshot::summary_of(&state, [("loss".to_owned(), stats)].into())
        };
        IndexPart::image_of_pack(&(0..30).map(row).collect::<Vec<_>>(), &places).expect("thirty rows")
    })
}

fn read_index_of_pack(bytes: Vec<u8>) {
    let (disk, path) = (SimDisk::new(), Path::new("/i"));
    disk.create_new(path).and_then(|file| file.write_at(&bytes, 0)).expect("memory");
    let open = || disk.open_read(path).expect("it was written");
    let whole = IndexPart::verify_bytes(open(), path).is_ok();
    let Ok(part) = IndexPart::from_file(open(), path, pack_of_points()) else { return };
    for ordinal in 0..part.len() as u32 {
        let summary = part.summary(ordinal);
        assert!(!whole || bytes != index_of_pack() || summary.is_ok(), "an index that verifies and cannot be read");
    }
}

fn whole_index() -> &'static [u8] {
    static INDEX: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    INDEX.get_or_init(|| {
        let rows: Vec<_> = (0..20_u128)
            .map(|number| {
                let mut state =
                    RunState::new(RunId::of_key(RunKey(number)), stepwell::ExperimentId::DEFAULT, "Default".into());
                let param = Record::Param { run: 0, key: "lr".into(), value: format!("0.{number}"), order: 1 };
                state.apply(WRITER, &param);
                let points: Columns =
                    (0..5).map(|step| Point { step, timestamp_ms: Some(step), value: number as f64 / 3.0 }).collect();
                let stats = stepwell::internals::segment::stats::stats_of(&points).expect("points");
                let metrics = [("loss".to_owned(), stats)].into();
                stepwell::internals::run::snapshot::summary_of(&state, metrics)
            })
            .collect();
        IndexPart::build(&rows).and_then(|part| part.to_bytes()).expect("twenty rows")
    })
}

fn read_any_index(bytes: &[u8]) {
    let Ok(part) = IndexPart::from_bytes(bytes) else { return };
    let whole = part.verify().is_ok();
    for ordinal in 0..part.len().min(64) as u32 {
        let summary = part.summary(ordinal);
        assert!(!whole || summary.is_ok(), "an index that verifies and cannot be read");
        if let Ok(id) = part.run_id(ordinal) {
            let _ = part.find(&id);
        }
    }
    let Ok(query) = Query::parse("metrics.loss > 0.5 and params.lr = '0.1'", &["metrics.loss DESC"]) else { return };
    let parts = [stepwell::internals::search::execute::MaskedPart { part: &part, excluded: None }];
    let _ = stepwell::internals::search::execute::execute(&parts, &query);
}

/// A filter, and after a line's end clauses of an order and a page token.
pub fn query(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let filter = lines.next().unwrap_or_default();
    let clauses: Vec<&str> = lines.collect();
    let _ = Query::filter(filter);
    let _ = Query::parse("", &clauses);
    let Ok(query) = Query::parse(filter, &clauses) else { return };
    let index = IndexPart::from_bytes(whole_index()).expect("it was written whole");
    let parts = [stepwell::internals::search::execute::MaskedPart { part: &index, excluded: None }];
    let _ = stepwell::internals::search::execute::execute(&parts, &query);
}
