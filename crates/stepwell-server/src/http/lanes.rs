//! Lanes: for each kind of call, how many may work on the store at once and how many may wait, so that searches never
//! delay logging.

use std::time::Duration;

use tokio::sync::Semaphore;

use stepwell_wire::routes::Lane;
use stepwell_wire::{Code, Fault};

/// Calls of one lane that work at once, and calls that may wait for them.
const WIDTH: [(Lane, usize, usize); 4] =
    [(Lane::Log, 8, 1024), (Lane::Object, 8, 256), (Lane::Search, 4, 128), (Lane::Artifact, 32, 256)];

/// Threads that the lanes may fill together, and some for files.
pub(crate) const THREADS_MAX: usize = 64;

/// The lanes of a server.
#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: [LaneState; 4],
}

#[derive(Debug)]
struct LaneState {
    working: Semaphore,
    waiting: Semaphore,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            lanes: WIDTH.map(|(_, width, queue)| LaneState {
                working: Semaphore::new(width),
                waiting: Semaphore::new(width + queue),
            }),
        }
    }
}

impl Lanes {
    /// Runs `work` on a thread for blocking work as soon as the lane has room.
    ///
    /// # Errors
    /// 503 when too many wait already, 504 when it takes longer than `limit` (the work itself then goes on to its end,
    /// and keeps its place in the lane until then), 500 when it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        self: &std::sync::Arc<Self>,
        lane: Lane,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let lanes = std::sync::Arc::clone(self);
        let index = WIDTH.iter().position(|(known, ..)| *known == lane).unwrap_or(0);
        let task = async move {
            let state = &lanes.lanes[index];
            let Ok(_place) = state.waiting.try_acquire() else { return Err(busy()) };
            let Ok(_working) = state.working.acquire().await else { return Err(busy()) };
            tokio::task::spawn_blocking(work).await.map_err(|error| {
                tracing::error!(%error, "a handler panicked");
                Fault::new(Code::InternalError, "The server failed to handle this request; its log says more.")
            })
        };
        // Its own task, so that a client that goes away does not free a place in which work is still done.
        match tokio::time::timeout(limit, tokio::spawn(task)).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Fault::new(Code::InternalError, "The server is stopping.")),
            Err(_) => Err(Fault::new(
                Code::DeadlineExceeded,
                format!("The server did not finish this request within {} s.", limit.as_secs()),
            )),
        }
    }
}

fn busy() -> Fault {
    Fault::new(Code::TemporarilyUnavailable, "The server has too many requests of this kind; try again in a second.")
}
