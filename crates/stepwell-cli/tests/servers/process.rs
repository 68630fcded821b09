//! `stepwell serve` as a process, and plain HTTP to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// How long a test waits for an answer before it fails; no more than a guard against a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A server that runs until it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    /// Starts a server on a workspace; port 0 takes a free one.
    pub(crate) fn start(workspace: &Path, port: u16) -> Self {
        Self::started(Command::new(env!("CARGO_BIN_EXE_stepwell")), workspace, port)
    }

    /// Starts a server by a command that runs `stepwell` with what is added to it.
    pub(crate) fn started(command: Command, workspace: &Path, port: u16) -> Self {
        Self::started_telling(command, workspace, port, Stdio::null())
    }

    /// The same with a place for what it tells on standard error.
    pub(crate) fn started_telling(mut command: Command, workspace: &Path, port: u16, log: Stdio) -> Self {
        let mut child = command
            .arg("-w")
            .arg(workspace)
            .args(["serve", "--port", &port.to_string()])
            // No UI is looked for in a Python environment of this machine.
            .env("VIRTUAL_ENV", workspace)
            .env("PATH", "")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap_or_else(|| panic!("the server says {line:?}"));
        let address = address.trim_end().trim_end_matches('/').split_whitespace().next().unwrap().to_owned();
        Self { child, address }
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Most memory that it had resident at any time, in bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// Memory that it has resident now, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    /// Ends it as the kernel does that runs out of memory: at once, wherever it stands.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A call that must succeed.
    pub(crate) fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        match ask(&self.address, method, path, body) {
            Ok((200, answer)) => answer,
            other => panic!("{method} {path} {body}: {other:?}"),
        }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        self.ok("POST", path, body)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.ok("GET", path, &json!({}))
    }

    /// A new run.
    pub(crate) fn run_in(&self, experiment: &str) -> String {
        let made = self.post("runs/create", &json!({ "experiment_id": experiment, "start_time": 1 }));
        made["run"]["info"]["run_id"].as_str().unwrap().to_owned()
    }

    /// All points of a metric as the server gives them: step and value.
    pub(crate) fn history(&self, run: &str, key: &str) -> Vec<(i64, f64)> {
        let got = self.get(&format!("metrics/get-history?run_id={run}&metric_key={key}"));
        let points = got["metrics"].as_array().cloned().unwrap_or_default();
        points.iter().map(|point| (point["step"].as_i64().unwrap(), point["value"].as_f64().unwrap())).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends one request below `/api/2.0/mlflow/` on a connection of its own; gives status and JSON.
///
/// # Errors
/// When no whole answer comes: whether the call was done is then unknown.
pub(crate) fn ask(address: &str, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
    let broken = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the answer broke off");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let body = if method == "GET" { String::new() } else { body.to_string() };
    let length = body.len();
    let request = format!(
        "{method} /api/2.0/mlflow/{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).map_err(|_| broken())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    Ok((status, serde_json::from_str(body).map_err(|_| broken())?))
}
