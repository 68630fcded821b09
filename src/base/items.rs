//! Items: data that a facade attaches to a run, by kind and key. The store keeps, merges and indexes them without
//! interpreting them; only the search for datasets reads those of kind [`DATASET`].
//!
//! Keys and values with several fields consist of fields `length in bytes ":" text`, so that any text can be a field
//! and equal fields give equal texts.

/// An input dataset. Key: name, digest. Value: source type, source, schema, profile (the last two as `+text`, or empty
/// if absent), then key and value of each tag of this use, then the position among the run's inputs and outputs in
/// decimal, from 0. Items without a position come last.
pub const DATASET: u8 = 1;
/// An input model. Key: the model's id. Value: its position, as of a dataset, or empty.
pub const MODEL_INPUT: u8 = 2;
/// An output model. Key: the model's id. Value: the step in decimal, a space and the position, as of a dataset.
pub const MODEL_OUTPUT: u8 = 3;
/// For a logged model: a metric's latest value. Key: metric, dataset name, dataset digest, run. Value: see the facade.
pub const MODEL_METRIC: u8 = 4;
/// For a logged model: its own fields (`type`, `run`, `status`, `message`, `updated`).
pub const MODEL_FIELD: u8 = 5;
/// The artifact location of a run or logged model, if not below its experiment's. Key: empty. Value: the URI.
pub const ARTIFACT_URI: u8 = 6;
/// A part of an imported run: a resumed run leaves one log per start. Key: the part. Value: its start time in
/// milliseconds since the epoch, or empty.
pub const IMPORTED_PART: u8 = 7;
/// A source of an imported run. Key: empty for the first, else the source. Value: the source, a space, and the number
/// of runs imported from the source so far, in decimal; the greatest is the latest run. If the source is one of several
/// logs of a run, its key is the source, and the part replaces the number.
pub const IMPORTED_FROM: u8 = 8;

/// The kind of a plain run.
pub const RUN: u8 = 0;
/// The kind of a run that represents a logged model.
pub const LOGGED_MODEL: u8 = 1;

/// Whether a run's writers set items of this kind. The others are the workspace's own: where artifacts are, and what an
/// import brought.
#[must_use]
pub(crate) const fn is_logged(kind: u8) -> bool {
    matches!(kind, DATASET..=MODEL_FIELD)
}

/// Fields as one text.
#[must_use]
pub fn join<S: AsRef<str>>(fields: &[S]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for field in fields {
        let field = field.as_ref();
        let _ = write!(text, "{}:{field}", field.len());
    }
    text
}

/// The fields of a text, as far as they were written by [`join`].
#[must_use]
pub fn split(mut text: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    while let Some((len, rest)) = text.split_once(':') {
        let Some(field) = len.parse().ok().and_then(|len: usize| rest.get(..len)) else {
            break;
        };
        fields.push(field);
        text = &rest[field.len()..];
    }
    fields
}

/// An item's key in the index: the kind as a character, then the key.
#[must_use]
pub fn index_key(kind: u8, key: &str) -> String {
    let mut text = String::with_capacity(key.len() + 2);
    text.push(char::from(kind));
    text.push_str(key);
    text
}

/// The kind and the key of an item in the index.
#[must_use]
pub fn of_index_key(key: &str) -> Option<(u8, &str)> {
    let kind = key.chars().next()?;
    Some((u8::try_from(u32::from(kind)).ok()?, &key[kind.len_utf8()..]))
}

/// A tag of a dataset's use, from the value of its item. `name` is the tag's key, or the last word of a key with dots.
#[must_use]
pub fn dataset_tag<'v>(value: &'v str, name: &str) -> Option<&'v str> {
    let is_named = |key: &str| key == name || key.rsplit_once('.').is_some_and(|(_, last)| last == name);
    split(value).get(4..)?.chunks_exact(2).find(|tag| is_named(tag[0])).map(|tag| tag[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_come_back(fields in prop::collection::vec("(?s).{0,9}", 0..6)) {
            let text = join(&fields);
            prop_assert_eq!(split(&text), fields);
        }

        #[test]
        fn any_text_is_split_without_a_panic(text in "[0-9:é]{0,20}") {
            let _ = split(&text);
        }

        #[test]
        fn index_keys_come_back(kind: u8, key in ".{0,9}") {
            let text = index_key(kind, &key);
            prop_assert_eq!(of_index_key(&text), Some((kind, key.as_str())));
        }
    }

    #[test]
    fn forms_are_pinned() {
        assert_eq!(join(&["é", "", "a:b"]), "2:é0:3:a:b");
        let value = join(&["local", "s", "", "", "a.b", "x", "lab.context", "train"]);
        for (name, tag) in [("context", Some("train")), ("lab.context", Some("train")), ("b", Some("x")), ("c", None)] {
            assert_eq!(dataset_tag(&value, name), tag, "{name}");
        }
        assert_eq!(dataset_tag("9:x", "context"), None);
    }
}
