//! Tokens of at most an hour, made from one that lasts longer. They are not stored: each contains that token's id and
//! its own expiry, and a key of the server signs both.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use stepwell::files::sync_all;

use super::tokens::{ID_CHARS, PREFIX, Token};

/// How long such a token is valid, in milliseconds.
pub(crate) const VALID_MS: i64 = 60 * 60 * 1000;
/// The file of the key, beside the tokens.
const FILE: &str = "key";
const KEY_BYTES: usize = 32;
const BLOCK_BYTES: usize = 64;
/// The prefix of the signed text, so that a signature is valid for nothing else.
const PURPOSE: &str = "stepwell token of an hour";

/// The key that signs tokens of an hour.
pub(super) struct Key([u8; KEY_BYTES]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// What a text claims to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim<'a> {
    /// The id of the token that it was made from.
    pub(super) id: &'a str,
    pub(super) expires_ms: i64,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    /// Reads a text; `None` if it is no token of an hour.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (head, signature) = text.strip_prefix(PREFIX)?.split_once('.')?;
        let (id, expires) = head.split_once('_')?;
        let plain = !expires.is_empty() && expires.bytes().all(|byte| byte.is_ascii_digit());
        let expires_ms = expires.parse().ok().filter(|_| plain)?;
        (id.len() == ID_CHARS).then_some(Self { id, expires_ms, signature })
    }
}

impl Key {
    /// Where the key of a folder is.
    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// The key in a folder; `None` if none was made yet.
    ///
    /// # Errors
    /// When it cannot be read, is no key, or may be read by others than its owner.
    pub(super) fn read(folder: &Path) -> io::Result<Option<Self>> {
        let path = Self::path(folder);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))),
        };
        let meta = file.metadata()?;
        if meta.permissions().mode() & 0o077 != 0 {
            return Err(io::Error::other(format!(
                "{} may be read by others than its owner; remove it, and tokens of an hour are signed by a new one",
                path.display()
            )));
        }
        let mut key = [0; KEY_BYTES];
        if meta.size() != KEY_BYTES as u64 {
            return Err(io::Error::other(format!("{} is damaged; remove it, and a new one is made", path.display())));
        }
        file.read_exact(&mut key)?;
        Ok(Some(Self(key)))
    }

    /// Makes the key of a folder, which the caller has locked.
    pub(super) fn make(folder: &Path) -> io::Result<Self> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let temporary = folder.join("key.new");
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(&key)?;
        sync_all(&file)?;
        std::fs::rename(&temporary, Self::path(folder))?;
        sync_all(File::open(folder)?)?;
        Ok(Self(key))
    }

    /// A token of an hour, or less where `of` ends before; with when it ends.
    pub(super) fn sign(&self, of: &Token, now_ms: i64) -> (String, i64) {
        let expires_ms = now_ms.saturating_add(VALID_MS).min(of.expires_ms);
        let signature = URL_SAFE_NO_PAD.encode(self.mac(of, expires_ms).finalize().into_bytes());
        (format!("{PREFIX}{}_{expires_ms}.{signature}", of.id), expires_ms)
    }

    /// Whether this key signed a claim of that token.
    pub(super) fn signed(&self, claim: &Claim<'_>, of: &Token) -> bool {
        let given = URL_SAFE_NO_PAD.decode(claim.signature).unwrap_or_default();
        claim.id == of.id && self.mac(of, claim.expires_ms).verify_slice(&given).is_ok()
    }

    /// The signature depends on the token's own hash too, so that neither file alone is enough to make one.
    fn mac(&self, of: &Token, expires_ms: i64) -> Hmac<Sha256> {
        // HMAC fills up a key that is shorter than the hash's block.
        let mut block = [0; BLOCK_BYTES];
        block[..KEY_BYTES].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(format!("{PURPOSE}\n{}\n{}\n{expires_ms}", of.id, of.hash()).as_bytes());
        mac
    }
}
