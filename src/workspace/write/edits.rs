//! Edits of a run's metadata: limits, order numbers, and params first, which alone can conflict.

use crate::base::ids::RunId;
use crate::base::limits::{
    ITEM_CHARS_MAX, ITEM_KEY_CHARS_MAX, PARAM_VALUE_CHARS_MAX, RUN_NAME_CHARS_MAX, TAG_VALUE_CHARS_MAX, check_chars,
    check_key,
};
use crate::base::point::Point;
use crate::base::stats::RunStatus;
use crate::error::{Error, Result};
use crate::log::record::{Attribute, Record};
use crate::run::session::Session;
use crate::run::state::RunState;
use crate::workspace::state::shared::Shared;
use crate::workspace::write::params::Unrelated;

/// A change of a run's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEdit {
    /// Sets the name.
    Name(String),
    /// Sets who ran it.
    User(String),
    /// Sets the status.
    Status(RunStatus),
    /// Sets the start time, in milliseconds since the epoch.
    StartTime(Option<i64>),
    /// Sets the end time, in milliseconds since the epoch.
    EndTime(Option<i64>),
    /// Sets a tag; the last value wins.
    Tag(String, String),
    /// Removes a tag, if it is set.
    RemoveTag(String),
    /// Sets an item by kind and key: see [`crate::items`]. The last value wins; `None` removes it.
    Item(u8, String, Option<String>),
    /// Sets the run's kind: see [`crate::items`].
    Kind(u8),
    /// Sets a param, once: repeating the value is fine, another value is an error.
    Param(String, String),
}

/// Commits changes to a run, for its writer or for the edit log.
pub(crate) struct Editor<'a> {
    pub(crate) workspace: &'a Shared,
    pub(crate) session: &'a mut Session,
    /// The run's number in the session's log.
    pub(crate) run: u32,
    /// The run's metadata, as far as it is known.
    pub(crate) state: &'a mut RunState,
    /// The manifest number up to which `state` includes all packs, if it does.
    pub(crate) seen: &'a mut Option<u64>,
    /// How old `state` may be.
    pub(crate) since: Since,
    /// Whether an unreadable file may mention the run, so that `state` may lack something.
    pub(crate) partly: bool,
    /// Unreadable files known not to mention the run.
    pub(crate) unrelated: &'a Unrelated,
}

/// Order numbers skipped for unreadable metadata.
pub(crate) const UNREAD_ORDERS: u64 = 1 << 32;

/// When a run's metadata was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// Earlier: others may have changed it since.
    Earlier,
    /// Just now.
    JustNow,
    /// The run starts with this edit; nobody else can know its random id.
    Begin,
}

impl Editor<'_> {
    /// Commits edits: params first, since they alone can conflict, then everything else with the points, in one frame.
    /// A new run is created in a single frame.
    pub(crate) fn commit(&mut self, edits: &[RunEdit], points: &[(u32, Point)]) -> Result<()> {
        edits.iter().try_for_each(check_edit)?;
        let params: Vec<(&str, &str)> = edits.iter().filter_map(param).collect();
        let begins = self.since == Since::Begin;
        match &params[..] {
            [] => {}
            params if begins => _ = self.unset(params)?,
            params => self.set_params(params)?,
        }
        let others: Vec<&RunEdit> = edits.iter().filter(|edit| begins || param(edit).is_none()).collect();
        // The greatest order wins, so it must exceed what others wrote meanwhile.
        let mut greatest = 0;
        if self.since == Since::Earlier && !others.is_empty() {
            greatest = self.others()?.map_or(0, |others| others.greatest_order());
        }
        if self.partly {
            greatest = greatest.max(self.state.greatest_order()) + UNREAD_ORDERS;
        }
        let mut records = Vec::with_capacity(others.len());
        let mut after = self.state.clone();
        for edit in others {
            let order = after.greatest_order().max(greatest) + 1;
            let record = record(self.run, edit, order);
            after.apply(self.session.writer(), &record);
            records.push(record);
        }
        if records.is_empty() {
            return self.session.push_batch(points);
        }
        self.session.commit(records, points)?;
        *self.state = after;
        Ok(())
    }

    /// The run's current metadata from all writers; `None` if nobody else can have written any.
    fn others(&mut self) -> Result<Option<RunState>> {
        let (id, writer) = (&self.state.id, self.session.writer());
        if let Some(manifest) = *self.seen
            && self.workspace.alone(id, writer, manifest)?
        {
            return Ok(None);
        }
        // Unreadable files do not block metadata.
        let (run, unread) = self.workspace.read_run(id.key(), Some(id))?;
        self.partly = !unread.is_empty();
        Ok(run.map(|run| run.state().clone()))
    }
}

/// The param that an edit sets.
fn param(edit: &RunEdit) -> Option<(&str, &str)> {
    match edit {
        RunEdit::Param(key, value) => Some((key, value)),
        _ => None,
    }
}

/// Rejects an edit that breaks a limit.
pub(crate) fn check_edit(edit: &RunEdit) -> Result<()> {
    match edit {
        RunEdit::Name(name) => check_chars("run name", name, RUN_NAME_CHARS_MAX),
        RunEdit::User(user) => check_chars("user", user, RUN_NAME_CHARS_MAX),
        RunEdit::Status(_) | RunEdit::StartTime(_) | RunEdit::EndTime(_) | RunEdit::Kind(_) => Ok(()),
        RunEdit::Item(_, key, value) => {
            check_chars("item key", key, ITEM_KEY_CHARS_MAX)?;
            check_chars("item", value.as_deref().unwrap_or(""), ITEM_CHARS_MAX)
        }
        RunEdit::Tag(key, value) => {
            check_key("tag key", key)?;
            check_chars("tag value", value, TAG_VALUE_CHARS_MAX)
        }
        RunEdit::RemoveTag(key) => check_key("tag key", key),
        RunEdit::Param(key, value) => {
            check_key("param key", key)?;
            check_chars("param value", value, PARAM_VALUE_CHARS_MAX)
        }
    }
}

/// The edit as a record.
fn record(run: u32, edit: &RunEdit, order: u64) -> Record {
    let attribute = |attribute| Record::Attribute { run, attribute, order };
    match edit.clone() {
        RunEdit::Name(name) => attribute(Attribute::Name(name)),
        RunEdit::User(user) => attribute(Attribute::User(user)),
        RunEdit::Status(status) => attribute(Attribute::Status(status)),
        RunEdit::StartTime(time) => attribute(Attribute::StartTime(time)),
        RunEdit::EndTime(time) => attribute(Attribute::EndTime(time)),
        RunEdit::Tag(key, value) => Record::Tag { run, key, value: Some(value), order },
        RunEdit::Kind(kind) => attribute(Attribute::Kind(kind)),
        RunEdit::Item(kind, key, value) => Record::Item { run, kind, key, value, order },
        RunEdit::RemoveTag(key) => Record::Tag { run, key, value: None, order },
        RunEdit::Param(key, value) => Record::Param { run, key, value, order },
    }
}

pub(crate) fn conflict(run: &RunId, key: &str, existing: &str, given: &str) -> Error {
    let (run, key) = (run.to_string(), key.to_owned());
    Error::ParamConflict { run, key, existing: existing.to_owned(), given: given.to_owned() }
}
