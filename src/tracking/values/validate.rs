//! MLflow's rules for names and lengths.

use std::borrow::Cow;

use crate::base::ids::{ExperimentId, RunId};
use crate::base::limits::{
    EXPERIMENT_NAME_CHARS_MAX, EXPERIMENT_TAG_VALUE_CHARS_MAX, KEY_CHARS_MAX, PARAM_VALUE_CHARS_MAX,
    TAG_VALUE_CHARS_MAX,
};
use crate::tracking::values::entities::MetricRef;
use crate::tracking::values::error::{Fault, Result};

/// Most metrics in one batch, and most of everything.
pub(crate) const METRICS_PER_BATCH_MAX: usize = 1000;
/// Most params, and most tags, in one batch.
pub(crate) const PARAMS_PER_BATCH_MAX: usize = 100;
/// Most results of one page of runs, experiments and logged models.
pub(crate) const RESULTS_MAX: usize = 50_000;
/// Longest location of artifacts, in characters.
const LOCATION_CHARS_MAX: usize = 2048;

/// A text as JSON writes it, for messages.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// MLflow's message for an invalid value.
pub(crate) fn invalid_value(value: &str, path: &str, why: &str) -> Fault {
    let why = if why.is_empty() { ".".to_owned() } else { format!(": {why}") };
    Fault::invalid(format!("Invalid value {value} for parameter '{path}' supplied{why}"))
}

fn too_long(path: &str, limit: usize) -> Fault {
    Fault::invalid(format!("'{path}' exceeds the maximum length of {limit} characters"))
}

/// Refuses a text that is longer than `limit` characters.
pub(crate) fn check_length(path: &str, text: &str, limit: usize) -> Result<()> {
    // A character has at least one byte, so a short text needs no counting.
    if text.len() > limit && text.chars().count() > limit { Err(too_long(path, limit)) } else { Ok(()) }
}

/// The text, or its first `limit` characters where cutting is allowed.
pub(crate) fn cut<'a>(path: &str, text: &'a str, limit: usize, truncate: bool) -> Result<&'a str> {
    if text.len() <= limit {
        return Ok(text);
    }
    match text.char_indices().nth(limit) {
        None => Ok(text),
        Some((end, _)) if truncate => Ok(&text[..end]),
        Some(_) => Err(too_long(path, limit)),
    }
}

/// Refuses a key that MLflow does not take for metrics, params and tags.
pub(crate) fn check_key(path: &str, key: &str) -> Result<()> {
    check_word(path, key)?;
    check_length(path, key, KEY_CHARS_MAX)
}

/// Refuses a key with a character or a form that MLflow does not take, of any length.
pub(crate) fn check_word(path: &str, key: &str) -> Result<()> {
    if !key.chars().all(|c| c.is_alphanumeric() || matches!(c, '/' | '_' | '.' | '-' | ' ' | ':')) {
        let why = "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), \
                   colon(:) and slashes (/).";
        return Err(invalid_value(&quoted(key), path, why));
    }
    // What MLflow asks is whether the key is its own normal path, and none that begins with `/` or `..`.
    if !key.starts_with("..") && key.split('/').all(|part| !matches!(part, "" | "." | "..")) {
        return Ok(());
    }
    let why = format!(
        "Names may be treated as files in certain cases, and must not resolve to other names when treated as such. \
         This name would resolve to '{}'",
        normal_path(key)
    );
    Err(invalid_value(&quoted(key), path, &why))
}

/// A path without `.`, `..` and doubled slashes, as POSIX resolves it by its letters; two leading slashes stay two.
pub(crate) fn normal_path(path: &str) -> String {
    let root = match path.len() - path.trim_start_matches('/').len() {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    let joined = format!("{root}{}", parts.join("/"));
    if joined.is_empty() { ".".to_owned() } else { joined }
}

/// Refuses a metric's point that MLflow does not take.
pub(crate) fn check_metric(path: &str, metric: &MetricRef<'_>) -> Result<()> {
    // A valid metric, of which a batch may have a thousand, needs no formatted name.
    let name = if path.is_empty() { Cow::Borrowed("name") } else { Cow::Owned(format!("{path}.name")) };
    check_word(&name, metric.key)?;
    if metric.timestamp < 0 {
        let name = if path.is_empty() { "timestamp".to_owned() } else { format!("{path}.timestamp") };
        let why = format!(
            "metric '{}' (value={:?}). Timestamp must be a nonnegative long (64-bit integer) ",
            metric.key, metric.value
        );
        return Err(invalid_value(&metric.timestamp.to_string(), &name, &why));
    }
    check_length("Metric name", metric.key, KEY_CHARS_MAX)
}

/// A param's key and value as they are kept.
pub(crate) fn param(path: &str, key: &str, value: &str, truncate: bool) -> Result<(String, String)> {
    check_word(path, key)?;
    check_length("Param key", key, KEY_CHARS_MAX)?;
    Ok((key.to_owned(), cut("Param value", value, PARAM_VALUE_CHARS_MAX, truncate)?.to_owned()))
}

/// A run's tag as it is kept.
pub(crate) fn tag(path: &str, key: &str, value: &str, truncate: bool) -> Result<(String, String)> {
    let name = if path.is_empty() { "key".to_owned() } else { format!("{path}.key") };
    check_key(&name, key)?;
    Ok((key.to_owned(), cut("value", value, TAG_VALUE_CHARS_MAX, truncate)?.to_owned()))
}

/// A tag that comes with what is created, or one of a logged model, as it is kept. MLflow does not look at the letters
/// of these.
pub(crate) fn free_tag(key: &str, value: &str, truncate: bool) -> Result<(String, String)> {
    check_length("key", key, KEY_CHARS_MAX)?;
    Ok((key.to_owned(), cut("value", value, TAG_VALUE_CHARS_MAX, truncate)?.to_owned()))
}

/// A param of a logged model as it is kept, at whose letters MLflow does not look either.
pub(crate) fn free_param(key: &str, value: &str, truncate: bool) -> Result<(String, String)> {
    check_length("Param key", key, KEY_CHARS_MAX)?;
    Ok((key.to_owned(), cut("Param value", value, PARAM_VALUE_CHARS_MAX, truncate)?.to_owned()))
}

/// Refuses an experiment's tag that MLflow does not take.
pub(crate) fn check_experiment_tag(key: &str, value: &str) -> Result<()> {
    check_key("key", key)?;
    check_length("value", value, EXPERIMENT_TAG_VALUE_CHARS_MAX)
}

/// Refuses a batch that is too large.
pub(crate) fn check_batch(metrics: usize, params: usize, tags: usize) -> Result<()> {
    let limits = [
        ("metrics", METRICS_PER_BATCH_MAX, metrics),
        ("params", PARAMS_PER_BATCH_MAX, params),
        ("tags", PARAMS_PER_BATCH_MAX, tags),
        ("metrics, params, and tags", METRICS_PER_BATCH_MAX, metrics + params + tags),
    ];
    for (what, limit, len) in limits {
        if len > limit {
            return Err(Fault::invalid(format!(
                "A batch logging request can contain at most {limit} {what}. Got {len} {what}. Please split up {what} \
                 across multiple requests and try again."
            )));
        }
    }
    Ok(())
}

/// Refuses an experiment's name that MLflow does not take.
pub(crate) fn check_experiment_name(name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Fault::invalid(format!("Invalid experiment name: '{name}'")));
    }
    check_length("name", name, EXPERIMENT_NAME_CHARS_MAX)
}

/// Refuses a location for artifacts that MLflow does not take.
pub(crate) fn check_artifact_location(location: &str) -> Result<()> {
    if location.starts_with("runs:") {
        let why = format!("Artifact location cannot be a runs:/ URI. Given: '{location}'");
        return Err(Fault::invalid(why));
    }
    if location.chars().count() > LOCATION_CHARS_MAX {
        return Err(Fault::invalid(format!(
            "Invalid artifact path length. The length of the artifact path cannot be greater than {LOCATION_CHARS_MAX} \
             characters."
        )));
    }
    Ok(())
}

/// An experiment's number; the empty text is the default experiment's (MLflow's rule).
pub(crate) fn experiment_id(text: &str) -> Result<ExperimentId> {
    if text.is_empty() {
        return Ok(ExperimentId::DEFAULT);
    }
    text.trim().parse().map_err(|_| match text.trim().parse::<i64>() {
        // Numbers below zero, of which MLflow has none either.
        Ok(number) => Fault::missing(format!("No Experiment with id={number} exists")),
        Err(_) => Fault::invalid(format!("Invalid experiment ID '{text}'. Experiment ID must be a valid integer.")),
    })
}

/// A run's id for a call that finds runs: one of a wrong form names none.
pub(crate) fn run_id(text: &str) -> Result<RunId> {
    RunId::new(text).map_err(|_| Fault::missing(format!("Run with id={text} not found")))
}

/// A run's id for a call that checks its form first.
pub(crate) fn strict_run_id(text: &str) -> Result<RunId> {
    RunId::new(text).map_err(|_| invalid_value(&quoted(text), "run_id", ""))
}

/// How many results a page may have.
pub(crate) fn max_results(given: i64, limit: usize) -> Result<usize> {
    match usize::try_from(given) {
        Ok(given) if (1..=limit).contains(&given) => Ok(given),
        Ok(given) if given > limit => Err(Fault::invalid(format!(
            "Invalid value {given} for parameter 'max_results' supplied. It must be at most {limit}"
        ))),
        _ => Err(Fault::invalid(format!(
            "Invalid value {given} for parameter 'max_results' supplied. It must be a positive integer"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_paths_that_stay_what_they_are() {
        for good in ["a", "a/b", "a.b", "a b", "a:b", "é", "日本", "...a", "a..b", "a/..b", " "] {
            let refused = good == "...a";
            assert_eq!(check_key("key", good).is_err(), refused, "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "a/../b", "..", ".", "./a", "a@b", "a\nb", "a\n", "//a", &"x".repeat(251)] {
            assert!(check_key("key", bad).is_err(), "{bad:?}");
        }
        let error = check_key("key", "a//b").unwrap_err();
        assert!(error.message.ends_with("This name would resolve to 'a/b'"), "{error}");
    }

    #[test]
    fn paths_are_resolved_as_posix_does() {
        let cases = [
            ("", "."),
            ("a/./b", "a/b"),
            ("../a", "../a"),
            ("a/../..", ".."),
            ("/..", "/"),
            ("//a", "//a"),
            ("///a", "/a"),
            ("a/b/../../..", ".."),
            ("/../a", "/a"),
        ];
        for (given, expected) in cases {
            assert_eq!(normal_path(given), expected, "{given}");
        }
    }

    #[test]
    fn long_values_are_cut_at_characters() {
        let long = "é".repeat(6001);
        assert_eq!(param("key", "k", &long, true).unwrap().1.chars().count(), 6000);
        assert!(param("key", "k", &long, false).is_err());
        assert_eq!(param("key", "k", &"é".repeat(6000), false).unwrap().1.len(), 12_000);
    }

    #[test]
    fn pages_have_at_least_one_result() {
        assert_eq!(max_results(1, 10).unwrap(), 1);
        for bad in [0, -1, 11, i64::MIN, i64::MAX] {
            assert!(max_results(bad, 10).is_err());
        }
    }
}
