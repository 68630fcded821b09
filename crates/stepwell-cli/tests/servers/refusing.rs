//! What the server may not or cannot write: workspaces that are shared for reading, read-only disks, full disks. It
//! reads on, says why nothing is written, in a way that clients do not ask again, and tells no place of the machine.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::process::{Server, ask};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

/// Whether this test runs as root, who alone may become another user or mount.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Says that something was not tried, past the harness.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "\n*** tests/servers: SKIPPED: {why}\n");
}

/// Copies the program to where every user may run it.
fn program(folder: &Path) -> PathBuf {
    let copy = folder.join("stepwell");
    std::fs::copy(env!("CARGO_BIN_EXE_stepwell"), &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

/// Lets everybody read a folder and what is in it.
fn share(folder: &Path) {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            share(&path);
        } else if path.file_name().is_some_and(|name| name != "stepwell") {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}

/// A workspace with a run of some points, and the run's id.
fn filled(workspace: &Path, with_file: bool) -> String {
    let server = Server::start(workspace, 0);
    let run = server.run_in("0");
    server.post(
        "runs/log-batch",
        &json!({ "run_id": run, "metrics": [{ "key": "m", "value": 0.5, "timestamp": 1, "step": 1 }] }),
    );
    server.post("registered-models/create", &json!({ "name": "known" }));
    if with_file {
        let put = format!("/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/a.txt");
        assert_eq!(request(&server, "PUT", &put, "hi").0, 200);
    }
    server.post("runs/update", &json!({ "run_id": run, "status": "FINISHED", "end_time": 2 }));
    run
}

/// One request at any path; status and body.
fn request(server: &Server, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n",
        server.address,
        body.len()
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Every kind of change, as clients ask for it.
fn changes(run: &str) -> Vec<(&'static str, Value)> {
    let point = json!({ "key": "m", "value": 1, "timestamp": 2, "step": 2 });
    vec![
        ("runs/create", json!({ "experiment_id": "0" })),
        ("experiments/create", json!({ "name": "new" })),
        ("experiments/set-experiment-tag", json!({ "experiment_id": "0", "key": "k", "value": "v" })),
        ("runs/log-batch", json!({ "run_id": run, "metrics": [point] })),
        ("runs/log-parameter", json!({ "run_id": run, "key": "p", "value": "1" })),
        ("runs/set-tag", json!({ "run_id": run, "key": "t", "value": "1" })),
        ("runs/update", json!({ "run_id": run, "status": "FAILED", "end_time": 3 })),
        ("runs/delete", json!({ "run_id": run })),
        ("registered-models/create", json!({ "name": "new" })),
        ("registered-models/set-tag", json!({ "name": "known", "key": "k", "value": "v" })),
        ("logged-models", json!({ "experiment_id": "0", "name": "m" })),
    ]
}

/// Reads everything there is, and is refused every change.
fn reads_and_refuses(server: &Server, run: &str, place: &Path, status: u16, code: &str) {
    let found = server.post("runs/search", &json!({ "experiment_ids": ["0"], "filter": "metrics.m > 0" }));
    assert_eq!(found["runs"][0]["info"]["run_id"], run);
    assert_eq!(server.history(run, "m").len(), 1);
    assert_eq!(server.get("registered-models/get?name=known")["registered_model"]["name"], "known");
    assert_eq!(server.get("experiments/get?experiment_id=0")["experiment"]["name"], "Default");
    for path in ["/health", "/", "/metrics", "/version"] {
        assert_eq!(request(server, "GET", path, "").0, 200, "{path}");
    }
    let place = place.to_str().unwrap();
    for (path, body) in changes(run) {
        let (got, answer) = ask(&server.address, "POST", path, &body).unwrap();
        assert_eq!((got, answer["error_code"].as_str()), (status, Some(code)), "{path}: {answer}");
        assert!(!answer.to_string().contains(place), "{path}: {answer}");
    }
    let (got, answer) = request(server, "PUT", "/api/2.0/mlflow-artifacts/artifacts/0/new.txt", "x");
    assert_eq!(got, status, "{answer}");
    assert!(answer.contains(code) && !answer.contains(place), "{answer}");
    // Nothing of it was done.
    assert_eq!(server.history(run, "m").len(), 1);
    assert_eq!(request(server, "GET", "/ready", "").0, if status == 507 { 503 } else { 200 });
}

#[test]
fn a_workspace_of_another_user_is_served_for_reading() {
    if !is_root() {
        return skipped("only root can become another user, so that reading another user's workspace was not tried");
    }
    for with_file in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let workspace = dir.path().join("w");
        let run = filled(&workspace, with_file);
        if !with_file {
            // As in a workspace that was never served.
            std::fs::remove_dir_all(workspace.join("artifacts")).unwrap();
        }
        let program = program(dir.path());
        share(dir.path());
        let mut command = Command::new(program);
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
        let server = Server::started(command, &workspace, 0);
        reads_and_refuses(&server, &run, dir.path(), 403, "PERMISSION_DENIED");
        let listed = server.get(&format!("artifacts/list?run_id={run}"));
        assert_eq!(listed["files"].as_array().map_or(0, Vec::len), usize::from(with_file), "{listed}");
        let (status, file) = request(&server, "GET", &format!("/get-artifact?run_id={run}&path=a.txt"), "");
        assert_eq!(status, if with_file { 200 } else { 404 }, "{file}");
    }
}

#[test]
fn what_cannot_be_served_is_told_with_its_path() {
    if !is_root() {
        return skipped("only root can become another user, so that starting where nothing may be made was not tried");
    }
    let dir = tempfile::tempdir().unwrap();
    let program = program(dir.path());
    share(dir.path());
    let workspace = dir.path().join("w");
    let mut command = Command::new(program);
    let output =
        command.uid(NOBODY).gid(NOBODY).arg("-w").arg(&workspace).args(["serve", "--port", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains(workspace.to_str().unwrap()) && told.contains("ermission denied"), "{told}");
}

#[test]
fn a_port_in_use_is_told_with_who_uses_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(&dir.path().join("w"), 0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepwell"));
    let second = command.arg("-w").arg(dir.path().join("v")).args(["serve", "--port", &first.port().to_string()]);
    let output = second.output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains(&format!("port {} is in use by process", first.port())) && told.contains("--port"), "{told}");
}

/// A server in a mount namespace of its own, after a command of the shell in which `$1` is the workspace.
fn mounted(workspace: &Path, before: &str) -> Option<Server> {
    let script = format!("{before}; shift; exec \"$0\" \"$@\"");
    let mut command = Command::new("/usr/bin/unshare");
    command.args(["-m", "/bin/sh", "-c", &format!("set -e; PATH=/usr/sbin:/usr/bin:/sbin:/bin; {script}")]);
    command.arg(env!("CARGO_BIN_EXE_stepwell")).arg(workspace);
    let probe = Command::new("/usr/bin/unshare").args(["-m", "/bin/true"]).output();
    if !is_root() || !probe.is_ok_and(|probe| probe.status.success()) {
        skipped("nothing can be mounted here, so that read-only and full disks were not tried");
        return None;
    }
    Some(Server::started(command, workspace, 0))
}

#[test]
fn a_workspace_on_a_read_only_disk_is_served_for_reading() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = dir.path().join("w");
    let run = filled(&workspace, true);
    let Some(server) = mounted(&workspace, "mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"") else {
        return;
    };
    reads_and_refuses(&server, &run, dir.path(), 403, "PERMISSION_DENIED");
    let (status, file) = request(&server, "GET", &format!("/get-artifact?run_id={run}&path=a.txt"), "");
    assert_eq!((status, file.as_str()), (200, "hi"));
}

#[test]
fn a_full_disk_is_told_and_reading_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = dir.path().join("w");
    let run = filled(&workspace, false);
    // A small disk with a copy of the workspace, and a file that takes the rest.
    let before = "mkdir -p \"$1.disk\"; mount -t tmpfs -o size=4m none \"$1.disk\"; cp -a \"$1\"/. \"$1.disk\"; \
                  mount --bind \"$1.disk\" \"$1\"; head -c 8000000 /dev/zero >\"$1.disk/artifacts/filler\" 2>/dev/null || true";
    let Some(server) = mounted(&workspace, before) else { return };
    reads_and_refuses(&server, &run, dir.path(), 507, "RESOURCE_EXHAUSTED");
}
