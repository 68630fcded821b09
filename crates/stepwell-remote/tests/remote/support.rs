//! A server in a process of its own, which can be killed and started again, and what tests compare.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stepwell::{RunId, Workspace};
use stepwell_remote::{ServerOptions, Spool, SpoolOptions};

/// The variable that makes this binary a server, with the folder of its workspace.
const ROLE: &str = "STEPWELL_TEST_SERVER";

/// A server's process.
pub(crate) struct Served {
    child: Child,
    pub(crate) port: u16,
    folder: std::path::PathBuf,
}

impl Served {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_at(folder, 0)
    }

    /// One that asks for tokens.
    pub(crate) fn start_with_tokens(folder: &Path) -> Self {
        Self::start_as(folder, 0, "1")
    }

    fn start_at(folder: &Path, port: u16) -> Self {
        Self::start_as(folder, port, "")
    }

    fn start_as(folder: &Path, port: u16, tokens: &str) -> Self {
        Self::try_start_by(Command::new("env"), folder, port, tokens).expect("the server says its port")
    }

    /// One that a command starts with the words that are added to it; `None` if it does not come that far.
    pub(crate) fn try_start_by(mut command: Command, folder: &Path, port: u16, tokens: &str) -> Option<Self> {
        let mut child = command
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "support::serves_if_it_is_told_to", "--nocapture"])
            .env(ROLE, folder)
            .env("STEPWELL_TEST_PORT", port.to_string())
            .env("STEPWELL_TEST_TOKENS", tokens)
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = loop {
            let Some(line) = lines.next() else {
                let _ = child.wait();
                return None;
            };
            let line = line.unwrap();
            if let Some((_, port)) = line.split_once("port ") {
                break port.trim().parse().unwrap();
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, port, folder: folder.to_owned() })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again at the same port.
    pub(crate) fn start_again(&mut self) {
        *self = Self::start_at(&self.folder.clone(), self.port);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn serves_if_it_is_told_to() {
    let Some(folder) = std::env::var_os(ROLE) else { return };
    let mut config = stepwell_server::Config::of(Path::new(&folder));
    config.port = std::env::var("STEPWELL_TEST_PORT").unwrap().parse().unwrap();
    if std::env::var("STEPWELL_TEST_TOKENS").is_ok_and(|tokens| !tokens.is_empty()) {
        config.access = stepwell_server::Access::Token;
    }
    serve(config);
}

/// A token to write to one experiment, and one to read all.
pub(crate) fn tokens(folder: &Path, experiment: &str) -> [String; 2] {
    let tokens = stepwell_server::Tokens::of(folder);
    let (now, month) = (stepwell::now_ms(), 30 * 86_400_000);
    let of = |role, experiments| tokens.create("t", role, experiments, now, month).unwrap().1;
    [of(stepwell_server::Role::Write, vec![experiment.to_owned()]), of(stepwell_server::Role::Read, Vec::new())]
}

fn serve(config: stepwell_server::Config) {
    let say =
        |place: &stepwell_server::Place| println!("port {}", place.to_string().rsplit(':').next().unwrap_or_default());
    stepwell_server::serve(config, &mut { say }).unwrap();
}

/// A spool of a server.
pub(crate) fn spool(root: &Path, url: &str) -> Spool {
    let options = SpoolOptions { root: Some(root.to_owned()), ..SpoolOptions::new(ServerOptions::new(url).unwrap()) };
    Spool::open(options).unwrap()
}

/// A server, and a spool of it, in one temporary folder.
pub(crate) fn server_and_spool() -> (tempfile::TempDir, Served, Spool) {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(&dir.path().join("server"));
    let spool = spool(&dir.path().join("spools"), &served.url());
    (dir, served, spool)
}

/// All points of a run: by metric, in order of step, timestamps and bits of values included.
pub(crate) fn points(workspace: &Workspace, run: &RunId) -> BTreeMap<String, Vec<(i64, Option<i64>, u64)>> {
    let Some(run) = workspace.find_run(run).unwrap() else { return BTreeMap::new() };
    let history = |key: &str| {
        let points = run.history(key).unwrap();
        points.iter().map(|point| (point.step, point.timestamp_ms, point.value.to_bits())).collect()
    };
    run.keys().map(|key| (key.to_owned(), history(key))).collect()
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(sent.success(), "kill -{name} {pid}");
}

/// Waits until something is so.
pub(crate) fn until(what: &str, within: Duration, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < within, "{what} took more than {within:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
