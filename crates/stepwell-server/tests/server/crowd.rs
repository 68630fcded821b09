//! Crowds of bad clients over real sockets: slow heads, slow bodies, slow readers, and floods of what is too long.
//! Others are served meanwhile, and the bad ones are let go in the end.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use stepwell_server::{Config, Place};

/// Guards against a test that hangs; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the servers of these tests wait for slow clients.
const LIMIT: Duration = Duration::from_secs(2);
/// Most bytes of a body there.
const BODY_BYTES: u64 = 1 << 20;

/// A server on a thread, which ends with the test program.
fn start(folder: &Path) -> SocketAddr {
    let mut config = Config { port: 0, ..Config::of(folder) };
    let limits = &mut config.limits;
    (limits.head, limits.body_idle, limits.answer_idle) = (LIMIT, LIMIT, LIMIT);
    (limits.body_bytes, limits.artifact_bytes) = (BODY_BYTES, 64 << 20);
    let (to, from) = std::sync::mpsc::channel();
    std::thread::spawn(move || stepwell_server::serve(config, &mut |place| to.send(place.clone()).unwrap()).unwrap());
    match from.recv_timeout(PATIENCE).unwrap() {
        Place::Address(address) => address,
        place => panic!("{place}"),
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn head(address: SocketAddr, line: &str, rest: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{rest}\r\n\r\n")
}

/// One request on a connection of its own; the whole answer.
pub(crate) fn ask(address: SocketAddr, line: &str, body: &str) -> String {
    let mut stream = connect(address);
    let head = head(address, line, &format!("Connection: close\r\nContent-Length: {}", body.len()));
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn run(address: SocketAddr) -> String {
    let made = ask(address, "POST /api/2.0/mlflow/runs/create", r#"{"experiment_id":"0"}"#);
    made.split("\"run_id\":").nth(1).unwrap_or_else(|| panic!("{made}")).split('"').nth(1).unwrap().to_owned()
}

/// A good client: what it asks is answered.
fn is_served(address: SocketAddr, run: &str, step: usize) {
    let health = ask(address, "GET /health", "");
    assert!(health.starts_with("HTTP/1.1 200") && health.ends_with("OK"), "{health}");
    let body = format!(r#"{{"run_id":"{run}","metrics":[{{"key":"m","value":{step},"timestamp":1,"step":{step}}}]}}"#);
    let logged = ask(address, "POST /api/2.0/mlflow/runs/log-batch", &body);
    assert!(logged.starts_with("HTTP/1.1 200"), "{logged}");
}

fn points(address: SocketAddr, run: &str) -> usize {
    let history = ask(address, &format!("GET /api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=m"), "");
    history.matches("\"step\":").count()
}

/// Connections that the server has now, by its own count.
fn connections(address: SocketAddr) -> usize {
    let metrics = ask(address, "GET /metrics", "");
    let line = metrics
        .lines()
        .find(|line| line.starts_with("stepwell_http_connections "))
        .unwrap_or_else(|| panic!("{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn three_hundred_slow_clients_hold_up_nobody_and_are_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let address = start(&dir.path().join("w"));
    let run = run(address);
    let long = "x".repeat(48 << 20);
    let stored = ask(address, "PUT /api/2.0/mlflow-artifacts/artifacts/0/long.txt", &long);
    assert!(stored.starts_with("HTTP/1.1 200"), "{stored}");
    let mut slow = Vec::new();
    for number in 0..300 {
        let mut stream = connect(address);
        let begun = match number % 3 {
            0 => format!("GET /health HTTP/1.1\r\nHost: {address}\r\nX-Slow: "),
            1 => {
                let target = ["POST /api/2.0/mlflow/runs/log-batch", "PUT /api/2.0/mlflow-artifacts/artifacts/0/slow"];
                head(address, target[number / 3 % 2], "Content-Length: 100000")
            }
            _ => head(address, "GET /api/2.0/mlflow-artifacts/artifacts/0/long.txt", "Accept: */*"),
        };
        stream.write_all(begun.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        slow.push(stream);
    }
    // The senders go on, a byte at a time; the readers take nothing. Meanwhile others are served, until all are let go.
    let begun = Instant::now();
    let mut served = 0;
    let mut held = slow.len();
    while held > 1 {
        for (number, stream) in slow.iter_mut().enumerate().filter(|(number, _)| number % 3 != 2) {
            // Those that were let go are told so by an error.
            let _ = (number, stream.write(b"x"));
        }
        is_served(address, &run, served);
        served += 1;
        // Well below the rate from which on a sender is no slow one.
        std::thread::sleep(Duration::from_millis(10));
        held = connections(address);
        assert!(begun.elapsed() < PATIENCE, "after {served} rounds {held} connections are still held");
    }
    assert_eq!(points(address, &run), served);
    for (number, mut stream) in slow.into_iter().enumerate() {
        stream.set_nonblocking(false).unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        match number % 3 {
            // A body that comes too slowly is answered before the connection is closed; the client's own bytes since
            // then may have torn the answer away.
            1 => assert!(answer.starts_with("HTTP/1.1 408") || ended.is_err(), "{answer}"),
            0 => assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}"),
            _ => assert!(answer.len() < long.len(), "a reader that took nothing got all"),
        }
    }
    assert!(!dir.path().join("w/artifacts/0/slow").exists());
}

/// Sends a body that is too long, and goes on sending as clients do that do not listen; gives the answer.
fn flood(address: SocketAddr, line: &str, chunked: bool) -> String {
    const SENT: usize = 6 << 20;
    let mut stream = connect(address);
    let length = if chunked { "Transfer-Encoding: chunked".into() } else { format!("Content-Length: {SENT}") };
    stream.write_all(head(address, line, &length).as_bytes()).unwrap();
    let piece = vec![b' '; 64 << 10];
    for _ in 0..SENT / piece.len() {
        let sent = if chunked {
            let framed = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
            stream.write_all(&framed)
        } else {
            stream.write_all(&piece)
        };
        match sent {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => break,
            Err(error) => panic!("{error}"),
        }
    }
    if chunked {
        let _ = stream.write_all(b"0\r\n\r\n");
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap_or_else(|error| panic!("no answer to {line}: {error}"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_flood_of_long_bodies_is_refused_aloud_and_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let address = start(&dir.path().join("w"));
    let run = run(address);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let bad: Vec<_> = (0..12)
            .map(|number| {
                let line = [
                    "POST /api/2.0/mlflow/runs/log-batch",
                    "POST /api/2.0/mlflow/runs/search",
                    "POST /graphql",
                    "POST /api/2.0/mlflow/no/such/endpoint",
                ][number / 2 % 4];
                scope.spawn(move || {
                    for _ in 0..8 {
                        let answer = flood(address, line, number % 2 == 0);
                        let expected = if line.ends_with("endpoint") { "HTTP/1.1 404" } else { "HTTP/1.1 413" };
                        assert_eq!(answer, expected, "{line}");
                    }
                })
            })
            .collect();
        let good = scope.spawn(|| {
            let mut served = 0;
            while served < 20 || !over.load(std::sync::atomic::Ordering::Relaxed) {
                is_served(address, &run, served);
                served += 1;
            }
            served
        });
        let ended: Vec<_> = bad.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        let served = good.join().unwrap();
        assert_eq!(points(address, &run), served);
        for result in ended {
            result.unwrap();
        }
    });
}
