//! Artifacts over HTTP: uploads and downloads as streams, never whole in memory.

use std::io::{Seek, SeekFrom};
use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HeaderName, HeaderValue, IF_RANGE, RANGE,
};
use axum::response::Response;
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

use super::kinds;
use super::range::{self, Part};
use crate::app::App;
use crate::http::body::Reader;
use crate::http::dispatch::{Streamed, Streaming, respond};
use crate::http::guard;
use stepwell_wire::artifacts::{ArtifactPath, ArtifactStore, failed};
use stepwell_wire::routes::Lane;
use stepwell_wire::{Answer, Api, Code, Fault};

/// Bytes read or written at a time.
const CHUNK: usize = 256 << 10;
/// Most bytes of an upload from the UI, as MLflow has it.
const UI_UPLOAD_BYTES_MAX: u64 = 10 << 20;

/// What a file may that the owner trusts: run its scripts, in an origin that is nobody's, so that no call of theirs is
/// taken for one of this server's pages.
const SANDBOX: &str = "sandbox allow-scripts";
/// The header that says what of a file is blocked.
const NOTE: HeaderName = HeaderName::from_static("x-stepwell-note");
const BLOCKED: &str = "This file is to be saved, not shown: its scripts would run with the rights of this server's own \
                       pages. `stepwell serve --trust-artifacts` shows it in a sandbox.";

const BLOCKED_ALWAYS: &str =
    "This file is to be saved, not shown: pages do not get it as a script or style, also with --trust-artifacts.";

/// `GET mlflow-artifacts/artifacts/PATH`.
pub(crate) fn download(request: Streamed) -> Streaming {
    Box::pin(async move {
        let path = ArtifactPath::new(request.input.path("artifact_path"))?;
        let store = Arc::clone(&request.app.api.artifacts()?.proxied);
        send(request, store, path).await
    })
}

/// `PUT mlflow-artifacts/artifacts/PATH`.
pub(crate) fn upload(request: Streamed) -> Streaming {
    Box::pin(async move {
        let path = ArtifactPath::new(request.input.path("artifact_path"))?;
        let store = Arc::clone(&request.app.api.artifacts()?.proxied);
        let limit = request.app.config.limits.artifact_bytes;
        receive(&request.app, store, path, request.body, 0..=limit).await?;
        Ok(respond(Answer::done()))
    })
}

/// `GET get-artifact?run_id=…&path=…`.
pub(crate) fn get_artifact(request: Streamed) -> Streaming {
    Box::pin(async move {
        let run =
            request.input.argument("run_id").or(request.input.argument("run_uuid")).unwrap_or_default().to_owned();
        let path = argument(&request, "path")?;
        let (store, path) = located(&request.app, path, move |api| api.artifacts_of_run(&run)).await?;
        send(request, store, path).await
    })
}

/// `GET model-versions/get-artifact?name=…&version=…&path=…`.
pub(crate) fn get_version_artifact(request: Streamed) -> Streaming {
    Box::pin(async move {
        let path = argument(&request, "path")?;
        let name = request.input.argument("name").unwrap_or_default().to_owned();
        let version = request.input.argument("version").unwrap_or_default().to_owned();
        let location = move |api: &Api| api.artifacts_of_version(&name, &version);
        let (store, path) = located(&request.app, path, location).await?;
        send(request, store, path).await
    })
}

/// `GET logged-models/{model_id}/artifacts/files?artifact_file_path=…`.
pub(crate) fn get_model_artifact(request: Streamed) -> Streaming {
    Box::pin(async move {
        let path = argument(&request, "artifact_file_path")?;
        let model = request.input.path("model_id").to_owned();
        let location = move |api: &Api| api.artifacts_of_model(&model);
        let (store, path) = located(&request.app, path, location).await?;
        send(request, store, path).await
    })
}

/// `POST upload-artifact?run_uuid=…&path=…`, by which the UI stores an artifact.
pub(crate) fn upload_to_run(request: Streamed) -> Streaming {
    Box::pin(async move {
        let run = request.input.argument("run_id").filter(|run| !run.is_empty());
        let run = run.or(request.input.argument("run_uuid")).unwrap_or_default().to_owned();
        if run.is_empty() {
            return Err(Fault::invalid("Request must specify run_id or run_uuid."));
        }
        if request.input.argument("path").unwrap_or_default().is_empty() {
            return Err(Fault::invalid("Request must specify path."));
        }
        let path = argument(&request, "path")?;
        // Other sites can send a form without asking; this they cannot.
        let kind = request.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let simple = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"];
        if simple.contains(&kind.split(';').next().unwrap_or_default()) && request.headers.get("origin").is_none() {
            return Err(Fault::invalid(
                "Bad Request. The file's bytes are to be the body, as application/octet-stream.",
            ));
        }
        let (store, path) = located(&request.app, path, move |api| api.artifacts_of_run(&run)).await?;
        receive(&request.app, store, path, request.body, 1..=UI_UPLOAD_BYTES_MAX).await?;
        Ok(respond(Answer::done()))
    })
}

/// A path among the arguments of the URL.
pub(super) fn argument(request: &Streamed, name: &str) -> Result<ArtifactPath, Fault> {
    let given = request.input.argument(name);
    let given = given.ok_or_else(|| Fault::new(Code::BadRequest, format!("Request must specify {name}.")))?;
    ArtifactPath::new(given)
}

/// The tree and the whole path of something below an artifact location that the store knows.
pub(super) async fn located(
    app: &Arc<App>,
    path: ArtifactPath,
    location: impl FnOnce(&Api) -> Result<String, Fault> + Send + 'static,
) -> Result<(Arc<ArtifactStore>, ArtifactPath), Fault> {
    let own = Arc::clone(app);
    let work = move || {
        let (store, base) = own.api.artifacts()?.resolve(&location(&own.api)?)?;
        Ok((store, base.join(&path)?))
    };
    app.lanes.run(Lane::Object, app.config.limits.call, work).await?
}

/// Sends a file, or the part of it that was asked for.
async fn send(request: Streamed, store: Arc<ArtifactStore>, path: ArtifactPath) -> Result<Response, Fault> {
    let Streamed { app, headers: asked_with, .. } = request;
    let name = path.name().to_owned();
    // Whether a part that a client has is of this very file nobody knows, so that on a condition all of it is sent.
    let asked = if asked_with.contains_key(IF_RANGE) { None } else { asked_with.get(RANGE) };
    let asked = asked.and_then(|range| range.to_str().ok()).map(str::to_owned);
    let open = move || {
        let (mut file, length) = store.read(&path)?;
        let part = range::part(asked.as_deref(), length);
        if let Part::Some { from, .. } = part {
            file.seek(SeekFrom::Start(from))
                .map_err(|error| Fault::new(Code::InternalError, format!("Cannot read the artifact: {error}")))?;
        }
        Ok::<_, Fault>((file, length, part))
    };
    let (file, length, part) = app.lanes.run(Lane::Artifact, app.config.limits.call, open).await??;
    let (status, bytes, place) = match part {
        Part::Whole => (StatusCode::OK, length, None),
        Part::Some { from, bytes } => {
            (StatusCode::PARTIAL_CONTENT, bytes, Some(format!("bytes {from}-{}/{length}", from + bytes - 1)))
        }
        Part::None => (StatusCode::RANGE_NOT_SATISFIABLE, 0, Some(format!("bytes */{length}"))),
    };
    app.rooms.pass_file(bytes);
    // A file that grows meanwhile is sent as long as it was, as the header says.
    let file = tokio::io::AsyncReadExt::take(tokio::fs::File::from_std(file), bytes);
    let mut response = Response::new(Body::from_stream(ReaderStream::with_capacity(file, CHUNK)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kinds::of(&name)));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(place) = place.and_then(|place| HeaderValue::try_from(place).ok()) {
        headers.insert(CONTENT_RANGE, place);
    }
    match kinds::active(&name) {
        Some(kind) if app.config.trust_artifacts => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
        }
        active => {
            let disposition =
                HeaderValue::try_from(kinds::disposition(&name)).unwrap_or(HeaderValue::from_static("attachment"));
            headers.insert(CONTENT_DISPOSITION, disposition);
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
            if active.is_some() {
                headers.insert(NOTE, HeaderValue::from_static(BLOCKED));
            } else if kinds::is_loaded(&name) {
                headers.insert(NOTE, HeaderValue::from_static(BLOCKED_ALWAYS));
            }
        }
    }
    guard::secure(headers);
    Ok(response)
}

/// Receives a file of so many bytes and puts it in its place. Until then nobody sees it; when it is refused or the
/// client breaks off, nothing is left of it, and what was in its place stays.
async fn receive(
    app: &Arc<App>,
    store: Arc<ArtifactStore>,
    path: ArtifactPath,
    body: Body,
    bytes: RangeInclusive<u64>,
) -> Result<(), Fault> {
    let limits = app.config.limits;
    let mut reader = Reader::new(body, *bytes.end(), limits.body_idle)?;
    let begun = Arc::clone(&store);
    let (file, upload) = app.lanes.run(Lane::Artifact, limits.call, move || begun.begin()).await??;
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(CHUNK);
    let (mut buffer, mut total) = (BytesMut::with_capacity(CHUNK), 0u64);
    let unwritten = |error: std::io::Error| failed("write", path.as_str(), &error);
    while let Some(part) = reader.next().await? {
        total += part.len() as u64;
        buffer.extend_from_slice(&part);
        if buffer.len() >= CHUNK {
            file.write_all(&buffer).await.map_err(unwritten)?;
            buffer.clear();
        }
    }
    if !bytes.contains(&total) {
        return Err(Fault::invalid("Request must specify data."));
    }
    file.write_all(&buffer).await.map_err(unwritten)?;
    file.flush().await.map_err(unwritten)?;
    let file = file.into_std().await;
    app.lanes.run(Lane::Artifact, limits.call, move || store.publish(&file, upload, &path)).await??;
    app.observed.uploaded.inc_by(total);
    app.rooms.pass_file(total);
    Ok(())
}
