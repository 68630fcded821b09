//! Changing what is said of a run: limits, the last word, and params, which are set once among all writers.

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
use crate::workspace::open::Workspace;

/// A change of a run beside its points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEdit {
    /// Another name.
    Name(String),
    /// Who ran it.
    User(String),
    /// Where it stands.
    Status(RunStatus),
    /// When it started, in milliseconds since the epoch.
    StartTime(Option<i64>),
    /// When it ended, in milliseconds since the epoch.
    EndTime(Option<i64>),
    /// Sets a tag; the last one wins.
    Tag(String, String),
    /// Removes a tag; nothing happens where there is none.
    RemoveTag(String),
    /// Attaches an item of a kind and a key: see [`crate::base::items`]. The last one wins; `None` removes it.
    Item(u8, String, Option<String>),
    /// Says what the run stands for: see [`crate::base::items`].
    Kind(u8),
    /// Sets a param, once: the same value again is fine, another one is an error.
    Param(String, String),
}

/// How often a claim is tried again when two writers met: each time all but one of them find the winner's.
const CLAIM_ATTEMPTS: u32 = 16;

/// Whoever changes a run: a writer of it, or the log of edits.
pub(super) struct Editor<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) session: &'a mut Session,
    /// The run's number in the session's log.
    pub(super) run: u32,
    /// What is known of the run.
    pub(super) state: &'a mut RunState,
    /// The manifest's number up to which packs are known to `state`; `None` when the state was read just now.
    pub(super) manifest_seen: Option<u64>,
}

impl Editor<'_> {
    /// Commits edits: params first, since they alone can fail against others, then all else and the points in one step.
    pub(super) fn commit(&mut self, edits: &[RunEdit], points: &[(u32, Point)]) -> Result<()> {
        edits.iter().try_for_each(check_edit)?;
        let (params, others): (Vec<&RunEdit>, Vec<&RunEdit>) =
            edits.iter().partition(|edit| matches!(edit, RunEdit::Param(..)));
        if !params.is_empty() {
            self.commit_params(&params)?;
        }
        // The last word wins, so it must come after what others said meanwhile.
        let seen = match self.manifest_seen {
            Some(_) if !others.is_empty() => self.others()?.map_or(0, |others| others.greatest_order()),
            _ => 0,
        };
        let mut records = Vec::with_capacity(others.len());
        let mut after = self.state.clone();
        for edit in others {
            let order = after.greatest_order().max(seen) + 1;
            if let Some(record) = record(self.run, &after, edit, order)? {
                after.apply(self.session.writer(), &record);
                records.push(record);
            }
        }
        if records.is_empty() {
            return self.session.push_batch(points);
        }
        self.session.commit(records, points)?;
        *self.state = after;
        Ok(())
    }

    /// What all writers have said of the run by now; `None` when nobody else can have said anything.
    fn others(&self) -> Result<Option<RunState>> {
        let (id, writer) = (&self.state.id, self.session.writer());
        if let Some(number) = self.manifest_seen.filter(|_| !self.session.has_failed())
            && self.workspace.alone(id, writer, number)?
        {
            return Ok(None);
        }
        let (run, unread) = self.workspace.read_run(id.key(), Some(id))?;
        match unread.into_iter().find(|error| matches!(error, Error::Io { .. }) && !error.is_absent()) {
            // What cannot be read just now may claim another value.
            Some(error) => Err(error),
            None => Ok(run.map(|run| run.state().clone())),
        }
    }

    /// Sets params, write-once among all writers of the run, without a lock:
    ///
    /// 1. Append the claim. From now on every other writer that reads sees it.
    /// 2. Read what the others appended. Whoever finds another value takes its own back; so of two claims at most one is
    ///    acknowledged.
    /// 3. If both took theirs back, each waits a random moment and tries again.
    fn commit_params(&mut self, params: &[&RunEdit]) -> Result<()> {
        let (run, writer) = (self.run, self.session.writer());
        for attempt in 0..CLAIM_ATTEMPTS {
            let mut records: Vec<Record> = Vec::new();
            let mut claimed = self.state.clone();
            for edit in params {
                let order = claimed.greatest_order() + 1;
                if let Some(record) = record(run, &claimed, edit, order)? {
                    claimed.apply(writer, &record);
                    records.push(record);
                }
            }
            if records.is_empty() {
                return Ok(());
            }
            self.session.commit(records.clone(), &[])?;
            let retract = |record: &Record| match record {
                Record::Param { key, .. } => Some(Record::ParamRetracted { run, key: key.clone() }),
                _ => None,
            };
            let others = match self.others() {
                Ok(others) => others,
                Err(error) => {
                    // Nobody knows whether the claim stands, so it must not.
                    let _ = self.session.commit(records.iter().filter_map(retract).collect(), &[]);
                    return Err(error);
                }
            };
            // A claim of this writer's own counts too: an earlier one may be left whose withdrawal failed.
            let rival = |record: &Record| {
                let Record::Param { key, value, .. } = record else { return false };
                let claims = others.as_ref().and_then(|others| others.params.get(key));
                claims.into_iter().flatten().any(|claim| claim.value != *value)
            };
            if !records.iter().any(rival) {
                self.state.merge(&claimed);
                return Ok(());
            }
            self.session.commit(records.iter().filter_map(retract).collect(), &[])?;
            let wait = crate::base::ids::random_u128() as u64 % (2000 << attempt.min(5));
            std::thread::sleep(std::time::Duration::from_micros(wait));
            // What stands by now decides: a conflict is an error in the next round, a withdrawn claim is not.
            let others = self.workspace.run(&self.state.id)?;
            self.state.merge(others.state());
            for (key, claims) in &mut self.state.params {
                claims.retain(|claim| others.state().params.get(key).is_some_and(|known| known.contains(claim)));
            }
            self.state.params.retain(|_, claims| !claims.is_empty());
        }
        let first = params.iter().find_map(|edit| match edit {
            RunEdit::Param(key, value) => Some((key.as_str(), value.as_str())),
            _ => None,
        });
        let (key, given) = first.unwrap_or_default();
        Err(conflict(&self.state.id, key, "claimed by several writers at once", given))
    }
}

/// Refuses an edit that breaks a limit.
pub(super) fn check_edit(edit: &RunEdit) -> Result<()> {
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

/// The edit as a record; `None` when it changes nothing.
fn record(run: u32, state: &RunState, edit: &RunEdit, order: u64) -> Result<Option<Record>> {
    let attribute = |attribute| Ok(Some(Record::Attribute { run, attribute, order }));
    match edit.clone() {
        RunEdit::Name(name) => attribute(Attribute::Name(name)),
        RunEdit::User(user) => attribute(Attribute::User(user)),
        RunEdit::Status(status) => attribute(Attribute::Status(status)),
        RunEdit::StartTime(time) => attribute(Attribute::StartTime(time)),
        RunEdit::EndTime(time) => attribute(Attribute::EndTime(time)),
        RunEdit::Tag(key, value) => Ok(Some(Record::Tag { run, key, value: Some(value), order })),
        RunEdit::Kind(kind) => attribute(Attribute::Kind(kind)),
        RunEdit::Item(kind, key, value) => Ok(Some(Record::Item { run, kind, key, value, order })),
        RunEdit::RemoveTag(key) => Ok(Some(Record::Tag { run, key, value: None, order })),
        RunEdit::Param(key, value) => match state.param(&key) {
            Some(existing) if existing == value => Ok(None),
            Some(existing) => Err(conflict(&state.id, &key, existing, &value)),
            None => Ok(Some(Record::Param { run, key, value, order })),
        },
    }
}

fn conflict(run: &RunId, key: &str, existing: &str, given: &str) -> Error {
    let (run, key) = (run.to_string(), key.to_owned());
    Error::ParamConflict { run, key, existing: existing.to_owned(), given: given.to_owned() }
}
