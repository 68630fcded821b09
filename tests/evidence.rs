//! What is missing is missed: logs and tails that are emptied, cut, replaced or gone, and what a power loss
//! takes, which is not damage.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepwell::maintenance::{CollectOptions, CompactOptions, RepairOptions};
use stepwell::query::Query;
use stepwell::testing::{PowerLoss, SimDisk, Storage};
use stepwell::{ExperimentId, NewRun, Options, RunEdit, RunId, RunStatus, RunWriter, TailMode, Workspace};

const ROOT: &str = "/w";

fn open(disk: &SimDisk) -> Workspace {
    let options = Options { tail: TailMode::Written, ..Options::default() };
    Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new(ROOT), options).unwrap()
}

fn id(name: &str) -> RunId {
    RunId::new(name).unwrap()
}

fn create(workspace: &Workspace, name: &str) -> RunWriter {
    workspace.create_run(ExperimentId::DEFAULT, NewRun { id: Some(id(name)), ..NewRun::default() }).unwrap()
}

/// Logs five points to the run `other`, and finishes it.
fn finish_other(workspace: &Workspace) {
    let mut other = create(workspace, "other");
    (0..5).for_each(|step| other.log_metric("loss", step, 1.0).unwrap());
    other.finish(RunStatus::Finished).unwrap();
}

/// How the writer of a run left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// Finished: ended and synced.
    Finished,
    /// Dropped: ended, and never synced.
    Dropped,
    /// Synced, and killed with points in its tail.
    Synced,
    /// Killed with points in its tail, and never synced.
    Killed,
}

impl Left {
    const ALL: [Self; 4] = [Self::Finished, Self::Dropped, Self::Synced, Self::Killed];
}

/// The run `hurt`, left so, and the run `other`, which is finished.
fn sample(left: Left) -> SimDisk {
    let disk = SimDisk::new();
    let workspace = open(&disk);
    finish_other(&workspace);
    let mut hurt = create(&workspace, "hurt");
    let mut log = |from: i64| (from..from + 20).for_each(|step| hurt.log_metric("loss", step, step as f64).unwrap());
    log(0);
    match left {
        Left::Finished => hurt.finish(RunStatus::Finished).unwrap(),
        Left::Dropped => drop(hurt),
        Left::Synced => {
            workspace.sync().unwrap();
            log(20);
            return disk.process_crash();
        }
        Left::Killed => return disk.process_crash(),
    }
    disk.process_crash()
}

/// The files of the run `hurt` with this ending.
fn file(disk: &SimDisk, kind: &str) -> Option<PathBuf> {
    let dir = Path::new(ROOT).join("logs").join(&id("hurt").key().to_string()[..2]);
    let entries = disk.read_dir(&dir).unwrap();
    let own = entries.iter().find(|entry| {
        entry.name.starts_with(&id("hurt").key().to_string()) && entry.name.ends_with(&format!(".{kind}"))
    });
    own.map(|entry| dir.join(&entry.name))
}

/// `verify` names the file, the list and the run say that something is missing, and compaction does not hide it.
fn is_missed(disk: &SimDisk, path: &Path, what: &str) {
    let told_of = |told: &[String]| told.iter().any(|told| told.contains(path.to_str().unwrap()));
    let check = |workspace: &Workspace, when: &str| {
        let report = workspace.maintenance().verify().unwrap();
        assert!(report.damage.iter().any(|damage| damage.file == path), "{what}, {when}: {report:?}");
        let is_called_torn = report.torn.iter().any(|torn| torn.file == path && torn.offset == 0);
        assert!(!is_called_torn, "{what}, {when}: damage is called torn too: {report:?}");
        let page = workspace.search(&Query::default()).unwrap();
        assert!(told_of(&page.unreadable), "{what}, {when}: the list does not tell it: {:?}", page.unreadable);
        match workspace.find_run(&id("hurt")) {
            Ok(Some(run)) => assert!(told_of(run.damage()), "{what}, {when}: the run does not tell it"),
            Ok(None) => panic!("{what}, {when}: the run is gone in silence"),
            Err(error) => assert!(error.to_string().contains(path.to_str().unwrap()), "{what}, {when}: {error}"),
        }
        assert_eq!(workspace.run(&id("other")).unwrap().points(), 5, "{what}, {when}");
    };
    check(&open(disk), "first");
    let workspace = open(disk);
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
    drop(workspace);
    check(&open(disk), "compacted");
    let workspace = open(disk);
    let repaired = workspace.maintenance().repair(RepairOptions::default()).unwrap();
    assert!(!repaired.lost.is_empty(), "{what}: {repaired:?}");
    let report = workspace.maintenance().verify().unwrap();
    assert!(report.is_ok(), "{what}, repaired: {:?}", report.damage);
    assert_eq!(workspace.run(&id("other")).unwrap().points(), 5, "{what}, repaired");
}

#[test]
fn a_log_or_tail_that_is_emptied_replaced_cut_or_gone_is_missed() {
    type Harm = fn(&mut Vec<u8>);
    let harms: [(&str, Harm); 4] = [
        ("emptied", |bytes| bytes.clear()),
        ("zeroed", |bytes| bytes.fill(0)),
        ("replaced", |bytes| *bytes = (0..61).map(|byte: u8| byte.wrapping_mul(167) ^ 0x5A).collect()),
        ("cut to its first frame", |bytes| {
            let payload = u32::from_le_bytes(*bytes[8..].first_chunk().unwrap());
            bytes.truncate(40 + payload as usize);
        }),
    ];
    for left in Left::ALL {
        for (harm, change) in harms {
            // Of a log that was never synced nor ended only the creation is told outside it.
            if left == Left::Killed && harm.starts_with("cut") {
                continue;
            }
            let disk = sample(left);
            let log = file(&disk, "log").unwrap();
            disk.damage(&log, change).unwrap();
            is_missed(&disk, &log, &format!("log of {left:?} {harm}"));
        }
        let disk = sample(left);
        let log = file(&disk, "log").unwrap();
        disk.remove_file(&log).unwrap();
        is_missed(&disk, &log, &format!("log of {left:?} deleted"));
        if matches!(left, Left::Finished | Left::Dropped) {
            assert_eq!(file(&sample(left), "tail"), None, "an ended log has no tail");
            continue;
        }
        for (harm, change) in &harms[..2] {
            let disk = sample(left);
            disk.damage(&tail_of(&disk), change).unwrap();
            is_missed(&disk, &tail_of(&disk), &format!("tail of {left:?} {harm}"));
        }
        let disk = sample(left);
        let tail = tail_of(&disk);
        disk.remove_file(&tail).unwrap();
        is_missed(&disk, &tail, &format!("tail of {left:?} deleted"));
    }
}

fn tail_of(disk: &SimDisk) -> PathBuf {
    file(disk, "tail").unwrap()
}

#[test]
fn what_a_stop_of_the_machine_takes_is_no_damage() {
    for left in Left::ALL {
        let whole = sample(left);
        let images = [whole.power_loss(PowerLoss::DropAll), whole.power_loss(PowerLoss::KeepAll)];
        for (disk, at) in
            images.into_iter().chain((0..60).map(|seed| whole.power_loss(PowerLoss::Seeded(seed)))).zip(0..)
        {
            let workspace = open(&disk);
            let report = workspace.maintenance().verify().unwrap();
            assert!(report.is_ok(), "{left:?}, loss {at}: {:?}", report.damage);
            let page = workspace.search(&Query::default()).unwrap();
            assert!(page.unreadable.is_empty(), "{left:?}, loss {at}: {:?}", page.unreadable);
            workspace.maintenance().compact(CompactOptions::default()).unwrap();
            let report = workspace.maintenance().verify().unwrap();
            assert!(report.is_ok(), "{left:?}, loss {at}, compacted: {:?}", report.damage);
        }
    }
}

/// Where the frames of a log begin, how long their headers and contents are, and whether they are one write.
fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut frames = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let len = 40 + u32::from_le_bytes(*bytes[at + 8..].first_chunk().unwrap()) as usize;
        frames.push((at, len));
        at += len;
    }
    assert_eq!(at, bytes.len());
    frames
}

/// A log that was never synced, with short frames, one of columns and one of metadata longer than what is written at
/// once.
fn never_synced() -> (SimDisk, PathBuf) {
    let disk = SimDisk::new();
    let workspace = open(&disk);
    let new = NewRun { id: Some(id("hurt")), ..NewRun::default() };
    let mut writer = workspace.create_run(ExperimentId::DEFAULT, new).unwrap();
    writer.set_tag("a", "b").unwrap();
    (0..20).for_each(|step| writer.log_metric("loss", step, step as f64).unwrap());
    writer.seal().unwrap();
    let (steps, metric) = ((0..12_000).collect::<Vec<i64>>(), writer.metric("wild").unwrap());
    let wild =
        |step: &i64| f64::from_bits(0x3FF0_0000_0000_0000 | (*step as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 12);
    writer.log_columns(metric, &steps, None, &steps.iter().map(wild).collect::<Vec<f64>>()).unwrap();
    let words = |key: usize| RunEdit::Tag(format!("t{key}"), format!("{key}").repeat(6_000 / format!("{key}").len()));
    writer.edit(&(0..14).map(words).collect::<Vec<_>>()).unwrap();
    writer.set_tag("last", "c").unwrap();
    drop(writer);
    let disk = disk.process_crash();
    let log = file(&disk, "log").unwrap();
    (disk, log)
}

/// Every frame of a log that was never synced loses its end at any byte, any block, or all that it was: no damage, and
/// what stands before it serves.
#[test]
fn no_part_of_a_write_that_a_stop_of_the_machine_takes_is_damage() {
    let (disk, log) = never_synced();
    let disk = disk.power_loss(PowerLoss::KeepAll);
    let whole = disk.content(&log).unwrap();
    let frames = frames(&whole);
    let long = frames.iter().filter(|(_, len)| *len > 40 + (64 << 10)).count();
    assert!(frames.len() > 6 && long >= 2, "{frames:?}");
    let mut lost: Vec<(String, std::ops::Range<usize>, bool)> = Vec::new();
    for &(from, len) in &frames {
        let end = from + len;
        // A short frame is one write; of a long one the contents are written before the header.
        let split = if len > 40 + (64 << 10) { from + 40 } else { end };
        for write in [split..end, from..split].into_iter().filter(|write| !write.is_empty()) {
            let step = if write.len() <= 4096 { 1 } else { 512 };
            lost.extend(write.clone().step_by(step).map(|at| (format!("torn at {at}"), at..write.end, false)));
            let mut at = write.start;
            while at < write.end {
                let to = (at + 1).next_multiple_of(512).min(write.end);
                lost.push((format!("without the block at {at}"), at..to, false));
                at = to;
            }
            lost.push((format!("{write:?} replaced by what was there before"), write, true));
        }
    }
    lost.retain(|(_, range, garbage)| *garbage || whole[range.clone()].iter().any(|&byte| byte != 0));
    for (what, range, garbage) in lost {
        let disk = disk.process_crash();
        let mut seed = range.start as u64;
        let mut random = || {
            seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            (seed ^ seed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9).to_le_bytes()[7]
        };
        disk.damage(&log, |bytes| bytes[range.clone()].fill_with(|| if garbage { random() } else { 0 })).unwrap();
        let workspace = open(&disk);
        let report = workspace.maintenance().verify().unwrap();
        assert!(report.is_ok(), "{what}: {:?}", report.damage);
        let page = workspace.search(&Query::default()).unwrap();
        assert!(page.unreadable.is_empty(), "{what}: {:?}", page.unreadable);
        let points = workspace.find_run(&id("hurt")).unwrap().map_or(0, |run| run.points());
        assert!([0, 20, 12_020].contains(&points), "{what}: {points} points");
    }
}

/// As long as the machine did not stop, nothing can have been lost: bytes that are not a frame were changed, also in a
/// log that was never synced and has not ended. But a killed writer leaves half of its last frame.
#[test]
fn bytes_that_are_overwritten_in_a_log_that_was_never_synced_are_missed() {
    let disk = SimDisk::new();
    let workspace = open(&disk);
    finish_other(&workspace);
    let mut hurt = create(&workspace, "hurt");
    hurt.log_param("lr", "0.1").unwrap();
    hurt.set_tag("a", "b").unwrap();
    hurt.set_tag("c", "d").unwrap();
    let disk = disk.process_crash();
    drop(hurt);
    let log = file(&disk, "log").unwrap();
    let whole = disk.content(&log).unwrap();
    let frames = frames(&whole);
    assert!(frames.len() >= 4);
    for &(from, len) in &frames[1..] {
        for at in [from, from + 8, from + 36, from + 40].into_iter().filter(|at| at + 3 < from + len) {
            let disk = disk.process_crash();
            disk.damage(&log, |bytes| bytes[at..at + 3].iter_mut().for_each(|byte| *byte ^= 0x5A)).unwrap();
            is_missed(&disk, &log, &format!("3 bytes from {at} on of a log that was never synced"));
        }
    }
    // What a killed writer leaves of its last frame is not damage.
    let &(last, len) = frames.last().unwrap();
    for kept in 0..len {
        let disk = disk.process_crash();
        disk.damage(&log, |bytes| bytes.truncate(last + kept)).unwrap();
        let report = open(&disk).maintenance().verify().unwrap();
        assert!(report.is_ok(), "{kept} bytes of the last frame: {:?}", report.damage);
    }
}

#[test]
fn what_was_synced_is_missed_after_a_stop_of_the_machine_too() {
    for left in [Left::Finished, Left::Synced] {
        let disk = sample(left).power_loss(PowerLoss::KeepAll);
        let log = file(&disk, "log").unwrap();
        disk.damage(&log, Vec::clear).unwrap();
        is_missed(&disk, &log, &format!("log of {left:?} emptied after a power loss"));
    }
}

/// Copies made without ledgers, without `tmp` and `quarantine`, or of a folder whose logs went into packs, miss
/// nothing.
#[test]
fn copies_and_compacted_workspaces_miss_nothing() {
    for left in Left::ALL {
        for without in [&["tmp", "quarantine"][..], &["tmp", "quarantine", "ledgers"]] {
            let disk = sample(left);
            for folder in without {
                let dir = Path::new(ROOT).join(folder);
                for entry in disk.read_dir(&dir).unwrap() {
                    disk.remove_file(&dir.join(entry.name)).unwrap();
                }
                disk.remove_dir(&dir).unwrap();
            }
            let points = open(&disk).run(&id("hurt")).unwrap().points();
            for _ in 0..2 {
                let workspace = open(&disk);
                let report = workspace.maintenance().verify().unwrap();
                assert!(report.is_ok(), "{left:?} without {without:?}: {:?}", report.damage);
                workspace.maintenance().compact(CompactOptions::default()).unwrap();
                workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
                assert_eq!(
                    workspace.maintenance().repair(RepairOptions::default()).unwrap(),
                    Default::default(),
                    "{left:?} without {without:?}"
                );
                assert_eq!(workspace.run(&id("hurt")).unwrap().points(), points, "{left:?} without {without:?}");
            }
        }
    }
}

/// One ledger serves processes that come one after the other, and goes when all of its logs are in packs.
#[test]
fn ledgers_are_few_and_go() {
    let disk = SimDisk::new();
    for run in 0..20 {
        let workspace = open(&disk);
        let new = NewRun { id: Some(id(&format!("r{run}"))), ..NewRun::default() };
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, new).unwrap();
        writer.log_metric("loss", 0, 1.0).unwrap();
        writer.finish(RunStatus::Finished).unwrap();
    }
    let ledgers = || disk.read_dir(&Path::new(ROOT).join("ledgers")).unwrap().len();
    assert_eq!(ledgers(), 1);
    open(&disk).maintenance().compact(CompactOptions::default()).unwrap();
    assert_eq!(ledgers(), 0);
    assert!(open(&disk).maintenance().verify().unwrap().is_ok());
}

#[test]
fn damage_to_a_ledger_is_reported_and_costs_no_data() {
    let disk = sample(Left::Finished);
    let dir = Path::new(ROOT).join("ledgers");
    let ledger = dir.join(&disk.read_dir(&dir).unwrap()[0].name);
    let len = disk.content(&ledger).unwrap().len();
    for byte in 0..len {
        let disk = disk.process_crash();
        disk.damage(&ledger, |bytes| bytes[byte] ^= 1).unwrap();
        let workspace = open(&disk);
        let report = workspace.maintenance().verify().unwrap();
        assert!(report.damage.iter().all(|damage| damage.file == ledger), "byte {byte}: {:?}", report.damage);
        assert!(!report.is_ok(), "byte {byte} is not told");
        assert_eq!(workspace.run(&id("hurt")).unwrap().points(), 20);
        workspace.maintenance().repair(RepairOptions::default()).unwrap();
        assert!(workspace.maintenance().verify().unwrap().is_ok(), "byte {byte}");
    }
}

/// A writer killed while it stores a point leaves some words of a slot: after its last point, over nothing or over a
/// point of an earlier generation. The point was never acknowledged.
#[test]
fn half_of_a_slot_that_a_killed_writer_left_is_no_damage() {
    for over in ["nothing", "an earlier generation"] {
        let disk = SimDisk::new();
        let workspace = open(&disk);
        let mut writer = create(&workspace, "hurt");
        let mut next = 0..;
        let mut log = |writer: &mut RunWriter, count: usize| {
            let steps = next.by_ref().take(count);
            steps.for_each(|step| writer.log_metric("loss", step, step as f64).unwrap());
        };
        if over == "an earlier generation" {
            // Both halves of the tail have held points by then.
            (0..4).for_each(|_| {
                log(&mut writer, 20);
                writer.seal().unwrap();
            });
        }
        log(&mut writer, 3);
        let points = writer.points();
        let dead = disk.process_crash();
        let tail = file(&dead, "tail").unwrap();
        let whole = bytes_of(&dead, &tail);
        let last = (0..whole.len() / SLOT).rev().find(|slot| {
            // The last point of all: a byte of it that changes is missed.
            let disk = dead.process_crash();
            disk.damage(&tail, |bytes| bytes[slot * SLOT] ^= 1).unwrap();
            open(&disk).run(&id("hurt")).unwrap().points() == points - 1
        });
        let last = last.expect("the last point is in the tail");
        let words = [0xAA; SLOT - 8];
        dead.damage(&tail, |bytes| {
            bytes.resize(bytes.len().max((last + 2) * SLOT), 0);
            bytes[(last + 1) * SLOT..][..words.len()].copy_from_slice(&words);
        })
        .unwrap();
        let now = open(&dead);
        let report = now.maintenance().verify().unwrap();
        assert!(report.is_ok() && report.torn.len() == 1, "over {over}: {report:?}");
        assert_eq!(report.torn[0].offset as usize, (last + 1) * SLOT, "over {over}");
        assert_eq!(now.run(&id("hurt")).unwrap().points(), points);
        let compacted = now.maintenance().compact(CompactOptions::default()).unwrap();
        assert!(compacted.skipped.is_empty() && dead.open_read(&tail).is_err(), "over {over}: {compacted:?}");
        assert_eq!(now.run(&id("hurt")).unwrap().points(), points);
        let kept = dead.read_dir(&Path::new(ROOT).join("quarantine")).unwrap_or_default();
        assert!(kept.is_empty(), "over {over}: {kept:?}");

        // The last point itself is missed when a byte of it changes.
        let dead = disk.process_crash();
        dead.damage(&tail, |bytes| bytes[last * SLOT + 9] ^= 0x5A).unwrap();
        let report = open(&dead).maintenance().verify().unwrap();
        assert_eq!(report.damage.len(), 1, "over {over}: {report:?}");
    }
}

/// Length of a slot of a tail.
const SLOT: usize = 32;

fn bytes_of(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open_read(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

#[test]
fn a_sync_after_a_compaction_asks_for_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    let first = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let id = first.run_id().clone();
    first.finish(RunStatus::Finished).unwrap();
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    // It says nothing that the pack has not, so no pack names it.
    workspace.writer(&id).unwrap().close().unwrap();
    drop(workspace.writer(&id).unwrap());
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    workspace.sync().unwrap();
    let other = Workspace::open(workspace.root()).unwrap();
    assert_eq!(other.run(&id).unwrap().damage(), [""; 0]);
}
