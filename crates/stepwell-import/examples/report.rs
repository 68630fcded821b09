//! Reads logs without storing them and says what an import would do: `cargo run --example report -- PATH...`.

use std::path::PathBuf;

use stepwell_import::{BoxError, ImportedRun, Sink, Taken, import};

struct Forget;

impl Sink for Forget {
    fn run(&mut self, run: ImportedRun) -> Result<Taken, BoxError> {
        let points: usize = run.series.iter().map(|series| series.values.len()).sum();
        println!("{}  {} series, {points} points  {}", run.id, run.series.len(), run.source);
        Ok(Taken::new(run.counts()))
    }
}

fn main() -> Result<(), stepwell_import::ImportError> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let report = import(&paths, &mut Forget)?;
    for skipped in &report.skipped {
        let place = skipped.offset.map_or(String::new(), |offset| format!(" at byte {offset}"));
        println!("{}{place}: {}", skipped.path.display(), skipped.reason);
    }
    println!(
        "{} runs, {} series, {} points, {} places skipped",
        report.runs(),
        report.series(),
        report.points(),
        report.skipped.len()
    );
    Ok(())
}
