//! The folders of this machine that hold the artifacts of runs and logged models.

use std::path::{Component, Path, PathBuf};

use stepwell::tracking::SERVED_ARTIFACTS;

use crate::attached::ArtifactFolder;

/// Folders in which a server of MLflow keeps what it proxies, beside its database or its store.
const PROXIED: [&str; 2] = ["mlartifacts", "artifacts"];

/// The folder with the artifacts of a run or model: `own`, where a file store keeps them, else the folder that its URI
/// names. A URI is followed only if the id is a part of its path, as MLflow makes them, so that it names no other
/// folder of the machine. `None` if there is no such folder on this machine, or if it is empty.
pub(crate) fn of(uri: Option<&str>, id: &str, own: Option<PathBuf>, beside: &Path) -> Option<ArtifactFolder> {
    let named = uri.map(|uri| named(uri, beside)).unwrap_or_default();
    let named = named.into_iter().filter(|path| path.components().any(|part| part.as_os_str() == id));
    let is_used = |folder: &PathBuf| std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    let folder = own.into_iter().chain(named).find(is_used)?;
    Some(ArtifactFolder { folder, below: String::new() })
}

/// Whether a location is on this machine, or in a server's keeping beside the store.
pub(crate) fn is_local(location: &str) -> bool {
    location.is_empty() || !named(location, Path::new("")).is_empty()
}

/// The folders that a location may name. Relative ones lie beside the store.
fn named(location: &str, beside: &Path) -> Vec<PathBuf> {
    if let Some(rest) = location.strip_prefix(SERVED_ARTIFACTS) {
        let rest = rest.trim_start_matches('/');
        return PROXIED.iter().map(|folder| beside.join(folder).join(rest)).filter(|path| is_plain(path)).collect();
    }
    let path = match location.strip_prefix("file:") {
        Some(rest) => decoded(rest.strip_prefix("//").unwrap_or(rest)),
        None if location.split_once(':').is_some_and(|(scheme, _)| is_scheme(scheme)) => return Vec::new(),
        None => location.to_owned(),
    };
    let path = beside.join(path);
    if is_plain(&path) { vec![path] } else { Vec::new() }
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn is_plain(path: &Path) -> bool {
    !path.components().any(|part| part == Component::ParentDir)
}

/// A path with its percent signs decoded; as it is where they are none.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (*first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (byte, _) => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_name_folders_of_this_machine_or_none() {
        let beside = Path::new("/data");
        for (location, expected) in [
            ("file:///a/b%20c/r", vec!["/a/b c/r"]),
            ("file:arts/r", vec!["/data/arts/r"]),
            ("/a/r/", vec!["/a/r"]),
            ("./mlruns/0/r", vec!["/data/mlruns/0/r"]),
            ("mlflow-artifacts:/1/r", vec!["/data/mlartifacts/1/r", "/data/artifacts/1/r"]),
            ("s3://b/r", vec![]),
            ("dbfs:/r", vec![]),
            ("/a/../../etc", vec![]),
            ("file:///a/%2e%2e/etc", vec![]),
        ] {
            let expected: Vec<PathBuf> = expected.into_iter().map(PathBuf::from).collect();
            assert_eq!(named(location, beside), expected, "{location}");
        }
        assert!(is_local("") && is_local("file:///x") && !is_local("gs://x/y"));
    }

    #[test]
    fn a_uri_that_does_not_name_the_run_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("r1/artifacts");
        std::fs::create_dir_all(&own).unwrap();
        assert_eq!(of(own.to_str(), "r1", None, dir.path()), None, "nothing is in it");
        std::fs::write(own.join("x"), "1").unwrap();
        assert_eq!(of(own.to_str(), "r1", None, dir.path()).unwrap().folder, own);
        assert_eq!(of(dir.path().to_str(), "r1", None, dir.path()), None);
        assert_eq!(of(Some("s3://b/r1"), "r1", Some(own.clone()), dir.path()).unwrap().folder, own);
    }
}
