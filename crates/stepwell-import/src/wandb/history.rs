//! W&B's values as Stepwell's: metrics in history rows and machine statistics, params in config, what is left in the
//! summary.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::keep::Keep;
use crate::number;
use crate::report::Kind;
use crate::series::SeriesBuilder;
use crate::table::inexact::{Inexact, Lost};
use crate::table::json;
use crate::wandb::messages::{Config, History, Item, Stats};
use crate::wandb::values::{self, Leaf, Media, kind_of, leaves};

/// What is told of texts that are not kept one by one.
const TEXTS: &str = "texts in the history; the last of each key is a tag: --artifacts keeps all as files";
/// How the tags begin that hold values of the summary.
const SUMMARY: &str = "wandb.summary.";

/// What the rows and the summary of one log come to.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) builder: SeriesBuilder,
    summary: Map<String, Value>,
    /// The step and the time of the last row.
    last: Option<(i64, Option<i64>)>,
    /// The last text of each key.
    texts: BTreeMap<String, String>,
    /// Types of media by key.
    media: BTreeMap<String, String>,
    /// What is not a metric and has no file of its own.
    pub(crate) keep: Keep,
    /// How many values of a kind are in files of the run, and what they were.
    pub(crate) in_files: BTreeMap<(Kind, String), u64>,
    /// Numbers that no float holds.
    pub(crate) inexact: Inexact,
    /// What the latest value of each key of the summary has otherwise than its text.
    summary_lost: BTreeMap<String, Lost>,
    /// Rows whose own step cannot be read; the record's is taken.
    pub(crate) unread_steps: u64,
    /// Rows whose time cannot be read; they have none.
    pub(crate) unread_times: u64,
}

/// Looks for whole numbers that no float holds, at the keys that are asked for; a list is not a metric.
fn look(inexact: &mut Inexact, key: &str, value: &Value, is_flush_requested: &dyn Fn(&str) -> bool) {
    match value {
        Value::Number(_) if is_flush_requested(key) => inexact.look_at(value, None),
        Value::Object(object) => {
            object.iter().for_each(|(name, value)| look(inexact, &format!("{key}.{name}"), value, is_flush_requested));
        }
        _ => {}
    }
}

impl Rows {
    /// Adds a history row's numbers, each under its key, nested ones joined with `.`.
    ///
    /// The row's step is its `_step` if that is a whole number, else the record's own, which is 0 when not set; its
    /// time is its `_timestamp` in seconds. Returns the first key whose value is not JSON.
    pub(crate) fn add_row(&mut self, row: &History) -> Result<(), String> {
        let (mut tree, bad) = values::tree(&row.item, &mut self.inexact);
        let mut step = row.step.as_ref().map_or(0, |step| step.num);
        let mut timestamp_ms = None;
        if tree.get("_step").is_some_and(|value| !value.is_object()) {
            let own = tree.shift_remove("_step").and_then(|value| match value.as_i64() {
                None => value.as_f64().and_then(number::whole),
                step => step,
            });
            self.unread_steps += u64::from(own.is_none());
            step = own.unwrap_or(step);
        }
        if tree.get("_timestamp").is_some_and(|value| !value.is_object()) {
            let time = tree.shift_remove("_timestamp").and_then(|value| value.as_f64());
            timestamp_ms = time.and_then(number::seconds_to_ms);
            self.unread_times += u64::from(timestamp_ms.is_none());
        }
        self.last = Some((step, timestamp_ms));
        for (key, value) in &tree {
            look(&mut self.inexact, key, value, &|_| true);
            leaves(key, value, &mut |key, leaf| match leaf {
                Leaf::Number(number) => self.builder.push(key, step, timestamp_ms, number),
                Leaf::Text(text) => {
                    self.texts.insert(key.to_owned(), text.to_owned());
                    match self.keep.wants_files() {
                        true => self.keep.text(key, step, text),
                        false => self.keep.leave_out(Kind::Text, TEXTS),
                    }
                }
                Leaf::List(list) => self.keep.put(Kind::Other, "lists", key, step, "json", list.to_string().as_bytes()),
                Leaf::Media(media) => {
                    self.media.insert(key.to_owned(), media.kind.to_owned());
                    self.take_media(key, step, media);
                }
            });
        }
        bad.map_or(Ok(()), Err)
    }

    /// Keeps an object that is a value of its own; one that names a file is counted.
    fn take_media(&mut self, key: &str, step: i64, media: Media<'_>) {
        let Media { kind, count, inline } = media;
        match inline {
            Some(value) => {
                let of = if kind.contains("histogram") { "histograms" } else { "values" };
                self.keep.put(kind_of(kind), of, key, step, "json", value.to_string().as_bytes());
            }
            None => *self.in_files.entry((kind_of(kind), kind.to_owned())).or_default() += count,
        }
    }

    /// Adds machine statistics under `system/`. They have no step of their own: it is the point's place in its series.
    pub(crate) fn add_stats(&mut self, stats: &Stats) -> Result<(), String> {
        let timestamp_ms = stats.timestamp.as_ref().and_then(super::messages::Timestamp::to_ms);
        let (tree, bad) = values::tree(&stats.item, &mut self.inexact);
        for (key, value) in &tree {
            look(&mut self.inexact, key, value, &|_| true);
            json::flatten(&format!("system/{key}"), value, ".", &mut |key, value| {
                let step = self.builder.len_of(key) as i64;
                self.builder.push(key, step, timestamp_ms, value);
            });
        }
        bad.map_or(Ok(()), Err)
    }

    /// Notes what the summary says.
    pub(crate) fn set_summary(&mut self, change: &Config) -> Result<(), String> {
        let mut bad = None;
        for item in &change.update {
            match json::parse_counting(item.value_json.as_bytes()) {
                Some((value, lost)) => {
                    self.summary_lost.insert(item.full_key(), lost);
                    values::put(&mut self.summary, item.path(), value);
                }
                None => bad = bad.or_else(|| Some(item.full_key())),
            }
        }
        change.remove.iter().for_each(|item| values::remove(&mut self.summary, item.path()));
        bad.map_or(Ok(()), Err)
    }

    /// Adds what only the summary has to metrics and tags. Once the log has ended, a number whose key has no history
    /// becomes a metric of one point. Until then it may still change and becomes a tag, as does everything else that
    /// differs from the history's end.
    pub(crate) fn close(&mut self, has_ended: bool, tags: &mut Vec<(String, String)>) {
        let mut words: BTreeMap<String, String> = std::mem::take(&mut self.texts);
        let summary = std::mem::take(&mut self.summary);
        let (step, timestamp_ms) = self.last.unwrap_or((0, None));
        let is_own = |key: &String| matches!(key.as_str(), "_wandb" | "_step" | "_runtime" | "_timestamp");
        // What the history has of a key was counted there.
        for (key, lost) in std::mem::take(&mut self.summary_lost) {
            if !is_own(&key) && self.builder.len_of(&key) == 0 {
                self.inexact.lost(None, &lost);
            }
        }
        for (key, value) in summary.iter().filter(|(key, _)| !is_own(key)) {
            let builder = &self.builder;
            look(&mut self.inexact, key, value, &|key| builder.len_of(key) == 0);
            leaves(key, value, &mut |key, leaf| match leaf {
                Leaf::Number(number) => {
                    let text = value_text(number);
                    match self.builder.last_of(key) {
                        Some(last) if last.to_bits() == number.to_bits() || (last.is_nan() && number.is_nan()) => {}
                        // `acc.max` is a statistic of `acc` in the language of filters.
                        None if has_ended && !self.is_statistic(key) => {
                            self.builder.push(key, step, timestamp_ms, number);
                        }
                        _ => _ = words.insert(key.to_owned(), text),
                    }
                }
                Leaf::Text(text) => _ = words.insert(key.to_owned(), text.to_owned()),
                Leaf::List(list) => _ = words.insert(key.to_owned(), list.to_string()),
                Leaf::Media(media) => {
                    if !self.media.contains_key(key) {
                        self.take_media(key, step, media);
                    }
                }
            });
        }
        tags.extend(words.into_iter().map(|(key, word)| (format!("{SUMMARY}{key}"), word)));
    }

    /// Whether a key of the summary is a metric's key and the name of a statistic.
    fn is_statistic(&self, key: &str) -> bool {
        key.rsplit_once('.').is_some_and(|(metric, _)| self.builder.len_of(metric) > 0)
    }
}

fn value_text(number: f64) -> String {
    if number.is_finite() { number.to_string() } else { format!("{number:?}") }
}

/// Sets a config item's params, nested ones joined with `.`; W&B's own item is left out. Returns how many values took
/// the place of another that stands under the same key by another path, and counts numbers that the words have
/// otherwise.
pub(crate) fn set_config(
    params: &mut BTreeMap<String, (Vec<String>, String)>,
    item: &Item,
    inexact: &mut Inexact,
) -> Result<u64, String> {
    let key = item.full_key();
    if key == "_wandb" || key.starts_with("_wandb.") {
        return Ok(0);
    }
    let (value, lost) = json::parse_counting(item.value_json.as_bytes()).ok_or_else(|| key.clone())?;
    inexact.lost(None, &lost);
    let mut replaced = 0;
    flatten(&mut item.path().to_vec(), &value, &mut |path, word| {
        let key = path.join(".");
        if params.get(&key).is_some_and(|(before, old)| before != path && *old != word) {
            replaced += 1;
        }
        params.insert(key, (path.to_vec(), word));
    });
    Ok(replaced)
}

/// Calls with each leaf of a value as a word and its path: strings as they are, the rest as JSON.
fn flatten(path: &mut Vec<String>, value: &Value, put: &mut dyn FnMut(&[String], String)) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                path.push(name.clone());
                flatten(path, member, put);
                path.pop();
            }
        }
        Value::String(text) => put(path, text.clone()),
        other => put(path, other.to_string()),
    }
}
