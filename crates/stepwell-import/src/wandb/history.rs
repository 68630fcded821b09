//! W&B's JSON values: metrics in history rows and machine statistics, params in config.

use serde_json::Value;

use crate::number;
use crate::series::Gather;
use crate::table::json;
use crate::wandb::messages::{History, Item, Stats};

/// Adds a history row's numbers, each under its key, nested ones joined with `.`.
///
/// The row's step is its `_step` if that is a whole number, else the record's own, which is 0 when not set; its time
/// is its `_timestamp` in seconds. Returns the first value that is no JSON.
pub(crate) fn add_row(gather: &mut Gather, row: &History) -> Result<(), String> {
    let mut step = row.step.as_ref().map_or(0, |step| step.num);
    let mut timestamp_ms = None;
    let mut values = Vec::with_capacity(row.item.len());
    let mut bad = None;
    for item in &row.item {
        let key = item.full_key();
        match json::parse(item.value_json.as_bytes()) {
            Some(value) if key == "_step" && !value.is_object() => step = value.as_i64().unwrap_or(step),
            Some(value) if key == "_timestamp" && !value.is_object() => {
                timestamp_ms = value.as_f64().and_then(number::seconds_to_ms)
            }
            Some(value) => values.push((key, value)),
            None => bad = bad.or(Some(key)),
        }
    }
    for (key, value) in &values {
        add(gather, key, value, &mut |gather, key, value| gather.push(key, step, timestamp_ms, value));
    }
    bad.map_or(Ok(()), Err)
}

/// Adds machine statistics under `system/`. They have no step of their own: it is the point's place in its series.
pub(crate) fn add_stats(gather: &mut Gather, stats: &Stats) -> Result<(), String> {
    let timestamp_ms = stats.timestamp.as_ref().and_then(super::messages::Timestamp::to_ms);
    let mut bad = None;
    for item in &stats.item {
        let key = format!("system/{}", item.full_key());
        match json::parse(item.value_json.as_bytes()) {
            Some(value) => add(gather, &key, &value, &mut |gather, key, value| {
                let step = gather.len_of(key) as i64;
                gather.push(key, step, timestamp_ms, value);
            }),
            None => bad = bad.or(Some(key)),
        }
    }
    bad.map_or(Ok(()), Err)
}

/// Adds the numbers in a value; tables are files beside the log, and their sizes no metrics.
fn add(gather: &mut Gather, key: &str, value: &Value, push: &mut impl FnMut(&mut Gather, &str, f64)) {
    if value
        .get("_type")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.ends_with("table-file") || kind.ends_with("-table"))
    {
        return;
    }
    json::flatten(key, value, ".", &mut |key, value| push(gather, key, value));
}

/// Sets a config item's params, nested ones joined with `.`; W&B's own item is left out.
pub(crate) fn set_config(params: &mut Vec<(String, String)>, item: &Item) -> Result<(), String> {
    let key = item.full_key();
    if key == "_wandb" || key.starts_with("_wandb.") {
        return Ok(());
    }
    let value = json::parse(item.value_json.as_bytes()).ok_or_else(|| key.clone())?;
    json::flatten_words(&key, &value, ".", &mut |key, word| match params.iter_mut().find(|(known, _)| known == key) {
        Some((_, old)) => *old = word,
        None => params.push((key.to_owned(), word)),
    });
    Ok(())
}
