//! Runs the Python suite in `tests/mlflow`: MLflow's own client, and MLflow's own server to compare with, against
//! `stepwell serve`.

#[path = "../../../tests/support/environment.rs"]
mod environment;

use std::process::Command;

#[test]
fn mlflows_client_works_on_stepwell_serve() {
    let Some(python) = environment::python() else { return };
    let output = Command::new(python)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no"])
        .arg(environment::mlflow_suite())
        .env("STEPWELL_BIN", env!("CARGO_BIN_EXE_stepwell"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("MLFLOW_TRACKING_URI")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
}
