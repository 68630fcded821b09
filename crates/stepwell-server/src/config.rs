//! What the owner of a server chooses.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::auth::authenticator::Authenticator;
use crate::http::guard::Allowed;

/// Who may use the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Holders of a token. Needed unless the server listens on this machine alone.
    Token,
    /// Whoever reaches a loopback address; another address is refused.
    Local,
    /// Whoever reaches it, from anywhere: the owner said so.
    Anyone,
}

/// Which page is at `/`, where there are both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Front {
    /// MLflow's UI; Stepwell's own page is at `/stepwell`.
    #[default]
    Mlflow,
    /// Stepwell's own page; MLflow's UI is at `/mlflow`.
    Stepwell,
}

/// The choices.
#[derive(Clone, Debug)]
pub struct Config {
    /// The workspace's folder; it is made when it is absent.
    pub workspace: PathBuf,
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// A socket in the file system to listen on instead: only the owner of the process may connect.
    pub unix_socket: Option<PathBuf>,
    /// The folder that the artifact proxy serves; `artifacts` in the workspace when not given.
    pub artifacts_destination: Option<PathBuf>,
    /// Where a new experiment's artifacts live: `mlflow-artifacts:/` goes through the proxy.
    pub default_artifact_root: String,
    /// The folder of MLflow's built web UI.
    pub ui: Option<PathBuf>,
    /// Which page is first.
    pub front: Front,
    /// Who may use the server.
    pub access: Access,
    /// Identifies callers in place of the server's tokens; `access` is then ignored.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// Further names of the server in `Host`: `name` at any port, or `name:port`.
    pub allowed_hosts: Vec<String>,
    /// What a reverse proxy puts before all paths, such as `/stepwell`; empty for nothing. Requests are answered with
    /// and without it.
    pub path_prefix: String,
    /// Whether filters of runs may go beyond MLflow's: OR, NOT, parentheses, BETWEEN, regular expressions, statistics
    /// of metrics.
    pub extended_filters: bool,
    /// Whether HTML and SVG among artifacts are shown and run their scripts, in a sandbox of no origin.
    pub trust_artifacts: bool,
    /// A regular expression that must be found in the source of a model version; other sources are refused.
    pub model_source_pattern: Option<String>,
    /// The limits.
    pub limits: Limits,
}

/// Limits, so that no client can take what others need.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of a JSON body.
    pub body_bytes: u64,
    /// Most bytes of one artifact.
    pub artifact_bytes: u64,
    /// How long a client may take for a request's head.
    pub head: Duration,
    /// Most bytes of JSON bodies that are held at once, of all requests together. Bodies under 64 KiB do not count.
    pub bodies_bytes: u64,
    /// Most bytes that JSON bodies take once they are parsed, of all together. Calls wait for it before they parse.
    pub parsed_bytes: u64,
    /// Most bytes of JSON answers that clients have not fetched yet, of all together. Answers under 64 KiB and those of
    /// calls that change something do not count, and one answer counts for half of this at most.
    pub answers_bytes: u64,
    /// How long a client may send nothing within a body. On average it must also send 1 KiB/s.
    pub body_idle: Duration,
    /// How long a client may take for 16 KiB of an answer, when the answer is longer than what the kernel keeps for it.
    pub answer_idle: Duration,
    /// How long a call may work on the store.
    pub call: Duration,
    /// Most connections at once.
    pub connections: usize,
    /// Most connections at once from one address that is not of this machine.
    pub connections_per_address: usize,
    /// How long requests under way may go on when the server stops.
    pub stop: Duration,
    /// Free bytes of the workspace's disk below which the server says that it is not ready.
    pub reserve_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: stepwell_wire::BODY_BYTES_MAX,
            artifact_bytes: 1 << 40,
            head: Duration::from_secs(10),
            bodies_bytes: 64 << 20,
            parsed_bytes: 96 << 20,
            answers_bytes: 64 << 20,
            body_idle: Duration::from_secs(30),
            answer_idle: Duration::from_secs(30),
            call: Duration::from_secs(60),
            connections: 1024,
            connections_per_address: 256,
            stop: Duration::from_secs(10),
            reserve_bytes: 64 << 20,
        }
    }
}

impl Config {
    /// A server for this machine alone, on port 5000, with artifacts in the workspace.
    #[must_use]
    pub fn of(workspace: &Path) -> Self {
        Self {
            workspace: workspace.to_owned(),
            host: IpAddr::from([127, 0, 0, 1]),
            port: 5000,
            unix_socket: None,
            artifacts_destination: None,
            default_artifact_root: "mlflow-artifacts:/".into(),
            ui: None,
            front: Front::default(),
            access: Access::Local,
            authenticator: None,
            allowed_hosts: Vec::new(),
            path_prefix: String::new(),
            extended_filters: false,
            trust_artifacts: false,
            model_source_pattern: None,
            limits: Limits::default(),
        }
    }

    /// Checks that the choices fit together.
    ///
    /// # Errors
    /// An address that others can reach, with neither tokens nor the owner's explicit permission; a prefix that is not
    /// a path of plain segments; an allowed host that is not a name.
    pub fn check(&self) -> std::io::Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        let segment = |part: &str| part.starts_with(|c: char| c != '.') && part.chars().all(plain);
        let prefix = self.path_prefix.strip_prefix('/');
        if !self.path_prefix.is_empty() && !prefix.is_some_and(|prefix| prefix.split('/').all(segment)) {
            return Err(std::io::Error::other(format!(
                "--path-prefix {:?}: give a path such as /stepwell, of letters, digits and -._~ between single \
                 slashes, without a slash at its end",
                self.path_prefix
            )));
        }
        self.allowed_hosts.iter().try_for_each(|name| Allowed::parse(name).map(drop)).map_err(std::io::Error::other)?;
        let anyone_local = self.access == Access::Local && self.authenticator.is_none();
        if anyone_local && !self.host.is_loopback() && self.unix_socket.is_none() {
            return Err(std::io::Error::other(format!(
                "{} can be reached by others: use --auth and give out tokens (`stepwell token create`), or say \
                 --insecure-no-auth if everybody may read, change and delete",
                self.host
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::guard::{HEAD_BYTES_MAX, URI_BYTES_MAX};
    use stepwell_wire::json::{DEPTH_MAX, VALUES_MAX};

    #[test]
    fn the_page_says_the_limits_that_hold() {
        let page = include_str!("../../../docs/server.md");
        let limits = Limits::default();
        let (mib, seconds) =
            (|bytes: u64| format!("{} MiB", bytes >> 20), |time: Duration| format!("{} s", time.as_secs()));
        let rows = [
            ("address of a request", format!("{} KiB", URI_BYTES_MAX >> 10)),
            (
                "head of a request",
                format!("{} KiB, {} headers", HEAD_BYTES_MAX >> 10, crate::http::listen::HEADERS_MAX),
            ),
            ("time for a head", seconds(limits.head)),
            ("JSON body", mib(limits.body_bytes)),
            ("nesting of a JSON body", format!("{DEPTH_MAX} levels")),
            ("values in a JSON body", format!("{},000", VALUES_MAX / 1000)),
            ("time between bytes of a body", seconds(limits.body_idle)),
            ("JSON bodies over 64 KiB", mib(limits.bodies_bytes)),
            ("parsed JSON bodies", mib(limits.parsed_bytes)),
            (
                "JSON answers over 64 KiB",
                format!("{}; one answer counts for {}", mib(limits.answers_bytes), mib(limits.answers_bytes / 2)),
            ),
            ("time for a client to fetch", seconds(limits.answer_idle)),
            ("one artifact", format!("{} TiB", limits.artifact_bytes >> 40)),
            ("time for a call", seconds(limits.call)),
            ("connections", format!("1,{:03}; {}", limits.connections - 1000, limits.connections_per_address)),
        ];
        for (what, limit) in rows {
            let row = page
                .lines()
                .find(|line| line.starts_with(&format!("| {what}")))
                .unwrap_or_else(|| panic!("no row for {what}"));
            assert!(row.contains(&limit), "{what}: {limit} is not in {row}");
        }
        let rooms = mib(limits.bodies_bytes + limits.parsed_bytes + limits.answers_bytes);
        assert!(page.contains(&format!("{rooms} for bodies, their parsed forms and answers")), "{rooms}");
    }
}
