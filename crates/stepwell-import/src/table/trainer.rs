//! Hugging Face's `trainer_state.json`: the trainer's own, and a copy in each checkpoint's folder with the history
//! until then. Together they are one run, read from the file with the longest history.

use std::path::Path;

use serde_json::Value;

use crate::context::Context;
use crate::report::Kind;
use crate::run::ImportError;
use crate::table::document;
use crate::table::json;
use crate::table::rows::Rows;
use crate::walk::{Group, SourceFile};

/// The file's name.
pub(crate) const NAME: &str = "trainer_state.json";

/// Settings that stay the same for a whole training; other words move on with it and are tags.
const PARAMS: [&str; 8] = [
    "max_steps",
    "num_train_epochs",
    "train_batch_size",
    "logging_steps",
    "eval_steps",
    "save_steps",
    "trial_name",
    "trial_params",
];

/// Whether a folder is a checkpoint's, whose state belongs to the folder above.
pub(crate) fn is_checkpoint(name: &str) -> bool {
    name.strip_prefix("checkpoint-").is_some_and(|step| step.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The folder of the training whose state a file has.
pub(crate) fn training_of(state: &Path) -> &Path {
    let parent = state.parent().unwrap_or(Path::new(""));
    let of_checkpoint = parent.file_name().is_some_and(|name| is_checkpoint(&name.to_string_lossy()));
    if of_checkpoint { parent.parent().unwrap_or(parent) } else { parent }
}

/// Reads the states of one training.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    let mut states: Vec<(&SourceFile, Value)> = Vec::new();
    for file in &group.files {
        match document::parse(file, context) {
            Ok(state) if document::rows_of(&state).is_some_and(|rows| !rows.is_empty()) => states.push((file, state)),
            Ok(_) => context.leave_out(&file.path, Kind::File, 1, "no row in its log_history; not imported"),
            Err(reason) => context.leave_out(&file.path, Kind::File, 1, reason),
        }
        context.advance(&file.path, file.bytes);
    }
    // Of equally long ones the first serves: a walk meets the trainer's own before those of checkpoints.
    let longest = states.iter().map(|(_, state)| history(state).len()).max().unwrap_or_default();
    let Some(at) = states.iter().position(|(_, state)| history(state).len() == longest) else { return Ok(()) };
    let (file, state) = states.swap_remove(at);
    for (other, earlier) in &states {
        if !history(&state).starts_with(history(earlier)) {
            let path = file.path.display();
            let why =
                format!("its history is not the beginning of that in {path}; not imported, name it alone to import it");
            context.leave_out(&other.path, Kind::File, 1, why);
        }
    }
    let mut rows = Rows::one("trainer", file);
    document::take(history(&state), file, context.options, &mut rows, context)?;
    for (key, value) in state.as_object().into_iter().flatten().filter(|(key, _)| *key != "log_history") {
        let words = if PARAMS.contains(&key.as_str()) { &mut rows.params } else { &mut rows.tags };
        if !value.is_null() {
            json::flatten_words(key, value, ".", &mut |key, word| words.push((key.to_owned(), word)));
        }
    }
    rows.name_as(&group.relative, training_of(&file.path).to_path_buf());
    rows.finish(context)
}

fn history(state: &Value) -> &[Value] {
    document::rows_of(state).map_or(&[], Vec::as_slice)
}
