//! The token of requests: it is valid for an hour, made from one that lasts longer, and renewed before it expires.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Deserialize;

use crate::error::Result;

/// How long before its end a token is renewed, and how long to wait after that failed.
const BEFORE: Duration = Duration::from_secs(300);
const AGAIN: Duration = Duration::from_secs(10);

/// The token that a user keeps, and the one that requests carry.
pub(crate) struct Bearer {
    kept: Option<String>,
    current: Mutex<Option<Current>>,
}

struct Current {
    token: String,
    ends: Instant,
    renew_at: Instant,
}

/// The answer of a server that was asked for a token of an hour.
pub(crate) enum Made {
    /// A token for so long.
    Token(Hourly),
    /// The server has no such tokens; requests carry the stored one.
    Nothing,
}

#[derive(Deserialize)]
pub(crate) struct Hourly {
    token: String,
    /// Lets a client whose clock is wrong know when the token expires.
    valid_ms: u64,
}

impl Bearer {
    pub(crate) fn new(kept: Option<String>) -> Self {
        Self { kept, current: Mutex::new(None) }
    }

    /// The token for a request, if there is one; `make` asks the server for one of an hour.
    pub(crate) fn get(&self, make: impl FnOnce(&str) -> Result<Made>) -> Result<Option<String>> {
        let Some(kept) = &self.kept else { return Ok(None) };
        // Only what `stepwell token create` printed is exchanged; others' tokens are sent as they are.
        if !kept.starts_with("stw_") || kept.contains('.') {
            return Ok(Some(kept.clone()));
        }
        let mut current = self.current.lock();
        let now = Instant::now();
        if let Some(known) = current.as_ref().filter(|known| now < known.renew_at) {
            return Ok(Some(known.token.clone()));
        }
        match make(kept) {
            Ok(Made::Token(Hourly { token, valid_ms })) => {
                let valid = Duration::from_millis(valid_ms);
                let renew_at = now + valid.saturating_sub(BEFORE).max(valid / 2);
                *current = Some(Current { token: token.clone(), ends: now + valid, renew_at });
                Ok(Some(token))
            }
            Ok(Made::Nothing) => {
                // Asked again in an hour: the server may be another one by then.
                let ends = now + Duration::from_secs(3600);
                *current = Some(Current { token: kept.clone(), ends, renew_at: ends });
                Ok(Some(kept.clone()))
            }
            // The one that has not ended may do, though no new one is to be had now.
            Err(error) => match current.as_mut().filter(|known| now < known.ends && error.may_pass()) {
                Some(known) => {
                    known.renew_at = (now + AGAIN).min(known.ends);
                    Ok(Some(known.token.clone()))
                }
                None => Err(error),
            },
        }
    }

    /// Drops a token that the server refused. Returns whether another one can be made.
    pub(crate) fn drop(&self, token: &str) -> bool {
        let mut current = self.current.lock();
        let is_hourly = self.kept.as_deref().is_some_and(|kept| kept != token);
        if is_hourly && current.as_ref().is_some_and(|known| known.token == token) {
            *current = None;
        }
        is_hourly
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn made(token: &str, valid_ms: u64) -> Result<Made> {
        Ok(Made::Token(Hourly { token: token.into(), valid_ms }))
    }

    fn down() -> Result<Made> {
        Err(Error::Network { url: "x".into(), why: "down".into() })
    }

    #[test]
    fn a_token_is_made_once_and_renewed_before_its_end() {
        let bearer = Bearer::new(Some("stw_long".into()));
        assert_eq!(bearer.get(|kept| made(&format!("{kept}.1"), 3_600_000)).unwrap().unwrap(), "stw_long.1");
        assert_eq!(bearer.get(|_| unreachable!()).unwrap().unwrap(), "stw_long.1");
        assert!(bearer.drop("stw_long.1"));
        // Valid for a moment: asked for anew, and used while the server makes none.
        assert_eq!(bearer.get(|_| made("2", 60_000)).unwrap().unwrap(), "2");
        bearer.current.lock().as_mut().unwrap().renew_at = Instant::now();
        assert_eq!(bearer.get(|_| down()).unwrap().unwrap(), "2");
        assert_eq!(bearer.get(|_| unreachable!()).unwrap().unwrap(), "2");
        let mut current = bearer.current.lock();
        let known = current.as_mut().unwrap();
        (known.renew_at, known.ends) = (Instant::now(), Instant::now());
        drop(current);
        assert!(bearer.get(|_| down()).is_err());
    }

    #[test]
    fn other_tokens_are_sent_as_they_are() {
        for kept in [None, Some("other"), Some("stw_0123456789ab_17.signature")] {
            let bearer = Bearer::new(kept.map(str::to_owned));
            assert_eq!(bearer.get(|_| unreachable!()).unwrap().as_deref(), kept);
        }
        let bearer = Bearer::new(Some("stw_long".into()));
        assert_eq!(bearer.get(|_| Ok(Made::Nothing)).unwrap().unwrap(), "stw_long");
        assert!(!bearer.drop("stw_long"));
    }
}
