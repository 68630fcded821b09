//! Sockets: accepting connections within limits, and stopping cleanly.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::fs::Mode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::app::App;
use crate::config::Config;
use crate::http::guard::HEAD_BYTES_MAX;
use crate::http::place::{self, Listener, Place};
use crate::http::socket::Patient;
use crate::http::{heap, lanes};

/// Headers of a request.
pub(crate) const HEADERS_MAX: usize = 100;
/// How often the heap is trimmed, and after how many bytes of requests and answers it is worth it.
const HEAP_ROUND: Duration = Duration::from_secs(1);
const HEAP_WORTH_BYTES: u64 = 16 << 20;
/// Most rounds without a trim on a busy server.
const HEAP_ROUNDS_MAX: u32 = 15;
/// How often to look for logs that nobody writes to.
const IDLE_ROUND: Duration = Duration::from_secs(15);

/// Serves until SIGTERM or SIGINT, then lets running requests finish and makes what was logged survive a power loss.
/// `ready` is called with the place as soon as connections are accepted. From then on, only the owner can read files
/// that the process creates.
///
/// # Errors
/// When the choices do not fit together, something cannot be opened, the address cannot be listened on, or the store
/// cannot be closed. The error names the path or the address and port.
pub fn serve(config: Config, ready: &mut dyn FnMut(&Place)) -> io::Result<()> {
    config.check()?;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    heap::settle();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(lanes::THREADS_MAX)
        .thread_name("stepwell-server")
        .build()?;
    let result = runtime.block_on(async {
        let (place, listeners) = place::open(&config).await?;
        let app = App::open(config, &place)?;
        app.start_upkeep()?;
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        ready(&place);
        let stop = async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        };
        let idle = tokio::spawn(close_idle(Arc::clone(&app)));
        let heap = tokio::spawn(give_back(Arc::clone(&app)));
        listen(&app, listeners, stop).await;
        tracing::info!("stopping");
        idle.abort();
        heap.abort();
        tokio::task::spawn_blocking(move || app.close()).await.map_err(io::Error::other)?
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Accepts connections until `stop`, then waits for those under way, within the limit.
pub(crate) async fn listen(app: &Arc<App>, listeners: Vec<Listener>, stop: impl Future<Output = ()>) {
    let graceful = Arc::new(GracefulShutdown::new());
    let door = Door {
        app: Arc::clone(app),
        router: crate::routes::router(Arc::clone(app)),
        graceful: Arc::clone(&graceful),
        places: Arc::new(Semaphore::new(app.config.limits.connections)),
        addresses: Addresses::default(),
    };
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(door.clone().accept_all(listener));
    }
    drop(door);
    stop.await;
    app.feed.stop();
    accepting.shutdown().await;
    // Those who accepted have ended, so that nobody else holds it.
    let Some(graceful) = Arc::into_inner(graceful) else { return };
    if tokio::time::timeout(app.config.limits.stop, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were still under way when the server stopped");
    }
}

/// What connections come through.
#[derive(Clone)]
struct Door {
    app: Arc<App>,
    router: Router,
    graceful: Arc<GracefulShutdown>,
    places: Arc<Semaphore>,
    addresses: Addresses,
}

impl Door {
    async fn accept_all(self, listener: Listener) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            let accepted = match &listener {
                Listener::Tcp(listener) => listener.accept().await.map(|(stream, from)| self.tcp(stream, from, place)),
                Listener::Unix(listener, _) => listener.accept().await.map(|(stream, _)| self.connect(stream, place)),
            };
            if let Err(error) = accepted {
                // Out of file descriptors, for example: others must end first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    fn tcp(&self, stream: TcpStream, from: SocketAddr, place: OwnedSemaphorePermit) {
        let Some(seat) = self.addresses.seat(from.ip(), self.app.config.limits.connections_per_address) else {
            tracing::warn!(from = %from.ip(), "too many connections from one address");
            return;
        };
        // Answers are small: what is written is sent at once.
        let _ = stream.set_nodelay(true);
        self.connect(stream, (place, seat));
    }

    /// Serves a connection, and keeps `held` as long as it is open.
    fn connect<S>(&self, stream: S, held: impl Send + 'static)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = self.app.config.limits;
        let mut server = http1::Builder::new();
        server
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX);
        let service = TowerToHyperService::new(self.router.clone());
        let io = TokioIo::new(Patient::new(stream, limits.answer_idle));
        let connection = self.graceful.watch(server.serve_connection(io, service));
        self.app.observed.connections.inc();
        let app = Arc::clone(&self.app);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            app.observed.connections.dec();
            app.rooms.pass_buffers(HEAD_BYTES_MAX);
            drop(held);
        });
    }
}

/// Closes logs that nobody writes any more, so that they can be packed, and tells of maintenance that fails.
async fn close_idle(app: Arc<App>) {
    loop {
        tokio::time::sleep(IDLE_ROUND).await;
        let own = Arc::clone(&app);
        let round = move || {
            own.look_at_upkeep();
            own.api.close_idle()
        };
        if let Ok(Err(fault)) = tokio::task::spawn_blocking(round).await {
            tracing::warn!(%fault, "cannot close an idle log");
        }
    }
}

/// Returns the memory of requests and answers to the operating system when they are over, or from time to time if there
/// are always some.
async fn give_back(app: Arc<App>) {
    let (mut passed, mut rounds) = (0, 0);
    loop {
        tokio::time::sleep(HEAP_ROUND).await;
        rounds += 1;
        let now = app.rooms.passed();
        if now - passed >= HEAP_WORTH_BYTES && (app.rooms.are_free() || rounds >= HEAP_ROUNDS_MAX) {
            (passed, rounds) = (now, 0);
            let _ = tokio::task::spawn_blocking(heap::trim).await;
        }
    }
}

/// Connections by address.
#[derive(Clone, Debug, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of an address.
#[derive(Debug)]
struct Seat {
    all: Addresses,
    address: IpAddr,
}

impl Addresses {
    /// A place for one more connection from an address; any number from this machine.
    fn seat(&self, address: IpAddr, most: usize) -> Option<Seat> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(address).or_default();
        if *count >= most && !address.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Seat { all: self.clone(), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_so_many_connections() {
        let all = Addresses::default();
        let far = IpAddr::from([10, 0, 0, 1]);
        let first = all.seat(far, 2).unwrap();
        let second = all.seat(far, 2).unwrap();
        assert!(all.seat(far, 2).is_none());
        assert!(all.seat(IpAddr::from([10, 0, 0, 2]), 2).is_some());
        drop(first);
        assert!(all.seat(far, 2).is_some());
        drop(second);
        assert!(all.0.lock().unwrap().is_empty());
        let home: Vec<_> = (0..5).map(|_| all.seat(IpAddr::from([127, 0, 0, 1]), 2)).collect();
        assert!(home.iter().all(Option::is_some));
    }
}
