//! The place in the artifact proxy's folder that a server's own address names.

use crate::http::guard::Hosts;

/// Where the artifact proxy is below this server's address.
const PROXY_PATHS: [&str; 2] = ["/api/2.0/mlflow-artifacts/artifacts", "/ajax-api/2.0/mlflow-artifacts/artifacts"];

/// The path within the artifact proxy that a location names by this server's own address:
/// `http://HOST/…/artifacts/PATH`, with `https` where a proxy ends TLS, or `mlflow-artifacts://HOST/PATH`. `hosts` are
/// this server's names and `prefix` the path that a proxy puts before its own.
pub(crate) fn within<'a>(location: &'a str, hosts: &Hosts, prefix: &str) -> Option<&'a str> {
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

#[cfg(test)]
mod tests {
    use stepwell_wire::artifacts::Roots;

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
            let roots = Roots::open(dir.path(), root, within(root, &hosts(), prefix)).unwrap();
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
            let roots = Roots::open(dir.path(), other, within(other, &hosts(), "")).unwrap();
            assert!(roots.resolve(&format!("{other}/0/r")).is_err(), "{other}");
        }
        // What is not the default root is not a location, though it is this server's address.
        let roots = Roots::open(dir.path(), "mlflow-artifacts:/", within("mlflow-artifacts:/", &hosts(), "")).unwrap();
        assert!(roots.resolve(&format!("{own}/0/r")).is_err());
        let above = format!("{own}/../x");
        assert!(Roots::open(dir.path(), &above, within(&above, &hosts(), "")).is_err());
    }
}
