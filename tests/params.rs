//! Params are set once: whoever stops, dies or fails at whichever step, what was acknowledged is what everyone reads
//! from then on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepwell::import::RunImport;
use stepwell::maintenance::CompactOptions;
use stepwell::query::Query;
use stepwell::testing::{Effect, Fault, OpKind, SimDisk, Storage, Times};
use stepwell::{Error, ExperimentId, NewRun, Options, RunEdit, RunId, Workspace, now_ms};

use crate::support::stop::{Actor, Stop, at_every_operation};

fn open(storage: Arc<dyn Storage>) -> Workspace {
    let options = Options { param_wait_ms: 1, tail_points: 16, ..Options::default() };
    Workspace::open_or_create_on(storage, Path::new("/w"), options).unwrap()
}

fn on(disk: &SimDisk) -> Workspace {
    open(Arc::new(disk.clone()))
}

fn id() -> RunId {
    RunId::new("run").unwrap()
}

/// A disk with the run, which nobody writes.
fn with_run() -> SimDisk {
    let disk = SimDisk::new();
    disk.set_clock_ms(now_ms());
    on(&disk).create_run(ExperimentId::DEFAULT, NewRun { id: Some(id()), ..NewRun::default() }).unwrap();
    disk
}

/// How a param is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// A writer of the run.
    Writer,
    /// The edit log.
    Edit,
}

/// Sets `lr`, among others.
fn set(workspace: &Workspace, by: By, value: &str) -> Result<(), Error> {
    let edits = [RunEdit::Param("lr".into(), value.into()), RunEdit::Param("depth".into(), "3".into())];
    match by {
        By::Writer => workspace.writer(&id())?.edit(&edits),
        By::Edit => workspace.edit_run(&id(), &edits),
    }
}

/// What everyone has read and been told so far.
#[derive(Default)]
struct Seen {
    value: Option<String>,
}

impl Seen {
    /// Reads as anyone does, a run by its id and by search.
    fn read(&mut self, disk: &SimDisk) {
        let workspace = on(disk);
        let run = workspace.run(&id()).unwrap();
        let found = run.state().param("lr").map(str::to_owned);
        let listed = workspace.search(&Query::default()).unwrap().summaries().unwrap();
        let of_list = listed[0].params.get("lr").cloned();
        assert_eq!(found, of_list, "a run and the list of runs differ");
        assert!(self.value.is_none() || self.value == found, "{:?} became {found:?}", self.value);
        self.value = found;
    }

    /// Takes in what a call that sets `value` came to. Says whether it was refused for a writer that does not come to
    /// an end.
    fn told(&mut self, disk: &SimDisk, value: &str, done: Result<(), Error>) -> bool {
        match done {
            Ok(()) => {
                self.read(disk);
                assert_eq!(self.value.as_deref(), Some(value), "what was acknowledged is what is read");
            }
            Err(Error::ParamConflict { existing, given, .. }) => {
                self.read(disk);
                assert_eq!((self.value.as_ref(), given.as_str()), (Some(&existing), value));
                assert_ne!(existing, value);
            }
            Err(Error::ParamClaimed { key, .. }) => {
                self.read(disk);
                assert!(key == "lr" || key == "depth");
                return true;
            }
            Err(Error::Io { .. }) => self.read(disk),
            Err(error) => panic!("{error}"),
        }
        false
    }
}

#[test]
fn whoever_stops_or_dies_while_setting_a_param_overturns_none() {
    for (turn, (by, other)) in
        [By::Writer, By::Edit].into_iter().flat_map(|by| [(by, By::Writer), (by, By::Edit)]).enumerate()
    {
        // Which writer has the lesser number is drawn each time, so that both come up.
        for (round, value) in ["1", "2", "2"].into_iter().enumerate() {
            let mut refused = 0;
            let operations = at_every_operation(
                || (with_run(), Seen::default()),
                move |storage| set(&open(storage), by, "1"),
                |disk, seen| {
                    seen.read(disk);
                    let done = set(&on(disk), other, value);
                    refused += u32::from(seen.told(disk, value, done));
                    if (turn + round) % 2 == 0 {
                        on(disk).maintenance().compact(CompactOptions::default()).unwrap();
                        seen.read(disk);
                    }
                },
                |disk, seen, done| {
                    let ended = done.is_some();
                    if let Some(done) = done {
                        seen.told(disk, "1", done);
                    }
                    on(disk).maintenance().compact(CompactOptions::default()).unwrap();
                    seen.read(disk);
                    let last = set(&on(disk), By::Writer, "3");
                    let refused = seen.told(disk, "3", last);
                    assert!(!(ended && refused), "nobody is there who claims");
                    assert!(refused || seen.value.is_some());
                },
            );
            assert!(operations > 20, "{operations} operations");
            assert!(value == "1" || refused > 0, "no stop came between a claim and its end");
        }
    }
}

/// A dead writer's claim is in nobody's way.
#[test]
fn a_dead_writers_claim_counts_for_nothing() {
    let mut claims = 0;
    for number in 0.. {
        let disk = with_run();
        let actor =
            Actor::start(Arc::new(disk.clone()), Stop::After(number), |storage| set(&open(storage), By::Writer, "1"));
        let Some(place) = actor.stands_at() else { break };
        let before = on(&disk).run(&id()).unwrap().state().param("lr").map(str::to_owned);
        actor.kill();
        let done = set(&on(&disk), By::Edit, "2");
        match before {
            Some(_) => assert!(matches!(done, Err(Error::ParamConflict { .. })), "{place}: {done:?}"),
            None => {
                claims += u32::from(place.contains("write"));
                done.unwrap_or_else(|error| panic!("{place}: {error}"));
            }
        }
    }
    assert!(claims >= 3, "the log's beginning and the claim were written before the param was set");
}

/// Both stop within what they do, in every pair of places; then one goes on to its end, and the other after it.
#[test]
fn two_who_stop_in_every_pair_of_places_are_never_both_acknowledged() {
    fn act(storage: Arc<dyn Storage>, value: &'static str, sets: bool) -> Result<(), Error> {
        let workspace = open(storage);
        let mut writer = workspace.writer(&id())?;
        if sets { writer.log_param("lr", value) } else { Ok(()) }
    }
    let operations = |sets: bool| {
        let disk: Arc<dyn Storage> = Arc::new(with_run());
        let whole = Actor::start(disk, Stop::Before(u64::MAX), move |storage| act(storage, "1", sets));
        whole.operations()
    };
    // Opening costs the same each time; both end by dropping the writer, which is left out.
    let (first, last) = (operations(false) - 2, operations(true));
    let (mut both, mut either, mut neither) = (0, 0, 0);
    for values in [["1", "2"], ["1", "1"]] {
        for a in first..last {
            for b in first..last + 4 {
                let disk = with_run();
                let start = |value: &'static str, number| {
                    Actor::start(Arc::new(disk.clone()), Stop::After(number), move |storage| act(storage, value, true))
                };
                let (one, other) = (start(values[0], a), start(values[1], b));
                let mut seen = Seen::default();
                seen.read(&disk);
                let done = [one.resume(), other.resume()];
                let won = done.iter().filter(|done| done.is_ok()).count();
                match won {
                    0 => neither += 1,
                    1 => either += 1,
                    _ => both += 1,
                }
                assert!(won < 2 || values[0] == values[1], "{a}, {b}: two values were acknowledged");
                for (done, value) in done.into_iter().zip(values) {
                    seen.told(&disk, value, done);
                }
                let third = on(&disk).writer(&id()).unwrap().log_param("lr", "3");
                assert!(!seen.told(&disk, "3", third), "nobody is there who claims");
            }
        }
    }
    assert!(both > 0 && either > 0, "{both} both, {either} one, {neither} none");
}

/// Every operation fails, once or for ever, in the log of one who sets a param while another one does.
#[test]
fn a_failing_disk_leaves_what_was_acknowledged() {
    for (errno, times, effect) in [
        (libc::ENOSPC, Times::Once, Effect::Half),
        (libc::ENOSPC, Times::Forever, Effect::Nothing),
        (libc::EIO, Times::Once, Effect::Half),
    ] {
        for only in [Some(OpKind::Write), None] {
            for first in ["1", "2"] {
                let mut failed = 0;
                for number in 0.. {
                    let disk = with_run();
                    let (one, two) = (on(&disk), on(&disk));
                    let (mut one, mut two) = (one.writer(&id()).unwrap(), two.writer(&id()).unwrap());
                    let mut seen = Seen::default();
                    if first == "2" {
                        two.log_param("lr", "2").unwrap();
                        seen.told(&disk, "2", Ok(()));
                    }
                    let of_kind = |op: &stepwell::testing::Op| only.is_none_or(|only| op.kind == only);
                    let done = disk.trace().iter().filter(|op| of_kind(op)).count() as u64;
                    disk.add_fault(Fault { at: done + number, only, error: errno.into(), times, effect });
                    let before = disk.operations();
                    let told = one.log_param("lr", "1");
                    let tried = disk.trace()[before as usize..].iter().filter(|op| of_kind(op)).count() as u64;
                    let struck = tried > number;
                    disk.clear_faults();
                    let refused = told.is_err();
                    seen.told(&disk, "1", told);
                    // The other one may be refused while the first one's claim stands, which nobody takes for dead.
                    let told = two.log_param("lr", "2");
                    let waits = seen.told(&disk, "2", told);
                    assert!(!waits || refused);
                    // The first one takes its claim back with whatever it says next.
                    one.set_tag("a", "b").unwrap();
                    seen.read(&disk);
                    let told = two.log_param("lr", "2");
                    assert!(!seen.told(&disk, "2", told), "operation {number}: a claim was left");
                    assert!(seen.value.is_some());
                    drop((one, two));
                    on(&disk).maintenance().compact(CompactOptions::default()).unwrap();
                    seen.read(&disk);
                    failed += u32::from(struck);
                    if !struck {
                        break;
                    }
                }
                assert!(failed >= 1, "nothing failed");
            }
        }
    }
}

/// Of a run that begins with its params nobody knows before they are set: no reader sees it without them.
#[test]
fn a_light_run_comes_with_its_params_in_one_step() {
    let disk = SimDisk::new();
    let workspace = on(&disk);
    workspace.edit_run(&id(), &[]).unwrap_err();
    let other = workspace.create_run_without_log(ExperimentId::DEFAULT, NewRun::default(), &[]).unwrap();
    let writes = |disk: &SimDisk| disk.trace().iter().filter(|op| op.kind == OpKind::Write).count();
    let before = writes(&disk);
    let params = [RunEdit::Param("a".into(), "1".into()), RunEdit::Param("b".into(), "2".into())];
    let id = workspace
        .create_run_without_log(ExperimentId::DEFAULT, NewRun { id_prefix: "m-", ..NewRun::default() }, &params)
        .unwrap();
    assert_eq!(writes(&disk), before + 1);
    assert!(id.as_str().starts_with("m-") && id != other);
    assert_eq!(on(&disk).run(&id).unwrap().state().params().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
    let twice = [RunEdit::Param("a".into(), "1".into()), RunEdit::Param("a".into(), "2".into())];
    let refused = workspace.create_run_without_log(ExperimentId::DEFAULT, NewRun::default(), &twice);
    assert!(matches!(refused, Err(Error::ParamConflict { .. })));
    assert_eq!(workspace.run_ids().unwrap().len(), 2);
}

/// The files whose names end so.
fn files(disk: &SimDisk, folder: &str, end: &str) -> Vec<PathBuf> {
    let dir = Path::new("/w").join(folder);
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in disk.read_dir(&dir).unwrap() {
        if entry.is_dir {
            let inner = dir.join(&entry.name);
            found.extend(disk.read_dir(&inner).unwrap().iter().map(|entry| inner.join(&entry.name)));
        } else {
            found.push(dir.join(&entry.name));
        }
    }
    found.retain(|path| path.to_string_lossy().ends_with(end));
    found
}

/// The param may be set in a file that cannot be read: a write of it is refused, any other is taken, and once the file
/// is back the value is what it was.
#[test]
fn a_param_is_not_set_beside_what_cannot_be_read() {
    type Harm = fn(&mut Vec<u8>);
    let harms: [(&str, &str, Harm); 6] = [
        ("packs", ".pack", |bytes| bytes[2] ^= 1),
        ("packs", ".pack", |bytes| bytes.truncate(bytes.len() / 2)),
        ("packs", ".pack", |bytes| bytes.clear()),
        ("logs", ".log", |bytes| bytes[2] ^= 1),
        ("logs", ".log", |bytes| bytes[120] ^= 1),
        ("edits", ".log", |bytes| bytes[120] ^= 1),
    ];
    for (folder, end, harm) in harms {
        for by in [By::Writer, By::Edit] {
            let disk = with_run();
            let writer = on(&disk);
            match folder {
                "edits" => {
                    writer.edit_run(&id(), &[RunEdit::Param("lr".into(), "1".into())]).unwrap();
                    // What was synced is known to have been whole.
                    writer.sync().unwrap();
                    writer.edit_run(&id(), &[RunEdit::Name("named".into())]).unwrap();
                }
                _ => {
                    let mut writer = writer.writer(&id()).unwrap();
                    writer.log_param("lr", "1").unwrap();
                    writer.sync().unwrap();
                    writer.set_tag("a", "b").unwrap();
                }
            }
            if folder == "packs" {
                drop(writer);
                on(&disk).maintenance().compact(CompactOptions::default()).unwrap();
            }
            // Another writer's log says that there is the run.
            let other = on(&disk).writer(&id()).unwrap();
            let own = files(&disk, folder, end);
            let whole: Vec<Vec<u8>> = own.iter().map(|path| disk.content(path).unwrap()).collect();
            let other_log = |bytes: &[u8]| folder == "logs" && !bytes.windows(2).any(|pair| pair == b"lr");
            for (path, _) in own.iter().zip(&whole).filter(|(_, bytes)| !other_log(bytes)) {
                disk.damage(path, harm).unwrap();
            }
            let at = format!("{folder} {by:?}");
            let edits = [RunEdit::Param("lr".into(), "2".into())];
            let refused = match by {
                By::Writer => on(&disk).writer(&id()).and_then(|mut writer| writer.edit(&edits)),
                By::Edit => on(&disk).edit_run(&id(), &edits),
            };
            // The frame that was harmed may be another one than the param's.
            let is_there = |error: &Error| matches!(error, Error::ParamConflict { existing, .. } if existing == "1");
            let bars = |error: &Error| matches!(error, Error::Corrupt { .. }) || is_there(error);
            assert!(refused.as_ref().is_err_and(bars), "{at}: {refused:?}");
            on(&disk)
                .edit_run(&id(), &[RunEdit::Tag("c".into(), "d".into())])
                .unwrap_or_else(|error| panic!("{at}: {error}"));
            for (path, whole) in own.iter().zip(&whole) {
                if folder != "edits" {
                    disk.damage(path, |bytes| bytes.clone_from(whole)).unwrap();
                } else if let Some(lost) = disk.content(path).ok().filter(|bytes| bytes.len() >= whole.len()) {
                    disk.damage(path, |bytes| *bytes = [whole, &lost[whole.len()..]].concat()).unwrap();
                }
            }
            assert_eq!(on(&disk).run(&id()).unwrap().state().param("lr"), Some("1"), "{at}");
            let refused = set(&on(&disk), by, "2");
            assert!(matches!(refused, Err(Error::ParamConflict { .. })), "{at}: {refused:?}");
            drop(other);
        }
    }
}

/// A copy from another workspace goes straight into a pack, and keeps the rule as well.
#[test]
fn a_copy_overturns_no_param() {
    let (here, there) = (with_run(), with_run());
    set(&on(&here), By::Writer, "1").unwrap();
    set(&on(&there), By::Edit, "2").unwrap();
    // Neither side gives up what it acknowledged, each is told, and so each time, whatever was copied before.
    for time in 0..6 {
        let (from, to, own, other) = if time % 2 == 0 { (&there, &here, "1", "2") } else { (&here, &there, "2", "1") };
        let told = on(to).pull(&on(from), &mut |_, _| {}).unwrap().left_out;
        assert_eq!(told, [format!("param \"lr\" of run run stays {own:?} and was not set to {other:?}")], "{time}");
        assert_eq!(on(to).run(&id()).unwrap().state().param("lr"), Some(own), "{time}");
        assert_eq!(on(from).run(&id()).unwrap().state().param("lr"), Some(other), "{time}");
        if time == 3 {
            on(to).maintenance().compact(CompactOptions::default()).unwrap();
            on(from).maintenance().compact(CompactOptions::default()).unwrap();
        }
    }
    // Who has neither takes the first, and is told of the second.
    let third = SimDisk::new();
    assert_eq!(on(&third).pull(&on(&there), &mut |_, _| {}).unwrap().left_out, Vec::<String>::new());
    let told = on(&third).pull(&on(&here), &mut |_, _| {}).unwrap().left_out;
    assert_eq!(told, ["param \"lr\" of run run stays \"2\" and was not set to \"1\""]);
}

/// An import publishes its params after it looked what is set. Whoever sets them meanwhile keeps what was acknowledged,
/// and who sets them while the import stands at any of its steps is refused or goes first.
#[test]
fn an_import_overturns_no_param() {
    let source = || RunImport {
        own_id: true,
        params: vec![("lr".into(), "1".into())],
        ..RunImport::new(id(), ExperimentId::DEFAULT)
    };
    for by in [By::Writer, By::Edit] {
        let disk = with_run();
        let workspace = on(&disk);
        let mut importer = workspace.importer();
        importer.add(source()).unwrap();
        set(&on(&disk), by, "2").unwrap();
        let refused = importer.finish();
        let told = |error: &Error| matches!(error, Error::ParamConflict { existing, .. } if existing == "2");
        assert!(refused.as_ref().is_err_and(told), "{refused:?}");
        assert_eq!(on(&disk).run(&id()).unwrap().state().param("lr"), Some("2"));
        assert!(files(&disk, "edits", ".log").len() <= 1, "the claims are gone");
        // Again it is told beforehand, and the rest is taken.
        let mut importer = workspace.importer();
        let other = importer.add(source()).unwrap().param_conflicts;
        assert_eq!(other.iter().map(|other| other.existing.as_str()).collect::<Vec<_>>(), ["2"]);
        importer.finish().unwrap();
        assert_eq!(on(&disk).run(&id()).unwrap().state().param("lr"), Some("2"));
    }
    let (mut set_meanwhile, mut refused_meanwhile) = (0, 0);
    for number in 0.. {
        let disk = with_run();
        let act = move |storage: Arc<dyn Storage>| {
            let workspace = open(storage);
            let mut importer = workspace.importer();
            importer.add(source()).and_then(|_| importer.finish())
        };
        let import = Actor::start(Arc::new(disk.clone()), Stop::After(number), act);
        if import.stands_at().is_none() {
            break;
        }
        let other = set(&on(&disk), By::Writer, "2");
        let imported = import.resume();
        let value = on(&disk).run(&id()).unwrap().state().param("lr").map(str::to_owned);
        match (&other, &imported) {
            (Ok(()), _) => assert_eq!(value.as_deref(), Some("2"), "operation {number}: {imported:?}"),
            (Err(Error::ParamConflict { .. } | Error::ParamClaimed { .. }), Ok(_)) => {
                assert_eq!(value.as_deref(), Some("1"), "operation {number}");
            }
            other => panic!("operation {number}: {other:?}"),
        }
        set_meanwhile += u32::from(other.is_ok());
        refused_meanwhile += u32::from(other.is_err());
    }
    assert!(set_meanwhile > 5 && refused_meanwhile > 5, "{set_meanwhile} and {refused_meanwhile}");
}
