//! Background maintenance: the only module that starts threads. Optional: every task can also be called directly.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::folder::clock::Stopwatch;
use crate::workspace::compact::compaction::{CompactOptions, Compacted};
use crate::workspace::state::shared::Shared;

/// Which maintenance to do, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Time between syncs of all writers of this handle. A power loss loses at most what was logged in the last
    /// interval and during one sync. A sync first lets busy writers flush, for a tenth of the interval and 100 ms at
    /// most. `None` for no syncs.
    pub sync_every: Option<Duration>,
    /// Time between compactions. `None` for none.
    pub compact_every: Option<Duration>,
}

impl Default for Schedule {
    /// A sync each second, a compaction each minute.
    fn default() -> Self {
        Self { sync_every: Some(Duration::from_secs(1)), compact_every: Some(Duration::from_mins(1)) }
    }
}

/// After a sync, wait at least this many times as long as it took, so that syncs do not saturate a slow disk.
const SYNC_REST: u32 = 9;
/// Before a sync, writers get this fraction of the interval to flush, bounded by the maximum and polled in this many
/// steps.
const FLUSH_PART: u32 = 10;
const FLUSH_MAX: Duration = Duration::from_millis(100);
const FLUSH_STEPS: u32 = 10;

/// The results of one kind of task.
#[derive(Debug)]
pub struct Rounds<T> {
    /// How often it ran.
    pub rounds: u64,
    /// The last result, unless it was taken before.
    pub last: Option<Result<T>>,
    /// How long the last one took.
    pub took: Duration,
    /// The wait before the next one: longer than scheduled if the disk is slow.
    pub wait: Duration,
}

impl<T> Default for Rounds<T> {
    fn default() -> Self {
        Self { rounds: 0, last: None, took: Duration::ZERO, wait: Duration::ZERO }
    }
}

/// Runs maintenance until it is dropped, on one thread per kind of task.
#[derive(Debug)]
pub struct Background {
    signal: Arc<Signal>,
    syncs: Arc<Mutex<Rounds<()>>>,
    compactions: Arc<Mutex<Rounds<Compacted>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Signal {
    stop: Mutex<bool>,
    wake: Condvar,
}

impl Shared {
    /// See [`Maintenance::start`](crate::maintenance::Maintenance::start).
    pub(crate) fn start_maintenance(&self, schedule: Schedule) -> Result<Background> {
        let mut maintenance = Background {
            signal: Arc::default(),
            syncs: Arc::default(),
            compactions: Arc::default(),
            threads: Vec::new(),
        };
        if let Some(every) = schedule.sync_every {
            let rounds = Arc::clone(&maintenance.syncs);
            let flush = (every / FLUSH_PART).min(FLUSH_MAX);
            maintenance.start(self, "stepwell-sync", every, SYNC_REST, rounds, move |workspace, signal| {
                let mut requested = workspace.request_flushes();
                for _ in 0..FLUSH_STEPS {
                    // When stopping, do not wait for flushes.
                    requested = requested && signal.wait(flush / FLUSH_STEPS) && !workspace.flushes_are_complete();
                }
                let watch = Stopwatch::start();
                (workspace.sync_flushed(), watch.elapsed())
            })?;
        }
        if let Some(every) = schedule.compact_every {
            let rounds = Arc::clone(&maintenance.compactions);
            let compact = |workspace: &Self, _: &Signal| {
                let watch = Stopwatch::start();
                (workspace.compact(CompactOptions::default()), watch.elapsed())
            };
            maintenance.start(self, "stepwell-compact", every, 0, rounds, compact)?;
        }
        Ok(maintenance)
    }
}

impl Signal {
    /// Waits. Returns whether to go on.
    fn wait(&self, time: Duration) -> bool {
        let mut stop = self.stop.lock();
        if !*stop {
            self.wake.wait_for(&mut stop, time);
        }
        !*stop
    }
}

impl Background {
    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    fn start<T: Send + 'static>(
        &mut self,
        workspace: &Shared,
        name: &str,
        every: Duration,
        rest: u32,
        rounds: Arc<Mutex<Rounds<T>>>,
        work: impl Fn(&Shared, &Signal) -> (Result<T>, Duration) + Send + 'static,
    ) -> Result<()> {
        let (signal, workspace) = (Arc::clone(&self.signal), workspace.clone());
        let root = workspace.root().to_owned();
        let run = move || {
            let mut wait = every;
            while signal.wait(wait) {
                let (last, took) = work(&workspace, &signal);
                wait = every.max(took.saturating_mul(rest));
                let mut known = rounds.lock();
                *known = Rounds { rounds: known.rounds + 1, last: Some(last), took, wait };
            }
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        self.threads.push(thread.map_err(Error::io("start a thread for", &root))?);
        Ok(())
    }

    /// The results of syncs. Takes the last result.
    #[must_use]
    pub fn syncs(&self) -> Rounds<()> {
        take(&self.syncs)
    }

    /// The results of compactions. Takes the last result.
    #[must_use]
    pub fn compactions(&self) -> Rounds<Compacted> {
        take(&self.compactions)
    }
}

fn take<T>(rounds: &Mutex<Rounds<T>>) -> Rounds<T> {
    let mut known = rounds.lock();
    Rounds { rounds: known.rounds, last: known.last.take(), took: known.took, wait: known.wait }
}

/// Waits for running tasks.
impl Drop for Background {
    fn drop(&mut self) {
        *self.signal.stop.lock() = true;
        self.signal.wake.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
