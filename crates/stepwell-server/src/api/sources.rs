//! The check of where a model version says that its files are. The server follows no such URI; the check keeps a name in
//! the registry from leading the clients that load it to another place than its run's or model's own.

use percent_encoding::percent_decode_str;

use crate::app::App;
use crate::wire::fault::Fault;

/// Schemes that name a host of the client's choice.
const HOSTED: [&str; 6] = ["http", "https", "ftp", "ftps", "hdfs", "viewfs"];
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
            let path = rest.trim_start_matches('/');
            if path.split_once('/').is_some_and(|(_, path)| !path.trim_matches('/').is_empty()) {
                Ok(())
            } else {
                refused("It names no place within its bucket.")
            }
        }
    }
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

/// Whether a source means one place only, however often it is decoded.
fn is_plain(source: &str) -> bool {
    let mut decoded = source.to_owned();
    for _ in 0..DECODINGS_MAX {
        let bad = |c: char| c.is_control() || matches!(c, '\\' | '#' | '?' | '\u{fffd}');
        if decoded.contains(bad) || decoded.starts_with(' ') || decoded.split(['/', ';', ':']).any(|part| part == "..")
        {
            return false;
        }
        let Ok(again) = percent_decode_str(&decoded).decode_utf8() else { return false };
        if again == decoded {
            return true;
        }
        decoded = again.into_owned();
    }
    false
}
