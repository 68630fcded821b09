//! A run's parts from several sources: under one id, without what is deleted, merged.

use crate::base::ids::{RunId, RunKey, WriterId};
use crate::base::point::Columns;
use crate::error::{Error, Result};
use crate::journal::manifest::{Manifest, covers};
use crate::run::log_view::SeriesPart;
use crate::run::salvage::read_around;
use crate::run::snapshot::{RunPart, RunSnapshot, part_len};
use crate::run::state::Coverage;
use crate::workspace::read::copies::imports;
use crate::workspace::state::packs::PackSet;

/// Keeps only the parts of the run with this id or, if no id is given, of the run that the key belongs to.
pub(crate) fn named<S>(parts: &mut Vec<RunPart<S>>, id: Option<&RunId>, key: RunKey) {
    let id = name_alike(parts, id, key);
    parts.retain(|part| part.state.id == id);
}

/// Gives the parts of a run one id, and puts the part that determines its experiment first. `key` is the key of all
/// parts.
///
/// Damage may take a run's id from one of its sources, which then uses the digits of the key and does not know the
/// experiment. No other run's id is spelled by those digits, so that source belongs to the run that the others name. If
/// sources name different experiments, the writer with the least order wins.
pub(crate) fn name_alike<S>(parts: &mut [RunPart<S>], id: Option<&RunId>, key: RunKey) -> RunId {
    let digits = RunId::of_key(key);
    let name = parts.iter().map(|part| &part.state.id).find(|name| **name != digits);
    let id = id.filter(|id| **id != digits).or(name).unwrap_or(&digits).clone();
    if parts.len() > 1 {
        parts.sort_by_cached_key(|RunPart { state, .. }| {
            let first = state.coverage.iter().map(|own| (own.order, own.writer)).min();
            (state.id == digits, first, state.experiment)
        });
    }
    for part in parts.iter_mut().filter(|part| part.state.id == digits) {
        part.state.id.clone_from(&id);
    }
    id
}

/// What packs know of a run.
pub(crate) fn pack_parts(packs: &PackSet, id: &RunId) -> Result<Vec<RunPart>> {
    let mut parts = Vec::new();
    for (pack, place) in packs.find(id.key()) {
        parts.extend(pack.group(place.group)?.part(place.run).filter(|part| part.state.id == *id));
    }
    Ok(parts)
}

/// Merges a run's parts without what tombstones cover.
pub(crate) fn merge(parts: Vec<RunPart>, manifest: &Manifest) -> Option<RunSnapshot> {
    RunSnapshot::merge(surviving(parts, manifest))
}

/// Removes what tombstones cover from a run's parts: all of a writer, or its points of a metric.
pub(crate) fn surviving<S>(mut parts: Vec<RunPart<S>>, manifest: &Manifest) -> Vec<RunPart<S>> {
    let Some(run) = parts.first().map(|part| part.state.id.key()) else { return parts };
    if let Some(of_run) = manifest.tombstones.get(&run) {
        let gone = |coverage: &Coverage| covers(Some(of_run), coverage.writer, coverage.through);
        for part in &mut parts {
            part.series.retain(|(coverage, _)| !gone(coverage));
            let left = part.state.coverage.iter().filter(|own| !gone(own)).count();
            if left > 0 && left < part.state.coverage.len() {
                // Replacing an import replaces its metadata; that of others stays.
                let imports = imports([&part.state]);
                let is_gone = |own: &Coverage| gone(own) && imports.contains(&own.writer);
                let others: Vec<WriterId> =
                    part.state.coverage.iter().filter(|own| is_gone(own)).map(|own| own.writer).collect();
                part.state.forget_metadata(|writer| others.contains(&writer));
            }
            part.state.coverage.retain(|coverage| !gone(coverage));
        }
        parts.retain(|part| !part.state.coverage.is_empty());
    }
    if let Some(of_metrics) = manifest.metrics.get(&run) {
        for (coverage, series) in parts.iter_mut().flat_map(|part| &mut part.series) {
            series.retain(|(key, _)| !covers(of_metrics.get(key), coverage.writer, coverage.through));
        }
    }
    parts
}

/// Reads everything that verifies of a run's series into memory. Returns whether that is all of it.
pub(crate) fn keep_readable(part: &mut RunPart) -> Result<bool> {
    let mut whole = true;
    for (coverage, series) in &mut part.series {
        for (_, part) in series.iter_mut() {
            let columns = readable(part)?;
            // Copies with fewer lost points are preferred.
            coverage.lost += (part_len(part) - columns.len()) as u64;
            whole &= columns.len() == part_len(part);
            *part = SeriesPart::Rows(columns.into());
        }
        series.retain(|(_, part)| part_len(part) > 0);
    }
    Ok(whole)
}

/// The points of a part that verify.
fn readable(part: &SeriesPart) -> Result<Columns> {
    let mut columns = Columns::default();
    read_around(part, 0..part_len(part), &mut columns, &mut |_, error| match error {
        Error::Corrupt { .. } => Ok(()),
        // It may be undamaged.
        error => Err(error),
    })?;
    Ok(columns)
}
