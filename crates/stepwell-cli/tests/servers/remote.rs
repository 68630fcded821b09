//! Runs that go to a server and come from one by the command: `spool`, `sync` both ways, `run --remote`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use stepwell::{NewRun, RunId, RunStatus, Workspace};

use crate::process::Server;

/// A folder of one test, with a spool and workspaces in it.
struct Place(tempfile::TempDir);

struct Ended {
    status: i32,
    out: String,
    err: String,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn call(&self, words: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stepwell"));
        command.args(words).current_dir(self.0.path()).env("STEPWELL_SPOOL", self.path("spools"));
        for name in
            ["STEPWELL_DIR", "STEPWELL_REMOTE", "STEPWELL_TOKEN", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN"]
        {
            command.env_remove(name);
        }
        let done =
            command.env("STEPWELL_CREDENTIALS", self.path("none.json")).env("STEPWELL_WAIT", "3").output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { status: done.status.code().unwrap_or(-1), out: text(done.stdout), err: text(done.stderr) }
    }

    /// A call that ends with this status; what it printed.
    fn ends(&self, status: i32, words: &[&str]) -> String {
        let Ended { status: ended, out, err } = self.call(words);
        assert_eq!(ended, status, "{words:?}: {out}{err}");
        out
    }

    fn json(&self, status: i32, words: &[&str]) -> Value {
        serde_json::from_str(&self.ends(status, &[&["--json"], words].concat())).unwrap()
    }
}

fn place() -> Place {
    Place(tempfile::tempdir().unwrap())
}

/// A run with points, a param and a file.
fn log(workspace: &Workspace, id: &str, loss: f64) {
    let new =
        NewRun { id: Some(RunId::new(id).unwrap()), params: vec![("lr".into(), "0.1".into())], ..NewRun::default() };
    let experiment = workspace.experiments().get_or_create("vision").unwrap();
    let mut run = workspace.create_run(experiment, new).unwrap();
    for step in 0..700 {
        run.log_metric("loss", step, loss + step as f64).unwrap();
    }
    run.finish(RunStatus::Finished).unwrap();
    let folder = workspace.root().join(format!("artifacts/{experiment}/{id}/artifacts/deep"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("model.bin"), id.repeat(10_000)).unwrap();
}

/// The file of a run, wherever its experiment has its number.
fn file(workspace: &Workspace, id: &str) -> Option<String> {
    let run = workspace.find_run(&RunId::new(id).unwrap()).unwrap()?;
    let place = format!("artifacts/{}/{id}/artifacts/deep/model.bin", run.state().experiment);
    std::fs::read_to_string(workspace.root().join(place)).ok()
}

fn count(workspace: &Workspace, id: &str) -> u64 {
    workspace.find_run(&RunId::new(id).unwrap()).unwrap().map_or(0, |run| run.count("loss").unwrap())
}

#[test]
fn a_workspace_goes_to_a_server_and_comes_back() {
    let place = place();
    let own = Workspace::open_or_create(place.path("own")).unwrap();
    for (id, loss) in [("one", 0.0), ("two", 5.0), ("three", 9.0)] {
        log(&own, id, loss);
    }
    let server = Server::start(&place.path("server"), 0);
    let url = format!("http://{}", server.address);
    let there = Workspace::open_or_create(place.path("server")).unwrap();
    // By a filter, then all, then nothing more.
    let some = place.json(0, &["sync", "own", &url, "--filter", "metrics.loss > 703"]);
    assert_eq!((&some["runs"], &some["points"], &some["files"]), (&2.into(), &1400.into(), &2.into()), "{some}");
    assert_eq!(["one", "two", "three"].map(|id| count(&there, id)), [0, 700, 700]);
    let rest = place.json(0, &["sync", "own", &url]);
    assert_eq!((&rest["points"], &rest["files"], &rest["released"]), (&700.into(), &1.into(), &0.into()), "{rest}");
    // Metadata is said again; nothing else goes twice.
    assert!(place.ends(0, &["sync", "own", &url]).contains("0 points, 0 files"));
    assert_eq!(file(&there, "one"), Some("one".repeat(10_000)));
    assert_eq!(own.run_ids().unwrap().len(), 3, "a workspace keeps what it has");
    // The other way: by a filter, then all but files, then the files too.
    let words = ["sync", &url, "here", "--filter", "metrics.loss < 703"];
    let some = place.json(0, &words);
    assert_eq!((&some["seen"], &some["points"], &some["artifacts"]), (&1.into(), &700.into(), &1.into()), "{some}");
    let here = Workspace::open(place.path("here")).unwrap();
    assert_eq!((count(&here, "one"), file(&here, "one")), (700, Some("one".repeat(10_000))));
    let bare = place.json(0, &["sync", &url, "here", "--no-artifacts"]);
    assert_eq!((&bare["seen"], &bare["runs"], &bare["artifacts"]), (&3.into(), &2.into(), &0.into()), "{bare}");
    assert_eq!(file(&here, "two"), None);
    let whole = place.json(0, &["sync", &url, "here"]);
    assert_eq!((&whole["points"], &whole["artifacts"]), (&0.into(), &2.into()), "{whole}");
    assert_eq!(file(&here, "three"), Some("three".repeat(10_000)));
    let run = here.run(&RunId::new("two").unwrap()).unwrap();
    assert_eq!((run.state().param("lr"), run.state().experiment_name.as_str()), (Some("0.1"), "vision"));
    // A filter that says nothing, and a server that is not there.
    assert_eq!(place.call(&["sync", &url, "here", "--filter", "metrics.loss <"]).status, 3);
    drop(server);
    let gone = place.call(&["sync", "own", &url]);
    assert!(gone.status == 3 && gone.err.contains("cannot be reached"), "{}", gone.err);
}

#[test]
fn what_a_spool_has_left_is_listed_and_sent() {
    let place = place();
    assert!(place.ends(0, &["spool"]).contains("no spool"));
    // A command for a server that is not there ends as it ends, and its run stays in the spool.
    let words = ["run", "--remote", "http://127.0.0.1:1", "--experiment", "vision", "--name", "first", "--"];
    let script = ["sh", "-c", "echo said; exit 3"];
    let ended = place.call(&[&words[..], &script[..]].concat());
    assert_eq!((ended.status, ended.out.as_str()), (3, "said\n"), "{}", ended.err);
    let listed = place.json(1, &["spool"]);
    let spool = &listed[0];
    assert_eq!((&spool["server"], spool["runs"].as_array().unwrap().len()), (&"http://127.0.0.1:1".into(), 1));
    let run = &spool["runs"][0];
    assert_eq!((&run["name"], &run["being_written"]), (&"first".into(), &false.into()), "{run}");
    let text = place.ends(1, &["spool"]);
    assert!(text.contains("first") && text.contains("ended"), "{text}");
    assert_eq!(place.call(&["spool", "push"]).status, 3, "it is not there");
    // The folder of the spool goes to a server that is.
    let server = Server::start(&place.path("server"), 0);
    let url = format!("http://{}", server.address);
    let folder = spool["folder"].as_str().unwrap();
    let sent = place.json(0, &["sync", folder, &url]);
    assert_eq!((&sent["runs"], &sent["released"]), (&1.into(), &1.into()), "{sent}");
    assert!(sent["files"].as_u64().unwrap() >= 4, "{sent}");
    let there = Workspace::open(place.path("server")).unwrap();
    let id = RunId::new(run["run_id"].as_str().unwrap()).unwrap();
    let found = there.run(&id).unwrap();
    assert_eq!((found.state().status(), found.state().experiment_name.as_str()), (RunStatus::Failed, "vision"));
    let files = there.root().join(format!("artifacts/{}/{id}/artifacts/run", found.state().experiment));
    assert_eq!(std::fs::read_to_string(files.join("stdout.log")).unwrap(), "said\n");
    assert_eq!(place.json(0, &["spool"])[0]["runs"], Value::Array(Vec::new()));
    assert_eq!(place.json(0, &["sync", folder, &url])["runs"], 0);
}

#[test]
fn a_command_that_runs_for_a_server_is_there_when_it_ends() {
    let place = place();
    let server = Server::start(&place.path("server"), 0);
    let url = format!("http://{}", server.address);
    let words = ["run", "--remote", &url, "--experiment", "vision", "--", "sh", "-c", "env; echo said >&2"];
    let ended = place.call(&words);
    assert!(ended.status == 0 && ended.err.contains("said"), "{}", ended.err);
    let id = ended.out.lines().find_map(|line| line.strip_prefix("STEPWELL_RUN_ID=")).expect("it knows its run");
    assert!(ended.out.contains(&format!("STEPWELL_REMOTE={url}")));
    assert!(ended.out.contains(&format!("MLFLOW_TRACKING_URI=stepwell+{url}")), "{}", ended.out);
    let there = Workspace::open(place.path("server")).unwrap();
    let run = there.run(&RunId::new(id).unwrap()).unwrap();
    assert_eq!(run.state().status(), RunStatus::Finished);
    let files = there.root().join(format!("artifacts/{}/{id}/artifacts/run", run.state().experiment));
    assert_eq!(std::fs::read_to_string(files.join("stderr.log")).unwrap(), "said\n");
    assert!(is_command(&files.join("command.json")));
    // By the variable too; `push` has nothing to do, and says so.
    assert_eq!(place.json(0, &["spool"])[0]["runs"], Value::Array(Vec::new()));
    place.ends(0, &["spool", "push", &url]);
}

fn is_command(path: &Path) -> bool {
    let told: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    told.to_string().contains("echo said")
}
