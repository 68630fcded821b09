//! The pages over HTTP: which is first, their files, and the plain page that stands in for them.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use tokio_util::io::ReaderStream;

use crate::app::App;
use crate::config::Front;
use crate::http::dispatch::{Streamed, Streaming};
use crate::http::guard;
use crate::ui::own;
use stepwell_wire::Fault;
use stepwell_wire::artifacts::ArtifactPath;
use stepwell_wire::routes::Lane;

/// What MLflow's UI may load and run: its own files. Its charts build functions from text, its styles are inline, and
/// it shows artifacts as blobs.
const UI_POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-eval' blob:; worker-src 'self' blob:; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; \
     connect-src 'self' blob: data:; frame-src 'self' blob: data:; object-src 'none'; base-uri 'self'; \
     form-action 'self'; frame-ancestors 'self'";
/// The same if artifacts are trusted. The UI shows HTML artifacts in a frame whose attribute makes it a sandbox without
/// an origin, and which inherits the page's policy. So inline script elements are allowed. Inline event handlers are
/// not: markup could bring them into the page itself, where a script element that is inserted later does not run.
const TRUSTING_POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-eval' blob:; \
     script-src-elem 'self' 'unsafe-inline' blob:; script-src-attr 'none'; worker-src 'self' blob:; \
     style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; \
     connect-src 'self' blob: data:; frame-src 'self' blob: data:; object-src 'none'; base-uri 'self'; \
     form-action 'self'; frame-ancestors 'self'";
/// What the plain page may: its own script and style.
const PLAIN_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src \
     data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The plain page, its script and its style.
const PLAIN: [(&str, &str, &str); 3] = [
    ("index.html", "text/html; charset=utf-8", include_str!("plain/index.html")),
    ("plain.js", "text/javascript; charset=utf-8", include_str!("plain/plain.js")),
    ("plain.css", "text/css; charset=utf-8", include_str!("plain/plain.css")),
];

/// `GET /`: the page that the owner chose, else one that there is.
pub(crate) fn index(request: Streamed) -> Streaming {
    Box::pin(async move {
        let own_first = request.app.config.front == Front::Stepwell || request.app.ui.is_none();
        if own_first && own::is_built() {
            return own::file("index.html", &request.headers);
        }
        mlflow(&request.app).await
    })
}

/// `GET /stepwell`: Stepwell's own page, whichever is first.
pub(crate) fn own_page(request: Streamed) -> Streaming {
    Box::pin(
        async move { if own::is_built() { own::file("index.html", &request.headers) } else { plain("index.html") } },
    )
}

/// `GET /mlflow`: MLflow's UI, whichever is first.
pub(crate) fn mlflow_page(request: Streamed) -> Streaming {
    Box::pin(async move { mlflow(&request.app).await })
}

/// `GET /page/PATH`: a file of Stepwell's own page.
pub(crate) fn page_file(request: Streamed) -> Streaming {
    Box::pin(async move { own::file(&format!("page/{}", request.input.path("path")), &request.headers) })
}

/// The first page of MLflow's UI, or the plain one.
async fn mlflow(app: &Arc<App>) -> Result<Response, Fault> {
    if app.ui.is_none() {
        return plain("index.html");
    }
    // The page names its files by their contents, so it alone must be fresh.
    file(app, ArtifactPath::new("index.html")?, "no-cache").await
}

/// `GET /static-files/PATH`.
pub(crate) fn static_file(request: Streamed) -> Streaming {
    Box::pin(async move {
        let path = ArtifactPath::new(request.input.path("path"))?;
        if request.app.ui.is_none() {
            return plain(path.as_str());
        }
        file(&request.app, path, "public, max-age=2419200").await
    })
}

fn plain(name: &str) -> Result<Response, Fault> {
    let known = PLAIN.iter().find(|(known, ..)| *known == name);
    let (_, kind, text) = known.ok_or_else(|| Fault::missing(format!("No such file: '{name}'")))?;
    Ok(page(Body::from(*text), kind, text.len() as u64, "no-cache", PLAIN_POLICY))
}

async fn file(app: &Arc<App>, path: ArtifactPath, cache: &'static str) -> Result<Response, Fault> {
    let kind = kind_of(path.name());
    let own = Arc::clone(app);
    let work = move || own.ui.as_ref().map_or_else(|| Err(Fault::missing("No such file")), |ui| ui.read(&path));
    let (file, bytes) = app.lanes.run(Lane::Artifact, app.config.limits.call, work).await??;
    let file = tokio::io::AsyncReadExt::take(tokio::fs::File::from_std(file), bytes);
    let body = Body::from_stream(ReaderStream::with_capacity(file, 256 << 10));
    let policy = if app.config.trust_artifacts { TRUSTING_POLICY } else { UI_POLICY };
    Ok(page(body, kind, bytes, cache, policy))
}

pub(super) fn page(body: Body, kind: &'static str, bytes: u64, cache: &'static str, policy: &'static str) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    guard::secure(headers);
    response
}

/// The kind of a file of the UI, which is trusted.
pub(super) fn kind_of(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "wasm" => "application/wasm",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
