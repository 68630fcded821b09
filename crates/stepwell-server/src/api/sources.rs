//! The check of where a model version says that its files are. The server follows no such URI; the check keeps a name in
//! the registry from leading the clients that load it to another place than its run's or model's own.

use percent_encoding::percent_decode_str;

use crate::app::App;
use crate::wire::fault::Fault;

/// Schemes that name a host of the client's choice.
const HOSTED: [&str; 10] = ["http", "https", "ftp", "ftps", "sftp", "hdfs", "viewfs", "r2", "b2", "abfss"];
/// What clients give as the source of a prompt, which has no files.
const PROMPT_SOURCE: &str = "dummy-source";
/// How often a source may be decoded in search of what it hides.
const DECODINGS_MAX: usize = 8;

/// Checks a source against the run and the model that it is said to be of.
///
/// # Errors
/// 400 with the reason; 404 for an unknown run or model.
pub(super) fn check(app: &App, source: &str, run_id: &str, model_id: &str, is_prompt: bool) -> Result<(), Fault> {
    let refused = |why: &str| Err(Fault::invalid(format!("Invalid model version source: '{source}'. {why}")));
    if is_prompt && source == PROMPT_SOURCE {
        return Ok(());
    }
    if !is_plain(source) {
        return refused("It must be an absolute place without references to its parents, queries and fragments.");
    }
    let (scheme, rest) = split(source);
    let within = |root: &str| {
        let (root, source) = (plain(root), plain(source));
        source == root || source.strip_prefix(root.as_str()).is_some_and(|rest| rest.starts_with('/'))
    };
    match scheme.as_str() {
        scheme if HOSTED.contains(&scheme) => refused("Its scheme names a host, which this server does not vouch for."),
        "runs" => match rest.trim_start_matches('/').split('/').next() {
            Some(id) if !id.is_empty() && id == run_id => Ok(()),
            _ => refused("The run that it names must be the request's run_id."),
        },
        "models" => match rest.trim_start_matches('/') {
            id if id.starts_with("m-") && id != model_id => {
                refused("The model that it names must be the request's model_id.")
            }
            _ => Ok(()),
        },
        "" | "file" | "mlflow-artifacts" => {
            let owner = if model_id.is_empty() { run_id } else { model_id };
            if owner.is_empty() {
                return refused(
                    "To use such a source, run_id has to be given, and the source must be in that run's artifacts.",
                );
            }
            let of_model =
                if model_id.is_empty() { None } else { Some(super::logged_models::artifact_uri(app, model_id)?) };
            let of_run = if run_id.is_empty() { None } else { Some(super::runs::artifact_uri(app, run_id)?) };
            if of_model.into_iter().chain(of_run).any(|root| within(&root)) {
                Ok(())
            } else {
                refused("It must be in the artifacts of the run or model that the request names.")
            }
        }
        _ => {
            let path = match rest.strip_prefix("//") {
                Some(bucket) => bucket.split_once('/').map_or("", |(_, path)| path),
                None => rest,
            };
            if !path.trim_matches('/').is_empty() { Ok(()) } else { refused("It names no place within its bucket.") }
        }
    }
}

/// A source `models:/NAME/VERSION`, `models:/NAME/STAGE` or `models:/NAME@ALIAS` as it is kept: with the version's number,
/// its run and its model. `None` for other sources.
///
/// # Errors
/// 404 where there is no such version; 400 where it is a prompt's, or the request names another run or model.
pub(super) fn lineage(
    app: &App,
    source: &str,
    run_id: Option<&str>,
    model_id: Option<&str>,
) -> Result<Option<(String, String, String)>, Fault> {
    let Some(path) = source.strip_prefix("models:/") else { return Ok(None) };
    let refused = |why: &str| Err(Fault::invalid(format!("Invalid model version source: '{source}'. {why}")));
    if path.starts_with('/') {
        return refused("Registered model sources must use the active model registry.");
    }
    let tracking = &app.tracking;
    let named = match (path.rsplit_once('/'), path.split_once('@')) {
        (Some((name, _)), _) | (None, Some((name, _))) => name,
        (None, None) => return Ok(None),
    };
    if tracking.get_registered_model(named)?.tags.iter().any(|(key, value)| is_prompt_tag(key, value)) {
        return refused("Prompt versions cannot be used as model version sources.");
    }
    let version = match (path.rsplit_once('/'), path.split_once('@')) {
        (None, None) => return Ok(None),
        (None, Some((name, alias))) => tracking.get_model_version_by_alias(name, alias)?,
        (Some((name, version)), _) if version.parse::<u64>().is_ok() => tracking.get_model_version(name, version)?,
        (Some((name, latest)), _) if latest.eq_ignore_ascii_case("latest") => {
            tracking.get_model_version_by_alias(name, latest)?
        }
        (Some((name, stage)), _) => tracking
            .get_latest_versions(name, &[stage.to_owned()])?
            .pop()
            .ok_or_else(|| Fault::missing(format!("No version of {name} in stage {stage}")))?,
    };
    if run_id.is_some_and(|given| given != version.run_id) || model_id.is_some_and(|given| given != version.model_id) {
        return refused("The run_id and model_id request parameters must match the referenced model version.");
    }
    Ok(Some((format!("models:/{}/{}", version.name, version.version), version.run_id, version.model_id)))
}

/// Whether a tag says that a registered model is a prompt.
pub(super) fn is_prompt_tag(key: &str, value: &str) -> bool {
    key == "mlflow.prompt.is_prompt" && value.eq_ignore_ascii_case("true")
}

/// Checks where an experiment's files shall be: no place that means another once it is decoded, and no host of the
/// client's choice.
///
/// # Errors
/// 400 with the reason.
pub(super) fn check_location(location: &str) -> Result<(), Fault> {
    let (scheme, rest) = split(location);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    // Only what has no scheme has params in MLflow's reading.
    let has_params = scheme.is_empty() && rest.rsplit('/').next().is_some_and(|last| last.contains(';'));
    if location.contains('#') || has_params {
        return Err(Fault::invalid("'artifact_location' URL can't include fragments or params."));
    }
    if !query.is_empty() && !decodings(query).is_some_and(|all| all.iter().all(|one| !one.contains(".."))) {
        return Err(Fault::invalid("Invalid query string"));
    }
    let names_host = HOSTED.contains(&scheme.as_str()) || scheme == "mlflow-artifacts" && rest.starts_with("//");
    if names_host && !(scheme == "mlflow-artifacts" && (rest == "//" || rest.starts_with("///"))) {
        return Err(Fault::invalid(format!(
            "'artifact_location' cannot use the '{scheme}' scheme: it addresses a host other than this server's own \
             artifact storage."
        )));
    }
    Ok(())
}

/// Scheme, in lower case and empty for a path, and what follows it.
fn split(source: &str) -> (String, &str) {
    match source.split_once(':') {
        Some((scheme, rest))
            if scheme.len() > 1
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) =>
        {
            (scheme.to_ascii_lowercase(), rest)
        }
        _ => (String::new(), source),
    }
}

/// A place in one spelling: without the empty host of a URI, and without a slash at its end.
fn plain(place: &str) -> String {
    let (scheme, rest) = split(place);
    let path = rest.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(rest);
    let scheme = if scheme == "file" { "" } else { scheme.as_str() };
    format!("{scheme}:{}", path.trim_end_matches('/'))
}

/// A text, and what it is when decoded again and again; `None` where that is no text, or does not end.
fn decodings(text: &str) -> Option<Vec<String>> {
    let mut all = vec![text.to_owned()];
    for _ in 0..DECODINGS_MAX {
        let again = percent_decode_str(all.last()?).decode_utf8().ok()?.into_owned();
        if all.last() == Some(&again) {
            return Some(all);
        }
        all.push(again);
    }
    None
}

/// Whether a source means one place only, however often it is decoded.
fn is_plain(source: &str) -> bool {
    let bad = |c: char| c.is_control() || matches!(c, '\\' | '#' | '?' | '\u{fffd}');
    let plain = |one: &String| {
        !one.contains(bad) && !one.starts_with(' ') && !one.split(['/', ';', ':']).any(|part| part == "..")
    };
    decodings(source).is_some_and(|all| all.iter().all(plain))
}
