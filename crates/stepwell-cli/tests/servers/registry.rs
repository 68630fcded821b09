//! The registry under two servers at once: numbers are given once, and aliases mean the same everywhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::process::{Server, ask};

const THREADS: usize = 4;
const VERSIONS: usize = 12;

fn number(version: &Value) -> u64 {
    let version = &version["version"];
    version.as_u64().or_else(|| version.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{version}"))
}

#[test]
fn two_servers_number_versions_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = dir.path().join("w");
    let servers = [Server::start(&workspace, 0), Server::start(&workspace, 0)];
    // Of all who make the model at once, one does.
    let made: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let make = |at: usize| {
            let address = &servers[at % 2].address;
            scope.spawn(move || ask(address, "POST", "registered-models/create", &json!({ "name": "m" })).unwrap())
        };
        let all: Vec<_> = (0..THREADS).map(make).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.iter().filter(|(status, _)| *status == 200).count(), 1, "{made:?}");
    for (_, answer) in made.iter().filter(|(status, _)| *status != 200) {
        assert_eq!(answer["error_code"], "RESOURCE_ALREADY_EXISTS");
    }
    let numbers = Mutex::new(Vec::new());
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for at in 0..THREADS {
            let (numbers, wrong, servers) = (&numbers, &wrong, &servers);
            scope.spawn(move || {
                for turn in 0..VERSIONS {
                    let server = &servers[(at + turn) % 2];
                    let source = format!("s3://bucket/{at}/{turn}");
                    let made = server.post("model-versions/create", &json!({ "name": "m", "source": source }));
                    let version = number(&made["model_version"]);
                    numbers.lock().unwrap().push(version);
                    // An alias of its own, and one for which all contend; the other server knows both at once.
                    for alias in [format!("own-{at}"), "best".to_owned()] {
                        server.post(
                            "registered-models/alias",
                            &json!({ "name": "m", "alias": alias, "version": version.to_string() }),
                        );
                    }
                    let other = &servers[(at + turn + 1) % 2];
                    let seen = other.get(&format!("registered-models/alias?name=m&alias=own-{at}"));
                    if number(&seen["model_version"]) != version || seen["model_version"]["source"] != source.as_str() {
                        wrong.lock().unwrap().push((version, seen));
                    }
                }
            });
        }
    });
    assert!(wrong.lock().unwrap().is_empty(), "{wrong:?}");
    let numbers = numbers.into_inner().unwrap();
    let given: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(given, (1..=(THREADS * VERSIONS) as u64).collect(), "each number once, without gap");
    assert_eq!(numbers.len(), given.len());
    // The newest goes; its number does not come back, whichever server is asked, also after a kill.
    let newest = (THREADS * VERSIONS) as u64;
    servers[1].post("registered-models/alias", &json!({ "name": "m", "alias": "kept", "version": "1" }));
    let gone = json!({ "name": "m", "version": newest.to_string() });
    servers[0].ok("DELETE", "model-versions/delete", &gone);
    let [first, second] = servers;
    let kept = |server: &Server| number(&server.get("registered-models/alias?name=m&alias=kept")["model_version"]);
    first.kill();
    let made = second.post("model-versions/create", &json!({ "name": "m", "source": "s3://bucket/after" }));
    assert_eq!(number(&made["model_version"]), newest + 1);
    let third = Server::start(&workspace, 0);
    assert_eq!((kept(&second), kept(&third)), (1, 1));
    for server in [&second, &third] {
        let all = server.get("model-versions/search?filter=name%3D%27m%27&max_results=1000");
        let all: BTreeSet<u64> = all["model_versions"].as_array().unwrap().iter().map(number).collect();
        assert_eq!(all, (1..newest).chain([newest + 1]).collect());
        let model = server.get("registered-models/get?name=m")["registered_model"].clone();
        // An alias of the version that went is gone with it; all others mean what they meant.
        let own =
            model["aliases"].as_array().unwrap().iter().filter(|a| a["alias"].as_str().unwrap().starts_with("own-"));
        assert_eq!(own.count(), THREADS - 1, "{model}");
    }
}

#[test]
fn who_moved_a_version_and_who_deleted_a_model_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = dir.path().join("w");
    let server = Server::start(&workspace, 0);
    server.post("registered-models/create", &json!({ "name": "net", "description": "a net" }));
    server.post("registered-models/create", &json!({ "name": "old" }));
    for turn in 0..3 {
        server.post("model-versions/create", &json!({ "name": "net", "source": format!("s3://b/{turn}") }));
    }
    let stage = json!({ "name": "net", "version": "2", "stage": "Production", "archive_existing_versions": false });
    server.post("model-versions/transition-stage", &stage);
    server.post("registered-models/alias", &json!({ "name": "net", "alias": "champion", "version": "2" }));
    server.post("model-versions/set-tag", &json!({ "name": "net", "version": "2", "key": "ok", "value": "yes" }));
    server.ok("DELETE", "model-versions/delete", &json!({ "name": "net", "version": "1" }));
    server.ok("DELETE", "registered-models/delete", &json!({ "name": "old" }));
    let call = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stepwell"));
        let ended = command.arg("-w").arg(&workspace).args(arguments).output().unwrap();
        (
            ended.status.code().unwrap(),
            String::from_utf8(ended.stdout).unwrap(),
            String::from_utf8(ended.stderr).unwrap(),
        )
    };
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&call(arguments).1).unwrap() };
    let who = json(&["--json", "models", "net"])["created_by"].as_str().unwrap().to_owned();
    assert!(!who.is_empty());
    let net = json(&["--json", "models", "net", "--all"]);
    let version = &net["versions"][0];
    assert_eq!(
        (&version["version"], &version["stage"], &version["stage_by"]),
        (&json!(2), &json!("Production"), &json!(who))
    );
    assert_eq!((&version["aliases"], &version["tags"]["ok"]), (&json!(["champion"]), &json!("yes")));
    assert_eq!(net["versions"][1]["stage_by"], "", "nobody moved it");
    assert_eq!(net["deleted_versions"], json!([{ "version": 1, "deleted_by": who }]));
    let all = json(&["--json", "models", "--all"]);
    assert_eq!((&all[1]["name"], &all[1]["deleted_by"]), (&json!("old"), &json!(who)));
    assert_eq!(json(&["--json", "models"]).as_array().unwrap().len(), 1);
    let (status, text, _) = call(&["models"]);
    assert!(status == 0 && text.contains("Production 2") && text.contains("champion"), "{text}");
    assert!(text.contains("1 deleted model is not listed; --all lists all"), "{text}");
    let (_, text, _) = call(&["models", "net"]);
    assert!(text.contains(&who) && text.contains("1 deleted version is not listed"), "{text}");
    let (_, text, _) = call(&["models", "--all"]);
    assert!(text.lines().any(|line| line.starts_with("old") && line.contains(&who)), "{text}");
    let (status, _, told) = call(&["models", "nett"]);
    assert!(status == 3 && told.contains("did you mean \"net\"?"), "{status} {told}");
    assert!(call(&["models", "old"]).2.contains("it was deleted"));
    // Tables keep to 80 columns, whatever is in them.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stepwell"));
    assert!(command.args(["man", "models"]).output().unwrap().status.success());
}

/// Where a change of the registry is lost, whoever asks for models is told so.
#[test]
fn a_damaged_registry_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = dir.path().join("w");
    let server = Server::start(&workspace, 0);
    server.post("registered-models/create", &json!({ "name": "net" }));
    server.post("model-versions/create", &json!({ "name": "net", "source": "s3://b/1" }));
    drop(server);
    lose_last(&workspace);
    for arguments in [&["models"][..], &["models", "net"], &["--json", "models"]] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stepwell"));
        let ended = command.arg("-w").arg(&workspace).args(arguments).output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.code() == Some(1) && told.contains("registry"), "{arguments:?}: {told}");
    }
}

/// The last entry of the registry's journal loses a byte, and so does its anchor. Returns the entry.
fn lose_last(workspace: &Path) -> PathBuf {
    let folders = std::fs::read_dir(workspace.join("registry")).unwrap().map(|entry| entry.unwrap().path());
    let entries = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let last = entries.max().unwrap();
    let anchor = format!("registry.{}", last.file_name().unwrap().to_str().unwrap());
    for path in [&last, &workspace.join("anchors").join(anchor)] {
        let mut bytes = std::fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    last
}

/// A change of the registry is lost: the server's log says so once, answers have the rest, and what would give a number
/// is refused with the way out.
#[test]
fn a_lost_change_is_told_once_and_gives_no_number_again() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = dir.path().join("w");
    let server = Server::start(&workspace, 0);
    server.post("registered-models/create", &json!({ "name": "m" }));
    for _ in 0..2 {
        server.post("model-versions/create", &json!({ "name": "m", "source": "s3://bucket/m" }));
    }
    server.kill();
    let last = lose_last(&workspace);

    let log = dir.path().join("log");
    let command = std::process::Command::new(env!("CARGO_BIN_EXE_stepwell"));
    let server = Server::started_telling(command, &workspace, 0, std::fs::File::create(&log).unwrap().into());
    for _ in 0..3 {
        let found = server.get("model-versions/search?filter=name%3D'm'");
        assert_eq!(found["model_versions"].as_array().unwrap().len(), 1, "{found}");
    }
    let told = std::fs::read_to_string(&log).unwrap();
    let name = last.file_name().unwrap().to_str().unwrap();
    assert_eq!(told.matches(name).count(), 1, "{told}");
    let new = json!({ "name": "m", "source": "s3://bucket/m" });
    let (status, refused) = ask(&server.address, "POST", "model-versions/create", &new).unwrap();
    assert!(
        status >= 500 && refused["message"].as_str().unwrap().contains("repair the workspace first"),
        "{status} {refused}"
    );
}
