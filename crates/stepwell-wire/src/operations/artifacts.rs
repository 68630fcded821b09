//! Artifacts by name: lists and removal. Their bytes go through the server.

use serde::Serialize;

use crate::artifacts::ArtifactPath;
use crate::artifacts::ArtifactStore;
use crate::call::{Answer, Call, Outcome};
use crate::fault::{Code, Fault};
use crate::json::check::Check::{Required, Text};
use crate::json::schema::{Field, text};

/// `ListArtifacts`.
const LIST: &[Field] = &[text("run_id"), text("run_uuid"), text("path"), text("page_token")];

/// An entry of a list.
#[derive(Serialize)]
pub(crate) struct FileInfo {
    path: String,
    is_dir: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<u64>,
}

/// A list.
#[derive(Serialize)]
pub(crate) struct Listed {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) root_uri: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<FileInfo>,
}

/// What is in `base/path`, named from `base`.
pub(crate) fn list(store: &ArtifactStore, base: &ArtifactPath, path: &ArtifactPath) -> Result<Vec<FileInfo>, Fault> {
    let entries = store.list(&base.join(path)?)?;
    let name = |name: String| if path.is_root() { name } else { format!("{}/{name}", path.as_str()) };
    Ok(entries
        .into_iter()
        .map(|entry| FileInfo {
            path: name(entry.name),
            is_dir: entry.bytes.is_none(),
            file_size: entry.bytes.filter(|bytes| *bytes > 0),
        })
        .collect())
}

/// `GET mlflow-artifacts/artifacts?path=…`.
pub(crate) fn list_proxied(call: &Call<'_>) -> Outcome {
    let request = call.read(&[text("path")], &[])?;
    let path = ArtifactPath::folder(request.text("path"))?;
    // The proxy names entries by their last segment alone.
    let files = list(&call.api.artifacts()?.proxied, &path, &ArtifactPath::default())?;
    Answer::json(&Listed { root_uri: None, files })
}

/// `DELETE mlflow-artifacts/artifacts/PATH`.
pub(crate) fn delete(call: &Call<'_>) -> Outcome {
    call.api.artifacts()?.proxied.remove(&ArtifactPath::new(call.input.path("artifact_path"))?)?;
    Ok(Answer::done())
}

/// `GET artifacts/list?run_id=…&path=…`.
pub(crate) fn list_of_run(call: &Call<'_>) -> Outcome {
    let request = call.read(LIST, &[("run_id", &[Text, Required]), ("path", &[Text]), ("page_token", &[Text])])?;
    let path = ArtifactPath::folder(request.text("path"))?;
    let root = call.api.artifacts_of_run(request.run_id())?;
    let (store, base) = call.api.artifacts()?.resolve(&root)?;
    Answer::json(&Listed { files: list(&store, &base, &path)?, root_uri: Some(root) })
}

/// Uploads in parts go to stores that take them; clients then send the file whole, as with MLflow's own local store.
pub(crate) fn no_parts(call: &Call<'_>) -> Outcome {
    ArtifactPath::new(call.input.path("artifact_path"))?;
    Err(Fault::new(
        Code::NotImplemented,
        "Multipart upload is not supported for the current artifact repository; the file goes in one request.",
    ))
}

/// There are no addresses signed beforehand: the files are behind this server.
pub(crate) fn no_presigned(call: &Call<'_>) -> Outcome {
    ArtifactPath::new(call.input.path("artifact_path"))?;
    Err(Fault::new(
        Code::NotImplemented,
        "Multipart download is not supported for the current artifact repository; the file comes in one answer.",
    ))
}
