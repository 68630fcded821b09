//! Resumes a run that the spool does not have: takes its metadata from the server.

use serde::Deserialize;
use serde_json::Value;
use stepwell::replication::Parcel;
use stepwell::{RunId, Workspace, WriterId};

use crate::error::{Error, Result};
use crate::server::Server;

/// Begins a run, or a logged model, in the spool under the id of one of the server, with what the server says of it.
/// Returns the greatest of its metrics' latest steps, as far as the server was reached.
pub(crate) fn begin(
    workspace: &Workspace,
    server: &Server,
    id: &RunId,
    experiment: Option<&str>,
) -> Result<Option<i64>> {
    let receiver = workspace.receiver(16);
    match known(server, id) {
        Ok(Known { experiment, last_step }) => {
            let experiment = workspace.experiments().get_or_create(&experiment)?;
            for parcel in server.metadata(id)? {
                take(&receiver, parcel, experiment)?;
            }
            receiver.close_all();
            Ok(last_step)
        }
        Err(error) if error.may_pass() => {
            let experiment = workspace.experiments().get_or_create(experiment.unwrap_or("Default"))?;
            // What the server knows of the run is older than what comes now.
            receiver.begin_with_unknown_past(id, experiment)?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Takes metadata. What an author said here before, and what has arrived and left the spool with the run, comes back
/// under another number: that author's own is deleted here for good.
fn take(
    receiver: &stepwell::replication::Receiver,
    mut parcel: Parcel,
    experiment: stepwell::ExperimentId,
) -> Result<()> {
    match receiver.take(&parcel, experiment) {
        Err(stepwell::Error::Deleted { .. }) => {
            parcel.author.writer = WriterId::random();
            receiver.take(&parcel, experiment)?;
        }
        taken => _ = taken?,
    }
    Ok(())
}

/// What the server says of a run.
struct Known {
    /// The name of its experiment.
    experiment: String,
    last_step: Option<i64>,
}

#[derive(Deserialize)]
struct Info {
    experiment_id: String,
}

fn known(server: &Server, id: &RunId) -> Result<Known> {
    #[derive(Deserialize)]
    struct Metric {
        step: Option<Value>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Data {
        metrics: Vec<Metric>,
    }
    #[derive(Deserialize)]
    struct Run {
        info: Info,
        #[serde(default)]
        data: Data,
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
    let found = server.read::<GotRun>(server.call("GET", "/api/2.0/mlflow/runs/get", &query, b"")?);
    let (info, metrics) = match found {
        Ok(GotRun { run }) => (run.info, run.data.metrics),
        Err(Error::Refused { status: 404, .. }) if id.as_str().starts_with("m-") => (model(server, id)?, Vec::new()),
        Err(error) => return Err(error),
    };
    // JSON of MLflow's writes such numbers as texts too.
    let step = |metric: &Metric| {
        let step = metric.step.as_ref()?;
        step.as_i64().or_else(|| step.as_str()?.parse().ok())
    };
    let last_step = metrics.iter().filter_map(step).max();
    let query = format!("experiment_id={}", info.experiment_id);
    let found: GotExperiment = server.read(server.call("GET", "/api/2.0/mlflow/experiments/get", &query, b"")?)?;
    Ok(Known { experiment: found.experiment.name, last_step })
}

/// A logged model's experiment.
fn model(server: &Server, id: &RunId) -> Result<Info> {
    #[derive(Deserialize)]
    struct Model {
        info: Info,
    }
    #[derive(Deserialize)]
    struct Got {
        model: Model,
    }
    let got: Got = server.read(server.call("GET", &format!("/api/2.0/mlflow/logged-models/{id}"), "", b"")?)?;
    Ok(got.model.info)
}
