//! Where the server is and how it is talked to: its address, the token, certificates.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// How to reach a server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ServerOptions {
    /// `http://` or `https://`, the host, and a path if the server is below one. It has no token.
    pub url: String,
    /// The token, sent as a header.
    pub token: Option<String>,
    /// Whether the token may go over plain http to another machine, where others can read it.
    pub allow_plain_http: bool,
    /// A file with the certificates (PEM) that the server's certificate must come from; otherwise Mozilla's list.
    pub ca_file: Option<PathBuf>,
}

impl std::fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, token, allow_plain_http, ca_file } = self;
        let token = token.as_ref().map(|_| "…");
        let mut shown = f.debug_struct("ServerOptions");
        shown.field("url", url).field("token", &token).field("allow_plain_http", allow_plain_http);
        shown.field("ca_file", ca_file).finish()
    }
}

impl ServerOptions {
    /// The server at an address, without a token unless the address has one (`http://any:TOKEN@host`).
    ///
    /// # Errors
    /// [`Error::Invalid`] for an address that is not http or https, or has a query.
    pub fn new(url: &str) -> Result<Self> {
        let wrong = |why: &str| Error::Invalid(format!("{:?} is no address of a server: {why}", shown(url)));
        let (scheme, rest) = url.trim().split_once("://").ok_or_else(|| wrong("it begins with http:// or https://"))?;
        let scheme = scheme.to_ascii_lowercase();
        if !["http", "https"].contains(&scheme.as_str()) {
            return Err(wrong("it begins with http:// or https://"));
        }
        if rest.contains(['?', '#', '\\']) || rest.contains(char::is_whitespace) {
            return Err(wrong("it has no query, fragment, backslash or blank"));
        }
        let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        let token = user.map(|user| user.split_once(':').map_or(user, |(_, password)| password));
        let token = token.map(|token| percent_encoding::percent_decode_str(token).decode_utf8_lossy().into_owned());
        let path = path.trim_end_matches('/');
        let slash = if path.is_empty() { "" } else { "/" };
        let url = format!("{scheme}://{}{slash}{path}", host.to_ascii_lowercase());
        Ok(Self { url, token: token.filter(|token| !token.is_empty()), ..Self::default() })
    }

    /// As [`Self::new`], with what the environment and `stepwell login` say: the token of the address, of
    /// `STEPWELL_TOKEN`, of the file of credentials, or of `MLFLOW_TRACKING_TOKEN`; a file of certificates by
    /// `STEPWELL_CA_FILE`, the credentials, or `MLFLOW_TRACKING_SERVER_CERT_PATH`; `STEPWELL_ALLOW_PLAIN_HTTP=1`. The
    /// proxy variables are always obeyed.
    ///
    /// # Errors
    /// As [`Self::new`]; also if a credential cannot be used.
    pub fn from_env(url: &str) -> Result<Self> {
        let mut options = Self::new(url)?;
        let of = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        options.allow_plain_http = of(stepwell_login::ALLOW_PLAIN_HTTP).is_some_and(|value| value != "0");
        if options.token.is_none() {
            options.take_login()?;
        }
        options.token = options.token.or_else(|| of("MLFLOW_TRACKING_TOKEN"));
        let ca = of("STEPWELL_CA_FILE").map(PathBuf::from).or(options.ca_file);
        options.ca_file = ca.or_else(|| of("MLFLOW_TRACKING_SERVER_CERT_PATH").map(PathBuf::from));
        Ok(options)
    }

    /// As [`Self::from_env`], with the token of `STEPWELL_TOKEN` or `stepwell login` alone; `None` if there is none.
    ///
    /// # Errors
    /// As [`Self::from_env`].
    pub fn from_login(url: &str) -> Result<Option<Self>> {
        let mut options = Self::from_env(url)?;
        options.token = None;
        options.take_login()?;
        Ok(options.token.is_some().then_some(options))
    }

    /// Takes the token that this user keeps for the server, and what was said with it.
    fn take_login(&mut self) -> Result<()> {
        let origin = stepwell_login::Origin::parse(&self.url).map_err(Error::Invalid)?;
        if let Some(kept) = stepwell_login::credential(&origin).map_err(Error::Invalid)? {
            self.allow_plain_http |= kept.allow_plain_http;
            self.token = Some(kept.token);
            self.ca_file = self.ca_file.take().or(kept.ca);
        }
        Ok(())
    }

    /// Fails if the token would go over plain http to another machine.
    pub(crate) fn check(&self) -> Result<()> {
        let is_private = || stepwell_login::Origin::parse(&self.url).is_ok_and(|origin| origin.is_private());
        if self.token.is_none() || self.allow_plain_http || is_private() {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "a token to {} would go over plain http, where others can read it: use https, or allow it with \
             STEPWELL_ALLOW_PLAIN_HTTP=1 (--allow-plain-http)",
            self.url
        )))
    }
}

/// An address without what may be a token in it.
fn shown(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(start), Some(at)) if at > start => format!("{}…{}", &url[..start + 3], &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gives_up_its_token() {
        let options = ServerOptions::new("HTTP://any:stw%5Fx@Lab:5000/Deep/").unwrap();
        assert_eq!((options.url.as_str(), options.token.as_deref()), ("http://lab:5000/Deep", Some("stw_x")));
        assert_eq!(ServerOptions::new("https://lab/").unwrap().url, "https://lab");
        assert!(!format!("{options:?}").contains("stw"));
        for wrong in ["lab:5000", "ftp://lab", "http://", "http://lab?x=1", "http://la b"] {
            assert!(ServerOptions::new(wrong).is_err(), "{wrong}");
        }
        let error = ServerOptions::new("http://any:secret@lab?x").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_token_goes_over_plain_http_on_this_machine_only() {
        let with = |url: &str| ServerOptions { token: Some("t".into()), ..ServerOptions::new(url).unwrap() };
        for here in ["http://localhost:5000", "http://127.0.0.1", "http://[::1]:5000", "https://lab"] {
            with(here).check().unwrap();
        }
        for there in ["http://lab:5000", "http://127.0.0.1.evil.com", "http://10.0.0.1"] {
            assert!(with(there).check().is_err(), "{there}");
            ServerOptions { allow_plain_http: true, ..with(there) }.check().unwrap();
            ServerOptions::new(there).unwrap().check().unwrap();
        }
    }
}
