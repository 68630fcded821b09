//! Stepwell's own page, as it was embedded when the server was built.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, VARY};
use axum::response::Response;

use crate::ui::pages::{kind_of, page};
use stepwell_wire::Fault;

/// The files by name; those that end with `.gz` are compressed forms of others.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// What the page may load and run: its own files, and artifacts as pictures, sounds and frames of this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self'; frame-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// Whether the page was built when the server was.
#[must_use]
pub fn is_built() -> bool {
    find("index.html").is_some()
}

fn find(name: &str) -> Option<&'static [u8]> {
    FILES.binary_search_by(|(known, _)| (*known).cmp(name)).ok().map(|at| FILES[at].1)
}

/// A file of the page.
///
/// # Errors
/// 404 when there is no such file.
pub(crate) fn file(name: &str, headers: &HeaderMap) -> Result<Response, Fault> {
    let plain = find(name).filter(|_| !name.ends_with(".gz"));
    let plain = plain.ok_or_else(|| Fault::missing(format!("No such file: '{name}'")))?;
    let takes = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("gzip"));
    let packed = if headers.get(ACCEPT_ENCODING).is_some_and(takes) { find(&format!("{name}.gz")) } else { None };
    let bytes = packed.unwrap_or(plain);
    // Assets are named by their contents; others must be fresh.
    let named = name.starts_with("page/assets/");
    let cache = if named { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = page(Body::from(bytes), kind_of(name), bytes.len() as u64, cache, POLICY);
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if packed.is_some() {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
