//! Which runs a feed is about: ids, or a filter over experiments. Each is checked against the caller's scope.

use stepwell::query::{Clause, Expr, Query, TextAttribute, TextTest, View};
use stepwell::{ExperimentId, RunId};

use super::failed;
use crate::call::Call;
use crate::fault::Fault;
use crate::json::schema::{Field, Fields, Kind, int, many, text};
use crate::routes::Object;

/// Most runs of one request.
pub(crate) const RUNS_MAX: usize = 1000;

/// What selects runs.
pub(crate) const SELECTION: [Field; 7] = [
    many("run_ids", Kind::Text),
    many("experiment_ids", Kind::Text),
    text("filter"),
    many("order_by", Kind::Text),
    text("view"),
    int("offset"),
    int("max_results"),
];

/// The query of a selection; ids of runs narrow it.
///
/// # Errors
/// 400 for an invalid filter, with the column; 403 for experiments out of the caller's scope.
pub(crate) fn query(call: &Call<'_>, request: &Fields, default_max: usize) -> Result<Query, Fault> {
    let ids = request.texts("experiment_ids");
    if call.context.is_bound() {
        let objects: Vec<Object> = ids.iter().cloned().map(Object::Experiment).collect();
        call.context.may_reach(&objects)?;
    }
    let number = |id: &String| {
        let number = id.parse().map_err(|_| Fault::invalid(format!("'{id}' is not the id of an experiment.")))?;
        Ok::<_, Fault>(ExperimentId(number))
    };
    let view = match request.text("view") {
        "" | "active" => View::ActiveOnly,
        "deleted" => View::DeletedOnly,
        "all" => View::All,
        other => return Err(Fault::invalid(format!("view '{other}' is none of active, deleted, all."))),
    };
    let max = request.int("max_results").map_or(Ok(default_max), |max| {
        let max = usize::try_from(max).ok().filter(|max| *max <= RUNS_MAX);
        max.ok_or_else(|| Fault::invalid(format!("max_results must be between 0 and {RUNS_MAX}.")))
    })?;
    let offset = usize::try_from(request.int("offset").unwrap_or(0));
    let parsed = Query::parse(request.text("filter"), &request.texts("order_by")).map_err(failed)?;
    let named = request.texts("run_ids");
    let filter = match (named.is_empty(), parsed.filter) {
        (true, filter) => filter,
        (false, filter) => {
            let named = Expr::Clause(Clause::Text(TextAttribute::RunId, TextTest::In(named)));
            Some(filter.map_or_else(|| named.clone(), |filter| Expr::And(vec![named.clone(), filter])))
        }
    };
    Ok(Query {
        filter,
        experiments: ids.iter().map(number).collect::<Result<_, _>>()?,
        view,
        max_results: max,
        offset: offset.map_err(|_| Fault::invalid("offset must be at least 0."))?,
        order_by: parsed.order_by,
        ..Query::default()
    })
}

/// The runs that a request names, or those of its filter; in order.
///
/// # Errors
/// As [`query`]; 403 for runs out of the caller's scope.
pub(crate) fn runs(call: &Call<'_>, request: &Fields, default_max: usize) -> Result<Vec<RunId>, Fault> {
    let ids = request.texts("run_ids");
    if ids.is_empty() {
        let query = query(call, request, default_max)?;
        if query.max_results == 0 {
            return Ok(Vec::new());
        }
        let found = call.tracking().workspace().search(&query).map_err(failed)?;
        call.context.left_out(&found.unreadable);
        return found.run_ids().map_err(failed);
    }
    if ids.len() > RUNS_MAX {
        return Err(Fault::invalid(format!("{} run_ids are more than the limit of {RUNS_MAX}.", ids.len())));
    }
    if call.context.is_bound() {
        let objects: Vec<Object> = ids.iter().cloned().map(Object::Run).collect();
        call.context.may_reach(&objects)?;
    }
    ids.into_iter().map(|id| RunId::new(id).map_err(failed)).collect()
}
