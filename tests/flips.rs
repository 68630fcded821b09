//! Damage of every kind at every byte: it is found and named, no reader answers wrongly, the rest reads, repair
//! salvages it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepwell::internals::segment::pack::Pack;
use stepwell::internals::segment::reader::Source;
use stepwell::maintenance::{CompactOptions, RepairOptions};
use stepwell::query::{Query, View};
use stepwell::registry::{ModelRegistry, NewVersion};
use stepwell::testing::{SimDisk, Storage};
use stepwell::{Error, ExperimentId, NewRun, Options, Point, RunEdit, RunId, RunStatus, TailMode, Workspace};

use crate::support::frozen::Frozen;
use crate::support::seen::{Seen, look};

const ROOT: &str = "/w";
/// Set to flip each of the eight bits of each byte, not one, and to ask all readers each time, not each third time.
const ALL_BITS: &str = "STEPWELL_ALL_BITS";

/// A workspace as files, and what readers tell of it.
struct Sample {
    files: Frozen,
    runs: BTreeMap<RunId, Vec<String>>,
    whole: Seen,
}

fn open(storage: impl Storage) -> Result<Workspace, Error> {
    Workspace::open_on(Arc::new(storage), Path::new(ROOT), Options::default())
}

fn id(name: &str) -> RunId {
    RunId::new(name).unwrap()
}

fn point(index: i64) -> Point {
    let value = if index % 11 == 0 { f64::NAN } else { ((index * index) as f64).sin() };
    Point { step: index / 2, timestamp_ms: (index % 3 != 0).then_some(1_700_000_000_000 + index * 7), value }
}

impl Sample {
    fn of(disk: &SimDisk, runs: &[(&str, &[&str])]) -> Self {
        let files = Frozen::of(disk, Path::new(ROOT));
        let keys = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect();
        let runs = runs.iter().map(|&(name, of)| (id(name), keys(of))).collect();
        let workspace = open(files.clone()).unwrap();
        let report = workspace.maintenance().verify().unwrap();
        assert!(report.is_ok(), "{:?}", report.damage);
        let whole = look(&workspace, &runs);
        let (refused, _) = whole.against(&whole);
        assert!(refused.is_empty(), "{refused:?} of {:?}", whole.answers);
        Self { files, runs, whole }
    }

    /// Two experiments; a long run, one of short series, one of single points, one that was edited and deleted after it
    /// was packed.
    fn packed() -> Self {
        let disk = SimDisk::new();
        let options = Options { tail: TailMode::Mapped, ..Options::default() };
        let workspace = Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new(ROOT), options).unwrap();
        let vision = workspace.experiments().create("vision").unwrap();
        let registry = ModelRegistry::new(&workspace);
        registry.create_model("m", "", BTreeMap::new()).unwrap();
        let version = NewVersion { name: "m".into(), source: "s3://b/m".into(), ..NewVersion::default() };
        (0..2).for_each(|_| _ = registry.create_version(&version).unwrap());
        registry.set_alias("m", "best", Some(2)).unwrap();
        for (name, experiment) in [("long", vision), ("short", ExperimentId::DEFAULT), ("edited", vision)] {
            let new = NewRun { id: Some(id(name)), name: format!("the {name} one"), ..NewRun::default() };
            let mut writer = workspace.create_run(experiment, new).unwrap();
            writer.log_param("lr", "0.1").unwrap();
            writer.set_tag("host", "a").unwrap();
            let (loss, accuracy) = (writer.metric("loss").unwrap(), writer.metric("accuracy").unwrap());
            for index in 0..if name == "long" { 1200 } else { 30 } {
                writer.log_point(loss, point(index)).unwrap();
                let value = (point(index).step as f64 / 10.0).floor();
                writer.log_point(accuracy, Point { value, ..point(index) }).unwrap();
            }
            writer.finish(RunStatus::Finished).unwrap();
        }
        let mut points = workspace.create_run(vision, NewRun { id: Some(id("points")), ..NewRun::default() }).unwrap();
        (0..12).for_each(|key| points.log_metric(&format!("m{key:02}"), 0, f64::from(key).sin()).unwrap());
        points.finish(RunStatus::Finished).unwrap();
        workspace.maintenance().compact(CompactOptions::default()).unwrap();
        let item = RunEdit::Item(1, "4:mnist".into(), Some("5:local".into()));
        workspace.edit_run(&id("edited"), &[RunEdit::Tag("host".into(), "b".into()), item]).unwrap();
        workspace.delete_run(&id("edited")).unwrap();
        workspace.maintenance().compact(CompactOptions::default()).unwrap();
        drop(workspace);
        let keys: &[&str] = &["accuracy", "loss"];
        Self::of(&disk, &[("long", keys), ("short", keys), ("edited", keys), ("points", &["m00", "m07"])])
    }

    /// A run whose writer was killed: row groups, frames, points in the tail; and another whose writer ended, edited.
    fn crashed(tail: TailMode) -> Self {
        let disk = SimDisk::new();
        // Once everything is in one buffer of the tail, once in both.
        let tail_points = if tail == TailMode::Mapped { 64 << 10 } else { 12 };
        let options = Options { tail, tail_points, ..Options::default() };
        let workspace = Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new(ROOT), options).unwrap();
        let create = |name: &str| {
            workspace.create_run(ExperimentId::DEFAULT, NewRun { id: Some(id(name)), ..NewRun::default() }).unwrap()
        };
        let mut ended = create("ended");
        (0..40).for_each(|step| ended.log_metric("loss", step, step as f64 / 3.0).unwrap());
        ended.finish(RunStatus::Failed).unwrap();
        let mut writer = create("killed");
        writer.log_param("lr", "0.1").unwrap();
        let loss = writer.metric("loss").unwrap();
        (0..200).for_each(|index| writer.log_point(loss, point(index)).unwrap());
        writer.seal().unwrap();
        (200..210).for_each(|index| writer.log_point(loss, point(index)).unwrap());
        writer.sync().unwrap();
        writer.set_tag("host", "a").unwrap();
        let accuracy = writer.metric("accuracy").unwrap();
        (210..230).for_each(|index| writer.log_point(accuracy, point(index)).unwrap());
        workspace.edit_run(&id("ended"), &[RunEdit::Tag("host".into(), "b".into())]).unwrap();
        let killed = disk.process_crash();
        Self::of(&killed, &[("killed", &["accuracy", "loss"]), ("ended", &["loss"])])
    }

    fn of_kind(&self, kinds: &[&str]) -> Vec<PathBuf> {
        let kind =
            |path: &&PathBuf| path.extension().and_then(|kind| kind.to_str()).is_some_and(|k| kinds.contains(&k));
        self.files.files.keys().filter(kind).cloned().collect()
    }

    /// The runs whose points are missing or differ.
    fn lacking(&self, seen: &Seen) -> Vec<RunId> {
        let lacks = |id: &RunId, keys: &Vec<String>| {
            keys.iter().any(|key| {
                let of = format!("{id} {key}");
                !seen.points.get(&of).is_some_and(|points| *points == self.whole.points[&of])
            })
        };
        self.runs.iter().filter(|(id, keys)| lacks(id, keys)).map(|(id, _)| id.clone()).collect()
    }

    /// Damage in one file is named by `verify`, with its place, or bars opening by a clear error.
    fn verify(&self, path: &Path, files: Frozen, what: &str) -> Option<Workspace> {
        let workspace = match open(files) {
            Ok(workspace) => workspace,
            Err(error) => {
                let told = error.to_string();
                assert!(told.contains(path.to_str().unwrap()), "{what} of {}: {told}", path.display());
                assert!(path.ends_with("stepwell.workspace"), "{what} of {} bars all: {told}", path.display());
                return None;
            }
        };
        let report = workspace.maintenance().verify().unwrap();
        // What is appended to a log that was not ended is what a crash leaves too.
        let torn = report.torn.iter().filter(|_| what.ends_with("appended"));
        let mut named = report.damage.iter().chain(torn);
        assert!(named.any(|damage| damage.file == path), "{what} of {}: {report:?}", path.display());
        // What is lost of a log leaves its tail's points without their place.
        let with_it = |file: &Path| file == path || file == path.with_extension("tail");
        let foreign: Vec<_> = report.damage.iter().filter(|damage| !with_it(&damage.file)).collect();
        assert!(foreign.is_empty(), "{what} of {} is blamed on {foreign:?}", path.display());
        let len = self.files.files[path].len() as u64;
        for damage in &report.damage {
            let within = damage.file != path || damage.offset + damage.length <= len + 1;
            assert!(within, "{what} of {}: {damage:?}", path.display());
            assert!(!damage.what.is_empty() && !damage.cost.is_empty(), "{damage:?}");
        }
        Some(workspace)
    }

    /// The same, and what readers then tell.
    fn check(&self, path: &Path, files: Frozen, what: &str) -> Option<Seen> {
        self.verify(path, files, what).map(|workspace| look(&workspace, &self.runs))
    }
}

/// The bits to flip in the byte at an offset.
fn bits(offset: usize) -> Vec<u8> {
    if std::env::var_os(ALL_BITS).is_some() { (0..8).map(|bit| 1 << bit).collect() } else { vec![1 << (offset % 8)] }
}

fn flipped(bytes: &[u8], offset: usize, bit: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[offset] ^= bit;
    bytes
}

#[test]
fn each_flipped_byte_of_a_packed_workspace_is_named_and_read_around() {
    let sample = Sample::packed();
    for (path, bytes) in &sample.files.files {
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap();
        let own_pages = if kind == "pack" { pages_of_one_run(path, bytes) } else { Vec::new() };
        for offset in 0..bytes.len() {
            for bit in bits(offset) {
                let what = format!("bit {bit:#x} of byte {offset}");
                let files = sample.files.with(path, flipped(bytes, offset, bit));
                let Some(workspace) = sample.verify(path, files, &what) else { continue };
                if offset % 3 != 0 && std::env::var_os(ALL_BITS).is_none() {
                    continue;
                }
                let seen = look(&workspace, &sample.runs);
                let (refused, other) = seen.against(&sample.whole);
                assert!(other.is_empty(), "{what} of {}: other answers to {other:?}", path.display());
                let lacking = sample.lacking(&seen);
                match kind {
                    "index" => assert!(refused.is_empty(), "{what} of an index costs {refused:?}"),
                    "entry" => assert!(lacking.is_empty(), "{what} of {} costs {lacking:?}", path.display()),
                    _ => {}
                }
                if own_pages.iter().any(|pages| pages.contains(&(offset as u64))) {
                    assert!(lacking.len() <= 1, "{what} of a run's own page costs {lacking:?}");
                    let words = refused.iter().find(|of| of.ends_with("words"));
                    assert!(words.is_none(), "{what} of a run's own page costs {words:?}");
                }
            }
        }
    }
}

/// Where in a pack the pages lie that belong to one long series or axis.
fn pages_of_one_run(path: &Path, bytes: &[u8]) -> Vec<std::ops::Range<u64>> {
    let disk = SimDisk::new();
    disk.create_new(Path::new("/pack")).unwrap().write_at(bytes, 0).unwrap();
    let pack = Pack::open(Source::new(disk.open_read(Path::new("/pack")).unwrap(), path.to_owned())).unwrap();
    let groups: Vec<_> = (0..pack.row_group_count()).map(|index| pack.group(index).unwrap()).collect();
    let own = groups.iter().flat_map(|group| {
        let footer = group.footer();
        footer.pages[..footer.pool_base].iter().map(|page| {
            let start = group.extent().0 + page.offset;
            start..start + u64::from(page.len)
        })
    });
    own.collect()
}

#[test]
fn each_flipped_byte_of_a_crashed_run_is_named_and_costs_what_follows_at_most() {
    for tail in [TailMode::Mapped, TailMode::Written] {
        let sample = Sample::crashed(tail);
        for path in sample.of_kind(&["log", "tail"]) {
            let bytes = &sample.files.files[&path];
            let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 33);
            // Beyond what is used a mapped tail is zeros for 64 KiB, all alike; before, it is as the written one.
            let offsets = (0..bytes.len()).filter(|&offset| match tail {
                TailMode::Mapped => offset % if offset < used { 13 } else { 4093 } == 0,
                _ => true,
            });
            for offset in offsets {
                for bit in bits(offset) {
                    let what = format!("bit {bit:#x} of byte {offset} ({tail:?})");
                    let files = sample.files.with(&path, flipped(bytes, offset, bit));
                    let Some(seen) = sample.check(&path, files, &what) else { continue };
                    assert!(seen.invents_nothing(&sample.whole), "{what} of {} invents points", path.display());
                    let lacking = sample.lacking(&seen);
                    assert!(lacking.len() <= 1, "{what} of {} costs {lacking:?}", path.display());
                    if offset >= used {
                        assert!(lacking.is_empty(), "{what}, behind all points, costs some");
                    }
                }
            }
        }
    }
}

#[test]
fn files_cut_at_any_length_and_grown_by_a_byte_are_reported() {
    for sample in [Sample::packed(), Sample::crashed(TailMode::Written)] {
        for (path, bytes) in &sample.files.files {
            let kind = path.extension().and_then(|kind| kind.to_str());
            // A crash leaves parts of lines too: they are neither evidence nor data.
            let of_ledger = kind == Some("ledger");
            let of_log = of_ledger || matches!(kind, Some("log" | "tail"));
            let step = if bytes.len() > 4096 { 7 } else { 1 };
            for len in (0..bytes.len()).rev().step_by(step) {
                let what = format!("{len} bytes left");
                let files = sample.files.with(path, bytes[..len].to_vec());
                if of_log {
                    // A log, or its tail, cut between two frames or slots is that of an earlier crash.
                    let workspace = open(files).unwrap();
                    workspace.maintenance().verify().unwrap();
                    let seen = look(&workspace, &sample.runs);
                    assert!(seen.invents_nothing(&sample.whole), "{what} of {} invents points", path.display());
                    assert!(sample.lacking(&seen).len() <= 1, "{what} of {}", path.display());
                } else if let Some(seen) = sample.check(path, files, &what) {
                    let (_, other) = seen.against(&sample.whole);
                    assert!(other.is_empty(), "{what} of {}: other answers to {other:?}", path.display());
                }
            }
            for byte in [0, 0x5A] {
                let what = format!("a byte {byte} appended");
                let files = sample.files.with(path, [&bytes[..], &[byte]].concat());
                if of_log && byte == 0 || of_ledger {
                    continue;
                }
                if let Some(seen) = sample.check(path, files, &what) {
                    let (_, other) = seen.against(&sample.whole);
                    assert!(other.is_empty(), "{what} to {}: other answers to {other:?}", path.display());
                }
            }
        }
    }
}

#[test]
fn a_deleted_file_costs_its_own_content_only() {
    for sample in [Sample::packed(), Sample::crashed(TailMode::Mapped)] {
        for path in sample.files.files.keys() {
            let workspace = match open(sample.files.without(path)) {
                Ok(workspace) => workspace,
                Err(error) => {
                    assert!(path.ends_with("stepwell.workspace"), "{error}");
                    continue;
                }
            };
            let report = workspace.maintenance().verify().unwrap();
            let seen = look(&workspace, &sample.runs);
            assert!(seen.invents_nothing(&sample.whole), "without {}", path.display());
            let (refused, other) = seen.against(&sample.whole);
            let named = report
                .damage
                .iter()
                .any(|damage| damage.file == *path || damage.file.with_extension("") == path.with_extension(""));
            match path.extension().and_then(|kind| kind.to_str()).unwrap() {
                "index" => assert!(refused.is_empty() && other.is_empty(), "without {}: {refused:?}", path.display()),
                "pack" => assert!(named && other.is_empty(), "without {}: {other:?} {report:?}", path.display()),
                "entry" if path.parent().unwrap().ends_with("anchors") => {
                    assert!(refused.is_empty() && other.is_empty(), "without {}: {refused:?}", path.display());
                }
                "entry" => assert!(named && other.is_empty(), "without {}: {other:?} {report:?}", path.display()),
                "log" | "tail" => {
                    assert!(sample.lacking(&seen).len() <= 1, "without {}", path.display());
                    assert!(named, "without {}: {report:?}", path.display());
                }
                _ => assert!(sample.lacking(&seen).len() <= 1, "without {}", path.display()),
            }
        }
    }
}

#[test]
fn repair_keeps_what_verifies_and_the_originals() {
    for (sample, step) in [(Sample::packed(), 97), (Sample::crashed(TailMode::Written), 61)] {
        for (path, bytes) in &sample.files.files {
            if path.ends_with("stepwell.workspace") {
                continue;
            }
            for offset in (0..bytes.len()).step_by(step.min(bytes.len() / 3 + 1)) {
                let what = format!("byte {offset} of {} repaired", path.display());
                let damaged = flipped(bytes, offset, 0x10);
                let disk = sample.files.with(path, damaged.clone()).thaw();
                let workspace = open(disk.clone()).unwrap();
                let repaired = workspace.maintenance().repair(RepairOptions::default()).unwrap();
                check_repaired(&sample, &workspace, &what, repaired.lost.is_empty());
                if path.extension().is_some_and(|kind| kind != "index") {
                    let name = path.file_name().unwrap();
                    let kept = disk.content(&Path::new(ROOT).join("quarantine").join(name));
                    assert!(kept.is_ok_and(|kept| kept == damaged), "{what}: the original is not in quarantine");
                }
                drop(workspace);
                let again = open(disk).unwrap();
                check_repaired(&sample, &again, &format!("{what}, opened again"), repaired.lost.is_empty());
                assert_eq!(
                    again.maintenance().repair(RepairOptions::default()).unwrap(),
                    Default::default(),
                    "{what}: a second repair finds something"
                );
            }
        }
    }
}

fn check_repaired(sample: &Sample, workspace: &Workspace, what: &str, nothing_lost: bool) {
    let report = workspace.maintenance().verify().unwrap();
    assert!(report.is_ok(), "{what}: {:?}", report.damage);
    let seen = look(workspace, &sample.runs);
    assert!(seen.invents_nothing(&sample.whole), "{what}: points that were never logged");
    let (refused, other) = seen.against(&sample.whole);
    if nothing_lost {
        assert!(refused.is_empty() && other.is_empty(), "{what}: not told as lost: {refused:?} {other:?}");
    }
}

/// A run with a chosen id and three writers, each with its own points: whatever bit of the first frames of one log is
/// flipped, and whichever log it is, the list, the run and its histories agree, and lack that writer's part at most.
#[test]
fn each_flipped_bit_of_the_first_frames_costs_that_writer_alone() {
    for writers in [1, 2, 3] {
        let disk = SimDisk::new();
        let workspace =
            Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new(ROOT), Options::default()).unwrap();
        let vision = workspace.experiments().create("vision").unwrap();
        for number in 0..writers {
            let mut writer = match number {
                0 => workspace.create_run(vision, NewRun { id: Some(id("chosen")), ..NewRun::default() }).unwrap(),
                _ => workspace.writer(&id("chosen")).unwrap(),
            };
            (0..5).for_each(|step| writer.log_metric(&format!("m{number}"), step, 1.0).unwrap());
            writer.finish(RunStatus::Finished).unwrap();
        }
        let files = Frozen::of(&disk, Path::new(ROOT));
        for (path, bytes) in files.files.iter().filter(|(path, _)| path.extension().is_some_and(|kind| kind == "log")) {
            for offset in 0..first_frames_len(bytes, 3) {
                for bit in (0..8).map(|bit| 1 << bit) {
                    let what = format!("bit {bit:#x} of byte {offset} of one of {writers} logs");
                    let workspace = open(files.with(path, flipped(bytes, offset, bit))).unwrap();
                    let page = workspace.search(&Query { view: View::All, ..Query::default() }).unwrap();
                    let told = page.unreadable.iter().any(|told| told.contains(path.to_str().unwrap()));
                    assert!(told, "{what}: the list does not tell it: {:?}", page.unreadable);
                    if bits(offset).contains(&bit) {
                        let report = workspace.maintenance().verify().unwrap();
                        let of_path: Vec<_> = report.damage.iter().filter(|damage| damage.file == *path).collect();
                        assert!(!of_path.is_empty(), "{what}: {report:?}");
                        assert!(of_path.iter().all(|damage| !damage.cost.ends_with("run ")), "{what}: {of_path:?}");
                    }
                    let found = workspace.find_run(&id("chosen"));
                    if writers == 1 {
                        // The name may be gone; then the key's digits are all that is left of it.
                        let names = page.run_ids().unwrap();
                        let key = id("chosen").key().to_string();
                        assert!(names.is_empty() == found.is_err(), "{what}: listed {names:?}, found {found:?}");
                        assert!(
                            names.iter().all(|name| [key.as_str(), "chosen"].contains(&name.as_str())),
                            "{what}: {names:?}"
                        );
                        continue;
                    }
                    let run = found.unwrap().unwrap();
                    assert_eq!(page.summaries().unwrap().len(), 1, "{what}: {:?}", page.summaries().unwrap());
                    let listed = &page.summaries().unwrap()[0];
                    assert_eq!((listed.run_id.as_str(), listed.experiment_id), ("chosen", vision), "{what}");
                    assert!(run.keys().eq(listed.metrics.keys()), "{what}: listed and shown are not alike");
                    assert!(!run.damage().is_empty(), "{what}: the run does not tell it");
                    let whole = (0..writers)
                        .filter(|number| run.history(&format!("m{number}")).is_ok_and(|points| points.len() == 5));
                    assert!(whole.count() + 1 >= writers, "{what}: more than one writer's points are gone");
                    let digits = workspace.find_run(&RunId::of_key(id("chosen").key())).unwrap().unwrap();
                    assert_eq!(digits.id(), run.id(), "{what}: the digits of the key are another run");
                }
            }
        }
    }
}

/// How many bytes the first frames of a log have, this many.
fn first_frames_len(bytes: &[u8], frames: usize) -> usize {
    let mut end = 0;
    for _ in 0..frames {
        end += 40 + u32::from_le_bytes(*bytes[end + 8..].first_chunk().unwrap()) as usize;
    }
    end
}
