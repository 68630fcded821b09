//! A route: its methods and paths, what it requires of its caller, and what it does.

use super::access::{Need, Reach};
use crate::call::{Call, Outcome};

/// A method of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum Verb {
    #[default]
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The methods of HTTP by which it is asked. A HEAD is answered as the GET that it stands for.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Get => &["GET", "HEAD"],
            Self::Post => &["POST"],
            Self::Put => &["PUT"],
            Self::Patch => &["PATCH"],
            Self::Delete => &["DELETE"],
        }
    }

    /// The verb of a method.
    pub(super) fn of(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.names().contains(&method))
    }
}

/// Where a route's path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// `/api/V.0` for clients and `/ajax-api/V.0` for the UI. What is below `/mlflow/` in version 2 is at `preview`
    /// too, where clients before MLflow 1.0 ask for it.
    Both(u8),
    /// `/ajax-api/V.0` alone.
    Ajax(u8),
    /// Nothing before it.
    Root,
}

/// The kind of work that a route does. A server limits each kind separately, so that searches never delay logging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Logging and edits of runs: short, and never behind anything else.
    Log,
    /// Reads and edits of one object.
    Object,
    /// Searches, histories, plots.
    Search,
    /// Files.
    Artifact,
}

/// What only a server does: pages, files as streams, and what it says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerOnly {
    /// The first page of the UI.
    Index,
    /// A file of MLflow's UI, or of the plain page.
    StaticFile,
    /// Stepwell's own page.
    OwnPage,
    /// The first page of MLflow's UI.
    MlflowPage,
    /// A file of Stepwell's own page.
    PageFile,
    /// What changes in the workspace, as events.
    Follow,
    /// Whether it should get work now.
    Ready,
    /// What it measured of itself.
    Metrics,
    /// Makes a token of an hour from the caller's own.
    HourlyToken,
    /// Sends an artifact through the proxy.
    Download,
    /// Stores an artifact through the proxy.
    Upload,
    /// Sends an artifact of a run.
    RunArtifact,
    /// Sends an artifact of a logged model.
    ModelArtifact,
    /// Sends an artifact of a version of a registered model.
    VersionArtifact,
    /// Stores an artifact of a run.
    UploadToRun,
    /// Takes a bundle of a spool's parcels.
    Parcels,
    /// Says how much of a spool's file is there.
    PartOfFile,
    /// Takes a piece of a spool's file.
    TakePiece,
}

/// What a route does.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// A call: JSON in, JSON out.
    Call(fn(&Call<'_>) -> Outcome),
    /// Something that takes a server.
    Server(ServerOnly),
}

/// A route.
#[derive(Clone, Copy)]
pub struct Route {
    /// Its method.
    pub verb: Verb,
    /// Where its path begins.
    pub at: At,
    /// Its path, with `{name}` and `{*rest}`.
    pub path: &'static str,
    /// What it asks of the caller.
    pub need: Need,
    /// Where its call names what it reaches.
    pub reach: Reach,
    /// In which lane it works.
    pub lane: Lane,
    pub(crate) run: Run,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?} {}", self.verb, self.at, self.path)
    }
}

impl Route {
    /// What the server itself does here; `None` where [`Api::run`](crate::Api::run) answers.
    #[must_use]
    pub fn server_only(&self) -> Option<ServerOnly> {
        match self.run {
            Run::Call(_) => None,
            Run::Server(what) => Some(what),
        }
    }

    /// Whether it asks for registered models or their versions.
    pub(crate) fn is_of_registry(&self) -> bool {
        ["/mlflow/registered-models", "/mlflow/model-versions"].iter().any(|of| self.path.starts_with(of))
    }

    /// All paths under which it answers.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let Self { path, .. } = self;
        match self.at {
            At::Both(2) if path.starts_with("/mlflow/") => {
                ["api/2.0", "ajax-api/2.0", "api/2.0/preview", "ajax-api/2.0/preview"]
                    .map(|start| format!("/{start}{path}"))
                    .to_vec()
            }
            At::Both(version) => vec![format!("/api/{version}.0{path}"), format!("/ajax-api/{version}.0{path}")],
            At::Ajax(version) => vec![format!("/ajax-api/{version}.0{path}")],
            At::Root => vec![(*path).to_owned()],
        }
    }
}
