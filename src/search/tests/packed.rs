//! The index of a pack against one that stands alone: the same answers, few bytes, damage to either told.

use std::path::Path;
use std::sync::Arc;

use crate::base::ids::WriterId;
use crate::base::point::{Columns, Point};
use crate::base::summary::RunSummary;
use crate::codec::Effort;
use crate::error::Error;
use crate::index::packed::Places;
use crate::index::part::IndexPart;
use crate::search::tests::index::{Numbers, bits, random_run};
use crate::segment::pack::{Pack, PackWriter};
use crate::segment::reader::Source;
use crate::segment::stats::stats_of;
use crate::segment::writer::{PageSink, RowGroupWriter, SeriesName};
use crate::storage::Storage;
use crate::storage::memory::SimDisk;

const PACK: &str = "/pack";
const INDEX: &str = "/index";
const ID: u128 = 77;

/// A pack, its index, and the rows that both were made of.
struct Packed {
    disk: SimDisk,
    rows: Vec<RunSummary>,
    index: Vec<u8>,
}

/// The points of a metric: mostly one, sometimes few, of some runs none, of a few as many as fill pages.
fn points(numbers: &mut Numbers, start: Option<i64>) -> Columns {
    let count = match numbers.below(40) {
        0 => 1500,
        1..4 => 2 + numbers.below(90),
        4..7 => 0,
        _ => 1,
    };
    let point = |step: u64, numbers: &mut Numbers| Point {
        step: step as i64,
        timestamp_ms: (numbers.below(9) > 0).then(|| start.unwrap_or(0).wrapping_add(60_000)),
        value: if numbers.below(50) == 0 { f64::NAN } else { numbers.next() as f64 / 1e18 },
    };
    (0..count).map(|step| point(step, numbers)).collect()
}

fn add_run<S: PageSink>(group: &mut RowGroupWriter<S>, numbers: &mut Numbers, row: &mut RunSummary) {
    let run = group.run(b"words");
    row.metrics.clear();
    for key in ["loss", "acc", "m"] {
        let columns = points(numbers, row.start_time_ms);
        let Some(stats) = stats_of(&columns) else { continue };
        row.metrics.insert(key.to_owned(), stats);
        let axis = group.axis(&columns.steps, columns.timestamps.view()).unwrap();
        let name = SeriesName { run, key: group.key(key).unwrap(), writer: group.writer(WriterId(1)), axis };
        group.series(name, &columns.steps, columns.timestamps.view(), &columns.values).unwrap();
    }
}

impl Packed {
    fn new(seed: u64, groups: &[usize]) -> Self {
        let (disk, mut numbers) = (SimDisk::new(), Numbers(seed));
        let mut pack =
            PackWriter::new(disk.create_new(Path::new(PACK)).unwrap(), Path::new(PACK), ID, Effort::Tight).unwrap();
        let mut rows = Vec::new();
        for &runs in groups {
            let fill = |group: &mut RowGroupWriter<_>| {
                let start = rows.len();
                for _ in 0..runs {
                    let mut row = random_run(&mut numbers, rows.len());
                    add_run(group, &mut numbers, &mut row);
                    rows.push(row);
                }
                Ok(rows[start..].iter().map(|row: &RunSummary| row.run_id.key()).collect())
            };
            pack.group(fill).unwrap();
        }
        pack.finish().unwrap();
        let mut packed = Self { disk, rows, index: Vec::new() };
        let (pack, mut places) = (packed.pack(), Places::new(ID));
        (0..groups.len()).for_each(|group| places.add(&pack.group(group).unwrap()));
        packed.index = IndexPart::image_of_pack(&packed.rows, &places).unwrap();
        packed.disk.create_new(Path::new(INDEX)).unwrap().write_at(&packed.index, 0).unwrap();
        packed
    }

    fn pack(&self) -> Arc<Pack> {
        let file = self.disk.open_read(Path::new(PACK)).unwrap();
        Arc::new(Pack::open(Source::new(file, PACK.into())).unwrap())
    }

    fn open(&self, pack: &Arc<Pack>) -> crate::error::Result<IndexPart> {
        IndexPart::from_file(self.disk.open_read(Path::new(INDEX)).unwrap(), Path::new(INDEX), pack)
    }

    /// Whether every row that is told is the right one, and how many are.
    fn told(&self, part: &IndexPart) -> usize {
        let row = |(at, row): (usize, &RunSummary)| match part.summary(at as u32) {
            Ok(found) => {
                assert_eq!(bits(&found), bits(row), "row {at}");
                1
            }
            Err(_) => 0,
        };
        self.rows.iter().enumerate().map(row).sum()
    }
}

#[test]
fn every_run_of_a_pack_comes_back_bit_for_bit() {
    // Sparse blocks alone; dense ones over several row groups of the pack.
    for (seed, groups) in [(1, &[40, 1, 30][..]), (2, &[900, 700, 3])] {
        let packed = Packed::new(seed, groups);
        let pack = packed.pack();
        let part = packed.open(&pack).unwrap();
        // Before anything else was decoded, and after.
        assert_eq!(packed.told(&part), packed.rows.len());
        part.verify().unwrap();
        assert_eq!(packed.told(&part), packed.rows.len());
        for (row, at) in packed.rows.iter().zip(0..) {
            assert_eq!(part.find(&row.run_id).unwrap(), Some(at));
        }
        let alone = IndexPart::build(&packed.rows).unwrap().to_bytes().unwrap();
        let less = alone.len() - packed.index.len();
        assert!(less > packed.rows.len() * 24, "{less} bytes less than alone: a key and some values of each run");
    }
}

#[test]
fn the_index_of_another_pack_is_refused() {
    let packed = Packed::new(3, &[20]);
    let pack = packed.pack();
    packed.open(&pack).unwrap();
    assert!(IndexPart::from_bytes(&packed.index).is_err(), "without its pack");
    let alone = IndexPart::build(&packed.rows).unwrap().to_bytes().unwrap();
    packed.disk.damage(Path::new(INDEX), |bytes| *bytes = alone).unwrap();
    assert!(packed.open(&pack).is_err());
}

#[test]
fn every_flipped_bit_of_the_index_is_reported() {
    let packed = Packed::new(4, &[30, 12]);
    let (pack, path) = (packed.pack(), Path::new(INDEX));
    for at in 0..packed.index.len() {
        packed.disk.damage(path, |bytes| bytes[at] ^= 1 << (at % 8)).unwrap();
        assert!(IndexPart::verify_bytes(packed.disk.open_read(path).unwrap(), path).is_err(), "byte {at}");
        match packed.open(&pack) {
            Ok(part) => _ = packed.told(&part),
            Err(error) => assert!(matches!(&error, Error::Corrupt { path: of, .. } if of == path), "{error}"),
        }
        packed.disk.damage(path, |bytes| bytes[at] ^= 1 << (at % 8)).unwrap();
    }
    let part = packed.open(&pack).unwrap();
    assert_eq!(packed.told(&part), packed.rows.len());
}

#[test]
fn damage_to_values_in_the_pack_is_reported_with_its_place() {
    let packed = Packed::new(5, &[60, 50]);
    let (pack, path) = (packed.pack(), Path::new(PACK));
    let pages: Vec<u64> = (0..2)
        .flat_map(|group| {
            let group = pack.group(group).unwrap();
            let bounds = group.footer().pool().bounds().map(|bound| group.footer().pool_base + bound);
            let of_values = group.footer().pages[bounds[3]..bounds[4]].to_vec();
            of_values.into_iter().map(move |page| group.extent().0 + page.offset)
        })
        .collect();
    assert!(pages.len() >= 2);
    for at in pages {
        packed.disk.damage(path, |bytes| bytes[at as usize] ^= 4).unwrap();
        let part = packed.open(&pack).unwrap();
        assert!(packed.told(&part) < packed.rows.len());
        match part.verify() {
            Err(Error::Corrupt { path: of, offset, .. }) => assert_eq!((of.as_path(), offset), (path, at)),
            other => panic!("{other:?}"),
        }
        packed.disk.damage(path, |bytes| bytes[at as usize] ^= 4).unwrap();
    }
}
