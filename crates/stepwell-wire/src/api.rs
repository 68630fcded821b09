//! The API of one workspace: a method, a path and a body in, a status and JSON out.

use std::io;
use std::path::PathBuf;
use std::sync::{LazyLock, OnceLock};

use stepwell::Workspace;
use stepwell::files::check_no_link;
use stepwell::replication::Receiver;
use stepwell::tracking::{Tracking, TrackingOptions};

use crate::artifacts::Roots;
use crate::call::{Answer, Call, Context, Input, Outcome};
use crate::fault::{Code, Fault};
use crate::json::Shape;
use crate::routes::{Found, Object, Paths, Route, Run};

/// Most bytes of a JSON body, unless [`Settings::body_bytes`] says otherwise.
pub const BODY_BYTES_MAX: u64 = 16 << 20;

/// Most logs that are open for what spools send.
const RELAYED_LOGS_MAX: usize = 256;

/// What the operations need to know beside the workspace.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where a new experiment's artifacts live, each experiment's below it in a folder of its number: a path, or a URI.
    pub artifact_root: String,
    /// The folder of the artifacts that `mlflow-artifacts:/` names.
    pub artifacts: PathBuf,
    /// The path within [`Self::artifacts`] that [`Self::artifact_root`] names, if that is an address of the server that
    /// serves this folder.
    pub artifact_root_within: Option<String>,
    /// Whether the caller works on this machine and with the files themselves. Then answers give the paths of
    /// artifacts, and the files of experiments and model versions may be anywhere.
    pub local: bool,
    /// Whether filters of runs may go beyond MLflow's: OR, NOT, parentheses, BETWEEN, regular expressions, statistics
    /// of metrics.
    pub extended_filters: bool,
    /// A regular expression that must be found in the source of a model version; other sources are refused.
    pub model_source_pattern: Option<String>,
    /// Most bytes of a body.
    pub body_bytes: u64,
}

impl Settings {
    /// Those of a process that works on a workspace itself: artifacts are plain paths below `artifacts` in the
    /// workspace.
    #[must_use]
    pub fn of(workspace: &Workspace) -> Self {
        let artifacts = own_artifacts(workspace);
        Self {
            artifact_root: artifacts.display().to_string(),
            artifacts,
            artifact_root_within: None,
            local: true,
            extended_filters: false,
            model_source_pattern: None,
            body_bytes: BODY_BYTES_MAX,
        }
    }
}

/// MLflow's REST API on a workspace. Threads may share it.
#[derive(Debug)]
pub struct Api {
    tracking: Tracking,
    settings: Settings,
    /// What the source of a model version must match, if the owner chose a pattern.
    model_source: Option<fancy_regex::Regex>,
    /// The trees of artifacts, opened when they are first needed.
    roots: OnceLock<Roots>,
    /// What takes parcels of spools.
    receiver: Receiver,
}

impl Api {
    /// The API of a workspace. Folders of artifacts are opened when they are first needed, see
    /// [`Self::open_artifacts`].
    ///
    /// # Errors
    /// When [`Settings::model_source_pattern`] is not a regular expression.
    pub fn new(workspace: Workspace, settings: Settings) -> io::Result<Self> {
        let model_source = settings.model_source_pattern.as_deref().map(model_source).transpose()?;
        let options = TrackingOptions {
            artifact_root: settings.artifact_root.clone(),
            artifact_folder: settings.local.then(|| settings.artifacts.display().to_string()),
            extended_filters: settings.extended_filters,
            ..TrackingOptions::default()
        };
        let receiver = workspace.receiver(RELAYED_LOGS_MAX);
        let tracking = Tracking::new(workspace, options);
        Ok(Self { tracking, settings, model_source, roots: OnceLock::new(), receiver })
    }

    /// What takes parcels of spools.
    pub(crate) fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// Closes logs that were not written to for a while.
    ///
    /// # Errors
    /// When one cannot be ended.
    pub fn close_idle(&self) -> Result<(), Fault> {
        self.receiver.close_idle();
        Ok(self.tracking.close_idle()?)
    }

    /// Closes all logs, so that they survive a power loss.
    ///
    /// # Errors
    /// When one cannot be ended.
    pub fn close(&self) -> Result<(), Fault> {
        self.receiver.close_all();
        Ok(self.tracking.close()?)
    }

    /// The facade below. Before a process ends, it calls [`Self::close`].
    #[must_use]
    pub fn tracking(&self) -> &Tracking {
        &self.tracking
    }

    /// Opens the folders of artifacts, which are made when they are absent.
    ///
    /// # Errors
    /// When one cannot be opened; the error names it.
    pub fn open_artifacts(&self) -> io::Result<&Roots> {
        if let Some(roots) = self.roots.get() {
            return Ok(roots);
        }
        let Settings { artifacts, artifact_root, artifact_root_within, .. } = &self.settings;
        if *artifacts == own_artifacts(self.tracking.workspace()) {
            // Whoever may write to the workspace could put a link there.
            check_no_link(artifacts)?;
        }
        let roots = Roots::open(artifacts, artifact_root, artifact_root_within.as_deref())?;
        Ok(self.roots.get_or_init(|| roots))
    }

    /// The trees of artifacts, for a call.
    ///
    /// # Errors
    /// 500 when one cannot be opened.
    pub fn artifacts(&self) -> Result<&Roots, Fault> {
        self.open_artifacts().map_err(|error| Fault {
            detail: Some(error.to_string()),
            ..Fault::new(Code::StoreFailed, "The folder of artifacts cannot be opened.")
        })
    }

    /// Whether [`Settings::local`] was chosen.
    pub(crate) fn is_local(&self) -> bool {
        self.settings.local
    }

    pub(crate) fn model_source(&self) -> Option<&fancy_regex::Regex> {
        self.model_source.as_ref()
    }

    /// Answers a request of a process that works on the workspace itself. `path` is as in a URL, `query` what follows
    /// its `?`, and `body` the JSON. The answer is the server's, faults too: their bodies are JSON with `error_code`
    /// and `message`.
    ///
    /// What only a server has (pages, streams of files, its own metrics) is answered with 501.
    #[must_use]
    pub fn answer(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Answer {
        self.answer_in(&(), method, path, query, body)
    }

    /// As [`Self::answer`], for a caller with a context of its own: it may be told more, or be allowed less.
    #[must_use]
    pub fn answer_in(&self, context: &dyn Context, method: &str, path: &str, query: &str, body: &[u8]) -> Answer {
        static PATHS: LazyLock<Paths> = LazyLock::new(|| Paths::new(""));
        let work = || match PATHS.find(method, path) {
            Found::Nothing => Err(Fault::no_endpoint()),
            Found::Others(_) => Err(Fault::no_method()),
            Found::Route(matched) => {
                let input = matched.input(query)?;
                if body.len() as u64 > self.settings.body_bytes {
                    return Err(Fault::too_long(self.settings.body_bytes));
                }
                Shape::of_long(body)?;
                self.run(matched.route, context, &input, body)
            }
        };
        let mut answer = work().unwrap_or_else(|fault| {
            context.failed(&fault);
            (&fault).into()
        });
        if method == "HEAD" {
            answer.body = Vec::new();
        }
        answer
    }

    /// Answers a call of a route. The caller must have checked before who may call it, how long `body` is, and what
    /// [`Shape::of_long`] says of it.
    ///
    /// # Errors
    /// What is told to the client; 501 for what [`Route::server_only`] names.
    pub fn run(&self, route: &Route, context: &dyn Context, input: &Input, body: &[u8]) -> Outcome {
        let outcome = match route.run {
            Run::Call(run) => run(&Call { api: self, context, input, body }),
            Run::Server(_) => Err(Fault::new(Code::NotImplemented, "Only a server answers this: `stepwell serve`.")),
        };
        // An error is told where the call itself meets it.
        if route.is_of_registry()
            && let Ok(lost) = self.tracking.workspace().damage_of_registry()
        {
            context.left_out(&lost);
        }
        outcome
    }

    /// The experiment in which an object is; `None` where there is no such object.
    #[must_use]
    pub fn experiment_of(&self, object: &Object) -> Option<String> {
        match object {
            Object::Experiment(id) => Some(id.clone()),
            Object::Named(name) => self.tracking.get_experiment_by_name(name).ok().map(|found| found.experiment_id),
            // Spools name logged models as they name runs.
            Object::Run(id) => match self.tracking.get_run(id) {
                Ok(run) => Some(run.info.experiment_id),
                Err(_) => self.experiment_of(&Object::Model(id.clone())),
            },
            Object::Model(id) => self.tracking.get_logged_model(id).ok().map(|model| model.experiment_id),
        }
    }

    /// Where a run's artifacts are.
    ///
    /// # Errors
    /// 404 for an unknown run.
    pub fn artifacts_of_run(&self, run_id: &str) -> Result<String, Fault> {
        Ok(self.tracking.get_run(run_id)?.info.artifact_uri)
    }

    /// Where a logged model's files are.
    ///
    /// # Errors
    /// 404 for an unknown model.
    pub fn artifacts_of_model(&self, model_id: &str) -> Result<String, Fault> {
        Ok(self.tracking.get_logged_model(model_id)?.artifact_uri)
    }

    /// Where the files of a run or a logged model are, for spools.
    ///
    /// # Errors
    /// 404 for what is neither.
    pub fn artifacts_of_either(&self, id: &str) -> Result<String, Fault> {
        self.artifacts_of_run(id).or_else(|no_run| self.artifacts_of_model(id).map_err(|_| no_run))
    }

    /// Where the files of a version of a registered model are.
    ///
    /// # Errors
    /// 404 for an unknown one.
    pub fn artifacts_of_version(&self, name: &str, version: &str) -> Result<String, Fault> {
        Ok(self.tracking.get_model_version_download_uri(name, version)?)
    }
}

/// The workspace's own folder of artifacts.
fn own_artifacts(workspace: &Workspace) -> PathBuf {
    let root = workspace.root();
    std::path::absolute(root).unwrap_or_else(|_| root.to_owned()).join("artifacts")
}

/// Compiles the pattern that sources of model versions must match.
fn model_source(pattern: &str) -> io::Result<fancy_regex::Regex> {
    fancy_regex::Regex::new(pattern).map_err(|error| {
        io::Error::other(format!("the pattern {pattern:?} of model sources is not a regular expression: {error}"))
    })
}
