//! The server over real sockets: slow and broken clients, many at once, and stopping.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The server as a process of its own, so that it can be told to stop.
struct Process {
    child: Child,
    address: String,
}

fn example() -> PathBuf {
    // `target/PROFILE/deps/server-HASH` stands beside `target/PROFILE/examples`.
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().parent().unwrap().join("examples/serve")
}

impl Process {
    fn start(folder: &std::path::Path) -> Self {
        let mut child = Command::new(example())
            .arg(folder)
            .arg("0")
            .env("VIRTUAL_ENV", folder)
            .env("PATH", "")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        let address = line.trim().strip_prefix("Listening on http://").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends a request and reads the answer to its end.
    fn ask(&self, head: &str, body: &[u8]) -> String {
        let mut stream = self.connect();
        write!(
            stream,
            "{head}\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn post(&self, path: &str, body: &str) -> String {
        let head = format!("POST /api/2.0/mlflow/{path} HTTP/1.1\r\nContent-Type: application/json");
        self.ask(&head, body.as_bytes())
    }

    /// Asks the process to stop and waits until it has.
    fn stop(mut self) -> bool {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM)
            .unwrap();
        self.child.wait().unwrap().success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run_id(answer: &str) -> String {
    let json = answer.split("\r\n\r\n").nth(1).unwrap();
    let value: serde_json::Value = serde_json::from_str(json).unwrap_or_else(|_| panic!("{answer}"));
    value["run"]["info"]["run_id"].as_str().unwrap().to_owned()
}

#[test]
fn what_was_answered_is_there_after_a_stop_and_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("w");
    let server = Process::start(&folder);
    let run = run_id(&server.post("runs/create", r#"{"experiment_id":"0"}"#));
    let log = |server: &Process, step: u64| {
        let body = format!(
            r#"{{"run_id":"{run}","metrics":[{{"key":"m","value":{step},"timestamp":{step},"step":{step}}}]}}"#
        );
        let answer = server.post("runs/log-batch", &body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };
    log(&server, 0);
    let tails = || {
        let shards = std::fs::read_dir(folder.join("logs")).unwrap();
        let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
        files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "tail")).count()
    };
    assert_eq!(tails(), 1);
    assert!(server.stop());
    assert_eq!(tails(), 0, "what was in the tail is sealed in the log, and synced");
    let mut server = Process::start(&folder);
    log(&server, 1);
    log(&server, 2);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    drop(server);
    let server = Process::start(&folder);
    let answer =
        server.ask(&format!("GET /api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=m HTTP/1.1"), b"");
    let history: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(history["metrics"].as_array().unwrap().len(), 3, "{answer}");
    assert!(server.stop());
}

#[test]
fn heads_that_are_no_http_are_refused_and_others_are_served_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(&dir.path().join("w"));
    let idle: Vec<TcpStream> = (0..200).map(|_| server.connect()).collect();
    let mut slow = server.connect();
    slow.write_all(b"GET /health HTTP/1.1\r\nHos").unwrap();
    let host = format!("Host: {}", server.address);
    let bad = [
        "GET /health HTTP/1.1\r\n\r\n".to_owned() + "garbage",
        format!("GET /version HTTP/1.1\r\n{host}\r\n{host}\r\n\r\n"),
        format!(
            "POST /api/2.0/mlflow/runs/search HTTP/1.1\r\n{host}\r\nContent-Length: 5\r\nTransfer-Encoding: \
             chunked\r\n\r\n0\r\n\r\n"
        ),
        format!("GET /version HTTP/1.1\r\n{host}\r\nX: {}\r\n\r\n", "a".repeat(200_000)),
        format!("GET /version HTTP/1.1\r\n{host}\r\n{}\r\n", "X: 1\r\n".repeat(200)),
        format!("GET /version HTTP/1.1\r\n{host}\r\n folded: 1\r\n\r\n"),
        format!("GET /{} HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n", "a".repeat(9000)),
    ];
    for request in bad {
        let mut stream = server.connect();
        // The server may close before it has read all of it.
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let fine = answer.starts_with("HTTP/1.1 200") && answer.contains("3.17");
        assert!(!fine, "{}: {answer}", &request[..request.len().min(200)]);
    }
    assert!(server.ask("GET /health HTTP/1.1", b"").ends_with("OK"));
    drop((idle, slow));
}

#[test]
fn requests_of_which_the_end_is_unclear_are_refused_and_the_connection_closed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(&dir.path().join("w"));
    let host = format!("Host: {}", server.address);
    let start = format!("POST /api/2.0/mlflow/runs/search HTTP/1.1\r\n{host}\r\nContent-Type: application/json\r\n");
    // All answers to what is sent over one connection, which the client does not close.
    let answers = |request: &str| {
        let mut stream = server.connect();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let _ = stream.write_all(request.as_bytes());
        let (mut all, mut part) = (Vec::new(), [0; 4096]);
        let closed = loop {
            match stream.read(&mut part) {
                Ok(0) => break true,
                Ok(bytes) => all.extend_from_slice(&part[..bytes]),
                Err(error) => break error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        };
        (String::from_utf8_lossy(&all).into_owned(), closed)
    };
    let behind = format!("GET /version HTTP/1.1\r\n{host}\r\n\r\n");
    let chunks = "2\r\n{}\r\n0\r\n\r\n";
    for (head, body) in [
        ("Content-Length: 12\r\nTransfer-Encoding: chunked\r\n", chunks),
        ("Transfer-Encoding: chunked\r\nContent-Length: 12\r\n", chunks),
        ("Content-Length: 2\r\nContent-Length: 3\r\n", "{} "),
        ("Content-Length: 2, 2\r\n", "{}"),
        ("Content-Length: +2\r\n", "{}"),
        ("Content-Length : 2\r\n", "{}"),
        ("Transfer-Encoding : chunked\r\n", chunks),
        ("Transfer-Encoding: chunked, identity\r\n", chunks),
        ("Transfer-Encoding: identity, chunked\r\n", chunks),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunks),
        ("Transfer-Encoding: \u{b}chunked\r\n", chunks),
        ("X: 1\r\n Content-Length: 2\r\n", "{}"),
        ("X: 1\nContent-Length: 2\r\n", "{}"),
        ("X: 1\rContent-Length: 2\r\n", "{}"),
    ] {
        let (answer, closed) = answers(&format!("{start}{head}\r\n{body}{behind}"));
        assert!(answer.starts_with("HTTP/1.1 400") && closed, "{head:?}: {closed} {answer}");
        assert!(!answer.contains("HTTP/1.1 200"), "{head:?}: {answer}");
    }
    // What is clear is served, one request behind the other.
    for (head, body) in [
        ("Content-Length: 24\r\n", r#"{"experiment_ids":["0"]}"#),
        ("Content-Length: 24\r\nContent-Length: 24\r\n", r#"{"experiment_ids":["0"]}"#),
        ("Transfer-Encoding: Chunked\r\n", "18\r\n{\"experiment_ids\":[\"0\"]}\r\n0\r\n\r\n"),
    ] {
        let last = behind.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        let (answer, closed) = answers(&format!("{start}{head}\r\n{body}{start}{head}\r\n{body}{last}"));
        assert_eq!((answer.matches("HTTP/1.1 200").count(), closed), (3, true), "{head:?}: {answer}");
    }
}

#[test]
fn heads_are_taken_up_to_the_limit_to_the_byte() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(&dir.path().join("w"));
    let status = |request: String| {
        let mut stream = server.connect();
        // The server may close before it has read all of it.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap_or_else(|error| panic!("no answer to {}: {error}", &request[..60]));
        String::from_utf8_lossy(&answer[9..]).into_owned()
    };
    let start = format!("GET /version HTTP/1.1\r\nHost: {}\r\n", server.address);
    let of_bytes =
        |bytes: usize| format!("{start}X: {}\r\n\r\n", "a".repeat(bytes - start.len() - "X: \r\n\r\n".len()));
    for (bytes, expected) in
        [(1000, "200"), (65_535, "200"), (65_536, "200"), (65_537, "431"), (90_000, "431"), (300_000, "431")]
    {
        assert_eq!(status(of_bytes(bytes)), expected, "{bytes} bytes");
    }
    for (headers, expected) in [(100, "200"), (101, "431")] {
        assert_eq!(status(format!("{start}{}\r\n", "X: 1\r\n".repeat(headers - 1))), expected, "{headers} headers");
    }
    for (bytes, expected) in [(32_768, "404"), (32_769, "414")] {
        let address = format!("/{}", "a".repeat(bytes - 1));
        assert_eq!(status(start.replace("/version", &address) + "\r\n"), expected, "an address of {bytes} bytes");
    }
}

#[test]
fn an_upload_that_breaks_off_is_never_seen() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("w");
    let server = Process::start(&folder);
    let path = "/api/2.0/mlflow-artifacts/artifacts/0/r/a.bin";
    for sent in [0usize, 1, 999, 300_000] {
        let mut stream = server.connect();
        write!(stream, "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 400000\r\n\r\n", server.address).unwrap();
        stream.write_all(&vec![7; sent]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(server.ask(&format!("GET {path} HTTP/1.1"), b"").starts_with("HTTP/1.1 404"));
    }
    assert!(server.ask(&format!("PUT {path} HTTP/1.1"), &[7; 400_000]).starts_with("HTTP/1.1 200"));
    assert!(server.stop());
    assert_eq!(std::fs::metadata(folder.join("artifacts/0/r/a.bin")).unwrap().len(), 400_000);
    assert_eq!(std::fs::read_dir(folder.join("artifacts/.stepwell-uploads")).unwrap().count(), 0);
}
