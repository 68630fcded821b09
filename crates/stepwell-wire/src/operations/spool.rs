//! The calls between a spool and its server: positions, parcels, and copies in the other direction. They are not part
//! of MLflow's API; docs/remote.md describes them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use stepwell::query::Query;
use stepwell::replication::{Bundle, BundleBuilder, MEDIA_TYPE, Position, Receipt};
use stepwell::{RunId, WriterId};

use crate::api::Api;
use crate::call::{Answer, Call, Context, Outcome};
use crate::fault::{Code, Fault};
use crate::json::check::Check::{Array, Required, Text};
use crate::json::schema::{Field, Kind, many, one, text};
use crate::routes::Object;

/// A writer's points on this side.
#[derive(Serialize)]
struct Place<'a> {
    points: u64,
    counts: &'a BTreeMap<String, u64>,
}

impl<'a> From<&'a Position> for Place<'a> {
    fn from(position: &'a Position) -> Self {
        Self { points: position.points, counts: &position.counts }
    }
}

/// What became of a parcel.
#[derive(Serialize)]
struct Kept<'a> {
    run_id: &'a str,
    writer: String,
    /// `taken`, `elsewhere` or `refused`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    points: Option<u64>,
    /// Params that keep another value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params_kept: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

const POSITIONS: &[Field] = &[text("run_id"), text("experiment_name"), many("writers", Kind::Text)];

/// `POST stepwell/spool/positions`: what is durable here of writers of a run.
pub(crate) fn positions(call: &Call<'_>) -> Outcome {
    let checks =
        &[("run_id", &[Required, Text][..]), ("experiment_name", &[Required, Text]), ("writers", &[Required, Array])];
    let request = call.read(POSITIONS, checks)?;
    let run = run_id(request.text("run_id"))?;
    may_log(call.api, call.context, &run, request.text("experiment_name"))?;
    let mut places = serde_json::Map::new();
    for name in request.texts("writers") {
        let position = call.api.receiver().position(&run, writer(&name)?).map_err(fault)?;
        places.insert(name, json!(Place::from(&position)));
    }
    Answer::json(&json!({ "positions": places }))
}

impl Api {
    /// Takes a bundle of parcels, makes them durable, and says what became of each. A refused parcel does not affect
    /// the others.
    ///
    /// # Errors
    /// 400 when the bundle or any parcel of it does not verify: then nothing is taken. 507 on a full disk, 500 when the
    /// store failed: what was taken stays, and may be sent again.
    pub fn take_parcels(&self, context: &dyn Context, bundle: &Bundle<'_>) -> Outcome {
        let parcels = bundle.parcels().map_err(fault)?;
        let (mut kept, mut points) = (Vec::with_capacity(parcels.len()), 0);
        for parcel in &parcels {
            let (run_id, writer) = (parcel.run.as_str(), parcel.author.writer.to_string());
            let none = Kept {
                run_id,
                writer,
                outcome: "refused",
                points: None,
                params_kept: Vec::new(),
                error_code: None,
                message: None,
            };
            let taken = may_log(self, context, &parcel.run, &parcel.experiment)
                .and_then(|()| self.experiment_to_log(&parcel.experiment, &parcel.run))
                .and_then(|experiment| self.receiver().take(parcel, experiment).map_err(of_store));
            kept.push(match taken {
                Ok(Receipt::Taken { points: there, refused }) => {
                    points += parcel.points();
                    let params_kept = refused.iter().map(ToString::to_string).collect();
                    Kept { outcome: "taken", points: Some(there), params_kept, ..none }
                }
                Ok(Receipt::OutOfPlace(position)) => {
                    Kept { outcome: "elsewhere", points: Some(position.points), ..none }
                }
                // Only the run is to blame.
                Err(refused) if refused.http_status() < 500 => {
                    let (error_code, message) = (Some(refused.code.name()), Some(refused.message));
                    Kept { error_code, message, ..none }
                }
                Err(failed) => return Err(failed),
            });
        }
        self.receiver().sync(parcels.iter().map(|parcel| (&parcel.run, parcel.author.writer))).map_err(fault)?;
        context.stored(points);
        Answer::json(&json!({ "parcels": kept }))
    }

    /// The experiment with this name, which is created if there is none. For a run that exists, the name does not
    /// matter: the run stays in its experiment.
    fn experiment_to_log(&self, name: &str, run: &RunId) -> Result<stepwell::ExperimentId, Fault> {
        let experiments = self.tracking().workspace().experiments();
        loop {
            if let Some(known) = experiments.by_name(name).map_err(fault)? {
                return Ok(known.id);
            }
            if self.tracking().workspace().find_run(run).map_err(fault)?.is_some() {
                return Ok(stepwell::ExperimentId::DEFAULT);
            }
            match experiments.create(name) {
                Ok(id) => return Ok(id),
                // Another spool's parcel came first.
                Err(stepwell::Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(fault(error)),
            }
        }
    }
}

/// Whether the caller may log to a run: for an existing run, its experiment decides; for a new run, the name of its
/// experiment.
fn may_log(api: &Api, context: &dyn Context, run: &RunId, experiment: &str) -> Result<(), Fault> {
    if !context.is_bound() {
        return Ok(());
    }
    let known = Object::Run(run.to_string());
    let object = if api.experiment_of(&known).is_some() { known } else { Object::Named(experiment.to_owned()) };
    context.may_reach(&[object])
}

const LIST: &[Field] = &[text("filter"), text("after")];
/// Runs of one answer.
const RUNS_AT_ONCE: usize = 1000;

/// `POST stepwell/spool/list`: the runs that a filter finds, by id, some at a time.
pub(crate) fn list(call: &Call<'_>) -> Outcome {
    let request = call.read(LIST, &[("filter", &[Text][..]), ("after", &[Text])])?;
    let filter = request.opt_text("filter").unwrap_or_default();
    let query = Query { max_results: usize::MAX, ..Query::filter(filter).map_err(fault)? };
    let found = call.tracking().workspace().search(&query).map_err(fault)?;
    call.context.left_out(&found.unreadable);
    let after = request.opt_text("after").unwrap_or_default();
    let mut ids = found.run_ids().map_err(fault)?;
    ids.retain(|id| id.as_str() > after);
    ids.sort_unstable();
    let runs: Vec<&str> = ids.iter().take(RUNS_AT_ONCE).map(RunId::as_str).collect();
    Answer::json(&json!({ "more": runs.len() < ids.len(), "runs": runs, "left_out": found.unreadable }))
}

const FETCH: &[Field] = &[text("run_id"), one("metadata_only", Kind::Bool)];

/// `POST stepwell/spool/fetch`: parcels of a run that the caller lacks, as a bundle. `have` says what it has of each
/// writer. Empty when it has all.
pub(crate) fn fetch(call: &Call<'_>) -> Outcome {
    let request = call.read(FETCH, &[("run_id", &[Required, Text][..])])?;
    let run = run_id(request.text("run_id"))?;
    let have = call.object()?;
    let have = have.get("have").and_then(serde_json::Value::as_object).cloned().unwrap_or_default();
    let have = have.iter().map(|(name, place)| Ok((writer(name)?, position(place)?)));
    let have = have.collect::<Result<BTreeMap<_, _>, Fault>>()?;
    let mut shipment = call.tracking().workspace().ship(vec![run.clone()]).map_err(fault)?;
    if request.flag("metadata_only") {
        shipment.metadata_only().map_err(fault)?;
    }
    if !have.is_empty() {
        shipment.begin_at(&run, have);
    }
    let mut builder = BundleBuilder::default();
    while shipment.wait(Duration::ZERO).map_err(fault)? {
        while let Some((run, writers)) = shipment.unknown_positions() {
            writers.into_iter().for_each(|writer| shipment.set_position(&run, writer, Position::default()));
        }
        for parcel in shipment.parcels() {
            if !builder.add(&parcel).map_err(fault)? {
                return bundle(builder);
            }
        }
    }
    bundle(builder)
}

fn bundle(builder: BundleBuilder) -> Outcome {
    let body = if builder.is_empty() { Vec::new() } else { builder.close().map_err(fault)? };
    Ok(Answer { status: 200, content_type: MEDIA_TYPE, body })
}

/// A position as its JSON has it.
fn position(given: &serde_json::Value) -> Result<Position, Fault> {
    let wrong = || Fault::invalid("A position is an object with `points`, a number, and `counts`, numbers by metric.");
    let points = given.get("points").and_then(serde_json::Value::as_u64).ok_or_else(wrong)?;
    let counts = given.get("counts").and_then(serde_json::Value::as_object).ok_or_else(wrong)?;
    let counts = counts.iter().map(|(key, count)| Some((key.clone(), count.as_u64()?)));
    Ok(Position { points, counts: counts.collect::<Option<_>>().ok_or_else(wrong)? })
}

fn run_id(given: &str) -> Result<RunId, Fault> {
    RunId::new(given).map_err(fault)
}

/// A writer's number in 32 hex digits.
fn writer(given: &str) -> Result<WriterId, Fault> {
    let number = u128::from_str_radix(given, 16).ok().filter(|_| given.len() == 32);
    number.map(WriterId).ok_or_else(|| Fault::invalid(format!("{given:?} is no writer: 32 hex digits are one.")))
}

/// The fault for an error of a parcel. If the workspace cannot be written, the parcel is not to blame.
fn of_store(error: stepwell::Error) -> Fault {
    let fault = fault(error);
    if fault.code == Code::PermissionDenied { fault.with_status(503) } else { fault }
}

/// An error of the store as it is told.
fn fault(error: stepwell::Error) -> Fault {
    let claimed = matches!(error, stepwell::Error::ParamClaimed { .. });
    let fault = Fault::from(stepwell::tracking::Fault::from(error));
    // Another writer is about to set it, and will have soon.
    if claimed { Fault::new(Code::TemporarilyUnavailable, fault.message) } else { fault }
}
