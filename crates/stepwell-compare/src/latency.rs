//! The caller's cost: blocks of 64 calls of each form beside the bare slot store, calm and with compaction running.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use stepwell::maintenance::CompactOptions;
use stepwell::{ExperimentId, NewRun, RunWriter, Workspace};

use crate::contender::Result;
use crate::limits::{LIMIT, Ring};
use crate::meter::preemptions;
use crate::support::{KEYS, Mix};
use crate::table::Figures;

const WORK: &str = "L";
/// Calls of one block: the clock is read once a block.
const BLOCK: usize = 64;
/// Blocks of one form before another takes its turn.
const TURN: usize = 250;

/// The blocks of one form.
#[derive(Default)]
struct Blocks {
    /// Nanoseconds of each.
    all: Vec<u64>,
    /// Of those in turns during which the scheduler never took the thread off its processor.
    alone: Vec<u64>,
    /// How often it did.
    preempted: u64,
}

impl Blocks {
    /// Median over all blocks of the mean of their calls.
    fn p50(&self) -> f64 {
        self.all[self.all.len() / 2] as f64 / BLOCK as f64
    }

    /// The slowest of ten thousand, in microseconds; 0 where there are none.
    fn tail(blocks: &[u64]) -> f64 {
        blocks.get(blocks.len() * 9999 / 10_000).map_or(0.0, |ns| *ns as f64 / 1e3)
    }
}

/// Runs all forms, in turns, for so many points each.
pub fn measure(figures: &mut Figures, points: usize, dir: &Path) -> Result<()> {
    eprintln!("{WORK}: latency");
    figures.note(format!(
        "{WORK}: {points} calls of each form in blocks of {BLOCK}, forms taking turns on one thread; a cost is the \
         median over blocks of their mean. In the second pass another thread creates runs and compacts them all the \
         while. Undisturbed are blocks of turns of {TURN} during which the scheduler never took the thread off its \
         processor."
    ));
    let mix = Mix::new(points / KEYS.len());
    pass(figures, &mix, dir, "calm")?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let compacting = scope.spawn(|| compact_on(dir, &stop).map_err(|error| error.to_string()));
        let passed = pass(figures, &mix, dir, "compacting");
        stop.store(true, Ordering::Relaxed);
        let compacted = compacting.join().map_err(|_| "the compacting thread panicked")??;
        figures.note(format!("{WORK}: meanwhile {compacted} compactions were done."));
        passed
    })
}

/// Creates runs and compacts them until told to stop; tells how often.
fn compact_on(dir: &Path, stop: &AtomicBool) -> Result<u64> {
    let workspace = Workspace::open_or_create(dir.join("latency-compacting"))?;
    let (mix, mut rounds) = (Mix::new(2000), 0);
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..4 {
            let mut writer = Writer::new(&workspace)?;
            for at in 0..mix.steps.len() {
                writer.by_handle(&mix, at)?;
            }
        }
        workspace.maintenance().compact(CompactOptions::default())?;
        rounds += 1;
    }
    Ok(rounds)
}

struct Writer {
    writer: RunWriter,
    metrics: Vec<stepwell::MetricHandle>,
}

impl Writer {
    fn new(workspace: &Workspace) -> Result<Self> {
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default())?;
        let metrics = KEYS.iter().map(|key| writer.metric(key)).collect::<stepwell::Result<_>>()?;
        Ok(Self { writer, metrics })
    }

    #[inline]
    fn by_handle(&mut self, mix: &Mix, at: usize) -> stepwell::Result<()> {
        for (metric, values) in self.metrics.iter().zip(&mix.values) {
            self.writer.log_point(
                *metric,
                stepwell::Point { step: mix.steps[at], timestamp_ms: Some(mix.timestamps[at]), value: values[at] },
            )?;
        }
        Ok(())
    }
}

fn pass(figures: &mut Figures, mix: &Mix, dir: &Path, state: &str) -> Result<()> {
    let workspace = Workspace::open_or_create(dir.join(format!("latency-{state}")))?;
    let (mut ring, mut handle) = (Ring::new(), Writer::new(&workspace)?);
    let (mut key, mut own) = (Writer::new(&workspace)?, Writer::new(&workspace)?);
    let mut blocks: [Blocks; 4] = Default::default();
    let calls = mix.steps.len() * KEYS.len();
    let mut from = 0;
    while from + BLOCK * TURN <= calls {
        let turn = from..from + BLOCK * TURN;
        timed(&mut blocks[0], turn.clone(), |at, k| {
            ring.push(k as u32, mix.steps[at], mix.timestamps[at], mix.values[k][at]);
            Ok(())
        })?;
        timed(&mut blocks[1], turn.clone(), |at, k| {
            handle.writer.log_point(
                handle.metrics[k],
                stepwell::Point {
                    step: mix.steps[at],
                    timestamp_ms: Some(mix.timestamps[at]),
                    value: mix.values[k][at],
                },
            )
        })?;
        timed(&mut blocks[2], turn.clone(), |at, k| {
            let metric = key.writer.metric(KEYS[k])?;
            key.writer.log_point(
                metric,
                stepwell::Point {
                    step: mix.steps[at],
                    timestamp_ms: Some(mix.timestamps[at]),
                    value: mix.values[k][at],
                },
            )
        })?;
        timed(&mut blocks[3], turn, |at, k| own.writer.log_metric(KEYS[k], mix.steps[at], mix.values[k][at]))?;
        from += BLOCK * TURN;
    }
    for writer in [&handle.writer, &key.writer, &own.writer] {
        if writer.points() != from as u64 || ring.len() != from as u64 {
            return Err("a call was lost".into());
        }
    }
    let id = own.writer.run_id().clone();
    drop((handle, key, own));
    if workspace.run(&id)?.points() != from as u64 {
        return Err("a point was lost".into());
    }
    for blocks in &mut blocks {
        blocks.all.sort_unstable();
        blocks.alone.sort_unstable();
    }
    let p50 = |at: usize| blocks[at].p50();
    let names = ["bare slot", "by handle", "by string key", "by string key, the store's own time"];
    if state == "calm" {
        figures.add(WORK, "a call, p50", "ns", LIMIT, p50(0));
        figures.add_with_floor(WORK, "a call, p50", "ns", "≤ 6", "stepwell", p50(1));
        figures.add_with_floor(WORK, "extra for the string key, p50", "ns", "≤ 15", "stepwell", p50(2) - p50(1));
        figures.add_with_floor(WORK, "extra for the store's own time, p50", "ns", "≤ 6", "stepwell", p50(3) - p50(2));
    }
    let bare = &blocks[0];
    for (form, name) in blocks.iter().zip(names).skip(1) {
        let what = format!("block of 64, p99.99, {name}, {state}");
        figures.add(WORK, &what, "µs", LIMIT, Blocks::tail(&bare.all));
        figures.add(WORK, &what, "µs", "stepwell", Blocks::tail(&form.all));
        let what = format!("{what}, undisturbed");
        let floor = if name == "by handle" { "≤ 3 × bare + one page's sealing" } else { "" };
        figures.add_with_floor(WORK, &what, "µs", floor, LIMIT, Blocks::tail(&bare.alone));
        figures.add_with_floor(WORK, &what, "µs", floor, "stepwell", Blocks::tail(&form.alone));
    }
    let told = |(blocks, name): (&Blocks, &str)| {
        let seconds = blocks.all.iter().sum::<u64>() as f64 / 1e9;
        format!(
            "{name}: {} times in {seconds:.2} s, {} of {} blocks undisturbed",
            blocks.preempted,
            blocks.alone.len(),
            blocks.all.len()
        )
    };
    let told: Vec<String> = blocks.iter().zip(names).map(told).collect();
    figures.note(format!("{WORK}, {state}: the scheduler took the thread off its processor: {}.", told.join("; ")));
    Ok(())
}

fn timed(
    blocks: &mut Blocks,
    calls: std::ops::Range<usize>,
    mut call: impl FnMut(usize, usize) -> stepwell::Result<()>,
) -> stepwell::Result<()> {
    let (mut at, mut key) = (calls.start / KEYS.len(), calls.start % KEYS.len());
    let (first, preempted) = (blocks.all.len(), preemptions());
    for _ in 0..calls.len() / BLOCK {
        let started = Instant::now();
        for _ in 0..BLOCK {
            call(at, key)?;
            key += 1;
            if key == KEYS.len() {
                (at, key) = (at + 1, 0);
            }
        }
        blocks.all.push(started.elapsed().as_nanos() as u64);
    }
    let preempted = preemptions() - preempted;
    blocks.preempted += preempted;
    if preempted == 0 {
        blocks.alone.extend_from_slice(&blocks.all[first..]);
    }
    Ok(())
}
