//! Builds the wheel as `pip install ./crates/stepwell-python` does, though unoptimized, and runs the Python tests on
//! it.

#[path = "../../../tests/support/environment.rs"]
mod environment;

use std::path::Path;
use std::process::Command;

/// Runs a command of the interpreter; its words are shown where it fails.
fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{err}");
}

#[test]
fn the_wheel_is_built_and_passes_its_tests() {
    let Some(python) = environment::python() else { return };
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let wheels = folder.join("wheels");
    let site = folder.join("wheel");
    let _ = std::fs::remove_dir_all(&wheels);
    let _ = std::fs::remove_dir_all(&site);
    environment::say("building the wheel, which takes minutes the first time");
    let pip = |arguments: &[&str]| {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]).args(arguments);
        pip
    };
    // Maturin is in the environment; its folder leads the path, where pip's builds look for it.
    let bin = python.parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(bin.to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let wheel = pip(&["wheel", "--no-build-isolation", "--no-deps", "--wheel-dir"])
        .arg(&wheels)
        .arg(package)
        .env("PATH", path.unwrap())
        .env("MATURIN_PEP517_ARGS", "--profile dev")
        .env("CARGO_TARGET_DIR", folder.parent().unwrap())
        .output()
        .unwrap();
    assert!(wheel.status.success(), "{}", String::from_utf8_lossy(&wheel.stderr));
    let built = std::fs::read_dir(&wheels).unwrap().next().unwrap().unwrap().path();
    succeed(pip(&["install", "--no-deps", "--target"]).arg(&site).arg(built));
    succeed(
        Command::new(&python)
            .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no"])
            .arg(package.join("tests/python"))
            .current_dir(folder)
            .env("PYTHONPATH", site)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("MLFLOW_TRACKING_URI"),
    );
}
