//! Trainers as processes: this test program starts itself again, and the copy logs and says what was acknowledged.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::json;
use stepwell::{RunId, Workspace};

use crate::process::ask;

/// Set for a copy that is to be a trainer: what it logs, and by which way.
const ROLE: &str = "STEPWELL_TEST_TRAINER";
/// Points of one batch.
const BATCH: i64 = 20;

/// By which way a trainer logs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way<'a> {
    /// Over HTTP: to the first server as long as it answers, then to the next.
    Rest { addresses: &'a [&'a str] },
    /// Over HTTP, each request to the next server in turn.
    InTurn { addresses: &'a [&'a str] },
    /// By the library, with no server between.
    Library { workspace: &'a Path },
}

/// A trainer and the steps that were acknowledged to it.
pub(crate) struct Trainer {
    child: Child,
    said: BufReader<ChildStdout>,
    pub(crate) run: String,
    pub(crate) key: String,
    /// Every step below this one was acknowledged.
    pub(crate) acknowledged: i64,
}

impl Trainer {
    /// Starts a trainer that logs `key` of `run` for `steps` steps.
    pub(crate) fn start(way: Way<'_>, run: &str, key: &str, steps: i64) -> Self {
        let role = match way {
            Way::Rest { addresses } => json!({ "way": "rest", "addresses": addresses }),
            Way::InTurn { addresses } => json!({ "way": "in turn", "addresses": addresses }),
            Way::Library { workspace } => json!({ "way": "library", "workspace": workspace }),
        };
        let role = json!({ "role": role, "run": run, "key": key, "steps": steps });
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "trainer::a_trainer", "--nocapture", "--test-threads=1"])
            .env(ROLE, role.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said, run: run.to_owned(), key: key.to_owned(), acknowledged: 0 }
    }

    /// Listens until `step` was acknowledged.
    pub(crate) fn wait_for(&mut self, step: i64) {
        while self.acknowledged < step {
            assert!(self.listen(), "the trainer of {} ended after {} steps", self.key, self.acknowledged);
        }
    }

    /// Listens until the trainer ends, which must have logged all.
    pub(crate) fn finish(&mut self) {
        while self.listen() {}
        assert!(self.child.wait().unwrap().success(), "the trainer of {} failed", self.key);
    }

    fn listen(&mut self) -> bool {
        let mut line = String::new();
        if self.said.read_line(&mut line).unwrap() == 0 {
            return false;
        }
        // The harness says things of its own.
        if let Some(step) = line.trim().rsplit("acknowledged ").next().and_then(|step| step.parse().ok()) {
            self.acknowledged = step;
        }
        true
    }
}

impl Drop for Trainer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of a step, which tells later whether a point is what was logged.
pub(crate) fn value(step: i64) -> f64 {
    1.0 / (step as f64 + 3.0)
}

fn acknowledge(step: i64) {
    // To the pipe itself: the harness holds back what is printed.
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nacknowledged {step}").unwrap();
    out.flush().unwrap();
}

/// No test of its own: what a trainer does, in the copy that [`Trainer::start`] starts.
#[test]
fn a_trainer() {
    let Some(role) = std::env::var_os(ROLE) else { return };
    let role: serde_json::Value = serde_json::from_str(role.to_str().unwrap()).unwrap();
    let text = |name: &str| role[name].as_str().unwrap().to_owned();
    let (run, key, steps) = (text("run"), text("key"), role["steps"].as_i64().unwrap());
    let by = &role["role"];
    if by["way"] == "library" {
        let workspace = Workspace::open(Path::new(by["workspace"].as_str().unwrap())).unwrap();
        let mut writer = workspace.writer(&RunId::new(&run).unwrap()).unwrap();
        for step in 0..steps {
            writer.log_metrics(step, Some(step), &[(key.as_str(), value(step))]).unwrap();
            if (step + 1) % BATCH == 0 {
                acknowledge(step + 1);
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        return writer.close().unwrap();
    }
    let addresses: Vec<&str> = by["addresses"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    let mut server = 0;
    let mut send = |path: &str, body: serde_json::Value| {
        // What a client does whose server is gone: the same request again, elsewhere.
        for _ in 0..100 {
            let answer = ask(addresses[server % addresses.len()], "POST", path, &body);
            if answer.is_err() || by["way"] == "in turn" {
                server += 1;
            }
            match answer {
                Ok((200, _)) => return,
                Ok((status @ 400..500, answer)) => panic!("{path} {body}: {status} {answer}"),
                Ok(_) | Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
        }
        panic!("no server took {path} {body}");
    };
    let point = |step: i64| json!({ "key": key, "value": value(step), "timestamp": step, "step": step });
    let mut step = 0;
    while step < steps {
        let end = (step + BATCH).min(steps);
        let metrics: Vec<_> = (step..end).map(point).collect();
        let params = [json!({ "key": format!("{key}.{step}"), "value": step.to_string() })];
        let tags = [json!({ "key": format!("{key}.step"), "value": step.to_string() })];
        send("runs/log-batch", json!({ "run_id": run, "metrics": metrics, "params": params, "tags": tags }));
        acknowledge(end);
        step = end;
        if step < steps {
            let mut one = point(step);
            one["run_id"] = json!(run);
            send("runs/log-metric", one);
            step += 1;
            acknowledge(step);
        }
    }
}
