//! Bytes that a long run causes to be written to the device, with a sync each second.

use std::path::Path;
use std::time::{Duration, Instant};

use stepwell::maintenance::Schedule;
use stepwell::{ExperimentId, NewRun, Workspace};

use crate::contender::Result;
use crate::meter::device_bytes;
use crate::support::{KEYS, Mix};
use crate::table::Figures;

const WORK: &str = "D";
/// How long a pace is kept.
const SHORT: Duration = Duration::from_secs(5);
/// So long that the kernel writes back by itself what it was not told to sync, twice at least.
const LONG: Duration = Duration::from_secs(70);

/// One run flat out, and some at paces that training loops have.
pub fn measure(figures: &mut Figures, dir: &Path) -> Result<()> {
    eprintln!("{WORK}: device bytes");
    figures.note(format!(
        "{WORK}: one run for some seconds, synced each second; `write_bytes` of /proc/self/io without those of files \
         that were removed before they were written, over 24 bytes a point."
    ));
    let mix = Mix::new(1_000_000);
    let works = [
        ("flat out, 5 s", None, SHORT),
        ("100,000 points/s, 5 s", Some(100_000), SHORT),
        ("10,000 points/s, 5 s", Some(10_000), SHORT),
        ("1,000 points/s, 5 s", Some(1000), SHORT),
        ("1,000 points/s, 70 s", Some(1000), LONG),
    ];
    for (number, (name, pace, wall)) in works.into_iter().enumerate() {
        let workspace = Workspace::open_or_create(dir.join(format!("device-{number}")))?;
        let maintenance = workspace
            .maintenance()
            .start(Schedule { sync_every: Some(Duration::from_secs(1)), compact_every: None })?;
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default())?;
        let metrics = KEYS.iter().map(|key| writer.metric(key)).collect::<stepwell::Result<Vec<_>>>()?;
        let (before, started, mut points) = (device_bytes()?, Instant::now(), 0_u64);
        while started.elapsed() < wall {
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
                    writer.log_point(
                        *metric,
                        stepwell::Point { step, timestamp_ms: Some(mix.timestamps[at]), value: values[at] },
                    )?;
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
