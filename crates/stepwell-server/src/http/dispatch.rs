//! From a request to a call: who asks, what is asked, within which limits, and back.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use base64::Engine as _;
use stepwell_wire::json::Shape;
use stepwell_wire::routes::{Lane, Matched, Need, Object, Reach, Role, Route, ServerOnly};
use stepwell_wire::{Answer, Code, Context, Fault, Input};

use crate::about;
use crate::app::App;
use crate::artifacts::{pieces, serve as files};
use crate::auth::access::Principal;
use crate::config::Access;
use crate::http::body::{self, Reader, Whole};
use crate::http::follow;
use crate::http::guard;
use crate::http::room::Held;
use crate::parcels;
use crate::ui::pages;

/// A request to a route that takes or gives a stream.
pub(crate) struct Streamed {
    /// The server.
    pub(crate) app: Arc<App>,
    /// The head, as a call has it.
    pub(crate) input: Input,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Body,
}

/// What the server does at a route that [`ServerOnly`] names.
enum Own {
    /// Answers with what it knows of itself, on a thread for blocking work.
    Call(fn(&App) -> Answer),
    /// Answers by what it knows of the caller, on such a thread too.
    OfCaller(fn(&App, &Principal) -> Result<Answer, Fault>),
    /// Takes or gives a stream.
    Stream(fn(Streamed) -> Streaming),
}

pub(crate) type Streaming = Pin<Box<dyn Future<Output = Result<Response, Fault>> + Send>>;

fn own_of(what: ServerOnly) -> Own {
    match what {
        ServerOnly::Ready => Own::Call(about::ready),
        ServerOnly::Metrics => Own::Call(about::metrics),
        ServerOnly::HourlyToken => Own::OfCaller(about::hourly_token),
        ServerOnly::Index => Own::Stream(pages::index),
        ServerOnly::StaticFile => Own::Stream(pages::static_file),
        ServerOnly::OwnPage => Own::Stream(pages::own_page),
        ServerOnly::MlflowPage => Own::Stream(pages::mlflow_page),
        ServerOnly::PageFile => Own::Stream(pages::page_file),
        ServerOnly::Follow => Own::Stream(follow::follow),
        ServerOnly::Download => Own::Stream(files::download),
        ServerOnly::Upload => Own::Stream(files::upload),
        ServerOnly::RunArtifact => Own::Stream(files::get_artifact),
        ServerOnly::ModelArtifact => Own::Stream(files::get_model_artifact),
        ServerOnly::VersionArtifact => Own::Stream(files::get_version_artifact),
        ServerOnly::UploadToRun => Own::Stream(files::upload_to_run),
        ServerOnly::Parcels => Own::Stream(parcels::take),
        ServerOnly::PartOfFile => Own::Stream(pieces::part),
        ServerOnly::TakePiece => Own::Stream(pieces::take),
    }
}

/// What a call asks of the server and tells it.
pub(crate) struct Served<'a> {
    pub(crate) app: &'a App,
    pub(crate) who: &'a Principal,
    /// Room for the answer that was taken before it is made.
    pub(crate) held: RefCell<Held>,
}

impl Context for Served<'_> {
    fn caller(&self) -> Option<&str> {
        self.who.name()
    }

    fn left_out(&self, places: &[String]) {
        self.app.tell_left_out(places);
    }

    fn stored(&self, points: u64) {
        self.app.observed.points.inc_by(points);
    }

    /// However many calls run at once, they make no more answers than there is room for. As with answers, one call
    /// takes at most half of all room.
    fn reserve(&self, bytes: usize) -> Result<(), Fault> {
        self.app.rooms.answer(bytes, &mut self.held.borrow_mut())
    }

    fn is_bound(&self) -> bool {
        self.who.scope().is_some()
    }

    fn may_reach(&self, objects: &[Object]) -> Result<(), Fault> {
        self.who.may_reach(objects, |object| self.app.api.experiment_of(object))
    }
}

/// Serves a request to a route of the table.
pub(crate) async fn serve(matched: &Matched<'_>, app: Arc<App>, request: Request) -> Response {
    let begun = Instant::now();
    let (method, head) = (request.method().clone(), request.method() == Method::HEAD);
    let mut response = match handle(matched, &app, request).await {
        Ok(response) => response,
        Err(fault) => refuse(&fault),
    };
    if head {
        *response.body_mut() = Body::empty();
    }
    app.observed.request(&method, matched.route.path, response.status().as_u16(), begun.elapsed());
    response
}

/// Serves a request to an address that is not in the table.
pub(crate) async fn nowhere(app: Arc<App>, request: Request) -> Response {
    if request.method() == Method::OPTIONS && request.uri().path() == "*" {
        // Of the server as a whole.
        return unknown(&app, &request, || options("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    match moved(request.uri(), &app.config.path_prefix) {
        Some(there) => unknown(&app, &request, || {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, there);
            guard::secure(response.headers_mut());
            response
        }),
        None => unknown(&app, &request, || refuse(&Fault::no_endpoint())),
    }
}

/// Serves a request whose address is in the table, but not with this method. `allowed` are the methods that it has.
pub(crate) async fn not_so(app: Arc<App>, allowed: &str, request: Request) -> Response {
    if request.method() == Method::OPTIONS {
        return unknown(&app, &request, || options(allowed));
    }
    unknown(&app, &request, || {
        let mut response = refuse(&Fault::no_method());
        allow(&mut response, allowed);
        response
    })
}

/// The answer to OPTIONS: which methods there are. It allows no other site anything.
fn options(allowed: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    allow(&mut response, allowed);
    guard::secure(response.headers_mut());
    response
}

fn allow(response: &mut Response, allowed: &str) {
    if let Ok(allowed) = HeaderValue::try_from(allowed) {
        response.headers_mut().insert(ALLOW, allowed);
    }
}

/// Answers a request that no route takes, but only to a caller who may know this.
fn unknown(app: &App, request: &Request, answer: impl FnOnce() -> Response) -> Response {
    let begun = Instant::now();
    let may_know = principal(app, request.headers()).and_then(|who| who.may_use(Need::Role(Role::Read), Reach::None));
    let response = may_know.map_or_else(|fault| refuse(&fault), |()| answer());
    tracing::debug!(method = %request.method(), path = request.uri().path(), "no such endpoint");
    app.observed.request(request.method(), "-", response.status().as_u16(), begun.elapsed());
    response
}

/// The address to redirect to from one that is not in the table: with single slashes in place of repeated ones, as
/// clients send if their server's name ends with a slash; or with a slash after the prefix of all paths, which the UI's
/// page needs.
fn moved(uri: &Uri, prefix: &str) -> Option<HeaderValue> {
    // A browser takes a backslash for a slash, so that what follows two of them would be another host.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/".contains(&byte);
    if !uri.path().bytes().all(plain) {
        return None;
    }
    let mut path = String::from("/");
    path.push_str(&uri.path().split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"));
    if path == prefix {
        path.push('/');
    } else if !uri.path().contains("//") {
        return None;
    }
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    // A proxy may have taken the prefix off.
    let prefix =
        if path == prefix || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/')) { "" } else { prefix };
    HeaderValue::try_from(format!("{prefix}{path}{query}")).ok()
}

async fn handle(matched: &Matched<'_>, app: &Arc<App>, request: Request) -> Result<Response, Fault> {
    let route = matched.route;
    let who = principal(app, request.headers())?;
    who.may_use(route.need, route.reach)?;
    let (parts, body) = request.into_parts();
    let input = matched.input(parts.uri.query().unwrap_or_default())?;
    let own = route.server_only().map(own_of);
    if let Some(Own::Stream(run)) = own {
        reach(route, app, &who, &input, &[]).await?;
        return run(Streamed { app: Arc::clone(app), input, headers: parts.headers, body }).await;
    }
    content_type(&parts)?;
    let limits = app.config.limits;
    let reader = Reader::new(body, limits.body_bytes, limits.body_idle)?;
    let Whole { bytes: body, room } = reader.all(&app.rooms.bodies).await?;
    // Waited for before anything is parsed, and held until the call is done.
    let parsed = match Shape::of_long(&body)? {
        Some(shape) => Some(app.rooms.parsed.wait(shape.bytes(), limits.call).await?),
        None => None,
    };
    reach(route, app, &who, &input, &body).await?;
    let shared = Arc::clone(app);
    let work = move || {
        let app = &*shared;
        let served = Served { app, who: &who, held: RefCell::default() };
        let outcome = match own {
            Some(Own::Call(run)) => Ok(run(app)),
            Some(Own::OfCaller(run)) => run(app, &who),
            Some(Own::Stream(_)) | None => app.api.run(route, &served, &input, &body),
        };
        app.note(outcome.as_ref().err());
        let held = served.held.into_inner();
        drop((input, body, room, parsed));
        let mut answer = outcome?;
        if !route.need.is_to_read() {
            // What was changed is told at once, or the client would do it again.
            return Ok(respond(answer));
        }
        let body = body::answer(std::mem::take(&mut answer.body), &app.rooms.answers, held)?;
        let mut response = respond(answer);
        *response.body_mut() = body;
        Ok(response)
    };
    app.lanes.run(route.lane, limits.call, work).await?
}

/// Refuses a change that does not come as JSON: another site cannot send JSON without asking first.
fn content_type(parts: &Parts) -> Result<(), Fault> {
    let strict = matches!(parts.method, Method::POST | Method::PUT);
    match parts.headers.get(CONTENT_TYPE) {
        _ if matches!(parts.method, Method::GET | Method::HEAD) => Ok(()),
        None if strict => Err(Fault::invalid("Bad Request. Content-Type header is missing.")),
        None => Ok(()),
        Some(kind) if kind.to_str().is_ok_and(|kind| kind.split(';').next() == Some("application/json")) => Ok(()),
        Some(_) => Err(Fault::invalid("Bad Request. Content-Type must be one of ['application/json'].")),
    }
}

/// Identifies the caller by the bearer token, or by a token as the password of basic authentication, as browsers send
/// it.
pub(crate) fn principal(app: &App, headers: &HeaderMap) -> Result<Principal, Fault> {
    let unavailable = |error: std::io::Error| {
        tracing::error!(%error, "nobody can be told apart, so that nobody is let in");
        Fault::new(Code::TemporarilyUnavailable, "The server cannot tell who asks.")
    };
    if let Some(own) = &app.config.authenticator {
        let caller = own.caller(headers).map_err(unavailable)?;
        return Ok(caller.map_or_else(Principal::unknown, Principal::caller));
    }
    if app.config.access != Access::Token {
        return Ok(Principal::anyone());
    }
    let Some(given) = headers.get(AUTHORIZATION).and_then(|given| given.to_str().ok()) else {
        return Ok(Principal::unknown());
    };
    let (scheme, rest) = given.split_once(' ').unwrap_or((given, ""));
    let token = if scheme.eq_ignore_ascii_case("bearer") {
        rest.trim().to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = base64::engine::general_purpose::STANDARD.decode(rest.trim()).unwrap_or_default();
        let pair = String::from_utf8(decoded).unwrap_or_default();
        pair.split_once(':').map(|(_, password)| password.to_owned()).unwrap_or_default()
    } else {
        String::new()
    };
    let who = app.tokens.principal(&token, stepwell::now_ms()).map_err(unavailable)?;
    Ok(who.unwrap_or_else(Principal::unknown))
}

/// Checks the objects that a call names against the caller's scope.
async fn reach(route: &Route, app: &Arc<App>, who: &Principal, input: &Input, body: &[u8]) -> Result<(), Fault> {
    let own = matches!(route.reach, Reach::None | Reach::Operation);
    if who.scope().is_none() || route.need == Need::Nobody || own {
        return Ok(());
    }
    let named = route.reach.objects(input, body)?;
    let (who, own) = (who.clone(), Arc::clone(app));
    let work = move || who.may_reach(&named, |object| own.api.experiment_of(object));
    app.lanes.run(Lane::Object, app.config.limits.call, work).await?
}

/// The response of an answer.
pub(crate) fn respond(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status(answer.status);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    guard::secure(response.headers_mut());
    response
}

/// A status by its number.
fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The response of a fault: always JSON, so that no browser reads what a client sent as markup.
pub(crate) fn refuse(fault: &Fault) -> Response {
    let mut response = Response::new(Body::from(fault.body()));
    *response.status_mut() = status(fault.http_status());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match fault.code {
        Code::Unauthenticated => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"stepwell (token as password)\""));
        }
        Code::TemporarilyUnavailable | Code::RequestLimitExceeded => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    guard::secure(headers);
    response
}
