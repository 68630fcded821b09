//! Finding MLflow's built web UI on this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where the UI lies in an installed package.
const BUILD: &str = "server/js/build";
/// How long Python may take.
const PYTHON_LIMIT: Duration = Duration::from_secs(10);
/// Says where the package is without importing it. Nothing is looked for in the current folder.
const SCRIPT: &str = "import sys, importlib.util
sys.path = [place for place in sys.path if place]
found = importlib.util.find_spec('mlflow')
print(found.submodule_search_locations[0] if found and found.submodule_search_locations else '')";

/// The folder of MLflow's UI: `given`, else in the virtual environment, else where Python finds the package.
#[must_use]
pub fn find(given: Option<&Path>) -> Option<PathBuf> {
    if let Some(given) = given {
        return Some(given.to_owned());
    }
    let active = std::env::var_os("VIRTUAL_ENV").and_then(|environment| in_environment(Path::new(&environment)));
    active.or_else(|| by_python("python3"))
}

fn is_ui(folder: &Path) -> bool {
    folder.join("index.html").is_file()
}

fn in_environment(environment: &Path) -> Option<PathBuf> {
    let libraries = std::fs::read_dir(environment.join("lib")).ok()?;
    libraries
        .flatten()
        .map(|library| library.path().join("site-packages/mlflow").join(BUILD))
        .find(|folder| is_ui(folder))
}

fn by_python(python: &str) -> Option<PathBuf> {
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .current_dir("/")
        .env_remove("PYTHONSTARTUP")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let step = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if waited < PYTHON_LIMIT => {
                std::thread::sleep(step);
                waited += step;
            }
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    };
    let output = child.wait_with_output().ok().filter(|_| status.success())?;
    let package = String::from_utf8(output.stdout).ok()?;
    let folder = Path::new(package.trim()).join(BUILD);
    (folder.is_absolute() && is_ui(&folder)).then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ui_of_an_environment_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(in_environment(dir.path()), None);
        let build = dir.path().join("lib/python3.11/site-packages/mlflow").join(BUILD);
        std::fs::create_dir_all(&build).unwrap();
        assert_eq!(in_environment(dir.path()), None);
        std::fs::write(build.join("index.html"), "<html>").unwrap();
        assert_eq!(in_environment(dir.path()), Some(build));
        assert_eq!(by_python("no-such-program-by-that-name"), None);
    }
}
