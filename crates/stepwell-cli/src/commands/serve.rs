//! `stepwell serve`: MLflow's REST API and the pages on the workspace.

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use clap::Args;

use stepwell_server::{Access, Config, Front, Place, serve, ui};

use crate::context::Context;
use crate::failure::{Answer, Failure, Outcome};
use crate::output::escape;

const HELP: &str = "\
Clients find it by MLFLOW_TRACKING_URI=http://127.0.0.1:5000. Anyone on this machine may use it; other machines reach \
it only with --host, which needs --auth (or --insecure-no-auth). A workspace that may only be read is served for \
reading: what would change it is refused with 403 and the reason. Stepwell's own page is at /stepwell, MLflow's UI at \
/mlflow. /health, /ready and /metrics are for probes and Prometheus. SIGTERM or Ctrl-C ends it: requests under way \
finish, and all that was logged is synced.";

/// Serve MLflow's API and web UI in the foreground until SIGTERM or SIGINT. Other processes may log into the
/// workspace and read it meanwhile.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The port to listen on; 0 picks a free one.
    #[arg(short, long, default_value_t = 5000)]
    port: u16,
    /// Listen on a Unix socket instead. Only your own user can connect to it.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["host", "port"])]
    unix_socket: Option<PathBuf>,
    /// The folder that the artifact proxy serves [default: `artifacts` in the workspace].
    #[arg(long, value_name = "DIR")]
    artifacts_destination: Option<String>,
    /// The artifact location of new experiments. With URI, experiment 0 gets URI/0.
    #[arg(long, value_name = "URI", default_value = "mlflow-artifacts:/")]
    default_artifact_root: String,
    /// The first page: `stepwell` for Stepwell's own, `mlflow` for the UI of the installed mlflow package, or the
    /// folder of a built MLflow UI. The other one is at /mlflow or /stepwell.
    #[arg(long, value_name = "PAGE", env = "STEPWELL_UI", default_value = "stepwell")]
    ui: PathBuf,
    /// Require a token (`stepwell token create`).
    #[arg(long)]
    auth: bool,
    /// Let everyone who can reach the server read, change and delete everything.
    #[arg(long, conflicts_with = "auth")]
    insecure_no_auth: bool,
    /// Another host name of this server, with any port or with the given one. `localhost` and the machine's own
    /// addresses are always allowed. Repeatable.
    #[arg(long, value_name = "NAME[:PORT]")]
    allowed_host: Vec<String>,
    /// The path under which a reverse proxy serves this server, such as /stepwell.
    #[arg(long, value_name = "PATH", default_value = "")]
    path_prefix: String,
    /// Accept the whole filter language of `stepwell runs` from clients: OR, NOT, parentheses, BETWEEN, regular
    /// expressions, statistics of metrics.
    #[arg(long)]
    extended_filters: bool,
    /// Run scripts in HTML and SVG artifacts, in a sandbox that cannot reach this server's pages.
    #[arg(long)]
    trust_artifacts: bool,
    /// Refuse model versions whose source does not match this regular expression.
    #[arg(
        long,
        value_name = "REGEX",
        env = "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX",
        hide_env_values = true
    )]
    model_source: Option<String>,
    /// Log every request.
    #[arg(short, long)]
    verbose: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let level = if arguments.verbose { tracing::Level::DEBUG } else { tracing::Level::INFO };
    // Only the server's own words: libraries below it are silent.
    let targets =
        tracing_subscriber::filter::Targets::new().with_target("stepwell", level).with_target("stepwell_server", level);
    let layer =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    {
        use tracing_subscriber::layer::SubscriberExt;
        use tracing_subscriber::util::SubscriberInitExt;
        // Fails only when one is set already.
        let _ = tracing_subscriber::registry().with(layer).with(targets).try_init();
    }
    let access = match (arguments.auth, arguments.insecure_no_auth) {
        (true, _) => Access::Token,
        (_, true) => Access::Anyone,
        _ => Access::Local,
    };
    let (front, ui) = pages(&arguments.ui)?;
    let config = Config {
        host: address(&arguments.host)?,
        port: arguments.port,
        artifacts_destination: arguments.artifacts_destination.as_deref().map(folder).transpose()?,
        default_artifact_root: arguments.default_artifact_root.clone(),
        unix_socket: arguments.unix_socket.clone(),
        ui: ui.clone(),
        front,
        access,
        allowed_hosts: arguments.allowed_host.clone(),
        path_prefix: arguments.path_prefix.trim_end_matches('/').to_owned(),
        extended_filters: arguments.extended_filters,
        trust_artifacts: arguments.trust_artifacts,
        model_source_pattern: arguments.model_source.clone().filter(|pattern| !pattern.is_empty()),
        ..Config::of(&context.dir)
    };
    config.check().map_err(|error| Failure::Usage(error.to_string()))?;
    let json = context.json;
    let prefix = config.path_prefix.clone();
    let mut ready = |place: &Place| {
        let text = if json {
            format!("{}\n", serde_json::json!({ "url": format!("{place}{prefix}"), "ui": ui }))
        } else {
            let ui = told(ui.as_deref(), front, &prefix);
            format!("Listening on {place}{prefix}\n{ui}\n")
        };
        // In one piece; nobody may be reading it.
        let _ = std::io::stdout().write_all(text.as_bytes());
        let _ = std::io::stdout().flush();
    };
    let workspace = config.workspace.display().to_string();
    serve(config, &mut ready)
        .map_err(|error| Failure::failed(format!("cannot serve {}: {error}", escape(&workspace))))?;
    Ok(Answer::Done)
}

/// Which page is first, and the folder of MLflow's UI, if there is one.
fn pages(named: &Path) -> Outcome<(Front, Option<PathBuf>)> {
    match named.to_str() {
        Some("stepwell") => Ok((Front::Stepwell, ui::locate::find(None))),
        Some("mlflow") => match ui::locate::find(None) {
            Some(folder) => Ok((Front::Mlflow, Some(folder))),
            None => Err(Failure::Usage(
                "--ui mlflow: no mlflow is installed here; `pip install mlflow`, or give the folder of its built UI"
                    .to_owned(),
            )),
        },
        _ => Ok((Front::Mlflow, ui::locate::find(Some(named)))),
    }
}

/// Which pages there are.
fn told(mlflow: Option<&Path>, front: Front, prefix: &str) -> String {
    let from = mlflow.map(|folder| escape(&folder.display().to_string()));
    match (from, ui::own::is_built(), front) {
        (Some(from), true, Front::Stepwell) => {
            format!("Web UI: Stepwell's page; MLflow's, from {from}, at {prefix}/mlflow")
        }
        (Some(from), true, Front::Mlflow) => {
            format!("Web UI: MLflow's, from {from}; Stepwell's page at {prefix}/stepwell")
        }
        (Some(from), false, _) => format!("Web UI: MLflow's, from {from}"),
        (None, true, _) => "Web UI: Stepwell's page. For MLflow's beside it, `pip install mlflow` here".to_owned(),
        (None, false, _) => "Web UI: a plain page, as this stepwell was built without `cargo xtask ui`. For MLflow's, \
                             `pip install mlflow` here"
            .to_owned(),
    }
}

/// The address that a name or an address stands for.
fn address(host: &str) -> Outcome<IpAddr> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let found = (host, 0u16).to_socket_addrs().ok().and_then(|mut found| found.next());
    found
        .map(|found| found.ip())
        .ok_or_else(|| Failure::Usage(format!("--host {host:?} is not an address of this machine")))
}

/// The folder that a path or a `file:` URI names.
fn folder(given: &str) -> Outcome<PathBuf> {
    let path = given.strip_prefix("file://").or_else(|| given.strip_prefix("file:")).unwrap_or(given);
    if path.contains("://") {
        return Err(Failure::Usage(format!("--artifacts-destination {given:?}: only folders are served")));
    }
    Ok(PathBuf::from(path))
}
