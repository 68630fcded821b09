//! A page that does not verify costs its own points and no more: every reader serves the rest and says what is missing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepwell::import::RunImport;
use stepwell::internals::segment::pack::Pack;
use stepwell::internals::segment::reader::{RowGroup, Source};
use stepwell::maintenance::{CompactOptions, RepairOptions};
use stepwell::query::Query;
use stepwell::testing::{SimDisk, Storage};
use stepwell::{Error, ExperimentId, NewRun, Options, Point, RunEdit, RunId, RunStatus, TailMode, Workspace};

const ROOT: &str = "/w";
/// Points of the long metrics: three pages and a part of one.
const POINTS: i64 = 4000;
/// Runs of [`imported`].
const IMPORTED: usize = 2500;

fn open(disk: &SimDisk) -> Workspace {
    let options = Options { tail: TailMode::Written, ..Options::default() };
    Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new(ROOT), options).unwrap()
}

fn id(name: &str) -> RunId {
    RunId::new(name).unwrap()
}

/// A run with two long metrics on one axis, `loss` and `noise`, and a short one, `acc`; and 200 runs of seven points.
fn packed() -> (SimDisk, PathBuf) {
    let disk = SimDisk::new();
    let workspace = open(&disk);
    let create = |name: &str| {
        workspace.create_run(ExperimentId::DEFAULT, NewRun { id: Some(id(name)), ..NewRun::default() }).unwrap()
    };
    let mut long = create("long");
    let mut bits = 7_u64;
    for step in 0..POINTS {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        long.log_metrics(step, Some(step), &[("loss", (bits >> 11) as f64), ("noise", (bits >> 13) as f64)]).unwrap();
    }
    (0..20).for_each(|step| long.log_metric("acc", step, step as f64).unwrap());
    long.finish(RunStatus::Finished).unwrap();
    for number in 0..200 {
        let mut short = create(&format!("short{number}"));
        (0..7).for_each(|step| short.log_metric("loss", step, (number * 7 + step) as f64).unwrap());
        short.finish(RunStatus::Finished).unwrap();
    }
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    let dir = Path::new(ROOT).join("packs");
    let packs: Vec<PathBuf> = disk.read_dir(&dir).unwrap().into_iter().map(|entry| dir.join(entry.name)).collect();
    let pack = packs.iter().find(|path| path.extension().is_some_and(|kind| kind == "pack")).unwrap().clone();
    (disk, pack)
}

/// Changes a byte of the page that `choose` names of a row group.
fn damage(disk: &SimDisk, pack: &Path, choose: impl Fn(&RowGroup) -> Option<usize>) {
    let opened = Pack::open(Source::new(disk.open_read(pack).unwrap(), pack.to_owned())).unwrap();
    let place = (0..opened.row_group_count()).find_map(|index| {
        let group = opened.group(index).unwrap();
        let page = group.footer().pages[choose(&group)?];
        Some(group.extent().0 + page.offset + u64::from(page.len) / 2)
    });
    disk.damage(pack, |bytes| bytes[place.unwrap() as usize] ^= 0x40).unwrap();
}

/// The first page of a metric's values.
fn values(key: &'static str) -> impl Fn(&RowGroup) -> Option<usize> {
    move |group| {
        let footer = group.footer();
        let own = footer.long_series().find(|series| footer.key_of(series) == key)?;
        Some(own.base)
    }
}

#[test]
fn a_damaged_page_costs_its_own_points_alone() {
    let (disk, pack) = packed();
    let whole = open(&disk).run(&id("long")).unwrap().history("loss").unwrap();
    // The second page.
    damage(&disk, &pack, |group| values("loss")(group).map(|page| page + 1));
    let workspace = open(&disk);
    let report = workspace.maintenance().verify().unwrap();
    assert_eq!(report.damage.len(), 1, "{report:?}");
    assert!(report.damage[0].cost.contains("1024"), "{report:?}");
    let run = workspace.run(&id("long")).unwrap();
    assert!(matches!(run.history("loss"), Err(Error::Corrupt { .. })), "who needs all points is told");

    let mut reader = run.salvage();
    let points = reader.history("loss").unwrap();
    let left = whole.iter().filter(|point| !(1024..2048).contains(&point.step));
    assert!(points.iter().eq(left));
    assert_eq!((reader.missing(), reader.messages().len()), (1024, 1));
    let told = &reader.messages()[0];
    assert!(told.contains("1024 points of \"loss\" of run long") && told.contains(pack.to_str().unwrap()), "{told}");
    // The neighbour on the same axis, and a range beside the page, lack nothing.
    let mut reader = run.salvage();
    assert_eq!(reader.history("noise").unwrap().len() as i64, POINTS);
    assert_eq!(reader.range("loss", 100..=900).unwrap().len(), 801);
    assert_eq!(reader.downsample("loss", Some(2100..=3900), 2000).unwrap().buckets.len(), 1801);
    assert!(reader.messages().is_empty(), "{:?}", reader.messages());
    // A plot that needs the points of the page draws the others; one that the pyramid answers lacks nothing.
    let mut reader = run.salvage();
    assert_eq!(reader.downsample("loss", None, 10_000).unwrap().buckets.len() as i64, POINTS - 1024);
    assert_eq!(reader.missing(), 1024);
    let mut reader = run.salvage();
    let plot = reader.downsample("loss", None, 1).unwrap();
    assert_eq!((plot.buckets[0].count as i64, reader.missing()), (POINTS, 0));
    // Statistics stand elsewhere, under a checksum of their own.
    let mut reader = run.salvage();
    assert_eq!((reader.stats("loss").unwrap().count as i64, reader.missing()), (POINTS, 0));
    let page = workspace.search(&Query::filter("metrics.loss.count = 4000").unwrap());
    let page = page.unwrap();
    assert_eq!((page.summaries().unwrap().len(), page.unreadable.len()), (1, 0));

    // What readers gave is what repair saves.
    workspace.maintenance().repair(RepairOptions::default()).unwrap();
    assert!(workspace.run(&id("long")).unwrap().history("loss").unwrap() == points);
}

#[test]
fn a_damaged_page_of_an_axis_costs_each_metric_on_it_those_points() {
    let (disk, pack) = packed();
    damage(&disk, &pack, |group| {
        let footer = group.footer();
        footer.long_series().next().map(|series| footer.axes[series.axis as usize].base)
    });
    let run = open(&disk).run(&id("long")).unwrap();
    let mut reader = run.salvage();
    for key in ["loss", "noise"] {
        assert_eq!(reader.history(key).unwrap().len() as i64, POINTS - 1024);
    }
    assert_eq!(reader.history("acc").unwrap().len(), 20);
    assert_eq!((reader.missing(), reader.messages().len()), (2048, 2));
}

#[test]
fn a_damaged_page_of_a_pyramid_costs_no_point() {
    let (disk, pack) = packed();
    // Behind the four pages of values.
    damage(&disk, &pack, |group| values("loss")(group).map(|page| page + 4));
    let workspace = open(&disk);
    assert_eq!(workspace.maintenance().verify().unwrap().damage.len(), 1);
    let run = workspace.run(&id("long")).unwrap();
    assert!(run.downsample("loss", None, 100).is_err());
    let mut reader = run.salvage();
    let plot = reader.downsample("loss", None, 100).unwrap();
    assert_eq!(plot.buckets.iter().map(|bucket| bucket.count as i64).sum::<i64>(), POINTS);
    let plot = reader.downsample("loss", Some(1000..=1099), 10).unwrap();
    assert_eq!(plot.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), 100);
    assert_eq!(reader.range("loss", 1000..=1099).unwrap().len(), 100);
    assert!(reader.messages().is_empty(), "{:?}", reader.messages());
}

/// Short series share pages: many runs lose a metric's points by one page, and none of them vanishes.
#[test]
fn a_damaged_page_that_runs_share_hides_none_of_them() {
    let (disk, pack) = packed();
    // The last page of pooled values.
    damage(&disk, &pack, |group| {
        let footer = group.footer();
        (footer.pool().values > 1024).then(|| footer.pool_base + footer.pool().bounds()[4] - 1)
    });
    // With its index, and without: then the rows are made of what verifies.
    for index in [true, false] {
        let disk = disk.process_crash();
        if !index {
            disk.remove_file(&pack.with_extension("index")).unwrap();
        }
        let workspace = open(&disk);
        let page = workspace.search(&Query::default()).unwrap();
        assert_eq!(page.summaries().unwrap().len(), 201, "{:?}", page.unreadable);
        let lacks = page
            .summaries()
            .unwrap()
            .iter()
            .filter(|run| run.metrics.get("loss").is_none_or(|stats| stats.count < 7))
            .count();
        assert_eq!(lacks > 0, !page.unreadable.is_empty(), "{lacks} lack something: {:?}", page.unreadable);
        assert_eq!(page.unreadable.len(), lacks, "{:?}", page.unreadable);
        assert!(index || lacks > 0);
        let mut missing = 0;
        for number in 0..200 {
            let name = id(&format!("short{number}"));
            let run = workspace.run(&name).unwrap();
            let mut reader = run.salvage();
            assert_eq!(reader.history("loss").unwrap().len() as u64 + reader.missing(), 7);
            missing += reader.missing();
            // Nor does it bar a change.
            assert!(workspace.find_summary(&name).unwrap().is_some());
            workspace.edit_run(&name, &[RunEdit::Tag("seen".into(), "yes".into())]).unwrap();
        }
        assert!((1..=1024).contains(&missing), "{missing} are missing");
        // Now each run is asked for in several places.
        let page = workspace.search(&Query::filter("tags.seen = 'yes'").unwrap()).unwrap();
        assert_eq!(page.summaries().unwrap().len(), 200, "{:?}", page.unreadable);
        assert!(!page.unreadable.is_empty());
    }
}

/// The same of a log that was not packed yet, whose points are sealed.
#[test]
fn a_damaged_page_of_a_log_costs_its_own_points_alone() {
    let disk = SimDisk::new();
    let workspace = open(&disk);
    let new = NewRun { id: Some(id("open")), ..NewRun::default() };
    let mut run = workspace.create_run(ExperimentId::DEFAULT, new).unwrap();
    let key = run.metric("loss").unwrap();
    let steps: Vec<i64> = (0..POINTS).collect();
    let values: Vec<f64> = steps.iter().map(|&step| (step as f64 * 0.7).sin() * 1e9).collect();
    run.log_columns(key, &steps, None, &values).unwrap();
    run.log_metric("acc", 0, 1.0).unwrap();
    run.seal().unwrap();
    run.finish(RunStatus::Finished).unwrap();
    let dir = Path::new(ROOT).join("logs").join(&id("open").key().to_string()[..2]);
    let log = disk.read_dir(&dir).unwrap().into_iter().map(|entry| dir.join(entry.name));
    let log = log.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "log")).unwrap();
    // In the middle of the values of the row group, which are most of the log.
    let len = disk.content(&log).unwrap().len();
    disk.damage(&log, |bytes| bytes[len / 2] ^= 1).unwrap();
    let now = open(&disk);
    let run = now.run(&id("open")).unwrap();
    assert!(run.history("loss").is_err());
    let mut reader = run.salvage();
    let points = reader.history("loss").unwrap();
    assert_eq!(points.len() as u64 + reader.missing(), POINTS as u64);
    assert!(reader.missing() <= 1024 && reader.messages()[0].contains(".log"), "{:?}", reader.messages());
    assert_eq!(reader.history("acc").unwrap().len(), 1);
    assert_eq!(now.search(&Query::default()).unwrap().summaries().unwrap().len(), 1);
}

/// Each bit of the header, the directory and the trailer: all row groups are found without them, and `repair` writes
/// the pack anew.
#[test]
fn a_flipped_bit_beside_the_row_groups_costs_nothing() {
    let (disk, pack) = packed();
    let len = disk.open_read(&pack).unwrap().len().unwrap();
    let opened = Pack::open(Source::new(disk.open_read(&pack).unwrap(), pack.clone())).unwrap();
    let (start, group_len) = opened.row_group_extent(opened.row_group_count() - 1);
    let directory = start + group_len;
    let whole: Vec<_> =
        ["long", "short7"].map(|name| open(&disk).run(&id(name)).unwrap().history("loss").unwrap()).into();
    let places = (0..32).chain((directory..len).step_by(97)).chain(len - 16..len);
    for place in places {
        let disk = disk.process_crash();
        disk.damage(&pack, |bytes| bytes[place as usize] ^= 1 << (place % 8)).unwrap();
        let workspace = open(&disk);
        assert_eq!(workspace.damage().unwrap(), Vec::<String>::new(), "byte {place}");
        let page = workspace.search(&Query::default()).unwrap();
        assert_eq!((page.summaries().unwrap().len(), page.unreadable.len()), (201, 0), "byte {place}");
        for (name, whole) in ["long", "short7"].iter().zip(&whole) {
            assert!(workspace.run(&id(name)).unwrap().history("loss").unwrap() == *whole, "byte {place}: {name}");
        }
        let report = workspace.maintenance().verify().unwrap();
        let told = |damage: &stepwell::maintenance::Damage| damage.file == pack && damage.cost.starts_with("nothing");
        assert!(!report.is_ok() && report.damage.iter().all(told), "byte {place}: {report:?}");
        let left = workspace.maintenance().compact(CompactOptions::default()).unwrap().skipped;
        assert!(left.iter().any(|(path, _)| *path == pack), "byte {place}: {left:?}");
    }
    disk.damage(&pack, |bytes| bytes[directory as usize + 40] ^= 1).unwrap();
    let workspace = open(&disk);
    let repaired = workspace.maintenance().repair(RepairOptions::default()).unwrap();
    assert_eq!((repaired.salvaged_runs, repaired.lost.len()), (201, 0), "{repaired:?}");
    assert!(workspace.maintenance().verify().unwrap().is_ok());
    for (name, whole) in ["long", "short7"].iter().zip(&whole) {
        assert!(open(&disk).run(&id(name)).unwrap().history("loss").unwrap() == *whole);
    }
}

/// A pack of 2,500 imported runs, in several row groups.
fn imported() -> (SimDisk, PathBuf) {
    let disk = SimDisk::new();
    let mut importer = open(&disk).importer();
    for number in 0..IMPORTED {
        let run = RunImport::new(id(&format!("run{number}")), ExperimentId::DEFAULT);
        let points = (0..3).map(|step| Point { step, timestamp_ms: None, value: number as f64 }).collect();
        importer.add(RunImport { series: vec![("loss".into(), points)], ..run }).unwrap();
    }
    importer.finish().unwrap();
    let dir = Path::new(ROOT).join("packs");
    let mut packs = disk.read_dir(&dir).unwrap().into_iter().map(|entry| dir.join(entry.name));
    let pack = packs.find(|path| path.extension().is_some_and(|kind| kind == "pack")).unwrap();
    (disk, pack)
}

/// The directory and a row group's footer: the runs of the other row groups are served, and each answer says that there
/// were more; a damaged pack is never merged away.
#[test]
fn without_directory_and_footer_the_other_row_groups_are_served() {
    let (disk, pack) = imported();
    let opened = Pack::open(Source::new(disk.open_read(&pack).unwrap(), pack.clone())).unwrap();
    let groups = opened.row_group_count();
    assert!(groups > 1, "{groups}");
    let end = |group: usize| opened.row_group_extent(group).0 + opened.row_group_extent(group).1;
    for group in 0..groups {
        let disk = disk.process_crash();
        let (footer, directory) = (end(group) as usize - 20, end(groups - 1) as usize + 8);
        disk.damage(&pack, |bytes| [footer, directory].iter().for_each(|&at| bytes[at] ^= 1)).unwrap();
        let workspace = open(&disk);
        let lost = opened.rows(group).len();
        let page = workspace.search(&Query::default()).unwrap();
        assert_eq!(page.total, IMPORTED - lost, "row group {group}");
        let named = |told: &[String]| told.iter().any(|told| told.contains(pack.to_str().unwrap()));
        assert!(named(&page.unreadable) && named(&workspace.damage().unwrap()), "row group {group}");
        let report = workspace.maintenance().verify().unwrap();
        let cost = format!("{lost} of its {IMPORTED} runs, with {} points", lost * 3);
        assert!(report.damage.iter().any(|damage| damage.cost.contains(&cost)), "{report:?}");
        workspace.maintenance().compact(CompactOptions::default()).unwrap();
        assert!(disk.open_read(&pack).is_ok());
        let repaired = workspace.maintenance().repair(RepairOptions::default()).unwrap();
        assert!(repaired.lost.iter().any(|what| what.contains(&cost)), "{repaired:?}");
        assert!(workspace.maintenance().verify().unwrap().is_ok());
        assert_eq!(workspace.search(&Query::default()).unwrap().total, IMPORTED - lost);
    }
}

/// A file that is all magics of row groups, each with a long footer before it, wastes no time.
#[test]
fn a_pack_of_nothing_but_magics_is_given_up() {
    let (disk, pack) = packed();
    let mut bytes = disk.content(&pack).unwrap();
    bytes.truncate(32);
    // Each trailer claims a footer of all that is before it.
    (0..400_000_u32).for_each(|at| bytes.extend([&(at * 16).to_le_bytes()[..], &[0; 4], b"SWgroup1"].concat()));
    disk.damage(&pack, |own| own.clone_from(&bytes)).unwrap();
    let began = std::time::Instant::now();
    let page = open(&disk).search(&Query::default()).unwrap();
    assert_eq!((page.total, page.unreadable.len()), (0, 1), "{:?}", page.unreadable);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}
