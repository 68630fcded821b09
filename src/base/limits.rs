//! Limits of names and values, each with its unit.

use crate::error::{Error, Result};

/// Greatest length of a metric, param or tag key, in Unicode characters.
pub const KEY_CHARS_MAX: usize = 250;
/// Greatest length of a param's value, in Unicode characters.
pub const PARAM_VALUE_CHARS_MAX: usize = 6_000;
/// Greatest length of a run tag's value, in Unicode characters.
pub const TAG_VALUE_CHARS_MAX: usize = 8_000;
/// Greatest length of an experiment tag's value, in Unicode characters.
pub const EXPERIMENT_TAG_VALUE_CHARS_MAX: usize = 20_000;
/// Greatest length of an item's key, in Unicode characters: a dataset's name and digest, or a metric's, with room.
pub const ITEM_KEY_CHARS_MAX: usize = 2_000;
/// Greatest length of an item, in Unicode characters: a dataset with its schema and profile.
pub const ITEM_CHARS_MAX: usize = 18_000_000;
/// Greatest length of an experiment's name, in Unicode characters.
pub const EXPERIMENT_NAME_CHARS_MAX: usize = 500;
/// Greatest length of a run's name or user, in Unicode characters.
pub const RUN_NAME_CHARS_MAX: usize = 8_000;
/// Greatest length of a run id, in bytes.
pub const RUN_ID_BYTES_MAX: usize = 256;
/// Most series per log; the two bits above are a slot's flags.
pub const SERIES_PER_LOG_MAX: u32 = 1 << 30;

/// Rejects a key that is empty or longer than [`KEY_CHARS_MAX`]. Any other text is accepted, including newlines,
/// slashes and every Unicode character, since keys never become file names.
///
/// # Errors
/// [`Error::Invalid`] naming the kind of key and the limit.
pub fn check_key(kind: &'static str, key: &str) -> Result<()> {
    // Q: Why look at bytes first? A: a character has at least one byte, so a short key needs no counting.
    if key.is_empty() {
        return Err(Error::invalid(kind, "a key must not be empty"));
    }
    check_chars(kind, key, KEY_CHARS_MAX)
}

/// Rejects a text with more than `chars_max` Unicode characters.
///
/// # Errors
/// [`Error::Invalid`] with the kind of text, its length and the limit.
pub fn check_chars(kind: &'static str, text: &str, chars_max: usize) -> Result<()> {
    if text.len() <= chars_max {
        return Ok(());
    }
    let chars = text.chars().count();
    if chars <= chars_max {
        return Ok(());
    }
    Err(Error::invalid(kind, format!("{chars} characters are more than the limit of {chars_max}")))
}
