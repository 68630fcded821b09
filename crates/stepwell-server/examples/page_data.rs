//! Makes a workspace to measure the page with: `page_data FOLDER RUNS POINTS CURVES`.
//!
//! `RUNS` runs of some params and metrics in the experiment `many`; one run of `POINTS` points with one spike of a
//! single point in `long`; and 100 runs of `CURVES` metrics of 2,000 points each in `wide`. 0 leaves a part out.

use stepwell::import::RunImport;
use stepwell::maintenance::CompactOptions;
use stepwell::{Columns, NewRun, Point, Result, RunId, RunStatus, Workspace};

/// When the runs began.
const START_MS: i64 = 1_796_083_200_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "page-data".into());
    let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (runs, points, curves) = (number(), number(), number());
    let workspace = Workspace::open_or_create(folder)?;
    many(&workspace, runs)?;
    long(&workspace, points)?;
    wide(&workspace, curves)?;
    workspace.maintenance().compact(CompactOptions::default())?;
    Ok(())
}

/// Pseudo-random numbers from 0 to 1.
fn noise(seed: u64) -> f64 {
    let mixed = (seed ^ seed >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 11) as f64 / (1_u64 << 53) as f64
}

fn many(workspace: &Workspace, runs: u64) -> Result<()> {
    if runs == 0 {
        return Ok(());
    }
    let experiment = workspace.experiments().get_or_create("many")?;
    let mut importer = workspace.importer();
    for at in 0..runs {
        let rate = [0.1, 0.03, 0.01, 0.003][at as usize % 4];
        let point = |value: f64, step: i64| Point { step, timestamp_ms: Some(START_MS + at as i64), value };
        let metric = |key: &str, value: f64| (key.to_owned(), std::iter::once(point(value, 100)).collect::<Columns>());
        let mut run = RunImport::new(RunId::random(), experiment);
        run.name = format!("run-{at}");
        run.start_time_ms = Some(START_MS + at as i64 * 1000);
        run.end_time_ms = Some(START_MS + at as i64 * 1000 + 60_000);
        run.status = RunStatus::Finished;
        run.params = vec![
            ("lr".into(), rate.to_string()),
            ("optimizer".into(), ["adam", "sgd", "lion"][at as usize % 3].into()),
            ("seed".into(), (at % 100).to_string()),
        ];
        run.series = vec![
            metric("loss", noise(at) + rate),
            metric("accuracy", noise(at + 7) * 0.5 + 0.5),
            metric("val/loss", noise(at + 13) + rate),
        ];
        importer.add(run)?;
    }
    importer.finish().map(drop)
}

fn long(workspace: &Workspace, points: u64) -> Result<()> {
    if points == 0 {
        return Ok(());
    }
    let experiment = workspace.experiments().get_or_create("long")?;
    let mut run = workspace.create_run(experiment, NewRun { name: "long".into(), ..NewRun::default() })?;
    let loss = run.metric("loss")?;
    let spike = points / 3;
    let (mut steps, mut values) = (Vec::new(), Vec::new());
    for from in (0..points).step_by(1 << 20) {
        steps.clear();
        values.clear();
        for step in from..points.min(from + (1 << 20)) {
            steps.push(step as i64);
            values.push(if step == spike { 25.0 } else { 1.0 / (1.0 + step as f64 / 1e6) + noise(step) * 0.1 });
        }
        run.log_columns(loss, &steps, None, &values)?;
    }
    run.finish(RunStatus::Finished)
}

fn wide(workspace: &Workspace, curves: u64) -> Result<()> {
    if curves == 0 {
        return Ok(());
    }
    let experiment = workspace.experiments().get_or_create("wide")?;
    for at in 0..100 {
        let mut run = workspace.create_run(experiment, NewRun { name: format!("wide-{at}"), ..NewRun::default() })?;
        let steps: Vec<i64> = (0..2000).collect();
        for curve in 0..curves {
            let metric = run.metric(&format!("train/metric-{curve:02}"))?;
            let value =
                |step: &i64| (*step as f64 / 300.0 + curve as f64).sin() + noise(at * 7919 + *step as u64) * 0.3;
            run.log_columns(metric, &steps, None, &steps.iter().map(value).collect::<Vec<_>>())?;
        }
        run.finish(RunStatus::Finished)?;
    }
    Ok(())
}
