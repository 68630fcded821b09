//! Measures what carrying costs, as processor time of all threads on each side: `cost POINTS SECONDS`. First so many
//! points that wait in a spool, then 1,000 points a second for so long. The server is a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stepwell::{NewRun, RunStatus};
use stepwell_remote::{Carried, ServerOptions, Spool, SpoolOptions, carry};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, folder] = &arguments[..]
        && role == "serve"
    {
        let config = stepwell_server::Config { port: 0, ..stepwell_server::Config::of(Path::new(folder)) };
        stepwell_server::serve(config, &mut |place| println!("{place}"))?;
        return Ok(());
    }
    let number = |at: usize, usual: u64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (points, seconds) = (number(1, 4_000_000), number(2, 20));
    let dir = tempfile::tempdir()?;
    let (mut server, url) = serve(&dir.path().join("server"))?;
    let options = ServerOptions::new(&url)?;
    let spool = Spool::open(SpoolOptions { root: Some(dir.path().join("spool")), ..SpoolOptions::new(options) })?;
    waiting(&spool, server.id(), points)?;
    steady(&spool, server.id(), seconds)?;
    server.kill()?;
    server.wait()?;
    Ok(())
}

/// Points that wait, and are carried at once.
fn waiting(spool: &Spool, server: u32, points: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut run = spool.create_run("cost", NewRun::default())?;
    let loss = run.metric("loss")?;
    let accuracy = run.metric("accuracy")?;
    for step in 0..points as i64 / 2 {
        run.log(loss, step, 1.0 / (step + 1) as f64)?;
        run.log(accuracy, step, (step as f64 / 1000.0).sin())?;
    }
    run.finish(RunStatus::Finished)?;
    let (begun, own, theirs) = (Instant::now(), processor(std::process::id()), processor(server));
    let mut done = Carried::default();
    carry(spool.server(), spool.workspace(), Vec::new(), false, &mut |_| {}, &mut done)?;
    let took = begun.elapsed().as_secs_f64();
    let (own, theirs) = (processor(std::process::id()) - own, processor(server) - theirs);
    assert_eq!(done.points, points);
    let rate = |seconds: f64| points as f64 / seconds / 1e6;
    println!("{points} points in {took:.2} s: {:.1} M/s", rate(took));
    println!("  sender {own:.2} s of processor: {:.1} M points/s a core", rate(own));
    println!("  server {theirs:.2} s of processor: {:.1} M points/s a core", rate(theirs));
    Ok(())
}

/// 1,000 points a second, in ten metrics.
fn steady(spool: &Spool, server: u32, seconds: u64) -> Result<(), Box<dyn std::error::Error>> {
    spool.start()?;
    let mut run = spool.create_run("cost", NewRun::default())?;
    let id = run.run_id().clone();
    let keys: Vec<String> = (0..10).map(|key| format!("metric/{key}")).collect();
    // What begins is not what goes on.
    std::thread::sleep(Duration::from_secs(2));
    let (begun, own, theirs) = (Instant::now(), processor(std::process::id()), processor(server));
    let mut step = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let values: Vec<(&str, f64)> = keys.iter().map(|key| (key.as_str(), (step as f64).cos())).collect();
        run.log_metrics(step, None, &values)?;
        step += 1;
        let next = Duration::from_millis(10 * step as u64);
        std::thread::sleep(next.saturating_sub(begun.elapsed()));
    }
    let took = begun.elapsed().as_secs_f64();
    let (own, theirs) = (processor(std::process::id()) - own, processor(server) - theirs);
    println!("{} points in {took:.1} s, steadily", step * 10);
    println!("  logger and carrier {:.2} % of a core, server {:.2} %", own / took * 100.0, theirs / took * 100.0);
    run.finish(RunStatus::Finished)?;
    let delivery = spool.finish(&id, Duration::from_secs(20));
    assert!(delivery.arrived, "{delivery:?}");
    Ok(())
}

fn serve(folder: &Path) -> Result<(Child, String), Box<dyn std::error::Error>> {
    let mut child = Command::new(std::env::current_exe()?).arg("serve").arg(folder).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let port = line.trim().rsplit(':').next().ok_or("no port")?.to_owned();
    Ok((child, format!("http://127.0.0.1:{port}")))
}

/// Processor time of all threads of a process, in seconds.
fn processor(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    // Of threads that ended nobody tells here; the carrier's and the server's do not end.
    let of = |text: &str| text.split(' ').next().and_then(|first| first.parse::<f64>().ok()).unwrap_or(0.0);
    let all: f64 =
        tasks.map(|task| of(&std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default())).sum();
    if all > 0.0 { all / 1e9 } else { of(&stat) / 1e9 }
}
