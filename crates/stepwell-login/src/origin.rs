//! A server, identified by scheme, host and port: what a token is for.

use std::fmt;
use std::net::IpAddr;

/// A server: `http://lab:5000`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    https: bool,
    /// In lower case; an address of IP version 6 has brackets.
    host: String,
    port: u16,
}

impl Origin {
    /// The server of an address. The path after host and port is ignored, and so is a prefix `stepwell+`.
    ///
    /// # Errors
    /// What is wrong with the address, in words for the user.
    pub fn parse(address: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("not the address of a server, {why}: such as https://lab:5000"));
        let Some((scheme, rest)) = address.strip_prefix("stepwell+").unwrap_or(address).split_once("://") else {
            return wrong("which begins with http:// or https://");
        };
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return wrong("which begins with http:// or https://"),
        };
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        // The words of an error go to logs, so that a secret in the address is not among them.
        if authority.contains('@') {
            return wrong("since it has a user in it; `stepwell login` keeps tokens elsewhere");
        }
        let (host, port) = match authority.rfind(':') {
            Some(at) if !authority[at..].contains(']') => {
                let Ok(port) = authority[at + 1..].parse() else { return wrong("since its port is no number") };
                (&authority[..at], port)
            }
            _ => (authority, if https { 443 } else { 80 }),
        };
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_address = bracketed.is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
        let is_name =
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if !is_address && !is_name {
            return wrong("since its host is none");
        }
        Ok(Self { https, host: host.to_ascii_lowercase(), port })
    }

    /// Whether the connection is private: encrypted, or within this machine.
    #[must_use]
    pub fn is_private(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        self.https || self.host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.https { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == usual { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_one_name() {
        for (given, name) in [
            ("http://Lab:5000/", "http://lab:5000"),
            ("http://lab:5000/stepwell/?x=1", "http://lab:5000"),
            ("stepwell+https://lab", "https://lab"),
            ("https://lab:443", "https://lab"),
            ("http://lab:80", "http://lab"),
            ("https://lab:80", "https://lab:80"),
            ("HTTP://[::1]:5000", "http://[::1]:5000"),
            ("http://[::1]", "http://[::1]"),
            ("http://10.0.0.1:5000", "http://10.0.0.1:5000"),
        ] {
            assert_eq!(Origin::parse(given).unwrap().to_string(), name, "{given}");
        }
        for wrong in [
            "lab:5000",
            "ftp://lab",
            "http://",
            "http://:5000",
            "http://lab:x",
            "http://lab:70000",
            "http://[x]",
            "http://a b",
            "stepwell:/data",
            "",
        ] {
            assert!(Origin::parse(wrong).is_err(), "{wrong}");
        }
        assert!(!Origin::parse("http://me:secret@lab").unwrap_err().contains("secret"));
    }

    #[test]
    fn what_others_could_read_is_known() {
        for (address, private) in [
            ("https://lab", true),
            ("http://localhost:5000", true),
            ("http://127.0.0.1:5000", true),
            ("http://127.8.0.1", true),
            ("http://[::1]:5000", true),
            ("http://lab:5000", false),
            ("http://10.0.0.1", false),
            ("http://localhost.evil.com", false),
            ("http://127.0.0.1.evil.com", false),
        ] {
            assert_eq!(Origin::parse(address).unwrap().is_private(), private, "{address}");
        }
    }
}
