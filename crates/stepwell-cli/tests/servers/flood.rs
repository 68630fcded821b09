//! A crowd of bad clients on the real server with its own limits: it goes on answering, and its memory stays within a
//! bound that no number of clients moves.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::process::Server;

/// Slow clients that are there all the while, a third of each kind.
const SLOW: usize = 100;
/// Clients at once whose bodies are too long, and how many each sends.
const FLOODS: usize = 8;
const ROUNDS: usize = 6;
/// Bytes of each body that are sent; the limit is 16 MiB.
const SENT: usize = 20 << 20;
/// The bound, which `docs/server.md` adds up.
pub(crate) const RESIDENT_MAX: u64 = 384 << 20;

pub(crate) fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(crate::process::PATIENCE)).unwrap();
    stream.set_write_timeout(Some(crate::process::PATIENCE)).unwrap();
    stream
}

pub(crate) fn begin(server: &Server, line: &str, rest: &str) -> TcpStream {
    let mut stream = connect(server);
    let head = format!("{line} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n{rest}", server.address);
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Sends a body that is too long, whatever the server says meanwhile; gives the status.
fn flood(server: &Server, chunked: bool) -> String {
    let length = if chunked { "Transfer-Encoding: chunked".into() } else { format!("Content-Length: {SENT}") };
    let mut stream = begin(server, "POST /api/2.0/mlflow/runs/log-batch", &format!("{length}\r\n\r\n"));
    let piece = vec![b' '; 64 << 10];
    let framed = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
    for _ in 0..SENT / piece.len() {
        match stream.write_all(if chunked { &framed } else { &piece }) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn slow_clients_and_long_bodies_leave_it_answering_within_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("w"), 0);
    let run = server.run_in("0");
    // What slow readers will ask for: more than the kernel keeps for them.
    let points: Vec<_> =
        (0..1000).map(|at| json!({ "key": "long", "value": 0.1, "timestamp": at, "step": at })).collect();
    for first in 0..60 {
        let points: Vec<_> = points
            .iter()
            .map(|point| {
                let mut point = point.clone();
                point["step"] = json!(first * 1000 + point["step"].as_i64().unwrap());
                point
            })
            .collect();
        server.post("runs/log-batch", &json!({ "run_id": run, "metrics": points }));
    }
    let before = server.peak_bytes();
    let mut slow = Vec::new();
    for number in 0..SLOW {
        slow.push(match number % 3 {
            0 => begin(&server, "GET /health", "X-Slow: "),
            1 => {
                let mut stream =
                    begin(&server, "POST /api/2.0/mlflow/runs/log-batch", "Content-Length: 16000000\r\n\r\n");
                stream.write_all(&vec![b' '; 256 << 10]).unwrap();
                stream
            }
            _ => {
                begin(&server, &format!("GET /api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=long"), "\r\n")
            }
        });
    }
    let over = AtomicBool::new(false);
    let served = std::thread::scope(|scope| {
        let floods: Vec<_> = (0..FLOODS)
            .map(|number| {
                let server = &server;
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        let status = flood(server, number % 2 == 0);
                        assert!(["HTTP/1.1 413", "HTTP/1.1 503"].contains(&status.as_str()), "{status}");
                    }
                })
            })
            .collect();
        let good = scope.spawn(|| {
            let mut served = 0;
            while served < 20 || !over.load(Ordering::Relaxed) {
                let point = json!({ "key": "m", "value": served, "timestamp": 1, "step": served });
                server.post("runs/log-batch", &json!({ "run_id": run, "metrics": [point] }));
                served += 1;
            }
            served
        });
        let ended: Vec<_> = floods.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        let served = good.join().unwrap();
        ended.into_iter().for_each(|ended| ended.unwrap());
        served
    });
    assert_eq!(server.history(&run, "m").len(), served);
    let peak = server.peak_bytes();
    println!("resident: {} MiB before, {} MiB at most", before >> 20, peak >> 20);
    assert!(peak < RESIDENT_MAX, "{} MiB", peak >> 20);
    drop(slow);
}
