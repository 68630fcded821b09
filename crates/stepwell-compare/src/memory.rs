//! Memory of a writer: its heap, and what is present of its mapped tail, by keys and by points.

use std::path::Path;
use std::process::Command;

use stepwell::{ExperimentId, NewRun, Workspace};

use crate::contender::Result;
use crate::meter::{anonymous_bytes, mapped_bytes};
use crate::table::Figures;

const WORK: &str = "M";

/// Writers of few and of many keys, each in a process of its own.
pub fn measure(figures: &mut Figures, dir: &Path) -> Result<()> {
    eprintln!("{WORK}: memory of a writer");
    figures.note(format!(
        "{WORK}: resident anonymous memory that a new process gained by a writer, and the pages of its tail that are \
         present, after so many points; keys are of 24 bytes."
    ));
    let floors = [(10, "≤ 4"), (1000, "≤ 4.1"), (100_000, "≤ 10.1 and keys: 12.4")];
    for (keys, floor) in floors {
        for points in [1_000_000_u64, 10_000_000] {
            let root = dir.join(format!("memory-{keys}-{points}"));
            let [keys, points] = [keys.to_string(), points.to_string()];
            let child =
                Command::new(std::env::current_exe()?).arg("child-memory").arg(root).args([&keys, &points]).output()?;
            let text = String::from_utf8(child.stdout)?;
            let bytes: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [heap, tail] = bytes[..] else {
                return Err(format!("no answer: {}", String::from_utf8_lossy(&child.stderr)).into());
            };
            let mib = f64::from(1 << 20);
            let what = format!("a writer of {keys} keys after {points} points: heap and tail");
            figures.add_with_floor(WORK, &what, "MiB", floor, "stepwell", (heap + tail) / mib);
            figures.note(format!("{WORK}: {keys} keys, {points} points: {:.2} MiB of heap.", heap / mib));
        }
    }
    Ok(())
}

/// Logs points of so many keys in turn, and tells what memory that took.
pub fn child(root: &Path, keys: usize, points: usize) -> Result<()> {
    let workspace = Workspace::open_or_create(root)?;
    let before = anonymous_bytes()?;
    let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default())?;
    for key in 0..keys {
        writer.metric(&format!("layer.{key:05}.weight_norms"))?;
    }
    let metrics: Vec<_> = (0..keys.min(1000))
        .map(|key| writer.metric(&format!("layer.{key:05}.weight_norms")))
        .collect::<stepwell::Result<_>>()?;
    let mut step = 0;
    let mut logged = 0;
    while logged < points {
        // Few handles are held, so that what is measured is the writer's own; the other keys are found by name.
        for key in 0..keys.min(points - logged) {
            let metric = match metrics.get(key) {
                Some(metric) => *metric,
                None => writer.metric(&format!("layer.{key:05}.weight_norms"))?,
            };
            writer.log_point(
                metric,
                stepwell::Point {
                    step,
                    timestamp_ms: Some(1_700_000_000_000 + step),
                    value: (step as f64 * 0.01).sin() + key as f64,
                },
            )?;
            logged += 1;
        }
        step += 1;
    }
    println!("{} {}", anonymous_bytes()?.saturating_sub(before), mapped_bytes(".tail")?);
    let id = writer.run_id().clone();
    writer.close()?;
    if workspace.run(&id)?.points() != points as u64 {
        return Err("a point was lost".into());
    }
    Ok(())
}
