//! Runs the Python suite in `tests/mlflow`: MLflow's own client, and MLflow's own server to compare with, against
//! `stepwell serve`.
//!
//! The first run makes a virtual environment in the target folder and installs what `requirements.txt` pins. With
//! `STEPWELL_MLFLOW_PYTHON` another interpreter, which has all of it, is taken instead.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says something that must be seen although the test passes.
fn say(what: &str) {
    // Straight to the terminal: the harness keeps back what a passing test prints.
    let _ = writeln!(std::io::stderr(), "\n*** tests/mlflow: {what}\n");
}

fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/mlflow").canonicalize().unwrap()
}

/// An interpreter that has the pinned packages; `None` without Python.
fn python() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("STEPWELL_MLFLOW_PYTHON") {
        return Some(given.into());
    }
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mlflow-environment");
    let python = environment.join("bin/python");
    let wanted = std::fs::read_to_string(suite().join("requirements.txt")).unwrap();
    let done = environment.join("installed.txt");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Some(python);
    }
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment).output();
    match made {
        Ok(made) if made.status.success() => {}
        Ok(made) => {
            say(&format!("SKIPPED: python3 makes no virtual environment: {}", String::from_utf8_lossy(&made.stderr)));
            return None;
        }
        Err(error) => {
            say(&format!("SKIPPED: there is no python3 on this machine ({error}), so MLflow's client was not tried"));
            return None;
        }
    }
    say("installing MLflow, once; this takes some minutes");
    let installed = Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(suite().join("requirements.txt"))
        .output()
        .unwrap();
    assert!(installed.status.success(), "pip: {}", String::from_utf8_lossy(&installed.stderr));
    std::fs::write(done, wanted).unwrap();
    Some(python)
}

#[test]
fn mlflows_client_works_on_stepwell_serve() {
    let Some(python) = python() else { return };
    let output = Command::new(python)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no"])
        .arg(suite())
        .env("STEPWELL_BIN", env!("CARGO_BIN_EXE_stepwell"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("MLFLOW_TRACKING_URI")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
}
