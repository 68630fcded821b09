//! The Python environment of the tests: made once in the target folder, with what `tests/mlflow/requirements.txt` pins.
//!
//! With `STEPWELL_MLFLOW_PYTHON` another interpreter, which has all of it, is taken instead.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Says something that must be seen although the test passes.
pub(crate) fn say(what: &str) {
    // Straight to the terminal: the harness keeps back what a passing test prints.
    let _ = writeln!(std::io::stderr(), "\n*** Python tests: {what}\n");
}

/// The suite that runs MLflow's own client.
pub(crate) fn mlflow_suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/mlflow").canonicalize().unwrap()
}

/// An interpreter that has the pinned packages; `None` without Python.
pub(crate) fn python() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("STEPWELL_MLFLOW_PYTHON") {
        return Some(given.into());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let environment = folder.join("mlflow-environment");
    let python = environment.join("bin/python");
    let wanted = std::fs::read_to_string(mlflow_suite().join("requirements.txt")).unwrap();
    let done = environment.join("installed.txt");
    // Of two test runs at once one installs and the other waits; the lock goes with the process.
    let lock = std::fs::File::create(folder.join("mlflow-environment.lock")).unwrap();
    if lock.try_lock().is_err() {
        say("another test run is installing MLflow; waiting for it");
        lock.lock().unwrap();
    }
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Some(python);
    }
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment).output();
    match made {
        Ok(made) if made.status.success() => {}
        Ok(made) => {
            let told = [made.stdout, made.stderr].concat();
            say(&format!("SKIPPED: python3 makes no virtual environment: {}", String::from_utf8_lossy(&told)));
            return None;
        }
        Err(error) => {
            say(&format!("SKIPPED: there is no python3 on this machine ({error}), so nothing of Python was tried"));
            return None;
        }
    }
    say("installing MLflow, once: some 500 MB, which takes minutes; pip tells how far it is");
    install(&python);
    std::fs::write(done, wanted).unwrap();
    Some(python)
}

/// Installs what the suite needs. Pip's words go straight to the terminal as they come, and its errors are kept too.
fn install(python: &Path) {
    let mut pip = Command::new(python)
        .args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"])
        .args(["--retries", "3", "--timeout", "30", "--prefer-binary", "-r"])
        .arg(mlflow_suite().join("requirements.txt"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (out, err) = (pip.stdout.take().unwrap(), pip.stderr.take().unwrap());
    let errors = std::thread::scope(|scope| {
        let errors = scope.spawn(|| pass_on(err));
        pass_on(out);
        errors.join().unwrap()
    });
    let status = pip.wait().unwrap();
    assert!(
        status.success(),
        "MLflow could not be installed ({status}). If the package index cannot be reached, set PIP_INDEX_URL to one \
         that can, or STEPWELL_MLFLOW_PYTHON to an interpreter that has tests/mlflow/requirements.txt \
         installed.\n{errors}"
    );
}

/// Hands lines on to the terminal, past the harness, which would keep them back; gives them all at the end.
fn pass_on(from: impl Read) -> String {
    let mut all = String::new();
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        let _ = writeln!(std::io::stderr(), "    {line}");
        all.push_str(&line);
        all.push('\n');
    }
    all
}
