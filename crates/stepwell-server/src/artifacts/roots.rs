//! Which tree an artifact location names. Only the server's own locations name one: no client's URI is ever followed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::path::ArtifactPath;
use super::store::ArtifactStore;
use crate::http::guard::Hosts;
use crate::wire::fault::Fault;

/// The scheme of what the artifact proxy serves.
const PROXIED: &str = "mlflow-artifacts:";
/// Where the artifact proxy is below this server's address.
const PROXY_PATHS: [&str; 2] = ["/api/2.0/mlflow-artifacts/artifacts", "/ajax-api/2.0/mlflow-artifacts/artifacts"];

/// The trees that the server serves.
#[derive(Debug)]
pub(crate) struct Roots {
    /// What the artifact proxy serves.
    pub(crate) proxied: Arc<ArtifactStore>,
    /// The default artifact root, when that is a folder of this machine or this server's own proxy by its address; and
    /// the path in its tree that it stands for.
    default: Option<(String, Arc<ArtifactStore>, ArtifactPath)>,
}

impl Roots {
    /// Opens the proxy's folder, and the default artifact root when that is a folder. `hosts` are this server's names
    /// and `prefix` the path that a proxy puts before its own.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub(crate) fn open(destination: &Path, default_root: &str, hosts: &Hosts, prefix: &str) -> io::Result<Self> {
        let proxied = Arc::new(ArtifactStore::open(destination)?);
        let named = default_root.trim_end_matches('/').to_owned();
        let own = |path: &str| ArtifactPath::new(path).map_err(|fault| io::Error::other(fault.message));
        let default = match (own_address(default_root, hosts, prefix), local_path(default_root)) {
            (Some(path), _) => Some((named, Arc::clone(&proxied), own(path)?)),
            (None, Some(path)) => Some((named, Arc::new(ArtifactStore::open(&path)?), ArtifactPath::default())),
            (None, None) => None,
        };
        Ok(Self { proxied, default })
    }

    /// The tree and the path in it that an artifact location names.
    ///
    /// # Errors
    /// 400 when it is none of this server's.
    pub(crate) fn resolve(&self, location: &str) -> Result<(Arc<ArtifactStore>, ArtifactPath), Fault> {
        if let Some(rest) = location.strip_prefix(PROXIED) {
            // `mlflow-artifacts:/a`, or with an empty host `mlflow-artifacts:///a`.
            let path =
                rest.strip_prefix("///").or_else(|| rest.strip_prefix('/').filter(|path| !path.starts_with('/')));
            if let Some(path) = path {
                return Ok((Arc::clone(&self.proxied), ArtifactPath::new(path)?));
            }
        }
        if let Some((root, store, base)) = &self.default
            && let Some(path) = location.strip_prefix(root.as_str()).and_then(|rest| rest.strip_prefix('/'))
        {
            return Ok((Arc::clone(store), base.join(&ArtifactPath::new(path)?)?));
        }
        Err(Fault::invalid(
            "This server does not serve the place of these artifacts, which the artifact_uri of their run or model names; a \
             client that reaches that place itself can read them.",
        ))
    }
}

/// The path within the artifact proxy that a location names by this server's own address:
/// `http://HOST/…/artifacts/PATH`, with `https` where a proxy ends TLS, or `mlflow-artifacts://HOST/PATH`.
fn own_address<'a>(location: &'a str, hosts: &Hosts, prefix: &str) -> Option<&'a str> {
    let (scheme, rest) = location.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if !hosts.has(authority) {
        return None;
    }
    let path = match scheme {
        "mlflow-artifacts" => path,
        "http" | "https" => {
            let path = path.strip_prefix(prefix)?;
            PROXY_PATHS.iter().find_map(|proxy| path.strip_prefix(proxy))?
        }
        _ => return None,
    };
    if path.is_empty() { Some(path) } else { path.strip_prefix('/') }
}

/// The folder that a location names: a path, or a `file:` URI without a host.
fn local_path(location: &str) -> Option<PathBuf> {
    if let Some(rest) = location.strip_prefix("file:") {
        let path = rest.strip_prefix("//").unwrap_or(rest);
        return path.starts_with('/').then(|| PathBuf::from(path));
    }
    let scheme = location.split(':').next().filter(|_| location.contains(':')).unwrap_or_default();
    let is_scheme =
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'+');
    (!is_scheme && !location.is_empty()).then(|| PathBuf::from(location))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::guard::Allowed;
    use crate::http::place::Place;

    fn hosts() -> Hosts {
        Hosts::new(&Place::Address("127.0.0.1:5000".parse().unwrap()), vec![Allowed::parse("lab.example").unwrap()])
    }

    #[test]
    fn the_servers_own_address_is_its_own_location() {
        let dir = tempfile::tempdir().unwrap();
        let own = "http://127.0.0.1:5000/api/2.0/mlflow-artifacts/artifacts";
        for (root, prefix, path) in [
            (own, "", "0/r"),
            ("http://localhost:5000/ajax-api/2.0/mlflow-artifacts/artifacts/", "", "0/r"),
            ("https://lab.example/x/api/2.0/mlflow-artifacts/artifacts", "/x", "0/r"),
            ("http://127.0.0.1:5000/api/2.0/mlflow-artifacts/artifacts/team/a", "", "team/a/0/r"),
            ("mlflow-artifacts://lab.example:5000", "", "0/r"),
        ] {
            let roots = Roots::open(dir.path(), root, &hosts(), prefix).unwrap();
            let (store, found) = roots.resolve(&format!("{}/0/r", root.trim_end_matches('/'))).unwrap();
            assert_eq!((store.place(), found.as_str()), (dir.path(), path), "{root}");
            assert!(roots.resolve("http://127.0.0.1:5000/api/2.0/mlflow/x").is_err());
        }
        for other in [
            "http://evil.example/api/2.0/mlflow-artifacts/artifacts",
            "http://127.0.0.1:5000/elsewhere",
            "http://127.0.0.1:5000/api/2.0/mlflow-artifacts/artifactsx",
            "ftp://127.0.0.1:5000/api/2.0/mlflow-artifacts/artifacts",
            "http://lab.example/api/2.0/mlflow-artifacts/artifacts@evil",
        ] {
            let roots = Roots::open(dir.path(), other, &hosts(), "").unwrap();
            assert!(roots.resolve(&format!("{other}/0/r")).is_err(), "{other}");
        }
        // What is not the default root is not a location, though it is this server's address.
        let roots = Roots::open(dir.path(), "mlflow-artifacts:/", &hosts(), "").unwrap();
        assert!(roots.resolve(&format!("{own}/0/r")).is_err());
        assert!(Roots::open(dir.path(), &format!("{own}/../x"), &hosts(), "").is_err());
    }

    #[test]
    fn only_the_servers_own_locations_are_served() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("default");
        let roots = Roots::open(&dir.path().join("proxied"), root.to_str().unwrap(), &hosts(), "").unwrap();
        let named = |location: &str| roots.resolve(location).map(|(store, path)| (store.place().to_owned(), path));
        assert_eq!(named("mlflow-artifacts:/0/r/artifacts").unwrap().1.as_str(), "0/r/artifacts");
        assert_eq!(named("mlflow-artifacts:///0").unwrap().1.as_str(), "0");
        assert_eq!(
            named(&format!("{}/0/r", root.display())).unwrap(),
            (root.clone(), ArtifactPath::new("0/r").unwrap())
        );
        let bad = [
            "/etc",
            "file:///etc",
            "file:x",
            "FILE:///etc",
            "s3://bucket/x",
            "http://169.254.169.254/",
            "gopher://x",
            "",
            "mlflow-artifacts://host/0",
            "mlflow-artifacts:/../x",
            "mlflow-artifacts:/%2e%2e/x",
            "mlflow-artifacts:0",
            "dbfs:/x?../../etc",
            "http:///#/../../../../etc/",
            "mlflow-artifacts:/a#/../b",
        ];
        for location in bad {
            assert!(named(location).is_err(), "{location}");
        }
        assert!(named(&format!("{}-other/0", root.display())).is_err());
        assert!(named(&format!("{}/../x", root.display())).is_err());
    }
}
