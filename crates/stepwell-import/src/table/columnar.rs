//! JSON documents that hold columns: an object of lists, as Keras' `History.history` is saved; of objects by row
//! number, as pandas writes a frame; or a `History` that contains such an object. They are converted to rows.

use serde_json::{Map, Value};

use crate::options::Options;
use crate::table::columns;
use crate::table::json;

/// Names that mean a training, whatever else a document is called.
const SURE: [&str; 3] = ["loss", "accuracy", "acc"];
/// Words in a file's name that mean a training.
const NAMED: [&str; 2] = ["history", "metrics"];

/// The rows of a document, and what there is to say about them.
pub(crate) struct Rows {
    /// Objects with a value of each column.
    pub(crate) rows: Vec<Value>,
    /// Whether a column has the steps; else they are the rows' numbers.
    pub(crate) has_steps: bool,
    /// The lengths of the longest and the shortest column, where they differ.
    pub(crate) uneven: Option<(usize, usize)>,
}

/// The cells of a column by the numbers of their rows.
fn cells(column: &Value) -> Option<Vec<(usize, &Value)>> {
    match column {
        Value::Array(cells) => Some(cells.iter().enumerate().collect()),
        Value::Object(cells) => cells.iter().map(|(row, cell)| Some((row.parse().ok()?, cell))).collect(),
        _ => None,
    }
}

/// The object of columns in a document: itself, or the `history` of a Keras `History` with its list of epochs.
fn columns_of(document: &Value) -> Option<Map<String, Value>> {
    let object = document.as_object()?;
    if let Some(history) = object.get("history").and_then(Value::as_object) {
        let mut columns = history.clone();
        if let Some(epochs) = object.get("epoch").filter(|epochs| epochs.is_array()) {
            columns.entry("epoch").or_insert_with(|| epochs.clone());
        }
        return Some(columns);
    }
    Some(object.clone())
}

/// Whether a column holds numbers, and nothing but numbers and nulls.
fn is_numbers(column: &Value) -> bool {
    let Some(cells) = cells(column) else { return false };
    let is_number = |cell: &Value| cell.is_null() || json::scalar(cell).is_some();
    cells.iter().any(|(_, cell)| !cell.is_null()) && cells.iter().all(|(_, cell)| is_number(cell))
}

/// Whether a document holds columns. If the caller did not name it (`named`), it must also look like a training, by its
/// columns or by its file's name: many documents contain lists of numbers.
pub(crate) fn is_columns(document: &Value, file: &str, named: bool, options: &Options) -> bool {
    let Some(columns) = columns_of(document) else { return false };
    let names: Vec<&str> = columns.keys().map(String::as_str).collect();
    let all = !columns.is_empty() && columns.values().all(|column| cells(column).is_some());
    let is_sure = |name: &str| {
        SURE.iter().any(|sure| name.eq_ignore_ascii_case(sure)) || name.starts_with("val_") || name.ends_with("_loss")
    };
    let file = file.to_ascii_lowercase();
    all && columns.values().any(is_numbers)
        && (named
            || names.iter().any(|name| is_sure(name))
            || columns::recognise(&names, options).is_ok()
            || NAMED.iter().any(|word| file.contains(word)))
}

/// The rows of a document of columns. `None` where it holds something else.
pub(crate) fn rows_of(document: &Value, options: &Options) -> Option<Rows> {
    let columns = columns_of(document)?;
    let names: Vec<&str> = columns.keys().map(String::as_str).collect();
    let has_steps = options.step_column.is_some() || columns::recognise(&names, options).is_ok();
    let mut rows: Vec<(usize, Map<String, Value>)> = Vec::new();
    let mut place = std::collections::HashMap::new();
    let (mut longest, mut shortest) = (0, usize::MAX);
    for (name, column) in &columns {
        let cells = cells(column)?;
        (longest, shortest) = (longest.max(cells.len()), shortest.min(cells.len()));
        for (row, cell) in cells {
            let at = *place.entry(row).or_insert_with(|| {
                rows.push((row, Map::new()));
                rows.len() - 1
            });
            rows[at].1.insert(name.clone(), cell.clone());
        }
    }
    rows.sort_by_key(|(row, _)| *row);
    let numbered = |(row, mut cells): (usize, Map<String, Value>)| {
        if !has_steps {
            cells.insert(ROW.to_owned(), row.into());
        }
        Value::Object(cells)
    };
    let uneven = (longest != shortest).then_some((longest, shortest));
    Some(Rows { rows: rows.into_iter().map(numbered).collect(), has_steps, uneven })
}

/// The name of the column with the rows' numbers, where no column has steps.
pub(crate) const ROW: &str = "(row)";

/// The beginning of a document, closed where it was cut: behind the last value of a list or an object that is two
/// levels deep.
pub(crate) fn closed(head: &[u8]) -> Option<Value> {
    let (mut open, mut in_string, mut escaped) = (Vec::new(), false, false);
    let mut last: Option<(usize, Vec<u8>)> = None;
    for (at, &byte) in head.iter().enumerate() {
        if in_string {
            (in_string, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => open.push(if byte == b'{' { b'}' } else { b']' }),
            b'}' | b']' => _ = open.pop(),
            b',' if (1..=3).contains(&open.len()) => last = Some((at, open.iter().rev().copied().collect())),
            _ => {}
        }
    }
    let (at, ends) = last?;
    json::parse(&[&head[..at], &ends].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn is_log(document: &Value, file: &str, named: bool) -> bool {
        is_columns(document, file, named, &Options::default())
    }

    #[test]
    fn histories_are_told_from_other_lists() {
        for document in [
            json!({"loss": [1.0, 0.5], "val_loss": [1.0, "NaN"]}),
            json!({"mae": [1], "val_mae": [2]}),
            json!({"loss": {"0": 1.0, "1": null}}),
            json!({"history": {"loss": [1.0]}, "params": {"epochs": 1}, "epoch": [0]}),
            json!({"epoch": [1, 2], "psnr": [20.5, 21.5]}),
        ] {
            assert!(is_log(&document, "x.json", false), "{document}");
        }
        let means = json!({"mean": [0.485, 0.456], "std": [0.229, 0.224]});
        assert_eq!((is_log(&means, "norm.json", false), is_log(&means, "norm.json", true)), (false, true));
        assert!(is_log(&means, "training_history.json", false));
        for other in [json!({"loss": 1.0}), json!({"loss": ["a"]}), json!({}), json!([1]), json!({"loss": [1], "n": 2})]
        {
            assert!(!is_log(&other, "history.json", true), "{other}");
        }
    }

    #[test]
    fn columns_become_rows_with_steps_or_numbers() {
        let read = |document: Value| rows_of(&document, &Options::default()).unwrap();
        let numbered = read(json!({"loss": [1.0, 0.5], "val_loss": [2.0]}));
        assert_eq!(numbered.rows, [json!({"loss": 1.0, "val_loss": 2.0, ROW: 0}), json!({"loss": 0.5, ROW: 1})]);
        assert_eq!((numbered.has_steps, numbered.uneven), (false, Some((2, 1))));
        let stepped = read(json!({"epoch": [3, 4], "loss": [1.0, 0.5]}));
        assert_eq!(stepped.rows, [json!({"epoch": 3, "loss": 1.0}), json!({"epoch": 4, "loss": 0.5})]);
        let frame = read(json!({"loss": {"10": 0.5, "2": 1.0}}));
        assert_eq!(frame.rows, [json!({"loss": 1.0, ROW: 2}), json!({"loss": 0.5, ROW: 10})]);
    }

    #[test]
    fn a_long_documents_beginning_is_read_as_far_as_it_goes() {
        assert_eq!(closed(br#"{"a,\"b": [1, 2, 3"#), Some(json!({"a,\"b": [1, 2]})));
        assert_eq!(closed(br#"{"a": {"0": 1.5, "1": 2"#), Some(json!({"a": {"0": 1.5}})));
        assert_eq!(closed(br#"{"a": [1], "b"#), Some(json!({"a": [1]})));
        assert_eq!((closed(b"{"), closed(b"")), (None, None));
    }
}
