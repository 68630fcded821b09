//! Logs a column and reads it back: what `crates/stepwell-compare/python/calls.py` holds the Python package against.
//!
//! `cargo run --release --example columns FOLDER VALUES` where VALUES is a file of 64-bit floats. Prints JSON.

use std::time::Instant;

use stepwell::{ExperimentId, NewRun, RunStatus, Workspace};

/// The least of so many rounds counts, since machines are shared.
const ROUNDS: u32 = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [folder, file] = std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "give FOLDER VALUES")?;
    let bytes = std::fs::read(file)?;
    let values: Vec<f64> = bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    let steps: Vec<i64> = (0..).take(values.len()).collect();
    let workspace = Workspace::open_or_create(folder)?;
    let (mut logged_ns, mut read_ms) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        let mut run = workspace.create_run(ExperimentId::DEFAULT, NewRun::default())?;
        let metric = run.metric("column")?;
        let began = Instant::now();
        run.log_columns(metric, &steps, None, &values)?;
        logged_ns = logged_ns.min(began.elapsed().as_secs_f64() * 1e9 / values.len() as f64);
        let id = run.run_id().clone();
        run.finish(RunStatus::Finished)?;
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let columns = workspace.run(&id)?.history("column")?;
            read_ms = read_ms.min(began.elapsed().as_secs_f64() * 1e3);
            assert!(columns.values.iter().zip(&values).all(|(read, logged)| read.to_bits() == logged.to_bits()));
        }
    }
    println!("{{\"columns_ns\": {logged_ns}, \"history_ms\": {read_ms}}}");
    Ok(())
}
