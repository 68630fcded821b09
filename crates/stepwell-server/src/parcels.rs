//! Parcels of spools over HTTP: a bundle as the body of a request, within the same rooms and lanes as all else.

use std::cell::RefCell;
use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use stepwell::replication::{Bundle, MEDIA_TYPE};
use stepwell_wire::routes::Lane;
use stepwell_wire::{Code, Fault};

use crate::http::body::{Reader, Whole};
use crate::http::dispatch::{Served, Streamed, Streaming, principal, respond};

/// `POST stepwell/spool/parcels`.
pub(crate) fn take(request: Streamed) -> Streaming {
    Box::pin(async move {
        let Streamed { app, headers, body, .. } = request;
        let who = principal(&app, &headers)?;
        // No other site can send this kind without asking first.
        if headers.get(CONTENT_TYPE).is_none_or(|kind| kind != MEDIA_TYPE) {
            return Err(Fault::invalid(format!("Bad Request. Content-Type must be {MEDIA_TYPE}.")));
        }
        let limits = app.config.limits;
        let reader = Reader::new(body, limits.body_bytes, limits.body_idle)?;
        let Whole { bytes: body, room } = reader.all(&app.rooms.bodies).await?;
        let refused = |error: stepwell::Error| Fault::new(Code::BadRequest, error.to_string());
        let weight = Bundle::open(&body).map_err(refused)?.weight();
        let parsed = app.rooms.parsed.wait(weight, limits.call).await?;
        let shared = Arc::clone(&app);
        let work = move || {
            let app = &*shared;
            let served = Served { app, who: &who, held: RefCell::default() };
            let outcome =
                Bundle::open(&body).map_err(refused).and_then(|bundle| app.api.take_parcels(&served, &bundle));
            app.note(outcome.as_ref().err());
            drop((body, room, parsed));
            outcome
        };
        app.lanes.run(Lane::Log, limits.call, work).await?.map(respond)
    })
}
