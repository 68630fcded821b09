//! Sockets: accepting connections within limits, and stopping cleanly.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use stepwell::{Maintenance, Schedule};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::config::Config;
use crate::http::lanes;
use crate::http::socket::Patient;

/// Bytes that a request's head may take.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// How often logs are looked through for ones that nobody writes any more.
const IDLE_ROUND: Duration = Duration::from_secs(15);

/// Serves until SIGTERM or SIGINT, then lets requests under way finish and makes what was logged survive a power loss.
/// `ready` is told the address as soon as connections are taken.
///
/// # Errors
/// When the choices do not fit together, something cannot be opened, the address cannot be listened on, or the store
/// cannot be closed.
pub fn serve(config: Config, ready: &mut dyn FnMut(SocketAddr)) -> io::Result<()> {
    config.check()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(lanes::THREADS_MAX)
        .thread_name("stepwell-server")
        .build()?;
    let result = runtime.block_on(async {
        let listener = TcpListener::bind((config.host, config.port)).await?;
        let bound = listener.local_addr()?;
        let app = App::open(config, bound)?;
        let upkeep = app.tracking.workspace().start_maintenance(Schedule::default()).map_err(io::Error::other)?;
        let upkeep = Arc::new(upkeep);
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        ready(bound);
        let stop = async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        };
        let idle = tokio::spawn(close_idle(Arc::clone(&app), Arc::clone(&upkeep)));
        listen(Arc::clone(&app), listener, stop).await;
        tracing::info!("stopping");
        idle.abort();
        let end = move || {
            drop(upkeep);
            app.close()
        };
        tokio::task::spawn_blocking(end).await.map_err(io::Error::other)?
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Accepts connections until `stop`, then waits for those under way, within the limit.
pub(crate) async fn listen(app: Arc<App>, listener: TcpListener, stop: impl Future<Output = ()>) {
    let limits = app.config.limits;
    let router = crate::routes::router(Arc::clone(&app));
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    let addresses = Addresses::default();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = &mut stop => break,
        };
        let (stream, place, from) = accepted;
        let Some(seat) = addresses.seat(from.ip(), limits.connections_per_address) else {
            tracing::warn!(from = %from.ip(), "too many connections from one address");
            continue;
        };
        // Answers are small: what is written is sent at once.
        let _ = stream.set_nodelay(true);
        let mut server = http1::Builder::new();
        server
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX);
        let service = TowerToHyperService::new(router.clone());
        let connection =
            graceful.watch(server.serve_connection(TokioIo::new(Patient::new(stream, limits.answer_idle)), service));
        app.observed.connections.inc();
        let own = Arc::clone(&app);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            own.observed.connections.dec();
            drop((place, seat));
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.stop, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were still under way when the server stopped");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, tokio::sync::OwnedSemaphorePermit, SocketAddr) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else { std::future::pending().await };
        match listener.accept().await {
            Ok((stream, from)) => return (stream, place, from),
            Err(error) => {
                // Out of file descriptors, for example: others must end first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Closes logs that nobody writes any more, so that they can be packed, and tells of maintenance that fails.
async fn close_idle(app: Arc<App>, upkeep: Arc<Maintenance>) {
    loop {
        tokio::time::sleep(IDLE_ROUND).await;
        if let Some(Err(error)) = upkeep.syncs().last {
            tracing::error!(%error, "what was logged could not be synced to the disk");
        }
        if let Some(Err(error)) = upkeep.compactions().last {
            tracing::warn!(%error, "logs could not be packed");
        }
        let own = Arc::clone(&app);
        if let Ok(Err(fault)) = tokio::task::spawn_blocking(move || own.tracking.close_idle()).await {
            tracing::warn!(%fault, "cannot close an idle log");
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
