//! Which runs a source gave in earlier imports. Sources that do not name their runs are also recognised by their path.

use std::collections::{HashMap, HashSet};

use stepwell::items::IMPORTED_FROM;
use stepwell::{Error, RunId, Workspace};

/// Characters of a source's hash that distinguish it from the others of a workspace. If two sources collide, their
/// points are compared all the same.
const NAME_CHARS: usize = 16;

/// Sources of the runs of a workspace: as they were when the import began, and what it stored since.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    known: Option<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// What each source gave, the last one first.
    given: HashMap<String, Vec<Given>>,
    /// Runs that have a first source.
    with_source: HashSet<RunId>,
}

/// A run that a source gave.
#[derive(Debug)]
struct Given {
    /// The greatest of a source is the one it gave last.
    number: u64,
    run: RunId,
    /// The item's key.
    key: String,
}

impl Known {
    fn of(workspace: &Workspace) -> Result<Self, Error> {
        let mut known = Self::default();
        for (run, key, value) in workspace.runs_with_items(IMPORTED_FROM)? {
            let Some((name, number)) = value.split_once(' ') else { continue };
            if key.is_empty() {
                known.with_source.insert(run.clone());
            }
            let number = number.parse().unwrap_or_default();
            known.given.entry(name.to_owned()).or_default().push(Given { number, run, key });
        }
        for given in known.given.values_mut() {
            given.sort_by(|a, b| (b.number, &b.run).cmp(&(a.number, &a.run)));
        }
        Ok(known)
    }
}

impl Origins {
    /// The name under which runs keep a source.
    pub(crate) fn name(origin: &str) -> String {
        RunId::derived("source", origin).as_str().chars().take(NAME_CHARS).collect()
    }

    /// The runs that a source gave, the last one first.
    pub(crate) fn runs_of(&mut self, workspace: &Workspace, name: &str) -> Result<Vec<RunId>, Error> {
        if self.known.is_none() {
            self.known = Some(Known::of(workspace)?);
        }
        Ok(self.given(name).iter().map(|given| given.run.clone()).collect())
    }

    /// Whether any place gave this run.
    pub(crate) fn has_source(&mut self, workspace: &Workspace, run: &RunId) -> Result<bool, Error> {
        self.runs_of(workspace, "")?;
        Ok(self.known.as_ref().is_some_and(|known| known.with_source.contains(run)))
    }

    /// Keeps in mind what was stored with a run: the item of its source, if it got one. A run that was stored `anew`
    /// has no other source.
    pub(crate) fn stored(&mut self, run: &RunId, item: Option<(u8, String, String)>, anew: bool) {
        let Some(known) = &mut self.known else { return };
        if anew {
            known.with_source.remove(run);
            known.given.values_mut().for_each(|given| given.retain(|given| given.run != *run));
        }
        let Some((_, key, value)) = item else { return };
        let Some((name, number)) = value.split_once(' ') else { return };
        if key.is_empty() {
            known.with_source.insert(run.clone());
        }
        let given = known.given.entry(name.to_owned()).or_default();
        given.retain(|given| given.run != *run);
        given.insert(0, Given { number: number.parse().unwrap_or_default(), run: run.clone(), key });
    }

    /// The item that makes a run the latest one that a source gave; `None` if it is the latest already.
    pub(crate) fn item(&self, name: &str, run: &RunId) -> Option<(u8, String, String)> {
        let given = self.given(name);
        let last = given.first();
        if last.is_some_and(|last| last.run == *run) {
            return None;
        }
        let number = last.map_or(1, |last| last.number.saturating_add(1));
        let has_first = self.known.as_ref().is_some_and(|known| known.with_source.contains(run));
        let key = match given.iter().find(|given| given.run == *run) {
            Some(known) => known.key.clone(),
            None if has_first => name.to_owned(),
            None => String::new(),
        };
        Some((IMPORTED_FROM, key, format!("{name} {number}")))
    }

    /// The same for a run that is stored anew, with nothing of what was known of it.
    pub(crate) fn item_anew(&self, name: &str) -> (u8, String, String) {
        let number = self.given(name).first().map_or(1, |last| last.number.saturating_add(1));
        (IMPORTED_FROM, String::new(), format!("{name} {number}"))
    }

    fn given(&self, name: &str) -> &[Given] {
        self.known.as_ref().and_then(|known| known.given.get(name)).map(Vec::as_slice).unwrap_or_default()
    }
}
