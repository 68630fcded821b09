//! The checks that every request must pass first: host, origin, size of the head, encoding.

use std::net::IpAddr;

use axum::http::header::{self, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method, Uri};

use crate::http::place::Place;
use stepwell_wire::{Code, Fault};

/// Longest address of a request, in bytes.
pub(crate) const URI_BYTES_MAX: usize = 32 << 10;
/// Longest head of a request, in bytes: its first line, its headers, and the empty line after them.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;
/// Headers that may occur only once, because something is decided by them: a proxy and this server might each use
/// another of two.
const ONCE: [HeaderName; 7] = [
    HOST,
    ORIGIN,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    AUTHORIZATION,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-mode"),
];

/// The names under which the server may be asked.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    /// Whether every IP address is accepted, because the server listens on all addresses of the machine.
    any_address: bool,
    /// The address that the server listens on; `None` for a socket in the file system.
    address: Option<IpAddr>,
    extra: Vec<Allowed>,
}

/// A name that the owner allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    name: String,
    /// The one port, where one was given.
    port: Option<u16>,
}

impl Allowed {
    /// Reads `NAME` or `NAME:PORT`; an IPv6 address stands in brackets, or alone.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(given: &str) -> Result<Self, String> {
        let text = given.to_ascii_lowercase();
        let text = if text.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{text}]") } else { text };
        let wrong = |why: &str| Err(format!("--allowed-host {given:?}: {why}"));
        if text.contains('/') {
            return wrong("give the name alone, as NAME or NAME:PORT, without scheme and path");
        }
        if text.contains('*') {
            return wrong("names are compared exactly; give each name");
        }
        match split(&text) {
            Some((name, port)) if is_name(name) => Ok(Self { name: name.to_owned(), port }),
            _ => wrong("this is neither NAME nor NAME:PORT"),
        }
    }

    fn covers(&self, host: &str, port: Option<u16>) -> bool {
        // Browsers leave out the ports that are usual for HTTP and HTTPS.
        let usual = port.is_none() && matches!(self.port, Some(80 | 443));
        self.name == host && (self.port.is_none() || self.port == port || usual)
    }
}

impl Hosts {
    /// The names of a server that listens on `bound`, and those that its owner allowed.
    pub(crate) fn new(bound: &Place, extra: Vec<Allowed>) -> Self {
        let address = match bound {
            Place::Address(bound) => Some(bound.ip()),
            Place::Socket(_) => None,
        };
        Self { any_address: address.is_some_and(|address| address.is_unspecified()), address, extra }
    }

    /// Whether an authority (`name`, `name:port`) is one of the server's. Addresses are compared as addresses, names as
    /// names: `10.evil.com` is a name.
    ///
    /// For an address and for `localhost`, any port is accepted, because `ssh -L` and `docker -p` show the server at
    /// another one. The check stops sites whose *name* resolves to this machine (DNS rebinding); neither an address nor
    /// `localhost` can be such a name.
    pub(crate) fn has(&self, authority: &str) -> bool {
        if authority.len() > 300 {
            return false;
        }
        let authority = authority.to_ascii_lowercase();
        let Some((host, port)) = split(&authority).filter(|(host, _)| is_name(host)) else { return false };
        if host == "localhost" || self.extra.iter().any(|extra| extra.covers(host, port)) {
            return true;
        }
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match address.parse::<IpAddr>() {
            // An IPv6 address stands in brackets, an IPv4 address does not.
            Ok(address) if address.is_ipv6() != host.starts_with('[') => false,
            Ok(address) => is_home(address) || self.any_address || self.address == Some(address),
            Err(_) => false,
        }
    }
}

/// The two addresses that browsers mean by `localhost`.
fn is_home(address: IpAddr) -> bool {
    address == IpAddr::from([127, 0, 0, 1]) || address == IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
}

/// Whether a host is written as a name, or as an address with or without brackets.
fn is_name(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        }
    }
}

/// Host and port; the port is digits alone.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rfind(']') {
        Some(end) if authority.starts_with('[') => authority.split_at(end + 1),
        Some(_) => return None,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        _ => return None,
    };
    Some((host, port))
}

/// Bytes of a request's head as it came over the wire, with one blank after each colon.
fn head_bytes(method: &Method, uri: &Uri, headers: &HeaderMap) -> usize {
    let address = uri.authority().map_or(0, |authority| authority.as_str().len() + "http://".len());
    let address = address + uri.path_and_query().map_or(1, |path| path.as_str().len());
    let line = method.as_str().len() + address + "  HTTP/1.1\r\n".len();
    let each = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + ": \r\n".len();
    line + headers.iter().map(each).sum::<usize>() + "\r\n".len()
}

/// What a request asks for, as far as other sites may ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The UI's page, to which others may link: it holds no data.
    FrontPage,
    /// Whether the process is up. Any host name is accepted, because a load balancer asks by address. The answer is the
    /// same two letters for everybody.
    Health,
    /// Something that only this server's own pages and programs may ask for.
    Own,
}

/// Checks the head of a request.
///
/// # Errors
/// 400, 403, 414, 415, 421 or 431, each with its reason.
pub(crate) fn check(hosts: &Hosts, method: &Method, uri: &Uri, headers: &HeaderMap, asked: Asked) -> Result<(), Fault> {
    if uri.path_and_query().map_or(0, |path| path.as_str().len()) > URI_BYTES_MAX {
        return Err(
            Fault::new(Code::BadRequest, format!("The address is over {URI_BYTES_MAX} bytes.")).with_status(414)
        );
    }
    if head_bytes(method, uri, headers) > HEAD_BYTES_MAX {
        return Err(Fault::new(Code::BadRequest, format!("The request's head is over {HEAD_BYTES_MAX} bytes."))
            .with_status(431));
    }
    if let Some(twice) = ONCE.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        return Err(Fault::new(
            Code::BadRequest,
            format!("The header '{twice}' stands in the request more than once."),
        ));
    }
    if asked == Asked::Health && matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let whole = uri.authority().is_none_or(|authority| authority.as_str().eq_ignore_ascii_case(host));
    if !whole || !hosts.has(host) {
        return Err(Fault::new(
            Code::PermissionDenied,
            format!(
                "This server is not asked under the name {host:?}; start it with --allowed-host NAME[:PORT] to allow \
                 it."
            ),
        )
        .with_status(421));
    }
    if let Some(site) = headers.get("sec-fetch-site")
        && !matches!(site.as_bytes(), b"same-origin" | b"none")
        // A link or bookmark elsewhere may open the UI itself.
        && !(method == Method::GET && asked == Asked::FrontPage && headers.get("sec-fetch-mode").is_some_and(|m| m == "navigate"))
    {
        return Err(cross_origin());
    }
    if let Some(origin) = headers.get(ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if !authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host)) {
            return Err(cross_origin());
        }
    }
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Fault::new(Code::BadRequest, "Compressed bodies are not taken.").with_status(415));
    }
    Ok(())
}

fn cross_origin() -> Fault {
    Fault::new(Code::PermissionDenied, "Requests from other sites are refused.")
}

/// Headers of every answer that has not set them itself.
pub(crate) fn secure(headers: &mut HeaderMap) {
    const ALWAYS: [(HeaderName, &str); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Place {
        Place::Address(address.parse().unwrap())
    }

    fn allowed(names: &[&str]) -> Vec<Allowed> {
        names.iter().map(|name| Allowed::parse(name).unwrap()).collect()
    }

    #[test]
    fn hosts_are_matched_as_names_and_addresses() {
        let home = Hosts::new(&at("127.0.0.1:5000"), allowed(&["stepwell.lab:8443", "Alias", "proxy:443", "::2"]));
        let good = [
            "localhost:5000",
            "LOCALHOST:5000",
            "127.0.0.1:5000",
            "[::1]:5000",
            // As `ssh -L 8080:localhost:5000` and `docker -p 8080:5000` have it.
            "localhost:8080",
            "localhost",
            "127.0.0.1:8080",
            "127.0.0.1",
            "[::1]:8080",
            "[::1]",
            "stepwell.lab:8443",
            "alias:5000",
            "alias:1",
            "ALIAS",
            "proxy",
            "proxy:443",
            "[::2]:9",
        ];
        for host in good {
            assert!(home.has(host), "{host}");
        }
        let bad = [
            "",
            "localhost:",
            "localhost:05000x",
            "10.evil.com:5000",
            "192.168.evil.com:5000",
            "172.16.evil.com:5000",
            "localhost.evil.com:5000",
            "127.0.0.1.evil.com:5000",
            "localhost:5000@evil.com",
            "[::1]:x.evil.com",
            "[::1]evil.com:5000",
            "::1:5000",
            "127.1:5000",
            "2130706433:5000",
            "0x7f000001:5000",
            "0177.0.0.1:5000",
            "localhost.:5000",
            "evil.com:5000",
            "[::ffff:127.0.0.1]:5000",
            "[fe80::1%25lo]:5000",
            "stepwell.lab:5001",
            "stepwell.lab",
            "proxy:5000",
            "alias.evil.com",
            "127.0.0.2:5000",
            "localhost:5000,evil.com",
            "0.0.0.0:5000",
            "[127.0.0.1]:5000",
            "localhost:65536",
            "localhost:+5000",
        ];
        for host in bad {
            assert!(!home.has(host), "{host}");
        }
        let wide = Hosts::new(&at("0.0.0.0:5000"), Vec::new());
        for host in ["10.1.2.3:5000", "10.1.2.3:80", "localhost:5000", "[fd00::1]:7"] {
            assert!(wide.has(host), "{host}");
        }
        assert!(!wide.has("10.evil.com:5000") && !wide.has("host.lab:5000"));
        let lan = Hosts::new(&at("10.1.2.3:5000"), Vec::new());
        assert!(lan.has("10.1.2.3:8080") && lan.has("localhost:8080") && !lan.has("10.1.2.4:5000"));
        let socket = Hosts::new(&Place::Socket("/run/stepwell".into()), Vec::new());
        assert!(socket.has("localhost") && socket.has("localhost:80") && !socket.has("evil.com"));
    }

    #[test]
    fn allowed_names_are_names() {
        for wrong in ["http://lab", "lab/x", "*.lab", "lab:", "lab:99999", "", "a b", "lab:1:2", "[::1", "us er@lab"] {
            assert!(Allowed::parse(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn other_sites_are_refused() {
        let hosts = Hosts::new(&at("127.0.0.1:5000"), Vec::new());
        let try_ = |method: Method, path: &str, pairs: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("localhost:5000"));
            for (name, value) in pairs {
                headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
            }
            let asked = match path {
                "/" => Asked::FrontPage,
                "/health" => Asked::Health,
                _ => Asked::Own,
            };
            check(&hosts, &method, &path.parse().unwrap(), &headers, asked).map_err(|fault| fault.http_status())
        };
        let get = |pairs: &[(&str, &str)]| try_(Method::GET, "/api", pairs);
        assert_eq!(get(&[]), Ok(()));
        assert_eq!(get(&[("origin", "http://localhost:5000"), ("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(get(&[("sec-fetch-site", "none")]), Ok(()));
        for origin in
            ["null", "http://localhost:5001", "http://evil.com", "file://", "http://localhost:5000.evil.com", ""]
        {
            assert_eq!(get(&[("origin", origin)]), Err(403), "{origin}");
        }
        for site in ["cross-site", "same-site", ""] {
            assert_eq!(get(&[("sec-fetch-site", site)]), Err(403), "{site}");
        }
        let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert_eq!(try_(Method::GET, "/", &link), Ok(()));
        assert_eq!(try_(Method::GET, "/get-artifact", &link), Err(403));
        // Whether the process is up, everybody may ask, and nothing else at that address.
        assert_eq!(try_(Method::GET, "/health", &link), Ok(()));
        assert_eq!(try_(Method::GET, "/health", &[("origin", "http://evil.com")]), Ok(()));
        assert_eq!(try_(Method::GET, "/health", &[("host", "evil.com")]), Err(400), "two of them");
        assert_eq!(try_(Method::POST, "/health", &link), Err(403));
        // What decides something stands there once, though both say the same.
        let own = "http://localhost:5000";
        for twice in [
            [("host", "localhost:5000"), ("x", "")],
            [("origin", own), ("origin", own)],
            [("origin", own), ("origin", "http://evil.com")],
            [("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
            [("content-type", "application/json"), ("content-type", "text/plain")],
            [("authorization", "Bearer a"), ("authorization", "Bearer b")],
            [("content-encoding", "identity"), ("content-encoding", "gzip")],
        ] {
            assert_eq!(get(&twice), Err(400), "{twice:?}");
        }
        // The port is part of an origin, also where any port is this machine.
        let behind = |host: &'static str, origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
            check(&hosts, &Method::GET, &Uri::from_static("/api"), &headers, Asked::Own).is_ok()
        };
        assert!(behind("localhost:8080", "http://localhost:8080"));
        assert!(!behind("localhost:8080", "http://localhost:5000") && !behind("localhost:8080", "http://localhost"));
        assert_eq!(try_(Method::GET, "http://evil.com/api", &[]), Err(421));
        assert_eq!(get(&[("content-encoding", "gzip")]), Err(415));
        assert_eq!(try_(Method::GET, &format!("/{}", "a".repeat(32 << 10)), &[]), Err(414));
        assert_eq!(try_(Method::GET, &format!("/{}", "a".repeat((32 << 10) - 1)), &[]), Ok(()));
        let filled = |bytes: usize| get(&[("x", &"a".repeat(bytes))]);
        let rest = "GET /api HTTP/1.1\r\nhost: localhost:5000\r\nx: \r\n\r\n".len();
        assert_eq!((filled(HEAD_BYTES_MAX - rest), filled(HEAD_BYTES_MAX - rest + 1)), (Ok(()), Err(431)));
    }
}
