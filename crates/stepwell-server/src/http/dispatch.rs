//! From a request to a call: who asks, what is asked, within which limits, and back.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use axum::RequestPartsExt;
use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use base64::Engine as _;

use crate::app::App;
use crate::auth::access::{Principal, Reach, objects};
use crate::config::Access;
use crate::http::body::{self, Reader};
use crate::http::guard;
use crate::http::lanes::Lane;
use crate::http::room::Held;
use crate::routes::{Route, Run};
use crate::wire::call::{Answer, Call, Input};
use crate::wire::fault::{Code, Fault};
use crate::wire::json::Shape;

/// A body up to so many bytes takes no room when it is parsed: with all lanes full of them it is a few megabytes.
const PARSED_FREE: usize = 1 << 10;

/// A request to a route that takes or gives a stream.
pub(crate) struct Streamed {
    /// The server.
    pub(crate) app: Arc<App>,
    /// The head, as a call has it; its body is empty.
    pub(crate) input: Input,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Body,
}

/// Serves a request to a route of the table.
pub(crate) async fn serve(route: &'static Route, app: Arc<App>, request: Request) -> Response {
    let begun = Instant::now();
    let (method, head) = (request.method().clone(), request.method() == Method::HEAD);
    let mut response = match handle(route, &app, request).await {
        Ok(response) => response,
        Err(fault) => refuse(&fault),
    };
    if head {
        *response.body_mut() = Body::empty();
    }
    app.observed.request(&method, route.path, response.status(), begun.elapsed());
    response
}

/// Serves a request to an address that is not in the table.
pub(crate) async fn nowhere(app: Arc<App>, request: Request) -> Response {
    let fault = Fault::new(Code::EndpointNotFound, "This server has no such endpoint.");
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
        None => unknown(&app, &request, || refuse(&fault)),
    }
}

/// Serves a request to an address of the table by another method, of which `allowed` are the ones that it has.
pub(crate) async fn not_so(app: Arc<App>, allowed: &str, request: Request) -> Response {
    if request.method() == Method::OPTIONS {
        return unknown(&app, &request, || options(allowed));
    }
    let fault = Fault::new(Code::EndpointNotFound, "This server has no such method at that endpoint.");
    unknown(&app, &request, || {
        let mut response = refuse(&fault.with_status(StatusCode::METHOD_NOT_ALLOWED));
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

/// Answers a request that no route takes, if the caller may know.
fn unknown(app: &App, request: &Request, answer: impl FnOnce() -> Response) -> Response {
    let begun = Instant::now();
    let may_know = principal(app, request.headers())
        .and_then(|who| who.may_use(crate::auth::access::Need::Role(crate::Role::Read), Reach::None));
    let response = may_know.map_or_else(|fault| refuse(&fault), |()| answer());
    tracing::debug!(method = %request.method(), path = request.uri().path(), "no such endpoint");
    app.observed.request(request.method(), "-", response.status(), begun.elapsed());
    response
}

/// Where an address that is not in the table is found instead: with single slashes where it has doubled ones, as
/// clients send when their server's name ends with a slash; with a slash after the prefix of all paths, from which the
/// UI's page needs it.
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

async fn handle(route: &'static Route, app: &Arc<App>, request: Request) -> Result<Response, Fault> {
    let who = principal(app, request.headers())?;
    who.may_use(route.need, route.reach)?;
    let (mut parts, body) = request.into_parts();
    let mut input = head(&mut parts).await?;
    match route.run {
        Run::Stream(run) => {
            reach(route, app, &who, &input).await?;
            run(Streamed { app: Arc::clone(app), input, headers: parts.headers, body }).await
        }
        Run::Call(run) => {
            content_type(&parts)?;
            let limits = app.config.limits;
            let body = Reader::new(body, limits.body_bytes, limits.body_idle)?.all(&app.rooms.bodies).await?;
            input.body = body.bytes;
            // Waited for before anything is parsed, and held until the call is done.
            let mut parsed = None;
            if input.body.len() > PARSED_FREE {
                let shape = Shape::of(&input.body);
                shape.check()?;
                parsed = Some(app.rooms.parsed.wait(shape.bytes(), limits.call).await?);
            }
            reach(route, app, &who, &input).await?;
            let own = Arc::clone(app);
            let work = move || {
                let held = RefCell::new(Held::default());
                let outcome = run(&Call { app: &own, principal: &who, input: &input, held: &held });
                own.note(outcome.as_ref().err());
                if route.is_of_registry() {
                    own.tell_lost_of_registry();
                }
                drop((input, body.room, parsed));
                let mut answer = outcome?;
                if !route.need.is_to_read() {
                    // What was changed is told at once, or the client would do it again.
                    return Ok(respond(answer));
                }
                let body = body::answer(std::mem::take(&mut answer.body), &own.rooms.answers, held.into_inner())?;
                let mut response = respond(answer);
                *response.body_mut() = body;
                Ok(response)
            };
            app.lanes.run(route.lane, limits.call, work).await?
        }
    }
}

/// Reads the head of a request.
async fn head(parts: &mut Parts) -> Result<Input, Fault> {
    let path = parts
        .extract::<RawPathParams>()
        .await
        .map_err(|_| Fault::invalid("The address is not UTF-8."))?
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    // A HEAD is answered as the GET that it stands for.
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
    Ok(Input { method, path, query, ..Input::default() })
}

/// What changes something comes as JSON, which no other site can send without asking first.
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

/// Who asks: the bearer of a token, or one who gives it as the password of basic authentication, as browsers can.
fn principal(app: &App, headers: &HeaderMap) -> Result<Principal, Fault> {
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

/// Holds the objects that a call names against the caller's scope.
async fn reach(route: &Route, app: &Arc<App>, who: &Principal, input: &Input) -> Result<(), Fault> {
    let own = matches!(route.reach, Reach::None | Reach::Operation);
    if who.scope().is_none() || route.need == crate::auth::access::Need::Nobody || own {
        return Ok(());
    }
    let named = objects(route.reach, &input.object()?, &input.query, &input.path);
    let (who, own) = (who.clone(), Arc::clone(app));
    let work = move || who.may_reach(&named, |object| own.experiment_of(object));
    app.lanes.run(Lane::Object, app.config.limits.call, work).await?
}

/// The response of an answer.
pub(crate) fn respond(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    guard::secure(response.headers_mut());
    response
}

/// The response of a fault: always JSON, so that no browser reads what a client sent as markup.
pub(crate) fn refuse(fault: &Fault) -> Response {
    let mut response = Response::new(Body::from(fault.body()));
    *response.status_mut() = fault.http_status();
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
