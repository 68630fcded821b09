//! Maintenance in the background: the only place that starts a thread. Optional: all it does can be called explicitly.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::Result;
use crate::workspace::compaction::{CompactOptions, Compacted};
use crate::workspace::open::Workspace;

/// Compacts a workspace from time to time, until it is dropped. It runs one compaction at a time, on one thread.
#[derive(Debug)]
pub struct Maintenance {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stop: bool,
    rounds: u64,
    last: Option<Result<Compacted>>,
}

impl Workspace {
    /// Starts maintenance: a compaction every `interval`, the first after one. Errors do not end it; the last one is
    /// kept for [`Maintenance::take_last`]. A forked child has no such thread.
    ///
    /// # Errors
    /// [`crate::error::Error::Io`] when the thread cannot be started.
    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn start_maintenance(&self, interval: Duration) -> Result<Maintenance> {
        let shared = Arc::new(Shared::default());
        let (workspace, own) = (self.clone(), Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("stepwell-maintenance".into())
            .spawn(move || own.run(&workspace, interval))
            .map_err(crate::error::Error::io("start a thread for", self.root()))?;
        Ok(Maintenance { shared, thread: Some(thread) })
    }
}

impl Shared {
    fn run(&self, workspace: &Workspace, interval: Duration) {
        loop {
            let mut state = self.state.lock();
            if !state.stop {
                self.wake.wait_for(&mut state, interval);
            }
            if state.stop {
                return;
            }
            drop(state);
            let last = workspace.compact(CompactOptions::default());
            let mut state = self.state.lock();
            state.rounds += 1;
            state.last = Some(last);
        }
    }
}

impl Maintenance {
    /// How many compactions were done, and what the last one came to, unless it was taken before.
    #[must_use]
    pub fn take_last(&self) -> (u64, Option<Result<Compacted>>) {
        let mut state = self.shared.state.lock();
        (state.rounds, state.last.take())
    }
}

/// Waits for a compaction that is under way.
impl Drop for Maintenance {
    fn drop(&mut self) {
        self.shared.state.lock().stop = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
