//! Maintenance in the background: the only place that starts threads. Optional: all it does can be called explicitly.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};
use crate::folder::clock::Stopwatch;
use crate::workspace::compaction::{CompactOptions, Compacted};
use crate::workspace::open::Workspace;

/// What maintenance does, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Time between syncs of all that writers of this handle logged: after a power loss, at most what was logged in the
    /// last interval and during one sync is missing. A sync begins by letting writers that have much to write out make
    /// columns of it, for a tenth of the interval and 100 ms at most. `None` for no syncs.
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

/// A sync waits for so many times as long as the last one took, if that is longer than the interval, so that a slow
/// disk is not kept busy by syncs alone.
const SYNC_REST: u32 = 9;
/// Before a sync writers are asked to frame what they have, and get this part of the interval for it, at most so long;
/// it is looked after in so many steps.
const FLUSH_PART: u32 = 10;
const FLUSH_MAX: Duration = Duration::from_millis(100);
const FLUSH_STEPS: u32 = 10;

/// What one kind of work came to.
#[derive(Debug)]
pub struct Rounds<T> {
    /// How often it was done.
    pub rounds: u64,
    /// What the last one came to, unless it was taken before.
    pub last: Option<Result<T>>,
    /// How long the last one took.
    pub took: Duration,
    /// How long the next one waits: longer than the schedule says where the disk is slow.
    pub wait: Duration,
}

impl<T> Default for Rounds<T> {
    fn default() -> Self {
        Self { rounds: 0, last: None, took: Duration::ZERO, wait: Duration::ZERO }
    }
}

/// Works in the background until it is dropped, on one thread for each kind of work.
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

impl Workspace {
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
                    // When it is to stop, what is asked for now is not waited for.
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
    /// Waits; says whether to go on.
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
        workspace: &Workspace,
        name: &str,
        every: Duration,
        rest: u32,
        rounds: Arc<Mutex<Rounds<T>>>,
        work: impl Fn(&Workspace, &Signal) -> (Result<T>, Duration) + Send + 'static,
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

    /// What syncs came to. The last result is taken.
    #[must_use]
    pub fn syncs(&self) -> Rounds<()> {
        take(&self.syncs)
    }

    /// What compactions came to. The last result is taken.
    #[must_use]
    pub fn compactions(&self) -> Rounds<Compacted> {
        take(&self.compactions)
    }
}

fn take<T>(rounds: &Mutex<Rounds<T>>) -> Rounds<T> {
    let mut known = rounds.lock();
    Rounds { rounds: known.rounds, last: known.last.take(), took: known.took, wait: known.wait }
}

/// Waits for what is under way.
impl Drop for Background {
    fn drop(&mut self) {
        *self.signal.stop.lock() = true;
        self.signal.wake.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
