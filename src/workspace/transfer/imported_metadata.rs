//! Merges the metadata of an imported run into what is here, and reports the changes.

use crate::base::ids::WriterId;
use crate::base::items::RUN;
use crate::base::limits::{
    ITEM_CHARS_MAX, ITEM_KEY_CHARS_MAX, PARAM_VALUE_CHARS_MAX, RUN_NAME_CHARS_MAX, TAG_VALUE_CHARS_MAX, check_chars,
    check_key,
};
use crate::base::stats::RunStatus;
use crate::error::Result;
use crate::log::record::{Attribute, Record};
use crate::run::state::RunState;
use crate::workspace::transfer::import::{ParamConflict, RunImport};

/// What an import changed in an existing run, besides adding points and metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportChanges {
    /// Its old and new name.
    pub name: Option<(String, String)>,
    /// Its old and new status.
    pub status: Option<(RunStatus, RunStatus)>,
    /// It was deleted.
    pub deleted: bool,
    /// It was restored, or was permanently deleted and is back.
    pub restored: bool,
    /// Changed tags.
    pub tags_set: u64,
    /// Removed tags.
    pub tags_removed: Vec<String>,
    /// Removed or changed params.
    pub params_removed: Vec<String>,
    /// Points imported before that are gone.
    pub points_removed: u64,
}

impl ImportChanges {
    /// The differences between two states of a run.
    pub(crate) fn of(before: &RunState, after: &RunState) -> Self {
        let name_and_status = |state: &RunState| (state.name().to_owned(), state.status());
        let (name, status) = name_and_status(before);
        let (new_name, new_status) = name_and_status(after);
        let is_deleted = |state: &RunState| state.deleted_ms().is_some();
        let tags = |state: &RunState| -> Vec<(String, String)> {
            state.tags().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let after_tag = |key: &str| after.tags().find(|(known, _)| *known == key).map(|(_, value)| value);
        let mut changed = Self {
            name: (name != new_name).then_some((name, new_name)),
            status: (status != new_status).then_some((status, new_status)),
            deleted: is_deleted(after) && !is_deleted(before),
            restored: is_deleted(before) && !is_deleted(after),
            ..Self::default()
        };
        for (key, value) in tags(before) {
            match after_tag(&key) {
                None => changed.tags_removed.push(key),
                Some(now) => changed.tags_set += u64::from(now != value),
            }
        }
        let is_gone = |(key, value): &(&str, &str)| after.param(key) != Some(*value);
        changed.params_removed = before.params().filter(is_gone).map(|(key, _)| key.to_owned()).collect();
        changed
    }

    /// Whether nothing was changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Rejects metadata that exceeds a limit.
pub(crate) fn check_metadata(run: &RunImport) -> Result<()> {
    check_chars("run name", &run.name, RUN_NAME_CHARS_MAX)?;
    check_chars("user", &run.user, RUN_NAME_CHARS_MAX)?;
    for (key, value) in &run.params {
        check_key("param key", key)?;
        check_chars("param value", value, PARAM_VALUE_CHARS_MAX)?;
    }
    for (key, value) in &run.tags {
        check_key("tag key", key)?;
        check_chars("tag value", value, TAG_VALUE_CHARS_MAX)?;
    }
    for (_, key, value) in &run.items {
        check_chars("item key", key, ITEM_KEY_CHARS_MAX)?;
        check_chars("item", value, ITEM_CHARS_MAX)?;
    }
    run.series.iter().try_for_each(|(key, _)| check_key("metric key", key))
}

/// Adds the source's metadata that `existing` lacks to `state`, with stamps after `order`. Returns whether there was
/// any, and the params that have other values here.
pub(crate) fn add_metadata(
    state: &mut RunState,
    existing: Option<&RunState>,
    writer: WriterId,
    run: &RunImport,
    generation: u64,
    order: u64,
) -> (bool, Vec<ParamConflict>) {
    let mut order = existing.map_or(order, RunState::greatest_order);
    let mut apply = |record: &dyn Fn(u64) -> Record| {
        order += 1;
        state.apply(writer, &record(order));
    };
    let attributes = [
        (!run.name.is_empty()).then(|| Attribute::Name(run.name.clone())),
        (!run.user.is_empty()).then(|| Attribute::User(run.user.clone())),
        Some(Attribute::Status(run.status)),
        run.start_time_ms.map(|time| Attribute::StartTime(Some(time))),
        run.end_time_ms.map(|time| Attribute::EndTime(Some(time))),
        run.deleted_ms.map(|time| Attribute::Deleted { at_ms: Some(time), generation, by: String::new() }),
        (run.kind != RUN).then_some(Attribute::Kind(run.kind)),
    ];
    let (mut any, mut others) = (false, Vec::new());
    for attribute in attributes.into_iter().flatten() {
        let known = existing.and_then(|known| known.attributes[attribute.kind()].as_ref());
        let is_kept = run.keep_metadata && !matches!(attribute, Attribute::StartTime(_));
        if known.is_none_or(|known| known.value != attribute && !is_kept) {
            any = true;
            apply(&|order| Record::Attribute { run: 0, attribute: attribute.clone(), order });
        }
    }
    for (key, value) in &run.params {
        match existing.and_then(|known| known.param(key)) {
            Some(known) if known == value => {}
            Some(known) => {
                others.push(ParamConflict { key: key.clone(), existing: known.to_owned(), given: value.clone() });
            }
            None => {
                any = true;
                apply(&|order| Record::Param { run: 0, key: key.clone(), value: value.clone(), order });
            }
        }
    }
    for (key, value) in &run.tags {
        let known = existing.and_then(|known| known.tags.get(key)).and_then(|tag| tag.value.as_ref());
        if known != Some(value) && !(known.is_some() && run.keep_metadata) {
            any = true;
            apply(&|order| Record::Tag { run: 0, key: key.clone(), value: Some(value.clone()), order });
        }
    }
    for (kind, key, value) in &run.items {
        let known = existing.and_then(|known| known.item(*kind, key));
        if known != Some(value) && !(known.is_some() && run.keep_metadata) {
            any = true;
            apply(&|order| Record::Item { run: 0, kind: *kind, key: key.clone(), value: Some(value.clone()), order });
        }
    }
    (any, others)
}
