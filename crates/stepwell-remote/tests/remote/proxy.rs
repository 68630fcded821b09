//! A network between client and server that fails on demand.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    /// It works.
    Up,
    /// It takes connections and closes them.
    Drops,
    /// It closes each connection after so many bytes of the client.
    CutsRequests(u64),
    /// It closes each connection after so many bytes of the server.
    CutsAnswers(u64),
    /// Each piece takes so many milliseconds.
    Delays(u64),
    /// The server's disk is full.
    Full,
}

/// A proxy to a server.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    net: Arc<(AtomicU64, AtomicU64)>,
    pub(crate) refusals: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) fn to(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let net: Arc<(AtomicU64, AtomicU64)> = Arc::default();
        let refusals: Arc<AtomicU64> = Arc::default();
        let (of, counted) = (Arc::clone(&net), Arc::clone(&refusals));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (net, counted) = (Arc::clone(&of), Arc::clone(&counted));
                std::thread::spawn(move || connection(client, upstream, &net, &counted));
            }
        });
        Self { port, net, refusals }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, net: Net) {
        let (kind, amount) = match net {
            Net::Up => (0, 0),
            Net::Drops => (1, 0),
            Net::CutsRequests(bytes) => (2, bytes),
            Net::CutsAnswers(bytes) => (3, bytes),
            Net::Delays(ms) => (4, ms),
            Net::Full => (5, 0),
        };
        self.net.1.store(amount, Ordering::SeqCst);
        self.net.0.store(kind, Ordering::SeqCst);
    }
}

fn now(net: &(AtomicU64, AtomicU64)) -> Net {
    let amount = net.1.load(Ordering::SeqCst);
    match net.0.load(Ordering::SeqCst) {
        0 => Net::Up,
        1 => Net::Drops,
        2 => Net::CutsRequests(amount),
        3 => Net::CutsAnswers(amount),
        4 => Net::Delays(amount),
        _ => Net::Full,
    }
}

fn connection(mut client: TcpStream, upstream: u16, net: &Arc<(AtomicU64, AtomicU64)>, refusals: &AtomicU64) {
    match now(net) {
        Net::Drops => return,
        Net::Full => {
            refusals.fetch_add(1, Ordering::SeqCst);
            let mut bytes = [0; 4096];
            let _ = client.read(&mut bytes);
            let body = br#"{"error_code":"RESOURCE_EXHAUSTED","message":"The disk is full."}"#;
            let head = format!(
                "HTTP/1.1 507 Full\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: \
                 close\r\n\r\n",
                body.len()
            );
            let _ = client.write_all(head.as_bytes()).and_then(|()| client.write_all(body));
            let _ = client.shutdown(Shutdown::Write);
            // What the client still sends is read, so that it hears the answer.
            while client.read(&mut bytes).is_ok_and(|got| got > 0) {}
            return;
        }
        _ => {}
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)) else { return };
    let (back_from, back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let of = Arc::clone(net);
    let back = std::thread::spawn(move || copy(back_from, back_to, &of, false));
    copy(client, server, net, true);
    let _ = back.join();
}

/// Copies one way until either side closes, or the network does.
fn copy(mut from: TcpStream, mut to: TcpStream, net: &(AtomicU64, AtomicU64), is_request: bool) {
    let (mut bytes, mut passed) = ([0; 16 << 10], 0);
    while let Ok(got) = from.read(&mut bytes) {
        if got == 0 {
            break;
        }
        let mut len = got;
        match now(net) {
            Net::Drops | Net::Full => len = 0,
            Net::CutsRequests(most) if is_request => len = got.min(most.saturating_sub(passed) as usize),
            Net::CutsAnswers(most) if !is_request => len = got.min(most.saturating_sub(passed) as usize),
            Net::Delays(ms) => std::thread::sleep(Duration::from_millis(ms)),
            _ => {}
        }
        passed += len as u64;
        if to.write_all(&bytes[..len]).is_err() || len < got {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
