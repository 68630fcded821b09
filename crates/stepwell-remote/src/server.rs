//! The server as a client sees it: requests and answers over HTTP, and the calls that carry runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use stepwell::replication::{Bundle, MEDIA_TYPE, Parcel, Position};
use stepwell::{RunId, WriterId};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::address::ServerOptions;
use crate::bearer::{Bearer, Made};
use crate::error::{Error, Result};

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a request may take, from the first byte to the last.
const REQUEST: Duration = Duration::from_secs(120);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// An answer of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status of HTTP.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer whose body is not read yet.
type Streamed = ureq::http::Response<ureq::Body>;

/// A server. Threads may share it; connections are reused.
pub struct Server {
    options: ServerOptions,
    bearer: Bearer,
    agent: ureq::Agent,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.options.url)
    }
}

/// What became of a parcel.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Kept {
    pub(crate) outcome: String,
    pub(crate) points: Option<u64>,
    #[serde(default)]
    pub(crate) params_kept: Vec<String>,
    #[serde(default)]
    pub(crate) message: String,
}

#[derive(Deserialize)]
struct Place {
    points: u64,
    counts: BTreeMap<String, u64>,
}

/// A page of runs.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Listed {
    pub(crate) runs: Vec<String>,
    pub(crate) more: bool,
    #[serde(default)]
    pub(crate) left_out: Vec<String>,
}

impl Server {
    /// A server; nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the token would go over plain http to another machine, or for a file of certificates that
    /// has none.
    pub fn new(options: ServerOptions) -> Result<Self> {
        options.check()?;
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(REQUEST))
            .user_agent(concat!("stepwell/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(8);
        if let Some(path) = &options.ca_file {
            let pem = std::fs::read(path).map_err(Error::file("read", path))?;
            let mut roots: Vec<Certificate<'static>> = Vec::new();
            for item in parse_pem(&pem) {
                let wrong = |error: ureq::Error| Error::Invalid(format!("{} is no PEM: {error}", path.display()));
                if let PemItem::Certificate(certificate) = item.map_err(wrong)? {
                    roots.push(certificate);
                }
            }
            if roots.is_empty() {
                return Err(Error::Invalid(format!("{} has no certificate", path.display())));
            }
            config = config.tls_config(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots)).build());
        }
        Ok(Self { agent: config.build().into(), bearer: Bearer::new(options.token.clone()), options })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.options.url
    }

    /// Sends any request of the REST API: `path` is from the root, as `/api/2.0/mlflow/runs/search`. An answer that
    /// reports an error is still an answer.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn call(&self, method: &str, path: &str, query: &str, json: &[u8]) -> Result<Response> {
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        self.send(method, &format!("{path}{query}"), "application/json", json)
    }

    /// Posts bytes of any kind.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn post(&self, path: &str, kind: &str, body: &[u8]) -> Result<Response> {
        self.send("POST", path, kind, body)
    }

    /// The token that a request carries now, if one does: of an hour where the server makes such ones.
    ///
    /// # Errors
    /// [`Error::Network`], [`Error::Refused`].
    pub fn token(&self) -> Result<Option<String>> {
        self.bearer.get(|kept| self.exchange(kept))
    }

    /// Forgets a token that the server refused; says whether another one can be made.
    #[must_use]
    pub fn forget_token(&self, token: &str) -> bool {
        self.bearer.drop(token)
    }

    /// Gets something as a stream.
    pub(crate) fn download(&self, path: &str, take: impl FnOnce(&mut dyn std::io::Read) -> Result<()>) -> Result<()> {
        let token = self.token()?;
        let mut response = self.open(token.as_deref(), "GET", path, "", b"")?;
        if response.status().as_u16() == 200 {
            return take(&mut response.body_mut().as_reader());
        }
        self.whole(self.read_body(response)?).map(|_| ())
    }

    /// Sends a request. If its token of an hour is refused, as after a change of the server's key, sends it once more.
    pub(crate) fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Response> {
        let token = self.token()?;
        let response = self.send_with(token.as_deref(), method, path, kind, body)?;
        match token {
            Some(token) if response.status == 401 && self.forget_token(&token) => {
                let token = self.token()?;
                self.send_with(token.as_deref(), method, path, kind, body)
            }
            _ => Ok(response),
        }
    }

    /// Asks for a token of an hour.
    fn exchange(&self, kept: &str) -> Result<Made> {
        let response = self.send_with(Some(kept), "POST", "/api/2.0/stepwell/token", "application/json", b"{}")?;
        match response.status {
            // A server without tokens, or before it made such ones.
            400 | 404 | 405 => Ok(Made::Nothing),
            _ => self.read(response).map(Made::Token),
        }
    }

    fn send_with(&self, token: Option<&str>, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Response> {
        self.read_body(self.open(token, method, path, kind, body)?)
    }

    /// Sends a request. The answer's body is not read yet. `kind` and `body` are for requests with a body.
    fn open(&self, token: Option<&str>, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<Streamed> {
        let url = format!("{}{path}", self.options.url);
        let mut request = ureq::http::Request::builder().method(method).uri(&url);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let wrong = |error: ureq::http::Error| Error::Invalid(format!("cannot ask {url}: {error}"));
        let response = if matches!(method, "GET" | "HEAD") {
            self.agent.run(request.body(()).map_err(wrong)?)
        } else {
            self.agent.run(request.header("Content-Type", kind).body(body).map_err(wrong)?)
        };
        response.map_err(|error| self.unread(&error))
    }

    fn read_body(&self, mut response: Streamed) -> Result<Response> {
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        Ok(Response { status, body: body.map_err(|error| self.unread(&error))? })
    }

    fn unread(&self, error: &ureq::Error) -> Error {
        Error::Network { url: self.options.url.clone(), why: error.to_string() }
    }

    /// Posts JSON to a route of spools, and reads the answer.
    fn ask<T: for<'de> Deserialize<'de>>(&self, what: &str, body: &serde_json::Value) -> Result<T> {
        let path = format!("/api/stepwell/spool/{what}");
        let response = self.send("POST", &path, "application/json", body.to_string().as_bytes())?;
        self.read(response)
    }

    pub(crate) fn read<T: for<'de> Deserialize<'de>>(&self, response: Response) -> Result<T> {
        let body = self.whole(response)?;
        serde_json::from_slice(&body).map_err(|error| Error::Refused {
            url: self.options.url.clone(),
            status: 200,
            code: String::new(),
            message: format!("its answer is not one of a Stepwell server: {error}"),
        })
    }

    /// The body of a successful answer; any other answer as an error.
    pub(crate) fn whole(&self, response: Response) -> Result<Vec<u8>> {
        let Response { status, body } = response;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Told {
            error_code: String,
            message: String,
        }
        let told: Told = serde_json::from_slice(&body).unwrap_or_default();
        let message = if !told.message.is_empty() {
            told.message
        } else if (300..400).contains(&status) {
            "it sends elsewhere; use the address that it is found at".to_owned()
        } else {
            String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned()
        };
        Err(Error::Refused { url: self.options.url.clone(), status, code: told.error_code, message })
    }

    /// The position of the server: what it has from these writers of a run.
    pub(crate) fn positions(
        &self,
        run: &RunId,
        experiment: &str,
        writers: &[WriterId],
    ) -> Result<BTreeMap<WriterId, Position>> {
        #[derive(Deserialize)]
        struct Answer {
            positions: BTreeMap<String, Place>,
        }
        let names: Vec<String> = writers.iter().map(ToString::to_string).collect();
        let body = json!({ "run_id": run.as_str(), "experiment_name": experiment, "writers": names });
        let mut answer: Answer = self.ask("positions", &body)?;
        let of = |(writer, name): (&WriterId, &String)| {
            let Place { points, counts } = answer.positions.remove(name)?;
            Some((*writer, Position { points, counts }))
        };
        Ok(writers.iter().zip(&names).filter_map(of).collect())
    }

    /// Sends a bundle; the answers are in the order of its parcels.
    pub(crate) fn parcels(&self, bundle: &[u8]) -> Result<Vec<Kept>> {
        #[derive(Deserialize)]
        struct Answer {
            parcels: Vec<Kept>,
        }
        let response = self.send("POST", "/api/stepwell/spool/parcels", MEDIA_TYPE, bundle)?;
        Ok(self.read::<Answer>(response)?.parcels)
    }

    /// The ids of runs that a filter finds, after one.
    pub(crate) fn list(&self, filter: &str, after: &str) -> Result<Listed> {
        self.ask("list", &json!({ "filter": filter, "after": after }))
    }

    /// Parcels with a run's metadata.
    pub(crate) fn metadata(&self, run: &RunId) -> Result<Vec<Parcel>> {
        self.fetched(&json!({ "run_id": run.as_str(), "metadata_only": true }))
    }

    /// Parcels of a run that this side lacks.
    pub(crate) fn fetch(&self, run: &RunId, have: &BTreeMap<WriterId, Position>) -> Result<Vec<Parcel>> {
        let place = |position: &Position| json!({ "points": position.points, "counts": position.counts });
        let have: serde_json::Map<String, serde_json::Value> =
            have.iter().map(|(writer, position)| (writer.to_string(), place(position))).collect();
        self.fetched(&json!({ "run_id": run.as_str(), "have": have }))
    }

    fn fetched(&self, body: &serde_json::Value) -> Result<Vec<Parcel>> {
        let body = body.to_string();
        let response = self.send("POST", "/api/stepwell/spool/fetch", "application/json", body.as_bytes())?;
        let body = self.whole(response)?;
        if body.is_empty() { Ok(Vec::new()) } else { Ok(Bundle::open(&body)?.parcels()?) }
    }
}
