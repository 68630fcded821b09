//! A log as far as it says something of runs beside their points: followed where it can be, read as a whole where not.

use std::sync::Arc;

use crate::base::ids::{RunId, RunKey};
use crate::error::{Error, Result};
use crate::folder::paths::LogName;
use crate::run::digest::LogDigest;
use crate::run::image::LogImage;
use crate::run::snapshot::RunPart;
use crate::run::state::RunState;
use crate::workspace::evidence::Reach;
use crate::workspace::live::Followed;
use crate::workspace::open::Workspace;

/// What a log says, by the way in which it was read.
pub(super) enum LogWords {
    /// Of a log that is whole: what was appended since it was last asked for was read.
    Digest(Arc<LogDigest>),
    /// Of any log.
    Image(Box<LogImage>),
}

impl LogWords {
    /// What the log says of a run.
    pub(super) fn state(&self, id: &RunId) -> Option<RunState> {
        match self {
            Self::Digest(digest) => digest.state(id),
            Self::Image(image) => image.run(id).map(|run| image.state(run)),
        }
    }

    /// What the log says of the runs of a key.
    pub(super) fn states_of_key(&self, key: RunKey) -> Vec<RunState> {
        match self {
            Self::Digest(digest) => digest.state_of_key(key).into_iter().collect(),
            Self::Image(image) => {
                let of_key = image.runs().filter(|id| id.key() == key);
                of_key.filter_map(|id| image.run(id)).map(|run| image.state(run)).collect()
            }
        }
    }

    /// How far the log goes.
    pub(super) fn reach(&self) -> Reach {
        match self {
            Self::Digest(digest) => Reach::of_digest(digest),
            Self::Image(image) => Reach::of(image),
        }
    }

    /// The value of a param of a run that the log claims, and has neither set nor retracted.
    pub(super) fn open_claim(&self, id: &RunId, param: &str) -> Option<&str> {
        match self {
            Self::Digest(digest) => digest.open_claim(id, param),
            Self::Image(image) => image.open_claim(id, param),
        }
    }

    /// Whether the log says or claims anything of a run.
    pub(super) fn speaks_of(&self, id: &RunId) -> bool {
        match self {
            Self::Digest(digest) => digest.number(id).is_some() || digest.claims(id),
            Self::Image(image) => image.speaks_of(id),
        }
    }

    /// Whether its writer said that nothing more will come.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Digest(digest) => digest.has_ended(),
            Self::Image(image) => image.log().ended,
        }
    }

    /// Where it does not verify.
    pub(super) fn damage(&self) -> Vec<Error> {
        match self {
            Self::Digest(_) => Vec::new(),
            Self::Image(image) => {
                image.damage().map(|bad| Error::corrupt(image.path(), bad.offset, bad.what)).collect()
            }
        }
    }
}

impl Workspace {
    /// A log of edits as it is now; `None` when compaction has taken it away. Costs what was appended since it was last
    /// asked for, and nothing once it has ended.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::NewerFormat`], [`Error::Io`].
    pub(super) fn edit_words(&self, name: &LogName) -> Result<Option<LogWords>> {
        match self.follow_log(name)? {
            Followed::Whole(digest) => Ok(Some(LogWords::Digest(digest))),
            Followed::Gone => Ok(None),
            Followed::Unclear => self.log_words(name),
        }
    }

    /// Any log as it is now, read as a whole, but for what is known of long ones.
    ///
    /// # Errors
    /// As [`Self::edit_words`].
    pub(super) fn log_words(&self, name: &LogName) -> Result<Option<LogWords>> {
        Ok(self.read_log(name)?.map(|image| LogWords::Image(Box::new(image))))
    }
}

/// A part that has words and no point.
pub(super) fn words(state: RunState) -> RunPart {
    let series = state.coverage.iter().map(|&coverage| (coverage, Vec::new())).collect();
    RunPart { state, series }
}
