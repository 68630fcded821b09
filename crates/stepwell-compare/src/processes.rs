//! Several writing processes at once: points per second of processor time, by the children's own account.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use stepwell::{Columns, ExperimentId, NewRun, Workspace};

use crate::contender::Result;
use crate::limits::{LIMIT, Ring};
use crate::meter::user_and_system_ns;
use crate::stores::sqlite;
use crate::stores::stepwell::run_id;
use crate::table::Figures;
use crate::work::{Digest, Logged, Work};

const WORK: &str = "P";

/// Runs 1, 2, 4 and 8 processes on each store, which log `points` each.
pub fn measure(figures: &mut Figures, points: usize, repetitions: usize, dir: &Path, stores: &[&str]) {
    eprintln!("{WORK}: processes");
    figures.note(format!(
        "{WORK}: 1 to 8 processes on one folder, each with a run of its own of {points} points of I1. \
         Processor time is the sum of the children's, from the first point until all is sealed and closed. \
         {LIMIT}: each stores its points into a ring of 4 MiB of its own, and nothing else."
    ));
    for _ in 0..repetitions {
        for processes in [1, 2, 4, 8] {
            for store in stores {
                if let Err(error) = together(figures, store, points, processes, dir) {
                    figures.absent(store, format!("{WORK} with {processes} processes failed: {error}"));
                }
            }
        }
    }
}

fn together(figures: &mut Figures, store: &str, points: usize, processes: usize, dir: &Path) -> Result<()> {
    let folder = tempfile::tempdir_in(dir)?;
    // Made once, as a user would before training starts.
    match store {
        "stepwell" => drop(Workspace::open_or_create(folder.path().join("w"))?),
        LIMIT => {}
        _ => drop(sqlite::connect(&folder.path().join("points.db"), false)?),
    }
    let mut children = Vec::new();
    for index in 0..processes {
        children.push(spawn(store, folder.path(), index, points)?);
    }
    for (_, answers) in &mut children {
        expect(answers, "ready")?;
    }
    let started = Instant::now();
    for (child, _) in &mut children {
        child.stdin.take().ok_or("a child without input")?.write_all(b"go\n")?;
    }
    let (mut user, mut system) = (0.0, 0.0);
    for (_, answers) in &mut children {
        user += expect(answers, "user_ns")?;
        system += expect(answers, "system_ns")?;
    }
    let wall = started.elapsed().as_secs_f64();
    for (child, _) in &mut children {
        if !child.wait()?.success() {
            return Err("a child failed".into());
        }
    }
    let work = Work::one_run(points);
    check(store, folder.path(), &work, processes)?;
    let logged = work.points() as f64 * processes as f64;
    let what = format!("{processes} processes, per CPU second");
    let floor = if processes == 8 { "≥ 0.9 × one process" } else { "" };
    figures.add_with_floor(WORK, &what, "points/s", floor, store, logged / ((user + system) / 1e9));
    figures.add(WORK, &format!("{processes} processes, own code"), "ns/point", store, user / logged);
    figures.add(WORK, &format!("{processes} processes, kernel"), "ns/point", store, system / logged);
    figures.add(WORK, &format!("{processes} processes, wall"), "points/s", store, logged / wall);
    Ok(())
}

fn spawn(store: &str, folder: &Path, index: usize, points: usize) -> Result<(Child, BufReader<ChildStdout>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["child-log", store])
        .arg(folder)
        .args([index.to_string(), points.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let answers = BufReader::new(child.stdout.take().ok_or("a child without output")?);
    Ok((child, answers))
}

fn expect(answers: &mut BufReader<ChildStdout>, word: &str) -> Result<f64> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    let (found, number) = line.trim().split_once(' ').ok_or_else(|| format!("a child ended before it said {word}"))?;
    if found == word { Ok(number.parse()?) } else { Err(format!("a child said {found}, not {word}").into()) }
}

/// What a child does: waits for the start, logs its run, tells its processor time.
pub fn child_log(store: &str, folder: &Path, index: u32, points: usize) -> Result<()> {
    let work = Work::one_run(points);
    let wait = || -> Result<[u64; 2]> {
        println!("ready 1");
        std::io::stdin().read_line(&mut String::new())?;
        Ok(user_and_system_ns())
    };
    let before = match store {
        "stepwell" => {
            let workspace = Workspace::open(folder.join("w"))?;
            let before = wait()?;
            let new = NewRun { id: Some(run_id(index)), ..NewRun::default() };
            let mut writer = workspace.create_run(ExperimentId::DEFAULT, new)?;
            let metrics: Vec<_> =
                (0..work.keys()).map(|key| writer.metric(&work.key_name(key))).collect::<stepwell::Result<_>>()?;
            work.each(|point| {
                writer.log_point(
                    metrics[point.key as usize],
                    stepwell::Point { step: point.step, timestamp_ms: Some(point.timestamp), value: point.value },
                )
            })?;
            writer.seal()?;
            before
        }
        LIMIT => {
            let mut ring = Ring::new();
            let before = wait()?;
            work.each(|point| -> Result<()> {
                ring.push(point.key, point.step, point.timestamp, point.value);
                Ok(())
            })?;
            before
        }
        _ => {
            let connection = sqlite::connect(&folder.join("points.db"), false)?;
            let before = wait()?;
            sqlite::insert(&connection, &work, index)?;
            before
        }
    };
    let [user, system] = user_and_system_ns();
    println!("user_ns {}\nsystem_ns {}", user - before[0], system - before[1]);
    Ok(())
}

/// Fails unless every process's points are there.
fn check(store: &str, folder: &Path, work: &Work, processes: usize) -> Result<()> {
    if store == LIMIT {
        return Ok(());
    }
    let (mut found, mut wanted) = (Digest::new(true), Digest::new(true));
    for index in 0..processes as u32 {
        work.each(|point| {
            wanted.add(Logged { run: index, ..point });
            Ok::<(), std::convert::Infallible>(())
        })?;
    }
    if store == "stepwell" {
        let (workspace, mut columns) = (Workspace::open(folder.join("w"))?, Columns::default());
        for run in 0..processes as u32 {
            let snapshot = workspace.run(&run_id(run))?;
            for key in 0..work.keys() {
                snapshot.history_into(&work.key_name(key), &mut columns)?;
                for point in columns.iter() {
                    let timestamp = point.timestamp_ms.ok_or("a point lost its timestamp")?;
                    found.add(Logged { run, key, step: point.step, timestamp, value: point.value });
                }
            }
        }
    } else {
        sqlite::scan(&sqlite::connect(&folder.join("points.db"), false)?, &mut |point| found.add(point))?;
    }
    if found == wanted { Ok(()) } else { Err(format!("wrong points: {found:?}, not {wanted:?}").into()) }
}
