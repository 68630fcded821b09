//! A server under a filter of system calls that ends the process when it starts a program, forks, or connects to
//! anything, while every route is asked. So nothing that a client sends becomes a command, a deserialiser's gadget or a
//! request of the server's own.
//!
//! The server runs in a process of its own: this test program, started again with only [`the_inside`] to run. Controls
//! do what the filter forbids, and end by its signal.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use serde_json::{Value, json};
use stepwell_server::routes::{TABLE, Verb};
use stepwell_server::{Config, serve};

use crate::crowd::ask;

/// What the process inside does: `serve`, or what is forbidden.
const WHAT: &str = "STEPWELL_TEST_SEALED";
/// Its workspace.
const FOLDER: &str = "STEPWELL_TEST_SEALED_FOLDER";

/// Seals all threads of this process, those to come too.
fn seal() {
    let always = Vec::new;
    // A clone that makes no thread makes a process.
    let forks = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(u64::try_from(libc::CLONE_THREAD).unwrap()),
        0,
    );
    let forks = SeccompRule::new(vec![forks.unwrap()]).unwrap();
    let mut deadly: BTreeMap<i64, Vec<SeccompRule>> =
        [(libc::SYS_execve, always()), (libc::SYS_execveat, always()), (libc::SYS_connect, always())].into();
    deadly.insert(libc::SYS_clone, vec![forks]);
    #[cfg(target_arch = "x86_64")]
    deadly.extend([(libc::SYS_fork, always()), (libc::SYS_vfork, always())]);
    // Its arguments lie in memory, which a filter cannot look at; without it, threads are made by `clone`.
    let absent: BTreeMap<i64, Vec<SeccompRule>> = [(libc::SYS_clone3, always())].into();
    let missing = SeccompAction::Errno(u32::try_from(libc::ENOSYS).unwrap());
    for (rules, action) in [(absent, missing), (deadly, SeccompAction::KillProcess)] {
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch).unwrap();
        let program: BpfProgram = filter.try_into().unwrap();
        seccompiler::apply_filter_all_threads(&program).unwrap();
    }
}

/// What the tests below start; by itself it does nothing.
#[test]
fn the_inside() {
    let Some(what) = std::env::var_os(WHAT) else { return };
    seal();
    match what.to_str().unwrap() {
        "serve" => {
            let folder = std::env::var_os(FOLDER).unwrap();
            let config = Config { port: 0, ..Config::of(Path::new(&folder)) };
            serve(config, &mut |place| println!("\nListening on {place}")).unwrap();
        }
        "exec" => panic!("{}", Command::new("/bin/true").exec()),
        "spawn" => panic!("{:?}", Command::new("/bin/true").status()),
        "connect" => panic!("{:?}", TcpStream::connect("127.0.0.1:9")),
        "thread" => std::thread::spawn(|| ()).join().unwrap(),
        other => panic!("{other}"),
    }
}

/// The process inside, which ends with the test.
struct Inside(Child);

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(what: &str, folder: &Path) -> Inside {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sealed::the_inside", "--nocapture", "--test-threads=1"])
        .env(WHAT, what)
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    Inside(child.unwrap())
}

#[test]
fn the_seal_ends_what_starts_a_program_or_connects() {
    let dir = tempfile::tempdir().unwrap();
    for what in ["exec", "spawn", "connect"] {
        let ended = start(what, dir.path()).0.wait().unwrap();
        assert_eq!(ended.signal(), Some(libc::SIGSYS), "{what}: {ended}");
    }
    assert!(start("thread", dir.path()).0.wait().unwrap().success());
}

#[test]
fn no_route_starts_a_program_or_connects_to_anything() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start("serve", &dir.path().join("w"));
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut places = lines.filter_map(|line| line.strip_prefix("Listening on http://").map(str::to_owned));
    let address: SocketAddr = places.next().expect("the server starts under the seal").parse().unwrap();
    let call = |line: &str, body: &Value| {
        let answer = ask(address, line, &body.to_string());
        let (head, json) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {line}"));
        (head.split(' ').nth(1).unwrap().to_owned(), serde_json::from_str::<Value>(json).unwrap_or_default())
    };
    let post = |path: &str, body: Value| {
        let (status, answer) = call(&format!("POST /api/2.0/mlflow/{path}"), &body);
        assert_eq!(status, "200", "{path}: {answer}");
        answer
    };
    // What clients do all day.
    let experiment = post("experiments/create", json!({ "name": "e" }))["experiment_id"].as_str().unwrap().to_owned();
    let run = post("runs/create", json!({ "experiment_id": experiment }))["run"]["info"]["run_id"].clone();
    let run = run.as_str().unwrap();
    let metrics: Vec<Value> =
        (0..900).map(|step| json!({ "key": "m", "value": 0.5, "timestamp": 1, "step": step })).collect();
    post("runs/log-batch", json!({ "run_id": run, "metrics": metrics, "params": [{ "key": "p", "value": "`id`" }] }));
    post("runs/search", json!({ "experiment_ids": [experiment], "filter": "metrics.m > 0" }));
    let put = format!("PUT /api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/model.pkl");
    assert_eq!(call(&put, &json!("cos\nsystem\n(S'id'\ntR.")).0, "200");
    let mlmodel = format!("PUT /api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/MLmodel");
    assert_eq!(call(&mlmodel, &json!("!!python/object/apply:os.system ['id']")).0, "200");
    post("registered-models/create", json!({ "name": "m" }));
    post("model-versions/create", json!({ "name": "m", "source": format!("runs:/{run}/model.pkl"), "run_id": run }));
    for source in ["http://127.0.0.1:9/x", "ftp://127.0.0.1/x", "s3://b/x", "file:///etc", "$(id)", "|id"] {
        call("POST /api/2.0/mlflow/model-versions/create", &json!({ "name": "m", "source": source, "run_id": run }));
        let body = json!({ "name": source, "artifact_location": source });
        call("POST /api/2.0/mlflow/experiments/create", &body);
    }
    post("runs/update", json!({ "run_id": run, "status": "FINISHED", "end_time": 2 }));
    // Every route there is, with all the names that it may look for.
    let names = format!(
        "run_id={run}&run_uuid={run}&run_ids={run}&experiment_id={experiment}&experiment_name=e&name=m&version=1&path=MLmodel\
         &metric_key=m&alias=a&key=k&artifact_file_path=MLmodel&run={run}&seconds=0"
    );
    let body = json!({
        "run_id": run, "experiment_id": experiment, "experiment_ids": [experiment], "name": "m", "version": "1", "key": "k",
        "value": "1", "timestamp": 1, "stage": "Staging", "alias": "a", "new_name": "n", "max_results": 10, "source": "s3://b/x",
        "query": "{ mlflowGetRun(input: {}) { run { info { runId } } } }", "model_json": "{}",
    });
    for route in TABLE {
        let verb = match route.verb {
            Verb::Get => "GET",
            Verb::Post => "POST",
            Verb::Put => "PUT",
            Verb::Patch => "PATCH",
            Verb::Delete => "DELETE",
        };
        for path in route.paths() {
            let path =
                path.replace("{*path}", "plain.js").replace("{*artifact_path}", "0/a").replace("{model_id}", "m-0");
            let path = path.replace("{tag_key}", "k");
            let body = if verb == "GET" { Value::Null } else { body.clone() };
            call(&format!("{verb} {path}?{names}"), &body);
        }
    }
    assert_eq!(call("GET /health", &Value::Null).0, "200", "the server is still there");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child.0), rustix::process::Signal::TERM).unwrap();
    assert!(child.0.wait().unwrap().success(), "and stops cleanly");
}
