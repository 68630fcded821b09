//! What the owner of a server chooses.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// The folder of MLflow's built web UI; without it there is a plain page.
    pub ui: Option<PathBuf>,
    /// Who may use the server.
    pub access: Access,
    /// Further names under which the server is asked, as `name` or `name:port`.
    pub allowed_hosts: Vec<String>,
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
    /// Most bytes of JSON answers that clients have not fetched yet, of all together. Answers under 64 KiB and those of calls that
    /// change something do not count, and one answer counts for half of this at most.
    pub answers_bytes: u64,
    /// How long a client may send nothing within a body. Beyond that it has to send 1 KiB/s on the whole.
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
            body_bytes: 16 << 20,
            artifact_bytes: 1 << 40,
            head: Duration::from_secs(10),
            bodies_bytes: 256 << 20,
            answers_bytes: 256 << 20,
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
            access: Access::Local,
            allowed_hosts: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Checks that the choices fit together.
    ///
    /// # Errors
    /// An address that others reach, without tokens and without the owner's word that it is meant so.
    pub fn check(&self) -> std::io::Result<()> {
        if self.access == Access::Local && !self.host.is_loopback() && self.unix_socket.is_none() {
            return Err(std::io::Error::other(format!(
                "{} can be reached by others: use --auth and give out tokens (`stepwell token create`), or say \
                 --insecure-no-auth if everybody may read, change and delete",
                self.host
            )));
        }
        Ok(())
    }
}
