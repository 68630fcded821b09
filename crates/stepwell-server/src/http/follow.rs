//! `GET /api/stepwell/follow`: server-sent events of what changes, from one follower for all who listen.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use serde::Serialize;
use stepwell::{Changes, Follow, RunEvent, Workspace};
use stepwell_wire::Fault;
use stepwell_wire::routes::Object;
use tokio::io::AsyncWriteExt;
use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError};
use tokio_util::io::ReaderStream;

use crate::app::App;
use crate::auth::access::Principal;
use crate::http::dispatch::{Streamed, Streaming, principal};
use crate::http::guard;

/// Results that a slow listener may lag behind; beyond that it is told to read everything again.
const BEHIND_MAX: usize = 64;
/// How long the follower waits for changes before it looks whether anybody still listens.
const WAIT: Duration = Duration::from_millis(500);
/// How often a silent stream says that it is alive.
const ALIVE: Duration = Duration::from_secs(15);
/// Least time between two results, so that a fast trainer does not flood pages.
const PAUSE: Duration = Duration::from_millis(250);

/// What changed in a run.
#[derive(Clone, Debug, Serialize)]
struct Changed {
    id: String,
    /// `appeared`, `deleted`, `restored` or `gone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    /// Whether its name, status, params or tags changed.
    metadata: bool,
    /// Metrics with new points, and those that lost points.
    keys: Vec<String>,
    points: usize,
}

/// A result of the follower.
#[derive(Clone, Debug, Default, Serialize)]
struct Update {
    runs: Vec<Changed>,
    experiments: Vec<String>,
}

impl Update {
    fn of(changes: Changes) -> Self {
        let of_run = |run: stepwell::RunChange| {
            let mut keys: Vec<String> = run.points.iter().map(|new| new.key.clone()).chain(run.removed).collect();
            keys.sort();
            keys.dedup();
            let event = run.event.map(|event| match event {
                RunEvent::Appeared => "appeared",
                RunEvent::Deleted => "deleted",
                RunEvent::Restored => "restored",
                RunEvent::Gone => "gone",
            });
            let points = run.points.iter().map(|new| new.columns.len()).sum();
            Changed { id: run.id.as_str().to_owned(), event, metadata: run.state.is_some(), keys, points }
        };
        Self {
            runs: changes.runs.into_iter().map(of_run).collect(),
            experiments: changes.experiments.iter().map(ToString::to_string).collect(),
        }
    }

    /// What of it a caller may know.
    fn within(&self, app: &App, who: &Principal) -> Self {
        let may = |object: Object| who.may_reach(&[object], |object| app.api.experiment_of(object)).is_ok();
        let mut own = self.clone();
        own.runs.retain(|run| may(Object::Run(run.id.clone())));
        own.experiments.retain(|id| may(Object::Experiment(id.clone())));
        own
    }
}

/// The follower of all who listen; it runs as long as there is one.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    sender: Mutex<Option<Sender<Arc<Update>>>>,
    stopped: Arc<AtomicBool>,
}

impl Feed {
    /// A listener from now on.
    ///
    /// # Errors
    /// When the workspace cannot be followed or no thread can be started.
    fn listen(&self, workspace: &Workspace) -> io::Result<Receiver<Arc<Update>>> {
        let mut own = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = own.as_ref().filter(|sender| sender.receiver_count() > 0) {
            return Ok(sender.subscribe());
        }
        let mut follower = workspace.follow(&Follow::default()).map_err(io::Error::other)?;
        let (sender, receiver) = broadcast::channel(BEHIND_MAX);
        let (out, stopped) = (sender.clone(), Arc::clone(&self.stopped));
        let work = move || {
            while !stopped.load(Ordering::Relaxed) && out.receiver_count() > 0 {
                match follower.next(WAIT) {
                    Ok(None) => {}
                    Ok(Some(changes)) => {
                        let update = Update::of(changes);
                        if !(update.runs.is_empty() && update.experiments.is_empty()) {
                            // Fails when the last listener went, which ends the loop.
                            let _ = out.send(Arc::new(update));
                        }
                        std::thread::sleep(PAUSE);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot follow the workspace");
                        std::thread::sleep(WAIT);
                    }
                }
            }
        };
        std::thread::Builder::new().name("follow".into()).spawn(work)?;
        *own = Some(sender);
        Ok(receiver)
    }

    /// Ends all streams.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// `GET /api/stepwell/follow?seconds=`.
pub(crate) fn follow(request: Streamed) -> Streaming {
    Box::pin(async move {
        let Streamed { app, input, headers, .. } = request;
        let who = principal(&app, &headers)?;
        let seconds = match input.argument("seconds").map(str::parse::<u64>) {
            None => None,
            Some(Ok(seconds)) => Some(Duration::from_secs(seconds)),
            Some(Err(_)) => return Err(Fault::invalid("seconds must be an integer of at least 0.")),
        };
        let own = Arc::clone(&app);
        let listen = move || own.feed.listen(own.api.tracking().workspace());
        let lane = stepwell_wire::routes::Lane::Object;
        let receiver = app.lanes.run(lane, app.config.limits.call, listen).await?.map_err(|error| Fault {
            detail: Some(error.to_string()),
            ..Fault::new(stepwell_wire::Code::StoreFailed, "The workspace cannot be followed now.")
        })?;
        let (to, from) = tokio::io::duplex(64 << 10);
        let send = send(app, who, receiver, to);
        tokio::spawn(async move {
            match seconds {
                None => drop(send.await),
                Some(limit) => drop(tokio::time::timeout(limit, send).await),
            }
        });
        let mut response = Response::new(Body::from_stream(ReaderStream::new(from)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Tells nginx to pass events on at once.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        guard::secure(headers);
        Ok(response)
    })
}

/// Writes events until the client goes or the server stops.
async fn send(
    app: Arc<App>,
    who: Principal,
    mut receiver: Receiver<Arc<Update>>,
    mut to: tokio::io::DuplexStream,
) -> io::Result<()> {
    to.write_all(b"retry: 2000\nevent: hello\ndata: {}\n\n").await?;
    loop {
        let update = match tokio::time::timeout(ALIVE, receiver.recv()).await {
            Err(_) => {
                to.write_all(b": alive\n\n").await?;
                continue;
            }
            Ok(Err(RecvError::Closed)) => return Ok(()),
            Ok(Err(RecvError::Lagged(_))) => {
                to.write_all(b"event: reset\ndata: {}\n\n").await?;
                continue;
            }
            Ok(Ok(update)) => update,
        };
        let (own, may) = (Arc::clone(&app), who.clone());
        let within = move || if may.scope().is_some() { update.within(&own, &may) } else { (*update).clone() };
        let update = tokio::task::spawn_blocking(within).await.map_err(io::Error::other)?;
        if update.runs.is_empty() && update.experiments.is_empty() {
            continue;
        }
        let json = serde_json::to_string(&update).map_err(io::Error::other)?;
        to.write_all(format!("event: update\ndata: {json}\n\n").as_bytes()).await?;
    }
}
