//! A run of MLflow's stores, put together as Stepwell keeps it.

use std::path::Path;

use stepwell::{RunId, RunStatus};

use crate::attached::Attached;
use crate::context::Context;
use crate::mlflow::milliseconds;
use crate::report::Kind;
use crate::run::{ImportedRun, ImportedSeries};

/// Columns of old versions of MLflow that say which code ran, each with the tag that says it now.
const CODE: [(&str, &str); 3] = [
    ("source_name", "mlflow.source.name"),
    ("source_version", "mlflow.source.git.commit"),
    ("entry_point_name", "mlflow.project.entryPoint"),
];

/// A run as a store has it.
pub(crate) struct StoredRun {
    pub(crate) id: RunId,
    pub(crate) source: String,
    pub(crate) experiment: Option<String>,
    /// Its name; `None` where only a tag may have it.
    pub(crate) name: Option<String>,
    /// Its name if nothing else is known.
    pub(crate) name_of_last_resort: String,
    /// As the name.
    pub(crate) user: Option<String>,
    /// A number or a name.
    pub(crate) status: Option<String>,
    pub(crate) start: Option<String>,
    pub(crate) end: Option<String>,
    pub(crate) is_deleted: bool,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) series: Vec<ImportedSeries>,
    pub(crate) attached: Attached,
}

impl StoredRun {
    /// The run. What of it cannot be read is reported for `path`, `of` which run where the path does not say it.
    pub(crate) fn into_run(self, of: &str, path: &Path, context: &mut Context<'_>) -> ImportedRun {
        let (status, start_time_ms, end_time_ms) = self.life(of, path, context);
        let tag = |wanted: &str| self.tags.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone());
        ImportedRun {
            id: self.id,
            own_id: true,
            source: self.source,
            experiment: self.experiment,
            name: self.name.or_else(|| tag("mlflow.runName")).unwrap_or(self.name_of_last_resort),
            user: self.user.or_else(|| tag("mlflow.user")).unwrap_or_default(),
            status,
            start_time_ms,
            end_time_ms,
            deleted: self.is_deleted,
            params: self.params,
            tags: self.tags,
            series: self.series,
            attached: self.attached,
        }
    }

    /// The status, the start and the end; reports those that cannot be read. A run without a status has ended. A run
    /// with an unknown status counts as running, because nobody can tell that it ended.
    fn life(&self, of: &str, path: &Path, context: &mut Context<'_>) -> (RunStatus, Option<i64>, Option<i64>) {
        let [status, start, end] =
            [&self.status, &self.start, &self.end].map(|word| word.as_deref().filter(|word| !word.trim().is_empty()));
        let known = status.map_or(Some(RunStatus::Finished), status_of);
        let times = [start, end].map(|word| word.and_then(milliseconds));
        let lost = [
            ("status", status, known.is_none(), "the run is taken as running"),
            ("start_time", start, times[0].is_none(), "left out"),
            ("end_time", end, times[1].is_none(), "left out"),
        ];
        for (name, word, is_lost, what) in lost {
            if let Some(word) = word.filter(|_| is_lost) {
                let word: String = word.chars().take(40).collect();
                context.leave_out(path, Kind::Place, 1, format!("{name} {word:?}{of} cannot be read; {what}"));
            }
        }
        (known.unwrap_or(RunStatus::Running), times[0], times[1])
    }
}

/// A status as MLflow's number or name.
fn status_of(text: &str) -> Option<RunStatus> {
    match text.parse::<u8>() {
        Ok(number) => RunStatus::ALL.into_iter().find(|status| *status as u8 == number),
        Err(_) => text.parse().ok(),
    }
}

/// Adds tags that say which code ran, where only columns of the run say it.
pub(crate) fn add_code_tags(tags: &mut Vec<(String, String)>, mut column: impl FnMut(&str) -> Option<String>) {
    for (name, tag) in CODE {
        if let Some(value) = column(name).filter(|value| !value.is_empty())
            && !tags.iter().any(|(known, _)| known == tag)
        {
            tags.push((tag.to_owned(), value));
        }
    }
}
