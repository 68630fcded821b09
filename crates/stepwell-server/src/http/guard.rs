//! What every request is held against before anything looks at it: host, origin, size of the address, encoding.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{CONTENT_ENCODING, HOST, HeaderValue, ORIGIN};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, header};

use crate::http::place::Place;
use crate::wire::fault::{Code, Fault};

/// Longest address of a request, in bytes.
const URI_BYTES_MAX: usize = 32 << 10;

/// The names under which the server may be asked.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    port: u16,
    /// Whether every address of this machine will do, because the server listens on all of them.
    any_address: bool,
    address: IpAddr,
    extra: Vec<String>,
}

impl Hosts {
    /// The names of a server that listens on `bound`, and those that its owner allowed (`name` or `name:port`).
    pub(crate) fn new(bound: &Place, extra: &[String]) -> Self {
        let extra = extra.iter().map(|name| name.to_ascii_lowercase()).collect();
        let bound = match bound {
            Place::Address(bound) => *bound,
            // Clients of a socket name the host that they would ask at the usual port.
            Place::Socket(_) => SocketAddr::from(([127, 0, 0, 1], 80)),
        };
        Self { port: bound.port(), any_address: bound.ip().is_unspecified(), address: bound.ip(), extra }
    }

    /// Whether an authority (`name`, `name:port`) is one of the server's, exactly. Addresses are compared as addresses,
    /// names as names: `10.evil.com` is a name.
    pub(crate) fn has(&self, authority: &str) -> bool {
        if authority.is_empty() || authority.len() > 300 || authority.contains(['@', '/', '\\', '%', ' ', '\t', ',']) {
            return false;
        }
        let authority = authority.to_ascii_lowercase();
        if self.extra.contains(&authority) {
            return true;
        }
        let Some((host, port)) = split(&authority) else { return false };
        if port.unwrap_or(80) != self.port {
            return false;
        }
        if self.extra.iter().any(|extra| extra == host) {
            return true;
        }
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match address.parse::<IpAddr>() {
            // An IPv6 address stands in brackets, an IPv4 address does not.
            Ok(address) if address.is_ipv6() != host.starts_with('[') => false,
            Ok(address) => {
                self.any_address || address == self.address || (self.address.is_loopback() && is_home(address))
            }
            Err(_) => host == "localhost" && (self.any_address || self.address.is_loopback()),
        }
    }
}

/// The two addresses that browsers mean by `localhost`.
fn is_home(address: IpAddr) -> bool {
    address == IpAddr::from([127, 0, 0, 1]) || address == IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
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

/// Checks the head of a request.
///
/// # Errors
/// 414, 415, 421 or 403, each with its reason.
pub(crate) fn check(hosts: &Hosts, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Fault> {
    if uri.path_and_query().map_or(0, |path| path.as_str().len()) > URI_BYTES_MAX {
        return Err(Fault::new(Code::BadRequest, format!("The address is over {URI_BYTES_MAX} bytes."))
            .with_status(StatusCode::URI_TOO_LONG));
    }
    let mut named = headers.get_all(HOST).iter();
    let host = named.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
    let whole = uri.authority().is_none_or(|authority| authority.as_str().eq_ignore_ascii_case(host));
    if named.next().is_some() || !whole || !hosts.has(host) {
        return Err(Fault::new(
            Code::PermissionDenied,
            "This server is not asked under that name; start it with --allowed-host NAME[:PORT] to allow it.",
        )
        .with_status(StatusCode::MISDIRECTED_REQUEST));
    }
    if let Some(site) = headers.get("sec-fetch-site")
        && !matches!(site.as_bytes(), b"same-origin" | b"none")
        // A link or bookmark elsewhere may open the UI itself, which holds no data.
        && !(method == Method::GET && uri.path() == "/" && headers.get("sec-fetch-mode").is_some_and(|m| m == "navigate"))
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
        return Err(Fault::new(Code::BadRequest, "Compressed bodies are not taken.")
            .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
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

    #[test]
    fn hosts_are_matched_exactly() {
        let home = Hosts::new(&at("127.0.0.1:5000"), &["stepwell.lab:8443".into(), "alias".into()]);
        let good =
            ["localhost:5000", "LOCALHOST:5000", "127.0.0.1:5000", "[::1]:5000", "stepwell.lab:8443", "alias:5000"];
        for host in good {
            assert!(home.has(host), "{host}");
        }
        let bad = [
            "",
            "localhost",
            "localhost:5001",
            "localhost:",
            "localhost:05000x",
            "127.0.0.1",
            "10.evil.com:5000",
            "192.168.evil.com:5000",
            "172.16.evil.com:5000",
            "localhost:5000@evil.com",
            "[::1]:x.evil.com",
            "[::1]",
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
        let wide = Hosts::new(&at("0.0.0.0:5000"), &[]);
        assert!(wide.has("10.1.2.3:5000") && wide.has("localhost:5000"));
        assert!(!wide.has("10.evil.com:5000") && !wide.has("host.lab:5000"));
        let socket = Hosts::new(&Place::Socket("/run/stepwell".into()), &[]);
        assert!(socket.has("localhost") && socket.has("localhost:80"));
        assert!(!socket.has("localhost:5000") && !socket.has("evil.com"));
    }

    #[test]
    fn other_sites_are_refused() {
        let hosts = Hosts::new(&at("127.0.0.1:5000"), &[]);
        let try_ = |method: Method, path: &str, pairs: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("localhost:5000"));
            for (name, value) in pairs {
                headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
            }
            check(&hosts, &method, &path.parse().unwrap(), &headers).map_err(|fault| fault.http_status().as_u16())
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
        assert_eq!(get(&[("host", "localhost:5000")]), Err(421));
        assert_eq!(try_(Method::GET, "http://evil.com/api", &[]), Err(421));
        assert_eq!(get(&[("content-encoding", "gzip")]), Err(415));
        assert_eq!(try_(Method::GET, &format!("/{}", "a".repeat(33_000)), &[]), Err(414));
    }
}
