//! Bodies: read with a limit in bytes and in time, whole or as a stream.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;

use crate::wire::fault::{Code, Fault};

/// A body that is being read.
pub(crate) struct Reader {
    body: Body,
    left: u64,
    limit: u64,
    idle: Duration,
}

impl Reader {
    /// Reads a body of at most `limit` bytes.
    ///
    /// # Errors
    /// 413 when the client says beforehand that it is longer.
    pub(crate) fn new(body: Body, limit: u64, idle: Duration) -> Result<Self, Fault> {
        if body.size_hint().lower() > limit {
            return Err(too_long(limit));
        }
        Ok(Self { body, left: limit, limit, idle })
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// 413 over the limit, 408 after too long a silence, 400 when the client breaks off.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let Ok(frame) = tokio::time::timeout(self.idle, self.body.frame()).await else {
                return Err(Fault::new(Code::BadRequest, "The request's body did not arrive in time.")
                    .with_status(StatusCode::REQUEST_TIMEOUT));
            };
            let frame = match frame {
                None => return Ok(None),
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Err(Fault::new(Code::BadRequest, "The request's body broke off.")),
            };
            if let Ok(data) = frame.into_data() {
                if data.is_empty() {
                    continue;
                }
                self.left = self.left.checked_sub(data.len() as u64).ok_or_else(|| too_long(self.limit))?;
                return Ok(Some(data));
            }
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(crate) async fn all(mut self) -> Result<Bytes, Fault> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.next().await? else { return Ok(first) };
        let mut all = BytesMut::with_capacity(first.len() + second.len());
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(more) = self.next().await? {
            all.extend_from_slice(&more);
        }
        Ok(all.freeze())
    }
}

fn too_long(limit: u64) -> Fault {
    Fault::new(Code::BadRequest, format!("The request's body is over the limit of {limit} bytes."))
        .with_status(StatusCode::PAYLOAD_TOO_LARGE)
}
