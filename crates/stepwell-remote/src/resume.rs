//! Resumes a run that the spool does not have: takes its metadata from the server.

use serde::Deserialize;
use stepwell::{RunId, Workspace};

use crate::error::Result;
use crate::server::Server;

/// Begins a run in the spool under the id of one of the server, with what the server says of it.
pub(crate) fn begin(workspace: &Workspace, server: &Server, id: &RunId, experiment: Option<&str>) -> Result<()> {
    match known(server, id) {
        Ok(experiment) => {
            let experiment = workspace.experiments().get_or_create(&experiment)?;
            let receiver = workspace.receiver(16);
            for parcel in server.metadata(id)? {
                let _ = receiver.take(&parcel, experiment)?;
            }
            receiver.close_all();
            Ok(())
        }
        Err(error) if error.may_pass() => {
            let experiment = workspace.experiments().get_or_create(experiment.unwrap_or("Default"))?;
            // What the server knows of the run is older than what comes now.
            workspace.receiver(1).begin_after_unknown(id, experiment)?;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The name of the experiment of a run on the server.
fn known(server: &Server, id: &RunId) -> Result<String> {
    #[derive(Deserialize)]
    struct Info {
        experiment_id: String,
    }
    #[derive(Deserialize)]
    struct Run {
        info: Info,
    }
    #[derive(Deserialize)]
    struct GotRun {
        run: Run,
    }
    #[derive(Deserialize)]
    struct Experiment {
        name: String,
    }
    #[derive(Deserialize)]
    struct GotExperiment {
        experiment: Experiment,
    }
    let query = format!("run_id={id}");
    let run: GotRun = server.read(server.call("GET", "/api/2.0/mlflow/runs/get", &query, b"")?)?;
    let query = format!("experiment_id={}", run.run.info.experiment_id);
    let found: GotExperiment = server.read(server.call("GET", "/api/2.0/mlflow/experiments/get", &query, b"")?)?;
    Ok(found.experiment.name)
}
