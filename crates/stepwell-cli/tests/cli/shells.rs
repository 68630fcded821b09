//! Completions in a real bash, manual pages, help, and times of the local zone.

use std::process::Command;

use crate::place::{Place, text};

fn with_runs() -> Place {
    let place = Place::new();
    let id = place.ok(&["log", "--new", "--name", "probe-one", "train/loss=1", "acc=2", "--param", "lr=1"]);
    place.ok(&["log", id.trim(), "--finish"]);
    place.ok(&["log", "--new", "--name", "with blanks", "other=1", "--experiment", "vision"]);
    place
}

/// What bash offers after these words, of which the last is being typed.
fn offered(place: &Place, words: &[&str]) -> Vec<String> {
    place.file("stepwell.bash", place.ok(&["completions", "bash"]));
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source ./stepwell.bash\ncompopt() {{ :; }}\nCOMP_WORDS=({})\nCOMP_CWORD={}\nCOMP_TYPE=9\n\
         _clap_complete_stepwell stepwell '{}' '{}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1,
        words[words.len() - 1],
        words[words.len() - 2],
    );
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_stepwell")).parent().unwrap();
    let path = format!("{}:{}", text(bin), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", &script]).current_dir(place.path(".")).env("PATH", path);
    let output = bash.env("STEPWELL_DIR", place.path("w")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let out = String::from_utf8(output.stdout).unwrap();
    let mut offered: Vec<String> = out.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    offered.sort();
    offered
}

#[test]
fn bash_completes_commands_runs_experiments_and_keys() {
    let place = with_runs();
    let ids: Vec<String> = place
        .json(&["runs", "--order-by", "run_name"])
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["run_id"].as_str().unwrap().to_owned())
        .collect();
    assert!(offered(&place, &["stepwell", "comp"]).contains(&"completions".to_owned()));
    assert_eq!(offered(&place, &["stepwell", "show", "prob"]), ["probe-one"]);
    assert_eq!(
        offered(&place, &["stepwell", "show", &ids[1][..20]]),
        [ids[1].as_str()],
        "a name with blanks is offered by its id"
    );
    let all = offered(&place, &["stepwell", "delete", ""]);
    assert!(ids.iter().all(|id| all.contains(id)) && all.contains(&"probe-one".to_owned()), "{all:?}");
    assert_eq!(offered(&place, &["stepwell", "history", "probe-one", "tr"]), ["train/loss"]);
    assert_eq!(offered(&place, &["stepwell", "history", "probe-one", "o"]), [""; 0], "a metric of another run");
    assert_eq!(offered(&place, &["stepwell", "tail", "probe-one", "--key", "a"]), ["acc"]);
    assert_eq!(offered(&place, &["stepwell", "runs", "-e", "vis"]), ["vision"]);
    assert_eq!(offered(&place, &["stepwell", "runs", "-o", "metrics.a"]), ["metrics.acc"]);
    assert_eq!(offered(&place, &["stepwell", "runs", "-c", "metrics.acc,par"]), ["metrics.acc,params.lr"]);
    assert!(offered(&place, &["stepwell", "runs", "-c", "metrics.acc.m"]).contains(&"metrics.acc.min".to_owned()));
    // The workspace is the call's; one that is not there offers nothing and makes nothing.
    let elsewhere = ["stepwell", "-w", "elsewhere", "show", "prob"];
    assert_eq!(offered(&place, &elsewhere), [""; 0]);
    place.ok(&["-w", "elsewhere", "log", "--new", "--name", "probe-there"]);
    assert_eq!(offered(&place, &elsewhere), ["probe-there"]);
    assert!(!place.path("stepwell").exists());
}

#[test]
fn every_shell_has_a_script() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(place.ok(&["completions", shell]).contains("STEPWELL_COMPLETE"), "{shell}");
    }
    place.fails(&["completions", "nosuch"], 2, &["nosuch"]);
}

#[test]
fn manual_pages_are_there_for_every_command() {
    let place = Place::new();
    let page = place.ok(&["man"]);
    assert!(page.contains(".TH stepwell 1") && page.contains("stepwell\\-runs"), "{page}");
    assert!(place.ok(&["man", "runs"]).contains(".TH stepwell-runs 1"));
    assert!(place.ok(&["man", "experiments", "rename"]).contains(".TH stepwell-experiments-rename 1"));
    place.fails(&["man", "nosuch"], 2, &["no command \"nosuch\""]);
    place.ok(&["man", "--to", "pages/man1"]);
    for name in ["stepwell.1", "stepwell-runs.1", "stepwell-experiments-rename.1", "stepwell-sync.1"] {
        assert!(place.path("pages/man1").join(name).is_file(), "{name}");
    }
}

#[test]
fn help_is_asked_for_in_both_ways() {
    let place = Place::new();
    assert!(place.ok(&["help"]).contains("Usage: stepwell"));
    let help = place.ok(&["help", "runs"]);
    assert!(help.contains("Usage: stepwell runs") && help.contains("Examples:"), "{help}");
    assert!(place.ok(&["help", "experiments", "rename"]).contains("Usage: stepwell experiments rename"));
    assert!(place.ok(&["help", "filter"]).starts_with("# The filter language"));
    place.fails(&["help", "nosuch"], 2, &["nosuch", "filter"]);
}

#[test]
fn times_are_utc_unless_local_ones_are_asked_for() {
    let place = with_runs();
    let id = place.json(&["runs", "-f", "run_name = 'probe-one'"])[0]["run_id"].as_str().unwrap().to_owned();
    place.ok(&["log", &id, "acc=3", "--timestamp", "1700000000000"]);
    let call = |arguments: &[&str], zone: &str| {
        let output = place.command(arguments).env("TZ", zone).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let tail = |option: &[&str], zone: &str| call(&[&["tail", &id, "-n", "9"], option].concat(), zone).1;
    assert!(tail(&[], "Asia/Tokyo").contains("22:13:20"));
    assert!(tail(&["--local"], "UTC-9").contains("07:13:20"), "a zone by its offset");
    assert!(tail(&["--local", "--utc"], "UTC-9").contains("22:13:20"), "the last option counts");
    assert!(call(&["runs"], "UTC-9").1.contains("started (UTC)"));
    assert!(call(&["runs", "--local"], "UTC-9").1.contains("started (local)"));
    let (status, out, err) = call(&["runs", "--local"], "No/Such_Zone");
    assert_eq!((status, out.as_str()), (Some(3), ""), "{err}");
    assert!(err.contains("time zone") && err.contains("TZ"), "{err}");
}
