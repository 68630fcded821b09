//! Files of spools: uploaded in pieces, known by the SHA-256 of their contents, and put in their place when they are
//! whole. A connection that breaks costs no more than a piece.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use axum::response::Response;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::serve::{argument, located};
use crate::app::App;
use crate::http::body::Reader;
use crate::http::dispatch::{Streamed, Streaming, respond};
use stepwell_wire::artifacts::{ArtifactPath, ArtifactStore, Upload, failed};
use stepwell_wire::routes::Lane;
use stepwell_wire::{Answer, Code, Fault};

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// A file as a request names it.
struct Asked {
    run: String,
    path: ArtifactPath,
    /// The SHA-256 of its contents in hex.
    digest: String,
    size: u64,
    /// Under which name its pieces are kept.
    name: String,
}

impl Asked {
    fn read(request: &Streamed) -> Result<Self, Fault> {
        let text = |name: &str| request.input.argument(name).unwrap_or_default().to_owned();
        let (run, digest, path) = (text("run_id"), text("sha256"), argument(request, "path")?);
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            return Err(Fault::invalid("Request must specify sha256, of 64 hex digits."));
        }
        let size = number(request, "size")?;
        if size > request.app.config.limits.artifact_bytes {
            return Err(Fault::too_long(request.app.config.limits.artifact_bytes));
        }
        let whole = Sha256::digest(format!("{run}\n{digest}\n{size}\n{}", path.as_str()));
        Ok(Self { name: hex(&whole)[..32].to_owned(), run, path, digest, size })
    }
}

fn number(request: &Streamed, name: &str) -> Result<u64, Fault> {
    let given = request.input.argument(name).and_then(|given| given.parse().ok());
    given.ok_or_else(|| Fault::invalid(format!("Request must specify {name}, a number of bytes.")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the file is in its place, and how many bytes of it are here.
fn told(has: bool, offset: u64) -> Response {
    let body = json!({ "has": has, "offset": offset }).to_string().into_bytes();
    respond(Answer { status: 200, content_type: "application/json", body })
}

/// `GET stepwell/spool/files?run_id=…&path=…&sha256=…&size=…`.
pub(crate) fn part(request: Streamed) -> Streaming {
    Box::pin(async move {
        let asked = Asked::read(&request)?;
        let Asked { run, path, digest, size, name } = asked;
        let (store, place) = located(&request.app, path, move |api| api.artifacts_of_either(&run)).await?;
        let look = move || {
            let has = match store.read(&place) {
                Ok((mut file, len)) => len == size && digest_of(&mut file, place.as_str())? == digest,
                Err(fault) if fault.code.status() == 404 => false,
                Err(fault) => return Err(fault),
            };
            let (_, upload, offset) = store.resume(&name)?;
            if has || offset == 0 {
                store.give_up(upload);
            }
            Ok((has, offset))
        };
        let (has, offset) = request.app.lanes.run(Lane::Artifact, request.app.config.limits.call, look).await??;
        Ok(told(has, offset))
    })
}

/// `PUT stepwell/spool/files?run_id=…&path=…&sha256=…&size=…&offset=…`: bytes from an offset on, which must be where
/// the file ends here.
pub(crate) fn take(request: Streamed) -> Streaming {
    Box::pin(async move {
        let (asked, offset) = (Asked::read(&request)?, number(&request, "offset")?);
        let Streamed { app, body, .. } = request;
        let Asked { run, path, digest, size, name } = asked;
        let (store, place) = located(&app, path, move |api| api.artifacts_of_either(&run)).await?;
        let limits = app.config.limits;
        let begun = std::sync::Arc::clone(&store);
        let (file, upload, len) = app.lanes.run(Lane::Artifact, limits.call, move || begun.resume(&name)).await??;
        if offset != len || len > size {
            // It goes on where the file ends; what is longer than the whole is of no use.
            if len > size {
                store.give_up(upload);
            }
            return Ok(told(false, if len > size { 0 } else { len }));
        }
        let (file, got) = append(&app, file, body, offset, size, place.as_str()).await?;
        app.observed.uploaded.inc_by(got);
        app.rooms.pass_file(got);
        let len = offset + got;
        if len < size {
            return Ok(told(false, len));
        }
        let whole = move || publish(&store, file, upload, &place, &digest);
        app.lanes.run(Lane::Artifact, limits.call, whole).await??;
        Ok(told(true, size))
    })
}

/// Appends a body to a file, and says how many bytes came.
async fn append(
    app: &App,
    file: File,
    body: axum::body::Body,
    offset: u64,
    size: u64,
    named: &str,
) -> Result<(File, u64), Fault> {
    let mut reader = Reader::new(body, size - offset, app.config.limits.body_idle)?;
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(CHUNK);
    let unwritten = |error: std::io::Error| failed("write", named, &error);
    tokio::io::AsyncSeekExt::seek(&mut file, SeekFrom::Start(offset)).await.map_err(unwritten)?;
    let mut got = 0;
    while let Some(part) = reader.next().await? {
        file.write_all(&part).await.map_err(unwritten)?;
        got += part.len() as u64;
    }
    file.flush().await.map_err(unwritten)?;
    Ok((file.into_std().await, got))
}

/// Puts a whole file in its place, if its contents are what they are said to be.
fn publish(
    store: &ArtifactStore,
    mut file: File,
    upload: Upload,
    place: &ArtifactPath,
    digest: &str,
) -> Result<(), Fault> {
    if digest_of(&mut file, place.as_str())? != digest {
        store.give_up(upload);
        let why = format!("What arrived of {:?} is not what its sha256 says; send it again.", place.as_str());
        return Err(Fault::new(Code::BadRequest, why));
    }
    store.publish(&file, upload, place)
}

/// The SHA-256 of a whole file in hex.
fn digest_of(file: &mut File, named: &str) -> Result<String, Fault> {
    let unread = |error: std::io::Error| failed("read", named, &error);
    file.seek(SeekFrom::Start(0)).map_err(unread)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut buffer).map_err(unread)? {
            0 => return Ok(hex(&hasher.finalize())),
            got => hasher.update(&buffer[..got]),
        }
    }
}
