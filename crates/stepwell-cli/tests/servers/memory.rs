//! Floods of several kinds, one after the other and together, on the real server with its own limits: what
//! `docs/server.md` says of memory holds, and when a flood is over the memory goes back.

use std::io::{Read, Write};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::flood::{RESIDENT_MAX, begin};
use crate::process::{PATIENCE, Server, ask};

/// How much more than before a flood may stay resident when it is over.
const KEPT_MAX: u64 = 48 << 20;
/// Clients of a flood at once.
const CLIENTS: usize = 24;
/// Bytes of a body near the limit.
const LONG: usize = 16_000_000;

/// Posts a body to log-batch and reads the status; `None` when the server let the client go.
fn post(server: &Server, body: &[u8]) -> Option<String> {
    let rest = format!("Connection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut stream = begin(server, "POST /api/2.0/mlflow/runs/log-batch", &rest);
    // Who is refused may be let go while it still sends.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer.get(9..12).map(|status| String::from_utf8_lossy(status).into_owned())
}

/// A batch of points, each of which `point` writes, of about so many bytes.
fn batch(run: &str, bytes: usize, point: impl Fn(usize) -> String) -> Vec<u8> {
    let mut body = format!("{{\"run_id\":\"{run}\",\"metrics\":[");
    for at in 0.. {
        body.push_str(&point(at));
        if body.len() >= bytes {
            break;
        }
        body.push(',');
    }
    body.push_str("]}");
    body.into_bytes()
}

/// Runs a client many times at once.
fn crowd(clients: usize, client: impl Fn(usize) + Sync) {
    let together = Barrier::new(clients);
    std::thread::scope(|scope| {
        for number in 0..clients {
            let (client, together) = (&client, &together);
            scope.spawn(move || {
                together.wait();
                client(number);
            });
        }
    });
}

/// Waits until the server has given back what a flood took.
fn is_given_back(server: &Server, before: u64, what: &str) {
    let begun = Instant::now();
    while server.resident_bytes() > before + KEPT_MAX {
        let now = server.resident_bytes();
        assert!(begun.elapsed() < PATIENCE, "{what}: {} MiB before, {} MiB are kept", before >> 20, now >> 20);
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn memory_is_bounded_in_every_flood_and_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("w"), 0);
    let run = server.run_in("0");
    let point = |at: usize| format!(r#"{{"key":"long","value":0.1,"timestamp":{at},"step":{at}}}"#);
    for first in 0..60 {
        let points: Vec<String> = (0..1000).map(|at| point(first * 1000 + at)).collect();
        let body = format!(r#"{{"run_id":"{run}","metrics":[{}]}}"#, points.join(","));
        assert_eq!(post(&server, body.as_bytes()).as_deref(), Some("200"));
    }
    let before = server.resident_bytes();
    let after = |what: &str| {
        let peak = server.peak_bytes();
        println!("{what}: {} MiB at most, {} MiB now", peak >> 20, server.resident_bytes() >> 20);
        assert!(peak < RESIDENT_MAX, "{what}: {} MiB", peak >> 20);
        is_given_back(&server, before, what);
    };

    // Bodies at the limit, whose ends do not come.
    let long = batch(&run, LONG, point);
    crowd(CLIENTS, |_| {
        let rest = format!("Content-Length: {}\r\n\r\n", long.len() + 100);
        let mut stream = begin(&server, "POST /api/2.0/mlflow/runs/log-batch", &rest);
        let _ = stream.write_all(&long);
        std::thread::sleep(Duration::from_secs(1));
    });
    after("long bodies that do not end");

    // The same to their ends: hundreds of thousands of points, and of values that are small.
    let small = batch(&run, LONG, |_| "0".to_owned());
    let deep = [vec![b'['; LONG / 2], vec![b']'; LONG / 2]].concat();
    for (body, what) in [(&long, "many points"), (&small, "many values"), (&deep, "deep nesting")] {
        crowd(CLIENTS, |_| {
            let status = post(&server, body);
            assert!(status.as_deref().is_none_or(|status| ["400", "503"].contains(&status)), "{what}: {status:?}");
        });
        after(what);
    }

    // As many values as are taken, in the reading that knows every spelling, and texts at the limit.
    let keys = batch(&run, 1_300_000, |at| format!(r#"{{"key":"k{at}","value":1,"timestamp":1,"step":1,"x":0}}"#));
    let text = format!(r#"{{"run_id":"{run}","tags":[{{"key":"a","value":"{}","x":0}}]}}"#, "x".repeat(15_000_000));
    for (body, what) in [(&keys, "many keys"), (&text.into_bytes(), "long texts")] {
        crowd(CLIENTS, |_| {
            let status = post(&server, body);
            assert!(
                status.as_deref().is_none_or(|status| ["200", "400", "503"].contains(&status)),
                "{what}: {status:?}"
            );
        });
        after(what);
    }

    // Batches as trainers send them, of many runs.
    crowd(CLIENTS, |_| {
        let own = server.run_in("0");
        for round in 0..10 {
            let points: Vec<String> = (0..1000).map(|at| point(round * 1000 + at)).collect();
            let body = format!(r#"{{"run_id":"{own}","metrics":[{}]}}"#, points.join(","));
            while post(&server, body.as_bytes()).as_deref() != Some("200") {}
        }
    });
    after("batches");

    // Readers that take nothing of what they ask for.
    let history = format!("GET /api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=long");
    crowd(CLIENTS * 4, |_| {
        let _stream = begin(&server, &history, "\r\n");
        std::thread::sleep(Duration::from_secs(2));
    });
    after("slow readers");

    // Files.
    let file = vec![7; 4 << 20];
    crowd(CLIENTS * 2, |number| {
        let line = format!("PUT /api/2.0/mlflow-artifacts/artifacts/0/{number}");
        let mut stream = begin(&server, &line, &format!("Connection: close\r\nContent-Length: {}\r\n\r\n", file.len()));
        stream.write_all(&file).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    });
    after("uploads");

    // All of it at once.
    crowd(CLIENTS, |number| match number % 4 {
        0 => _ = post(&server, &keys),
        1 => _ = post(&server, &long),
        2 => {
            let _stream = begin(&server, &history, "\r\n");
            std::thread::sleep(Duration::from_secs(2));
        }
        _ => {
            let search = json!({ "experiment_ids": ["0"], "max_results": 50_000 });
            _ = ask(&server.address, "POST", "runs/search", &search);
        }
    });
    after("all at once");
    assert_eq!(server.history(&run, "long").len(), 60_000, "and it answers");
}
