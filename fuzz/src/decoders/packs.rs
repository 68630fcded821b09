//! Packs, their indexes, and queries over them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use stepwell::internals::base::checksum::crc32;
use stepwell::internals::base::ids::RunKey;
use stepwell::internals::codec::Effort;
use stepwell::internals::index::part::IndexPart;
use stepwell::internals::log::record::Record;
use stepwell::internals::segment::layout::TRAILER_LEN;
use stepwell::internals::segment::pack::{Pack, PackWriter};
use stepwell::internals::segment::writer::{RowGroupWriter, SeriesName};
use stepwell::query::Query;
use stepwell::testing::{SimDisk, Storage};
use stepwell::{Columns, Point, RunId, RunState, Timestamps};

use super::groups::{fill_group, read_group};
use super::{Input, WRITER, source};

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
    for index in 0..pack.row_group_count().min(64) {
        if let Ok(group) = pack.group(index) {
            read_group(group);
        }
    }
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
        let fill = |group: &mut RowGroupWriter<_>| {
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
    let _ = stepwell::internals::search::execute::execute(&parts, &query, &BTreeMap::new());
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
    let _ = stepwell::internals::search::execute::execute(&parts, &query, &BTreeMap::new());
}
