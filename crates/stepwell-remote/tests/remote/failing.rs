//! The network fails, the disk is full, and processes die: every point arrives once.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use stepwell::{NewRun, RunEdit, RunId, RunStatus, Workspace};
use stepwell_remote::{Carried, ServerOptions, Spool, SpoolOptions, carry};

use crate::proxy::{Net, Proxy};
use crate::support::{Served, points, spool, until};

const LONG: Duration = Duration::from_secs(60);
const ROLE: &str = "STEPWELL_TEST_LOGGER";

#[test]
fn a_network_that_drops_cuts_and_delays_costs_delay_alone() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(&dir.path().join("server"));
    let proxy = Proxy::to(served.port);
    let spool = spool(&dir.path().join("spools"), &proxy.url());
    spool.start().unwrap();
    let mut run = spool.create_run("vision", NewRun::default()).unwrap();
    let id = run.run_id().clone();
    let mut step = 0;
    let nets = [
        Net::Drops,
        Net::CutsRequests(700),
        Net::CutsAnswers(90),
        Net::Delays(20),
        Net::CutsRequests(20_000),
        Net::Full,
    ];
    for net in nets {
        proxy.set(net);
        for _ in 0..3 {
            for _ in 0..2000 {
                run.log_metrics(step, None, &[("loss", step as f64 / 3.0), ("acc", -1.0)]).unwrap();
                step += 1;
            }
            spool.wake();
            std::thread::sleep(Duration::from_millis(120));
        }
        proxy.set(Net::Up);
        spool.wake();
        std::thread::sleep(Duration::from_millis(80));
    }
    assert!(proxy.refusals.load(Ordering::SeqCst) > 0);
    run.finish(RunStatus::Finished).unwrap();
    let before = points(spool.workspace(), &id);
    assert_eq!(before["loss"].len(), step as usize);
    let delivery = spool.finish(&id, LONG);
    assert!(delivery.arrived && delivery.refused.is_empty(), "{delivery:?}");
    let there = Workspace::open(dir.path().join("server")).unwrap();
    assert_eq!(points(&there, &id), before);
}

#[test]
fn without_a_server_everything_works_and_waits_end() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(&dir.path().join("spools"), "http://127.0.0.1:1");
    spool.start().unwrap();
    let mut run = spool.create_run("vision", NewRun::default()).unwrap();
    let id = run.run_id().clone();
    for step in 0..1000 {
        run.log_metric("loss", step, 0.5).unwrap();
    }
    let delivery = spool.finish(&id, Duration::from_millis(300));
    assert!(!delivery.arrived && delivery.points_left == 1000, "{delivery:?}");
    assert!(delivery.error.is_some_and(|error| error.contains("127.0.0.1:1")));
    let lag = spool.lag();
    assert!(lag.points == 1000 && lag.bytes > 0 && lag.oldest.is_some() && !lag.full, "{lag:?}");
}

/// Starts this binary again as a process that logs into a spool of `url` and ends by SIGKILL.
pub(crate) fn logger(root: &Path, url: &str, run: &str, metric: &str) -> Child {
    logger_as(|_| {}, root, url, run, metric)
}

/// The same, with more said to it: `STEPWELL_TEST_ENDS` is a number of points after which it ends as processes do.
pub(crate) fn logger_as(say: impl FnOnce(&mut Command), root: &Path, url: &str, run: &str, metric: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    say(&mut command);
    command
        .args(["--exact", "failing::logs_if_it_is_told_to", "--nocapture"])
        .env(ROLE, metric)
        .env("STEPWELL_TEST_ROOT", root)
        .env("STEPWELL_TEST_URL", url)
        .env("STEPWELL_TEST_RUN", run)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn logs_if_it_is_told_to() {
    let Ok(metric) = std::env::var(ROLE) else { return };
    let of = |name: &str| std::env::var(format!("STEPWELL_TEST_{name}")).unwrap();
    let mut options = ServerOptions::new(&of("URL")).unwrap();
    options.token = std::env::var("STEPWELL_TOKEN").ok();
    let options = SpoolOptions { root: Some(of("ROOT").into()), ..SpoolOptions::new(options) };
    let spool = Spool::open(options).unwrap();
    spool.start().unwrap();
    let id = RunId::new(of("RUN")).unwrap();
    let mut run = spool.resume_run(&id, Some("vision")).unwrap();
    let ends = std::env::var("STEPWELL_TEST_ENDS").ok().map(|ends| ends.parse::<i64>().unwrap());
    if ends.is_some() {
        run.edit(&[RunEdit::Tag("who".into(), metric.clone())]).unwrap();
    }
    for step in 0..ends.unwrap_or(i64::MAX) {
        run.log_metric(&metric, step, step as f64).unwrap();
        if step % 100 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    run.finish(RunStatus::Finished).unwrap();
    assert!(spool.finish(&id, LONG).arrived);
}

#[test]
fn killed_ranks_on_two_machines_leave_what_the_next_process_carries() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(&dir.path().join("server"));
    let roots = [dir.path().join("one"), dir.path().join("two")];
    let id = RunId::new("shared").unwrap();
    let mut there = BTreeMap::new();
    {
        // The run begins on the first machine; the second finds it on the server.
        let spool = spool(&roots[0], &served.url());
        spool.start().unwrap();
        let new = NewRun { id: Some(id.clone()), ..NewRun::default() };
        let run = spool.create_run("vision", new).unwrap();
        run.close().unwrap();
        assert!(spool.finish(&id, LONG).arrived);
        there.insert("run", 1);
    }
    let mut children: Vec<Child> = Vec::new();
    for (root, metric) in [(&roots[0], "a"), (&roots[1], "b"), (&roots[1], "c")] {
        children.push(logger(root, &served.url(), "shared", metric));
    }
    std::thread::sleep(Duration::from_millis(2500));
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut logged = BTreeMap::new();
    for root in &roots {
        let spool = spool(root, &served.url());
        for (key, points) in points(spool.workspace(), &id) {
            if !points.is_empty() {
                logged.insert(key, points);
            }
        }
        let mut done = Carried::default();
        carry(spool.server(), spool.workspace(), Vec::new(), true, &mut |_| {}, &mut done).unwrap();
        assert!(done.notes.is_empty() && done.released.len() == 1, "{done:?}");
        assert!(spool.workspace().find_run(&id).unwrap().is_none());
    }
    assert_eq!(logged.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    let server = Workspace::open(dir.path().join("server")).unwrap();
    assert_eq!(points(&server, &id), logged);
    for points in logged.values() {
        // Each step once, without a gap.
        assert!(points.iter().enumerate().all(|(at, (step, ..))| *step == at as i64));
    }
    until("a look at the server", LONG, || server.experiments().by_name("vision").unwrap().is_some());
}

#[test]
fn two_spools_that_name_an_experiment_meet_in_it_and_a_param_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(&dir.path().join("server"));
    let mut runs = Vec::new();
    for name in ["one", "two"] {
        let spool = spool(&dir.path().join(name), &served.url());
        spool.start().unwrap();
        let new = NewRun { params: vec![("rank".into(), name.into())], ..NewRun::default() };
        let run = spool.create_run("shared", new).unwrap();
        let id = run.run_id().clone();
        run.finish(RunStatus::Finished).unwrap();
        assert!(spool.finish(&id, LONG).arrived);
        runs.push(id);
    }
    let there = Workspace::open(dir.path().join("server")).unwrap();
    let experiments: Vec<_> = runs.iter().map(|id| there.run(id).unwrap().state().experiment).collect();
    assert_eq!(experiments[0], experiments[1]);
    // The same run from another machine, with another value: the first stays, and the sender is told.
    let spool = spool(&dir.path().join("three"), &served.url());
    spool.start().unwrap();
    let new = NewRun { id: Some(runs[0].clone()), params: vec![("rank".into(), "three".into())], ..NewRun::default() };
    let mut run = spool.create_run("elsewhere", new).unwrap();
    run.log_metric("late", 1, 1.0).unwrap();
    run.close().unwrap();
    let delivery = spool.finish(&runs[0], LONG);
    assert!(delivery.arrived && delivery.refused.iter().any(|note| note.contains("\"one\"")), "{delivery:?}");
    let run = there.run(&runs[0]).unwrap();
    assert_eq!((run.state().param("rank"), run.state().experiment), (Some("one"), experiments[0]));
    assert_eq!(run.count("late").unwrap(), 1);
    let _ = ServerOptions::new("http://x").unwrap();
}
