//! Machines in trouble: a disk of the server that is really full, clocks that are wrong by days, processes that stop.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use stepwell::{NewRun, RunId, RunStatus, Workspace};
use stepwell_remote::{ServerOptions, Spool, SpoolOptions, fetch};

use crate::failing::{logger, logger_as};
use crate::support::{Served, points, signal, spool, tokens, until};

const LONG: Duration = Duration::from_secs(60);

/// Noise, which no codec makes small.
fn noise(step: i64) -> f64 {
    let mixed = (step as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5851_F42D_4C95_7F2D;
    f64::from_bits((mixed.rotate_left(29).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 12) | 0x3FF0_0000_0000_0000)
}

/// The server's workspace is on a small file system of its own, which fills up, and later has room again.
#[test]
fn a_full_disk_of_the_server_costs_delay_alone() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    // A mount namespace of its own needs no right but that to make one.
    let mut command = Command::new("unshare");
    let script = r#"mount -t tmpfs -o size=24m tmpfs "$1" && dd if=/dev/zero of="$1/ballast" bs=1M count=20 2>/dev/null \
        && shift && exec "$@""#;
    command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(&disk);
    let Some(served) = Served::try_start_by(command, &disk.join("w"), 0, "") else {
        println!("skipped: no mount namespace is to be had here");
        return;
    };
    let spool = spool(&dir.path().join("spools"), &served.url());
    spool.start().unwrap();
    let mut run = spool.create_run("vision", NewRun::default()).unwrap();
    let id = run.run_id().clone();
    let loss = run.metric("loss").unwrap();
    (0..1_000_000).for_each(|step| run.log(loss, step, noise(step)).unwrap());
    spool.wake();
    until("the disk to be full", LONG, || {
        spool.lag().last_error.is_some_and(|error| error.contains("507") || error.contains("No space"))
    });
    // Logging goes on, at its own speed.
    (1_000_000..1_010_000).for_each(|step| run.log(loss, step, noise(step)).unwrap());
    run.finish(RunStatus::Finished).unwrap();
    assert!(!spool.finish(&id, Duration::from_millis(500)).arrived);
    let inside = format!("/proc/{}/root{}", served.pid(), disk.join("ballast").display());
    std::fs::remove_file(inside).unwrap();
    let delivery = spool.finish(&id, Duration::from_secs(120));
    assert!(delivery.arrived && delivery.refused.is_empty(), "{delivery:?}");
    let here = Workspace::open_or_create(dir.path().join("copy")).unwrap();
    let server = stepwell_remote::Server::new(ServerOptions::new(&served.url()).unwrap()).unwrap();
    fetch(&server, &here, "", false, &mut |_| {}).unwrap();
    let found = here.run(&id).unwrap().history("loss").unwrap();
    assert_eq!(found.len(), 1_010_000);
    assert!((0..).zip(found.iter()).all(|(step, point)| point.step == step && point.value == noise(step)));
}

/// A library that adds so many seconds to the wall clock of what loads it.
fn wrong_clock(dir: &Path) -> Option<PathBuf> {
    let source = dir.join("clock.c");
    let text = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    const char *wrong = getenv("WRONG_BY_SECONDS");
    if (!failed && wrong && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += atol(wrong);
    return failed;
}
"#;
    std::fs::write(&source, text).unwrap();
    let library = dir.join("clock.so");
    let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    made.is_ok_and(|made| made.success()).then_some(library)
}

/// Clocks that differ by days: tokens of an hour, the order of what is said, and the points do not depend on them.
#[test]
fn clocks_that_are_wrong_by_days_change_nothing() {
    const DAY: i64 = 86_400;
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = wrong_clock(dir.path()) else {
        println!("skipped: no C compiler makes a wrong clock here");
        return;
    };
    for (at, wrong) in [3 * DAY, -3 * DAY].into_iter().enumerate() {
        let place = dir.path().join(at.to_string());
        let folder = place.join("server");
        let there = Workspace::open_or_create(&folder).unwrap();
        let own = there.experiments().create("vision").unwrap();
        let [token, _] = tokens(&folder, &own.to_string());
        let by = |command: &mut Command, seconds: i64| {
            command.env("LD_PRELOAD", &library).env("WRONG_BY_SECONDS", seconds.to_string());
        };
        let mut command = Command::new("env");
        by(&mut command, wrong);
        let served = Served::try_start_by(command, &folder, 0, "1").unwrap();
        let with_token = || {
            let server = ServerOptions { token: Some(token.clone()), ..ServerOptions::new(&served.url()).unwrap() };
            SpoolOptions { root: Some(place.join("spool")), ..SpoolOptions::new(server) }
        };
        let spool = Spool::open(with_token()).unwrap();
        let id = RunId::new("shared").unwrap();
        let new = NewRun { id: Some(id.clone()), tags: vec![("who".into(), "first".into())], ..NewRun::default() };
        let mut run = spool.create_run("vision", new).unwrap();
        run.log_metric("here", 0, 0.5).unwrap();
        run.close().unwrap();
        spool.start().unwrap();
        assert!(spool.finish(&id, LONG).arrived);
        until("the run to leave", LONG, || !spool.holds(&id).unwrap());
        // Another machine, whose clock is wrong the other way, goes on with it: what it says counts as later.
        let mut child = logger_as(
            |command| {
                by(command, -wrong * 100);
                command.env("STEPWELL_TOKEN", &token).env("STEPWELL_TEST_ENDS", "2000");
            },
            &place.join("other"),
            &served.url(),
            "shared",
            "there",
        );
        assert!(child.wait().unwrap().success());
        let run = there.run(&id).unwrap();
        assert_eq!(run.state().tags().collect::<Vec<_>>(), [("who", "there")]);
        assert_eq!(run.state().status(), RunStatus::Finished);
        let found = points(&there, &id);
        assert_eq!((found["here"].len(), found["there"].len()), (1, 2000));
        let off_ms = found["there"][0].1.unwrap() - found["here"][0].1.unwrap();
        assert!((off_ms / 1000 + wrong * 100).abs() < DAY, "each point has the time of where it was logged: {off_ms}");
        // And the first again: its clock is far behind or ahead of the second's.
        let mut run = spool.resume_run(&id, None).unwrap();
        run.edit(&[stepwell::RunEdit::Tag("who".into(), "third".into())]).unwrap();
        run.close().unwrap();
        assert!(spool.finish(&id, LONG).arrived);
        assert_eq!(there.run(&id).unwrap().state().tags().collect::<Vec<_>>(), [("who", "third")]);
        assert!(there.maintenance().verify().unwrap().damage.is_empty());
    }
}

/// A carrier is stopped again and again, at any place, while another process of the same spool finishes; a server too.
#[test]
fn a_stopped_carrier_and_a_stopped_server_cost_delay_alone() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(&dir.path().join("server"));
    let root = dir.path().join("spools");
    let own = spool(&root, &served.url());
    let first = RunId::new("first").unwrap();
    let new = NewRun { id: Some(first.clone()), ..NewRun::default() };
    own.create_run("vision", new).unwrap().close().unwrap();
    // This one carries for all; it never ends by itself.
    let mut child = logger(&root, &served.url(), "first", "theirs");
    let there = Workspace::open(dir.path().join("server")).unwrap();
    until("the other process to carry", LONG, || points(&there, &first).contains_key("theirs"));
    own.start().unwrap();
    for turn in 0..6 {
        std::thread::sleep(Duration::from_millis(37 * turn));
        signal(child.id(), "STOP");
        let id = RunId::new(format!("own-{turn}")).unwrap();
        let new = NewRun { id: Some(id.clone()), ..NewRun::default() };
        let mut run = own.create_run("vision", new).unwrap();
        for step in 0..500 {
            run.log_metric("loss", step, step as f64).unwrap();
        }
        run.finish(RunStatus::Finished).unwrap();
        if turn % 2 == 1 {
            signal(served.pid(), "STOP");
            assert!(!own.finish(&id, Duration::from_millis(300)).arrived);
            signal(served.pid(), "CONT");
        }
        let delivery = own.finish(&id, LONG);
        assert!(delivery.arrived, "turn {turn}: {delivery:?}");
        assert_eq!(points(&there, &id)["loss"].len(), 500, "turn {turn}");
        signal(child.id(), "CONT");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let logged = points(own.workspace(), &first);
    assert!(own.flush(LONG).arrived);
    until("all to leave", LONG, || own.workspace().run_ids().unwrap().is_empty());
    assert_eq!(points(&there, &first), logged);
    for turn in 0..6 {
        assert_eq!(points(&there, &RunId::new(format!("own-{turn}")).unwrap())["loss"].len(), 500);
    }
    assert!(there.maintenance().verify().unwrap().damage.is_empty());
}
