//! Bytes that a long run causes to be written to the device, with a sync each second.

use std::path::Path;
use std::time::{Duration, Instant};

use stepwell::workspace::maintenance::Schedule;
use stepwell::{ExperimentId, NewRun, Workspace};

use crate::contender::Result;
use crate::meter::device_bytes;
use crate::support::{KEYS, Mix};
use crate::table::Figures;

const WORK: &str = "D";
/// How long each pace is kept.
const WALL: Duration = Duration::from_secs(5);

/// One run flat out, and one at a pace that a training loop has.
pub fn measure(figures: &mut Figures, dir: &Path) -> Result<()> {
    eprintln!("{WORK}: device bytes");
    figures.note(format!(
        "{WORK}: one run for {} s, synced each second; `write_bytes` of /proc/self/io over 24 bytes a point.",
        WALL.as_secs()
    ));
    let mix = Mix::new(1_000_000);
    for (name, pace) in [("flat out", None), ("100,000 points/s", Some(100_000)), ("1,000 points/s", Some(1000))] {
        let workspace = Workspace::open_or_create(dir.join(format!("device-{}", pace.unwrap_or(0))))?;
        let maintenance =
            workspace.start_maintenance(Schedule { sync_every: Some(Duration::from_secs(1)), compact_every: None })?;
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default())?;
        let metrics = KEYS.iter().map(|key| writer.metric(key)).collect::<stepwell::Result<Vec<_>>>()?;
        let (before, started, mut points) = (device_bytes()?, Instant::now(), 0_u64);
        while started.elapsed() < WALL {
            let due = pace.map_or(u64::MAX, |pace| (started.elapsed().as_secs_f64() * f64::from(pace)) as u64);
            for _ in 0..100 {
                if points >= due {
                    std::thread::sleep(Duration::from_millis(5));
                    break;
                }
                let at = points as usize / KEYS.len();
                let (turn, at) = (at / mix.steps.len(), at % mix.steps.len());
                let step = mix.steps[at] + (turn * mix.steps.len()) as i64;
                for (metric, values) in metrics.iter().zip(&mix.values) {
                    writer.log(*metric, step, mix.timestamps[at], values[at])?;
                }
                points += KEYS.len() as u64;
            }
        }
        drop(maintenance);
        let id = writer.run_id().clone();
        writer.close()?;
        let written = (device_bytes()? - before) as f64 / (24.0 * points as f64);
        if workspace.run(&id)?.points() != points {
            return Err("a point was lost".into());
        }
        let what = format!("device bytes over 24 a point, {name}");
        figures.add_with_floor(WORK, &what, "ratio", "≤ 0.5", "stepwell", written);
        figures.note(format!("{WORK}: {name}: {points} points."));
    }
    Ok(())
}
