//! Checks where a model version says that its files are. The server itself never follows such a URI. The check prevents
//! a name in the registry from leading the clients that load it to another place than its run's or model's own.

use percent_encoding::percent_decode_str;

use crate::api::Api;
use crate::fault::{Code, Fault};

/// Schemes that name a host of the client's choice.
const HOSTED: [&str; 10] = ["http", "https", "ftp", "ftps", "sftp", "hdfs", "viewfs", "r2", "b2", "abfss"];
/// What clients give as the source of a prompt, which has no files.
const PROMPT_SOURCES: [&str; 2] = ["dummy-source", "prompt-template"];
/// How often a source is decoded to find what it hides.
const DECODINGS_MAX: usize = 8;

/// Checks a source against the run and the model that the request names for it. The messages are MLflow's.
///
/// # Errors
/// 400 with the reason; 404 for an unknown run or model; 500 for a file of another host (MLflow's code).
pub(super) fn check(api: &Api, source: &str, run_id: &str, model_id: &str, is_prompt: bool) -> Result<(), Fault> {
    if is_prompt {
        let why = format!("Invalid prompt source: '{source}'. Prompt sources must use an MLflow placeholder.");
        return if PROMPT_SOURCES.contains(&source) { Ok(()) } else { Err(Fault::invalid(why)) };
    }
    if api.is_local() {
        // It names nothing that who asks could not read itself.
        return Ok(());
    }
    let (scheme, rest) = split(source);
    let claim = Claim { api, source, scheme: &scheme, rest, run_id, model_id };
    if names_host(&scheme, rest) {
        claim.check_host()
    } else if matches!(scheme.as_str(), "" | "file") && !source.contains('\\') {
        claim.check_path()
    } else if is_plain(source) {
        claim.check_uri()
    } else {
        refused(source, NOT_ABSOLUTE)
    }
}

/// A source, and the run and the model that it is said to belong to; either may be empty.
struct Claim<'a> {
    api: &'a Api,
    source: &'a str,
    scheme: &'a str,
    /// The source after its scheme.
    rest: &'a str,
    run_id: &'a str,
    model_id: &'a str,
}

impl Claim<'_> {
    /// The name of the parameter that says to what the source belongs.
    fn param(&self) -> &'static str {
        if self.model_id.is_empty() { "run_id" } else { "model_id" }
    }

    /// Where the artifacts of the model and of the run are.
    fn roots(&self) -> Result<Vec<String>, Fault> {
        let mut roots = Vec::new();
        if !self.model_id.is_empty() {
            roots.push(self.api.artifacts_of_model(self.model_id)?);
        }
        if !self.run_id.is_empty() {
            roots.push(self.api.artifacts_of_run(self.run_id)?);
        }
        Ok(roots)
    }

    /// Whether the source is written as a place within these artifacts.
    fn is_in_roots(&self) -> Result<bool, Fault> {
        let (scheme, place) = plain(self.source);
        let inside = |root: &String| {
            let (of_root, root) = plain(root);
            of_root == scheme && within(&place, &root)
        };
        Ok(self.roots()?.iter().any(inside))
    }

    /// A host may be named only where the default artifact root is this server's own address, by which its runs' files
    /// are named.
    fn check_host(&self) -> Result<(), Fault> {
        let is_own =
            is_plain(self.source) && self.api.artifacts().is_ok_and(|roots| roots.resolve(self.source).is_ok());
        if is_own && self.is_in_roots()? { Ok(()) } else { Err(foreign_host("source", self.scheme)) }
    }

    /// A path of this machine must lie within the artifacts, however often a reader of it decodes.
    fn check_path(&self) -> Result<(), Fault> {
        let Self { source, run_id, model_id, .. } = self;
        if !is_here(self.scheme, self.rest) {
            return Err(Fault::new(Code::InternalError, format!("{source} is not a valid remote uri.")));
        }
        let (_, path) = plain(source);
        let local = |root: &String| Some(plain(root)).filter(|(scheme, _)| scheme.is_empty());
        let roots: Vec<_> =
            self.roots()?.iter().filter_map(local).filter_map(|(_, root)| local_places(&root)).flatten().collect();
        let is_inside = |place: &String| roots.iter().any(|root| within(place, root));
        if local_places(&path).is_some_and(|places| places.iter().all(is_inside)) {
            return Ok(());
        }
        let place = resolved(&path);
        let told = if run_id.is_empty() && model_id.is_empty() { self.source } else { &place };
        let param = self.param();
        refused(
            told,
            &format!(
                "To use a local path as a model version source, the {param} request parameter has to be specified and \
                 the local path has to be contained within the artifact directory of the run specified by the {param}."
            ),
        )
    }

    /// A URI of a run, a model or the artifact store must be of what the request names. Any other must name a path, and
    /// its reader decides.
    fn check_uri(&self) -> Result<(), Fault> {
        let id = self.rest.trim_start_matches('/');
        let (is_of_request, param) = match self.scheme {
            "runs" => (self.model_id.is_empty() && id.split('/').next() == Some(self.run_id), self.param()),
            "models" => (!id.starts_with("m-") || id == self.model_id, "model_id"),
            "mlflow-artifacts" => match self.is_in_roots() {
                Ok(is_inside) => (is_inside, self.param()),
                Err(fault) if fault.code == Code::ResourceDoesNotExist => (false, self.param()),
                Err(fault) => return Err(fault),
            },
            _ if self.names_path() => return Ok(()),
            _ => return refused(self.source, NOT_ABSOLUTE),
        };
        if is_of_request {
            return Ok(());
        }
        let why = format!("The {param} request parameter must identify the resource that contains the source.");
        refused(self.source, &why)
    }

    /// Whether there is a path after the scheme and the bucket.
    fn names_path(&self) -> bool {
        let path = match self.rest.strip_prefix("//") {
            Some(bucket) => bucket.split_once('/').map_or("", |(_, path)| path),
            None => self.rest,
        };
        !path.trim_matches('/').is_empty()
    }
}

/// Checks a source against the pattern that the owner chose, if there is one. MLflow's name for it is
/// `MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX`.
///
/// # Errors
/// 400 when the pattern is not found in it.
pub(super) fn check_pattern(api: &Api, source: &str) -> Result<(), Fault> {
    let Some(pattern) = api.model_source().filter(|_| !source.is_empty()) else { return Ok(()) };
    // A pattern that gives up on a source has not been found in it.
    if pattern.is_match(source).unwrap_or(false) {
        return Ok(());
    }
    refused(source, "It does not match the pattern that the owner of this server chose for sources.")
}

const NOT_ABSOLUTE: &str = "If supplying a source as an http, https, local file path, ftp, objectstore, or \
                            mlflow-artifacts uri, an absolute path must be provided without relative path references \
                            present. Please provide an absolute path.";

fn refused<T>(source: &str, why: &str) -> Result<T, Fault> {
    Err(Fault::invalid(format!("Invalid model version source: '{source}'. {why}")))
}

/// Whether a path is another, or within it; both as [`plain`] spells them.
fn within(place: &str, root: &str) -> bool {
    place.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a place names a host of the client's choice.
fn names_host(scheme: &str, rest: &str) -> bool {
    HOSTED.contains(&scheme)
        || scheme == "mlflow-artifacts" && rest.starts_with("//") && rest != "//" && !rest.starts_with("///")
}

fn foreign_host(name: &str, scheme: &str) -> Fault {
    Fault::invalid(format!(
        "'{name}' cannot use the '{scheme}' scheme: the '{scheme}' scheme addresses a host other than the tracking \
         server's configured artifact storage, so the server would connect to the host named in the URI."
    ))
}

/// Whether a path or a `file:` URI is of this machine.
fn is_here(scheme: &str, rest: &str) -> bool {
    let host = if scheme == "file" { rest.strip_prefix("//").and_then(|rest| rest.split('/').next()) } else { None };
    host.is_none_or(|host| host.is_empty() || host == "localhost")
}

/// All places that a local path may mean: as it is, and after each decoding. `None` if some part may be read as no
/// path, or if decoding does not end.
fn local_places(path: &str) -> Option<Vec<String>> {
    let bad = |c: char| c.is_control() || matches!(c, '\\' | '#' | '?' | '\u{fffd}');
    let all = decodings(path)?;
    all.iter().all(|one| !one.contains(bad)).then(|| all.iter().map(|one| resolved(one)).collect())
}

/// A path without `.` and `..`, computed from its text alone. Above the root is the root. If a relative path leads
/// above its start, that part stays.
fn resolved(path: &str) -> String {
    let (start, rest) = path.strip_prefix('/').map_or(("", path), |rest| ("/", rest));
    let mut parts: Vec<&str> = Vec::new();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if start.is_empty() => parts.push(part),
            ".." => {}
            part => parts.push(part),
        }
    }
    start.to_owned() + &parts.join("/")
}

/// A source `models:/NAME/VERSION`, `models:/NAME/STAGE` or `models:/NAME@ALIAS` in the form in which it is stored:
/// with the version's number, its run and its model. `None` for other sources.
///
/// # Errors
/// 404 where there is no such version; 400 where it is a prompt's, or the request names another run or model.
pub(super) fn lineage(
    api: &Api,
    source: &str,
    run_id: Option<&str>,
    model_id: Option<&str>,
) -> Result<Option<(String, String, String)>, Fault> {
    let Some(path) = source.strip_prefix("models:/") else { return Ok(None) };
    if path.starts_with('/') {
        return refused(source, "Registered model sources must use the active model registry.");
    }
    let tracking = api.tracking();
    let named = match (path.rsplit_once('/'), path.split_once('@')) {
        (Some((name, _)), _) | (None, Some((name, _))) => name,
        (None, None) => return Ok(None),
    };
    if tracking.get_registered_model(named)?.tags.iter().any(|(key, value)| is_prompt_tag(key, value)) {
        return refused(source, "Prompt versions cannot be used as model version sources.");
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
        return refused(source, "The run_id and model_id request parameters must match the referenced model version.");
    }
    Ok(Some((format!("models:/{}/{}", version.name, version.version), version.run_id, version.model_id)))
}

/// Whether a tag says that a registered model is a prompt.
pub(super) fn is_prompt_tag(key: &str, value: &str) -> bool {
    key == "mlflow.prompt.is_prompt" && value.eq_ignore_ascii_case("true")
}

/// The location of an experiment's files. As in MLflow, a relative path is relative to the server's own working folder.
///
/// # Errors
/// As of [`check_location`].
pub(super) fn location(api: &Api, given: &str) -> Result<String, Fault> {
    if !api.is_local() {
        check_location(given)?;
    }
    let (scheme, rest) = split(given);
    let relative = scheme.is_empty() && !rest.starts_with('/');
    let folder = relative.then(std::env::current_dir).and_then(Result::ok);
    Ok(folder.map_or(given.to_owned(), |folder| format!("{}/{given}", folder.display())))
}

/// Checks the location of an experiment's files: it must not mean another place once it is decoded, nor name a host of
/// the client's choice.
///
/// # Errors
/// 400 with the reason.
fn check_location(location: &str) -> Result<(), Fault> {
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
    if names_host(&scheme, rest) {
        return Err(foreign_host("artifact_location", &scheme));
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

/// A place in a normal form: its scheme, which a path and a `file:` URI do not have, and its path, without the empty
/// host of a URI and without a slash at its end.
fn plain(place: &str) -> (String, String) {
    let (scheme, rest) = split(place);
    let path = rest.strip_prefix("//localhost").or(rest.strip_prefix("//")).filter(|path| path.starts_with('/'));
    let path = path.unwrap_or(rest);
    let scheme = if scheme == "file" { String::new() } else { scheme };
    (scheme, path.trim_end_matches('/').to_owned())
}

/// A text, and the results of decoding it again and again. `None` if a result is not text, or if decoding does not end.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_within_others_by_their_letters() {
        let (_, root) = plain("file:///srv/runs/7/artifacts");
        for inside in
            ["/srv/runs/7/artifacts", "file:/srv/runs/7/artifacts/m", "file://localhost/srv/runs/7/artifacts/m/.."]
        {
            assert!(within(&resolved(&plain(inside).1), &root), "{inside}");
        }
        for outside in
            ["/srv/runs/7", "/srv/runs/7/artifacts-2", "file:///srv/runs/7/artifacts/../x", "srv/runs/7/artifacts", "/"]
        {
            assert!(!within(&resolved(&plain(outside).1), &root), "{outside}");
        }
        assert!(
            is_here("file", "///a")
                && is_here("file", "//localhost/a")
                && is_here("", "/a")
                && !is_here("file", "//h/a")
        );
        for (path, place) in [
            ("/a/./b/../c", "/a/c"),
            ("/..", "/"),
            ("/../../é", "/é"),
            ("../é", "../é"),
            ("a/../../b", "../b"),
            ("/../:/srv", "/:/srv"),
            ("/a/b///../c//", "/a/c"),
            ("", ""),
        ] {
            assert_eq!(resolved(path), place, "{path}");
        }
    }
}
