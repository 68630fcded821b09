//! `meta.yaml`: the top level's scalars. Parsed event by event, so that no nesting in the file costs stack or memory.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::mlflow::milliseconds;

/// Longer files are no MLflow meta files.
const BYTES_MAX: u64 = 1 << 20;
/// Deeper nesting is refused.
const NESTING_MAX: usize = 64;

/// The top level of a `meta.yaml`: names and their scalars; null is absent.
#[derive(Debug, Default)]
pub(crate) struct Meta(HashMap<String, String>);

impl Meta {
    /// A scalar's text.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A scalar of its own.
    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// A scalar of its own; empty where there is none.
    pub(crate) fn word(&self, name: &str) -> String {
        self.owned(name).unwrap_or_default()
    }

    /// A time.
    pub(crate) fn ms(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(milliseconds)
    }

    /// Whether it says that what it describes is deleted, or whether the folder with it is in the trash.
    pub(crate) fn is_deleted(&self, folder: &Path) -> bool {
        self.get("lifecycle_stage") == Some("deleted") || folder.components().any(|part| part.as_os_str() == ".trash")
    }

    /// The first of some scalars that is there and not empty.
    pub(crate) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name).filter(|text| !text.is_empty()))
    }
}

/// Opens a file of a store. What a link leads to is not the store's.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    if path.is_symlink() {
        return Err(std::io::Error::other("a link, which is not followed"));
    }
    File::open(path)
}

/// Reads a meta file.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn read(path: &Path) -> Result<Meta, String> {
    parse(&text(path)?)
}

/// Reads a YAML file of nested mappings: each scalar with its keys joined by dots; those of lists have their place as a
/// key.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn read_nested(path: &Path) -> Result<Vec<(String, String)>, String> {
    nested(&text(path)?)
}

/// A file's text, unless it is longer than any meta file.
fn text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    open(path)
        .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("longer than {BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "no UTF-8".to_owned())
}

/// The scalars of nested mappings and lists.
fn nested(text: &str) -> Result<Vec<(String, String)>, String> {
    /// An open mapping or list: its key so far, and the next place of a list.
    struct Open {
        key: String,
        next: Option<usize>,
        name: Option<String>,
    }
    let (mut found, mut open): (Vec<(String, String)>, Vec<Open>) = (Vec::new(), Vec::new());
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| format!("no YAML: {error}"))?;
        let takes_value =
            matches!(event, Event::MappingStart(..) | Event::SequenceStart(..) | Event::Scalar(..) | Event::Alias(_));
        // A scalar in a mapping without a name is the name of what comes next.
        if let (Event::Scalar(name, ..), Some(Open { next: None, name: free @ None, .. })) = (&event, open.last_mut()) {
            *free = Some(name.to_string());
            continue;
        }
        let key = match open.last_mut() {
            Some(last) if takes_value => {
                let name = match &mut last.next {
                    Some(next) => {
                        *next += 1;
                        (*next - 1).to_string()
                    }
                    None => last.name.take().unwrap_or_default(),
                };
                if last.key.is_empty() { name } else { format!("{}.{name}", last.key) }
            }
            _ => String::new(),
        };
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) if open.len() >= NESTING_MAX => {
                return Err(format!("nested more than {NESTING_MAX} levels"));
            }
            Event::MappingStart(..) => open.push(Open { key, next: None, name: None }),
            Event::SequenceStart(..) => open.push(Open { key, next: Some(0), name: None }),
            Event::MappingEnd | Event::SequenceEnd => _ = open.pop(),
            Event::Scalar(text, ..) if !open.is_empty() => found.push((key, text.into_owned())),
            _ => {}
        }
    }
    Ok(found)
}

/// Parses a meta file's text.
pub(crate) fn parse(text: &str) -> Result<Meta, String> {
    let mut meta = Meta::default();
    let (mut depth, mut name) = (0usize, None::<String>);
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| format!("no YAML: {error}"))?;
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if depth == 0 && matches!(event, Event::SequenceStart(..)) {
                    return Err("a list where a mapping is expected".into());
                }
                depth += 1;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth = depth.saturating_sub(1);
                // A nested value ends its name's turn.
                if depth == 1 {
                    name = None;
                }
            }
            Event::Scalar(text, style, ..) if depth == 1 => match name.take() {
                None => name = Some(text.into_owned()),
                Some(name) => {
                    let null =
                        style == ScalarStyle::Plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                    if !null {
                        meta.0.insert(name, text.into_owned());
                    }
                }
            },
            Event::Alias(_) if depth == 1 => name = None,
            _ => {}
        }
    }
    if meta.0.is_empty() { Err("no names in it".into()) } else { Ok(meta) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_of_the_top_level_are_read() {
        let text = "artifact_uri: file:///C:/x y\nend_time: null\nentry_point_name: ''\nexperiment_id: \
                    '772'\nnested:\n  name: inner\n\
                    name: outer\nrun_name: \"a: \\\"b\\\"\"\nstart_time: 1719086897873\nstatus: 3\ntags: []\nlist: [a, {b: c}]\nuser_id: dell\n";
        let meta = parse(text).unwrap();
        assert_eq!(meta.get("experiment_id"), Some("772"));
        assert_eq!(meta.get("end_time"), None);
        assert_eq!(meta.get("entry_point_name"), Some(""));
        assert_eq!(meta.get("name"), Some("outer"));
        assert_eq!(meta.get("run_name"), Some("a: \"b\""));
        assert_eq!(meta.get("user_id"), Some("dell"));
        assert_eq!(meta.first(&["entry_point_name", "status"]), Some("3"));
    }

    #[test]
    fn nested_scalars_have_all_their_keys() {
        let text = "lr: 0.1\nmodel:\n  depth: 3\n  sizes: [64, {a: b}]\n  none: ~\nempty: {}\nname: 'x: y'\n";
        let found = nested(text).unwrap();
        let found: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let expected = [
            ("lr", "0.1"),
            ("model.depth", "3"),
            ("model.sizes.0", "64"),
            ("model.sizes.1.a", "b"),
            ("model.none", "~"),
            ("name", "x: y"),
        ];
        assert_eq!(found, expected);
        assert!(nested(&"[".repeat(1_000)).is_err() && nested("a: 'open").is_err());
    }

    #[test]
    fn other_texts_are_refused_without_harm() {
        for text in ["", "- a\n- b\n", "\u{0}", "a: 'open", "x", "&a [*a"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        let deep = "[".repeat(1_000_000);
        assert!(parse(&format!("a: {deep}")).is_err());
    }
}
