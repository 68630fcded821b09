//! Items: what a facade attaches to a run, under a kind and a key. The store keeps, merges and indexes them without
//! reading them; only the search for datasets looks into those of kind [`DATASET`].
//!
//! Keys and values of several fields are written field after field, each as `length in bytes ":" text`, so that any
//! text is a field and equal fields give equal texts.

/// A dataset that the run read. Key: name, digest. Value: source type, source, schema, profile (each of the last two
/// `+text`, or empty where there is none), then key and value of each tag of this use, then the place among the run's
/// inputs and outputs in decimal, from 0, in the order in which they were logged. Without a place it comes after those
/// that have one.
pub const DATASET: u8 = 1;
/// A logged model that the run read. Key: the model's id. Value: its place, as of a dataset, or nothing.
pub const MODEL_INPUT: u8 = 2;
/// A logged model that the run made. Key: the model's id. Value: the step in decimal, then a blank and
/// the place, as of a dataset.
pub const MODEL_OUTPUT: u8 = 3;
/// Of a logged model: a metric's latest value. Key: metric, dataset name, dataset digest, run. Value: see the facade.
pub const MODEL_METRIC: u8 = 4;
/// Of a logged model: its own words (`type`, `run`, `status`, `message`, `updated`).
pub const MODEL_FIELD: u8 = 5;
/// Where the artifacts of a run or logged model are, when that is not below its experiment's place. Key: empty. Value:
/// the URI.
pub const ARTIFACT_URI: u8 = 6;
/// A part of a run that was imported: a resumed run leaves a log for each of its starts. Key: the part. Value: when it
/// started, in milliseconds since the epoch, or empty.
pub const IMPORTED_PART: u8 = 7;
/// A source that an imported run came from. Key: empty for the first, else the source. Value: the source, a blank, and
/// how many runs the source had given by then, this one included, in decimal: the greatest is the run it gave last.
/// Where the source is one of several logs of a run, its key is the source, and the part that it gave stands in place
/// of the number.
pub const IMPORTED_FROM: u8 = 8;

/// The kind of a plain run, in `Attribute`'s word for it.
pub const RUN: u8 = 0;
/// The kind of a run that stands for a logged model.
pub const LOGGED_MODEL: u8 = 1;

/// The tag that says what a dataset is used for.
pub const CONTEXT_TAG: &str = "mlflow.data.context";

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

/// What a dataset is used for, by the value of its item.
#[must_use]
pub fn dataset_context(value: &str) -> Option<&str> {
    split(value).get(4..)?.chunks_exact(2).find(|tag| tag[0] == CONTEXT_TAG).map(|tag| tag[1])
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
        assert_eq!(dataset_context(&join(&["local", "s", "", "", CONTEXT_TAG, "train"])), Some("train"));
        assert_eq!(dataset_context("9:x"), None);
    }
}
