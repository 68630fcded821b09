//! Finding MLflow's built web UI on this machine, by looking where Python packages lie. No program is started.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Where the UI lies in an installed package.
const BUILD: &str = "mlflow/server/js/build";
/// Folders of packages in one of Python's libraries, those of Debian too.
const PACKAGES: [&str; 2] = ["site-packages", "dist-packages"];

/// The folder of MLflow's UI: `given`, else the first one found in the active virtual environment, the Python
/// installations on the `PATH`, the user's own packages, or an installation of pyenv.
#[must_use]
pub fn find(given: Option<&Path>) -> Option<PathBuf> {
    if let Some(given) = given {
        return Some(given.to_owned());
    }
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = of("HOME").map(PathBuf::from);
    let mut prefixes: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(of).map(Into::into).collect();
    prefixes.extend(of("PATH").iter().flat_map(|path| of_path(path)));
    prefixes.extend(home.iter().map(|home| home.join(".local")));
    let pyenv = of("PYENV_ROOT").map(PathBuf::from).or_else(|| home.map(|home| home.join(".pyenv")));
    prefixes.extend(pyenv.iter().flat_map(|root| newest_first(&root.join("versions"))));
    prefixes.iter().find_map(|prefix| in_installation(prefix))
}

/// The installations whose programs stand on a search path: `PREFIX/bin` beside `PREFIX/lib`. Nothing is looked for in
/// the current folder.
fn of_path(path: &OsStr) -> impl Iterator<Item = PathBuf> {
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute() && (folder.join("mlflow").exists() || folder.join("python3").exists()))
        .filter_map(|folder| folder.parent().map(Path::to_owned))
}

/// The UI of an installation of Python, `PREFIX/lib/python3.N/site-packages` and the like.
fn in_installation(prefix: &Path) -> Option<PathBuf> {
    newest_first(&prefix.join("lib"))
        .into_iter()
        .filter(|library| library.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python")))
        .flat_map(|library| PACKAGES.map(|packages| library.join(packages).join(BUILD)))
        .find(|folder| folder.join("index.html").is_file())
}

/// What lies in a folder, the greatest version first; nothing where it cannot be read.
fn newest_first(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    all.sort_by_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let numbers = name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
        std::cmp::Reverse(numbers.collect::<Vec<u32>>())
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(prefix: &Path, library: &str) -> PathBuf {
        let build = prefix.join("lib").join(library).join(BUILD);
        std::fs::create_dir_all(&build).unwrap();
        std::fs::write(build.join("index.html"), "<html>").unwrap();
        build
    }

    #[test]
    fn the_ui_of_an_installation_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(in_installation(dir.path()), None);
        std::fs::create_dir_all(dir.path().join("lib/python3.11/site-packages").join(BUILD)).unwrap();
        assert_eq!(in_installation(dir.path()), None, "a build without its page is none");
        let old = install(dir.path(), "python3.9/site-packages");
        assert_eq!(in_installation(dir.path()), Some(old));
        let new = install(dir.path(), "python3.11/dist-packages");
        assert_eq!(in_installation(dir.path()), Some(new));
    }

    #[test]
    fn installations_are_those_with_a_python_on_the_path() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a/bin", "b/bin"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("b/bin/python3"), "").unwrap();
        let folders = [dir.path().join("a/bin"), PathBuf::from("bin"), PathBuf::new(), dir.path().join("b/bin")];
        let path = std::env::join_paths(folders).unwrap();
        assert_eq!(of_path(&path).collect::<Vec<_>>(), [dir.path().join("b")]);
    }
}
