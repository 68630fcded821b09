//! Which tree an artifact location names. Only the server's own locations name one: no client's URI is ever followed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepwell::tracking::SERVED_ARTIFACTS;

use super::path::ArtifactPath;
use super::store::ArtifactStore;
use crate::fault::Fault;

/// The trees that the server serves.
#[derive(Debug)]
pub struct Roots {
    /// What the artifact proxy serves.
    pub proxied: Arc<ArtifactStore>,
    /// The default artifact root, when that is a folder of this machine or this server's own proxy by its address; and
    /// the path in its tree that it stands for.
    default: Option<(String, Arc<ArtifactStore>, ArtifactPath)>,
}

impl Roots {
    /// Opens the proxy's folder, and the default artifact root when that is a folder. `within` is the path in the
    /// proxy's folder that the default root stands for, where that is a server's own address.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn open(destination: &Path, default_root: &str, within: Option<&str>) -> io::Result<Self> {
        let proxied = Arc::new(ArtifactStore::open(destination)?);
        let named = default_root.trim_end_matches('/').to_owned();
        let own = |path: &str| ArtifactPath::new(path).map_err(|fault| io::Error::other(fault.message));
        let default = match (within, local_path(default_root)) {
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
    pub fn resolve(&self, location: &str) -> Result<(Arc<ArtifactStore>, ArtifactPath), Fault> {
        if let Some(rest) = location.strip_prefix(SERVED_ARTIFACTS) {
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
            "This server does not serve the place of these artifacts, which the artifact_uri of their run or model \
             names; a client that reaches that place itself can read them.",
        ))
    }
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

    #[test]
    fn only_the_servers_own_locations_are_served() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("default");
        let roots = Roots::open(&dir.path().join("proxied"), root.to_str().unwrap(), None).unwrap();
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
        // A default root that is the server's own address stands for a path in the proxy's folder.
        let own = Roots::open(dir.path(), "http://lab/artifacts/team/", Some("team")).unwrap();
        let (store, path) = own.resolve("http://lab/artifacts/team/0/r").unwrap();
        assert_eq!((store.place(), path.as_str()), (dir.path(), "team/0/r"));
        assert!(own.resolve("http://lab/artifacts/other").is_err());
        assert!(Roots::open(dir.path(), "http://lab/artifacts/../x", Some("../x")).is_err());
    }
}
