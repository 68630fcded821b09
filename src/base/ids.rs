//! Identities: of runs, experiments, writers and packs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::limits::RUN_ID_BYTES_MAX;
use crate::error::{Error, Result};

/// A run's permanent id: 32 hex characters when generated here, or the caller's own.
///
/// A valid id matches `^[a-zA-Z0-9][A-Za-z0-9_\-]{0,255}$`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(String);

impl RunId {
    /// Checks and wraps an id.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the id is empty, too long or has a character outside letters, digits, `_` and `-`.
    pub fn new(id: impl Into<String>) -> Result<Self> {
        let id = id.into();
        let bytes = id.as_bytes();
        let valid = bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.len() <= RUN_ID_BYTES_MAX
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if valid {
            Ok(Self(id))
        } else {
            Err(Error::invalid(
                "run id",
                format!(
                    "{id:?} must be 1 to {RUN_ID_BYTES_MAX} letters, digits, '_' or '-', the first a letter or digit"
                ),
            ))
        }
    }

    /// A new random id: 32 lower-case hex characters from the operating system's generator.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{:032x}", random_u128()))
    }

    /// An id derived from a source kind and a path, for sources without ids; deterministic.
    #[must_use]
    pub fn derived(kind: &str, path: &str) -> Self {
        Self(format!("{:032x}", xxhash_rust::xxh3::xxh3_128(format!("stepwell\0{kind}\0{path}").as_bytes())))
    }

    /// The id of a key, if the id has 32 hex digits; otherwise the key's digits.
    #[must_use]
    pub fn of_key(key: RunKey) -> Self {
        Self(key.to_string())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A fixed-width key: the number itself for ids of 32 lower-case hex characters, else its XXH3-128 hash.
    #[must_use]
    pub fn key(&self) -> RunKey {
        let hex = self.0.len() == 32 && self.0.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        RunKey(match (hex, u128::from_str_radix(&self.0, 16)) {
            (true, Ok(number)) => number,
            _ => xxhash_rust::xxh3::xxh3_128(self.0.as_bytes()),
        })
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RunId {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        Self::new(s)
    }
}

/// A run id as 16 bytes, for directories and file names (see [`RunId::key`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunKey(pub u128);

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// An experiment's id. `0` is `Default`; others are random and positive, so that workspaces merge without conflict, and
/// greater than existing ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExperimentId(pub u64);

impl ExperimentId {
    /// The experiment that always exists.
    pub const DEFAULT: Self = Self(0);

    /// Least number of 18 decimal digits, which clients hold exactly as text.
    const LOW: u64 = 100_000_000_000_000_000;
    /// Greatest random step between ids: diverged copies of a workspace hardly choose the same one, and there is room
    /// for some ten million steps.
    const STEP_MAX: u64 = 100_000_000_000;

    /// A new random number of 18 digits.
    #[must_use]
    pub fn random() -> Self {
        Self(Self::LOW + (random_u128() as u64) % (9 * Self::LOW))
    }

    /// A new id after the `greatest` used one: greater by a random step while 18 digits suffice. The first id leaves
    /// room for later ones.
    #[must_use]
    pub fn after(greatest: Self) -> Self {
        let step = |bound: u64| 1 + (random_u128() as u64) % bound;
        match greatest.0 {
            ..Self::LOW => Self(Self::LOW + step(Self::LOW)),
            taken if taken < 10 * Self::LOW - Self::STEP_MAX => Self(taken + step(Self::STEP_MAX)),
            _ => Self::random(),
        }
    }
}

impl fmt::Display for ExperimentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for ExperimentId {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        s.parse().map(Self).map_err(|_| Error::invalid("experiment id", format!("{s:?} must be a decimal number")))
    }
}

/// The id of a writer and its log: random for each opened writer, so that two writers never share a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WriterId(pub u128);

impl WriterId {
    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        Self(random_u128())
    }

    /// The writer id for imported points: the same for each import of a run, or of one `part` of a run with several
    /// logs. `part` is empty for a run in one piece.
    #[must_use]
    pub fn derived(run: &RunId, part: &str) -> Self {
        Self::derived_at(run, part, 0)
    }

    /// The same after the import was replaced this many times.
    #[must_use]
    pub fn derived_at(run: &RunId, part: &str, generation: u64) -> Self {
        let name = match (part, generation) {
            ("", 0) => format!("stepwell\0import\0{run}"),
            (part, 0) => format!("stepwell\0import\0{run}\0{part}"),
            (part, later) => format!("stepwell\0import\0{run}\0{part}\0{later}"),
        };
        Self(xxhash_rust::xxh3::xxh3_128(name.as_bytes()))
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// 128 random bits from the operating system.
///
/// # Panics
/// If the operating system has no random numbers; then no id could be unique.
#[must_use]
pub fn random_u128() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_is_checked() {
        for good in ["a", "0123456789abcdef0123456789abcdef", "my_run-7", &"x".repeat(256)] {
            assert_eq!(RunId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "_a", "a/b", "..", "a b", "é", &"x".repeat(257)] {
            assert!(RunId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_hex_id_is_its_own_key() {
        let id = RunId::new("000102030405060708090a0b0c0d0e0f").unwrap();
        assert_eq!(id.key().to_string(), id.as_str());
        assert_ne!(RunId::new("000102030405060708090A0B0C0D0E0F").unwrap().key(), id.key());
    }

    #[test]
    fn experiments_numbers_grow_while_there_is_room() {
        let last = ExperimentId(999_999_999_999_999_999);
        for greatest in [ExperimentId::DEFAULT, ExperimentId(7), ExperimentId::random()] {
            let next = ExperimentId::after(greatest);
            assert!(next > greatest && next <= last && next.to_string().len() == 18, "{greatest} {next}");
        }
        for greatest in [last, ExperimentId(u64::MAX)] {
            assert_eq!(ExperimentId::after(greatest).to_string().len(), 18);
        }
        assert_ne!(ExperimentId::after(ExperimentId(1 << 60)), ExperimentId::after(ExperimentId(1 << 60)));
    }

    #[test]
    fn derived_ids_are_pinned() {
        assert_eq!(RunId::derived("tfevents", "a/b").as_str(), RunId::derived("tfevents", "a/b").as_str());
        assert_ne!(RunId::derived("tfevents", "a/b"), RunId::derived("csv", "a/b"));
    }
}
