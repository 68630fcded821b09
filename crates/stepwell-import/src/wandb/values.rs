//! W&B's nested values: items put together into a tree, and what its leaves are. Media come as objects that name their
//! type.

use serde_json::{Map, Value};

use crate::report::Kind;
use crate::table::inexact::Inexact;
use crate::table::json;
use crate::wandb::messages::Item;

/// Deeper values are left as they are.
const DEPTH_MAX: usize = 64;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Leaf<'v> {
    /// A number, or a word that JSON writes for one.
    Number(f64),
    /// A text.
    Text(&'v str),
    /// A list.
    List(&'v Value),
    /// An image, a table, a histogram or another object of a type of W&B's own.
    Media(Media<'v>),
}

/// An object of a type of W&B's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Media<'v> {
    /// Its type.
    pub(crate) kind: &'v str,
    /// How many it stands for.
    pub(crate) count: u64,
    /// All of it, where it is not a name of a file.
    pub(crate) inline: Option<&'v Value>,
}

/// Items as one object. Returns the first key whose value is not JSON, or whose path is too deep, too; and counts the
/// numbers that the object has otherwise.
pub(crate) fn tree(items: &[Item], inexact: &mut Inexact) -> (Map<String, Value>, Option<String>) {
    let (mut tree, mut bad) = (Map::new(), None);
    for item in items {
        match json::parse_counting(item.value_json.as_bytes()).filter(|_| item.path().len() <= DEPTH_MAX) {
            Some((value, lost)) => {
                inexact.lost(None, &lost);
                put(&mut tree, item.path(), value);
            }
            None => bad = bad.or_else(|| Some(item.full_key())),
        }
    }
    (tree, bad)
}

/// Sets the value at a path; what stands in its way is replaced.
pub(crate) fn put(tree: &mut Map<String, Value>, path: &[String], value: Value) {
    let (Some((last, above)), true) = (path.split_last(), path.len() <= DEPTH_MAX) else { return };
    let mut at = tree;
    for name in above {
        let next = at.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
        if !next.is_object() {
            *next = Value::Object(Map::new());
        }
        let Value::Object(next) = next else { return };
        at = next;
    }
    at.insert(last.clone(), value);
}

/// Removes the value at a path.
pub(crate) fn remove(tree: &mut Map<String, Value>, path: &[String]) {
    match path {
        [] => {}
        [last] => _ = tree.shift_remove(last),
        [name, rest @ ..] => {
            if let Some(Value::Object(next)) = tree.get_mut(name) {
                remove(next, rest);
            }
        }
    }
}

/// Calls with each leaf of a value and its key, nested ones joined with `.`; nulls are passed over.
pub(crate) fn leaves<'v>(key: &str, value: &'v Value, take: &mut dyn FnMut(&str, Leaf<'v>)) {
    match value {
        Value::Object(members) => match members.get("_type").and_then(Value::as_str) {
            Some(kind) => {
                let count = members.get("count").and_then(Value::as_u64).filter(|_| kind.contains("separated"));
                let has_file = ["path", "filenames", "artifact_path"].iter().any(|name| members.contains_key(*name));
                let inline = (!has_file).then_some(value);
                take(key, Leaf::Media(Media { kind, count: count.unwrap_or(1), inline }));
            }
            None => members.iter().for_each(|(name, member)| leaves(&format!("{key}.{name}"), member, take)),
        },
        Value::Array(_) => take(key, Leaf::List(value)),
        Value::Null => {}
        scalar => match (json::scalar(scalar), scalar) {
            (Some(number), _) => take(key, Leaf::Number(number)),
            (None, Value::String(text)) => take(key, Leaf::Text(text)),
            _ => {}
        },
    }
}

/// What a report calls media of a type.
pub(crate) fn kind_of(media: &str) -> Kind {
    let has = |words: &[&str]| words.iter().any(|word| media.contains(word));
    match media {
        _ if has(&["image"]) => Kind::Image,
        _ if has(&["audio"]) => Kind::Audio,
        _ if has(&["video"]) => Kind::Video,
        _ if has(&["histogram"]) => Kind::Histogram,
        _ if has(&["table"]) => Kind::Table,
        _ if has(&["graph"]) => Kind::Graph,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn item(path: &[&str], json: &str) -> Item {
        let nested_key = path.iter().map(|name| (*name).to_owned()).collect();
        Item { key: String::new(), nested_key, value_json: json.to_owned() }
    }

    fn shown(leaf: Leaf<'_>) -> String {
        match leaf {
            Leaf::Media(Media { kind, count, inline: Some(_) }) => format!("{count} {kind}"),
            Leaf::Media(Media { kind, count, inline: None }) => format!("{count} {kind} in a file"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn split_media_are_put_together_and_their_sizes_are_no_numbers() {
        let items = [
            item(&["img", "size"], "69"),
            item(&["loss"], "0.5"),
            item(&["img", "_type"], "\"image-file\""),
            item(&["img", "width"], "5"),
            item(&["img", "path"], "\"media/x.png\""),
            item(&["h"], "{\"_type\":\"histogram\",\"bins\":[0,1],\"values\":[2]}"),
            item(&["n", "q"], "NaN"),
            item(&["s"], "{\"_type\":\"images/separated\",\"count\":3}"),
            item(&["w"], "\"word\""),
            item(&["bad"], "{"),
        ];
        let (tree, bad) = tree(&items, &mut Inexact::default());
        assert_eq!(bad.as_deref(), Some("bad"));
        let mut seen = Vec::new();
        for (key, value) in &tree {
            leaves(key, value, &mut |key, leaf| seen.push((key.to_owned(), shown(leaf))));
        }
        let words: Vec<_> = seen.iter().map(|(key, leaf)| format!("{key} {leaf}")).collect();
        assert_eq!(
            words,
            [
                "img 1 image-file in a file",
                "loss Number(0.5)",
                "h 1 histogram",
                "n.q Number(NaN)",
                "s 3 images/separated",
                "w Text(\"word\")",
            ]
        );
    }

    #[test]
    fn values_are_replaced_and_removed_by_path() {
        let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut tree = Map::new();
        put(&mut tree, &path(&["a"]), json!(1));
        put(&mut tree, &path(&["a", "b"]), json!(2));
        put(&mut tree, &path(&["a", "c"]), json!(3));
        remove(&mut tree, &path(&["a", "b"]));
        remove(&mut tree, &path(&["x", "y"]));
        assert_eq!(Value::Object(tree), json!({"a": {"c": 3}}));
    }
}
