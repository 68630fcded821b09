//! The files of format version 1, checked in: today's code reads them as they were meant, and writes the same bytes.
//!
//! `tests/golden/v1` is a workspace that [`build`] wrote once. Neither is ever changed: a later format gets a folder
//! and a builder of its own, and this one goes on being read. Identities and times are drawn at random by the store, so
//! the builder sets each file together from the layer below, which takes them from its caller. Bytes of zstd and pco
//! may change with their versions: packs, which use both, are held to what they say, everything else byte by byte.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepwell::internals::base::checksum::crc32;
use stepwell::internals::base::names::Names;
use stepwell::internals::codec::{Effort, Scratch};
use stepwell::internals::folder::paths;
use stepwell::internals::folder::paths::LogName;
use stepwell::internals::index::packed::Places;
use stepwell::internals::index::part::IndexPart;
use stepwell::internals::journal::catalog::Catalog;
use stepwell::internals::journal::chain::{Journal, State};
use stepwell::internals::journal::manifest::{Manifest, PackEntry};
use stepwell::internals::journal::{catalog, manifest, registry};
use stepwell::internals::log::frame;
use stepwell::internals::log::frame::{Kind, Label};
use stepwell::internals::log::record::{Attribute, Batch, Record, Row, Start};
use stepwell::internals::log::slot::{Check, Slot};
use stepwell::internals::run::downsample::downsample;
use stepwell::internals::run::log_view::SeriesPart;
use stepwell::internals::run::pack::pack_runs;
use stepwell::internals::run::seal::{Head, Hints, seal};
use stepwell::internals::run::snapshot::RunPart;
use stepwell::internals::run::state::Coverage;
use stepwell::internals::segment::footer::Footer;
use stepwell::internals::segment::layout::{FINE_FROM, PAGE_POINTS, TRAILER_LEN};
use stepwell::internals::segment::pack::{Pack, PackWriter};
use stepwell::internals::segment::reader::{RowGroup, Source};
use stepwell::internals::segment::writer::{RowGroupWriter, SeriesName};
use stepwell::query::Query;
use stepwell::registry::{Model, ModelRegistry, Registry, Stage, Version};
use stepwell::testing::{SimDisk, Storage};
use stepwell::{
    Columns, Error, Experiment, ExperimentId, Options, Point, RunId, RunSnapshot, RunState, RunStatus, Workspace,
    WriterId,
};

use crate::support::frozen::Frozen;

const ROOT: &str = "/w";
const WORKSPACE: u128 = 0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF;
const PACK: u128 = 0x00C0_FFEE_0000_0000_0000_0000_0000_0001;
const VISION: ExperimentId = ExperimentId(123_456_789_012_345_678);
const TIME: i64 = 1_700_000_000_000;
/// The writers of the live log, the edit log, and the runs in the pack.
const WRITERS: [WriterId; 3] = [WriterId(0xA1), WriterId(0xA2), WriterId(0xA3)];

fn id(name: &str) -> RunId {
    RunId::new(name).unwrap()
}

/// Points with absent times, steps that go back, and values of several kinds.
fn point(index: i64) -> Point {
    let value = match index % 10 {
        0 => f64::from_bits(0x7FF8_0000_0000_1234),
        1 => -0.0,
        2 => f64::NEG_INFINITY,
        3 => f64::from_bits(5),
        _ => index as f64 / 8.0 - 3.0,
    };
    Point { step: index - 3 * (index % 4), timestamp_ms: (index % 6 != 5).then_some(TIME + index), value }
}

fn points(range: std::ops::Range<i64>) -> Columns {
    range.map(point).collect()
}

/// A log under construction.
struct Log {
    writer: WriterId,
    bytes: Vec<u8>,
}

impl Log {
    fn new(writer: WriterId, order: u64) -> Self {
        let mut log = Self { writer, bytes: Vec::new() };
        let mut payload = Vec::new();
        let process = "golden".into();
        Start { writer, order, created_ms: TIME, process, buffer_slots: 4, author: None }.encode(&mut payload);
        log.frame(Label { kind: Kind::Start, count: 0, sequence: 0, durable: 0 }, &payload);
        log
    }

    fn frame(&mut self, label: Label, payload: &[u8]) {
        let at = self.bytes.len() as u64;
        frame::encode(label, self.writer, at, payload, &mut self.bytes);
    }

    fn records(&mut self, sequence: u64, durable: u64, records: Vec<Record>, rows: Vec<Row>) {
        let (mut payload, count) = (Vec::new(), rows.len() as u32);
        Batch { records, rows }.encode(&mut payload);
        self.frame(Label { kind: Kind::Records, count, sequence, durable }, &payload);
    }
}

fn run_record(run: u32, id: RunId) -> Record {
    Record::Run { run, id, experiment: VISION, experiment_name: "vision".into() }
}

/// A run that is being written: words, a row of a batch, a row group, and points in the tail.
fn live(disk: &SimDisk) {
    let mut log = Log::new(WRITERS[0], 1);
    let attribute = |attribute, order| Record::Attribute { run: 0, attribute, order };
    let records = vec![
        run_record(0, id("live")),
        attribute(Attribute::Status(RunStatus::Running), 2),
        attribute(Attribute::StartTime(Some(TIME)), 3),
        attribute(Attribute::Name("läuft".into()), 4),
        Record::Param { run: 0, key: "lr".into(), value: "0.1".into(), order: 5 },
        Record::Param { run: 0, key: "claimed".into(), value: "x".into(), order: 6 },
        Record::ParamRetracted { run: 0, key: "claimed".into() },
        Record::Tag { run: 0, key: "host".into(), value: Some("a\nb".into()), order: 7 },
        Record::Item { run: 0, kind: 3, key: "m-1".into(), value: Some("7".into()), order: 8 },
        Record::Item { run: 0, kind: 3, key: "m-2".into(), value: None, order: 9 },
        Record::Series { series: 0, run: 0, key: "loss".into() },
        Record::Series { series: 1, run: 0, key: "val/accuracy".into() },
    ];
    log.records(0, 0, records, Vec::new());
    let slots: Vec<Slot> = (0..130).map(|index| slot(u32::from(index % 3 == 0), index)).collect();
    let mut names = Names::default();
    for key in ["loss", "val/accuracy"] {
        names.number(0, key).unwrap();
    }
    let head = Head { slots: [&slots, &[]], columns: None, series: &names };
    let group = seal(head, 1, WRITERS[0], 0, &mut Hints::default()).unwrap();
    let durable = log.bytes.len() as u64;
    log.frame(Label { kind: Kind::RowGroup, count: 130, sequence: 0, durable }, &group);
    log.records(130, 0, Vec::new(), (130..133).map(|index| Row::new(0, point(index))).collect());
    let name = LogName {
        dir: paths::log_dir(Path::new(ROOT), id("live").key()),
        stem: id("live").key().to_string(),
        writer: WRITERS[0],
    };
    disk.create_dir(&name.dir).unwrap();
    put(disk, &name.log(), &log.bytes);
    let check = Check::new(WRITERS[0]);
    let tail = (133..140).flat_map(|index| slot(0, index).sealed(check, index as u64).to_bytes());
    // A tail is reserved in whole, so zeros end it.
    put(disk, &name.tail(), &tail.chain([0; 32]).collect::<Vec<u8>>());
}

fn slot(series: u32, index: i64) -> Slot {
    let Point { step, timestamp_ms, value } = point(index);
    Slot::new(series, step, timestamp_ms, value)
}

/// An edit log, ended, that renames a packed run and marks the other one deleted.
fn edits(disk: &SimDisk) {
    let mut log = Log::new(WRITERS[1], 1);
    let records = vec![
        run_record(0, id("long")),
        Record::Attribute { run: 0, attribute: Attribute::Name("renamed".into()), order: 9 },
        Record::Tag { run: 0, key: "host".into(), value: None, order: 10 },
        run_record(1, id("short")),
        Record::Attribute {
            run: 1,
            attribute: Attribute::Deleted { at_ms: Some(TIME + 5), generation: 0, by: "ann".into() },
            order: 9,
        },
    ];
    log.records(0, 0, records, Vec::new());
    let durable = log.bytes.len() as u64;
    log.frame(Label { kind: Kind::End, count: 0, sequence: 0, durable }, &[]);
    let name = LogName { dir: Path::new(ROOT).join(paths::EDITS), stem: paths::EDITS.into(), writer: WRITERS[1] };
    put(disk, &name.log(), &log.bytes);
}

/// Runs as the pack gets them: a long one, a short one, one that the manifest's tombstone covers, and one of single
/// points.
fn packed_runs() -> Vec<RunSnapshot> {
    let runs = [("long", 0..1100), ("short", 3..6), ("gone", 0..2)].map(|(name, range)| {
        let mut state = RunState::new(id(name), VISION, "vision".into());
        let records = [
            run_record(0, id(name)),
            Record::Attribute { run: 0, attribute: Attribute::Status(RunStatus::Finished), order: 2 },
            Record::Attribute { run: 0, attribute: Attribute::Name(name.into()), order: 3 },
            Record::Attribute { run: 0, attribute: Attribute::EndTime(Some(TIME + 99)), order: 4 },
            Record::Param { run: 0, key: "depth".into(), value: "3".into(), order: 5 },
            Record::Tag { run: 0, key: "host".into(), value: Some("a".into()), order: 6 },
        ];
        records.iter().for_each(|record| state.apply(WRITERS[2], record));
        let columns = Arc::new(points(range));
        let coverage = Coverage { order: 1, writer: WRITERS[2], from: 0, through: 2 * columns.len() as u64, lost: 0 };
        state.coverage.push(coverage);
        let part = || SeriesPart::Rows(Arc::clone(&columns));
        let series = vec![("loss".to_owned(), part()), ("β".to_owned(), part())];
        RunSnapshot::merge(vec![RunPart { state, series: vec![(coverage, series)] }]).unwrap()
    });
    let mut state = RunState::new(id("points"), VISION, "vision".into());
    let finished = Record::Attribute { run: 0, attribute: Attribute::Status(RunStatus::Finished), order: 2 };
    [run_record(0, id("points")), finished].iter().for_each(|record| state.apply(WRITERS[2], record));
    let coverage = Coverage { order: 1, writer: WRITERS[2], from: 0, through: 8, lost: 0 };
    state.coverage.push(coverage);
    let single = |at: i64| SeriesPart::Rows(Arc::new(points(at..at + 1)));
    let series = (0..8).map(|at| (format!("m{at}"), single(at))).collect();
    let single_points = RunSnapshot::merge(vec![RunPart { state, series: vec![(coverage, series)] }]).unwrap();
    runs.into_iter().chain([single_points]).collect()
}

/// The pack, its index, and what the manifest says of it.
fn pack(disk: &SimDisk) -> PackEntry {
    let path = paths::pack(Path::new(ROOT), PACK);
    let mut pack = PackWriter::new(disk.create_new(&path).unwrap(), &path, PACK, Effort::Tight).unwrap();
    let runs = packed_runs();
    let packed = pack_runs(&mut pack, &mut runs.iter().cloned().map(Ok)).unwrap();
    let bytes = pack.finish().unwrap();
    let rows: Vec<_> = runs.iter().map(|run| run.summary().unwrap()).collect();
    let pack = Pack::open(Source::new(disk.open_read(&path).unwrap(), path)).unwrap();
    let mut places = Places::new(PACK);
    (0..pack.row_group_count()).for_each(|group| places.add(&pack.group(group).unwrap()));
    put(disk, &paths::index(Path::new(ROOT), PACK), &IndexPart::image_of_pack(&rows, &places).unwrap());
    PackEntry { runs: packed.runs, series: packed.series, points: packed.points, bytes }
}

fn publish<S: State>(disk: &SimDisk, folder: &'static str, changes: Vec<Vec<S::Change>>) {
    let root = Path::new(ROOT);
    let storage = Arc::new(disk.clone());
    let mut journal = Journal::<S>::open(storage, root.to_owned(), folder).unwrap().with_nonce(7);
    for changes in changes {
        assert!(journal.publish(|_| Ok(changes.clone())).unwrap());
    }
}

fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    disk.create_new(path).and_then(|file| file.write_at(bytes, 0)).unwrap();
}

fn folders(disk: &SimDisk) {
    let root = Path::new(ROOT);
    disk.create_dir(root).unwrap();
    paths::FOLDERS.iter().for_each(|folder| disk.create_dir(&root.join(folder)).unwrap());
}

/// The workspace. What it writes is the format: see above.
fn build() -> Frozen {
    let disk = SimDisk::new();
    folders(&disk);
    let mut mark = b"STEPWELL".to_vec();
    mark.extend_from_slice(&1_u32.to_le_bytes());
    mark.extend_from_slice(&WORKSPACE.to_le_bytes());
    mark.extend_from_slice(&crc32(0, &mark).to_le_bytes());
    put(&disk, &Path::new(ROOT).join(paths::MARKER), &mark);
    let vision = Experiment {
        id: VISION,
        name: "visoin".into(),
        created_ms: TIME,
        updated_ms: TIME,
        deleted: false,
        generation: 0,
        deletion_by: String::new(),
        artifact_location: "s3://bucket/vision".into(),
        tags: [("owner".to_owned(), "me".to_owned())].into(),
        renames: 0,
        tag_changes: Default::default(),
    };
    let rename = catalog::Change::Rename { id: VISION, name: "vision".into(), at_ms: TIME + 1 };
    publish::<Catalog>(&disk, paths::CATALOG, vec![vec![catalog::Change::Create(vision)], vec![rename]]);
    let version = Version { created_ms: TIME, source: "runs:/live/model".into(), ..Version::default() };
    let model = Model { created_ms: TIME, updated_ms: TIME, description: "d".into(), ..Model::default() };
    let (name, alias) = (|| "clässifier".to_owned(), "champion".to_owned());
    let registry = vec![
        vec![registry::Change::Create { name: name(), model }],
        vec![
            registry::Change::CreateVersion { name: name(), number: 1, version },
            registry::Change::Alias { name: name(), alias, version: Some(1) },
        ],
        vec![registry::Change::Stage {
            name: name(),
            number: 1,
            stage: Stage::Production,
            at_ms: TIME + 1,
            by: "ann".into(),
        }],
    ];
    publish::<Registry>(&disk, paths::REGISTRY, registry);
    let entry = pack(&disk);
    let gone = manifest::Change::Delete { run: id("gone").key(), writers: vec![(WRITERS[2], 4)] };
    publish::<Manifest>(&disk, paths::MANIFEST, vec![vec![manifest::Change::Add { id: PACK, entry }], vec![gone]]);
    live(&disk);
    edits(&disk);
    Frozen::of(&disk, Path::new(ROOT))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// The files as they are checked in.
fn checked_in() -> Frozen {
    let disk = SimDisk::new();
    folders(&disk);
    let mut files = Frozen::of(&disk, Path::new(ROOT));
    let mut todo = vec![folder()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let own = Path::new(ROOT).join(path.strip_prefix(folder()).unwrap());
            if path.is_dir() {
                if !files.folders.contains(&own) {
                    files.folders.push(own);
                }
                todo.push(path);
            } else {
                files.files.insert(own, std::fs::read(&path).unwrap().into());
            }
        }
    }
    files
}

/// Writes the files, where none are: with `STEPWELL_WRITE_GOLDEN` set, once in the life of a format version.
fn write_if_asked(files: &Frozen) {
    if std::env::var_os("STEPWELL_WRITE_GOLDEN").is_none() || folder().exists() {
        return;
    }
    for (path, bytes) in &files.files {
        let path = folder().join(path.strip_prefix(ROOT).unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &**bytes).unwrap();
    }
}

fn check(files: Frozen) {
    let workspace = Workspace::open_on(Arc::new(files), Path::new(ROOT), Options::default()).unwrap();
    assert_eq!(workspace.id(), WORKSPACE);
    let report = workspace.maintenance().verify().unwrap();
    assert!(report.is_ok(), "{:?}", report.damage);
    let vision = workspace.experiments().by_name("vision").unwrap().unwrap();
    assert_eq!((vision.id, vision.created_ms, vision.updated_ms), (VISION, TIME, TIME + 1));
    assert_eq!(vision.tags, [("owner".to_owned(), "me".to_owned())].into());

    let version = ModelRegistry::new(&workspace).version_by_alias("clässifier", "champion").unwrap().unwrap();
    assert_eq!((version.version, version.current_stage), (1, Stage::Production));
    assert_eq!((version.last_updated_timestamp, version.source.as_str()), (TIME + 1, "runs:/live/model"));

    let live = workspace.run(&id("live")).unwrap();
    assert_eq!((live.state().name(), live.state().status()), ("läuft", RunStatus::Running));
    assert_eq!(live.state().params().collect::<Vec<_>>(), [("lr", "0.1")]);
    assert_eq!(live.state().tags().collect::<Vec<_>>(), [("host", "a\nb")]);
    assert_eq!(live.state().items(3).collect::<Vec<_>>(), [("m-1", "7")]);
    assert_eq!((live.state().experiment, live.state().start_time_ms()), (VISION, Some(TIME)));
    let of = |keep: &dyn Fn(i64) -> bool| (0..140).filter(|&index| keep(index)).map(point).collect::<Columns>();
    assert!(live.arrivals("loss").unwrap() == of(&|index| index >= 130 || index % 3 != 0));
    assert!(live.arrivals("val/accuracy").unwrap() == of(&|index| index < 130 && index % 3 == 0));

    let long = workspace.run(&id("long")).unwrap();
    assert_eq!((long.state().name(), long.state().status()), ("renamed", RunStatus::Finished));
    assert_eq!((long.state().end_time_ms(), long.state().tags().count()), (Some(TIME + 99), 0));
    assert_eq!(long.state().params().collect::<Vec<_>>(), [("depth", "3")]);
    for key in ["loss", "β"] {
        assert!(long.arrivals(key).unwrap() == points(0..1100), "{key}");
        let stats = long.stats(key).unwrap();
        assert_eq!((stats.count, stats.nan_count, stats.inf_count), (1100, 110, 110));
        let max = stats.max.unwrap();
        assert_eq!((max.step, max.value), (1099 - 9, 1099.0 / 8.0 - 3.0));
        assert_eq!(long.downsample(key, None, 10).unwrap().buckets.len(), 10);
    }
    let short = workspace.run(&id("short")).unwrap();
    assert!(short.state().deleted() && short.arrivals("loss").unwrap() == points(3..6));
    assert!(matches!(workspace.run(&id("gone")), Err(Error::NotFound { .. })));

    let query = Query::filter("params.depth = '3' or status = 'RUNNING'").unwrap();
    let page = workspace.search(&query).unwrap();
    let runs = page.summaries().unwrap();
    let mut found: Vec<_> = runs.iter().map(|run| run.run_id.as_str()).collect();
    found.sort_unstable();
    assert_eq!((found, page.unreadable), (vec!["live", "long"], Vec::new()));
    let query = Query::filter("metrics.m4 <= -2.5 and metrics.m5 >= -2.375").unwrap();
    let page = workspace.search(&query).unwrap();
    assert_eq!(page.summaries().unwrap().iter().map(|run| run.run_id.as_str()).collect::<Vec<_>>(), ["points"]);
}

#[test]
fn version_1_is_read_as_it_was_written() {
    check(checked_in());
}

#[test]
fn version_1_is_written_as_it_was() {
    let built = build();
    write_if_asked(&built);
    check(built.clone());
    let (built, kept): (BTreeMap<_, _>, BTreeMap<_, _>) = (built.files, checked_in().files);
    assert_eq!(built.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>());
    for (path, bytes) in built.iter().filter(|(path, _)| path.extension().is_some_and(|kind| kind != "pack")) {
        let differs = bytes.iter().zip(kept[path].iter()).position(|(built, kept)| built != kept);
        let whole = bytes.len() == kept[path].len();
        assert!(whole && differs.is_none(), "{} differs at byte {differs:?}", path.display());
    }
}

/// A row group with a series so long that its pyramid has a level below that of pages.
fn fine_group() -> (Columns, Vec<u8>) {
    let len = FINE_FROM as i64 + 300;
    let at = |step: i64| Point { step, timestamp_ms: Some(TIME + 7 * step), value: (step / 999) as f64 };
    let columns: Columns = (0..len).map(at).collect();
    let mut group = RowGroupWriter::new(Vec::new(), Effort::Fast);
    let axis = group.axis(&columns.steps, columns.timestamps.view()).unwrap();
    let (run, key, writer) = (group.named_run(), group.key("loss").unwrap(), group.writer(WRITERS[0]));
    group
        .series(SeriesName { run, key, writer, axis }, &columns.steps, columns.timestamps.view(), &columns.values)
        .unwrap();
    let (bytes, _) = group.finish(5).unwrap();
    (columns, bytes)
}

/// The same as a row group of the first kind: without that level.
fn without_fine_level(bytes: &[u8]) -> Vec<u8> {
    let trailer = bytes.len() - TRAILER_LEN;
    let footer_len = u32::from_le_bytes(bytes[trailer..trailer + 4].try_into().unwrap()) as usize;
    let (pages, footer) = (&bytes[..trailer - footer_len], &bytes[trailer - footer_len..trailer]);
    let mut footer = Footer::decode(footer, pages.len() as u64, true).unwrap();
    let first = footer.series[0].base + footer.axes[0].count.div_ceil(PAGE_POINTS);
    let lowest: Vec<_> = footer.pages.drain(first..first + 3).collect();
    let (from, end) = (lowest[0].offset as usize, lowest[2].offset as usize + lowest[2].len as usize);
    (footer.pool_base, footer.fine) = (footer.pool_base - lowest.len(), false);
    let mut out = [&pages[..from], &pages[end..]].concat();
    let mut encoded = Vec::new();
    footer.encode(Effort::Fast, &mut Scratch::default(), &mut encoded);
    out.extend_from_slice(&encoded);
    out.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32(0, &encoded).to_le_bytes());
    out.extend_from_slice(b"SWgroup1");
    out
}

/// Of the second kind of row groups, the bytes and what they say; and what a row group of the first kind says of as
/// long a series, which differs by the level that it lacks.
#[test]
fn groups_with_and_without_fine_levels_are_read_and_written_as_they_were() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fine.group");
    let (columns, bytes) = fine_group();
    if std::env::var_os("STEPWELL_WRITE_GOLDEN").is_some() && !path.exists() {
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == bytes);
    let plots = |bytes: &[u8]| {
        let disk = SimDisk::new();
        let file = disk.create_new(Path::new("/group")).unwrap();
        file.write_at(bytes, 0).unwrap();
        let group = RowGroup::open(Source::new(file, "/group".into()), 0, bytes.len() as u64).unwrap();
        let mut read = Columns::default();
        group.read(0, 0..columns.len(), &mut read).unwrap();
        assert!(read == columns);
        let levels = group.levels(0);
        let part = [SeriesPart::Sealed(Arc::new(group), 0)];
        (levels, [7, 900, 4000].map(|pixels| downsample(&part, None, pixels).unwrap()))
    };
    let (levels, fine) = plots(&bytes);
    assert_eq!(levels, [514, 129, 17, 3]);
    let (levels, coarse) = plots(&without_fine_level(&bytes));
    assert_eq!(levels, [129, 17, 3]);
    for (plot, pixels) in fine.iter().chain(&coarse).zip([7, 900, 4000].repeat(2)) {
        assert_eq!(plot.buckets.len(), pixels);
        assert_eq!(plot.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), columns.len() as u64);
    }
    // Pixels that are wider than pages, and such that are narrower than buckets, are drawn alike.
    assert_eq!((&fine[0], &fine[2]), (&coarse[0], &coarse[2]));
}
